//! What runs: the answer of `systemctl show` as a value.

use std::collections::BTreeMap;

/// Properties that [`parse_show`] wants to be asked for.
pub const PROPERTIES: &str = "Id,ActiveState,SubState,FragmentPath,DropInPaths,TriggeredBy,Triggers,Transient,ControlGroup,MainPID";

/// A unit that the service manager has loaded.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Observed {
    /// What it does now.
    pub activity: Activity,
    /// Its file; empty when it has none.
    pub fragment: String,
    /// Sockets, timers and paths that start it.
    pub triggered_by: Vec<String>,
    /// What it starts.
    pub triggers: Vec<String>,
    /// Whether it was made by a program and is in no file of the system.
    pub transient: bool,
    /// Its control group, below the root of all.
    pub control_group: String,
    /// Its main process; 0 when there is none.
    pub main_pid: u32,
}

/// What a unit does now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Activity {
    /// Nothing.
    #[default]
    Inactive,
    /// It runs, starts, or reloads.
    Active,
    /// It is being stopped.
    Deactivating,
    /// It ended in a way that it should not.
    Failed,
}

/// Reads what `systemctl show --all --property=… '*'` wrote: blocks of `Key=value`, separated by an
/// empty line. What cannot be understood is left out.
pub fn parse_show(text: &str) -> BTreeMap<String, Observed> {
    let mut units = BTreeMap::new();
    for block in text.split("\n\n") {
        let (mut name, mut sub) = ("", "");
        let mut unit = Observed::default();
        for line in block.lines() {
            let Some((key, value)) = line.split_once('=') else { continue };
            let words = || value.split_ascii_whitespace().map(str::to_owned).collect();
            match key {
                "Id" => name = value,
                "ActiveState" => unit.activity = activity(value),
                "SubState" => sub = value,
                "FragmentPath" => value.clone_into(&mut unit.fragment),
                "TriggeredBy" => unit.triggered_by = words(),
                "Triggers" => unit.triggers = words(),
                "Transient" => unit.transient = value == "yes",
                "ControlGroup" => value.clone_into(&mut unit.control_group),
                "MainPID" => unit.main_pid = value.parse().unwrap_or(0),
                _ => {}
            }
        }
        // It has failed already, whatever it is going to try.
        if sub == "auto-restart" {
            unit.activity = Activity::Failed;
        }
        if !name.is_empty() {
            units.insert(name.to_owned(), unit);
        }
    }
    units
}

fn activity(word: &str) -> Activity {
    match word {
        "active" | "activating" | "reloading" | "refreshing" => Activity::Active,
        "deactivating" => Activity::Deactivating,
        "failed" => Activity::Failed,
        _ => Activity::Inactive,
    }
}
