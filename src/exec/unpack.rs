//! `.deb` → directory in the layout of a package's store path: `control/`, `data/`, `manifest`.
//!
//! The checks of names are in `debian::deb`. Here the kernel checks them once more: directories are opened
//! beneath `data/` without following a link (`openat2`), and what is made in them must be new.
//! On disk everything belongs to the builder, has time 1 and the manifest's permission bits, with the
//! owner's right to read (and to search directories) added so that the store can be read and removed.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};
use thiserror::Error;

use self::disk::Disk;
use super::files::FileError;
use crate::debian::deb::{DebError, Limits, read_deb};
use crate::store::Sha256Digest;
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
    /// The file is not the package: it was right when it was fetched, but is no longer.
    #[error(
        "{} is damaged: its digest is {found}, not {expected}; remove it, then it is fetched again",
        package.display()
    )]
    Damaged {
        /// The package's file.
        package: PathBuf,
        /// The digest of its bytes.
        found: Sha256Digest,
        /// The digest that it should have.
        expected: Sha256Digest,
    },
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

/// Unpacks the package `deb`, whose bytes have the digest `sha256`, into the empty directory `into`.
///
/// Nothing outside `into` is touched; nothing is synced to the disk.
///
/// # Errors
///
/// `into` then holds what was made before, which the caller removes.
pub fn unpack_deb(
    deb: &Path,
    sha256: &Sha256Digest,
    into: &Path,
    limits: &Limits,
) -> Result<Unpacked, UnpackError> {
    let file = File::open(deb).map_err(FileError::at("open", deb))?;
    let fail = |source| UnpackError::Package { package: deb.to_owned(), source: Box::new(source) };
    let mut disk = Disk::new(into)?;
    let mut input = Hashing { inner: file, hasher: Sha256::new() };
    let manifest = read_deb(BufReader::with_capacity(BUFFER_BYTES, &mut input), limits, &mut disk);
    // A wrong byte explains whatever else is wrong.
    let found = input.finish().map_err(FileError::at("read", deb))?;
    if found != *sha256 {
        return Err(UnpackError::Damaged { package: deb.to_owned(), found, expected: *sha256 });
    }
    disk.finish(manifest.map_err(fail)?).map_err(|error| fail(DebError::Sink(error)))
}

/// Bytes read from the disk at once.
const BUFFER_BYTES: usize = 128 << 10;

/// Digests all that is read through it.
struct Hashing {
    inner: File,
    hasher: Sha256,
}

impl Hashing {
    /// Reads what is left and gives the digest of everything.
    fn finish(mut self) -> io::Result<Sha256Digest> {
        io::copy(&mut self.inner, &mut self.hasher)?;
        Ok(Sha256Digest::from_bytes(self.hasher.finalize().into()))
    }
}

impl Read for Hashing {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.hasher.update(&buffer[..count]);
        Ok(count)
    }
}

#[cfg(test)]
mod tests;
