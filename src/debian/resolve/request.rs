//! What is asked of the resolver.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use crate::debian::package::PackageName;
use crate::debian::record::PackageRecord;
use crate::debian::version::Version;

/// A wish for one package: `name`, or `name=version`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Request {
    /// The package, real or virtual.
    pub name: PackageName,
    /// The only version that will do.
    pub version: Option<Version>,
}

/// Text that is not a request.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{text}` is not a package name, or a name and a version as in `name=1.0-1`")]
pub struct RequestError {
    /// The text found, cut to 80 characters.
    pub text: String,
}

/// Whether the essential packages belong to the set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Base {
    /// A whole system: all `Essential: yes` packages and what they need.
    Essential,
    /// Only what the requests need.
    Nothing,
}

/// Which packages of the old lock may move to newer versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Update<'r> {
    /// Only those that must.
    Nothing,
    /// All: as if there were no lock.
    All,
    /// These, and those that must.
    Only(&'r BTreeSet<PackageName>),
}

/// A question to the resolver.
#[derive(Debug, Clone, Copy)]
pub struct Requests<'r> {
    /// What must be there.
    pub packages: &'r BTreeSet<Request>,
    /// Whether the essential packages must be there too.
    pub base: Base,
    /// The packages of the old lock; empty when there is none.
    pub locked: &'r [PackageRecord],
    /// What of the old lock may move.
    pub update: Update<'r>,
}

/// A request that names nothing that can be had.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RequestProblem {
    /// No package has or provides the name.
    #[error("there is no package `{}`{}", .request.name, did_you_mean(.similar))]
    Unknown {
        /// The request.
        request: Request,
        /// Names that look like it, the most alike first.
        similar: Vec<PackageName>,
    },
    /// The package has other versions only.
    #[error("`{}` has no version {version}, but {}", .request.name, list(.available))]
    NoVersion {
        /// The request.
        request: Request,
        /// The version asked for.
        version: Version,
        /// The versions there are, best first.
        available: Vec<Version>,
    },
    /// The name is provided by several packages.
    #[error("`{}` is not a package but provided by {}: ask for one of them", .request.name, list(.providers))]
    Virtual {
        /// The request.
        request: Request,
        /// Who provides it.
        providers: Vec<PackageName>,
    },
}

impl Requests<'_> {
    /// Whether the old lock's version of `name` is to be kept if it can be.
    pub(super) fn holds(&self, name: &PackageName) -> bool {
        match self.update {
            Update::Nothing => true,
            Update::All => false,
            Update::Only(names) => !names.contains(name),
        }
    }
}

impl FromStr for Request {
    type Err = RequestError;

    fn from_str(text: &str) -> Result<Self, RequestError> {
        let fail = || RequestError { text: text.chars().take(80).collect() };
        let (name, version) = match text.split_once('=') {
            Some((name, version)) => (name, Some(version.parse().map_err(|_| fail())?)),
            None => (text, None),
        };
        Ok(Self { name: name.parse().map_err(|_| fail())?, version })
    }
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.name)?;
        self.version.as_ref().map_or(Ok(()), |version| write!(f, "={version}"))
    }
}

fn did_you_mean(similar: &[PackageName]) -> String {
    if similar.is_empty() { String::new() } else { format!("; did you mean {}?", list(similar)) }
}

/// `a`, `a or b`, `a, b or c`; at most eight, the rest as `…`.
fn list<T: fmt::Display>(items: &[T]) -> String {
    let mut words: Vec<String> = items.iter().take(8).map(|item| format!("`{item}`")).collect();
    if items.len() > 8 {
        words.push("…".to_owned());
    }
    match words.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        _ => words.concat(),
    }
}
