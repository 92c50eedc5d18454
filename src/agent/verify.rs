//! Whether what the host has is what it was given.

use nix_archive::nar::{CaseHack, hash_path};

use super::error::AgentError;
use super::places::Places;
use super::registry::{Registered, Registry};
use crate::store::StorePath;

/// Registered store paths that are missing or have other contents, in order; digests all of them.
///
/// # Errors
///
/// When the registration cannot be read.
pub fn damaged(places: &Places) -> Result<Vec<StorePath>, AgentError> {
    let registry = Registry::load(places)?;
    let paths = registry.paths().iter().filter(|(path, known)| !is_whole(places, path, known));
    Ok(paths.map(|(path, _)| path.clone()).collect())
}

/// Whether `path` has the contents that are registered; digests them.
pub fn is_whole(places: &Places, path: &StorePath, known: &Registered) -> bool {
    let hash = hash_path(&places.store_path(path), CaseHack::Disabled);
    hash.is_ok_and(|hash| hash.into_parts() == (known.nar_size, *known.nar_hash.as_bytes()))
}
