//! An activation from its request to the moment when it waits for confirmation, or has been undone.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::json;

use super::boot_menu;
use super::bus::Property;
use super::confirmation;
use super::error::{AgentError, EXIT_CHECK, EXIT_UNCHANGED};
use super::events::{Journal, activation_unit};
use super::health;
use super::lock::{Lock, Locked};
use super::manifest::Manifest;
use super::next_root;
use super::observation::{Observation, facts, observe};
use super::places::{Places, shown};
use super::process::run as run_program;
use super::registry::Registry;
use super::returning;
use super::secrets;
use super::service_manager::{self, Verb, act};
use super::stage::Staged;
use super::state;
use super::touched::Touched;
use super::trees::{InPlace, Names, Stage};
use super::unit_files::Tree;
use crate::generation::{Generation, GenerationNumber, Generations, Level, Nonce, Trial, Verdict};
use crate::store::StorePath;
use crate::switch::{
    Activity, Inputs, Observed, Origin, Policy, SystemUnits, UnitPlan, lost_units, plan_level,
    plan_units,
};

/// How long a request waits for another that only looks.
const WAIT: Duration = Duration::from_secs(2);
/// How long making files and directories takes at most.
const TMPFILES: Duration = Duration::from_secs(60);

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Request {
    /// The system.
    pub system: StorePath,
    /// The attempt.
    pub nonce: Nonce,
    /// Whether somebody from outside must confirm.
    pub outside: bool,
    /// Seconds for that.
    pub window_seconds: u32,
    /// What is allowed and the least that is wanted.
    pub policy: Policy,
    /// The generation that must run now.
    pub expect: Option<u32>,
    /// Who asks.
    pub by: String,
    /// Revision of the files.
    pub commit: Option<String>,
    /// What its history may be.
    pub entry: Entry,
    /// Prepare the boot, but do not begin it.
    pub boot_only: bool,
}

/// What is asked of a system's history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry {
    /// Nothing, except that it has not failed.
    NotBad,
    /// Nothing at all: what failed is tried again.
    Any,
    /// It proved itself before: a rollback.
    Proven,
}

/// Registers the request and starts the unit that does the work.
///
/// # Errors
///
/// Whatever forbids it; then nothing has changed.
pub fn begin(places: &Places, request: &Request) -> Result<(), AgentError> {
    let holder = format!("attempt {} by {} begins", request.nonce, request.by);
    let _lock = Lock::take(places, Locked::Host, &holder, WAIT)?;
    let mut generations = state::load(places)?;
    end_stale_trial(&mut generations)?;
    let booted = state::booted(places)?;
    let in_place = InPlace::look(places, &booted)?;
    let from = in_place.system().unwrap_or(&booted).clone();
    let running = generations.find(&from).ok_or_else(|| {
        AgentError::Unexpected(format!("what runs, {}, is in no generation", shown(&from)))
    })?;
    if let Some(expected) = request.expect.filter(|expected| *expected != running.get()) {
        return Err(AgentError::NotExpected { expected, found: running.get() });
    }
    let registry = Registry::load(places)?;
    registry.closure(places, [request.system.clone()])?;
    secrets::check_system(places, &request.system)?;
    let number = register(&mut generations, request)?;
    let (level, _) =
        plan_level(&facts(places, &booted), &facts(places, &request.system), request.policy);
    let trial = Trial {
        number,
        nonce: request.nonce.clone(),
        previous: running,
        level,
        window_seconds: request.window_seconds,
        outside: request.outside,
    };
    generations.try_out(trial, request.entry == Entry::Any)?;
    state::save(places, &generations)?;
    let agent = returning::prepare_agent(places)?;
    let dead = format!("{}.service", returning::dead_unit(&request.nonce));
    let properties = [
        service_manager::LAST_TO_BE_KILLED,
        ("KillMode", Property::Text("mixed")),
        ("OnFailure", Property::Texts(&[&dead])),
    ];
    let by = format!("--by={}", request.by);
    let mut command = vec![agent.as_str(), "run", request.nonce.as_str(), &by];
    if request.boot_only {
        command.push("--boot-only");
    }
    let unit = activation_unit(&request.nonce);
    let started = service_manager::start_service(&unit, &properties, &command);
    if started.is_err() {
        generations.withdraw(&request.nonce)?;
        state::save(places, &generations)?;
    }
    started
}

