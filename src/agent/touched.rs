//! Whether the units that a switch has touched stay up.
//!
//! A service that says itself when it is ready, or whose port has answered, is up. Of any other systemd knows only that
//! its program was found, so it gets a moment in which it may still end.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::error::AgentError;
use super::service_manager::{self, Service};

/// How long after the last action a unit may take to fail at once.
const SETTLE: Duration = Duration::from_millis(250);
/// Types of services that are started when their program is. Source: `Type=` in systemd.service(5).
const WITHOUT_A_WORD: [&str; 3] = ["simple", "exec", "idle"];

/// What a switch did to units, and what was wrong before it.
#[derive(Debug)]
pub(super) struct Touched {
    /// Reloaded, restarted or started.
    units: BTreeSet<String>,
    /// Restarted or started, so that their count of restarts began anew.
    started: BTreeSet<String>,
    failed_before: BTreeSet<String>,
    since: Instant,
}

impl Touched {
    /// Units that were reloaded and that were started until now, where `failed_before` had failed already.
    pub(super) fn new(
        reloaded: &BTreeSet<String>,
        started: BTreeSet<String>,
        failed_before: BTreeSet<String>,
    ) -> Self {
        let units = reloaded.union(&started).cloned().collect();
        Self { units, started, failed_before, since: Instant::now() }
    }

    /// Units that have failed since.
    ///
    /// # Errors
    ///
    /// When systemd cannot be asked.
    pub(super) fn failed(&self) -> Result<Vec<String>, AgentError> {
        Ok(service_manager::failed()?.difference(&self.failed_before).cloned().collect())
    }

    /// Whether one of them has failed, which does not come up by waiting.
    pub(super) fn is_lost(&self) -> bool {
        self.failed().is_ok_and(|failed| failed.iter().any(|unit| self.units.contains(unit)))
    }

    /// What is wrong with one of them once each had time to fail; `passed` are names of checks that hold.
    ///
    /// # Errors
    ///
    /// When systemd cannot be asked.
    pub(super) fn problem(&self, passed: &BTreeSet<String>) -> Result<Option<String>, AgentError> {
        let services = self.services()?;
        if let Some(problem) = self.wrong(&services)? {
            return Ok(Some(problem));
        }
        let is_silent = |(name, service): (&String, &Service)| {
            WITHOUT_A_WORD.contains(&&*service.kind) && !has_answered(name, passed)
        };
        if !services.iter().any(is_silent) {
            return Ok(None);
        }
        std::thread::sleep(SETTLE.saturating_sub(self.since.elapsed()));
        self.wrong(&self.services()?)
    }

    fn services(&self) -> Result<BTreeMap<String, Service>, AgentError> {
        service_manager::services(&self.units)
    }

    /// Between two tries a unit that ends and is started again looks active, so these are counted.
    fn wrong(&self, services: &BTreeMap<String, Service>) -> Result<Option<String>, AgentError> {
        if let Some(unit) = self.failed()?.first() {
            return Ok(Some(format!("{unit} has failed")));
        }
        let again = |(name, service): &(&String, &Service)| {
            self.started.contains(*name) && service.restarts > 0
        };
        let found = services.iter().find(again);
        Ok(found.map(|(unit, _)| format!("{unit} ended and was started again")))
    }
}

/// Whether a port of the unit has been reached: checks of these are called after it, as the module `units` has them.
fn has_answered(unit: &str, passed: &BTreeSet<String>) -> bool {
    passed.iter().any(|check| check.strip_prefix(unit).is_some_and(|rest| rest.starts_with('/')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_answers_for_its_own_unit() {
        let passed = ["web.service", "a.service/127.0.0.1:80", "web.service2/[::1]:80"];
        let passed = passed.map(str::to_owned).into();
        assert!(has_answered("a.service", &passed));
        assert!(!has_answered("web.service", &passed));
        assert!(!has_answered("b.service", &passed));
    }
}
