//! The plan of a switch as JSON: shown to people, logged, compared in tests.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::plan::UnitPlan;
use crate::generation::Level;

/// Version of the form: raised when a field changes its meaning.
const FORMAT: u32 = 1;

/// What an activation will do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SwitchPlan {
    /// The system to switch to, as a full path.
    pub system: String,
    /// The system that runs, as a full path.
    pub from: String,
    /// How deep the change goes.
    pub level: Level,
    /// Why not less deep.
    pub why: Vec<String>,
    /// What happens to units when it is done live.
    pub units: UnitPlan,
    /// Names of secrets that are new, gone, or other ones than those in use.
    pub secrets: BTreeSet<String>,
    /// Whether the service manager itself changed.
    pub reexec: bool,
    /// Whether it must read all units anew: they, or what generators make units from, changed.
    pub daemon_reload: bool,
    /// Whether files and directories below `/var`, `/run` and `/tmp` are made anew.
    pub tmpfiles: bool,
}

/// A text that is not a plan.
#[derive(Debug, Error)]
pub enum TextError {
    /// Not JSON, or with fields that are missing or unknown.
    #[error("the plan is not valid JSON of our form")]
    Json(#[source] serde_json::Error),
    /// Another version, or a word that is no level.
    #[error("the plan has a format or level that this program does not know")]
    Unknown,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPlan {
    format: u32,
    system: String,
    from: String,
    level: String,
    why: Vec<String>,
    stop: BTreeSet<String>,
    reload: BTreeSet<String>,
    restart: BTreeSet<String>,
    start: BTreeSet<String>,
    kept: Vec<RawKept>,
    secrets: BTreeSet<String>,
    reexec: bool,
    daemon_reload: bool,
    tmpfiles: bool,
    changed: BTreeMap<String, String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawKept {
    unit: String,
    why: String,
}

impl SwitchPlan {
    /// The plan as a JSON value.
    pub fn to_json(&self) -> serde_json::Value {
        let kept = self.units.kept.iter();
        let raw = RawPlan {
            format: FORMAT,
            system: self.system.clone(),
            from: self.from.clone(),
            level: self.level.to_string(),
            why: self.why.clone(),
            stop: self.units.stop.clone(),
            reload: self.units.reload.clone(),
            restart: self.units.restart.clone(),
            start: self.units.start.clone(),
            kept: kept
                .map(|(unit, why)| RawKept { unit: unit.clone(), why: why.clone() })
                .collect(),
            secrets: self.secrets.clone(),
            reexec: self.reexec,
            daemon_reload: self.daemon_reload,
            tmpfiles: self.tmpfiles,
            changed: self.units.why.clone(),
        };
        serde_json::to_value(&raw).expect("plain data can be written")
    }

    /// Reads what [`SwitchPlan::to_json`] wrote.
    ///
    /// # Errors
    ///
    /// Another form or version.
    pub fn parse(text: &str) -> Result<Self, TextError> {
        let raw: RawPlan = serde_json::from_str(text).map_err(TextError::Json)?;
        let level = Level::from_word(&raw.level).ok_or(TextError::Unknown)?;
        if raw.format != FORMAT {
            return Err(TextError::Unknown);
        }
        let units = UnitPlan {
            stop: raw.stop,
            reload: raw.reload,
            restart: raw.restart,
            start: raw.start,
            kept: raw.kept.into_iter().map(|kept| (kept.unit, kept.why)).collect(),
            why: raw.changed,
        };
        Ok(Self {
            system: raw.system,
            from: raw.from,
            level,
            why: raw.why,
            units,
            secrets: raw.secrets,
            reexec: raw.reexec,
            daemon_reload: raw.daemon_reload,
            tmpfiles: raw.tmpfiles,
        })
    }
}
