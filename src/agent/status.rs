//! What there is to say about a host, as one JSON object.

use std::time::UNIX_EPOCH;

use serde_json::{Value, json};

use super::boot_files::BootFiles;
use super::error::AgentError;
use super::lock::{Lock, Locked};
use super::manifest::Manifest;
use super::observation::facts;
use super::places::{Places, shown};
use super::service_manager;
use super::state;
use super::trees::InPlace;
use crate::boot::MACHINE_ID;
use crate::exec::files::read_limited;
use crate::generation::{Generations, Verdict};
use crate::store::StorePath;

/// Where each backup leaves a file when it is done; see `modules/backups`.
const BACKUPS: &str = "var/lib/nexus-host/backups";
/// Version of the form: raised when a field changes its meaning.
const FORMAT: u32 = 1;

/// The state of generations for `generations --json` and [`status`].
pub fn generations_json(generations: &Generations) -> Value {
    let entry = |(number, entry): (
        &crate::generation::GenerationNumber,
        &crate::generation::Generation,
    )| {
        let (verdict, reason) = match &entry.verdict {
            Verdict::New => ("new", None),
            Verdict::Good => ("good", None),
            Verdict::Bad { reason } => ("bad", Some(reason.clone())),
        };
        json!({
            "number": number.get(), "system": shown(&entry.system),
            "registered": entry.registered_seconds, "by": entry.by, "commit": entry.commit,
            "pinned": entry.pinned, "verdict": verdict, "reason": reason,
        })
    };
    generations.entries().iter().map(entry).collect()
}

/// Everything about the host that `status --json` tells.
///
/// # Errors
///
/// When the host is none of ours; what only cannot be found out is `null`.
pub fn status(places: &Places) -> Result<Value, AgentError> {
    let generations = state::load(places)?;
    let booted = state::booted(places)?;
    let in_place = InPlace::look(places, &booted)?;
    let numbered = |system: &StorePath| {
        json!({ "number": generations.find(system).map(crate::generation::GenerationNumber::get),
                "system": shown(system) })
    };
    let trial = generations.trial().map(|trial| {
        let by = generations.get(trial.number).map(|entry| entry.by.clone()).unwrap_or_default();
        json!({ "number": trial.number.get(), "nonce": trial.nonce.as_str(), "by": by,
                "level": trial.level.as_str(), "window": trial.window_seconds })
    });
    let failed = service_manager::failed().ok();
    let running = in_place.system();
    Ok(json!({
        "format": FORMAT,
        "agent": env!("CARGO_PKG_VERSION"),
        "host": text(places, "etc/hostname"),
        "machine_id": text(places, MACHINE_ID),
        "boot_id": text(places, "proc/sys/kernel/random/boot_id"),
        "running": running.map(numbered),
        "booted": numbered(&booted),
        "default": generations.default().map(crate::generation::GenerationNumber::get),
        "trial": trial,
        "busy": Lock::holder(places, Locked::Host),
        "generations": generations_json(&generations),
        "failed_units": failed,
        "reboot_needed": running.map(|running| reboot_needed(places, &booted, running)),
        "backups": running.and_then(|running| backups(places, running)),
        "free_bytes": free_bytes(places),
        "esp_free_bytes": BootFiles::load(places).free_bytes,
    }))
}

/// What of the running system only the next boot brings.
fn reboot_needed(places: &Places, booted: &StorePath, running: &StorePath) -> Vec<&'static str> {
    let (was, is) = (facts(places, booted), facts(places, running));
    let differences = [
        ("kernel", was.kernel != is.kernel),
        ("initrd", was.initrd != is.initrd),
        ("arguments", was.arguments != is.arguments),
    ];
    differences.into_iter().filter(|(_, differs)| *differs).map(|(name, _)| name).collect()
}

/// The backups that the running system makes, with the time of the last success in seconds since 1970.
fn backups(places: &Places, running: &StorePath) -> Option<Value> {
    let names = Manifest::load(places, running).ok()?.backups;
    let last = |name: &str| {
        let done = places.at(BACKUPS).join(name).metadata().ok()?.modified().ok()?;
        Some(done.duration_since(UNIX_EPOCH).ok()?.as_secs())
    };
    // A name is the last part of a path and nothing else.
    let names = names.iter().filter(|name| !name.contains(['/', '.']));
    Some(names.map(|name| json!({ "name": name, "last": last(name) })).collect())
}

fn text(places: &Places, place: &str) -> Option<String> {
    let bytes = read_limited(&places.at(place), 1 << 12).ok()?;
    Some(String::from_utf8_lossy(&bytes).trim().to_owned())
}

fn free_bytes(places: &Places) -> Option<u64> {
    let space = rustix::fs::statvfs(places.store()).ok()?;
    Some(space.f_bavail * space.f_frsize)
}
