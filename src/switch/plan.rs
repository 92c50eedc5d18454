//! The plan for units: one decision for each that runs, then what begins to be wanted.

use std::collections::{BTreeMap, BTreeSet};

use super::compare::{Difference, compare};
use super::observed::{Activity, Observed, Origin};
use super::reads::reads;
use super::unit_file::{Unit, UnitFile, stem, suffix, template_of};

/// Units of one system, as far as they matter.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SystemUnits {
    /// Definitions by name; a name that is not here has none.
    pub files: BTreeMap<String, UnitFile>,
    /// Who wants or requires a unit by a link, by the unit's name.
    pub wanted: BTreeMap<String, BTreeSet<String>>,
}

/// What a plan is made from.
#[derive(Debug, Clone, Copy)]
pub struct Inputs<'a> {
    /// What the service manager has loaded.
    pub observed: &'a BTreeMap<String, Observed>,
    /// Units of the system that runs.
    pub old: &'a SystemUnits,
    /// Units of the system to switch to.
    pub new: &'a SystemUnits,
    /// Those of the paths named by [`reads`] whose contents are other ones in the new system.
    pub changed: &'a BTreeSet<String>,
    /// By unit, a file that its processes run from and that is another one in the new system.
    pub programs: &'a BTreeMap<String, String>,
}

/// What to do with units; each is in one list only, except that what is stopped may start again.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UnitPlan {
    /// Before the switch.
    pub stop: BTreeSet<String>,
    /// After the switch, first.
    pub reload: BTreeSet<String>,
    /// Then.
    pub restart: BTreeSet<String>,
    /// At last.
    pub start: BTreeSet<String>,
    /// Units that would have to restart and must not, with the reason.
    pub kept: BTreeMap<String, String>,
    /// The reason for each unit that is touched.
    pub why: BTreeMap<String, String>,
}

/// What is done with one unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    Stop,
    StopAndStart,
    Reload,
    Restart,
    Start,
    Keep(&'static str),
}

/// Units whose restart takes the host, or whoever is logged in, down with it.
///
/// Of a template all instances. Source for the first four: needrestart's default `override_rc`,
/// Debian's package needrestart 3.8.
const NEVER: &[(&str, &str)] = &[
    ("dbus.service", "everything on the message bus would lose its connection"),
    ("dbus-broker.service", "everything on the message bus would lose its connection"),
    ("dbus.socket", "everything on the message bus would lose its connection"),
    ("systemd-logind.service", "sessions of logged-in users would be lost"),
    ("user@.service", "it belongs to a logged-in user"),
    ("user-runtime-dir@.service", "it belongs to a logged-in user"),
    ("getty@.service", "somebody may be logged in there"),
    ("serial-getty@.service", "somebody may be logged in there"),
    ("console-getty.service", "somebody may be logged in there"),
    ("container-getty@.service", "somebody may be logged in there"),
    ("autovt@.service", "somebody may be logged in there"),
];
/// Targets that many things hang on; what they want starts by itself.
const PASSIVE: [&str; 4] =
    ["sysinit.target", "basic.target", "multi-user.target", "graphical.target"];
/// Targets that must never be started by a switch.
const SLEEP: [&str; 4] =
    ["suspend.target", "hibernate.target", "hybrid-sleep.target", "suspend-then-hibernate.target"];
/// Mounts that the system itself stands on.
const BASE_MOUNTS: [&str; 9] = [
    "-.mount",
    "nix.mount",
    "usr.mount",
    "etc.mount",
    "var.mount",
    "home.mount",
    "root.mount",
    "srv.mount",
    "tmp.mount",
];

/// Plans what to do with units; the same inputs give the same plan.
pub fn plan_units(inputs: &Inputs<'_>) -> UnitPlan {
    let mut plan = UnitPlan::default();
    for (name, observed) in inputs.observed {
        let Some((action, why)) = decide(inputs, name, observed) else { continue };
        let changed_socket = suffix(name) == "socket" && action == Action::StopAndStart;
        plan.add(name, action, why);
        if changed_socket {
            make_way_for_socket(inputs, &mut plan, name);
        }
    }
    start_newly_wanted(inputs, &mut plan);
    stop_conflicting(inputs, &mut plan);
    plan.settle();
    plan
}

