//! Old unit, new unit → what the difference asks for.

use std::collections::BTreeSet;

use super::unit_file::Unit;

/// What a difference asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Difference {
    /// Nothing that a running unit would notice.
    Equal,
    /// The unit must read its configuration again.
    Reload,
    /// The unit must start anew.
    Restart,
}

/// Keys of `[Unit]` that say nothing about what runs.
const IGNORED: [&str; 12] = [
    "Description",
    "Documentation",
    "OnFailure",
    "OnSuccess",
    "OnFailureJobMode",
    "IgnoreOnIsolate",
    "StopWhenUnneeded",
    "RefuseManualStart",
    "RefuseManualStop",
    "AllowIsolate",
    "CollectMode",
    "SourcePath",
];

/// Compares two definitions of one unit.
///
/// `[Install]` is not looked at; a key or section that we do not know counts as a restart.
pub fn compare(old: &Unit, new: &Unit) -> Difference {
    let empty = std::collections::BTreeMap::new();
    let names: BTreeSet<&String> = old.sections().keys().chain(new.sections().keys()).collect();
    let mut most = Difference::Equal;
    for section in names.into_iter().filter(|name| *name != "Install") {
        let (before, after) = (old.sections().get(section), new.sections().get(section));
        // A section that came or went without a key changes nothing, one with keys does below.
        let (before, after) = (before.unwrap_or(&empty), after.unwrap_or(&empty));
        let keys: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
        for key in keys {
            let (was, is) = (before.get(key), after.get(key));
            if was != is {
                most = most.max(of_key(section, key, is.is_some()));
            }
        }
    }
    most
}

/// What a changed, added or (not `present`) removed key asks for.
fn of_key(section: &str, key: &str, present: bool) -> Difference {
    match (section, key) {
        ("Unit", key) if IGNORED.contains(&key) => Difference::Equal,
        ("Unit", "X-Reload-Triggers") | ("Service", "ExecReload") => {
            if present {
                Difference::Reload
            } else {
                Difference::Equal
            }
        }
        ("Mount", "Options") => Difference::Reload,
        _ => Difference::Restart,
    }
}
