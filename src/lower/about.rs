//! `manifest.json` of a system: what is in it, for people, `status` and `diff`.

use serde_json::{Value, json};

use crate::debian::lock::Lock;
use crate::eval::{Port, System};
use crate::health::Check;

/// Version of the format: raised when a field changes its meaning.
pub const FORMAT: u32 = 1;

/// The text of `manifest.json`, with a line an item; paths are added when they are known.
pub fn about(system: &System, lock: &Lock) -> String {
    let packages: Vec<Value> = lock
        .packages
        .iter()
        .map(|package| {
            json!({
                "name": package.name.to_string(),
                "version": package.version.to_string(),
                "architecture": package.architecture.to_string(),
            })
        })
        .collect();
    let units: Vec<Value> = system
        .units
        .iter()
        .map(|(name, unit)| {
            let wanted_by: Vec<String> =
                unit.value.wanted_by.iter().map(ToString::to_string).collect();
            json!({ "name": name.to_string(), "wanted_by": wanted_by })
        })
        .collect();
    let checks: Vec<&Check> = system.checks.values().map(|check| &check.value).collect();
    let ports: Vec<&Port> = system.ports.iter().map(|port| &port.value).collect();
    let value = json!({
        "format": FORMAT,
        "host": system.name.to_string(),
        "release": system.release,
        "architecture": system.architecture,
        "kernel": system.kernel,
        "ports": ports,
        "checks": checks,
        "backups": system.backups.keys().collect::<Vec<_>>(),
        "deploy": system.deploy.policy,
        "units": units,
        "packages": packages,
    });
    serde_json::to_string_pretty(&value).expect("a JSON value can be written") + "\n"
}
