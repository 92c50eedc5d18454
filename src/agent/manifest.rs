//! What a system says about itself in `manifest.json`, as far as a change of the host has to do with it.

use serde::Deserialize;

use super::error::AgentError;
use super::places::Places;
use crate::exec::files::read_limited;
use crate::health::{Check, Vantage};
use crate::store::StorePath;

/// Most bytes of a manifest.
const BYTES_MAX: u64 = 64 << 20;

/// The parts that matter here; a system of an older format allows everything and has no checks.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct Manifest {
    /// What the owner of the host allows a change to do.
    pub deploy: Allowed,
    /// Names of the backups that the host makes.
    pub backups: Vec<String>,
    checks: Vec<Check>,
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

impl Manifest {
    /// That of `system`.
    ///
    /// # Errors
    ///
    /// When it is not there or not one.
    pub fn load(places: &Places, system: &StorePath) -> Result<Self, AgentError> {
        let text = text(places, system)?;
        serde_json::from_slice(&text).map_err(|error| AgentError::NoSystem {
            path: system.clone(),
            problem: format!("manifest.json: {error}"),
        })
    }

    /// The health checks that look from within.
    pub fn checks(self) -> Vec<Check> {
        self.checks.into_iter().filter(|check| check.vantage == Vantage::Inside).collect()
    }
}

/// The whole text of a system's manifest.
///
/// # Errors
///
/// When it is not there.
pub fn text(places: &Places, system: &StorePath) -> Result<Vec<u8>, AgentError> {
    Ok(read_limited(&places.store_path(system).join("manifest.json"), BYTES_MAX)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<(bool, bool, &[&str])>) {
        let directory = tempfile::tempdir().unwrap();
        let places = Places::below(directory.path());
        let system = StorePath::from_base_name(&format!("{}-s", "0".repeat(32))).unwrap();
        let path = places.store_path(&system).join("manifest.json");
        crate::exec::files::write_scratch(&path, text.as_bytes()).unwrap();
        let found = Manifest::load(&places, &system);
        if let Err(error) = &found {
            assert!(error.to_string().contains("manifest.json"), "{error}");
        }
        let found = found.ok().map(|manifest| {
            let Allowed { live, soft_reboot } = manifest.deploy;
            let names = manifest.checks().into_iter().map(|check| check.name);
            (live, soft_reboot, names.collect::<Vec<_>>())
        });
        let expected = expected.map(|(live, soft_reboot, names)| {
            (live, soft_reboot, names.iter().map(ToString::to_string).collect())
        });
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn a_manifest_says_what_is_allowed_and_what_is_checked() {
        check("{\"format\": 1}", Some((true, true, &[])));
        check(r#"{"deploy": {"live": false, "soft_reboot": true}}"#, Some((false, true, &[])));
        check(r#"{"deploy": {"live": 1, "soft_reboot": true}}"#, None);
        check("[", None);
        let checks = r#"{"checks": [
            {"name": "a", "probe": {"kind": "tcp", "address": null, "port": 1},
             "vantage": "inside", "within_seconds": 0},
            {"name": "what others must see is theirs", "probe": {"kind": "unit", "unit": "x"},
             "vantage": "outside", "within_seconds": 5}]}"#;
        check(checks, Some((true, true, &["a"])));
    }
}
