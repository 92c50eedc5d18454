//! Locks between processes (and threads: each holds a file of its own).

use std::fs::File;
use std::path::Path;
use std::time::Duration;

use rustix::fs::FlockOperation;

use super::StoreError;
use crate::exec::files::FileError;

/// What is done under a lock takes milliseconds; after this long its holder must be stuck.
const WAIT_SECONDS: u64 = 120;
/// How often a taken lock is tried again.
const RETRY: Duration = Duration::from_millis(5);

/// A held lock; dropping it lets go, and so does the end of the process.
#[derive(Debug)]
pub(super) struct Lock(File);

impl Lock {
    /// Waits until nobody else holds `path`.
    pub(super) fn exclusive(path: &Path) -> Result<Self, StoreError> {
        Self::wait(path, FlockOperation::NonBlockingLockExclusive)
    }

    /// Waits until nobody holds `path` exclusively.
    pub(super) fn shared(path: &Path) -> Result<Self, StoreError> {
        Self::wait(path, FlockOperation::NonBlockingLockShared)
    }

    /// Takes the lock of an open file or directory, or answers `None` when another holds it.
    pub(super) fn try_exclusive(file: File, path: &Path) -> Result<Option<Self>, StoreError> {
        let taken = try_lock(&file, FlockOperation::NonBlockingLockExclusive, path)?;
        Ok(taken.then_some(Self(file)))
    }

    /// Turns a shared lock into an exclusive one; `false`, and still shared, when others hold it.
    pub(super) fn try_upgrade(&self, path: &Path) -> Result<bool, StoreError> {
        let upgraded = try_lock(&self.0, FlockOperation::NonBlockingLockExclusive, path)?;
        if !upgraded {
            // A failed change may lose the lock that was held, says flock(2).
            self.downgrade(path)?;
        }
        Ok(upgraded)
    }

    /// Shares the lock again.
    pub(super) fn downgrade(&self, path: &Path) -> Result<(), StoreError> {
        rustix::fs::flock(&self.0, FlockOperation::LockShared)
            .map_err(|errno| FileError::at("lock", path)(errno.into()).into())
    }

    fn wait(path: &Path, how: FlockOperation) -> Result<Self, StoreError> {
        let file = File::options().create(true).truncate(false).write(true).open(path);
        let file = file.map_err(FileError::at("open", path))?;
        let tries = Duration::from_secs(WAIT_SECONDS).as_millis() / RETRY.as_millis();
        for _ in 0..tries {
            if try_lock(&file, how, path)? {
                return Ok(Self(file));
            }
            std::thread::sleep(RETRY);
        }
        Err(StoreError::Locked { path: path.to_owned(), seconds: WAIT_SECONDS })
    }
}

fn try_lock(file: &File, how: FlockOperation, path: &Path) -> Result<bool, StoreError> {
    match rustix::fs::flock(file, how) {
        Ok(()) => Ok(true),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(false),
        Err(errno) => Err(FileError::at("lock", path)(errno.into()).into()),
    }
}
