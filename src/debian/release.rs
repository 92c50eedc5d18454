//! `Release` files: what a suite says of itself, its dates, and the digests of its indexes.
//!
//! Source: Debian wiki, `DebianRepository/Format`, section "Release files"; apt's
//! `apt-pkg/deb/debmetaindex.cc` for the meaning of the dates.

use std::collections::{BTreeMap, BTreeSet};

use thiserror::Error;

use super::date::{date_in_words, parse_date};
use crate::store::Sha256Digest;

/// How far in the future a suite's date may lie: clocks differ.
const FUTURE_SECONDS_MAX: u64 = 86_400;
/// The longest path taken.
const PATH_BYTES_MAX: usize = 1024;

/// A parsed `Release` file. Read it only from verified text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    /// Who made it, such as `Debian`.
    pub origin: Option<String>,
    /// The suite, such as `stable`.
    pub suite: Option<String>,
    /// The code name, such as `trixie`.
    pub codename: Option<String>,
    /// When it was made, seconds since 1970.
    pub date_seconds: u64,
    /// When it ends, seconds since 1970.
    pub valid_until_seconds: Option<u64>,
    /// Whether indexes can be fetched by their digest.
    pub acquire_by_hash: bool,
    /// Whether packages of architecture `all` are also listed with each other architecture.
    pub lists_all_everywhere: bool,
    /// The components, such as `main`; of a security archive `updates/main`.
    pub components: Vec<String>,
    /// The architectures, such as `amd64`.
    pub architectures: BTreeSet<String>,
    /// The files below the suite's directory, from field `SHA256`.
    pub files: BTreeMap<String, ListedFile>,
}

/// A file that a `Release` file vouches for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListedFile {
    /// Its digest.
    pub sha256: Sha256Digest,
    /// Its length.
    pub size_bytes: u64,
}

/// Text that is no `Release` file. Lines count from one.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ParseReleaseError {
    /// Not text.
    #[error("the Release file is not UTF-8 text")]
    NotText,
    /// A line that is neither a field nor a continuation.
    #[error("line {line} of the Release file is not a field")]
    NotAField {
        /// The line.
        line: usize,
    },
    /// A field that must be there once.
    #[error("the Release file has no field `{field}`")]
    Missing {
        /// Its name.
        field: &'static str,
    },
    /// A field that is there twice.
    #[error("the Release file has field `{field}` twice")]
    Twice {
        /// Its name.
        field: String,
    },
    /// A date that is none.
    #[error("field `{field}` of the Release file is not a date in UTC: `{text}`")]
    Date {
        /// Its name.
        field: &'static str,
        /// What was found, shortened.
        text: String,
    },
    /// A malformed entry of field `SHA256`.
    #[error("line {line} of the Release file is not `digest size path`")]
    Entry {
        /// The line.
        line: usize,
    },
    /// The same path with two digests.
    #[error("the Release file lists `{path}` twice, with different digests")]
    Contradiction {
        /// The path.
        path: String,
    },
}

/// A `Release` file that must not be used at this time.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ReleaseTimeError {
    /// Past its end: an old copy, or a mirror that is no longer updated.
    #[error(
        "the Release file expired on {}: the mirror is out of date, or someone serves an old copy",
        date_in_words(*.valid_until_seconds)
    )]
    Expired {
        /// Its end, seconds since 1970.
        valid_until_seconds: u64,
    },
    /// From the future.
    #[error("the Release file is from the future ({}); is the clock right?", date_in_words(*.date_seconds))]
    FromTheFuture {
        /// Its date, seconds since 1970.
        date_seconds: u64,
    },
}

/// A field with the one-based number of its first line.
struct Field<'a> {
    line: usize,
    /// What stands behind the colon, then each continuation line.
    values: Vec<&'a str>,
}

impl Release {
    /// Reads the text of a `Release` file.
    ///
    /// Unknown fields are passed over; so are the weaker digests `MD5Sum` and `SHA1`.
    ///
    /// # Errors
    ///
    /// The first thing that is malformed, ambiguous or missing.
    pub fn parse(text: &[u8]) -> Result<Self, ParseReleaseError> {
        let text = std::str::from_utf8(text).map_err(|_| ParseReleaseError::NotText)?;
        let fields = fields(text)?;
        let value = |name: &str| fields.get(name).map(|field| field.values[0]);
        let owned = |name: &str| value(name).filter(|v| !v.is_empty()).map(str::to_owned);
        let words = |name: &str| value(name).unwrap_or("").split_ascii_whitespace();
        let list = fields.get("sha256").ok_or(ParseReleaseError::Missing { field: "SHA256" })?;
        let date = value("date").ok_or(ParseReleaseError::Missing { field: "Date" })?;
        let valid_until = value("valid-until").map(|text| date_of("Valid-Until", text));
        Ok(Self {
            origin: owned("origin"),
            suite: owned("suite"),
            codename: owned("codename"),
            date_seconds: date_of("Date", date)?,
            valid_until_seconds: valid_until.transpose()?,
            acquire_by_hash: value("acquire-by-hash").is_some_and(is_yes),
            lists_all_everywhere: words("no-support-for-architecture-all")
                .any(|kind| kind.eq_ignore_ascii_case("packages")),
            components: words("components").map(str::to_owned).collect(),
            architectures: words("architectures").map(str::to_owned).collect(),
            files: files(list)?,
        })
    }

