//! `.deb` → directory in the layout of a package's store path: `control/`, `data/`, `manifest`.
//!
//! The checks of names are in `debian::deb`. Here the kernel checks them once more: directories are opened
//! beneath `data/` without following a link (`openat2`), and what is made in them must be new.
//! On disk everything belongs to the builder, has time 1 and the manifest's permission bits, with the
//! owner's right to read (and to search directories) added so that the store can be read and removed.

use std::fs::File;
use std::path::{Path, PathBuf};

use thiserror::Error;

use self::disk::Disk;
use super::files::FileError;
use crate::debian::deb::{DebError, Limits, read_deb};
use crate::tree::Manifest;

mod disk;

/// What was made of a package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unpacked {
    /// Regular files, control files included; further names of hard-linked ones not.
    pub files: u64,
    /// Bytes of their contents.
    pub bytes: u64,
    /// What was written to `manifest`.
    pub manifest: Manifest,
}

/// A package that was not unpacked.
#[derive(Debug, Error)]
pub enum UnpackError {
    /// The package cannot be opened, or the directory not be used.
    #[error(transparent)]
    File(#[from] FileError),
    /// The directory has something in it.
    #[error("{} is not empty", .0.display())]
    NotEmpty(PathBuf),
    /// The package is refused, or the disk does not take it.
    #[error("cannot unpack {}", package.display())]
    Package {
        /// The package's file.
        package: PathBuf,
        /// What is wrong.
        #[source]
        source: Box<DebError<FileError>>,
    },
}

/// Unpacks the package `deb` into the empty directory `into`.
///
/// Nothing outside `into` is touched; nothing is synced to the disk.
///
/// # Errors
///
/// `into` then holds what was made before, which the caller removes.
pub fn unpack_deb(deb: &Path, into: &Path, limits: &Limits) -> Result<Unpacked, UnpackError> {
    let file = File::open(deb).map_err(FileError::at("open", deb))?;
    let fail = |source| UnpackError::Package { package: deb.to_owned(), source: Box::new(source) };
    let mut disk = Disk::new(into)?;
    let manifest = read_deb(file, limits, &mut disk).map_err(fail)?;
    disk.finish(manifest).map_err(|error| fail(DebError::Sink(error)))
}

#[cfg(test)]
mod tests;
