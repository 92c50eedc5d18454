//! From a tree on disk to its NAR, a piece at a time, through directory handles.

use std::ffi::{CStr, CString, OsStr};
use std::fs::File;
use std::io::{BufWriter, Read as _, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, CWD, Dir, FileType, Mode, OFlags, Stat, Timespec, Timestamps, UTIME_OMIT,
};

use super::StoreError;
use crate::exec::files::FileError;
use crate::exec::interrupt::Interrupt;
use crate::exec::progress::{Silent, Task};
use crate::store::nar::{Digested, Digester, Encoder};
use crate::store::references::Scanner;

/// Bytes that are read at once.
const PIECE_BYTES: usize = 256 << 10;
/// Bytes of small files that are gathered before they are digested.
const GATHER_BYTES: usize = 64 << 10;
/// Modification time of everything in a store, as in Nix: one second after the beginning of 1970.
const STORED_MTIME: i64 = 1;

/// Whether the walk only reads, or makes times as they are in a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Times {
    /// Leave them.
    Keep,
    /// Set them to 1.
    Store,
}

/// What else goes on while a tree is read.
#[derive(Clone, Copy)]
pub(super) struct Watch<'a> {
    /// Stops the walk.
    pub(super) interrupt: &'a Interrupt,
    /// Hears of every byte read.
    pub(super) task: &'a dyn Task,
}

/// Digests the tree at `path`, looking for references if there is a scanner.
pub(super) fn digest(
    path: &Path,
    scanner: Option<Scanner<'_>>,
    times: Times,
    watch: Watch<'_>,
) -> Result<Digested, StoreError> {
    walk(path, Digester::new(scanner), times, watch).map(Digester::finish)
}

/// Writes the NAR of the tree at `path`.
pub(super) fn write(path: &Path, output: &mut dyn Write) -> Result<(), StoreError> {
    let watch = Watch { interrupt: &Interrupt::default(), task: &Silent };
    walk(path, output, Times::Keep, watch).map(drop)
}

fn walk<W: Write>(path: &Path, output: W, times: Times, watch: Watch<'_>) -> Result<W, StoreError> {
    let fail = |source| StoreError::Nar { path: path.to_owned(), source };
    let output = BufWriter::with_capacity(GATHER_BYTES, output);
    let nar = Encoder::new(output).map_err(fail)?;
    let buffer = vec![0; PIECE_BYTES];
    let mut walk = Walk { nar, buffer, path: path.to_owned(), times, watch };
    let name = CString::new(path.as_os_str().as_bytes())
        .map_err(|_| FileError::at("open", path)(std::io::ErrorKind::InvalidInput.into()))?;
    walk.node(CWD, &name, None)?;
    let output = walk.nar.finish().map_err(fail)?;
    output.into_inner().map_err(|error| fail(error.into_error().into()))
}

struct Walk<'a, W: Write> {
    nar: Encoder<BufWriter<W>>,
    buffer: Vec<u8>,
    /// Where the walk is, for errors.
    path: PathBuf,
    times: Times,
    watch: Watch<'a>,
}

impl<W: Write> Walk<'_, W> {
    /// Writes what `name` in `parent` is; `entry` is the name in the NAR, none for the root.
    fn node(
        &mut self,
        parent: BorrowedFd<'_>,
        name: &CStr,
        entry: Option<&[u8]>,
    ) -> Result<(), StoreError> {
        let stat = rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)
            .map_err(|errno| self.failed("read", errno))?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => self.file(parent, name, entry, &stat)?,
            FileType::Directory => self.directory(parent, name, entry)?,
            FileType::Symlink => self.symlink(parent, name, entry)?,
            _ => return Err(StoreError::Kind { path: self.path.clone() }),
        }
        if self.times == Times::Store && (stat.st_mtime, stat.st_mtime_nsec) != (STORED_MTIME, 0) {
            self.set_time(parent, name)?;
        }
        Ok(())
    }

    fn file(
        &mut self,
        parent: BorrowedFd<'_>,
        name: &CStr,
        entry: Option<&[u8]>,
        stat: &Stat,
    ) -> Result<(), StoreError> {
        let size = u64::try_from(stat.st_size).expect("the kernel gives no negative size");
        let executable = stat.st_mode & 0o100 != 0;
        let mut file = self.open(parent, name, OFlags::empty())?;
        let path = &self.path;
        let nar_failed = |source| StoreError::Nar { path: path.clone(), source };
        let mut contents = self.nar.start_regular(entry, executable, size).map_err(nar_failed)?;
        let mut left = size;
        loop {
            self.watch.interrupt.check()?;
            let count = file.read(&mut self.buffer).map_err(FileError::at("read", path))?;
            let unsteady = || StoreError::Unsteady { path: path.clone() };
            left = left.checked_sub(count as u64).ok_or_else(unsteady)?;
            if count == 0 {
                break;
            }
            let written = contents.write_all(&self.buffer[..count]);
            written.map_err(|error| nar_failed(error.into()))?;
            self.watch.task.advance(count as u64);
        }
        if left > 0 {
            return Err(StoreError::Unsteady { path: path.clone() });
        }
        contents.finish().map_err(nar_failed)
    }

    fn directory(
        &mut self,
        parent: BorrowedFd<'_>,
        name: &CStr,
        entry: Option<&[u8]>,
    ) -> Result<(), StoreError> {
        let directory = self.open(parent, name, OFlags::DIRECTORY)?;
        self.nar.start_directory(entry).map_err(|source| self.nar_failed(source))?;
        for child in self.sorted_names(&directory)? {
            self.path.push(OsStr::from_bytes(child.to_bytes()));
            self.node(directory.as_fd(), &child, Some(child.to_bytes()))?;
            self.path.pop();
        }
        self.nar.end_directory().map_err(|source| self.nar_failed(source))
    }

    fn symlink(
        &mut self,
        parent: BorrowedFd<'_>,
        name: &CStr,
        entry: Option<&[u8]>,
    ) -> Result<(), StoreError> {
        let target = rustix::fs::readlinkat(parent, name, Vec::new())
            .map_err(|errno| self.failed("read the link", errno))?;
        self.nar.symlink(entry, target.as_bytes()).map_err(|source| self.nar_failed(source))
    }

    fn sorted_names(&self, directory: &File) -> Result<Vec<CString>, StoreError> {
        let failed = |errno| self.failed("list", errno);
        let mut names = Vec::new();
        for entry in Dir::read_from(directory).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name().to_owned();
            if name.as_c_str() != c"." && name.as_c_str() != c".." {
                names.push(name);
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    fn open(&self, parent: BorrowedFd<'_>, name: &CStr, flags: OFlags) -> Result<File, StoreError> {
        let flags = flags | OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let opened = rustix::fs::openat(parent, name, flags, Mode::empty());
        opened.map(File::from).map_err(|errno| self.failed("open", errno))
    }

    fn set_time(&self, parent: BorrowedFd<'_>, name: &CStr) -> Result<(), StoreError> {
        let times = Timestamps {
            last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
            last_modification: Timespec { tv_sec: STORED_MTIME, tv_nsec: 0 },
        };
        rustix::fs::utimensat(parent, name, &times, AtFlags::SYMLINK_NOFOLLOW)
            .map_err(|errno| self.failed("set the time of", errno))
    }

    fn failed(&self, action: &'static str, errno: rustix::io::Errno) -> StoreError {
        FileError::at(action, &self.path)(errno.into()).into()
    }

    fn nar_failed(&self, source: nix_archive::nar::Error) -> StoreError {
        StoreError::Nar { path: self.path.clone(), source }
    }
}
