//! Single questions and orders to a machine, each with its answer read.

use std::io::Read;
use std::time::Duration;

use serde::Deserialize;
use thiserror::Error;

use super::{Answer, Shell, ShellError};
use crate::exec::files::FileError;
use crate::exec::process::shell_word;
use crate::install::facts::SCRIPT;
use crate::install::{Facts, FactsError};

/// Where everything lies on the old system: in memory, and for root alone.
pub(super) const PLACE: &str = "/dev/shm/nexus-host";
/// Where the agent lies on a host.
pub(super) const AGENT: &str = "/usr/lib/nexus-host/nexus-agent";
/// How long small commands may take.
pub(super) const SHORT: Duration = Duration::from_secs(120);
/// Bytes from the start of a disk by which it is recognised: both kinds of partition table, and nothing
/// that a file system writes to.
const TABLE_BYTES: u32 = 17_408;

/// Why a step failed.
#[derive(Debug, Error)]
pub enum StepError {
    /// The connection broke, or there was none.
    #[error(transparent)]
    Shell(#[from] ShellError),
    /// A command on the machine failed.
    #[error("a command on the machine ended with status {status}{}", after_colon(.errors))]
    Command {
        /// Its exit status.
        status: i32,
        /// The last lines that it wrote.
        errors: String,
    },
    /// The machine answered something else than was expected.
    #[error("the machine's answer to a question about {about} cannot be understood")]
    Answer {
        /// What was asked about.
        about: &'static str,
    },
    /// Its answers about itself cannot be understood.
    #[error(transparent)]
    Facts(#[from] FactsError),
    /// A file of ours cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// No disk is the one that was planned for.
    #[error("the new kernel shows no disk that begins as {disk} did")]
    OtherDisk {
        /// Its name in the old system.
        disk: String,
    },
    /// Somebody answers, but not the system that was started.
    #[error("another system answers than the one that was started")]
    OtherSystem,
    /// The old system runs again: the new one ended by itself.
    #[error("the new system ended before anybody could log in to it")]
    CameBack,
    /// The host runs, but not as it should.
    #[error("the host's own checks fail: {failed}")]
    Unhealthy {
        /// Their names.
        failed: String,
    },
}

fn after_colon(errors: &str) -> String {
    if errors.is_empty() { String::new() } else { format!(":\n{errors}") }
}

/// Asks a machine what it is; changes nothing there.
///
/// # Errors
///
/// No connection, or answers that cannot be understood.
pub fn ask_facts(shell: &mut dyn Shell) -> Result<Facts, StepError> {
    let answer = shell.run("sh -s", &mut SCRIPT.as_bytes(), SHORT)?;
    Ok(Facts::parse(&answer.output)?)
}

/// Runs a command that must succeed.
pub(super) fn succeed(
    shell: &mut dyn Shell,
    command: &str,
    input: &mut dyn Read,
    within: Duration,
) -> Result<Vec<u8>, StepError> {
    let Answer { status, output, errors } = shell.run(command, input, within)?;
    if status == 0 {
        return Ok(output);
    }
    let last: Vec<&str> = errors.lines().rev().take(8).collect();
    let errors = last.into_iter().rev().collect::<Vec<_>>().join("\n");
    Err(StepError::Command { status, errors })
}

/// The same without input, and with text for output.
pub(super) fn say(shell: &mut dyn Shell, command: &str) -> Result<String, StepError> {
    let output = succeed(shell, command, &mut std::io::empty(), SHORT)?;
    Ok(String::from_utf8_lossy(&output).into_owned())
}

/// Runs a command that begins a shutdown, which may end the connection before its answer is there; whether the
/// machine has gone down is seen by what comes up.
pub(super) fn go_down(shell: &mut dyn Shell, command: &str) -> Result<(), StepError> {
    match say(shell, command) {
        Err(StepError::Shell(_)) => Ok(()),
        answered => answered.map(drop),
    }
}

/// What a disk begins with, as a digest.
pub(super) fn fingerprint(shell: &mut dyn Shell, disk: &str) -> Result<String, StepError> {
    let text = say(shell, &format!("head -c {TABLE_BYTES} /dev/{} | sha256sum", shell_word(disk)))?;
    let digest = text.split(' ').next().filter(|digest| digest.len() == 64);
    digest.map(str::to_owned).ok_or(StepError::Answer { about: "a disk" })
}

/// The disk that begins with what has this digest: names depend on the kernel.
pub(super) fn disk_by(
    shell: &mut dyn Shell,
    wanted: &str,
    name: &str,
) -> Result<String, StepError> {
    let facts = ask_facts(shell)?;
    for disk in facts.disks.keys() {
        if fingerprint(shell, disk)? == wanted {
            return Ok(disk.clone());
        }
    }
    Err(StepError::OtherDisk { disk: name.to_owned() })
}

/// What the agent says about a disk that it writes, in the order of events.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct DiskEvent {
    /// `begin`, `written`, `compared`, `carried`, `done`.
    pub(super) event: String,
}

/// The events of `write-disk`, as far as they came.
pub(super) fn disk_events(output: &[u8]) -> Vec<DiskEvent> {
    let text = String::from_utf8_lossy(output);
    text.lines().map_while(|line| serde_json::from_str(line).ok()).collect()
}

#[derive(Deserialize)]
struct Checks {
    checks: Vec<Check>,
}

#[derive(Deserialize)]
struct Check {
    name: String,
    ok: bool,
}

/// Names of the host's own checks that fail.
pub(super) fn failed_checks(shell: &mut dyn Shell) -> Result<Vec<String>, StepError> {
    // Status 6 says that one failed; the answer says which.
    let answer = shell.run(&format!("{AGENT} check --json"), &mut std::io::empty(), SHORT)?;
    let about = StepError::Answer { about: "its checks" };
    let checks: Checks = serde_json::from_slice(&answer.output).map_err(|_| about)?;
    let failed = checks.checks.into_iter().filter(|check| !check.ok);
    Ok(failed
        .map(|check| check.name.chars().filter(|c| !c.is_control()).take(80).collect())
        .collect())
}
