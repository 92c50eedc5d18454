//! A folder in memory for an editor's file: never on a disk, gone with the process.

use std::fs::{DirBuilder, File};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::mount::{MountFlags, MountPropagationFlags};
use rustix::thread::UnshareFlags;

use super::super::files::{FileError, read_limited};
use super::super::sandbox::unshare;
use crate::secrets::install::is_in_memory;
use crate::sops::{DOCUMENT_BYTES_MAX, SecretBytes};

/// A folder in memory.
#[derive(Debug)]
pub struct MemoryFolder {
    path: PathBuf,
    /// Whether it is mounted for this process and its children alone.
    private: bool,
}

impl MemoryFolder {
    /// Makes one; `candidates` are folders in memory to fall back to, such as `/dev/shm`.
    ///
    /// Where the kernel lets it, the folder is a ramfs in a mount namespace of this process: nobody else
    /// sees it, it is never swapped out, and the kernel drops it when the process ends, however it ends.
    /// Elsewhere it is a folder in a tmpfs that only the owner may enter, removed when dropped.
    ///
    /// # Errors
    ///
    /// Neither is to be had.
    pub fn new(candidates: &[PathBuf]) -> Result<Self, FileError> {
        if let Ok(path) = mount_private() {
            return Ok(Self { path, private: true });
        }
        let mut failure = None;
        for candidate in candidates.iter().filter(|candidate| is_in_memory(candidate)) {
            let mut name = [0_u8; 8];
            super::random(&mut name);
            let path = candidate.join(format!("nexus-host-{:016x}", u64::from_le_bytes(name)));
            match DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => return Ok(Self { path, private: false }),
                Err(error) => failure = Some(FileError::at("create", &path)(error)),
            }
        }
        let none = || {
            let error = io::Error::other("no ramfs can be mounted, and /dev/shm is no tmpfs");
            FileError::at("find memory for", Path::new("the plain text"))(error)
        };
        Err(failure.unwrap_or_else(none))
    }

    /// Whether it vanishes even when the process is killed.
    pub fn is_private(&self) -> bool {
        self.private
    }

    /// Writes a file that only the owner may read; its path.
    ///
    /// # Errors
    ///
    /// What the kernel said.
    pub fn write(&self, name: &str, content: &SecretBytes) -> Result<PathBuf, FileError> {
        let path = self.path.join(name);
        let mut options = File::options();
        options.write(true).create(true).truncate(true).mode(0o600);
        let written = options.open(&path).and_then(|mut file| file.write_all(content.expose()));
        written.map_err(FileError::at("write", &path))?;
        Ok(path)
    }

    /// Reads a file of it.
    ///
    /// # Errors
    ///
    /// What the kernel said, and a file that is too large.
    pub fn read(&self, path: &Path) -> Result<SecretBytes, FileError> {
        read_limited(path, DOCUMENT_BYTES_MAX as u64).map(SecretBytes::new)
    }
}

impl Drop for MemoryFolder {
    fn drop(&mut self) {
        if self.private {
            let _gone = rustix::mount::unmount(&self.path, rustix::mount::UnmountFlags::DETACH);
            let _gone = std::fs::remove_dir(&self.path);
        } else {
            let _gone = std::fs::remove_dir_all(&self.path);
        }
    }
}

/// A ramfs on an empty folder, in a mount namespace of this process.
fn mount_private() -> io::Result<PathBuf> {
    let (uid, gid) = (rustix::process::geteuid(), rustix::process::getegid());
    let folder = tempfile::Builder::new().prefix("nexus-host-").tempdir()?;
    if uid.is_root() {
        unshare(UnshareFlags::NEWNS)?;
    } else {
        unshare(UnshareFlags::NEWUSER | UnshareFlags::NEWNS)?;
        for (file, text) in [
            ("setgroups", "deny".to_owned()),
            ("uid_map", format!("{uid} {uid} 1")),
            ("gid_map", format!("{gid} {gid} 1")),
        ] {
            let path = format!("/proc/self/{file}");
            File::options().write(true).open(path)?.write_all(text.as_bytes())?;
        }
    }
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    rustix::mount::mount_change("/", private)?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    rustix::mount::mount("ramfs", folder.path(), "ramfs", flags, Some(c"mode=0700"))?;
    Ok(folder.keep())
}
