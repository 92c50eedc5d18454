//! What runs, as values.

use super::unit_file::suffix;

/// A unit that the service manager has loaded.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Observed {
    /// What it does now.
    pub activity: Activity,
    /// Where its definition comes from.
    pub origin: Origin,
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

/// Where a unit's definition comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Origin {
    /// A file of the system, or none at all.
    #[default]
    System,
    /// A generator, at boot or when units were read anew.
    Generator,
    /// A program or a person, until the next boot.
    Runtime,
}

impl Observed {
    /// A unit of a system, from systemd's words for its state and the state of its kind.
    pub fn of_states(active: &str, sub: &str) -> Self {
        // It has failed already, whatever it is going to try.
        let active = if sub == "auto-restart" { "failed" } else { active };
        Self { activity: activity(active), origin: Origin::System }
    }
}

/// The unit whose processes a control group holds: the first part below the slices. Source: "Control
/// Groups" in systemd's `docs/CGROUP_DELEGATION.md`.
pub fn unit_of_group(group: &str) -> Option<&str> {
    let mut parts = group.split('/').filter(|part| !part.is_empty());
    parts.find(|part| suffix(part) != "slice").filter(|part| !suffix(part).is_empty())
}

fn activity(word: &str) -> Activity {
    match word {
        "active" | "activating" | "reloading" | "refreshing" => Activity::Active,
        "deactivating" => Activity::Deactivating,
        "failed" => Activity::Failed,
        _ => Activity::Inactive,
    }
}
