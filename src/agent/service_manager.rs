//! What the agent asks of systemd.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::bus::{self, Body, Properties, Property, Values};
use super::error::AgentError;
use super::places::Places;
use super::process::succeed;
use crate::switch::{Observed, Origin};

/// The program.
const SYSTEMCTL: &str = "/usr/bin/systemctl";
/// How long a question takes at most.
const ASK: Duration = Duration::from_secs(60);
/// How long reading all units anew takes at most.
const RELOAD: Duration = Duration::from_secs(120);
/// How long units may take to stop or start; systemd's own default is 90 s for each.
const JOBS: Duration = Duration::from_secs(180);
/// What services have that other units have not. Source: org.freedesktop.systemd1(5).
const SERVICE: &str = "org.freedesktop.systemd1.Service";
const MICROSECONDS: u64 = 1_000_000;
/// How late a timer may fire, in microseconds.
const TIMER_ACCURACY: u64 = 50_000;
/// What keeps our own services alive when memory is short (proc(5): -1000 to 1000).
pub(super) const LAST_TO_BE_KILLED: (&str, Property<'_>) =
    ("OOMScoreAdjust", Property::Signed(-900));

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

/// A unit as systemd lists it.
struct Listed {
    name: String,
    /// Its place on the bus.
    object: String,
    /// Whether `systemctl list-units` shows it: it is not inactive, or is about not to be, and no other name of
    /// another unit. Source: `output_show_unit` in systemd's `src/systemctl/systemctl-list-units.c`.
    shown: bool,
    active: String,
    sub: String,
}

/// Asks for lists of units: name, description, whether it is loaded, state, state of its kind, the unit that it
/// follows, object, number, type and object of its job.
fn list(method: &'static str, signature: &str, values: Body) -> Result<Vec<Listed>, AgentError> {
    let answer = bus::call(method, signature, values)?;
    let read = |unit: &mut Values<'_>| {
        let (name, _description, _loaded) = (unit.string()?, unit.string()?, unit.string()?);
        let (active, sub, follows) = (unit.string()?, unit.string()?, unit.string()?);
        let (object, job, _kind, _job_object) =
            (unit.string()?, unit.u32()?, unit.string()?, unit.string()?);
        let shown = follows.is_empty() && (job > 0 || active != "inactive");
        let (name, object) = (name.to_owned(), object.to_owned());
        let (active, sub) = (active.to_owned(), sub.to_owned());
        Some(Listed { name, object, shown, active, sub })
    };
    bus::read(method, &answer, |values| values.structures(read))
}

/// All units that run, start, stop or have failed.
///
/// One question only: asking for properties of each unit takes as long as the whole switch.
pub fn observed(places: &Places) -> Result<BTreeMap<String, Observed>, AgentError> {
    let listed = list("ListUnits", "", Body::default())?.into_iter().filter(|unit| unit.shown);
    let mut units: BTreeMap<String, Observed> = listed
        .map(|unit| {
            let observed = Observed::of_states(&unit.active, &unit.sub);
            (unit.name, observed)
        })
        .collect();
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
    /// The word for events.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Reload => "reload",
            Self::Restart => "restart",
            Self::Start => "start",
        }
    }

    fn method(self) -> &'static str {
        match self {
            Self::Stop => "StopUnit",
            Self::Reload => "ReloadUnit",
            Self::Restart => "RestartUnit",
            Self::Start => "StartUnit",
        }
    }
}

/// Does something with units, all at once, and waits for the end; tells what went wrong.
///
/// # Errors
///
/// When systemd cannot be asked; units that fail are lines of the answer.
pub fn act(verb: Verb, units: &BTreeSet<String>) -> Result<Vec<String>, AgentError> {
    if units.is_empty() { Ok(Vec::new()) } else { bus::jobs(verb.method(), units, JOBS) }
}

