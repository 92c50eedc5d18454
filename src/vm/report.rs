//! What a test found out, as a value; as text for people, as JSON, and as `JUnit` XML for CI.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Serialize, Serializer};

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// As expected.
    Passed,
    /// Not as expected.
    Failed,
    /// Not tried, because something before it failed.
    Skipped,
}

/// One check and what came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CheckResult {
    /// What was checked, in words.
    pub name: String,
    /// How it ended.
    pub outcome: Outcome,
    /// What was seen.
    pub seen: String,
    /// How long it took.
    #[serde(rename = "seconds", serialize_with = "as_seconds")]
    pub duration: Duration,
}

/// How long the parts of a boot took.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct BootTimes {
    /// From power-on to the first byte on the serial console.
    #[serde(rename = "first_output_seconds", serialize_with = "as_some_seconds")]
    pub first_output: Option<Duration>,
    /// The kernel, until it starts the initrd's program or the system's.
    #[serde(rename = "kernel_seconds", serialize_with = "as_some_seconds")]
    pub kernel: Option<Duration>,
    /// The initrd, when systemd knows of it.
    #[serde(rename = "initrd_seconds", serialize_with = "as_some_seconds")]
    pub initrd: Option<Duration>,
    /// From systemd's start until all jobs were done.
    #[serde(rename = "userspace_seconds", serialize_with = "as_some_seconds")]
    pub userspace: Option<Duration>,
    /// From power-on until all jobs were done, as seen from outside.
    #[serde(rename = "total_seconds", serialize_with = "as_some_seconds")]
    pub total: Option<Duration>,
    /// Processor seconds that QEMU used until then.
    pub cpu_seconds: Option<f64>,
}

/// What tells one machine from another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Identity {
    /// `/etc/machine-id`.
    pub machine_id: String,
    /// The public SSH host keys.
    pub host_keys: BTreeSet<String>,
}

/// What one machine showed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// The machine's name.
    pub machine: String,
    /// `bios` or `uefi`.
    pub firmware: String,
    /// `kvm` or `tcg`.
    pub accelerator: String,
    /// The checks, in the order they were made.
    pub checks: Vec<CheckResult>,
    /// The boot's times.
    pub boot: BootTimes,
    /// Who the machine is.
    pub identity: Option<Identity>,
    /// The whole of its console.
    pub log: PathBuf,
    /// The console's last lines, when a check failed.
    pub console_tail: Option<String>,
}

impl Report {
    /// Whether every check passed.
    pub fn passed(&self) -> bool {
        self.checks.iter().all(|check| check.outcome == Outcome::Passed)
    }
}

/// What the test of a host found out, over all of its machines.
#[derive(Debug, Clone, PartialEq)]
pub struct TestReport {
    /// The host's name.
    pub host: String,
    /// The store path of the tested system.
    pub system: String,
    /// Sentences worth reading, such as why KVM was passed over.
    pub notes: Vec<String>,
    /// The machines.
    pub machines: Vec<Report>,
    /// Checks that look at several machines.
    pub across: Vec<CheckResult>,
    /// How long it took altogether.
    pub duration: Duration,
}

impl TestReport {
    /// Puts the machines' reports together and compares their identities.
    pub fn new(host: &str, system: &str, machines: Vec<Report>, duration: Duration) -> Self {
        let across = compare_identities(&machines).into_iter().collect();
        let (host, system) = (host.to_owned(), system.to_owned());
        Self { host, system, notes: Vec::new(), machines, across, duration }
    }

    /// Whether every check of every machine passed.
    pub fn passed(&self) -> bool {
        let across = self.across.iter().all(|check| check.outcome == Outcome::Passed);
        across && !self.machines.is_empty() && self.machines.iter().all(Report::passed)
    }

