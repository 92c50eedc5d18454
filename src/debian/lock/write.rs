//! A lock as text: one form only, so that a lock changes only where its contents do.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{Display, Write as _};

use super::model::{AccountName, Lock};
use crate::debian::record::PackageRecord;

/// The version of the form that is written and read.
pub(super) const VERSION: i64 = 1;
const HEADER: &str = "# Made by `nexus-host lock`; commit this file.\n";
const INFALLIBLE: &str = "writing to a String cannot fail";

impl Lock {
    /// The text of this lock; sorted, whatever the order of its parts.
    pub fn to_text(&self) -> String {
        let mut text = format!("{HEADER}version = {VERSION}\n");
        add_requests(&mut text, &self.requests);
        if !self.tool_requests.is_empty() {
            text.push_str("\n[tool_requests]\n");
            for (set, requests) in &self.tool_requests {
                writeln!(text, "{set} = {}", inline(requests)).expect(INFALLIBLE);
            }
        }
        for source in self.sources.iter().collect::<BTreeSet<_>>() {
            text.push_str("\n[[source]]\n");
            add(&mut text, "name", &source.name);
            add(&mut text, "suite", &source.suite);
            writeln!(text, "components = {}", inline(&source.components)).expect(INFALLIBLE);
            add(&mut text, "date", &source.date);
            if let Some(snapshot) = source.snapshot {
                add(&mut text, "snapshot", &snapshot.to_snapshot());
            }
        }
        for package in self.packages.iter().collect::<BTreeSet<_>>() {
            text.push_str("\n[[package]]\n");
            add_record(&mut text, package);
        }
        for tool in self.tools.iter().collect::<BTreeSet<_>>() {
            text.push_str("\n[[tool]]\n");
            add_record(&mut text, &tool.package);
            writeln!(text, "sets = {}", inline(&tool.sets)).expect(INFALLIBLE);
        }
        add_ids(&mut text, "users", &self.ids.users);
        add_ids(&mut text, "groups", &self.ids.groups);
        text
    }
}

/// One a line, so that a change of one is a change of one line.
fn add_requests<T: Display>(text: &mut String, requests: &BTreeSet<T>) {
    if requests.is_empty() {
        text.push_str("requests = []\n");
        return;
    }
    text.push_str("requests = [\n");
    for request in requests {
        writeln!(text, "    \"{request}\",").expect(INFALLIBLE);
    }
    text.push_str("]\n");
}

fn add_record(text: &mut String, record: &PackageRecord) {
    add(text, "name", &record.name);
    add(text, "version", &record.version);
    add(text, "architecture", &record.architecture);
    add(text, "source", &record.source);
    add(text, "path", &record.path);
    add(text, "sha256", &record.sha256);
    writeln!(text, "size = {}", record.size).expect(INFALLIBLE);
}

fn add_ids(text: &mut String, table: &str, ids: &BTreeMap<AccountName, u32>) {
    if ids.is_empty() {
        return;
    }
    writeln!(text, "\n[{table}]").expect(INFALLIBLE);
    for (name, id) in ids {
        let quote = if name.as_str().contains('.') { "\"" } else { "" };
        writeln!(text, "{quote}{name}{quote} = {id}").expect(INFALLIBLE);
    }
}

/// No value of a lock has a quote, a backslash or a control character: their types do not allow it.
fn add(text: &mut String, key: &str, value: &dyn Display) {
    writeln!(text, "{key} = \"{value}\"").expect(INFALLIBLE);
}

fn inline<T: Display>(items: &BTreeSet<T>) -> String {
    let items: Vec<String> = items.iter().map(|item| format!("\"{item}\"")).collect();
    format!("[{}]", items.join(", "))
}
