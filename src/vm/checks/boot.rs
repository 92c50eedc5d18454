//! Checks of the boot: how far it got, how long it took, who the machine is, what a reboot keeps.

use std::time::{Duration, Instant};

use super::super::error::Problem;
use super::super::report::{BootTimes, Identity};
use super::{Bench, Failure, Finding, verdict};

/// A file that must still be there after a reboot.
const MARKER: &str = "/var/lib/nexus-test-marker";

/// How long a shutdown may take on top of the boot.
const SHUTDOWN_WITHIN: Duration = Duration::from_secs(120);

impl Bench<'_> {
    pub(super) fn boots(&mut self) -> Finding {
        let within = self.expected.boot_within;
        let deadline = Instant::now() + within.saturating_sub(self.machine.running_for());
        self.machine.wait_booted(deadline.saturating_duration_since(Instant::now()))?;
        let state = self.wait_until_idle(deadline)?;
        self.boot = self.boot_times()?;
        let target = "systemctl is-active multi-user.target || true";
        let target = self.machine.shell().succeed(target)?;
        let seen = format!("multi-user.target is {target}, the system is {state}");
        verdict(target == "active", seen)
    }

    /// Waits until systemd has no job left; returns the state it is in.
    fn wait_until_idle(&mut self, deadline: Instant) -> Result<String, Failure> {
        let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_secs(1));
        let shell = self.machine.shell();
        let output = shell.run("systemctl is-system-running --wait", left)?;
        let state = output.text();
        // 124 is `timeout`'s; every other status is explained by the state.
        if output.status == 124 || output.status >= 128 {
            let jobs = shell.run("systemctl list-jobs --no-pager", Duration::from_secs(20))?;
            let awaited = format!("end of the boot; these jobs are left:\n{}", jobs.for_reading());
            let seconds = self.expected.boot_within.as_secs();
            return Err(self.machine.fail(Problem::Timeout { awaited, seconds }).into());
        }
        Ok(state)
    }

    fn boot_times(&mut self) -> Result<BootTimes, Failure> {
        let properties = "systemctl show --property=InitRDTimestampMonotonic \
                          --property=UserspaceTimestampMonotonic --property=FinishTimestampMonotonic";
        let total = Some(self.machine.running_for());
        let cpu_seconds = self.machine.cpu_seconds();
        let shown = self.machine.shell().succeed(properties)?;
        let first_output = self.machine.first_byte_after();
        Ok(BootTimes { first_output, total, cpu_seconds, ..parse_times(&shown) })
    }

    pub(super) fn has_identity(&mut self) -> Finding {
        let identity = self.read_identity()?;
        let id = &identity.machine_id;
        let is_id = id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
        let seen = format!("machine-id {id}, {} SSH host keys", identity.host_keys.len());
        let wants_keys = !self.expected.logins.is_empty();
        let is_good = is_id && !(wants_keys && identity.host_keys.is_empty());
        self.identity = Some(identity);
        verdict(is_good, seen)
    }

    fn read_identity(&mut self) -> Result<Identity, Failure> {
        let machine_id = self.machine.shell().succeed("cat /etc/machine-id")?;
        let host_keys = self.host_keys()?.into_iter().collect();
        Ok(Identity { machine_id, host_keys })
    }

    pub(super) fn reboot(&mut self) -> Finding {
        let before = self.read_identity()?;
        let shell = self.machine.shell();
        let marker = shell.succeed(&format!(
            "cp /proc/sys/kernel/random/boot_id {MARKER} && sync {MARKER} && cat {MARKER}"
        ))?;
        let begin = Instant::now();
        let within = self.expected.boot_within;
        let boot = self.machine.reboot(within + SHUTDOWN_WITHIN)?;
        let state = self.wait_until_idle(Instant::now() + within)?;
        let took = begin.elapsed().as_secs_f64();
        let kept = self.machine.shell().succeed(&format!("cat {MARKER}; rm {MARKER}"))?;
        let after = self.read_identity()?;
        let mut wrong = Vec::new();
        wrong.extend((boot == marker).then_some("the kernel did not start anew"));
        wrong.extend((kept != marker).then_some("/var lost a file"));
        wrong.extend((after != before).then_some("machine-id or SSH host keys changed"));
        wrong.extend((state != "running").then_some("not all units came back"));
        let seen = if wrong.is_empty() {
            format!("file in /var, machine-id and host keys kept; running again after {took:.1} s")
        } else {
            format!("{}; the system is {state}", wrong.join(", "))
        };
        verdict(wrong.is_empty(), seen)
    }
}

/// Reads `systemctl show`: microseconds since the kernel's start, 0 when it never happened.
pub(super) fn parse_times(shown: &str) -> BootTimes {
    let value = |name: &str| {
        let line = shown.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='))?;
        let micros: u64 = line.trim().parse().ok()?;
        (micros > 0).then(|| Duration::from_micros(micros))
    };
    let initrd = value("InitRDTimestampMonotonic");
    let userspace = value("UserspaceTimestampMonotonic");
    let finish = value("FinishTimestampMonotonic");
    BootTimes {
        kernel: initrd.or(userspace),
        initrd: initrd.and_then(|begin| userspace?.checked_sub(begin)),
        userspace: userspace.and_then(|begin| finish?.checked_sub(begin)),
        ..BootTimes::default()
    }
}
