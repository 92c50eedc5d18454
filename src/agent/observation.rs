//! Looks at the host and at two systems, and makes the plan of a switch from it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use super::differences::Differences;
use super::error::AgentError;
use super::places::{Places, shown};
use super::secrets;
use super::service_manager;
use super::stage::Staged;
use super::trees::{InPlace, KnownTrees, Names, Stage, differs};
use super::unit_files::Tree;
use crate::boot::MOUNT_POINTS;
use crate::exec::files::read_limited;
use crate::store::StorePath;
use crate::switch::{
    Inputs, Observed, Origin, Policy, SwitchPlan, SystemFacts, SystemUnits, Unit, UnitPlan,
    plan_level, plan_units, reads, unit_of_group,
};

/// Where the service manager's own program and libraries lie.
const MANAGER: [&str; 3] =
    ["/usr/lib/systemd/systemd", "/etc/systemd/system.conf", "/etc/systemd/system.conf.d"];
/// What the service manager and its generators read.
const UNITS: [&str; 6] = [
    "/etc/systemd",
    "/usr/lib/systemd",
    "/usr/local/lib/systemd",
    "/etc/fstab",
    "/etc/crypttab",
    "/etc/init.d",
];
/// Files from which directories and files below `/var`, `/run` and `/tmp` are made.
const TMPFILES: [&str; 3] = ["/usr/lib/tmpfiles.d", "/etc/tmpfiles.d", "/usr/share/factory"];
/// Most bytes of a process's map of memory.
const MAPS_BYTES_MAX: u64 = 16 << 20;

/// A plan and what it was made from.
#[derive(Debug)]
pub struct Observation {
    /// What will be done.
    pub plan: SwitchPlan,
    /// What ran when it was made.
    pub observed: BTreeMap<String, Observed>,
    /// Units of the system to switch to.
    pub new: SystemUnits,
    /// The system to switch to, ready to be put in place.
    pub staged: Staged,
    /// What is in place.
    pub in_place: InPlace,
    /// Mounts since boot.
    pub known: KnownTrees,
    names: NamesOfAll,
}

/// Names of every system that processes may run from.
#[derive(Debug)]
struct NamesOfAll {
    by_system: BTreeMap<StorePath, Names>,
    target: StorePath,
    differences: Differences,
}

/// Makes the plan for a switch from what is in place to `target`.
///
/// Changes nothing that anybody else sees.
///
/// # Errors
///
/// When `target` is no system or has secrets that this host cannot decrypt, or when the host cannot be
/// looked at.
pub fn observe(
    places: &Places,
    stage: &Stage,
    target: &StorePath,
    booted: &StorePath,
    policy: Policy,
) -> Result<Observation, AgentError> {
    let in_place = InPlace::look(places, booted)?;
    let mut known = KnownTrees::load(places);
    known.note(&in_place);
    // Halfway between two systems, the one that was booted is as good as any to compare with.
    let from = in_place.system().unwrap_or(booted).clone();
    let mut by_system = BTreeMap::new();
    for system in known.systems().chain([target, &from]) {
        if !by_system.contains_key(system) {
            by_system.insert(system.clone(), Names::mount(places, stage, system)?);
        }
    }
    let differences = Differences::load(places);
    let names = NamesOfAll { by_system, target: target.clone(), differences };
    let staged = Staged::new(places, stage, target, names.target())?;
    let observed = service_manager::observed(places)?;
    let interesting: BTreeSet<String> = observed
        .iter()
        .filter(|(_, unit)| unit.origin == Origin::System)
        .map(|(name, _)| name.clone())
        .collect();
    let old = Tree::at(places.at("")).units(&interesting);
    let new = Tree::at(staged.directory()).units(&interesting);
    let changed = names.changed(&from, &watched(&new));
    let programs = names.programs(places, &known, &observed);
    let mut running = RunningPrograms { names: &names, known: &known, seen: BTreeMap::new() };
    let manager = running.changed(places, 1);
    let mut units = plan_units(&Inputs {
        observed: &observed,
        old: &old,
        new: &new,
        changed: &changed,
        programs: &programs,
    });
    let changes = secrets::check(&staged)?;
    units.add_users_of_secrets(&changes.restart, &changes.reload, &observed);
    let (level, why) = plan_level(&facts(places, &from), &facts(places, target), policy);
    let any_differs = |paths: &[&str]| paths.iter().any(|path| names.differs(&from, path));
    let plan = SwitchPlan {
        system: shown(target),
        from: shown(&from),
        level,
        why,
        units,
        secrets: changes.secrets,
        reexec: any_differs(&MANAGER) || manager.is_some(),
        daemon_reload: any_differs(&UNITS),
        tmpfiles: any_differs(&TMPFILES),
    };
    names.differences.save(places)?;
    Ok(Observation { plan, observed, new, staged, in_place, known, names })
}

impl Observation {
    /// Units whose processes still run programs of another system than the target, after a switch.
    pub fn laggards(
        &self,
        places: &Places,
        observed: &BTreeMap<String, Observed>,
    ) -> BTreeMap<String, String> {
        self.names.programs(places, &KnownTrees::load(places), observed)
    }