/// Forgets that units failed, so that they may be started however often they did.
pub fn reset_failed(units: &BTreeSet<String>) -> Result<(), AgentError> {
    for unit in units {
        let mut values = Body::default();
        values.string(unit);
        match bus::call("ResetFailedUnit", "s", values) {
            // A unit that is not loaded has nothing to forget.
            Ok(_) | Err(AgentError::Systemd { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Reads all units anew; with `reexec` the manager itself becomes the program of the new system.
pub fn reload(reexec: bool) -> Result<(), AgentError> {
    if reexec {
        // Its end is that of the connection, which the program knows best to wait for.
        return succeed(&[SYSTEMCTL, "daemon-reexec"], RELOAD).map(drop);
    }
    bus::call("Reload", "", Body::default()).map(drop)
}

/// Whether a unit is active.
pub fn is_active(unit: &str) -> Result<bool, AgentError> {
    let listed = list_by_names(&[unit])?;
    Ok(listed.iter().any(|unit| ["active", "reloading", "refreshing"].contains(&&*unit.active)))
}

fn list_by_names(units: &[&str]) -> Result<Vec<Listed>, AgentError> {
    let mut names = Body::default();
    names.strings(units);
    list("ListUnitsByNames", "as", names)
}

/// What systemd knows of a service.
#[derive(Debug)]
pub(super) struct Service {
    /// When it counts as started: `Type=` of systemd.service(5).
    pub(super) kind: String,
    /// How often systemd has started it again since somebody started it.
    pub(super) restarts: u32,
}

/// Those of `units` that are services, by name.
///
/// # Errors
///
/// When systemd cannot be asked.
pub(super) fn services(units: &BTreeSet<String>) -> Result<BTreeMap<String, Service>, AgentError> {
    let names: Vec<&str> =
        units.iter().map(String::as_str).filter(|unit| unit.ends_with(".service")).collect();
    if names.is_empty() {
        return Ok(BTreeMap::new());
    }
    let listed = list_by_names(&names)?;
    let wanted: Vec<(&str, &str, &str)> = listed
        .iter()
        .flat_map(|unit| ["Type", "NRestarts"].map(|name| (&*unit.object, SERVICE, name)))
        .collect();
    let answers = bus::properties(&wanted)?;
    let read = |(unit, answers): (Listed, &[Vec<u8>])| {
        let kind = bus::read("Get", &answers[0], |values| {
            values.signature().filter(|of| *of == "s")?;
            values.string().map(str::to_owned)
        })?;
        let restarts = bus::read("Get", &answers[1], |values| {
            values.signature().filter(|of| *of == "u")?;
            values.u32()
        })?;
        Ok((unit.name, Service { kind, restarts }))
    };
    listed.into_iter().zip(answers.chunks(2)).map(read).collect()
}

/// Properties of a unit by name, as `systemctl show` writes them.
pub(super) type Shown = BTreeMap<String, String>;

/// Properties of some units, by unit; what a unit has not is missing.
///
/// # Errors
///
/// When systemd cannot be asked.
pub(super) fn properties(
    units: &BTreeSet<String>,
    names: &[&str],
) -> Result<BTreeMap<String, Shown>, AgentError> {
    if units.is_empty() {
        return Ok(BTreeMap::new());
    }
    let wanted = format!("--property=Id,{}", names.join(","));
    let words = [SYSTEMCTL, "show", &wanted, "--"];
    let units: Vec<&str> = units.iter().map(String::as_str).collect();
    let text = succeed(&[&words, &units[..]].concat(), RELOAD)?;
    Ok(text.split("\n\n").filter_map(of_block).collect())
}

/// The name of a unit, and its properties, from the lines that `systemctl show` has for it.
fn of_block(block: &str) -> Option<(String, Shown)> {
    let pairs = block.lines().filter_map(|line| line.split_once('='));
    let mut of: Shown = pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    of.remove("Id").map(|id| (id, of))
}

/// Units that have failed.
pub fn failed() -> Result<BTreeSet<String>, AgentError> {
    let mut states = Body::default();
    states.strings(&["failed"]);
    let listed = list("ListUnitsFiltered", "as", states)?;
    Ok(listed.into_iter().map(|unit| unit.name).collect())
}

/// What units of our own have in common: they are gone when they have ended, also when they have failed.
const GONE_AT_THE_END: (&str, Property<'_>) = ("CollectMode", Property::Text("inactive-or-failed"));

/// Starts a service that runs `command` and outlives whoever asked for it; does not wait until it runs.
pub(super) fn start_service(
    unit: &str,
    properties: &Properties<'_>,
    command: &[&str],
) -> Result<(), AgentError> {
    let own = [GONE_AT_THE_END, ("ExecStart", Property::Command(command))];
    start_transient(unit, &[&own, properties].concat(), &[])
}

/// Starts `<unit>.timer`, which runs `command` in `<unit>.service` after so many seconds.
pub(super) fn start_timer(
    unit: &str,
    seconds: u32,
    properties: &Properties<'_>,
    command: &[&str],
) -> Result<(), AgentError> {
    let own = [GONE_AT_THE_END, ("ExecStart", Property::Command(command))];
    let service = [&own, properties].concat();
    let after = u64::from(seconds) * MICROSECONDS;
    let timer = [
        GONE_AT_THE_END,
        ("RemainAfterElapse", Property::Flag(false)),
        ("TimersMonotonic", Property::Timer("OnActiveSec", after)),
        ("AccuracyUSec", Property::Unsigned(TIMER_ACCURACY)),
    ];
    start_transient(&format!("{unit}.timer"), &timer, &[(&format!("{unit}.service"), &service)])
}

fn start_transient(
    unit: &str,
    properties: &Properties<'_>,
    others: &[(&str, &Properties<'_>)],
) -> Result<(), AgentError> {
    let mut values = Body::default();
    values.string(unit);
    // There is none of this name, or it is a mistake.
    values.string("fail");
    values.properties(properties);
    values.units(others);
    bus::call("StartTransientUnit", "ssa(sv)a(sa(sv))", values).map(drop)
}

/// Ends units that this program started, those that still run, and waits for their end.
pub fn stop_quietly(units: &[String]) -> Result<(), AgentError> {
    // One that is not there has ended.
    act(Verb::Stop, &units.iter().cloned().collect()).map(drop)
}

/// Begins a reboot, or with `soft` a new start of user space only.
pub fn reboot(soft: bool) -> Result<(), AgentError> {
    let verb = if soft { "soft-reboot" } else { "reboot" };
    succeed(&[SYSTEMCTL, "--no-block", verb], ASK).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_are_those_of_their_unit() {
        let text =
            "NRestarts=0\nId=a.service\n\nNRestarts=3\nId=b.service\nType=\n\nId=c.service\n";
        let found: BTreeMap<_, _> = text.split("\n\n").filter_map(of_block).collect();
        let of = |unit: &str, name: &str| found[unit].get(name).map(String::as_str);
        assert_eq!(found.len(), 3);
        assert_eq!(
            (of("a.service", "NRestarts"), of("b.service", "NRestarts")),
            (Some("0"), Some("3"))
        );
        assert_eq!((of("b.service", "Type"), of("c.service", "Type")), (Some(""), None));
    }
}
