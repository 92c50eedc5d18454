//! What pins one package: enough to fetch it from any mirror and to know it is the same file.

use super::package::{Architecture, PackageName, PoolPath, SourceName};
use super::version::Version;
use crate::store::Sha256Digest;

/// One package file of an archive; ordered by name, then architecture.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PackageRecord {
    /// The package's name.
    pub name: PackageName,
    /// The architecture it was built for.
    pub architecture: Architecture,
    /// Its version.
    pub version: Version,
    /// The source that offers it.
    pub source: SourceName,
    /// The file, below the source's archive root.
    pub path: PoolPath,
    /// The file's digest.
    pub sha256: Sha256Digest,
    /// The file's size in bytes.
    pub size: u64,
}

/// The largest `.deb` that is accepted: 4 GiB; the largest of Debian 13 has 1.2 GiB.
pub const DEB_BYTES_MAX: u64 = 4 << 30;