    /// The transcript for people.
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        for note in &self.notes {
            line(&mut text, &format!("note: {note}"));
        }
        for machine in &self.machines {
            line(&mut text, &heading(machine));
            machine.checks.iter().for_each(|check| check_line(&mut text, check));
            if let Some(tail) = &machine.console_tail {
                line(&mut text, "  last lines of the console:");
                tail.lines().for_each(|tail| line(&mut text, &format!("    | {tail}")));
                line(&mut text, &format!("  whole console: {}", machine.log.display()));
            }
        }
        if !self.across.is_empty() {
            line(&mut text, "all machines");
            self.across.iter().for_each(|check| check_line(&mut text, check));
        }
        let verdict = if self.passed() { "passed" } else { "FAILED" };
        let [passed, failed, skipped] = self.counts();
        let counts = format!("{passed} passed, {failed} failed, {skipped} skipped");
        line(&mut text, &format!("{}: {verdict} ({counts}, {})", self.host, words(self.duration)));
        text
    }

    /// One JSON document.
    pub fn to_json(&self) -> String {
        let document = Document {
            version: FORMAT_VERSION,
            passed: self.passed(),
            host: &self.host,
            system: &self.system,
            seconds: rounded(self.duration),
            notes: &self.notes,
            machines: &self.machines,
            across: &self.across,
        };
        serde_json::to_string_pretty(&document).expect("strings, numbers and lists only")
    }

    /// `JUnit` XML, as CI systems read it: a test suite for each machine.
    pub fn to_junit(&self) -> String {
        let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
        let [passed, failed, skipped] = self.counts();
        let total = passed + failed + skipped;
        let seconds = self.duration.as_secs_f64();
        line(
            &mut xml,
            &format!(
                "<testsuites name=\"{}\" tests=\"{total}\" failures=\"{failed}\" \
                 skipped=\"{skipped}\" time=\"{seconds:.3}\">",
                escaped(&self.host)
            ),
        );
        for machine in &self.machines {
            let tail = machine.console_tail.as_deref();
            suite(&mut xml, &machine.machine, &machine.checks, tail);
        }
        if !self.across.is_empty() {
            suite(&mut xml, &format!("{}-all", self.host), &self.across, None);
        }
        xml.push_str("</testsuites>\n");
        xml
    }

    /// How many checks passed, failed, and were skipped.
    fn counts(&self) -> [usize; 3] {
        let all = || self.machines.iter().flat_map(|machine| &machine.checks).chain(&self.across);
        [Outcome::Passed, Outcome::Failed, Outcome::Skipped]
            .map(|outcome| all().filter(|check| check.outcome == outcome).count())
    }
}

/// Version of the JSON document; a reader may rely on the meaning of what was there before.
const FORMAT_VERSION: u32 = 1;

/// What [`TestReport::to_json`] writes.
#[derive(Serialize)]
struct Document<'a> {
    version: u32,
    passed: bool,
    host: &'a str,
    system: &'a str,
    seconds: f64,
    notes: &'a [String],
    machines: &'a [Report],
    across: &'a [CheckResult],
}

/// Two machines from one image must not share keys or machine-ids; `None` with fewer than two.
fn compare_identities(machines: &[Report]) -> Option<CheckResult> {
    let known: Vec<(&str, &Identity)> = machines
        .iter()
        .filter_map(|machine| Some((machine.machine.as_str(), machine.identity.as_ref()?)))
        .collect();
    if known.len() < 2 {
        return None;
    }
    let mut shared = BTreeSet::new();
    for (index, (name, identity)) in known.iter().enumerate() {
        for (other_name, other) in &known[index + 1..] {
            if identity.machine_id == other.machine_id {
                shared.insert(format!("{name} and {other_name} have the same machine-id"));
            }
            for key in identity.host_keys.intersection(&other.host_keys) {
                let key = key.chars().take(60).collect::<String>();
                shared.insert(format!("{name} and {other_name} have the same host key {key}…"));
            }
        }
    }
    let passed = shared.is_empty();
    let seen = if passed {
        format!("{} machines, each with its own machine-id and SSH host keys", known.len())
    } else {
        shared.into_iter().collect::<Vec<_>>().join("; ")
    };
    Some(CheckResult {
        name: "identity is made at first boot".to_owned(),
        outcome: if passed { Outcome::Passed } else { Outcome::Failed },
        seen,
        duration: Duration::ZERO,
    })
}

