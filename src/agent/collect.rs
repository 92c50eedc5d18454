//! Forgets old generations and removes what only they needed.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use super::boot_menu;
use super::error::AgentError;
use super::import::remove;
use super::lock::{Lock, Locked};
use super::places::Places;
use super::registry::Registry;
use super::state;
use super::trees::{InPlace, KnownTrees};
use crate::exec::files::{FileError, sync_directory};
use crate::generation::GenerationNumber;
use crate::store::StorePath;

/// How long is waited for whoever changes the host.
const WAIT: Duration = Duration::from_secs(2);

/// What was, or would be, removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Collected {
    /// Generations that were forgotten.
    pub generations: Vec<GenerationNumber>,
    /// Store paths that nothing needs any more.
    pub paths: BTreeSet<StorePath>,
    /// Bytes of their NARs.
    pub nar_bytes: u64,
}

/// Keeps the newest `keep` good generations, and everything that may still be needed.
///
/// What was in place since the boot stays: a file that is missing shows only when it is opened.
///
/// # Errors
///
/// When the host is being changed, or something that must stay is not whole; then nothing is removed.
pub fn collect(places: &Places, keep: usize, dry_run: bool) -> Result<Collected, AgentError> {
    let _host = Lock::take(places, Locked::Host, "garbage is collected", WAIT)?;
    let _store = Lock::take(places, Locked::Store, "garbage is collected", WAIT)?;
    let mut generations = state::load(places)?;
    let booted = state::booted(places)?;
    let mut known = KnownTrees::load(places);
    known.note(&InPlace::look(places, &booted)?);
    let mut in_use: BTreeSet<StorePath> = known.systems().cloned().collect();
    in_use.insert(booted);
    let forgotten = generations.collect(keep.max(1), &in_use);
    let mut registry = Registry::load(places)?;
    let kept = generations.entries().values().filter(|entry| {
        // A bad one is remembered, not kept.
        !entry.verdict.is_bad() || entry.pinned
    });
    let roots = in_use.into_iter().chain(kept.map(|entry| entry.system.clone()));
    let live = registry.closure(places, roots)?;
    let paths: BTreeSet<StorePath> =
        registry.paths().keys().filter(|path| !live.contains(*path)).cloned().collect();
    let nar_bytes = paths.iter().map(|path| registry.paths()[path].nar_size).sum();
    let result = Collected { generations: forgotten.into_keys().collect(), paths, nar_bytes };
    if dry_run {
        return Ok(result);
    }
    // Each step leaves less that leads to what the next one removes.
    state::save(places, &generations)?;
    boot_menu::sync(places, &generations, false)?;
    remove_paths(places, &mut registry, &result.paths)?;
    remove(&places.incoming())?;
    Ok(result)
}

fn remove_paths(
    places: &Places,
    registry: &mut Registry,
    paths: &BTreeSet<StorePath>,
) -> Result<(), AgentError> {
    for path in paths {
        registry.remove(path);
    }
    registry.save(places)?;
    for path in paths {
        remove(&places.store_path(path))?;
    }
    remove_unregistered(places, registry)?;
    Ok(sync_directory(&places.store())?)
}

/// What was left by an import that was cut between the move and the registration.
fn remove_unregistered(places: &Places, registry: &Registry) -> Result<(), AgentError> {
    let store = places.store();
    for entry in fs::read_dir(&store).map_err(FileError::at("list", &store))?.flatten() {
        let name = entry.file_name();
        let path = name.to_str().and_then(|name| StorePath::from_base_name(name).ok());
        if path.is_some_and(|path| !registry.paths().contains_key(&path)) {
            remove(&entry.path())?;
        }
    }
    Ok(())
}
