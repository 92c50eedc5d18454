//! The history of generations on disk, and the links that follow from it.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use super::error::AgentError;
use super::places::{Places, read_store_path, shown};
use crate::boot::arguments::BootArguments;
use crate::exec::files::{FileError, read_limited, sync_directory, write_atomic};
use crate::generation::{GenerationNumber, Generations};
use crate::store::StorePath;

/// Most bytes of the history: a thousand generations of half a kilobyte.
const BYTES_MAX: u64 = 4 << 20;
/// What the link of the generation on trial is called.
const TRIAL_LINK: &str = "system-trial";

/// Reads the history; on a host that has just been made from an image, that of the image.
///
/// # Errors
///
/// When it is damaged, or there is neither history nor image.
pub fn load(places: &Places) -> Result<Generations, AgentError> {
    let path = file(places);
    if path.exists() {
        let text = read_limited(&path, BYTES_MAX)?;
        return Generations::parse(&text).map_err(|source| AgentError::State { path, source });
    }
    let link = places.profiles().join("system-1-link");
    let system = read_system_link(&link)?;
    Ok(Generations::of_image(system, now_seconds()))
}

/// Writes the history, then makes the links agree with it.
///
/// The history alone counts: links that a crash kept from following do so the next time.
pub fn save(places: &Places, generations: &Generations) -> Result<(), AgentError> {
    let memory = places.memory();
    fs::create_dir_all(&memory).map_err(FileError::at("create", &memory))?;
    write_atomic(&file(places), generations.to_text().as_bytes())?;
    make_links(places, generations)
}

fn file(places: &Places) -> PathBuf {
    places.memory().join("generations.json")
}

fn make_links(places: &Places, generations: &Generations) -> Result<(), AgentError> {
    let directory = places.profiles();
    fs::create_dir_all(&directory).map_err(FileError::at("create", &directory))?;
    let name = |number: GenerationNumber| format!("system-{number}-link");
    for (number, entry) in generations.entries() {
        point(&directory.join(name(*number)), &shown(&entry.system))?;
    }
    if let Some(default) = generations.default() {
        point(&directory.join("system"), &name(default))?;
    }
    match generations.trial() {
        Some(trial) => point(&directory.join(TRIAL_LINK), &name(trial.number))?,
        None => super::import::remove(&directory.join(TRIAL_LINK))?,
    }
    for entry in fs::read_dir(&directory).map_err(FileError::at("list", &directory))?.flatten() {
        let file_name = entry.file_name();
        let number = file_name.to_str().and_then(|name| {
            name.strip_prefix("system-")?.strip_suffix("-link")?.parse::<u32>().ok()
        });
        let number = number.and_then(GenerationNumber::new);
        if number.is_some_and(|number| generations.get(number).is_err()) {
            super::import::remove(&entry.path())?;
        }
    }
    Ok(sync_directory(&directory)?)
}

/// Makes a link lead somewhere, old place or new one, never nowhere.
pub(super) fn point(link: &Path, target: &str) -> Result<(), AgentError> {
    if fs::read_link(link).is_ok_and(|old| old == Path::new(target)) {
        return Ok(());
    }
    let new = link.with_extension("new");
    super::import::remove(&new)?;
    symlink(target, &new).map_err(FileError::at("make the link", &new))?;
    Ok(fs::rename(&new, link).map_err(FileError::at("replace", link))?)
}

fn read_system_link(link: &Path) -> Result<StorePath, AgentError> {
    let target = fs::read_link(link).map_err(FileError::at("read the link", link))?;
    Ok(read_store_path(&target.to_string_lossy())?)
}

/// The system that this boot began with.
///
/// # Errors
///
/// When the kernel's command line does not name one: then the host is not one of ours.
pub fn booted(places: &Places) -> Result<StorePath, AgentError> {
    let path = places.at("proc/cmdline");
    let line = read_limited(&path, 1 << 16)?;
    let arguments = BootArguments::parse(&String::from_utf8_lossy(&line))
        .map_err(|error| AgentError::Unexpected(error.to_string()))?;
    Ok(StorePath::from_base_name(&arguments.system)?)
}

/// Seconds since 1970 by the host's clock.
pub fn now_seconds() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Realtime);
    u64::try_from(now.tv_sec).unwrap_or(0)
}

#[cfg(test)]
mod tests;
