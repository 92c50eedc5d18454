//! A host file (and the workspace's) against the sections of all modules → checked values.

use std::collections::BTreeMap;
use std::sync::Arc;

use toml::de::DeTable;

use super::check::{Checker, Slot, unknown_key, unset_data};
use super::document;
use super::module::{Activation, Modules};
use super::value::{Data, Value};
use crate::diag::{Code, Diagnostic, Place, Problems, Source, printable};

/// Sections that the workspace's file may have, for all hosts.
const WORKSPACE_SECTIONS: &[&str] = &["debian", "sources"];

/// A host file whose every value has the type of its option.
#[derive(Debug)]
pub struct HostSpec {
    /// The host file.
    pub source: Arc<Source>,
    /// Values of every section of every module; absent sections have their defaults.
    pub sections: BTreeMap<String, Value>,
    /// Names of the modules that take part.
    pub active: Vec<String>,
}

/// Reads a host file; `None` when a problem was noted that stops the work.
///
/// Keys of a record or list that `workspace` has come before those of the host; the host's win.
pub fn read_host(
    source: &Arc<Source>,
    workspace: Option<&Arc<Source>>,
    modules: &Modules,
    problems: &mut Problems,
) -> Option<HostSpec> {
    let mut written: BTreeMap<String, Value> = BTreeMap::new();
    if let Some(workspace) = workspace {
        let root = document::parse(workspace, problems);
        if let Some(root) = root {
            let only = Some(WORKSPACE_SECTIONS);
            written = read_sections(workspace, &root, modules, only, problems);
        }
    }
    let before = problems.len();
    let root = document::parse(source, problems)?;
    if problems.len() > before {
        // What follows from broken syntax is noise.
        return None;
    }
    for (section, value) in read_sections(source, &root, modules, None, problems) {
        let merged = match written.remove(&section) {
            Some(earlier) => merge(earlier, value),
            None => value,
        };
        written.insert(section, merged);
    }
    check_presence(source, &root, problems);
    if problems.has_errors() {
        return None;
    }
    Some(complete(source, written, modules))
}

/// The checked values of a file's sections; `only` names those that it may have.
fn read_sections(
    source: &Arc<Source>,
    root: &DeTable<'_>,
    modules: &Modules,
    only: Option<&[&str]>,
    problems: &mut Problems,
) -> BTreeMap<String, Value> {
    let mut values = BTreeMap::new();
    for (key, raw) in root {
        let name = key.get_ref().as_ref();
        let place = Place::new(source, key.span());
        if only.is_some_and(|only| !only.contains(&name)) {
            let message = format!("`{}` is not a section of the workspace's file", printable(name));
            let problem = Diagnostic::error(Code::UnknownKey, message, place, "no such section");
            problems.push(problem.with_help("Here may stand `[debian]` and `[[sources]]`."));
            continue;
        }
        let Some((_, field)) = modules.section(name) else {
            problems.push(unknown_key(place, name, "", modules.section_names()));
            continue;
        };
        let slot = Slot { raw, path: name, key: Some(key) };
        if let Some(value) = (Checker { source, problems }).field(slot, field) {
            values.insert(name.to_owned(), value);
        }
    }
    values
}

fn check_presence(source: &Arc<Source>, root: &DeTable<'_>, problems: &mut Problems) {
    if root.get("host").is_none() {
        let place = Place::start_of(source);
        let problem =
            Diagnostic::error(Code::MissingKey, "the file lacks `[host]`", place, "expected it");
        let help = "Add `[host]` with `name = \"…\"` and `release = \"trixie\"`.";
        problems.push(problem.with_help(help));
    }
}

/// `later` over `earlier`: records by key, lists one after the other.
fn merge(earlier: Value, later: Value) -> Value {
    let place = later.place.clone();
    let data = match (earlier.data, later.data) {
        (Data::Map(mut map), Data::Map(over)) => {
            // A default of the host's section must not hide what the workspace says.
            map.extend(over.into_iter().filter(|(_, value)| value.place.is_some()));
            Data::Map(map)
        }
        (Data::List(first), Data::List(then)) => Data::List([first, then].concat()),
        (_, later) => later,
    };
    Value { data, place }
}

fn complete(
    source: &Arc<Source>,
    mut written: BTreeMap<String, Value>,
    modules: &Modules,
) -> HostSpec {
    let mut active = Vec::new();
    for module in modules.by_name.values() {
        let named = module.sections.keys().any(|section| written.contains_key(section));
        if named || module.activation == Activation::Always {
            active.push(module.name.clone());
        }
        for (section, field) in &module.sections {
            let default = || Value::default(unset_data(field).unwrap_or(Data::Absent));
            written.entry(section.clone()).or_insert_with(default);
        }
    }
    HostSpec { source: Arc::clone(source), sections: written, active }
}
