//! The cache on disk: whole files by digest, parts of files, and the last `Release` of each suite.
//!
//! ```text
//! DIR/files/sha256/ab/abcdef…    a whole file; its name is the SHA-256 of its bytes
//! DIR/partial/abcdef…            the beginning of one; locked by who works on it
//! DIR/releases/<digest>          the last verified Release of a suite (see `release`)
//! ```
//!
//! A file is renamed into place when all its bytes have been hashed, so every name is true. Rename
//! needs no `fsync` for that: file systems that write metadata after data (ext4, XFS, btrfs as they
//! come) leave a shorter file after a power cut at worst, and its length is compared at each use.
//! Several processes may share the cache: whoever holds the lock (`flock`) of a part goes on with it,
//! the others wait for the result.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::FlockOperation;
use sha2::{Digest as _, Sha256};

use super::error::FetchError;
use crate::exec::files::FileError;
use crate::exec::interrupt::Interrupt;
use crate::store::Sha256Digest;

/// How often to look whether another process is done.
const LOCK_POLL: Duration = Duration::from_millis(50);
const BUFFER_BYTES: usize = 128 << 10;

/// A cache directory that exists.
#[derive(Debug, Clone)]
pub(super) struct Cache {
    directory: PathBuf,
}

/// Whose turn it is with a file.
pub(super) enum Claim {
    /// It is there.
    Whole(PathBuf),
    /// It is ours to fetch.
    Ours(Part),
}

/// The beginning of a file, locked until dropped. An empty one is removed then.
pub(super) struct Part {
    file: File,
    path: PathBuf,
    target: PathBuf,
    hasher: Sha256,
    length_bytes: u64,
}

impl Cache {
    pub(super) fn new(directory: &Path) -> Result<Self, FetchError> {
        let cache = Self { directory: directory.to_owned() };
        for name in ["files/sha256", "partial", "releases"] {
            cache.create_directory(&directory.join(name))?;
        }
        Ok(cache)
    }

    pub(super) fn release_path(&self, key: &Sha256Digest) -> PathBuf {
        self.directory.join("releases").join(key.to_string())
    }

    fn file_path(&self, sha256: &Sha256Digest) -> PathBuf {
        let name = sha256.to_string();
        self.directory.join("files/sha256").join(&name[..2]).join(name)
    }

    /// A whole file of the right length; its bytes are not read.
    pub(super) fn find(&self, sha256: &Sha256Digest, size_bytes: u64) -> Option<PathBuf> {
        let path = self.file_path(sha256);
        let metadata = path.symlink_metadata().ok()?;
        (metadata.is_file() && metadata.len() == size_bytes).then_some(path)
    }

