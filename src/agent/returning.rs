//! Going back: timers that need nobody, and the way back itself.
//!
//! Two timers watch over an activation. The first (`nexus-dead-<nonce>`) is armed before anything is
//! touched and fires when the activation hangs; it also starts when the unit that does the work is killed.
//! The second (`nexus-return-<nonce>`) is the window in which somebody must confirm. Both do the same:
//! `return <nonce>`, which does nothing when the attempt has ended.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use serde_json::json;

use super::activation::switch;
use super::boot_menu;
use super::error::{AgentError, EXIT_UNCHANGED};
use super::events::{Journal, activation_unit};
use super::lock::{Lock, Locked};
use super::observation::observe;
use super::places::{Places, shown};
use super::service_manager::{self, Verb, act};
use super::state;
use super::trees::{InPlace, Stage};
use crate::exec::files::{FileError, read_limited, write_atomic};
use crate::generation::{Level, Nonce, Trial};
use crate::switch::{Activity, Observed, Policy, suffix};

/// Most seconds of an activation, or a boot, itself; then the host goes back, whatever hangs.
const ACTIVATION_SECONDS_MAX: u32 = 240;
/// How long the way back waits for whoever still holds the host.
const WAIT: Duration = Duration::from_secs(20);

/// Copies this program to where a switch does not take it away; answers the place.
pub(super) fn prepare_agent(places: &Places) -> Result<String, AgentError> {
    let own = places.at("proc/self/exe");
    let bytes = read_limited(&own, 256 << 20)?;
    let target = places.run().join("agent");
    let new = places.run().join("agent.new");
    write_atomic(&new, &bytes)?;
    fs::set_permissions(&new, fs::Permissions::from_mode(0o755))
        .map_err(FileError::at("set the mode of", &new))?;
    fs::rename(&new, &target).map_err(FileError::at("replace", &target))?;
    Ok(target.display().to_string())
}

/// The timer of an activation that hangs, without its suffix.
pub(super) fn dead_unit(nonce: &Nonce) -> String {
    format!("nexus-dead-{nonce}")
}

/// The timer of the window, without its suffix.
pub(super) fn return_unit(nonce: &Nonce) -> String {
    format!("nexus-return-{nonce}")
}

/// Arms the way back for an activation, or a boot, that does not come to its end.
pub(super) fn arm_dead(places: &Places, trial: &Trial) -> Result<(), AgentError> {
    let seconds = ACTIVATION_SECONDS_MAX.saturating_add(trial.window_seconds);
    arm(places, &dead_unit(&trial.nonce), &trial.nonce, seconds)
}

/// Arms the way back for the end of the window.
pub(super) fn arm_return(places: &Places, trial: &Trial) -> Result<(), AgentError> {
    arm(places, &return_unit(&trial.nonce), &trial.nonce, trial.window_seconds)
}

fn arm(places: &Places, unit: &str, nonce: &Nonce, seconds: u32) -> Result<(), AgentError> {
    let agent = places.run().join("agent").display().to_string();
    let properties = [service_manager::LAST_TO_BE_KILLED];
    service_manager::start_timer(unit, seconds, &properties, &[&agent, "return", nonce.as_str()])
}

/// Ends both timers.
pub(super) fn disarm(nonce: &Nonce) -> Result<(), AgentError> {
    let timers = [return_unit(nonce), dead_unit(nonce)].map(|unit| format!("{unit}.timer"));
    service_manager::stop_quietly(&timers)
}

/// Notes which units run, so that the way back leads to the same.
pub(super) fn remember_running(
    places: &Places,
    nonce: &Nonce,
    observed: &BTreeMap<String, Observed>,
) -> Result<(), AgentError> {
    let running = observed.iter().filter(|(_, unit)| unit.activity == Activity::Active);
    let text: String = running.map(|(name, _)| format!("{name}\n")).collect();
    Ok(write_atomic(&before_path(places, nonce), text.as_bytes())?)
}

fn before_path(places: &Places, nonce: &Nonce) -> std::path::PathBuf {
    places.run().join("attempts").join(format!("{nonce}.before"))
}

