//! One change at a time: a lock file whose text says who holds it.

use std::fs::File;
use std::io::{Read as _, Seek as _, Write as _};
use std::path::PathBuf;
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
    /// Who holds the lock, in his own words; `None` when nobody does.
    pub fn holder(places: &Places, what: Locked) -> Option<String> {
        match Self::try_once(places, what) {
            Ok(()) | Err(None) => None,
            Err(Some(holder)) => Some(holder),
        }
    }

    /// `Err(None)` when it cannot be tried.
    fn try_once(places: &Places, what: Locked) -> Result<(), Option<String>> {
        let file = File::open(path(places, what)).map_err(|_| None)?;
        match flock(&file, FlockOperation::NonBlockingLockShared) {
            Ok(()) => Ok(()),
            Err(_) => Err(Some(read_holder(&file))),
        }
    }

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
        let path = path(places, what);
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
                return Err(AgentError::Busy { holder: read_holder(&file) });
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

fn path(places: &Places, what: Locked) -> PathBuf {
    let name = match what {
        Locked::Host => "lock",
        Locked::Store => "store.lock",
    };
    places.run().join(name)
}

fn read_holder(file: &File) -> String {
    let mut holder = String::new();
    // Without the text the fact has to do.
    let _unread = file.take(HOLDER_BYTES_MAX).read_to_string(&mut holder);
    holder.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_held_by_one_and_says_by_whom() {
        let directory = tempfile::tempdir().unwrap();
        let places = Places::below(directory.path());
        assert_eq!(Lock::holder(&places, Locked::Host), None);
        let first = Lock::take(&places, Locked::Host, "the first", Duration::ZERO).unwrap();
        assert_eq!(Lock::holder(&places, Locked::Host).as_deref(), Some("the first"));
        let error = Lock::take(&places, Locked::Host, "x", Duration::from_millis(60)).unwrap_err();
        assert_eq!(error.to_string(), "the host is being changed: the first");
        Lock::take(&places, Locked::Store, "another lock", Duration::ZERO).unwrap();
        drop(first);
        assert_eq!(Lock::holder(&places, Locked::Host), None);
        Lock::take(&places, Locked::Host, "the second", Duration::ZERO).unwrap();
    }
}
