//! The kernel's command line: what `nexus-init` reads from it, and how it is written.

#[cfg(not(any(feature = "builder", feature = "agent")))]
use alloc::{borrow::ToOwned as _, string::String};

use thiserror::Error;

/// Says where the root partition is: `PARTLABEL=…`, `PARTUUID=…` or `UUID=…`.
pub const ROOT: &str = "nexus.root";
/// Says which system to boot: its full store path.
pub const SYSTEM: &str = "nexus.system";
/// What [`ROOT`] is when the root partition's contents came with the initrd and stay in memory.
pub const MEMORY: &str = "memory";
/// Says after how many seconds the machine reboots unless [`super::STAY`] is there by then.
pub const RETURN: &str = "nexus.return";
/// Names the attempt that started this kernel, for whoever looks whether it is the one it started.
pub const ATTEMPT: &str = "nexus.attempt";

/// What the command line tells `nexus-init`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BootArguments {
    /// Where the root partition is.
    pub root: RootDevice,
    /// Base name of the system's store path.
    pub system: String,
    /// Program to hand over to.
    pub init: String,
    /// Seconds until the machine reboots by itself; `None` when it stays.
    pub return_seconds: Option<u32>,
}

/// How the root partition is found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RootDevice {
    /// By its name in the GPT.
    PartitionLabel(String),
    /// By its GUID in the GPT, lower case.
    PartitionUuid(String),
    /// By the UUID of its ext4 file system, 32 lower-case hexadecimal digits.
    FileSystemUuid(String),
    /// There is none: its contents lie in the initrd, below `disk/`.
    Memory,
}

/// A command line that `nexus-init` cannot follow.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ArgumentsError {
    /// A needed argument is not there.
    #[error("the kernel command line has no {0}=")]
    Missing(&'static str),
    /// The root is named in a way that we do not know.
    #[error("{ROOT}={0} is none of PARTLABEL=…, PARTUUID=…, UUID=…, {MEMORY}")]
    Root(String),
    /// The system is not a path in the store.
    #[error("{SYSTEM}={0} is not a path right below /nix/store")]
    System(String),
    /// The time to return after is no number of seconds.
    #[error("{RETURN}={0} is no number of seconds")]
    Return(String),
}

impl BootArguments {
    /// Reads `/proc/cmdline`; of several equal names the last counts, as for the kernel.
    ///
    /// # Errors
    ///
    /// What is missing or cannot be understood.
    pub fn parse(line: &str) -> Result<Self, ArgumentsError> {
        let value = |name: &str| {
            let mut values = line
                .split_ascii_whitespace()
                .filter_map(|word| word.strip_prefix(name).and_then(|rest| rest.strip_prefix('=')));
            values.next_back()
        };
        let root = value(ROOT).ok_or(ArgumentsError::Missing(ROOT))?;
        let system = value(SYSTEM).ok_or(ArgumentsError::Missing(SYSTEM))?;
        Ok(Self {
            root: root_device(root)?,
            system: system_name(system)?,
            init: value("init").unwrap_or("/usr/lib/systemd/systemd").to_owned(),
            return_seconds: value(RETURN).map(seconds).transpose()?,
        })
    }
}

fn seconds(text: &str) -> Result<u32, ArgumentsError> {
    text.parse().map_err(|_| ArgumentsError::Return(text.to_owned()))
}

fn root_device(text: &str) -> Result<RootDevice, ArgumentsError> {
    if text == MEMORY {
        return Ok(RootDevice::Memory);
    }
    let fail = || ArgumentsError::Root(text.to_owned());
    let (kind, value) = text.split_once('=').ok_or_else(fail)?;
    match kind {
        "PARTLABEL" => Ok(RootDevice::PartitionLabel(value.to_owned())),
        "PARTUUID" => Ok(RootDevice::PartitionUuid(value.to_ascii_lowercase())),
        "UUID" => {
            let digits: String = value.chars().filter(|c| *c != '-').collect();
            let good = digits.len() == 32 && digits.chars().all(|c| c.is_ascii_hexdigit());
            let found = RootDevice::FileSystemUuid(digits.to_ascii_lowercase());
            if good { Ok(found) } else { Err(fail()) }
        }
        _ => Err(fail()),
    }
}

fn system_name(text: &str) -> Result<String, ArgumentsError> {
    let name = text.strip_prefix(super::STORE_DIRECTORY).and_then(|rest| rest.strip_prefix('/'));
    let plain = |name: &&str| !name.is_empty() && !name.starts_with('.') && !name.contains('/');
    let name = name.filter(plain).ok_or_else(|| ArgumentsError::System(text.to_owned()))?;
    Ok(name.to_owned())
}

#[cfg(test)]
mod tests;