/// Ends an attempt that was not confirmed; does nothing when it has ended already.
///
/// # Errors
///
/// When somebody else holds the host for too long: the timer's unit fails then and is tried again.
pub fn unconfirmed(places: &Places, nonce: &Nonce) -> Result<(), AgentError> {
    // Whoever still works for this attempt hangs: that is why the timer fired.
    service_manager::stop_quietly(&[activation_unit(nonce)])?;
    let holder = format!("attempt {nonce} goes back");
    let _lock = Lock::take(places, Locked::Host, &holder, WAIT)?;
    let generations = state::load(places)?;
    let Ok(trial) = generations.trial_of(nonce) else { return Ok(()) };
    let mut journal = Journal::open(places, nonce)?;
    let reason = format!("it was not confirmed within {} s", trial.window_seconds);
    go_back(places, trial, &reason, EXIT_UNCHANGED, &mut journal)
}

/// Brings what ran before back and notes that the attempt failed.
///
/// # Errors
///
/// When not even that could be noted.
pub(super) fn go_back(
    places: &Places,
    trial: &Trial,
    reason: &str,
    exit: u8,
    journal: &mut Journal,
) -> Result<(), AgentError> {
    let mut generations = state::load(places)?;
    let system = generations.get(trial.previous)?.system.clone();
    let on_trial = generations.get(trial.number)?.system.clone();
    let booted = state::booted(places)?;
    let runs = InPlace::look(places, &booted)?.system().cloned();
    if trial.level != Level::Live && runs.as_ref() == Some(&on_trial) {
        // Only another boot leads back; the default is still the old generation.
        generations.fail(&trial.nonce, reason)?;
        state::save(places, &generations)?;
        boot_menu::sync(places, &generations, false)?;
        journal.event(
            "returned",
            json!({ "reason": reason, "system": shown(&system), "exit": exit }),
        )?;
        return service_manager::reboot(false);
    }
    let undone = undo(places, trial, journal);
    generations.fail(&trial.nonce, reason)?;
    let noted = state::save(places, &generations);
    // The old system is the default also when that cannot be written, because the disk is full.
    if let Err(error) = noted.and_then(|()| boot_menu::sync(places, &generations, false)) {
        journal.event("problem", json!({ "message": format!("noting the failure: {error}") }))?;
    }
    if let Err(error) = undone {
        let why = format!("{reason}; going back: {error}");
        journal.event("stuck", json!({ "reason": why }))?;
        disarm(&trial.nonce)?;
        // A boot brings the old generation back whole.
        return service_manager::reboot(false);
    }
    journal
        .event("returned", json!({ "reason": reason, "system": shown(&system), "exit": exit }))?;
    disarm(&trial.nonce)
}

/// Puts the old system back in place, with the units that ran.
fn undo(places: &Places, trial: &Trial, journal: &mut Journal) -> Result<(), AgentError> {
    let generations = state::load(places)?;
    let system = generations.get(trial.previous)?.system.clone();
    let booted = state::booted(places)?;
    let in_place = InPlace::look(places, &booted)?;
    if in_place.system() == Some(&system) && trial.level != Level::Live {
        return Ok(());
    }
    let stage = Stage::new(places)?;
    let observation = observe(places, &stage, &system, &booted, Policy::default())?;
    // Whatever becomes of its units, there is no other way.
    let mut problems = switch(places, &observation, &booted, journal)?.problems;
    let text = read_limited(&before_path(places, &trial.nonce), 1 << 20).unwrap_or_default();
    let before: BTreeSet<String> =
        String::from_utf8_lossy(&text).lines().map(str::to_owned).collect();
    let now = service_manager::observed(places)?;
    let runs = |name: &String| now.get(name).is_some_and(|unit| unit.activity == Activity::Active);
    let lost: BTreeSet<String> = before
        .into_iter()
        .filter(|name| !runs(name) && observation.new.files.contains_key(name))
        .filter(|name| ["service", "socket", "timer"].contains(&suffix(name)))
        .collect();
    // A service that has done its work and ended would only do it again.
    let lost = lost.into_iter().filter(|name| observation.new.wanted.contains_key(name)).collect();
    problems.extend(act(Verb::Start, &lost)?);
    for problem in problems {
        journal.event("problem", json!({ "message": problem }))?;
    }
    Ok(())
}