/// Units that ran `before` and do not run any more although the plan did not want that.
///
/// A unit goes down with one that it requires, and nothing brings it back by itself.
pub fn lost_units(
    before: &BTreeMap<String, Observed>,
    after: &BTreeMap<String, Observed>,
    new: &SystemUnits,
    plan: &UnitPlan,
) -> BTreeSet<String> {
    let runs = |unit: Option<&Observed>| unit.is_some_and(|u| u.activity == Activity::Active);
    let stopped = |name: &String| plan.stop.contains(name) && !plan.start.contains(name);
    let lost = before.iter().filter(|(name, unit)| {
        runs(Some(unit))
            && !runs(after.get(*name))
            && !stopped(name)
            && unit.origin == Origin::System
            && new.wanted.contains_key(*name)
            && matches!(new.files.get(*name), Some(UnitFile::Present { .. }))
    });
    lost.map(|(name, _)| name.clone()).collect()
}

/// What one loaded unit needs; `None` when it is left alone.
fn decide(inputs: &Inputs<'_>, name: &str, observed: &Observed) -> Option<(Action, String)> {
    let failed = observed.activity == Activity::Failed;
    if (observed.activity != Activity::Active && !failed) || observed.origin == Origin::Runtime {
        return None;
    }
    let old = inputs.old.files.get(name)?.parse()?;
    let new = match inputs.new.files.get(name).and_then(UnitFile::parse) {
        Some(new) => new,
        None if failed => return None,
        None => return removed(inputs, name, &old),
    };
    if !failed && no_longer_wanted(inputs, name) {
        return Some(guarded(name, &old, Action::Stop, "it is not enabled any more".into()));
    }
    let (difference, why) = difference(inputs, name, (&old, &new));
    if difference == Difference::Equal {
        return None;
    }
    if failed {
        return Some((Action::Start, format!("it had failed, and {why}")));
    }
    let action = match difference {
        Difference::Reload => Action::Reload,
        _ => restart_action(name, &old, &new)?,
    };
    Some(guarded(name, &new, action, why))
}

fn removed(inputs: &Inputs<'_>, name: &str, old: &Unit) -> Option<(Action, String)> {
    if old.boolean("Unit", "X-StopOnRemoval") == Some(false) {
        return None;
    }
    let masked = inputs.new.files.get(name) == Some(&UnitFile::Masked);
    let why = if masked { "it is masked now" } else { "the new system does not have it" };
    Some(guarded(name, old, Action::Stop, why.into()))
}

/// Whether a link that wanted the unit is gone and nothing else of the new system asks for it.
fn no_longer_wanted(inputs: &Inputs<'_>, name: &str) -> bool {
    if !inputs.old.wanted.contains_key(name) || inputs.new.wanted.contains_key(name) {
        return false;
    }
    let keys = ["Wants", "Requires", "BindsTo", "Upholds", "Sockets"];
    let asks = |unit: &Unit| {
        keys.iter().any(|key| {
            let section = if *key == "Sockets" { "Service" } else { "Unit" };
            unit.words(section, key).any(|word| word == name)
        })
    };
    let runs = |other: &String| {
        inputs.observed.get(other).is_some_and(|unit| unit.activity == Activity::Active)
    };
    let others = inputs.new.files.iter().filter(|(other, _)| *other != name && runs(other));
    !others.into_iter().any(|(_, file)| file.parse().is_some_and(|unit| asks(&unit)))
}

/// The strongest difference and its reason, from definition, files and programs.
fn difference(inputs: &Inputs<'_>, name: &str, (old, new): (&Unit, &Unit)) -> (Difference, String) {
    let mut most = (compare(old, new), "its definition changed".to_owned());
    let mut raise = |difference: Difference, why: String| {
        if difference > most.0 {
            most = (difference, why);
        }
    };
    if let Some(file) = inputs.programs.get(name) {
        raise(Difference::Restart, format!("it runs {file}, which changed"));
    }
    for (path, wanted) in reads(name, new) {
        if inputs.changed.contains(&path) {
            raise(wanted, format!("it reads {path}, which changed"));
        }
    }
    most
}

