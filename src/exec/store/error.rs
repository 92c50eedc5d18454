//! What can go wrong with the store on disk.

use std::path::PathBuf;

use thiserror::Error;

use crate::exec::files::FileError;
use crate::exec::interrupt::Interrupted;
use crate::store::StorePath;
use crate::store::nar::NarError;

/// The store could not do what was asked; nothing half-done is valid afterwards.
#[derive(Debug, Error)]
pub enum StoreError {
    /// The file system said no.
    #[error(transparent)]
    File(#[from] FileError),
    /// `SQLite` said no.
    #[error("cannot {action} the store's registry {}", path.display())]
    Registry {
        /// What was tried, such as `read`.
        action: &'static str,
        /// The database.
        path: PathBuf,
        /// What `SQLite` said.
        #[source]
        source: rusqlite::Error,
    },
    /// The registry was written by a program that we do not know.
    #[error("the registry {} has schema {found}, not {expected}", path.display())]
    Schema {
        /// The database or its `schema` file.
        path: PathBuf,
        /// What it says, cut to 80 characters.
        found: String,
        /// What we can read.
        expected: u32,
    },
    /// The registry holds text that cannot be there.
    #[error("the registry {} holds `{text}`, which is no {kind}", path.display())]
    RegistryText {
        /// The database.
        path: PathBuf,
        /// What it should have been.
        kind: &'static str,
        /// What was found.
        text: String,
    },
    /// A device, socket or named pipe in a tree to be stored.
    #[error("{} is neither a file, a directory nor a symbolic link", path.display())]
    Kind {
        /// Where it lies.
        path: PathBuf,
    },
    /// A file had another size at its end than at its beginning.
    #[error("{} changed while it was read", path.display())]
    Unsteady {
        /// The file.
        path: PathBuf,
    },
    /// A tree that is no NAR, such as one nested too deep, or a stream that could not take it.
    #[error("cannot write {} as a NAR", path.display())]
    Nar {
        /// The part of the tree at which it stopped.
        path: PathBuf,
        /// What the encoder said.
        #[source]
        source: nix_archive::nar::Error,
    },
    /// A NAR that was given for import.
    #[error("cannot import {path}")]
    Import {
        /// The path it should have been.
        path: StorePath,
        /// What is wrong with it.
        #[source]
        source: NarError,
    },
    /// Contents that do not belong to the name they were given for.
    #[error("the contents given for {expected} are those of {found}")]
    Foreign {
        /// The path they should have been.
        expected: StorePath,
        /// The path that they have.
        found: StorePath,
    },
    /// A path that is not in the store, where it must be.
    #[error("{path} is not valid in this store")]
    NotValid {
        /// The path.
        path: StorePath,
    },
    /// Someone has held a lock for longer than any work under it takes.
    #[error("{} has been locked by another process for {seconds} s", path.display())]
    Locked {
        /// The lock file.
        path: PathBuf,
        /// How long we waited.
        seconds: u64,
    },
    /// Garbage cannot be collected while others build.
    #[error("another process uses the store {}", root.display())]
    InUse {
        /// The store.
        root: PathBuf,
    },
    /// A name for a root that is no plain file name.
    #[error("`{name}` is not a name for a root (1 to 200 of `A-Za-z0-9._-`, not a dot first)")]
    RootName {
        /// The name found, cut to 250 characters.
        name: String,
    },
    /// The user has asked to stop.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
}

impl StoreError {
    /// Whether the disk or the quota is full.
    pub fn is_disk_full(&self) -> bool {
        let full = |error: &std::io::Error| {
            matches!(
                error.kind(),
                std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded
            )
        };
        match self {
            Self::File(error) => error.is_disk_full(),
            Self::Registry { source, .. } => {
                source.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull)
            }
            Self::Nar { source: nix_archive::nar::Error::Io(error), .. }
            | Self::Import { source: NarError::Io(error), .. } => full(error),
            _ => false,
        }
    }
}
