//! Suites: verified Release files and the package indexes that they vouch for.
//!
//! The last good Release of each suite is kept in the cache in one file, so that no reader can see
//! text and signature of two of them:
//!
//! ```text
//! nexus-host release 1\n
//! <length of the text> <length of the signature>\n
//! text     InRelease, or Release
//! signature    nothing, or Release.gpg
//! ```
//!
//! It is verified again at each use.

use rayon::prelude::*;
use thiserror::Error;

use super::error::FetchError;
use super::{Fetcher, Wanted};
use crate::debian::index_file::{
    IndexError, IndexFile, UnpackIndexError, package_indexes, unpack_index,
};
use crate::debian::release::{ParseReleaseError, Release, ReleaseTimeError};
use crate::debian::signature::{
    RELEASE_BYTES_MAX, SIGNATURE_BYTES_MAX, SignatureError, Verified, verify_detached,
    verify_inline,
};
use crate::debian::source::Source;
use crate::debian::url::{Url, UrlError};
use crate::exec::files::{FileError, read_limited, write_atomic};
use crate::store::Sha256Digest;

/// First line of a kept Release.
const MAGIC: &str = "nexus-host release 1\n";
/// The longest head of a kept Release.
const HEAD_BYTES_MAX: u64 = 100;

/// A suite whose Release file was verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedRelease {
    /// Where it came from.
    pub source: Source,
    /// What it says.
    pub release: Release,
    /// Fingerprints of the keys whose signatures passed.
    pub signers: Vec<String>,
}

/// A package index, unpacked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Index {
    /// The name of its source.
    pub source: String,
    /// Its component; empty for a flat repository.
    pub component: String,
    /// Its architecture.
    pub architecture: String,
    /// The stanzas.
    pub text: Vec<u8>,
}

/// A source that cannot be used.
#[derive(Debug, Error)]
#[error("source {source_name} cannot be used")]
pub struct ArchiveError {
    /// Its name.
    pub source_name: String,
    /// Why.
    #[source]
    pub fault: ArchiveFault,
}