    /// What to do about laggards, by the same rules as for the switch itself.
    pub fn plan_for_laggards(
        &self,
        observed: &BTreeMap<String, Observed>,
        programs: &BTreeMap<String, String>,
    ) -> UnitPlan {
        // Only programs count now: both sides are the new system.
        plan_units(&Inputs {
            observed,
            old: &self.new,
            new: &self.new,
            changed: &BTreeSet::new(),
            programs,
        })
    }
}

impl NamesOfAll {
    fn target(&self) -> &Names {
        &self.by_system[&self.target]
    }

    fn differs(&self, from: &StorePath, path: &str) -> bool {
        let compare = |old| differs(old, self.target(), path);
        self.by_system
            .get(from)
            .is_none_or(|old| self.differences.differs((from, &self.target, path), || compare(old)))
    }

    fn changed(&self, from: &StorePath, paths: &BTreeSet<String>) -> BTreeSet<String> {
        paths.iter().filter(|path| self.differs(from, path)).cloned().collect()
    }

    /// By unit, a file that one of its processes runs from and that is another one in the target.
    fn programs(
        &self,
        places: &Places,
        known: &KnownTrees,
        observed: &BTreeMap<String, Observed>,
    ) -> BTreeMap<String, String> {
        let mut programs = BTreeMap::new();
        let mut running = RunningPrograms { names: self, known, seen: BTreeMap::new() };
        for process in processes(places) {
            let Some(unit) = unit_of(places, process) else { continue };
            if !programs.contains_key(&unit)
                && observed.contains_key(&unit)
                && let Some(file) = running.changed(places, process)
            {
                programs.insert(unit, file);
            }
        }
        programs
    }
}

/// Looks at what processes run from; most run from the same libraries.
struct RunningPrograms<'a> {
    names: &'a NamesOfAll,
    known: &'a KnownTrees,
    /// By device and path: the full path when it is another file in the target.
    seen: BTreeMap<(String, String), Option<String>>,
}

impl RunningPrograms<'_> {
    /// A file that the process runs from and that is another one in the target.
    fn changed(&mut self, places: &Places, process: u32) -> Option<String> {
        let maps = places.at(&format!("proc/{process}/maps"));
        let text = read_limited(&maps, MAPS_BYTES_MAX).ok()?;
        let text = String::from_utf8_lossy(&text);
        let files: BTreeSet<(&str, &str)> = text.lines().filter_map(mapped_program).collect();
        files.into_iter().find_map(|(device, path)| {
            let key = (device.to_owned(), path.to_owned());
            if !self.seen.contains_key(&key) {
                let changed = self.changed_file(device, path);
                self.seen.insert(key.clone(), changed);
            }
            self.seen[&key].clone()
        })
    }

    fn changed_file(&self, device: &str, path: &str) -> Option<String> {
        let (part, system) = self.known.of_device(&plain_device(device)?)?;
        // In a tree that was detached, a path begins at the tree's own root.
        let top = format!("/{part}/");
        let inner = path.strip_prefix(&top).unwrap_or(path.trim_start_matches('/'));
        let full = format!("{top}{}", inner.trim_end_matches(" (deleted)"));
        self.names.differs(system, &full).then_some(full)
    }
}

/// Device number and path of an executable mapping of a file. Form: `proc_pid_maps(5)`.
fn mapped_program(line: &str) -> Option<(&str, &str)> {
    let mut words = line.split_ascii_whitespace();
    let (_range, rights, _offset) = (words.next()?, words.next()?, words.next()?);
    let device = words.next()?;
    let path = &line[line.find('/')?..];
    (rights.contains('x') && device != "00:00").then_some((device, path))
}

/// `00:1a` of a map of memory as `0:26` of the table of mounts.
fn plain_device(text: &str) -> Option<String> {
    let (major, minor) = text.split_once(':')?;
    let number = |text| u32::from_str_radix(text, 16).ok();
    Some(format!("{}:{}", number(major)?, number(minor)?))
}

fn processes(places: &Places) -> Vec<u32> {
    let entries = fs::read_dir(places.at("proc")).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// The unit that the process belongs to.
fn unit_of(places: &Places, process: u32) -> Option<String> {
    let text = read_limited(&places.at(&format!("proc/{process}/cgroup")), 1 << 16).ok()?;
    let text = String::from_utf8_lossy(&text);
    let group = text.lines().find_map(|line| line.strip_prefix("0::"))?;
    unit_of_group(group).map(str::to_owned)
}

/// Files that the units of a system read.
fn watched(units: &SystemUnits) -> BTreeSet<String> {
    let parsed = units.files.iter().filter_map(|(name, file)| Some((name, file.parse()?)));
    parsed.flat_map(|(name, unit): (&String, Unit)| reads(name, &unit).into_keys()).collect()
}

/// What of a system only a boot can change.
pub fn facts(places: &Places, system: &StorePath) -> SystemFacts {
    let path = places.store_path(system);
    let link =
        |name: &str| fs::read_link(path.join(name)).ok().map(|target| target.display().to_string());
    let text = |name: &str| {
        let bytes = read_limited(&path.join(name), 1 << 20).unwrap_or_default();
        String::from_utf8_lossy(&bytes).trim().to_owned()
    };
    SystemFacts {
        kernel: link("kernel"),
        initrd: link("initrd"),
        arguments: text("params"),
        mount_points: text(MOUNT_POINTS).lines().map(str::to_owned).collect(),
    }
}

#[cfg(test)]
mod tests;
