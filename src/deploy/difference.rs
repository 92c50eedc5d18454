//! What one system has that another has not, from the manifests of both.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::outside::OutsideCheck;

/// What a system says about itself in `manifest.json`; what an older format lacks is empty.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
pub struct Manifest {
    #[serde(default)]
    packages: Vec<Package>,
    #[serde(default)]
    ports: Vec<Port>,
    #[serde(default)]
    units: Vec<Named>,
    /// As they are written: one of a newer kind must not keep anybody from comparing the rest.
    #[serde(default)]
    checks: Vec<Value>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Package {
    name: String,
    version: String,
    architecture: String,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
struct Port {
    protocol: String,
    #[serde(rename = "port")]
    number: u16,
    address: Option<String>,
    #[serde(default)]
    open: bool,
    #[serde(default)]
    sources: Vec<String>,
    #[serde(default)]
    purpose: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Named {
    name: String,
}

/// What changes from one system to another; every list is sorted.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Difference {
    /// Packages that come: name and version.
    pub added: Vec<String>,
    /// Packages that go.
    pub removed: Vec<String>,
    /// Packages whose version changes: name, old and new version.
    pub changed: Vec<(String, String, String)>,
    /// Ports that can be reached from outside and could not before, with from where and what for.
    pub opened: Vec<String>,
    /// Ports that could be reached.
    pub closed: Vec<String>,
    /// Units of the host file that come.
    pub units_added: Vec<String>,
    /// Units that go.
    pub units_removed: Vec<String>,
    /// Health checks that come.
    pub checks_added: Vec<String>,
    /// Health checks that go.
    pub checks_removed: Vec<String>,
}

impl Manifest {
    /// Reads the text of a `manifest.json`.
    ///
    /// # Errors
    ///
    /// What it is instead.
    pub fn parse(text: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(text).map_err(|error| error.to_string())
    }

    /// The health checks that look from outside.
    ///
    /// # Errors
    ///
    /// What one of the checks is instead.
    pub fn checks_from_outside(&self) -> Result<Vec<OutsideCheck>, String> {
        OutsideCheck::among(&self.checks)
    }

    fn check_names(&self) -> BTreeSet<String> {
        let names = self.checks.iter().filter_map(|check| check["name"].as_str());
        names.map(str::to_owned).collect()
    }
}

impl Difference {
    /// What changes from `old` to `new`.
    pub fn between(old: &Manifest, new: &Manifest) -> Self {
        let (was, is) = (versions(old), versions(new));
        let only = |one: &BTreeMap<String, String>, other: &BTreeMap<String, String>| {
            let missing = one.iter().filter(|(name, _)| !other.contains_key(*name));
            missing.map(|(name, version)| format!("{name} {version}")).collect()
        };
        let changed = was.iter().filter_map(|(name, old)| {
            let new = is.get(name).filter(|new| *new != old)?;
            Some((name.clone(), old.clone(), new.clone()))
        });
        let (was_open, is_open) = (exposed(old), exposed(new));
        let (opened, closed) = apart(&was_open, &is_open);
        let (units_added, units_removed) = apart(&names(&old.units), &names(&new.units));
        let (checks_added, checks_removed) = apart(&old.check_names(), &new.check_names());
        Self {
            added: only(&is, &was),
            removed: only(&was, &is),
            changed: changed.collect(),
            opened,
            closed,
            units_added,
            units_removed,
            checks_added,
            checks_removed,
        }
    }
}

/// Those of `new` alone, those of `old` alone.
fn apart(old: &BTreeSet<String>, new: &BTreeSet<String>) -> (Vec<String>, Vec<String>) {
    (new.difference(old).cloned().collect(), old.difference(new).cloned().collect())
}

fn names(all: &[Named]) -> BTreeSet<String> {
    all.iter().map(|one| one.name.clone()).collect()
}

fn versions(manifest: &Manifest) -> BTreeMap<String, String> {
    let packages = manifest.packages.iter();
    packages
        .map(|package| {
            let Package { name, version, architecture } = package;
            (format!("{name}:{architecture}"), version.clone())
        })
        .collect()
}

/// Open ports as lines: what, from where, what for.
fn exposed(manifest: &Manifest) -> BTreeSet<String> {
    let open = manifest.ports.iter().filter(|port| port.open);
    open.map(|port| {
        let from =
            if port.sources.is_empty() { "everywhere".to_owned() } else { port.sources.join(", ") };
        let at = port.address.as_ref().map(|address| format!(" at {address}")).unwrap_or_default();
        format!("{}/{}{at} from {from} ({})", port.number, port.protocol, port.purpose)
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_ports_units_and_checks_are_compared() {
        let old = r#"{"packages": [{"name": "a", "version": "1", "architecture": "all"},
              {"name": "b", "version": "1", "architecture": "amd64"}],
            "ports": [{"protocol": "tcp", "port": 80, "address": null, "open": true, "sources": [], "purpose": "web"},
              {"protocol": "tcp", "port": 9, "address": "127.0.0.1", "open": false}],
            "units": [{"name": "x.service", "wanted_by": []}], "checks": [{"name": "c"}]}"#;
        let new = r#"{"packages": [{"name": "b", "version": "2", "architecture": "amd64"},
              {"name": "c", "version": "3", "architecture": "all"}],
            "ports": [{"protocol": "udp", "port": 53, "address": null, "open": true, "sources": ["10.0.0.0/8"],
              "purpose": "dns"}], "units": [{"name": "y.service"}], "checks": [{"name": "c"}]}"#;
        let (old, new) = (old.as_bytes(), new.as_bytes());
        let (old, new) = (Manifest::parse(old).unwrap(), Manifest::parse(new).unwrap());
        let found = Difference::between(&old, &new);
        assert_eq!(found.added, ["c:all 3"]);
        assert_eq!(found.removed, ["a:all 1"]);
        assert_eq!(found.changed, [("b:amd64".into(), "1".into(), "2".into())]);
        assert_eq!(found.opened, ["53/udp from 10.0.0.0/8 (dns)"]);
        assert_eq!(found.closed, ["80/tcp from everywhere (web)"]);
        assert_eq!((found.units_added, found.units_removed.len()), (vec!["y.service".into()], 1));
        assert!(found.checks_added.is_empty() && found.checks_removed.is_empty());
        assert_eq!(Difference::between(&new, &new), Difference::default());
        assert_eq!(Manifest::parse(b"{}").unwrap(), Manifest::default());
        assert!(Manifest::parse(b"[").is_err());
    }
}