/// Why a source cannot be used.
#[derive(Debug, Error)]
pub enum ArchiveFault {
    /// Something could not be fetched.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// There is no Release file.
    #[error("there is neither InRelease nor Release at {url}")]
    Absent {
        /// Where it was looked for.
        url: Url,
    },
    /// Never fetched, and the network must not be used.
    #[error("its Release file is not in the cache, and the network must not be used")]
    NotCached,
    /// Not validly signed.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// Malformed.
    #[error(transparent)]
    Parse(#[from] ParseReleaseError),
    /// Not of this time.
    #[error(transparent)]
    Time(#[from] ReleaseTimeError),
    /// Another suite's file in its place.
    #[error("the Release file is that of {found}, not of {expected}")]
    WrongSuite {
        /// The suite asked for.
        expected: String,
        /// The suite that the file names.
        found: String,
    },
    /// It lacks an index.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// An index does not unpack.
    #[error("{path} cannot be unpacked")]
    Unpack {
        /// The index.
        path: String,
        /// Why.
        #[source]
        source: UnpackIndexError,
    },
    /// A path that leaves the source.
    #[error(transparent)]
    Path(#[from] UrlError),
    /// A file of the cache cannot be read.
    #[error("a fetched index cannot be read")]
    Read(#[source] FileError),
}

/// A Release file as it was fetched.
struct Signed {
    text: Vec<u8>,
    /// Empty when it is in the text.
    signature: Vec<u8>,
}

impl Fetcher<'_> {
    /// Fetches and verifies the Release file of a suite at `now`, seconds since 1970.
    ///
    /// Looks for `InRelease`, else for `Release` with `Release.gpg`. Offline, the last good one is
    /// verified again. When a mirror serves an older one than that, the newer one is kept.
    ///
    /// # Errors
    ///
    /// Why the suite must not be used.
    pub fn release(&self, source: &Source, now: u64) -> Result<VerifiedRelease, ArchiveError> {
        self.find_release(source, now)
            .map_err(|fault| ArchiveError { source_name: source.name.clone(), fault })
    }

    /// [`Fetcher::release`] for several suites at once; the results are in their order.
    ///
    /// # Errors
    ///
    /// The failure of the first suite that has one.
    pub fn releases(
        &self,
        sources: &[Source],
        now: u64,
    ) -> Result<Vec<VerifiedRelease>, ArchiveError> {
        let results: Vec<_> = std::thread::scope(|scope| {
            let start = |source| scope.spawn(move || self.release(source, now));
            let threads: Vec<_> = sources.iter().map(start).collect();
            let join = |thread: std::thread::ScopedJoinHandle<'_, _>| {
                thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            };
            threads.into_iter().map(join).collect()
        });
        results.into_iter().collect()
    }

    /// The package indexes of `releases` for `architecture`, unpacked, in their order.
    ///
    /// Each is fetched by its digest where the suite offers that, else by its name.
    ///
    /// # Errors
    ///
    /// The first suite that lacks one, or the first index that cannot be fetched or unpacked.
    pub fn indexes(
        &self,
        releases: &[VerifiedRelease],
        architecture: &str,
    ) -> Result<Vec<Index>, ArchiveError> {
        let mut files: Vec<(&Source, IndexFile)> = Vec::new();
        let mut wanted = Vec::new();
        for verified in releases {
            let source = &verified.source;
            let fail = |fault| ArchiveError { source_name: source.name.clone(), fault };
            let components = source.suite.components();
            let indexes = package_indexes(&verified.release, components, architecture)
                .map_err(|error| fail(error.into()))?;
            for index in indexes {
                wanted.extend(wanted_index(source, &index).map_err(|error| fail(error.into()))?);
                files.push((source, index));
            }
        }
        let paths = self.files(&wanted).map_err(|error| {
            let source_name = source_of(&error, &files);
            ArchiveError { source_name, fault: error.into() }
        })?;
        let unpack = |(source, file): (&Source, IndexFile)| {
            let path = paths.get(&file.sha256).map(std::path::PathBuf::as_path);
            let fail = |fault| ArchiveError { source_name: source.name.clone(), fault };
            let text = read_and_unpack(path, &file).map_err(fail)?;
            let (component, architecture) = (file.component, file.architecture);
            Ok(Index { source: source.name.clone(), component, architecture, text })
        };
        files.into_par_iter().map(unpack).collect()
    }

    fn find_release(&self, source: &Source, now: u64) -> Result<VerifiedRelease, ArchiveFault> {
        let kept = self.kept_release(source);
        if self.options.offline {
            let kept = kept.ok_or(ArchiveFault::NotCached)?;
            return check(source, &kept, now);
        }
        let fetched = self.client.watched(self.interrupt, || self.fetch_release(source))?;
        let verified = check(source, &fetched, now)?;
        let newer = kept.and_then(|kept| check(source, &kept, now).ok());
        if let Some(newer) =
            newer.filter(|kept| kept.release.date_seconds > verified.release.date_seconds)
        {
            self.progress.note(&format!(
                "{}: the mirror serves an older Release file than the last one; keeping that",
                source.name
            ));
            return Ok(newer);
        }
        self.keep_release(source, &fetched)?;
        Ok(verified)
    }

    fn fetch_release(&self, source: &Source) -> Result<Signed, ArchiveFault> {
        let line = self.line();
        let read = |file: &str, limit_bytes: usize| {
            let urls = source.suite_urls(file)?;
            let label = format!("{} {file}", source.name);
            Ok::<_, ArchiveFault>(line.read_small(&label, &urls, limit_bytes as u64)?)
        };
        if let Some(text) = read("InRelease", RELEASE_BYTES_MAX)? {
            return Ok(Signed { text, signature: Vec::new() });
        }
        let absent = || {
            let url = source.suite_urls("InRelease").ok().and_then(|urls| urls.into_iter().next());
            url.map_or(ArchiveFault::NotCached, |url| ArchiveFault::Absent { url })
        };
        let text = read("Release", RELEASE_BYTES_MAX)?.ok_or_else(absent)?;
        let signature = read("Release.gpg", SIGNATURE_BYTES_MAX)?;
        let signature = signature.filter(|signature| !signature.is_empty());
        Ok(Signed { text, signature: signature.ok_or(SignatureError::NotSigned)? })
    }

    fn kept_release(&self, source: &Source) -> Option<Signed> {
        let limit = (RELEASE_BYTES_MAX + SIGNATURE_BYTES_MAX) as u64 + HEAD_BYTES_MAX;
        let bytes = read_limited(&self.cache.release_path(&release_key(source)), limit).ok()?;
        Signed::parse(&bytes)
    }

    fn keep_release(&self, source: &Source, signed: &Signed) -> Result<(), FetchError> {
        write_atomic(&self.cache.release_path(&release_key(source)), &signed.to_bytes())
            .map_err(|error| self.cache.fail(error))
    }
}

impl Signed {
    fn to_bytes(&self) -> Vec<u8> {
        let head = format!("{MAGIC}{} {}\n", self.text.len(), self.signature.len());
        [head.as_bytes(), &self.text, &self.signature].concat()
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let rest = bytes.strip_prefix(MAGIC.as_bytes())?;
        let (head, rest) = rest.split_at(rest.iter().position(|byte| *byte == b'\n')?);
        let (text, signature) = std::str::from_utf8(head).ok()?.split_once(' ')?;
        let (text, signature): (usize, usize) = (text.parse().ok()?, signature.parse().ok()?);
        let rest = &rest[1..];
        let is_whole = text.checked_add(signature) == Some(rest.len());
        let (text, signature) = is_whole.then(|| rest.split_at(text))?;
        Some(Self { text: text.to_owned(), signature: signature.to_owned() })
    }

    fn verify(&self, source: &Source, now: u64) -> Result<Verified, SignatureError> {
        if self.signature.is_empty() {
            verify_inline(&self.text, &source.keys, now)
        } else {
            verify_detached(&self.text, &self.signature, &source.keys, now)
        }
    }
}

/// Everything that makes a Release file usable: signature, form, name, dates.
fn check(source: &Source, signed: &Signed, now: u64) -> Result<VerifiedRelease, ArchiveFault> {
    let verified = signed.verify(source, now)?;
    let release = Release::parse(verified.text())?;
    let expected = source.suite.text();
    if source.is_named && !release.is_of(&expected) {
        let found = release.codename.or(release.suite).unwrap_or_else(|| "an unnamed suite".into());
        return Err(ArchiveFault::WrongSuite { expected, found });
    }
    release.check_time(now)?;
    let signers = verified.signers().to_vec();
    Ok(VerifiedRelease { source: source.clone(), release, signers })
}

/// One name per suite of an archive, whatever mirror it is fetched from next time.
fn release_key(source: &Source) -> Sha256Digest {
    let keys = source.keys.fingerprints().join(" ");
    Sha256Digest::of(format!("{}\n{}\n{keys}\n", source.name, source.suite.text()).as_bytes())
}

/// An empty index needs no fetching; many mirrors do not even have it.
fn wanted_index(source: &Source, index: &IndexFile) -> Result<Option<Wanted>, UrlError> {
    if index.size_bytes == 0 {
        return Ok(None);
    }
    let mut urls = Vec::new();
    for path in index.by_hash_path.iter().chain([&index.path]) {
        urls.extend(source.suite_urls(path)?);
    }
    Ok(Some(Wanted {
        urls,
        sha256: index.sha256,
        size: index.size_bytes,
        label: format!("{} {}", source.name, index.path),
    }))
}

fn read_and_unpack(
    path: Option<&std::path::Path>,
    index: &IndexFile,
) -> Result<Vec<u8>, ArchiveFault> {
    let packed = match path {
        Some(path) => read_limited(path, index.size_bytes).map_err(ArchiveFault::Read)?,
        None => Vec::new(),
    };
    let fail = |source| ArchiveFault::Unpack { path: index.path.clone(), source };
    unpack_index(index, &packed).map_err(fail)
}

/// The source of the file that a failure names.
fn source_of(error: &FetchError, files: &[(&Source, IndexFile)]) -> String {
    let label = match error {
        FetchError::Transfer(failure) => failure.label.as_str(),
        FetchError::Offline { label, .. } | FetchError::NoAddress { label } => label.as_str(),
        _ => "",
    };
    let is_named = |(source, index): &&(&Source, IndexFile)| {
        label == format!("{} {}", source.name, index.path)
    };
    let named = files.iter().find(is_named).or(files.first());
    named.map(|(source, _)| source.name.clone()).unwrap_or_default()
}
