//! Fetches files and package indexes: parallel, resumed, verified, into a cache that all hosts share.
//!
//! * A file is known by SHA-256 and size before it is fetched; its bytes are hashed as they come, and
//!   no more bytes are read than the size. A wrong file is refused, and never gets a name in the cache.
//! * What came before a failure is kept as a part and continued by `Range`, also by a later run.
//! * Another try follows only a failure that may pass (silence, a broken connection, the server's own
//!   trouble), each wait twice the one before, or as long as the server asks for.
//! * Each address is tried in order: mirrors first, then the snapshot archive.
//! * A Release file is used only when its signature, name and dates are right; see
//!   [`crate::debian::signature`]. An older one than the last seen is not taken in its place.
//!
//! The layout of the cache is described in `fetch/cache.rs`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use thiserror::Error;

use crate::debian::source::SNAPSHOT_BASE;
use crate::debian::url::{Url, UrlError};
use crate::exec::environment::Environment;
use crate::exec::files::{FileError, read_limited};
use crate::exec::interrupt::Interrupt;
use crate::exec::progress::{Progress, Task, Unit};
use crate::store::Sha256Digest;

mod cache;
mod client;
mod error;
mod mirrors;
mod proxy;
mod suites;
mod transfer;

pub use error::{FetchError, TransferError, TransferFailure};
pub use mirrors::{MIRROR_VARIABLE, MirrorError, mirrors, mirrors_beside_apt};
pub use proxy::{Proxies, ProxyError};
pub use suites::{ArchiveError, ArchiveFault, Index, VerifiedRelease};

use cache::{Cache, Claim};
use client::Client;
use transfer::Line;

/// The variable that names a mirror of the snapshot archive.
pub const SNAPSHOT_VARIABLE: &str = "NEXUS_HOST_SNAPSHOT";
/// The largest file of root certificates read.
const CERTIFICATES_BYTES_MAX: u64 = 16 << 20;

/// How to fetch.
#[derive(Debug, Clone)]
pub struct FetchOptions {
    /// How many files at once.
    pub parallel: usize,
    /// Use what is in the cache and nothing else.
    pub offline: bool,
    /// Which proxies to use.
    pub proxies: Proxies,
    /// Root certificates in PEM to trust instead of Mozilla's; empty for those.
    pub root_certificates: Vec<u8>,
    /// How long to wait for a name's address, and for a connection.
    pub connect_timeout: Duration,
    /// How long a server may say nothing.
    pub stall_timeout: Duration,
    /// The wait before the second try; doubled for each further one.
    pub first_delay: Duration,
    /// The archive of everything that Debian's archives ever held.
    pub snapshots: Url,
}

/// An environment that names something we cannot use.
#[derive(Debug, Error)]
pub enum FetchOptionsError {
    /// A proxy.
    #[error("the environment names a proxy that cannot be used")]
    Proxy(#[from] ProxyError),
    /// Root certificates.
    #[error("the root certificates that SSL_CERT_FILE names cannot be read")]
    Certificates(#[source] FileError),
    /// The snapshot archive.
    #[error("variable {SNAPSHOT_VARIABLE} does not name an archive")]
    Snapshots(#[source] UrlError),
}

/// A file to fetch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Where it may be, best first.
    pub urls: Vec<Url>,
    /// Its digest.
    pub sha256: Sha256Digest,
    /// Its length in bytes.
    pub size: u64,
    /// What users call it.
    pub label: String,
}

/// Fetches into one cache; may be used by many threads.
pub struct Fetcher<'a> {
    cache: Cache,
    client: Client,
    options: FetchOptions,
    progress: &'a dyn Progress,
    interrupt: &'a Interrupt,
}

impl Default for FetchOptions {
    fn default() -> Self {
        Self {
            parallel: 6,
            offline: false,
            proxies: Proxies::default(),
            root_certificates: Vec::new(),
            connect_timeout: Duration::from_secs(15),
            stall_timeout: Duration::from_secs(30),
            first_delay: Duration::from_millis(500),
            snapshots: SNAPSHOT_BASE.parse().expect("the constant is an address"),
        }
    }
}

impl FetchOptions {
    /// The same options with what the environment says of proxies, root certificates
    /// (`SSL_CERT_FILE`) and the snapshot archive ([`SNAPSHOT_VARIABLE`]).
    ///
    /// # Errors
    ///
    /// Something that the environment names cannot be used.
    pub fn with_environment(self, environment: &Environment) -> Result<Self, FetchOptionsError> {
        let root_certificates = match environment.variable("SSL_CERT_FILE") {
            Some(path) => read_limited(Path::new(path), CERTIFICATES_BYTES_MAX)
                .map_err(FetchOptionsError::Certificates)?,
            None => self.root_certificates,
        };
        let snapshots = match environment.text(SNAPSHOT_VARIABLE) {
            Some(text) => text.parse().map_err(FetchOptionsError::Snapshots)?,
            None => self.snapshots,
        };
        let proxies = Proxies::of_environment(environment)?;
        Ok(Self { proxies, root_certificates, snapshots, ..self })
    }
}

impl<'a> Fetcher<'a> {
    /// A fetcher that keeps what it fetches below `cache_directory`, which is made if absent.
    ///
    /// # Errors
    ///
    /// The cache cannot be made.
    pub fn new(
        cache_directory: &Path,
        progress: &'a dyn Progress,
        interrupt: &'a Interrupt,
        options: FetchOptions,
    ) -> Result<Self, FetchError> {
        let cache = Cache::new(cache_directory)?;
        Ok(Self { cache, client: Client::new(&options), options, progress, interrupt })
    }

