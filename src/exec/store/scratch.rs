//! Scratch directories: on the store's own file system, gone with their owner, however it ends.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::OFlags;

use super::lock::Lock;
use super::{Store, StoreError};
use crate::exec::files::FileError;

/// Between the making of a directory and its locking it would look like a dead process's.
const CREATION_LOCK: &str = ".lock";

/// A directory of its own, removed with all it holds when dropped.
#[derive(Debug)]
pub struct Scratch {
    path: PathBuf,
    /// Says to others that the owner lives.
    _lock: Lock,
}

impl Scratch {
    /// The directory; on the same file system as the store.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn create(parent: &Path, label: &str) -> Result<Self, StoreError> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let _creating = Lock::shared(&parent.join(CREATION_LOCK))?;
        let label: String = label
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' })
            .take(40)
            .collect();
        loop {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let path = parent.join(format!("{}-{number}-{label}", std::process::id()));
            match fs::create_dir(&path) {
                // Left by a process with the same number, in another container perhaps.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(FileError::at("create", &path)(error).into()),
                Ok(()) => {
                    let directory = File::open(&path).map_err(FileError::at("open", &path))?;
                    let lock = Lock::try_exclusive(directory, &path)?
                        .expect("nobody else locks a scratch directory while one is created");
                    return Ok(Self { path, _lock: lock });
                }
            }
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed now is removed by the next to open the store.
        let _ = remove_tree(&self.path);
    }
}

impl Store {
    /// Makes a directory to build in; `label` is for those who look at the disk.
    pub fn scratch(&self, label: &str) -> Result<Scratch, StoreError> {
        Scratch::create(&self.layout.scratch, label)
    }
}

/// Removes the scratch directories of processes that are no more.
pub(super) fn remove_leftovers(parent: &Path) -> Result<(), StoreError> {
    let entries = fs::read_dir(parent).map_err(FileError::at("list", parent))?;
    let names: Vec<_> = entries
        .filter_map(|entry| Some(entry.ok()?.file_name()))
        .filter(|name| name != CREATION_LOCK)
        .collect();
    if names.is_empty() {
        return Ok(());
    }
    let dead = {
        let _nobody_creates = Lock::exclusive(&parent.join(CREATION_LOCK))?;
        let lock = |name| lock_if_dead(parent.join(name)).transpose();
        names.into_iter().filter_map(lock).collect::<Result<Vec<_>, _>>()?
    };
    for (path, _lock) in dead {
        // Another user's leftovers stay; they are in nobody's way.
        let _ = remove_tree(&path);
    }
    Ok(())
}

fn lock_if_dead(path: PathBuf) -> Result<Option<(PathBuf, Lock)>, StoreError> {
    let flags = (OFlags::DIRECTORY | OFlags::NOFOLLOW).bits();
    let flags = i32::try_from(flags).expect("open flags are small");
    let Ok(directory) = File::options().read(true).custom_flags(flags).open(&path) else {
        return Ok(None);
    };
    Ok(Lock::try_exclusive(directory, &path)?.map(|lock| (path, lock)))
}

/// Removes what is at `path`, also directories that may not be written; nothing there is fine.
pub(super) fn remove_tree(path: &Path) -> io::Result<()> {
    match remove(path) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            open_up(path)?;
            remove(path)
        }
        outcome => outcome,
    }
}

fn remove(path: &Path) -> io::Result<()> {
    let outcome = match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match outcome {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        outcome => outcome,
    }
}

/// Gives the owner all rights to every directory of the tree.
fn open_up(directory: &Path) -> io::Result<()> {
    let mut waiting = vec![directory.to_owned()];
    while let Some(directory) = waiting.pop() {
        if !fs::symlink_metadata(&directory)?.is_dir() {
            continue;
        }
        fs::set_permissions(&directory, fs::Permissions::from_mode(0o700))?;
        for entry in fs::read_dir(&directory)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                waiting.push(entry.path());
            }
        }
    }
    Ok(())
}
