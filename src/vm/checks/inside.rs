//! Checks made through the root shell.

use std::time::{Duration, Instant};

use super::super::expectations::CommandExpectation;
use super::{Bench, Failure, Finding, verdict};
use crate::exec::process::shell_word as quote;

/// How long a unit may take to become active after the boot.
const UNIT_WITHIN: Duration = Duration::from_secs(60);

/// How long one question may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);

impl Bench<'_> {
    pub(super) fn no_failed_unit(&mut self) -> Finding {
        let shell = self.machine.shell();
        let failed = "systemctl list-units --failed --plain --no-legend --no-pager";
        let failed = shell.succeed(failed)?;
        let state = shell.run("systemctl is-system-running", ANSWER_WITHIN)?.text();
        let units: Vec<&str> = failed
            .lines()
            .filter_map(|line| line.split_whitespace().find(|word| word.contains('.')))
            .collect();
        if units.is_empty() {
            return verdict(state == "running", format!("the system is {state}"));
        }
        let quoted = units.iter().map(|unit| quote(unit)).collect::<Vec<_>>().join(" ");
        let status = format!("systemctl status --no-pager --lines=8 -- {quoted}");
        let status = shell.run(&status, ANSWER_WITHIN)?.for_reading();
        Err(Failure::Seen(format!("{} failed\n{status}", units.join(", "))))
    }

    pub(super) fn unit_is_active(&mut self, unit: &str) -> Finding {
        self.machine.shell().wait_for_unit(unit, UNIT_WITHIN)?;
        Ok("active".to_owned())
    }

    pub(super) fn host_name(&mut self) -> Finding {
        let name = self.machine.shell().succeed("cat /proc/sys/kernel/hostname")?;
        verdict(name == self.expected.host, name)
    }

    pub(super) fn read_only(&mut self, directory: &str) -> Finding {
        let shell = self.machine.shell();
        let mounts = shell.succeed("cat /proc/self/mountinfo")?;
        let flags = mount_flags(&mounts, directory);
        let quoted = quote(directory);
        // A new file, and an old one opened for appending: both must meet EROFS.
        let attempts = format!(
            "export LC_ALL=C; old=$(find {quoted} -xdev -type f -print -quit)\n\
             test -n \"$old\"\n\
             for file in {quoted}/.nexus-test \"$old\"; do\n\
               if (: >>\"$file\") 2>/run/nexus-test/refusal; then echo \"wrote to $file\"; fi\n\
               grep -q 'Read-only file system' /run/nexus-test/refusal || \
                 cat /run/nexus-test/refusal\n\
             done"
        );
        let found = shell.succeed(&attempts)?;
        let Some(flags) = flags else {
            return Err(Failure::Seen(format!("{directory} is not a mount of its own")));
        };
        let is_read_only = flags.split(',').any(|flag| flag == "ro");
        if !found.is_empty() {
            return Err(Failure::Seen(found));
        }
        verdict(is_read_only, format!("writing fails with EROFS, mounted {flags}"))
    }

    pub(super) fn packages(&mut self, count: usize) -> Finding {
        let listed = self.machine.shell().succeed("dpkg -l | sed 1,5d")?;
        let (installed, other): (Vec<&str>, Vec<&str>) =
            listed.lines().partition(|line| line.starts_with("ii "));
        let seen = match other.first() {
            None => format!("{} packages installed", installed.len()),
            Some(line) => format!("{} installed, others such as: {line}", installed.len()),
        };
        let seen =
            if installed.len() == count { seen } else { format!("{seen}; {count} expected") };
        verdict(installed.len() == count && other.is_empty(), seen)
    }

    pub(super) fn time_zone(&mut self, zone: &str) -> Finding {
        let shell = self.machine.shell();
        let target = shell.succeed("readlink -f /etc/localtime")?;
        let now = shell.succeed("date '+%Z %z'")?;
        let seen = target.split_once("zoneinfo/").map_or(target.as_str(), |(_, name)| name);
        // A zone may be another one's second name, which the file system resolves.
        let wanted = format!("readlink -f /usr/share/zoneinfo/{}", quote(zone));
        let wanted = shell.succeed(&wanted)?;
        verdict(target == wanted, format!("{seen} ({now})"))
    }

    pub(super) fn locale(&mut self, locale: &str) -> Finding {
        let shell = self.machine.shell();
        let set = shell.succeed("sed -n 's/^LANG=//p' /etc/locale.conf | tr -d '\"'")?;
        let known =
            shell.run(&format!("LC_ALL={} locale charmap", quote(locale)), ANSWER_WITHIN)?;
        let charmap = known.text();
        let complaint = known.stderr.lines().next().unwrap_or_default();
        let seen = format!("LANG={set}, characters {charmap} {complaint}");
        verdict(set == locale && complaint.is_empty(), seen.trim_end().to_owned())
    }

    pub(super) fn disk_grown(&mut self) -> Finding {
        let disk = self.machine.disk_bytes();
        let image = self.machine.image_bytes();
        let size = self.machine.shell().succeed("stat -f -c '%b %S' /var")?;
        let numbers: Vec<u64> = size.split(' ').filter_map(|word| word.parse().ok()).collect();
        let [blocks, block_bytes] = numbers[..] else { return Err(Failure::Seen(size)) };
        let file_system = blocks.saturating_mul(block_bytes);
        let mib = |bytes: u64| bytes >> 20;
        let seen = format!(
            "the file system of /var has {} MiB, the disk {} MiB, the image {} MiB",
            mib(file_system),
            mib(disk),
            mib(image)
        );
        // The other partitions and the file system's own tables leave less than the disk; most of what the
        // disk has more than the image must have arrived.
        let wanted = image.saturating_add(disk.saturating_sub(image) / 10 * 7);
        verdict(disk <= image || file_system >= wanted, seen)
    }

    pub(super) fn command(&mut self, check: &CommandExpectation) -> Finding {
        let deadline = Instant::now() + check.within;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let shell = self.machine.shell();
            let output = shell.wait_until_succeeds(&check.command, left)?;
            let wanted = check.contains.as_deref().unwrap_or_default();
            let first = output.lines().next().unwrap_or_default().to_owned();
            if output.contains(wanted) {
                return Ok(first);
            }
            if Instant::now() >= deadline {
                return Err(Failure::Seen(format!("{first}, without {wanted:?}")));
            }
            shell.pause(Duration::from_millis(500))?;
        }
    }
}

/// The flags of the topmost mount at `place` (`proc_pid_mountinfo(5)`: field 5 the place, 6 the flags).
pub(super) fn mount_flags(mountinfo: &str, place: &str) -> Option<String> {
    mountinfo
        .lines()
        .filter_map(|line| {
            let mut fields = line.split(' ').skip(4);
            (fields.next()? == place).then(|| fields.next().map(str::to_owned))?
        })
        .next_back()
}
