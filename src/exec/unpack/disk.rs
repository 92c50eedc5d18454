//! Makes a package's files below one directory, and nowhere else.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write as _;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Dir, Mode, OFlags, ResolveFlags, Timespec, Timestamps};
use rustix::io::Errno;

use super::{UnpackError, Unpacked};
use crate::debian::deb::Sink;
use crate::exec::files::FileError;
use crate::tree::shape::DATA_DIRECTORY;
use crate::tree::{Manifest, Node, TreePath};

/// The directory of the control files in a package's store path.
const CONTROL_DIRECTORY: &str = "control";
/// The manifest in a package's store path.
const MANIFEST_FILE: &str = "manifest";
/// Open directories that are kept; archives go through the tree depth first.
const OPEN_DIRECTORIES_MAX: usize = 32;

/// Nix gives everything in the store this time.
const TIMES: Timestamps = {
    let time = Timespec { tv_sec: 1, tv_nsec: 0 };
    Timestamps { last_access: time, last_modification: time }
};

/// A directory in which a package is being unpacked.
pub(super) struct Disk {
    path: PathBuf,
    root: OwnedFd,
    control: OwnedFd,
    data: OwnedFd,
    /// Directories below `data/`, by path.
    open: BTreeMap<Vec<u8>, OwnedFd>,
    /// The file whose contents come next.
    file: Option<OpenFile>,
    files: u64,
    bytes: u64,
}

struct OpenFile {
    file: File,
    mode: u16,
    path: PathBuf,
}

impl Disk {
    /// Takes the empty directory `into` and makes the two directories in it.
    pub(super) fn new(into: &Path) -> Result<Self, UnpackError> {
        let fail = |action| move |errno| UnpackError::File(error(action, into.to_owned())(errno));
        let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open(into, flags, Mode::empty()).map_err(fail("open"))?;
        let mut entries = Dir::read_from(&root).map_err(fail("read"))?;
        let other = entries.find(|entry| {
            !entry
                .as_ref()
                .is_ok_and(|entry| [&b"."[..], b".."].contains(&entry.file_name().to_bytes()))
        });
        match other {
            Some(Ok(_)) => return Err(UnpackError::NotEmpty(into.to_owned())),
            Some(Err(errno)) => return Err(fail("read")(errno)),
            None => {}
        }
        let make = |name: &str| {
            rustix::fs::mkdirat(&root, name, Mode::from(0o755))?;
            rustix::fs::openat(&root, name, flags | OFlags::NOFOLLOW, Mode::empty())
        };
        let control = make(CONTROL_DIRECTORY).map_err(fail("make a directory in"))?;
        let data = make(DATA_DIRECTORY).map_err(fail("make a directory in"))?;
        let (open, path) = (BTreeMap::new(), into.to_owned());
        Ok(Self { path, root, control, data, open, file: None, files: 0, bytes: 0 })
    }

    /// Writes the manifest and gives directories their modes and times.
    pub(super) fn finish(mut self, manifest: Manifest) -> Result<Unpacked, FileError> {
        for (path, entry) in &manifest.entries {
            if !matches!(entry.node, Node::Directory) || path.is_root() {
                continue;
            }
            let fail = |action| error(action, self.data_path(path));
            let opened = open_beneath(&self.data, path.as_bytes(), OFlags::RDONLY);
            let directory = opened.map_err(fail("open"))?;
            settle(directory.as_fd(), entry.mode | 0o700).map_err(fail("set the mode of"))?;
        }
        let root_mode = manifest.entries.get(&TreePath::root()).map_or(0o755, |root| root.mode);
        let text = manifest.to_text();
        let file = create(self.root.as_fd(), MANIFEST_FILE.as_bytes());
        let path = self.path.join(MANIFEST_FILE);
        let file = file.map_err(error("make", path.clone()))?;
        self.file = Some(OpenFile { file: file.into(), mode: 0o644, path });
        self.write(text.as_bytes())?;
        self.close()?;
        let directories = [(&self.control, 0o755), (&self.data, root_mode), (&self.root, 0o755)];
        for (directory, mode) in directories {
            let settled = settle(directory.as_fd(), mode | 0o700);
            settled.map_err(error("set the mode of a directory in", self.path.clone()))?;
        }
        Ok(Unpacked { files: self.files, bytes: self.bytes, manifest })
    }

