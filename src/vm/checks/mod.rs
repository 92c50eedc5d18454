//! The checks of a host: planned from what it promises, then made one by one.

mod boot;
mod inside;
mod outside;
mod plan;
mod ssh;

use std::net::IpAddr;
use std::time::{Duration, Instant};

pub use self::plan::{Check, plan_checks};
use super::error::{MachineError, Problem};
use super::expectations::Expectations;
use super::machine::Machine;
use super::network::{ConnectError, NetworkError};
use super::report::{BootTimes, CheckResult, Identity, Outcome, Report};
use crate::exec::progress::{Progress, Unit};
use crate::failure::causes;

/// Makes all checks of `expected` on a machine that was just started.
///
/// A machine that dies, and the user's wish to stop, skip the rest; everything is in the report.
pub fn run_checks(
    machine: &mut Machine,
    expected: &Expectations,
    progress: &dyn Progress,
) -> Report {
    let checks = plan_checks(expected);
    let total = u64::try_from(checks.len()).ok();
    let task = progress.begin(&format!("check {}", machine.name()), Unit::Things, total);
    let mut bench = Bench::new(machine, expected);
    let mut results = Vec::new();
    let mut hopeless = None;
    for check in &checks {
        task.at(&check.to_string());
        results.push(bench.make(check, &mut hopeless));
        task.advance(1);
    }
    bench.into_report(results)
}

/// A machine on the test bench, and what the checks found out about it so far.
struct Bench<'a> {
    machine: &'a mut Machine,
    expected: &'a Expectations,
    addresses: Vec<IpAddr>,
    boot: BootTimes,
    identity: Option<Identity>,
    keys: Option<ssh::TestKeys>,
}

/// Why a check did not pass.
#[derive(Debug)]
enum Failure {
    /// Something else was seen than expected.
    Seen(String),
    /// The machine did not answer.
    Machine(MachineError),
}

impl From<MachineError> for Failure {
    fn from(error: MachineError) -> Self {
        Self::Machine(error)
    }
}

impl From<ConnectError> for Failure {
    fn from(error: ConnectError) -> Self {
        Self::Seen(error.to_string())
    }
}

impl From<NetworkError> for Failure {
    fn from(error: NetworkError) -> Self {
        Self::Seen(error.to_string())
    }
}

/// What was seen, or why it is not as expected.
type Finding = Result<String, Failure>;

/// `Err` with `seen` unless `is_good`.
fn verdict(is_good: bool, seen: String) -> Finding {
    if is_good { Ok(seen) } else { Err(Failure::Seen(seen)) }
}

impl<'a> Bench<'a> {
    fn new(machine: &'a mut Machine, expected: &'a Expectations) -> Self {
        let addresses = expected.addresses.clone();
        let boot = BootTimes::default();
        Self { machine, expected, addresses, boot, identity: None, keys: None }
    }

    /// Makes one check, or skips it when an earlier one has shown that it cannot succeed.
    fn make(&mut self, check: &Check, hopeless: &mut Option<String>) -> CheckResult {
        let name = check.to_string();
        if let Some(reason) = hopeless {
            let seen = reason.clone();
            return CheckResult { name, outcome: Outcome::Skipped, seen, duration: Duration::ZERO };
        }
        let begin = Instant::now();
        let (outcome, seen) = match self.find(check) {
            Ok(seen) => (Outcome::Passed, seen),
            Err(Failure::Seen(seen)) => (Outcome::Failed, seen),
            Err(Failure::Machine(error)) => {
                if check == &Check::Boots || is_final(&error.problem) {
                    *hopeless = Some(format!("`{name}` failed"));
                }
                (Outcome::Failed, chain(&*error.problem))
            }
        };
        CheckResult { name, outcome, seen, duration: begin.elapsed() }
    }

    fn find(&mut self, check: &Check) -> Finding {
        match check {
            Check::Boots => self.boots(),
            Check::NoFailedUnit => self.no_failed_unit(),
            Check::Unit(unit) => self.unit_is_active(unit),
            Check::HostName => self.host_name(),
            Check::DhcpAddress => self.dhcp_address(),
            Check::StaticAddress(address) => self.static_address(*address),
            Check::RouterAddress => self.router_address(),
            Check::AuthorizedKeys(login) => self.authorized_keys(login),
            Check::SshLogin(user) => self.ssh_login(user),
            Check::SshPassword(user) => self.ssh_password(user),
            Check::Http(page) => self.http(page),
            Check::TcpPorts { ipv6 } => self.tcp_ports(*ipv6),
            Check::ReadOnly(directory) => self.read_only(directory),
            Check::Packages(count) => self.packages(*count),
            Check::TimeZone(zone) => self.time_zone(zone),
            Check::Locale(locale) => self.locale(locale),
            Check::DiskGrown => self.disk_grown(),
            Check::Identity => self.has_identity(),
            Check::Command(command) => self.command(command),
            Check::Reboot => self.reboot(),
        }
    }

    fn into_report(self, checks: Vec<CheckResult>) -> Report {
        let hardware = self.machine.hardware();
        let failed = checks.iter().any(|check| check.outcome != Outcome::Passed);
        Report {
            machine: self.machine.name().to_owned(),
            firmware: hardware.firmware.name().to_owned(),
            accelerator: hardware.accelerator.name().to_owned(),
            checks,
            boot: self.boot,
            identity: self.identity,
            log: self.machine.log().to_owned(),
            console_tail: failed.then(|| self.machine.console_tail()),
        }
    }
}

/// Whether nothing can be asked of the machine any more.
fn is_final(problem: &Problem) -> bool {
    matches!(
        problem,
        Problem::Ended { .. }
            | Problem::Trouble { .. }
            | Problem::Interrupted
            | Problem::Rebooted { .. }
            | Problem::Channel { .. }
    )
}

/// An error and its causes on one line each.
fn chain(error: &dyn std::error::Error) -> String {
    causes(error).join("\ncaused by: ")
}

#[cfg(test)]
mod tests;