    /// Checks the dates against `now`, seconds since 1970.
    ///
    /// # Errors
    ///
    /// Past `Valid-Until`, or more than a day from the future.
    pub fn check_time(&self, now: u64) -> Result<(), ReleaseTimeError> {
        let date_seconds = self.date_seconds;
        if date_seconds > now.saturating_add(FUTURE_SECONDS_MAX) {
            return Err(ReleaseTimeError::FromTheFuture { date_seconds });
        }
        match self.valid_until_seconds {
            Some(valid_until_seconds) if valid_until_seconds < now => {
                Err(ReleaseTimeError::Expired { valid_until_seconds })
            }
            _ => Ok(()),
        }
    }

    /// Whether the file is that of `suite`, by suite or code name.
    pub fn is_of(&self, suite: &str) -> bool {
        [&self.suite, &self.codename].into_iter().flatten().any(|name| name == suite)
    }
}

/// Splits the one paragraph of a `Release` file into fields, by lower-case name.
fn fields(text: &str) -> Result<BTreeMap<String, Field<'_>>, ParseReleaseError> {
    let mut fields: BTreeMap<String, Field<'_>> = BTreeMap::new();
    let mut current: Option<String> = None;
    for (index, line) in text.trim_end_matches(['\n', '\r']).split('\n').enumerate() {
        let number = index + 1;
        let not_a_field = || ParseReleaseError::NotAField { line: number };
        let line = line.trim_end_matches(['\r', ' ', '\t']);
        if line.starts_with([' ', '\t']) {
            let field = current.as_ref().and_then(|name| fields.get_mut(name));
            field.ok_or_else(not_a_field)?.values.push(line.trim_start());
            continue;
        }
        let (name, value) = line.split_once(':').ok_or_else(not_a_field)?;
        let is_name = |b: u8| b.is_ascii_graphic();
        if name.is_empty() || name.starts_with(['#', '-']) || !name.bytes().all(is_name) {
            return Err(not_a_field());
        }
        let key = name.to_ascii_lowercase();
        let field = Field { line: number, values: vec![value.trim()] };
        if fields.insert(key.clone(), field).is_some() {
            return Err(ParseReleaseError::Twice { field: name.chars().take(60).collect() });
        }
        current = Some(key);
    }
    Ok(fields)
}

fn files(list: &Field<'_>) -> Result<BTreeMap<String, ListedFile>, ParseReleaseError> {
    let mut files = BTreeMap::new();
    for (index, entry) in list.values.iter().enumerate() {
        if entry.is_empty() && index == 0 {
            continue;
        }
        let malformed = || ParseReleaseError::Entry { line: list.line + index };
        let mut words = entry.split_ascii_whitespace();
        let mut word = || words.next().ok_or_else(malformed);
        let sha256 = word()?.parse().map_err(|_| malformed())?;
        let size_bytes = parse_size(word()?).ok_or_else(malformed)?;
        let path = word()?;
        if words.next().is_some() || !is_relative_path(path) {
            return Err(malformed());
        }
        let file = ListedFile { sha256, size_bytes };
        match files.insert(path.to_owned(), file) {
            Some(before) if before != file => {
                return Err(ParseReleaseError::Contradiction { path: path.to_owned() });
            }
            _ => {}
        }
    }
    Ok(files)
}

/// A path that stays below its directory: no empty, `.` or `..` segment.
fn is_relative_path(path: &str) -> bool {
    path.len() <= PATH_BYTES_MAX
        && !path.split('/').any(|segment| matches!(segment, "" | "." | ".."))
        && !path.chars().any(char::is_control)
}

/// Plain digits only; `u64::from_str` would also take a sign.
fn parse_size(text: &str) -> Option<u64> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok())?
}

fn is_yes(text: &str) -> bool {
    ["yes", "true", "1", "on", "enable", "with"].iter().any(|yes| text.eq_ignore_ascii_case(yes))
}

fn date_of(field: &'static str, text: &str) -> Result<u64, ParseReleaseError> {
    let fail = || ParseReleaseError::Date { field, text: text.chars().take(60).collect() };
    parse_date(text).ok_or_else(fail)
}

#[cfg(test)]
mod tests;
