//! Where the packages of a lock may be fetched.

use std::collections::BTreeMap;

use thiserror::Error;

use crate::debian::lock::{Lock, Timestamp};
use crate::debian::record::PackageRecord;
use crate::debian::source::Source;
use crate::debian::url::{Url, UrlError};

/// A lock that names a source which the host's files do not have.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PackageUrlError {
    /// The source has gone from the host's files.
    #[error("package {package} comes from `{source_name}`, which is not a source of this host")]
    NoSource {
        /// The package.
        package: String,
        /// The name in the lock.
        source_name: String,
    },
    /// The path leaves the archive.
    #[error("package {package} has no usable address")]
    Url {
        /// The package.
        package: String,
        /// Why.
        #[source]
        source: UrlError,
    },
}

/// Addresses of `package`, best first: mirrors, then the snapshot archive as of the lock's date.
pub fn package_urls(
    package: &PackageRecord,
    lock: &Lock,
    sources: &[Source],
    snapshots: &Url,
) -> Result<Vec<Url>, PackageUrlError> {
    let dates: BTreeMap<&str, Timestamp> =
        lock.sources.iter().map(|source| (source.name.as_str(), source.date)).collect();
    let name = package.name.to_string();
    let wanted = package.source.as_str();
    let lost =
        || PackageUrlError::NoSource { package: name.clone(), source_name: wanted.to_owned() };
    let source = sources.iter().find(|source| source.name == wanted).ok_or_else(lost)?;
    let date = dates.get(wanted).map(|date| date.seconds()).ok_or_else(lost)?;
    source
        .package_urls(package.path.as_str(), date, snapshots)
        .map_err(|source| PackageUrlError::Url { package: name, source })
}
