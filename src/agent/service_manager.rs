//! What the agent asks of systemd.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::error::AgentError;
use super::places::Places;
use super::process::{run, succeed};
use crate::switch::{Observed, Origin, parse_units};

/// The program.
const SYSTEMCTL: &str = "/usr/bin/systemctl";
/// How long a question takes at most.
const ASK: Duration = Duration::from_secs(60);
/// How long reading all units anew takes at most.
const RELOAD: Duration = Duration::from_secs(120);
/// How long units may take to stop or start; systemd's own default is 90 s for each.
const JOBS: Duration = Duration::from_secs(180);

/// Folders of units that are in no system.
const RUNTIME: [(&str, Origin); 7] = [
    ("run/systemd/generator.late", Origin::Generator),
    ("run/systemd/generator", Origin::Generator),
    ("run/systemd/generator.early", Origin::Generator),
    ("run/systemd/system", Origin::Runtime),
    ("run/systemd/system.control", Origin::Runtime),
    ("run/systemd/transient", Origin::Runtime),
    ("etc/systemd/system.control", Origin::Runtime),
];

/// All units that run, start, stop or have failed.
///
/// One question only: asking for properties of each unit takes as long as the whole switch.
pub fn observed(places: &Places) -> Result<BTreeMap<String, Observed>, AgentError> {
    let words = [SYSTEMCTL, "list-units", "--plain", "--no-legend", "--no-pager", "--full"];
    let mut units = parse_units(&succeed(&words, ASK)?);
    for (folder, origin) in RUNTIME {
        for entry in std::fs::read_dir(places.at(folder)).into_iter().flatten().flatten() {
            let name = entry.file_name().into_string().unwrap_or_default();
            if let Some(unit) = units.get_mut(&name) {
                unit.origin = origin;
            }
        }
    }
    Ok(units)
}

/// What is done with units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// Ends them.
    Stop,
    /// Has them read their configuration again.
    Reload,
    /// Ends and starts them.
    Restart,
    /// Starts them.
    Start,
}

impl Verb {
    /// The word for systemctl, and for events.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Reload => "reload",
            Self::Restart => "restart",
            Self::Start => "start",
        }
    }
}

/// Does something with units, all at once, and waits for the end; tells what went wrong.
///
/// # Errors
///
/// When systemd cannot be asked; units that fail are lines of the answer.
pub fn act(verb: Verb, units: &BTreeSet<String>) -> Result<Vec<String>, AgentError> {
    if units.is_empty() {
        return Ok(Vec::new());
    }
    let mut words = vec![SYSTEMCTL, verb.as_str(), "--no-ask-password", "--"];
    words.extend(units.iter().map(String::as_str));
    let ended = run(&words, JOBS)?;
    if ended.success {
        return Ok(Vec::new());
    }
    let lines =
        ended.errors.lines().filter(|line| line.starts_with("Job") || line.contains("ailed"));
    let mut lines: Vec<String> = lines.map(str::to_owned).collect();
    if lines.is_empty() {
        lines.push(format!("systemctl {} ended with {}", verb.as_str(), ended.status));
    }
    Ok(lines)
}

/// Forgets that units failed, so that they may be started however often they did.
pub fn reset_failed(units: &BTreeSet<String>) -> Result<(), AgentError> {
    for unit in units {
        // A unit that is not loaded has nothing to forget.
        run(&[SYSTEMCTL, "reset-failed", "--", unit], ASK)?;
    }
    Ok(())
}

/// Reads all units anew; with `reexec` the manager itself becomes the program of the new system.
pub fn reload(reexec: bool) -> Result<(), AgentError> {
    let verb = if reexec { "daemon-reexec" } else { "daemon-reload" };
    succeed(&[SYSTEMCTL, verb], RELOAD).map(drop)
}

/// Whether a unit is active.
pub fn is_active(unit: &str) -> Result<bool, AgentError> {
    Ok(run(&[SYSTEMCTL, "is-active", "--quiet", "--", unit], ASK)?.success)
}

/// Units that have failed.
pub fn failed() -> Result<BTreeSet<String>, AgentError> {
    let words = [SYSTEMCTL, "list-units", "--failed", "--plain", "--no-legend", "--no-pager"];
    let text = succeed(&words, ASK)?;
    let names = text.lines().filter_map(|line| line.split_ascii_whitespace().next());
    Ok(names.map(str::to_owned).collect())
}

/// Runs a command in a unit of its own, which outlives whoever asked for it.
pub fn start_transient(
    unit: &str,
    properties: &[&str],
    command: &[&str],
) -> Result<(), AgentError> {
    let unit = format!("--unit={unit}");
    let mut words = vec!["/usr/bin/systemd-run", &unit, "--collect", "--quiet"];
    words.extend(properties);
    words.push("--");
    words.extend(command);
    succeed(&words, ASK).map(drop)
}

/// Ends a unit that this program started, if it still runs.
pub fn stop_quietly(unit: &str) -> Result<(), AgentError> {
    run(&[SYSTEMCTL, "stop", "--", unit], ASK).map(drop)
}

/// Begins a reboot, or with `soft` a new start of user space only.
pub fn reboot(soft: bool) -> Result<(), AgentError> {
    let verb = if soft { "soft-reboot" } else { "reboot" };
    succeed(&[SYSTEMCTL, "--no-block", verb], ASK).map(drop)
}