    /// Removes a file whose bytes are not what its name says.
    pub(super) fn forget(&self, sha256: &Sha256Digest) -> Result<(), FetchError> {
        let path = self.file_path(sha256);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(self.fail(FileError::at("remove", &path)(error)))
            }
            _ => Ok(()),
        }
    }

    /// Takes the file's lock, or waits until whoever has it is done.
    ///
    /// `on_wait` is called once when there is someone to wait for.
    pub(super) fn claim(
        &self,
        sha256: &Sha256Digest,
        size_bytes: u64,
        interrupt: &Interrupt,
        on_wait: impl Fn(),
    ) -> Result<Claim, FetchError> {
        let path = self.directory.join("partial").join(sha256.to_string());
        let mut has_waited = false;
        loop {
            interrupt.check()?;
            if let Some(whole) = self.find(sha256, size_bytes) {
                return Ok(Claim::Whole(whole));
            }
            let file = self.open_part(&path)?;
            match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
                // Whoever had the lock may have moved this very file into place or removed it, and
                // the whole file may have come between the first look and the lock.
                Ok(()) if is_at(&file, &path) => {
                    if let Some(whole) = self.find(sha256, size_bytes) {
                        drop(Part::begin(file, path.clone(), whole));
                        continue;
                    }
                    let target = self.file_path(sha256);
                    return Ok(Claim::Ours(self.read_part(file, path, target)?));
                }
                Ok(()) => {}
                Err(rustix::io::Errno::WOULDBLOCK) => {
                    if !has_waited {
                        on_wait();
                        has_waited = true;
                    }
                    std::thread::sleep(LOCK_POLL);
                }
                Err(error) => return Err(self.fail(FileError::at("lock", &path)(error.into()))),
            }
        }
    }

    fn open_part(&self, path: &Path) -> Result<File, FetchError> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        options.open(path).map_err(|error| self.fail(FileError::at("open", path)(error)))
    }

    fn read_part(&self, file: File, path: PathBuf, target: PathBuf) -> Result<Part, FetchError> {
        let mut part = Part::begin(file, path, target);
        let mut buffer = vec![0; BUFFER_BYTES];
        loop {
            match part.file.read(&mut buffer) {
                Ok(0) => return Ok(part),
                Ok(bytes) => part.count(&buffer[..bytes]),
                Err(error) => return Err(self.fail(FileError::at("read", &part.path)(error))),
            }
        }
    }

    /// Reads a whole file and compares its digest.
    pub(super) fn is_intact(&self, path: &Path, sha256: &Sha256Digest) -> Result<bool, FetchError> {
        let fail = |error| self.fail(FileError::at("read", path)(error));
        let mut file = File::open(path).map_err(fail)?;
        let mut hasher = Sha256::new();
        std::io::copy(&mut file, &mut hasher).map_err(fail)?;
        Ok(Sha256Digest::from_bytes(hasher.finalize().into()) == *sha256)
    }

    /// Moves a part whose bytes are right to its place.
    pub(super) fn commit(&self, part: Part) -> Result<PathBuf, FetchError> {
        let target = part.target.clone();
        if let Some(directory) = target.parent() {
            self.create_directory(directory)?;
        }
        let read_only = std::fs::Permissions::from_mode(0o444);
        part.file
            .set_permissions(read_only)
            .and_then(|()| std::fs::rename(&part.path, &target))
            .map_err(|error| self.fail(FileError::at("move into place", &target)(error)))?;
        // Ends the lock; the part no longer has a name of its own.
        drop(part);
        Ok(target)
    }

    /// Writes to a part; a failure names the cache.
    pub(super) fn append(&self, part: &mut Part, bytes: &[u8]) -> Result<(), FetchError> {
        part.file
            .write_all(bytes)
            .map_err(|error| self.fail(FileError::at("write", &part.path)(error)))?;
        part.count(bytes);
        Ok(())
    }

    /// Empties a part.
    pub(super) fn restart(&self, part: &mut Part) -> Result<(), FetchError> {
        part.file
            .set_len(0)
            .and_then(|()| part.file.rewind())
            .map_err(|error| self.fail(FileError::at("empty", &part.path)(error)))?;
        part.hasher = Sha256::new();
        part.length_bytes = 0;
        Ok(())
    }

    fn create_directory(&self, directory: &Path) -> Result<(), FetchError> {
        std::fs::create_dir_all(directory)
            .map_err(|error| self.fail(FileError::at("create", directory)(error)))
    }

    pub(super) fn fail(&self, error: FileError) -> FetchError {
        FetchError::of_cache(&self.directory)(error)
    }
}

impl Part {
    fn begin(file: File, path: PathBuf, target: PathBuf) -> Self {
        Self { file, path, target, hasher: Sha256::new(), length_bytes: 0 }
    }

    pub(super) fn length_bytes(&self) -> u64 {
        self.length_bytes
    }

    /// The digest of what is there.
    pub(super) fn sha256(&self) -> Sha256Digest {
        Sha256Digest::from_bytes(self.hasher.clone().finalize().into())
    }

    fn count(&mut self, bytes: &[u8]) {
        self.hasher.update(bytes);
        self.length_bytes += bytes.len() as u64;
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if self.length_bytes == 0 && is_at(&self.file, &self.path) {
            // Nothing is lost if it stays.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Whether `path` still leads to `file`.
fn is_at(file: &File, path: &Path) -> bool {
    match (file.metadata(), path.symlink_metadata()) {
        (Ok(here), Ok(there)) => (here.dev(), here.ino()) == (there.dev(), there.ino()),
        _ => false,
    }
}

#[cfg(test)]
mod tests;
