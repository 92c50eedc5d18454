//! What speaks against a takeover, all of it at once.

use core::net::IpAddr;
use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use super::facts::Facts;
use super::network;
use crate::eval::{Interface, Traced};

const MIB: u64 = 1 << 20;
/// Memory that a host needs beside what it unpacks: kernel, services, page tables.
const RUNNING_BYTES: u64 = 300 * MIB;
/// Memory that the old system keeps free beside what is loaded.
const LOADING_BYTES: u64 = 64 * MIB;
/// How often the old system has the initrd in memory while it is loaded: as it arrived, as the kernel reads
/// it, and where it stays.
const COPIES: u64 = 3;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The takeover would fail.
    Error,
    /// Worth a look before.
    Warning,
}

/// Something that speaks against a takeover.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// What it is.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
}

/// What a host asks of the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Needs {
    /// Bytes of its kernel.
    pub kernel_bytes: u64,
    /// Bytes of the initrd that is the whole host.
    pub initrd_bytes: u64,
    /// Bytes of memory that the initrd takes when it is unpacked.
    pub unpacked_bytes: u64,
    /// Bytes of its disk image.
    pub disk_bytes: u64,
}

/// What the user asks for.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wishes<'a> {
    /// The disk to write, when it is not the one that the old system lies on.
    pub disk: Option<&'a str>,
    /// Whether the new host has the old SSH host key.
    pub keep_host_key: bool,
    /// The address at which the machine is reached now.
    pub target: Option<IpAddr>,
}

impl Finding {
    pub(super) fn error(message: impl Into<String>) -> Self {
        Self { severity: Severity::Error, message: message.into(), help: None }
    }

    pub(super) fn warning(message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, message: message.into(), help: None }
    }

    pub(super) fn help(self, help: impl Into<String>) -> Self {
        Self { help: Some(help.into()), ..self }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        write!(f, "{word}: {}", self.message)?;
        match &self.help {
            Some(help) => write!(f, "\nhelp: {help}"),
            None => Ok(()),
        }
    }
}

/// All findings, errors first, and the disk that would be written.
pub fn findings(
    facts: &Facts,
    needs: &Needs,
    interfaces: &BTreeMap<String, Traced<Interface>>,
    wishes: &Wishes<'_>,
) -> (Vec<Finding>, Option<String>) {
    let mut findings = machine(facts);
    findings.extend(kexec(facts));
    findings.extend(memory(facts, needs));
    let disk = disk(facts, needs, wishes.disk).map_err(|finding| findings.push(finding)).ok();
    if wishes.keep_host_key && facts.host_key.is_none() {
        let message = "the machine has no Ed25519 host key that could be kept";
        findings.push(Finding::error(message).help("leave `--keep-host-key` away"));
    }
    findings.extend(network::compare(facts, interfaces, wishes.target));
    findings.sort_by_key(|finding| finding.severity);
    (findings, disk)
}

fn machine(facts: &Facts) -> Vec<Finding> {
    let mut findings = Vec::new();
    if !facts.is_root {
        let error = Finding::error("the login is not root's");
        findings.push(error.help("log in as root, or as somebody who may use `sudo`"));
    }
    if facts.machine != "x86_64" {
        let what = format!("the machine is of kind `{}`, the host of x86_64", facts.machine);
        findings.push(Finding::error(what));
    }
    if let Some(kind) = &facts.container {
        let what = format!("the machine is a container ({kind}) and has no kernel of its own");
        findings.push(Finding::error(what));
    }
    if !facts.systemd {
        let what = "the machine is not run by systemd, which a clean way out needs";
        let help = "write the disk image from the provider's rescue system instead";
        findings.push(Finding::error(what).help(help));
    }
    findings
}

fn kexec(facts: &Facts) -> Vec<Finding> {
    let help = "write the disk image from the provider's rescue system instead";
    let mut findings = Vec::new();
    let kexec = &facts.kexec;
    if kexec.built_in == Some(false) {
        let what = format!("kernel {} cannot start another one", facts.kernel);
        findings.push(Finding::error(what).help(help));
    }
    if kexec.disabled {
        let what = "starting another kernel is switched off (kernel.kexec_load_disabled)";
        findings.push(Finding::error(what).help("reboot the machine with that setting removed"));
    }
    if kexec.secure_boot || kexec.lockdown.is_some() {
        let why = kexec.lockdown.as_deref().unwrap_or("Secure Boot is on");
        let what = format!("the kernel starts signed kernels only ({why})");
        findings.push(Finding::error(what).help("switch Secure Boot off in the firmware"));
    }
    findings
}

fn memory(facts: &Facts, needs: &Needs) -> Vec<Finding> {
    let Needs { kernel_bytes, initrd_bytes, unpacked_bytes, .. } = needs;
    let loading = COPIES * (kernel_bytes + initrd_bytes) + LOADING_BYTES;
    let running = initrd_bytes + unpacked_bytes + RUNNING_BYTES;
    let mib = |bytes: u64| bytes.div_ceil(MIB);
    let mut findings = Vec::new();
    // A rehearsal that runs has all that it needs.
    if facts.rehearsal.is_none() && facts.memory.available < loading {
        let what = format!(
            "the old system has {} MiB of memory to spare, {} MiB are needed to load the new one",
            mib(facts.memory.available),
            mib(loading)
        );
        findings.push(Finding::error(what).help("stop what uses much memory"));
    }
    if facts.rehearsal.is_none() && facts.memory.total < running {
        let what = format!(
            "the machine has {} MiB of memory, {} MiB are needed to run the host from it",
            mib(facts.memory.total),
            mib(running)
        );
        let help = "write the disk image from the provider's rescue system instead";
        findings.push(Finding::error(what).help(help));
    }
    findings
}

/// The disk to write.
fn disk(facts: &Facts, needs: &Needs, wish: Option<&str>) -> Result<String, Finding> {
    let all = || facts.disks.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
    let name = if let Some(wish) = wish {
        wish.strip_prefix("/dev/").unwrap_or(wish).to_owned()
    } else {
        let fixed = || facts.disks.iter().filter(|(_, disk)| !disk.removable && !disk.read_only);
        let mut found = facts.root_disks.iter();
        match (found.next(), found.next(), fixed().count()) {
            (Some(only), None, _) => only.clone(),
            // A system in memory lies on none.
            (None, _, 1) => fixed().next().expect("there is one").0.clone(),
            _ => {
                let what = "it is not clear which disk is to be written";
                return Err(Finding::error(what).help(format!("say `--disk` and one of {}", all())));
            }
        }
    };
    let Some(disk) = facts.disks.get(&name) else {
        let what = format!("the machine has no disk `{name}`");
        return Err(Finding::error(what).help(format!("it has {}", all())));
    };
    if disk.read_only {
        return Err(Finding::error(format!("the disk {name} can be read only")));
    }
    if disk.bytes < needs.disk_bytes {
        let (has, needed) = (disk.bytes / MIB, needs.disk_bytes.div_ceil(MIB));
        return Err(Finding::error(format!(
            "the disk {name} has {has} MiB, the host needs {needed} MiB"
        )));
    }
    Ok(name)
}

#[cfg(test)]
mod tests;