/// How a unit that must start anew does so; `None` when the service manager needs nothing for it.
fn restart_action(name: &str, old: &Unit, new: &Unit) -> Option<Action> {
    match suffix(name) {
        "target" => target_action(name, new),
        "slice" | "scope" | "device" => None,
        "mount" if BASE_MOUNTS.contains(&name) => {
            Some(Action::Keep("the system itself stands on it"))
        }
        "mount" if is_kernel_mount(name) => Some(Action::Keep("the kernel's own file system")),
        "socket" if name.starts_with("systemd-") => {
            Some(Action::Keep("systemd itself listens there"))
        }
        "socket" => Some(Action::StopAndStart),
        "service" if new.is_true("Service", "X-ReloadIfChanged") => Some(Action::Reload),
        "service" if stops_first(old, new) => Some(Action::StopAndStart),
        _ => Some(Action::Restart),
    }
}

/// Whether stopping must still happen with the old system's files.
fn stops_first(old: &Unit, new: &Unit) -> bool {
    match new.boolean("Service", "X-StopIfChanged") {
        Some(wanted) => wanted,
        None => ["ExecStop", "ExecStopPost"].iter().any(|k| !old.values("Service", k).is_empty()),
    }
}

fn target_action(name: &str, new: &Unit) -> Option<Action> {
    let manual = new.is_true("Unit", "RefuseManualStart") || only_manual(new);
    if manual || PASSIVE.contains(&name) || SLEEP.contains(&name) {
        return None;
    }
    // A target is started again so that it pulls what it newly wants.
    let barrier = new.is_true("Unit", "X-StopOnReconfiguration");
    Some(if barrier { Action::StopAndStart } else { Action::Start })
}

fn is_kernel_mount(name: &str) -> bool {
    ["dev-", "sys-", "proc-", "run-"].iter().any(|prefix| name.starts_with(prefix))
}

fn only_manual(unit: &Unit) -> bool {
    unit.is_true("Unit", "X-OnlyManualStart") || unit.is_true("Service", "X-OnlyManualStart")
}

/// Replaces an action that the unit does not allow, or that would do harm.
fn guarded(name: &str, unit: &Unit, action: Action, why: String) -> (Action, String) {
    let ends = matches!(action, Action::Stop | Action::StopAndStart | Action::Restart);
    let is = |known: &str| name == known || template_of(name).as_deref() == Some(known);
    let never = NEVER.iter().find(|(known, _)| is(known));
    let kept = match never {
        _ if !ends => None,
        Some((_, reason)) => Some(*reason),
        None if unit.is_true("Unit", "RefuseManualStop") => {
            Some("it refuses to be stopped by hand")
        }
        None if action == Action::Stop => None,
        None if unit.boolean("Service", "X-RestartIfChanged") == Some(false) => {
            Some("it asks not to be restarted")
        }
        None if only_manual(unit) => Some("it is started by hand only"),
        None => None,
    };
    (kept.map_or(action, Action::Keep), why)
}

/// A socket cannot be opened anew while its service runs.
fn make_way_for_socket(inputs: &Inputs<'_>, plan: &mut UnitPlan, socket: &str) {
    let unit = inputs.old.files.get(socket).and_then(UnitFile::parse).unwrap_or_default();
    let named = unit.values("Socket", "Service").last().cloned();
    let service = named.unwrap_or_else(|| format!("{}.service", stem(socket)));
    let runs = inputs.observed.get(&service).is_some_and(|u| u.activity == Activity::Active);
    let stays = matches!(inputs.new.files.get(&service), Some(UnitFile::Present { .. }));
    if runs && stays {
        // Who asks next starts it, unless it is enabled for itself.
        let enabled = inputs.new.wanted.contains_key(&service);
        let action = if enabled { Action::StopAndStart } else { Action::Stop };
        plan.add(&service, action, format!("its socket {socket} is opened anew"));
    }
}