fn register(
    generations: &mut Generations,
    request: &Request,
) -> Result<GenerationNumber, AgentError> {
    if request.entry == Entry::Proven {
        let found = generations.find(&request.system);
        return Ok(generations.rollback_target(found)?);
    }
    Ok(generations.register(Generation {
        system: request.system.clone(),
        registered_seconds: state::now_seconds(),
        by: request.by.clone(),
        commit: request.commit.clone(),
        pinned: false,
        verdict: Verdict::New,
    })?)
}

/// A live trial that nobody carries out or waits for any more has ended, whatever the state says.
fn end_stale_trial(generations: &mut Generations) -> Result<(), AgentError> {
    let Some(trial) = generations.trial().cloned() else { return Ok(()) };
    if trial.level == Level::Reboot {
        return Ok(());
    }
    for unit in [
        activation_unit(&trial.nonce),
        format!("{}.timer", returning::dead_unit(&trial.nonce)),
        format!("{}.timer", returning::return_unit(&trial.nonce)),
    ] {
        if service_manager::is_active(&unit)? {
            return Ok(());
        }
    }
    Ok(generations.withdraw(&trial.nonce)?)
}

/// Does the work of an attempt, in its own unit; others are told that it is done for `by`.
///
/// # Errors
///
/// Only what kept it from beginning; later failures undo the switch and are told in the log.
pub fn run(places: &Places, nonce: &Nonce, by: &str, boot_only: bool) -> Result<(), AgentError> {
    let holder = format!("attempt {nonce} by {by} switches");
    let _lock = Lock::take(places, Locked::Host, &holder, WAIT * 5)?;
    let generations = state::load(places)?;
    let trial = generations.trial_of(nonce)?.clone();
    let system = generations.get(trial.number)?.system.clone();
    let previous = generations.get(trial.previous)?.system.clone();
    let mut journal = Journal::open(places, nonce)?;
    journal.event(
        "begin",
        json!({
            "nonce": nonce.as_str(), "number": trial.number.get(), "system": shown(&system),
            "from": shown(&previous), "level": trial.level.as_str(), "window": trial.window_seconds,
        }),
    )?;
    let attempt = Attempt { places, generations, trial, system };
    let result = match attempt.trial.level {
        Level::Live => attempt.live(&mut journal),
        level => attempt.by_boot(&mut journal, level, boot_only),
    };
    match result {
        Ok(()) => Ok(()),
        Err(failure) => {
            returning::go_back(places, &attempt.trial, &failure.reason, failure.exit, &mut journal)
        }
    }
}

/// Why an activation is undone.
struct Failure {
    reason: String,
    exit: u8,
}

impl From<AgentError> for Failure {
    fn from(error: AgentError) -> Self {
        let mut reason = error.to_string();
        let mut source = std::error::Error::source(&error);
        while let Some(cause) = source {
            reason = format!("{reason}: {cause}");
            source = cause.source();
        }
        Self { reason, exit: EXIT_UNCHANGED }
    }
}

struct Attempt<'a> {
    places: &'a Places,
    generations: Generations,
    trial: Trial,
    system: StorePath,
}

