//! Text as a lock; strict, because what it says is fetched and run.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::str::FromStr;

use serde::Deserialize;
use thiserror::Error;
use toml::Spanned;

use super::ids::{Ids, NEVER};
use super::model::{AccountName, Lock, LockedSource, LockedTool, ToolRequests};
use super::time::Timestamp;
use super::write::VERSION;
use crate::debian::package::PackageName;
use crate::debian::record::{DEB_BYTES_MAX, PackageRecord};

/// The largest lock that is read; one of 1000 packages has 400 kB.
const TEXT_BYTES_MAX: usize = 16 << 20;
/// The most packages and tools together.
const PACKAGES_MAX: usize = 20_000;
/// The most problems that are kept.
const PROBLEMS_MAX: usize = 100;

/// A text that is not a lock.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{}", one_a_line(.problems))]
pub struct LockError {
    /// All that is wrong, by place; never empty.
    pub problems: Vec<LockProblem>,
}

/// One thing that is wrong with a lock.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("line {line}, column {column}: {kind}")]
pub struct LockProblem {
    /// Bytes of the text it is about.
    pub span: Range<usize>,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// What is wrong.
    pub kind: ProblemKind,
}

/// What can be wrong with a lock.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ProblemKind {
    /// Not TOML, or not the keys and types of a lock.
    #[error("{message}")]
    Syntax {
        /// What the TOML reader says.
        message: String,
    },
    /// The text is longer than 16 MiB.
    #[error("the lock has {bytes} bytes, more than {TEXT_BYTES_MAX}")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// There are too many packages.
    #[error("the lock has {count} packages, more than {PACKAGES_MAX}")]
    TooMany {
        /// How many.
        count: usize,
    },
    /// The form is of another version of this program.
    #[error("version {found} of the form is not known, only {VERSION}")]
    Version {
        /// The version found.
        found: i64,
    },
    /// A value does not have the form it should have.
    #[error("{message}")]
    Value {
        /// What it is and what it should be.
        message: String,
    },
    /// Something stands twice.
    #[error("{what} stands twice")]
    Twice {
        /// What.
        what: String,
    },
    /// A package is said to come from a source that is not in the lock.
    #[error("there is no source `{name}` in this lock")]
    UnknownSource {
        /// The source.
        name: String,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawLock {
    version: Spanned<i64>,
    requests: Vec<Spanned<String>>,
    #[serde(default)]
    tool_requests: BTreeMap<Spanned<String>, Vec<Spanned<String>>>,
    #[serde(default)]
    source: Vec<RawSource>,
    #[serde(default)]
    package: Vec<RawPackage>,
    #[serde(default)]
    tool: Vec<RawTool>,
    #[serde(default)]
    users: BTreeMap<Spanned<String>, Spanned<u32>>,
    #[serde(default)]
    groups: BTreeMap<Spanned<String>, Spanned<u32>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSource {
    name: Spanned<String>,
    suite: Spanned<String>,
    components: Vec<Spanned<String>>,
    date: Spanned<String>,
    snapshot: Option<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPackage {
    name: Spanned<String>,
    version: Spanned<String>,
    architecture: Spanned<String>,
    source: Spanned<String>,
    path: Spanned<String>,
    sha256: Spanned<String>,
    size: Spanned<u64>,
}

/// A package with one key more; written out, because `flatten` loses the places.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTool {
    name: Spanned<String>,
    version: Spanned<String>,
    architecture: Spanned<String>,
    source: Spanned<String>,
    path: Spanned<String>,
    sha256: Spanned<String>,
    size: Spanned<u64>,
    sets: Spanned<Vec<Spanned<String>>>,
}

impl FromStr for Lock {
    type Err = LockError;

    fn from_str(text: &str) -> Result<Self, LockError> {
        let mut reader = Reader { text, problems: Vec::new() };
        let lock = reader.lock();
        reader.problems.sort_by_key(|problem| problem.span.start);
        match lock {
            Some(lock) if reader.problems.is_empty() => Ok(lock),
            _ => Err(LockError { problems: reader.problems }),
        }
    }
}

struct Reader<'t> {
    text: &'t str,
    problems: Vec<LockProblem>,
}

impl Reader<'_> {
    fn problem(&mut self, span: Range<usize>, kind: ProblemKind) {
        if self.problems.len() >= PROBLEMS_MAX {
            return;
        }
        let before = self.text.get(..span.start).unwrap_or(self.text);
        let line = before.matches('\n').count() + 1;
        let start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let column = before[start..].chars().count() + 1;
        self.problems.push(LockProblem { span, line, column, kind });
    }

    fn lock(&mut self) -> Option<Lock> {
        let bytes = self.text.len();
        if bytes > TEXT_BYTES_MAX {
            self.problem(0..0, ProblemKind::TooLong { bytes });
            return None;
        }
        let raw: RawLock = match toml::from_str(self.text) {
            Ok(raw) => raw,
            Err(error) => {
                let message = error.message().to_owned();
                self.problem(error.span().unwrap_or(0..0), ProblemKind::Syntax { message });
                return None;
            }
        };
        let found = *raw.version.get_ref();
        if found != VERSION {
            self.problem(raw.version.span(), ProblemKind::Version { found });
            return None;
        }
        let count = raw.package.len() + raw.tool.len();
        if count > PACKAGES_MAX {
            self.problem(0..0, ProblemKind::TooMany { count });
            return None;
        }
        let sources = self.sources(raw.source);
        let mut lock = Lock {
            requests: self.set(raw.requests, "request"),
            tool_requests: self.tool_requests(raw.tool_requests),
            packages: Vec::new(),
            tools: Vec::new(),
            ids: Ids { users: self.ids(raw.users), groups: self.ids(raw.groups) },
            sources,
        };
        let mut seen = BTreeSet::new();
        for package in raw.package {
            let span = package.name.span();
            let record = self.record(&package, &lock.sources);
            self.check_new(&mut seen, record.as_ref(), span);
            lock.packages.extend(record);
        }
        seen.clear();
        for tool in raw.tool {
            let span = tool.name.span();
            let tool = self.tool(tool, &lock.sources);
            self.check_new(&mut seen, tool.as_ref().map(|tool| &tool.package), span);
            lock.tools.extend(tool);
        }
        Some(lock)
    }

    fn value<T: FromStr<Err: ToString>>(&mut self, raw: &Spanned<String>) -> Option<T> {
        self.parsed(raw, T::from_str)
    }

    fn parsed<T, E: ToString>(
        &mut self,
        raw: &Spanned<String>,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Option<T> {
        let parsed = parse(raw.get_ref());
        parsed
            .map_err(|error| {
                self.problem(raw.span(), ProblemKind::Value { message: error.to_string() });
            })
            .ok()
    }

    fn set<T: FromStr<Err: ToString> + Ord>(
        &mut self,
        raw: Vec<Spanned<String>>,
        what: &str,
    ) -> BTreeSet<T> {
        let mut set = BTreeSet::new();
        for item in raw {
            if self.value(&item).is_some_and(|value| !set.insert(value)) {
                let what = format!("{what} `{}`", item.get_ref());
                self.problem(item.span(), ProblemKind::Twice { what });
            }
        }
        set
    }

    fn tool_requests(
        &mut self,
        raw: BTreeMap<Spanned<String>, Vec<Spanned<String>>>,
    ) -> ToolRequests {
        let mut requests = ToolRequests::new();
        for (name, items) in raw {
            let items = self.set(items, "request");
            requests.extend(self.value(&name).map(|name| (name, items)));
        }
        requests
    }

    fn sources(&mut self, raw: Vec<RawSource>) -> Vec<LockedSource> {
        let mut sources: Vec<LockedSource> = Vec::new();
        for source in raw {
            let name = self.value(&source.name);
            let suite = self.value(&source.suite);
            let components = self.set(source.components, "component");
            let date = self.parsed(&source.date, Timestamp::parse_date);
            let snapshot = source.snapshot.map(|raw| self.parsed(&raw, Timestamp::parse_snapshot));
            let (Some(name), Some(suite), Some(date)) = (name, suite, date) else { continue };
            if sources.iter().any(|known| known.name == name) {
                let what = format!("source `{name}`");
                self.problem(source.name.span(), ProblemKind::Twice { what });
            }
            let snapshot = snapshot.flatten();
            sources.push(LockedSource { name, suite, components, date, snapshot });
        }
        sources
    }

    fn record(&mut self, raw: &RawPackage, sources: &[LockedSource]) -> Option<PackageRecord> {
        let name = self.value(&raw.name);
        let version = self.value(&raw.version);
        let architecture = self.value(&raw.architecture);
        let source = self.value(&raw.source);
        let path = self.value(&raw.path);
        let sha256 = self.value(&raw.sha256);
        let size = *raw.size.get_ref();
        if !(1..=DEB_BYTES_MAX).contains(&size) {
            let message = format!("{size} is not a size from 1 byte to 4 GiB");
            self.problem(raw.size.span(), ProblemKind::Value { message });
        }
        if source.as_ref().is_some_and(|name| sources.iter().all(|known| known.name != *name)) {
            let name = raw.source.get_ref().clone();
            self.problem(raw.source.span(), ProblemKind::UnknownSource { name });
        }
        Some(PackageRecord {
            name: name?,
            architecture: architecture?,
            version: version?,
            source: source?,
            path: path?,
            sha256: sha256?,
            size,
        })
    }

    fn tool(&mut self, raw: RawTool, sources: &[LockedSource]) -> Option<LockedTool> {
        let RawTool { name, version, architecture, source, path, sha256, size, sets } = raw;
        let span = sets.span();
        let sets = self.set(sets.into_inner(), "set");
        if sets.is_empty() {
            let message = "a tool serves at least one set".to_owned();
            self.problem(span, ProblemKind::Value { message });
        }
        let package = RawPackage { name, version, architecture, source, path, sha256, size };
        self.record(&package, sources).map(|package| LockedTool { package, sets })
    }

    /// One version of a package in a set: dpkg knows no more.
    fn check_new(
        &mut self,
        seen: &mut BTreeSet<PackageName>,
        record: Option<&PackageRecord>,
        span: Range<usize>,
    ) {
        let Some(record) = record else { return };
        if !seen.insert(record.name.clone()) {
            let what = format!("package `{}`", record.name);
            self.problem(span, ProblemKind::Twice { what });
        }
    }

    fn ids(&mut self, raw: BTreeMap<Spanned<String>, Spanned<u32>>) -> BTreeMap<AccountName, u32> {
        let mut ids = BTreeMap::new();
        let mut owners: BTreeMap<u32, String> = BTreeMap::new();
        for (name, id) in raw {
            let number = *id.get_ref();
            if NEVER.contains(&number) {
                let message = format!("{number} cannot be an id");
                self.problem(id.span(), ProblemKind::Value { message });
            }
            if let Some(owner) = owners.insert(number, name.get_ref().clone()) {
                let what = format!("id {number} (of `{owner}` and `{}`)", name.get_ref());
                self.problem(id.span(), ProblemKind::Twice { what });
            }
            ids.extend(self.value(&name).map(|name| (name, number)));
        }
        ids
    }
}

fn one_a_line(problems: &[LockProblem]) -> String {
    problems.iter().map(LockProblem::to_string).collect::<Vec<_>>().join("\n")
}
