//! Unit files as values: sections, keys, lists of values; drop-ins laid over.
//!
//! Rules from systemd.syntax(7) and systemd.unit(5): a line that ends in a backslash goes on in the
//! next (comments between are skipped), an empty assignment clears what was gathered under the key,
//! drop-ins apply in the order of their file names.

use std::collections::BTreeMap;

/// Most bytes of one unit file that are looked at; systemd's own limit is 1 MiB.
pub const UNIT_BYTES_MAX: u64 = 1 << 20;

/// What stands at a unit's place in one system.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum UnitFile {
    /// Nothing.
    #[default]
    Missing,
    /// A link to `/dev/null` or an empty file.
    Masked,
    /// A unit.
    Present {
        /// The main file; empty when there are drop-ins only.
        text: String,
        /// Drop-ins by file name.
        dropins: BTreeMap<String, String>,
    },
}

/// A unit that was read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Unit {
    sections: BTreeMap<String, BTreeMap<String, Vec<String>>>,
}

impl UnitFile {
    /// A unit without drop-ins.
    pub fn plain(text: &str) -> Self {
        Self::Present { text: text.to_owned(), dropins: BTreeMap::new() }
    }

    /// Reads the texts; `None` when there is no unit.
    pub fn parse(&self) -> Option<Unit> {
        let Self::Present { text, dropins } = self else { return None };
        let mut unit = Unit::default();
        unit.add(text);
        for dropin in dropins.values() {
            unit.add(dropin);
        }
        Some(unit)
    }
}

impl Unit {
    /// All values of a key, in order; words in them are not split.
    pub fn values(&self, section: &str, key: &str) -> &[String] {
        let found = self.sections.get(section).and_then(|keys| keys.get(key));
        found.map_or(&[], Vec::as_slice)
    }

    /// The last value of a key as systemd reads booleans; `None` when not set or not a boolean.
    pub fn boolean(&self, section: &str, key: &str) -> Option<bool> {
        let value = self.values(section, key).last()?.to_ascii_lowercase();
        match value.as_str() {
            "1" | "yes" | "y" | "true" | "t" | "on" => Some(true),
            "0" | "no" | "n" | "false" | "f" | "off" => Some(false),
            _ => None,
        }
    }

    /// Whether a key is set to true.
    pub fn is_true(&self, section: &str, key: &str) -> bool {
        self.boolean(section, key) == Some(true)
    }

    /// White-space separated words of all values of a key, such as unit names.
    pub fn words(&self, section: &str, key: &str) -> impl Iterator<Item = &str> {
        self.values(section, key).iter().flat_map(|value| value.split_ascii_whitespace())
    }

    /// Sections with their keys and values.
    pub(super) fn sections(&self) -> &BTreeMap<String, BTreeMap<String, Vec<String>>> {
        &self.sections
    }

    fn add(&mut self, text: &str) {
        let mut section = String::new();
        for line in logical_lines(text) {
            let line = line.trim();
            let inner = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
            if let Some(name) = inner {
                name.clone_into(&mut section);
                self.sections.entry(section.clone()).or_default();
            } else if let Some((key, value)) = line.split_once('=') {
                let keys = self.sections.entry(section.clone()).or_default();
                let values = keys.entry(key.trim().to_owned()).or_default();
                let value = value.trim();
                if value.is_empty() {
                    values.clear();
                } else {
                    values.push(value.to_owned());
                }
            }
        }
        // A key that was cleared is as good as one that was never set.
        for keys in self.sections.values_mut() {
            keys.retain(|_, values| !values.is_empty());
        }
    }
}

/// Lines joined at backslashes; comments and empty lines left out.
fn logical_lines(text: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut open: Option<String> = None;
    for line in text.lines() {
        let comment = line.trim_start().starts_with(['#', ';']);
        if comment || (open.is_none() && line.trim().is_empty()) {
            continue;
        }
        let mut joined = open.take().unwrap_or_default();
        if let Some(part) = line.strip_suffix('\\') {
            joined.push_str(part);
            joined.push(' ');
            open = Some(joined);
        } else {
            joined.push_str(line);
            lines.push(joined);
        }
    }
    lines.extend(open);
    lines
}

/// The part after the last dot: `service`, `socket`, …
pub fn suffix(name: &str) -> &str {
    name.rsplit_once('.').map_or("", |(_, suffix)| suffix)
}

/// The name without its suffix.
pub fn stem(name: &str) -> &str {
    name.rsplit_once('.').map_or(name, |(stem, _)| stem)
}

/// `foo@.service` for `foo@bar.service`; `None` for what is not an instance.
pub fn template_of(name: &str) -> Option<String> {
    let (prefix, rest) = name.split_once('@')?;
    let (instance, suffix) = rest.rsplit_once('.')?;
    (!instance.is_empty()).then(|| format!("{prefix}@.{suffix}"))
}
