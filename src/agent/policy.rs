//! What the owner of the host allows a change to do, as the new system declares it in `manifest.json`.

use serde::Deserialize;

use super::error::AgentError;
use super::health::MANIFEST_BYTES_MAX;
use super::places::Places;
use crate::exec::files::read_limited;
use crate::store::StorePath;

/// The part of a manifest that matters here; a system of an older format allows everything.
#[derive(Deserialize)]
struct Manifest {
    #[serde(default)]
    deploy: Allowed,
}

/// What a change may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct Allowed {
    /// The running system may be changed.
    pub live: bool,
    /// User space may start anew without the kernel.
    pub soft_reboot: bool,
}

impl Default for Allowed {
    fn default() -> Self {
        Self { live: true, soft_reboot: true }
    }
}

/// What `system` allows.
///
/// # Errors
///
/// When its manifest is not there or not one.
pub fn allowed(places: &Places, system: &StorePath) -> Result<Allowed, AgentError> {
    let path = places.store_path(system).join("manifest.json");
    let text = read_limited(&path, MANIFEST_BYTES_MAX)?;
    let manifest: Manifest = serde_json::from_slice(&text).map_err(|error| {
        AgentError::NoSystem { path: system.clone(), problem: format!("manifest.json: {error}") }
    })?;
    Ok(manifest.deploy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_says_what_is_allowed() {
        let directory = tempfile::tempdir().unwrap();
        let places = Places::below(directory.path());
        let system = StorePath::from_base_name(&format!("{}-s", "0".repeat(32))).unwrap();
        let path = places.store_path(&system).join("manifest.json");
        let check = |text: &str, expected: Option<(bool, bool)>| {
            let _old = std::fs::remove_file(&path);
            crate::exec::files::write_scratch(&path, text.as_bytes()).unwrap();
            let found = allowed(&places, &system).ok();
            assert_eq!(found.map(|found| (found.live, found.soft_reboot)), expected, "{text}");
        };
        check("{}", Some((true, true)));
        check(r#"{"deploy": {"live": false, "soft_reboot": true}}"#, Some((false, true)));
        check(r#"{"deploy": {"live": 1, "soft_reboot": true}}"#, None);
        check("[", None);
    }
}