impl Attempt<'_> {
    fn live(&self, journal: &mut Journal) -> Result<(), Failure> {
        let Self { places, trial, .. } = self;
        let booted = state::booted(places)?;
        // The boot entry is made first: a full boot partition is better met now.
        boot_menu::sync(places, &self.generations, true)?;
        journal.step("boot-entry")?;
        let stage = Stage::new(places)?;
        let policy = Policy::default();
        let observation = observe(places, &stage, &self.system, &booted, policy)?;
        journal.step("planned")?;
        journal.event("plan", json!({ "plan": observation.plan.to_json() }))?;
        returning::remember_running(places, &trial.nonce, &observation.observed)?;
        returning::arm_dead(places, trial)?;
        journal.step("armed")?;
        let Switched { problems, refused, reloaded, started } =
            switch(places, &observation, &booted, journal)?;
        let touched = Touched::new(&reloaded, started, failed_in(&observation.observed));
        let failed: Vec<String> =
            touched.failed()?.iter().map(|unit| format!("{unit} has failed")).collect();
        for problem in problems.iter().chain(&failed) {
            journal.event("problem", json!({ "message": problem }))?;
        }
        let refused = refused.iter().map(|unit| format!("a reload failed: {unit}"));
        if let Some(reason) = failed.into_iter().chain(refused).next() {
            return Err(Failure { reason, exit: EXIT_UNCHANGED });
        }
        let checks = Manifest::load(places, &self.system)?.checks();
        let passed = health::decide(&checks, journal, &|| touched.is_lost())?
            .map_err(|reason| Failure { reason, exit: EXIT_CHECK })?;
        if let Some(reason) = touched.problem(&passed)? {
            return Err(Failure { reason, exit: EXIT_UNCHANGED });
        }
        self.settle(journal)
    }

    /// Waits for who must confirm, or keeps the generation.
    fn settle(&self, journal: &mut Journal) -> Result<(), Failure> {
        let Self { places, trial, .. } = self;
        if trial.outside {
            // The other timer fires later than this one, and does the same: it need not be ended now.
            returning::arm_return(places, trial)?;
            journal.event("awaiting", json!({ "seconds": trial.window_seconds }))?;
            return Ok(());
        }
        confirmation::keep(places, &trial.nonce, journal)?;
        Ok(())
    }

    /// Prepares the next boot, and begins it.
    fn by_boot(&self, journal: &mut Journal, level: Level, boot_only: bool) -> Result<(), Failure> {
        let Self { places, .. } = self;
        boot_menu::sync(places, &self.generations, true)?;
        journal.step("boot-entry")?;
        if level == Level::SoftReboot {
            let stage = Stage::new(places)?;
            let names = Names::mount(places, &stage, &self.system)?;
            let staged = Staged::new(places, &stage, &self.system, &names)?;
            next_root::prepare(places, &staged)?;
            journal.step("next-root")?;
        }
        journal.event("rebooting", json!({ "level": level.as_str() }))?;
        if !boot_only {
            service_manager::reboot(level == Level::SoftReboot)?;
        }
        Ok(())
    }
}

fn failed_in(observed: &BTreeMap<String, Observed>) -> BTreeSet<String> {
    let failed = observed.iter().filter(|(_, unit)| unit.activity == Activity::Failed);
    failed.map(|(name, _)| name.clone()).collect()
}

/// What a switch has done.
pub(super) struct Switched {
    /// Everything that went wrong, in words.
    pub(super) problems: Vec<String>,
    /// Services that would not take their new configuration, and run on with the old one until they start.
    refused: Vec<String>,
    /// Units that were to read their configuration again.
    reloaded: BTreeSet<String>,
    /// Units that were restarted or started.
    started: BTreeSet<String>,
}

