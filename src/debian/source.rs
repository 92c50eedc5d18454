//! Sources of packages: a suite of an archive, its addresses, and the keys that may sign it.

use thiserror::Error;

use super::date::snapshot_timestamp;
use super::keys::KeyRing;
use super::mirror::Mirrors;
use super::url::{Url, UrlError};

/// The public archive of everything that Debian's archives ever held.
///
/// Source: <https://snapshot.debian.org/>, "Usage".
pub const SNAPSHOT_BASE: &str = "https://snapshot.debian.org/archive";
/// How long after a suite's date its snapshot is looked up.
///
/// The archive is copied a few hours after the suite is dated, and an address leads to the last copy
/// before its timestamp; so the suite's own date would lead to the copy before.
const SNAPSHOT_DELAY_SECONDS: u64 = 12 * 3600;

/// The longest name, suite or component taken.
const WORD_BYTES_MAX: usize = 200;

/// A suite of an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// What the lock calls it; for Debian's own suites the suite.
    pub name: String,
    /// Mirrors of the archive, best first; at least one.
    pub uris: Vec<Url>,
    /// The suite.
    pub suite: Suite,
    /// The keys that may sign it.
    pub keys: KeyRing,
    /// Whether the `Release` file must carry the suite's name, so that no mirror can serve another
    /// suite in its place. Third parties are careless about the name, and sign few suites per key.
    pub is_named: bool,
    /// The archive's name in the snapshot archive, such as `debian`.
    pub snapshot_archive: Option<String>,
}

/// Where in an archive a suite's `Release` file lies.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Suite {
    /// `dists/<name>/`, with components.
    Named {
        /// Such as `trixie` or `trixie-security`.
        name: String,
        /// Such as `main`; at least one.
        components: Vec<String>,
    },
    /// A directory without components, written with a `/` at its end.
    Flat {
        /// Below the archive's address; empty for the address itself.
        directory: String,
    },
}

/// A suite or component that is malformed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SuiteError {
    /// Neither a name nor a directory.
    #[error("`{text}` is not a suite")]
    Suite {
        /// What was found, shortened.
        text: String,
    },
    /// Not a name.
    #[error("`{text}` is not a component")]
    Component {
        /// What was found, shortened.
        text: String,
    },
    /// A named suite without component.
    #[error("suite `{suite}` needs a component, such as `main`")]
    NoComponent {
        /// The suite.
        suite: String,
    },
    /// A flat repository with component.
    #[error("suite `{suite}` ends with `/`, so it has no components")]
    UnwantedComponent {
        /// The suite.
        suite: String,
    },
}

impl Suite {
    /// Reads a suite and its components the way apt's sources write them.
    ///
    /// # Errors
    ///
    /// A part is malformed, or components are given where none belong, or the other way round.
    pub fn parse(suite: &str, components: &[&str]) -> Result<Self, SuiteError> {
        let short = |text: &str| text.chars().take(60).collect();
        if let Some(directory) = suite.strip_suffix('/') {
            if !components.is_empty() {
                return Err(SuiteError::UnwantedComponent { suite: short(suite) });
            }
            let kept: Vec<&str> =
                directory.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
            let directory = kept.join("/");
            if !directory.is_empty() && !is_path(&directory) {
                return Err(SuiteError::Suite { text: short(suite) });
            }
            return Ok(Suite::Flat { directory });
        }
        if !is_path(suite) {
            return Err(SuiteError::Suite { text: short(suite) });
        }
        if let Some(wrong) = components.iter().find(|component| !is_path(component)) {
            return Err(SuiteError::Component { text: short(wrong) });
        }
        if components.is_empty() {
            return Err(SuiteError::NoComponent { suite: short(suite) });
        }
        let components = components.iter().map(|&component| component.to_owned()).collect();
        Ok(Suite::Named { name: suite.to_owned(), components })
    }

