//! What somebody's hand did to the units of a host: those that run although nothing of the system asks for them, and
//! those that do not although it does.

use std::collections::{BTreeMap, BTreeSet};

use super::error::AgentError;
use super::places::Places;
use super::service_manager;
use super::unit_files::Tree;
use crate::switch::{Activity, Observed, suffix};

/// Kinds of units that people start and stop.
const KINDS: [&str; 4] = ["path", "service", "socket", "timer"];
/// Links from a unit to those that brought it, and the name under which the message bus starts it. Sources:
/// "Mapping of unit properties to their inverses" in systemd.unit(5), `BusName=` in systemd.service(5).
const BROUGHT_BY: &[&str] = &[
    "WantedBy",
    "RequiredBy",
    "UpheldBy",
    "BoundBy",
    "RequisiteOf",
    "ConsistsOf",
    "TriggeredBy",
    "BusName",
];
/// What tells whether a unit that does not run has run: one that ends by itself is done, and one whose conditions
/// do not hold never began.
const HAS_RUN: &[&str] = &["Type", "ConditionResult"];
/// How the names of units begin that programs start, not people: systemd-logind for whoever logs in, and the agent.
const OF_PROGRAMS: [&str; 6] =
    ["autovt@", "user@", "user-runtime-dir@", "nexus-activate-", "nexus-dead-", "nexus-return-"];

/// Properties of a unit by name.
type Properties = BTreeMap<String, String>;

/// Units that are not as the system says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Drift {
    /// Run, and nothing brought them.
    pub started: BTreeSet<String>,
    /// Have run, and should still.
    pub stopped: BTreeSet<String>,
}

/// Looks at what runs, and at what should.
///
/// # Errors
///
/// When systemd cannot be asked.
pub fn look(places: &Places) -> Result<Drift, AgentError> {
    let observed = service_manager::observed(places)?;
    let mut wanted = Tree::at(places.at("")).wanted();
    for (name, by) in Tree::generated(places.at("")).wanted() {
        wanted.entry(name).or_default().extend(by);
    }
    let (unasked, silent) = (unasked(&observed, &wanted), silent(&observed, &wanted));
    // One question for all: starting the program costs more than what it answers.
    let asked = unasked.union(&silent).cloned().collect();
    let known = service_manager::properties(&asked, &[BROUGHT_BY, HAS_RUN].concat())?;
    let of = |units: BTreeSet<String>, is: fn(&Properties) -> bool| {
        units.into_iter().filter(|unit| known.get(unit).is_some_and(is)).collect()
    };
    Ok(Drift { started: of(unasked, is_brought_by_nobody), stopped: of(silent, has_run) })
}

fn is_brought_by_nobody(unit: &Properties) -> bool {
    BROUGHT_BY.iter().all(|name| unit.get(*name).is_none_or(String::is_empty))
}

fn has_run(unit: &Properties) -> bool {
    let is = |name: &str, value: &str| unit.get(name).is_some_and(|found| found == value);
    is("ConditionResult", "yes") && !is("Type", "oneshot")
}

/// Units that run and that no link of the system wants.
fn unasked(
    observed: &BTreeMap<String, Observed>,
    wanted: &BTreeMap<String, BTreeSet<String>>,
) -> BTreeSet<String> {
    let runs = observed.iter().filter(|(_, unit)| unit.activity == Activity::Active);
    let names = runs.map(|(name, _)| name).filter(|name| {
        KINDS.contains(&suffix(name))
            && !wanted.contains_key(*name)
            && !OF_PROGRAMS.iter().any(|begin| name.starts_with(begin))
    });
    names.cloned().collect()
}

/// Units that do not run, although a link of something that does wants them.
fn silent(
    observed: &BTreeMap<String, Observed>,
    wanted: &BTreeMap<String, BTreeSet<String>>,
) -> BTreeSet<String> {
    let runs = |by: &String| observed.get(by).is_some_and(|unit| unit.activity == Activity::Active);
    let names = wanted.iter().filter(|(name, by)| {
        KINDS.contains(&suffix(name)) && !observed.contains_key(*name) && by.iter().any(runs)
    });
    names.map(|(name, _)| name.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(units: &[&str]) -> BTreeSet<String> {
        units.iter().map(|unit| (*unit).to_owned()).collect()
    }

    #[test]
    fn who_is_asked_about() {
        let unit = |name: &str| (name.to_owned(), Observed::of_states("active", "running"));
        let failed = ("failed.service".to_owned(), Observed::of_states("failed", "failed"));
        let observed = [
            "multi-user.target",
            "caddy.service",
            "run-u12.service",
            "user@0.service",
            "nexus-return-0123.timer",
            "init.scope",
            "dev-sda.device",
        ];
        let observed = observed.into_iter().map(unit).chain([failed]).collect();
        let by = |name: &str, by: &str| (name.to_owned(), names(&[by]));
        let wanted = [
            by("caddy.service", "multi-user.target"),
            by("hello.service", "multi-user.target"),
            by("failed.service", "multi-user.target"),
            by("rescue.service", "rescue.target"),
            by("swap.target", "multi-user.target"),
        ];
        let wanted = wanted.into();
        assert_eq!(unasked(&observed, &wanted), names(&["run-u12.service"]));
        assert_eq!(silent(&observed, &wanted), names(&["hello.service"]));
    }
}
