//! The `.deb` files of a lock: from the cache, a mirror, or the snapshot archive.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::engine::Debs;
use super::fetch::{FetchError, Fetcher, Wanted};
use crate::debian::lock::Lock;
use crate::debian::record::PackageRecord;
use crate::debian::source::Source;
use crate::lower::sources::package_urls;
use crate::store::Sha256Digest;

/// Gets what a lock pins.
#[expect(missing_debug_implementations, reason = "a fetcher has nothing to show")]
pub struct LockedDebs<'a> {
    fetcher: &'a Fetcher<'a>,
    lock: &'a Lock,
    sources: &'a [Source],
}

impl<'a> LockedDebs<'a> {
    /// Packages and tools of `lock`, from `sources`.
    pub fn new(fetcher: &'a Fetcher<'a>, lock: &'a Lock, sources: &'a [Source]) -> Self {
        Self { fetcher, lock, sources }
    }

    fn records(&self) -> impl Iterator<Item = &'a PackageRecord> {
        self.lock.packages.iter().chain(self.lock.tools.iter().map(|tool| &tool.package))
    }
}

impl Debs for LockedDebs<'_> {
    fn files(
        &self,
        digests: &[Sha256Digest],
    ) -> Result<BTreeMap<Sha256Digest, PathBuf>, FetchError> {
        let by_digest: BTreeMap<Sha256Digest, &PackageRecord> =
            self.records().map(|record| (record.sha256, record)).collect();
        let mut wanted = Vec::new();
        for digest in digests {
            let record = by_digest.get(digest).expect("the graph is made from this lock");
            wanted.push(Wanted {
                urls: package_urls(record, self.lock, self.sources, self.fetcher.snapshots())?,
                sha256: *digest,
                size: record.size,
                label: format!("{} {}", record.name, record.version),
            });
        }
        self.fetcher.files(&wanted)
    }
}
