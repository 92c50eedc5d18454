//! Keeping what proved itself, and what happens at a boot.

use std::time::Duration;

use serde_json::json;

use super::boot_menu;
use super::error::{AgentError, EXIT_CHECK, EXIT_UNCHANGED};
use super::events::Journal;
use super::health;
use super::lock::{Lock, Locked};
use super::manifest::Manifest;
use super::places::Places;
use super::returning;
use super::service_manager;
use super::state;
use super::trees::{InPlace, KnownTrees};
use crate::generation::{Level, Nonce};

/// How long a confirmation waits for whoever holds the host.
const WAIT: Duration = Duration::from_secs(10);

/// Keeps what is on trial by the attempt `nonce`.
///
/// # Errors
///
/// When it waits for no confirmation, or for that of another attempt.
pub fn confirm(places: &Places, nonce: &Nonce) -> Result<(), AgentError> {
    let holder = format!("attempt {nonce} is confirmed");
    let _lock = Lock::take(places, Locked::Host, &holder, WAIT)?;
    let mut journal = Journal::open(places, nonce)?;
    keep(places, nonce, &mut journal)
}

/// The same, for who holds the host already.
pub(super) fn keep(
    places: &Places,
    nonce: &Nonce,
    journal: &mut Journal,
) -> Result<(), AgentError> {
    let mut generations = state::load(places)?;
    // Only what runs can have been seen to work.
    let trial = generations.trial_of(nonce)?;
    let system = generations.get(trial.number)?.system.clone();
    let booted = state::booted(places)?;
    if InPlace::look(places, &booted)?.system() != Some(&system) {
        let problem = format!("generation {} does not run yet", trial.number);
        return Err(AgentError::Unexpected(problem));
    }
    let number = generations.confirm(nonce)?;
    // The history first: from here on it is kept, also when the loaders hear of it only at the next boot.
    state::save(places, &generations)?;
    returning::disarm(nonce)?;
    boot_menu::sync(places, &generations, false)?;
    journal.event("kept", json!({ "number": number.get() }))
}

/// Looks, at a boot, what became of a trial; runs once, early.
///
/// # Errors
///
/// What kept it from looking; the host stays up.
pub fn after_boot(places: &Places) -> Result<(), AgentError> {
    let _lock = Lock::take(places, Locked::Host, "the agent looks after the boot", WAIT)?;
    let mut generations = state::load(places)?;
    let booted = state::booted(places)?;
    let mut known = KnownTrees::load(places);
    let in_place = InPlace::look(places, &booted)?;
    known.note(&in_place);
    known.save(places)?;
    state::point(&places.run().join("booted"), &super::places::shown(&booted))?;
    if let Some(trial) = generations.trial().cloned() {
        let mut journal = Journal::open(places, &trial.nonce)?;
        let on_trial = in_place.system() == Some(&generations.get(trial.number)?.system);
        if on_trial && trial.level != Level::Live {
            returning::prepare_agent(places)?;
            // The window begins when the boot is complete; here begins the time that it has for that.
            returning::arm_dead(places, &trial)?;
            journal.event("awaiting", json!({ "seconds": trial.window_seconds }))?;
        } else {
            let reason = if trial.level == Level::Live {
                "the host was restarted before it was confirmed"
            } else {
                "it did not boot"
            };
            generations.fail(&trial.nonce, reason)?;
            journal.event("returned", json!({ "reason": reason, "exit": EXIT_UNCHANGED }))?;
        }
    }
    state::save(places, &generations)?;
    boot_menu::sync(places, &generations, false)
}

/// After `boot-complete.target`: the host's own checks decide about a trial that nobody else judges, and
/// for any other the window begins.
///
/// # Errors
///
/// What kept it from deciding.
pub fn bless(places: &Places) -> Result<(), AgentError> {
    let generations = state::load(places)?;
    let Some(trial) = generations.trial().cloned() else { return Ok(()) };
    let system = generations.get(trial.number)?.system.clone();
    let booted = state::booted(places)?;
    if InPlace::look(places, &booted)?.system() != Some(&system) {
        return Ok(());
    }
    if trial.outside {
        return returning::arm_return(places, &trial);
    }
    let mut journal = Journal::open(places, &trial.nonce)?;
    let checks = Manifest::load(places, &system)?.checks();
    if let Err(reason) = health::decide(&checks, &mut journal, &|| false)? {
        let _lock = Lock::take(places, Locked::Host, "a boot failed its checks", WAIT)?;
        return returning::go_back(places, &trial, &reason, EXIT_CHECK, &mut journal);
    }
    if let Some(failed) = service_manager::failed()?.into_iter().next() {
        let _lock = Lock::take(places, Locked::Host, "a boot has a failed unit", WAIT)?;
        let reason = format!("{failed} has failed");
        return returning::go_back(places, &trial, &reason, EXIT_UNCHANGED, &mut journal);
    }
    confirm(places, &trial.nonce)
}