fn heading(machine: &Report) -> String {
    let boot = &machine.boot;
    let parts = [
        ("first output", boot.first_output),
        ("kernel", boot.kernel),
        ("initrd", boot.initrd),
        ("user space", boot.userspace),
        ("total", boot.total),
    ];
    let mut times: Vec<String> = parts
        .into_iter()
        .filter_map(|(name, time)| Some(format!("{name} {}", words(time?))))
        .collect();
    times.extend(boot.cpu_seconds.map(|seconds| format!("{seconds:.1} s of processor")));
    let times = if times.is_empty() { "no boot".to_owned() } else { times.join(", ") };
    format!("{} ({}, {}): {times}", machine.machine, machine.firmware, machine.accelerator)
}

fn check_line(text: &mut String, check: &CheckResult) {
    let word = match check.outcome {
        Outcome::Passed => "ok  ",
        Outcome::Failed => "FAIL",
        Outcome::Skipped => "skip",
    };
    let mut seen = check.seen.lines();
    let first = seen.next().unwrap_or_default();
    line(text, &format!("  {word} {}: {first} ({})", check.name, words(check.duration)));
    seen.for_each(|more| line(text, &format!("       {more}")));
}

/// Adds a line; what a machine said cannot steer the user's terminal.
fn line(text: &mut String, line: &str) {
    let harmless = |character: char| if character.is_control() { '\u{fffd}' } else { character };
    text.extend(line.chars().map(harmless));
    text.push('\n');
}

fn words(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}

fn suite(xml: &mut String, name: &str, checks: &[CheckResult], console_tail: Option<&str>) {
    let count = |outcome| checks.iter().filter(|check| check.outcome == outcome).count();
    let seconds: Duration = checks.iter().map(|check| check.duration).sum();
    let (failed, skipped) = (count(Outcome::Failed), count(Outcome::Skipped));
    let name = escaped(name);
    line(
        xml,
        &format!(
            "  <testsuite name=\"{name}\" tests=\"{}\" failures=\"{failed}\" errors=\"0\" \
             skipped=\"{skipped}\" time=\"{:.3}\">",
            checks.len(),
            seconds.as_secs_f64()
        ),
    );
    for check in checks {
        let seconds = check.duration.as_secs_f64();
        let (case, seen) = (escaped(&check.name), escaped(&check.seen));
        let _ = write!(
            xml,
            "    <testcase classname=\"{name}\" name=\"{case}\" time=\"{seconds:.3}\">"
        );
        match check.outcome {
            Outcome::Passed => {
                let _ = write!(xml, "<system-out>{seen}</system-out>");
            }
            Outcome::Failed => {
                let _ = write!(xml, "<failure message=\"{seen}\"/>");
            }
            Outcome::Skipped => {
                let _ = write!(xml, "<skipped message=\"{seen}\"/>");
            }
        }
        line(xml, "</testcase>");
    }
    if let Some(tail) = console_tail {
        line(xml, &format!("    <system-err>{}</system-err>", escaped(tail)));
    }
    line(xml, "  </testsuite>");
}

/// Text for an element or an attribute; characters that XML 1.0 cannot hold become `�` (section 2.2).
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            // Within an attribute a plain line end would be read as a space.
            '\n' => escaped.push_str("&#10;"),
            '\t' => escaped.push_str("&#9;"),
            '\0'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => escaped.push('\u{fffd}'),
            plain => escaped.push(plain),
        }
    }
    escaped
}

fn as_seconds<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(rounded(*duration))
}

#[expect(clippy::ref_option, reason = "serde hands fields over like this")]
fn as_some_seconds<S: Serializer>(
    duration: &Option<Duration>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    duration.map(rounded).serialize(serializer)
}

/// Seconds in whole milliseconds.
fn rounded(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests;