    /// The directory that holds `path`, opened; the name in it.
    fn parent<'p>(&mut self, path: &'p TreePath) -> Result<(BorrowedFd<'_>, &'p [u8]), Errno> {
        let parent = path.parent_bytes().unwrap_or_default();
        if parent.is_empty() {
            return Ok((self.data.as_fd(), path.file_name()));
        }
        if !self.open.contains_key(parent) {
            if self.open.len() >= OPEN_DIRECTORIES_MAX {
                self.open.clear();
            }
            let directory = open_beneath(&self.data, parent, OFlags::PATH)?;
            self.open.insert(parent.to_vec(), directory);
        }
        Ok((self.open[parent].as_fd(), path.file_name()))
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), FileError> {
        let open = self.file.as_mut().expect("contents follow a file");
        open.file.write_all(bytes).map_err(FileError::at("write", &open.path))
    }

    fn close(&mut self) -> Result<(), FileError> {
        let OpenFile { file, mode, path } = self.file.take().expect("contents follow a file");
        settle(file.as_fd(), mode | 0o400).map_err(error("set the mode of", path))
    }

    fn data_path(&self, path: &TreePath) -> PathBuf {
        self.path.join(DATA_DIRECTORY).join(path.to_path())
    }

    fn begin(&mut self, file: OwnedFd, mode: u16, path: PathBuf) {
        self.files += 1;
        self.file = Some(OpenFile { file: file.into(), mode, path });
    }
}

impl Sink for Disk {
    type Error = FileError;

    fn control_file(&mut self, name: &TreePath, mode: u16) -> Result<(), FileError> {
        let path = self.path.join(CONTROL_DIRECTORY).join(name.to_path());
        let file = create(self.control.as_fd(), name.as_bytes());
        let file = file.map_err(error("make", path.clone()))?;
        self.begin(file, mode, path);
        Ok(())
    }

    fn directory(&mut self, path: &TreePath) -> Result<(), FileError> {
        let made = self
            .parent(path)
            .and_then(|(parent, name)| rustix::fs::mkdirat(parent, name, Mode::from(0o700)));
        made.map_err(|errno| error("make the directory", self.data_path(path))(errno))
    }

    fn file(&mut self, path: &TreePath, mode: u16, _: u64) -> Result<(), FileError> {
        let file = self.parent(path).and_then(|(parent, name)| create(parent, name));
        let full = self.data_path(path);
        let file = file.map_err(error("make", full.clone()))?;
        self.begin(file, mode, full);
        Ok(())
    }

    fn contents(&mut self, bytes: &[u8]) -> Result<(), FileError> {
        self.bytes += bytes.len() as u64;
        self.write(bytes)
    }

    fn end_of_file(&mut self) -> Result<(), FileError> {
        self.close()
    }

    fn symlink(&mut self, path: &TreePath, target: &[u8]) -> Result<(), FileError> {
        let made = self.parent(path).and_then(|(parent, name)| {
            rustix::fs::symlinkat(target, parent, name)?;
            rustix::fs::utimensat(parent, name, &TIMES, AtFlags::SYMLINK_NOFOLLOW)
        });
        made.map_err(|errno| error("make the link", self.data_path(path))(errno))
    }

    fn hard_link(&mut self, path: &TreePath, first: &TreePath) -> Result<(), FileError> {
        let first_parent = first.parent_bytes().unwrap_or_default();
        let made = open_beneath(&self.data, first_parent, OFlags::PATH).and_then(|first_parent| {
            let (parent, name) = self.parent(path)?;
            let no_flags = AtFlags::empty();
            rustix::fs::linkat(&first_parent, first.file_name(), parent, name, no_flags)
        });
        made.map_err(|errno| error("make the hard link", self.data_path(path))(errno))
    }
}

/// Opens the directory `path` below `directory`; no part of the way may be a link.
fn open_beneath(directory: &OwnedFd, path: &[u8], access: OFlags) -> Result<OwnedFd, Errno> {
    let path = if path.is_empty() { b"." } else { path };
    let flags = access | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    rustix::fs::openat2(directory, path, flags, Mode::empty(), resolve)
}

/// Makes a file that was not there.
fn create(directory: BorrowedFd<'_>, name: &[u8]) -> Result<OwnedFd, Errno> {
    let new = OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
    let flags = OFlags::WRONLY | OFlags::CLOEXEC | new;
    rustix::fs::openat(directory, name, flags, Mode::from(0o600))
}

/// Gives an open file or directory its permission bits, whatever the umask, and the time 1.
fn settle(file: BorrowedFd<'_>, mode: u16) -> Result<(), Errno> {
    rustix::fs::fchmod(file, Mode::from(u32::from(mode & 0o777)))?;
    rustix::fs::futimens(file, &TIMES)
}

fn error(action: &'static str, path: PathBuf) -> impl FnOnce(Errno) -> FileError {
    move |errno| FileError { action, path, source: errno.into() }
}
