//! Which package indexes of a suite to fetch, from where, and their decompression.
//!
//! Source: Debian wiki, `DebianRepository/Format`, sections "Packages Indices" and "indices
//! acquisition via hashsums (by-hash)"; apt's `debmetaindex.cc` for architecture `all`.

use std::io::Read;

use thiserror::Error;

use super::release::{ListedFile, Release};
use crate::store::Sha256Digest;

/// The largest index taken, unpacked; trixie's has 57 MB.
const UNPACKED_BYTES_MAX: u64 = 1 << 30;
/// Memory that the xz decoder may use; `xz -9` needs 65 MiB.
const XZ_MEMORY_BYTES_MAX: u64 = 256 << 20;

/// A package index to fetch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexFile {
    /// The component, such as `main`; empty for a flat repository.
    pub component: String,
    /// The architecture that the index is of, such as `amd64`.
    pub architecture: String,
    /// Below the suite's directory, such as `main/binary-amd64/Packages.xz`.
    pub path: String,
    /// The same file by its digest, when the suite offers that; does not change between two fetches.
    pub by_hash_path: Option<String>,
    /// How it is packed.
    pub packing: Packing,
    /// Of the packed file.
    pub sha256: Sha256Digest,
    /// Of the packed file.
    pub size_bytes: u64,
    /// Of the unpacked file, when the suite tells.
    pub unpacked_bytes: Option<u64>,
}

/// How an index is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packing {
    /// `.xz`
    Xz,
    /// `.gz`
    Gzip,
    /// Not at all.
    Plain,
}

/// Indexes that the suite does not have.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum IndexError {
    /// No such component.
    #[error("there is no component `{component}`; there are {}", .known.join(", "))]
    NoComponent {
        /// What was asked for.
        component: String,
        /// What there is.
        known: Vec<String>,
    },
    /// No such architecture.
    #[error("there are no packages for architecture `{architecture}`")]
    NoArchitecture {
        /// What was asked for.
        architecture: String,
    },
    /// Neither packed nor plain.
    #[error("the Release file lists no `{path}`, packed or not")]
    NoIndex {
        /// The path without suffix.
        path: String,
    },
}

/// A packed index that does not unpack.
#[derive(Debug, Error)]
pub enum UnpackIndexError {
    /// The packing is broken.
    #[error("the index does not unpack")]
    Broken(#[source] std::io::Error),
    /// A bomb, or an index that does not belong to the Release file.
    #[error("the index unpacks to more than the {limit_bytes} bytes that were announced")]
    TooLarge {
        /// The limit.
        limit_bytes: u64,
    },
}

impl Packing {
    const PREFERRED: [Packing; 3] = [Packing::Xz, Packing::Gzip, Packing::Plain];

    fn suffix(self) -> &'static str {
        match self {
            Packing::Xz => ".xz",
            Packing::Gzip => ".gz",
            Packing::Plain => "",
        }
    }
}

/// The package indexes of a suite for `architecture`, in the order of `components`.
///
/// `components` is empty for a flat repository. Packages of architecture `all` come from their own
/// index when the suite keeps them apart.
///
/// # Errors
///
/// Something asked for is not in the suite.
pub fn package_indexes(
    release: &Release,
    components: &[String],
    architecture: &str,
) -> Result<Vec<IndexFile>, IndexError> {
    if components.is_empty() {
        return Ok(vec![index_at(release, "Packages", "", architecture)?]);
    }
    if !release.architectures.is_empty() && !release.architectures.contains(architecture) {
        return Err(IndexError::NoArchitecture { architecture: architecture.to_owned() });
    }
    let all_apart = release.architectures.contains("all") && !release.lists_all_everywhere;
    let mut indexes = Vec::new();
    for component in components {
        check_component(release, component)?;
        let path = format!("{component}/binary-{architecture}/Packages");
        indexes.push(index_at(release, &path, component, architecture)?);
        let path = format!("{component}/binary-all/Packages");
        if all_apart && let Ok(index) = index_at(release, &path, component, "all") {
            indexes.push(index);
        }
    }
    Ok(indexes)
}

/// A security archive calls its components `updates/main`, and keeps them under `main`.
fn check_component(release: &Release, component: &str) -> Result<(), IndexError> {
    let last = |known: &String| known.rsplit('/').next().unwrap_or("").to_owned();
    let known: Vec<String> = release.components.iter().map(last).collect();
    let is_known = known.is_empty()
        || known.iter().any(|name| name == component)
        || release.components.iter().any(|name| name == component);
    let fail = || IndexError::NoComponent { component: component.to_owned(), known };
    if is_known { Ok(()) } else { Err(fail()) }
}

fn index_at(
    release: &Release,
    plain_path: &str,
    component: &str,
    architecture: &str,
) -> Result<IndexFile, IndexError> {
    let listed = |packing: Packing| {
        let path = format!("{plain_path}{}", packing.suffix());
        release.files.get(&path).map(|file| (packing, path, *file))
    };
    let (packing, path, file) = Packing::PREFERRED
        .into_iter()
        .find_map(listed)
        .ok_or_else(|| IndexError::NoIndex { path: plain_path.to_owned() })?;
    Ok(IndexFile {
        component: component.to_owned(),
        architecture: architecture.to_owned(),
        by_hash_path: release.acquire_by_hash.then(|| by_hash_path(&path, &file)),
        path,
        packing,
        sha256: file.sha256,
        size_bytes: file.size_bytes,
        unpacked_bytes: release.files.get(plain_path).map(|file| file.size_bytes),
    })
}

fn by_hash_path(path: &str, file: &ListedFile) -> String {
    let directory = path.rsplit_once('/').map(|(directory, _)| format!("{directory}/"));
    format!("{}by-hash/SHA256/{}", directory.unwrap_or_default(), file.sha256)
}

/// Unpacks the bytes of `index`, which must have its digest.
///
/// # Errors
///
/// [`UnpackIndexError::TooLarge`] beyond the announced length, or 1 GiB when none is announced.
pub fn unpack_index(index: &IndexFile, packed: &[u8]) -> Result<Vec<u8>, UnpackIndexError> {
    let limit_bytes = index.unpacked_bytes.unwrap_or(UNPACKED_BYTES_MAX).min(UNPACKED_BYTES_MAX);
    match index.packing {
        Packing::Plain => Ok(packed.to_vec()),
        Packing::Gzip => read_at_most(flate2::read::MultiGzDecoder::new(packed), limit_bytes),
        Packing::Xz => {
            let flags = liblzma::stream::CONCATENATED;
            let stream = liblzma::stream::Stream::new_stream_decoder(XZ_MEMORY_BYTES_MAX, flags)
                .map_err(|error| UnpackIndexError::Broken(error.into()))?;
            read_at_most(liblzma::bufread::XzDecoder::new_stream(packed, stream), limit_bytes)
        }
    }
}

fn read_at_most(reader: impl Read, limit_bytes: u64) -> Result<Vec<u8>, UnpackIndexError> {
    let mut bytes = Vec::new();
    let capacity = limit_bytes.min(UNPACKED_BYTES_MAX / 8);
    bytes.reserve(usize::try_from(capacity).unwrap_or(0));
    let mut limited = reader.take(limit_bytes.saturating_add(1));
    limited.read_to_end(&mut bytes).map_err(UnpackIndexError::Broken)?;
    if bytes.len() as u64 > limit_bytes {
        return Err(UnpackIndexError::TooLarge { limit_bytes });
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests;
