//! What a lock says.

use std::collections::{BTreeMap, BTreeSet};

use thiserror::Error;

use super::ids::Ids;
use super::time::Timestamp;
use crate::debian::package::{SourceName, checked_text};
use crate::debian::record::PackageRecord;
use crate::debian::resolve::Request;

checked_text!(
    /// What tools are for, such as `image` or `test`: 1 to 32 of `a-z`, `0-9` and `-`, a letter first.
    SetName,
    "the name of a set of tools (1 to 32 of `a-z`, `0-9` and `-`)",
    is_set_name
);

checked_text!(
    /// The suite or component of a source, such as `trixie-security` or `non-free-firmware`: 1 to 100
    /// of `A-Za-z0-9._+/-`, no `..`, no slash at either end.
    Suite,
    "a suite or component (1 to 100 of `A-Za-z0-9._+/-`)",
    is_suite
);

checked_text!(
    /// The name of a user or group: 1 to 31 of `A-Za-z0-9_.-`, a letter or `_` first. Source: the
    /// limits of useradd(8), and the names Debian's packages use (`_apt`, `Debian-exim`).
    AccountName,
    "a user or group name (1 to 31 of `A-Za-z0-9_.-`)",
    is_account_name
);

/// What tools are asked for, by what they are for.
pub type ToolRequests = BTreeMap<SetName, BTreeSet<Request>>;

/// The contents of a lock.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Lock {
    /// What the packages were resolved for.
    pub requests: BTreeSet<Request>,
    /// What the tools were resolved for.
    pub tool_requests: ToolRequests,
    /// Where packages and tools come from.
    pub sources: Vec<LockedSource>,
    /// The packages of the host.
    pub packages: Vec<PackageRecord>,
    /// The packages that make its images and test it.
    pub tools: Vec<LockedTool>,
    /// Users and groups of the host.
    pub ids: Ids,
}

/// A source, without the address it was fetched from: any mirror will do.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct LockedSource {
    /// Its name here.
    pub name: SourceName,
    /// The suite, such as `trixie-security`.
    pub suite: Suite,
    /// The components, such as `main`.
    pub components: BTreeSet<Suite>,
    /// When its index was made: the date of the `Release` file.
    pub date: Timestamp,
    /// The snapshot that has the same files, when the source is kept by the snapshot archive.
    pub snapshot: Option<Timestamp>,
}

/// A package that serves to make images or to test.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct LockedTool {
    /// The package.
    pub package: PackageRecord,
    /// What it is for; never empty.
    pub sets: BTreeSet<SetName>,
}

/// A lock that was made for other requests.
#[derive(Debug, Clone, PartialEq, Eq, Default, Error)]
#[error("the lock was made for other requests: {}", differences(.added, .removed))]
pub struct LockMismatch {
    /// Requests that the lock does not have; those for tools with their set, as `image: mtools`.
    pub added: Vec<String>,
    /// Requests that only the lock has.
    pub removed: Vec<String>,
}

impl Lock {
    /// Whether this lock was made for just these requests.
    ///
    /// # Errors
    ///
    /// What is new and what is gone.
    pub fn matches(
        &self,
        requests: &BTreeSet<Request>,
        tool_requests: &ToolRequests,
    ) -> Result<(), LockMismatch> {
        let (wanted, locked) =
            (words(requests, tool_requests), words(&self.requests, &self.tool_requests));
        let mismatch = LockMismatch {
            added: wanted.difference(&locked).cloned().collect(),
            removed: locked.difference(&wanted).cloned().collect(),
        };
        if mismatch == LockMismatch::default() { Ok(()) } else { Err(mismatch) }
    }
}

fn words(requests: &BTreeSet<Request>, tool_requests: &ToolRequests) -> BTreeSet<String> {
    let tools = tool_requests.iter().flat_map(|(set, requests)| {
        requests.iter().map(move |request| format!("{set}: {request}"))
    });
    requests.iter().map(Request::to_string).chain(tools).collect()
}

fn differences(added: &[String], removed: &[String]) -> String {
    let part = |items: &[String], what: &str| {
        let names: Vec<String> = items.iter().map(|item| format!("`{item}`")).collect();
        (!names.is_empty()).then(|| format!("{what} {}", names.join(", ")))
    };
    [part(added, "new"), part(removed, "gone")].into_iter().flatten().collect::<Vec<_>>().join("; ")
}

fn is_set_name(text: &str) -> bool {
    text.len() <= 32
        && text.as_bytes().first().is_some_and(u8::is_ascii_lowercase)
        && text.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-')
}

fn is_suite(text: &str) -> bool {
    (1..=100).contains(&text.len())
        && text.bytes().all(|c| c.is_ascii_alphanumeric() || b"._+/-".contains(&c))
        && text.split('/').all(|part| !matches!(part, "" | "." | ".."))
}

fn is_account_name(text: &str) -> bool {
    let first = |c: &u8| c.is_ascii_alphabetic() || *c == b'_';
    text.len() <= 31
        && text.as_bytes().first().is_some_and(first)
        && text.bytes().all(|c| c.is_ascii_alphanumeric() || b"_.-".contains(&c))
}