/// Carries out a plan.
///
/// # Errors
///
/// What left the host between two systems.
pub(super) fn switch(
    places: &Places,
    observation: &Observation,
    booted: &StorePath,
    journal: &mut Journal,
) -> Result<Switched, AgentError> {
    let plan = &observation.plan;
    let mut units = plan.units.clone();
    let generated = Tree::generated(places.at("")).units(&loaded_names(&observation.observed));
    let mut problems = act(Verb::Stop, &units.stop)?;
    journal.step("stopped")?;
    let mut known = observation.known.clone();
    observation.staged.put_in_place(places, &observation.in_place, &mut known, booted)?;
    journal.step("swapped")?;
    secrets::install(places)?;
    if plan.reexec || plan.daemon_reload {
        service_manager::reload(plan.reexec)?;
        journal.step(if plan.reexec { "reexecuted" } else { "reloaded" })?;
    }
    if plan.tmpfiles {
        let words = ["/usr/bin/systemd-tmpfiles", "--create", "--exclude-prefix=/dev"];
        let ended = run_program(&words, TMPFILES)?;
        // 65 and 73: a line could not be carried out, the others were (systemd-tmpfiles(8)).
        if !ended.success {
            problems.push(format!("systemd-tmpfiles ended with {}", ended.status));
        }
        journal.step("tmpfiles")?;
    }
    problems.extend(follow_generators(places, observation, &generated, &mut units)?);
    service_manager::reset_failed(&units.start)?;
    let refused = act(Verb::Reload, &units.reload)?;
    if !units.reload.is_empty() {
        journal.step(Verb::Reload.as_str())?;
    }
    problems.extend(refused.iter().cloned());
    for (verb, list) in [(Verb::Restart, &units.restart), (Verb::Start, &units.start)] {
        if !list.is_empty() {
            problems.extend(act(verb, list)?);
            journal.step(verb.as_str())?;
        }
    }
    let late = bring_up_laggards(places, observation, journal)?;
    problems.extend(late.problems);
    let started = [units.restart, units.start, late.units].into_iter().flatten().collect();
    Ok(Switched { problems, refused, reloaded: units.reload, started })
}

/// Generators have run again: mounts of a changed fstab and the like are stopped, started, reloaded.
fn follow_generators(
    places: &Places,
    observation: &Observation,
    before: &SystemUnits,
    units: &mut UnitPlan,
) -> Result<Vec<String>, AgentError> {
    let after = Tree::generated(places.at("")).units(&loaded_names(&observation.observed));
    if *before == after {
        return Ok(Vec::new());
    }
    let more = plan_units(&Inputs {
        observed: &observation.observed,
        old: before,
        new: &after,
        changed: &BTreeSet::new(),
        programs: &BTreeMap::new(),
    });
    units.reload.extend(more.reload);
    units.restart.extend(more.restart);
    units.start.extend(more.start);
    act(Verb::Stop, &more.stop)
}

fn loaded_names(observed: &BTreeMap<String, Observed>) -> BTreeSet<String> {
    let generated = observed.iter().filter(|(_, unit)| unit.origin == Origin::Generator);
    generated.map(|(name, _)| name.clone()).collect()
}

/// Units that were found behind the others.
struct Late {
    /// Those that were started or restarted.
    units: BTreeSet<String>,
    /// What went wrong.
    problems: Vec<String>,
}

/// Starts what went down with something else, and restarts what still runs old programs.
fn bring_up_laggards(
    places: &Places,
    observation: &Observation,
    journal: &mut Journal,
) -> Result<Late, AgentError> {
    let after = service_manager::observed(places)?;
    let plan = &observation.plan.units;
    let mut units = lost_units(&observation.observed, &after, &observation.new, plan);
    let mut problems = act(Verb::Start, &units)?;
    let programs = observation.laggards(places, &after);
    let late = observation.plan_for_laggards(&after, &programs);
    let late: BTreeSet<String> = late.restart.union(&late.stop).cloned().collect();
    // What restarted a moment ago and still runs the old program will not do better next time.
    let late: BTreeSet<String> = late.difference(&plan.restart).cloned().collect();
    problems.extend(act(Verb::Restart, &late)?);
    if !units.is_empty() || !late.is_empty() {
        journal.event("laggards", json!({ "started": units, "restarted": late }))?;
    }
    units.extend(late);
    journal.step("laggards")?;
    Ok(Late { units, problems })
}
