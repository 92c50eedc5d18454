//! The steps of a takeover, in order, as they are shown before anything happens.

use std::fmt;

use serde::Serialize;

use super::facts::Facts;
use super::findings::{Finding, Needs, Severity};

/// What is going to happen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// The host that the machine becomes.
    pub host: String,
    /// Full store path of its system.
    pub system: String,
    /// What the machine is now.
    pub facts: Facts,
    /// What speaks against it, errors first.
    pub findings: Vec<Finding>,
    /// The steps; empty when there are errors.
    pub steps: Vec<Step>,
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "step")]
pub enum Step {
    /// Send the agent, which lies in memory there.
    SendAgent {
        /// Its bytes.
        bytes: u64,
    },
    /// Lay out, in memory, what the host shall have of its own.
    Identity {
        /// The old SSH host key; else a new one.
        keep_host_key: bool,
        /// The identity that its secrets are encrypted for.
        secrets: bool,
    },
    /// Send kernel and initrd, the whole host, and load them beside the running kernel.
    Load {
        /// Bytes to send.
        bytes: u64,
    },
    /// Shut the old system down and start the new one from memory.
    Leave {
        /// After so many seconds it reboots into the old system by itself.
        return_seconds: u32,
    },
    /// Log in to the host that runs from memory, with its own network, firewall and keys.
    Meet,
    /// Write the disk and compare it: the old system is gone from here on.
    WriteDisk {
        /// The disk's name.
        disk: String,
        /// Bytes of the image.
        bytes: u64,
    },
    /// Reboot from the disk.
    Reboot,
    /// Wait until the host has what its backups have.
    Restore {
        /// Their names.
        backups: Vec<String>,
    },
    /// Log in again; the host's own checks must pass.
    Check,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mib = |bytes: &u64| bytes.div_ceil(1 << 20);
        match self {
            Self::SendAgent { bytes } => {
                write!(f, "send the agent into memory ({} MiB)", mib(bytes))
            }
            Self::Identity { keep_host_key, secrets } => {
                let key =
                    if *keep_host_key { "keep the SSH host key" } else { "make an SSH host key" };
                let secrets = if *secrets { ", send the identity for secrets" } else { "" };
                write!(f, "{key}{secrets}")
            }
            Self::Load { bytes } => write!(f, "send the host into memory ({} MiB)", mib(bytes)),
            Self::Leave { return_seconds } => write!(
                f,
                "shut the old system down and run the host from memory; it goes back by itself \
                 after {return_seconds} s"
            ),
            Self::Meet => f.write_str("log in to the host that runs from memory"),
            Self::WriteDisk { disk, bytes } => {
                write!(f, "write the disk {disk} ({} MiB); nothing on it is kept", mib(bytes))
            }
            Self::Reboot => f.write_str("reboot from the disk"),
            Self::Restore { backups } => {
                write!(f, "wait until it has brought back its backups: {}", backups.join(", "))
            }
            Self::Check => f.write_str("log in again, and run the host's own checks"),
        }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Facts { system, kernel, memory, uefi, .. } = &self.facts;
        let firmware = if *uefi { "UEFI" } else { "BIOS" };
        let mib = memory.total >> 20;
        writeln!(f, "machine: {system}, kernel {kernel}, {mib} MiB of memory, {firmware}")?;
        for (name, disk) in &self.facts.disks {
            writeln!(f, "  disk {name}: {} MiB", disk.bytes >> 20)?;
        }
        writeln!(f, "host: {} ({})", self.host, self.system)?;
        for finding in &self.findings {
            writeln!(f, "{finding}")?;
        }
        for (index, step) in self.steps.iter().enumerate() {
            writeln!(f, "{}. {step}", index + 1)?;
        }
        Ok(())
    }
}

/// How a takeover shall go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choices {
    /// The host.
    pub host: String,
    /// Full store path of its system.
    pub system: String,
    /// The disk to write, as the findings chose it.
    pub disk: Option<String>,
    /// Whether the old SSH host key stays.
    pub keep_host_key: bool,
    /// Whether an identity for secrets is sent.
    pub secrets: bool,
    /// Backups that are brought back.
    pub restore: Vec<String>,
    /// Seconds from the start of the new kernel until it goes back.
    pub return_seconds: u32,
    /// Bytes of the agent.
    pub agent_bytes: u64,
}

/// Puts the steps in order. A machine that runs this very host from memory already, because an earlier
/// attempt broke off, goes on from there.
pub fn plan(facts: Facts, needs: &Needs, mut findings: Vec<Finding>, choices: Choices) -> Plan {
    let Choices {
        host,
        system,
        disk,
        keep_host_key,
        secrets,
        restore,
        return_seconds,
        agent_bytes,
    } = choices;
    let running = facts.rehearsal.as_ref().map(|(_, system)| system.as_str());
    if running.is_some_and(|running| running != system) {
        let error = Finding::error("the machine runs another system from memory");
        findings.insert(0, error.help("reboot it, and what its disk has comes back"));
    }
    let has_errors = findings.iter().any(|finding| finding.severity == Severity::Error);
    let mut steps = Vec::new();
    if let Some(disk) = disk.filter(|_| !has_errors) {
        if running.is_none() {
            let bytes = needs.kernel_bytes + needs.initrd_bytes;
            steps.push(Step::SendAgent { bytes: agent_bytes });
            steps.push(Step::Identity { keep_host_key, secrets });
            steps.push(Step::Load { bytes });
            steps.push(Step::Leave { return_seconds });
            steps.push(Step::Meet);
        }
        steps.push(Step::WriteDisk { disk, bytes: needs.disk_bytes });
        steps.push(Step::Reboot);
        if !restore.is_empty() {
            steps.push(Step::Restore { backups: restore });
        }
        steps.push(Step::Check);
    }
    Plan { host, system, facts, findings, steps }
}

#[cfg(test)]
mod tests;
