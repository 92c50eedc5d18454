//! One change at a time: a lock file whose text says who holds it.

use std::fs::File;
use std::io::{Read as _, Seek as _, Write as _};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};

use super::error::AgentError;
use super::places::Places;
use crate::exec::files::FileError;

/// How often a lock that is waited for is tried.
const LOOK: Duration = Duration::from_millis(50);
/// Most bytes of a holder's text.
const HOLDER_BYTES_MAX: u64 = 400;

/// What is locked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Locked {
    /// What runs, and the history.
    Host,
    /// What arrives, and the store's registration.
    Store,
}

/// A lock; it ends with the value, or with the process.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock for `holder`, waiting at most `within`.
    ///
    /// # Errors
    ///
    /// [`AgentError::Busy`] with the holder's own words.
    pub fn take(
        places: &Places,
        what: Locked,
        holder: &str,
        within: Duration,
    ) -> Result<Self, AgentError> {
        let directory = places.run();
        std::fs::create_dir_all(&directory).map_err(FileError::at("create", &directory))?;
        let name = match what {
            Locked::Host => "lock",
            Locked::Store => "store.lock",
        };
        let path = directory.join(name);
        let mut file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(FileError::at("open", &path))?;
        let deadline = Instant::now() + within;
        while flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
            if Instant::now() >= deadline {
                let mut holder = String::new();
                // Without the text the fact has to do.
                let _unread = (&file).take(HOLDER_BYTES_MAX).read_to_string(&mut holder);
                return Err(AgentError::Busy { holder: holder.trim().to_owned() });
            }
            std::thread::sleep(LOOK);
        }
        file.set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| file.write_all(holder.as_bytes()))
            .map_err(FileError::at("write", &path))?;
        Ok(Self { _file: file })
    }
}