/// Starts what begins to be wanted by something that runs, until nothing more follows.
fn start_newly_wanted(inputs: &Inputs<'_>, plan: &mut UnitPlan) {
    let activity = |name: &String| inputs.observed.get(name).map(|unit| unit.activity);
    loop {
        let runs = |by: &String| {
            (activity(by) == Some(Activity::Active) && !plan.stop.contains(by))
                || plan.start.contains(by)
        };
        let new = inputs.new.wanted.iter().filter_map(|(name, by)| {
            let known = inputs.old.wanted.get(name);
            let was_there = matches!(inputs.old.files.get(name), Some(UnitFile::Present { .. }));
            let is_new = |by: &&String| !was_there || known.is_none_or(|old| !old.contains(*by));
            let by = by.iter().filter(is_new).find(|by| runs(by))?;
            let unit = inputs.new.files.get(name)?.parse()?;
            let rests = activity(name) != Some(Activity::Active);
            let refuses = only_manual(&unit) || unit.is_true("Unit", "RefuseManualStart");
            let open = rests && !refuses && !plan.start.contains(name);
            open.then(|| (name.clone(), format!("{by} begins to want it")))
        });
        let new: Vec<_> = new.collect();
        if new.is_empty() {
            return;
        }
        for (name, why) in new {
            plan.add(&name, Action::Start, why);
        }
    }
}

/// Stops what runs and conflicts with what is about to start; systemd would do it in the middle.
fn stop_conflicting(inputs: &Inputs<'_>, plan: &mut UnitPlan) {
    let conflicts = |name: &str, with: &str| {
        let unit = inputs.new.files.get(name).and_then(UnitFile::parse);
        unit.is_some_and(|unit| unit.words("Unit", "Conflicts").any(|word| word == with))
    };
    let rests = |name: &&String| {
        inputs.observed.get(*name).is_none_or(|unit| unit.activity != Activity::Active)
    };
    let starting: Vec<String> = plan.start.iter().filter(rests).cloned().collect();
    let running = inputs.observed.iter().filter(|(_, unit)| unit.activity == Activity::Active);
    for (name, _) in running {
        let enemy = starting.iter().find(|new| conflicts(new, name) || conflicts(name, new));
        if let Some(enemy) = enemy {
            plan.start.remove(name);
            plan.add(name, Action::Stop, format!("it conflicts with {enemy}, which starts"));
        }
    }
}

impl UnitPlan {
    /// Whether nothing is touched.
    pub fn is_empty(&self) -> bool {
        [&self.stop, &self.reload, &self.restart, &self.start].iter().all(|list| list.is_empty())
    }

    /// Adds the units that use a secret that changes, as far as they run.
    pub fn add_users_of_secrets(
        &mut self,
        restart: &BTreeSet<String>,
        reload: &BTreeSet<String>,
        observed: &BTreeMap<String, Observed>,
    ) {
        for (units, action) in [(restart, Action::Restart), (reload, Action::Reload)] {
            for unit in units.iter().filter(|unit| observed.contains_key(*unit)) {
                if !self.kept.contains_key(unit) {
                    self.add(unit, action, "a secret that it uses changes".to_owned());
                }
            }
        }
        self.settle();
    }

    fn add(&mut self, name: &str, action: Action, why: String) {
        let name = name.to_owned();
        match action {
            Action::Keep(reason) => {
                self.kept.insert(name, format!("{why}; {reason}"));
                return;
            }
            Action::Stop => drop(self.stop.insert(name.clone())),
            Action::StopAndStart => {
                self.stop.insert(name.clone());
                self.start.insert(name.clone());
            }
            Action::Reload => drop(self.reload.insert(name.clone())),
            Action::Restart => drop(self.restart.insert(name.clone())),
            Action::Start => drop(self.start.insert(name.clone())),
        }
        self.why.entry(name).or_insert(why);
    }

    /// The stronger of two actions stands: what stops neither restarts nor reloads.
    fn settle(&mut self) {
        let Self { stop, reload, restart, start, .. } = self;
        restart.retain(|name| !stop.contains(name));
        reload.retain(|name| !stop.contains(name) && !restart.contains(name));
        start.retain(|name| !restart.contains(name));
        self.kept.retain(|name, _| !self.stop.contains(name));
    }
}