    /// The components; empty for a flat repository.
    pub fn components(&self) -> &[String] {
        match self {
            Suite::Named { components, .. } => components,
            Suite::Flat { .. } => &[],
        }
    }

    /// The name as users write it.
    pub fn text(&self) -> String {
        match self {
            Suite::Named { name, .. } => name.clone(),
            Suite::Flat { directory } => format!("{directory}/"),
        }
    }

    /// Where a file of the suite, such as `InRelease`, lies below the archive's address.
    pub fn path_of(&self, file: &str) -> String {
        match self {
            Suite::Named { name, .. } => format!("dists/{name}/{file}"),
            Suite::Flat { directory } if directory.is_empty() => file.to_owned(),
            Suite::Flat { directory } => format!("{directory}/{file}"),
        }
    }
}

impl Source {
    /// Debian's own suites of `release`: the release, its updates, and its security updates.
    ///
    /// # Errors
    ///
    /// `release` or a component is malformed.
    pub fn debian(
        release: &str,
        components: &[&str],
        mirrors: &Mirrors,
    ) -> Result<[Self; 3], SuiteError> {
        let source = |suffix: &str, mirror: &Url, archive: &str| {
            let name = format!("{release}{suffix}");
            Ok(Self {
                suite: Suite::parse(&name, components)?,
                name,
                uris: vec![mirror.clone()],
                keys: KeyRing::debian(),
                is_named: true,
                snapshot_archive: Some(archive.to_owned()),
            })
        };
        Ok([
            source("", &mirrors.debian, "debian")?,
            source("-updates", &mirrors.debian, "debian")?,
            source("-security", &mirrors.security, "debian-security")?,
        ])
    }

    /// A third party's source, with its own keys.
    pub fn third_party(name: &str, uris: Vec<Url>, suite: Suite, keys: KeyRing) -> Self {
        let name = name.to_owned();
        Self { name, uris, suite, keys, is_named: false, snapshot_archive: None }
    }

    /// The addresses of a file of the suite, such as `InRelease`, one per mirror.
    ///
    /// # Errors
    ///
    /// The path leaves the suite's directory.
    pub fn suite_urls(&self, file: &str) -> Result<Vec<Url>, UrlError> {
        let path = self.suite.path_of(file);
        self.uris.iter().map(|uri| uri.join(&path)).collect()
    }

    /// The addresses of a package: each mirror, then the snapshot archive as it was when the suite
    /// was dated.
    ///
    /// `path` is field `Filename` of the index; `date_seconds` the date of the suite's `Release`.
    ///
    /// # Errors
    ///
    /// The path leaves the archive.
    pub fn package_urls(
        &self,
        path: &str,
        date_seconds: u64,
        snapshot_base: &Url,
    ) -> Result<Vec<Url>, UrlError> {
        let mut urls: Vec<Url> =
            self.uris.iter().map(|uri| uri.join(path)).collect::<Result<_, _>>()?;
        if let Some(archive) = &self.snapshot_archive {
            urls.push(snapshot_url(snapshot_base, archive, date_seconds)?.join(path)?);
        }
        Ok(urls)
    }
}

/// The address of an archive as it was shortly after a suite was dated:
/// `<base>/debian/20260912T195541Z`.
///
/// # Errors
///
/// `archive` is not a path.
pub fn snapshot_url(base: &Url, archive: &str, date_seconds: u64) -> Result<Url, UrlError> {
    let moment = snapshot_timestamp(date_seconds.saturating_add(SNAPSHOT_DELAY_SECONDS));
    base.join(archive)?.join(&moment)
}

/// One or more words joined by `/`, of the characters that suites and components are made of.
fn is_path(text: &str) -> bool {
    let is_word = |word: &str| {
        !word.is_empty()
            && !word.starts_with('.')
            && word.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._+~".contains(&b))
    };
    text.len() <= WORD_BYTES_MAX && text.split('/').all(is_word)
}

#[cfg(test)]
mod tests;
