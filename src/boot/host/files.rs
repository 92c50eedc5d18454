//! Files and directories, by system calls alone.

use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::mem::MaybeUninit;

use rustix::fd::OwnedFd;
use rustix::fs::{FileType, Mode, OFlags, RawDir, open};
use rustix::io::Errno;

use super::InitError;

/// Bytes for the names of a part of a directory.
const DIRECTORY_BYTES: usize = 4096;

/// Opens what is there.
pub(super) fn open_at(path: &str, flags: OFlags) -> Result<OwnedFd, InitError> {
    open(path, flags | OFlags::CLOEXEC, Mode::empty()).map_err(InitError::at("open", path))
}

/// Reads a text file; bytes behind `most` are left.
pub(super) fn read(path: &str, most: usize) -> Result<String, InitError> {
    let file = open_at(path, OFlags::RDONLY)?;
    let mut bytes = Vec::new();
    let mut buffer = [0; 1024];
    while bytes.len() < most {
        match rustix::io::read(&file, &mut buffer).map_err(InitError::at("read", path))? {
            0 => break,
            count => bytes.extend_from_slice(&buffer[..count]),
        }
    }
    bytes.truncate(most);
    String::from_utf8(bytes).map_err(|_| InitError::at("read", path)(Errno::ILSEQ))
}

/// Reads as many bytes as `buffer` has, from `offset` on.
pub(super) fn read_at(file: &OwnedFd, mut buffer: &mut [u8], mut offset: u64) -> Result<(), Errno> {
    while !buffer.is_empty() {
        let count = rustix::io::pread(file, &mut *buffer, offset)?;
        if count == 0 {
            return Err(Errno::IO);
        }
        buffer = &mut buffer[count..];
        offset += count as u64;
    }
    Ok(())
}

/// Writes `bytes` at `offset` and waits until the disk has them.
pub(super) fn write_at(file: &OwnedFd, bytes: &[u8], offset: u64) -> Result<(), Errno> {
    put_at(file, bytes, offset)?;
    rustix::fs::fsync(file)
}

/// Writes `bytes` at `offset`; the disk may get them later.
pub(super) fn put_at(file: &OwnedFd, mut bytes: &[u8], mut offset: u64) -> Result<(), Errno> {
    while !bytes.is_empty() {
        let count = rustix::io::pwrite(file, bytes, offset)?;
        bytes = &bytes[count..];
        offset += count as u64;
    }
    Ok(())
}

/// Makes a file with `contents` that is either as before or whole, whenever power is lost.
pub(super) fn write(path: &str, contents: &[u8], mode: u32) -> Result<(), InitError> {
    let (directory, _) = path.rsplit_once('/').expect("the paths of this program have a directory");
    let temporary = alloc::format!("{path}.new");
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::CLOEXEC;
    let write = || {
        let file = open(temporary.as_str(), flags, Mode::from_raw_mode(mode))?;
        write_at(&file, contents, 0)?;
        rustix::fs::rename(temporary.as_str(), path)?;
        rustix::fs::fsync(open(directory, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?)
    };
    write().map_err(InitError::at("write", path))
}

/// Whether there is something at `path`.
pub(super) fn exists(path: &str) -> bool {
    rustix::fs::access(path, rustix::fs::Access::EXISTS).is_ok()
}

/// Makes a directory and those above it.
pub(super) fn make_directory(path: &str) -> Result<(), InitError> {
    let ends = path.match_indices('/').map(|(at, _)| at).filter(|at| *at > 0);
    for end in ends.chain([path.len()]) {
        match rustix::fs::mkdir(&path[..end], Mode::from_raw_mode(0o755)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(InitError::at("create", path)(error)),
        }
    }
    Ok(())
}

/// Makes a directory with just these permission bits.
pub(super) fn make_directory_with(path: &str, mode: u32) -> Result<(), InitError> {
    make_directory(path)?;
    rustix::fs::chmod(path, Mode::from_raw_mode(mode))
        .map_err(InitError::at("set the mode of", path))
}

/// Calls `each` with every name in a directory, in no order.
pub(super) fn for_each_name(path: &str, mut each: impl FnMut(&str)) -> Result<(), InitError> {
    let directory = open_at(path, OFlags::RDONLY | OFlags::DIRECTORY)?;
    let mut buffer = [MaybeUninit::uninit(); DIRECTORY_BYTES];
    let mut entries = RawDir::new(&directory, &mut buffer);
    while let Some(entry) = entries.next() {
        let entry = entry.map_err(InitError::at("list", path))?;
        match entry.file_name().to_str() {
            Ok("." | "..") | Err(_) => {}
            Ok(name) => each(name),
        }
    }
    Ok(())
}

/// The names in a directory, sorted.
pub(super) fn names_in(path: &str) -> Result<Vec<String>, InitError> {
    let mut names = Vec::new();
    for_each_name(path, |name| names.push(name.to_string()))?;
    names.sort();
    Ok(names)
}

/// Removes a directory with the files in it.
pub(super) fn remove_directory(path: &str) -> Result<(), InitError> {
    for name in names_in(path)? {
        let file = alloc::format!("{path}/{name}");
        rustix::fs::unlink(&file).map_err(InitError::at("remove", &file))?;
    }
    rustix::fs::rmdir(path).map_err(InitError::at("remove", path))
}

/// Whether `path` is a directory.
pub(super) fn is_directory(path: &str) -> bool {
    rustix::fs::stat(path)
        .is_ok_and(|status| FileType::from_raw_mode(status.st_mode) == FileType::Directory)
}