    /// Gives the local path of each wanted file, fetching what the cache lacks.
    ///
    /// A file of the cache is trusted by its name and length; [`Fetcher::verify`] reads it.
    ///
    /// # Errors
    ///
    /// The failure of the first file, in the order given; the files that came are kept.
    pub fn files(&self, wanted: &[Wanted]) -> Result<BTreeMap<Sha256Digest, PathBuf>, FetchError> {
        let mut paths = BTreeMap::new();
        let mut missing: BTreeMap<Sha256Digest, (usize, &Wanted)> = BTreeMap::new();
        for (index, file) in wanted.iter().enumerate() {
            match self.cache.find(&file.sha256, file.size) {
                Some(path) => _ = paths.insert(file.sha256, path),
                None => _ = missing.entry(file.sha256).or_insert((index, file)),
            }
        }
        let mut missing: Vec<(usize, &Wanted)> = missing.into_values().collect();
        missing.sort_by_key(|(index, _)| *index);
        let Some((_, first)) = missing.first() else { return Ok(paths) };
        if self.options.offline {
            let (label, others) = (first.label.clone(), missing.len() - 1);
            return Err(FetchError::Offline { label, others });
        }
        // The largest first, so that the last ones to end are small.
        missing.sort_by_key(|(index, file)| (std::cmp::Reverse(file.size), *index));
        paths.extend(self.client.watched(self.interrupt, || self.fetch_all(&missing))?);
        Ok(paths)
    }

    /// The archive of everything that Debian's archives ever held.
    pub fn snapshots(&self) -> &Url {
        &self.options.snapshots
    }

    /// Whether the cache's file with this digest has its bytes; removes it if not.
    ///
    /// # Errors
    ///
    /// It cannot be read or removed.
    pub fn verify(&self, sha256: &Sha256Digest, size_bytes: u64) -> Result<bool, FetchError> {
        let Some(path) = self.cache.find(sha256, size_bytes) else { return Ok(false) };
        let is_intact = self.cache.is_intact(&path, sha256)?;
        if !is_intact {
            self.cache.forget(sha256)?;
        }
        Ok(is_intact)
    }

    fn fetch_all(
        &self,
        missing: &[(usize, &Wanted)],
    ) -> Result<Vec<(Sha256Digest, PathBuf)>, FetchError> {
        let total = missing.iter().map(|(_, file)| file.size).fold(0, u64::saturating_add);
        let task = self.progress.begin("fetching", Unit::Bytes, Some(total));
        let line = self.line();
        let (next, has_failed) = (AtomicUsize::new(0), AtomicBool::new(false));
        let fetched = Mutex::new(Vec::new());
        let failures: Mutex<BTreeMap<usize, FetchError>> = Mutex::new(BTreeMap::new());
        let work = || {
            while !has_failed.load(Ordering::Relaxed) {
                let turn = next.fetch_add(1, Ordering::Relaxed);
                let Some((index, file)) = missing.get(turn) else { return };
                match fetch_one(&line, file, task.as_ref()) {
                    Ok(path) => lock(&fetched).push((file.sha256, path)),
                    Err(error) => {
                        has_failed.store(true, Ordering::Relaxed);
                        lock(&failures).insert(*index, error);
                    }
                }
            }
        };
        std::thread::scope(|scope| {
            for _ in 1..self.options.parallel.min(missing.len()) {
                scope.spawn(work);
            }
            work();
        });
        let mut failures = lock(&failures);
        match failures.pop_first() {
            Some((_, error)) => Err(error),
            None => Ok(std::mem::take(&mut *lock(&fetched))),
        }
    }

    fn line(&self) -> Line<'_> {
        Line {
            client: &self.client,
            cache: &self.cache,
            options: &self.options,
            progress: self.progress,
            interrupt: self.interrupt,
            dead_hosts: Mutex::new(BTreeMap::new()),
        }
    }
}

impl std::fmt::Debug for Fetcher<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fetcher").field("cache", &self.cache).finish_non_exhaustive()
    }
}

fn fetch_one(line: &Line<'_>, wanted: &Wanted, task: &dyn Task) -> Result<PathBuf, FetchError> {
    let label = &wanted.label;
    let on_wait = || line.progress.note(&format!("{label}: waiting for another process"));
    let claim = line.cache.claim(&wanted.sha256, wanted.size, line.interrupt, on_wait)?;
    match claim {
        Claim::Whole(path) => {
            task.advance(wanted.size);
            Ok(path)
        }
        Claim::Ours(mut part) => {
            task.at(label);
            line.fill(wanted, &mut part, task)?;
            line.cache.commit(part)
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().expect("no thread panics while it holds this lock")
}

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
