//! Facts about a machine, read from what [`SCRIPT`] prints there.
//!
//! The machine is not ours yet: every answer may be missing, cut off or made up. What is missing is `None`
//! or empty; what cannot be understood is an error.

use core::net::IpAddr;
use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::boot::arguments::{ATTEMPT, MEMORY, ROOT, SYSTEM};

/// To be run by the machine's shell as root.
pub const SCRIPT: &str = include_str!("facts.sh");
/// Most bytes of all answers together.
pub const FACTS_BYTES_MAX: usize = 4 << 20;
/// Most disks, partitions, interfaces, addresses or routes that are looked at.
const ITEMS_MAX: usize = 4096;
/// Bytes of a sector in sysfs, whatever the disk's own sectors are.
const SECTOR_BYTES: u64 = 512;

/// What a machine is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct Facts {
    /// Whether the shell is root's.
    pub is_root: bool,
    /// `x86_64`.
    pub machine: String,
    /// Version of the running kernel.
    pub kernel: String,
    /// `PRETTY_NAME` of os-release.
    pub system: String,
    /// Whether systemd runs it.
    pub systemd: bool,
    /// The kind of container that it is, if it is one.
    pub container: Option<String>,
    /// Bytes of memory, all of it and what is free for use.
    pub memory: Memory,
    /// Whether the firmware is UEFI.
    pub uefi: bool,
    /// What forbids to start another kernel.
    pub kexec: Kexec,
    /// Disks that could be written, by name.
    pub disks: BTreeMap<String, Disk>,
    /// Names of the disks that the running system lies on.
    pub root_disks: BTreeSet<String>,
    /// Network interfaces, by name.
    pub interfaces: BTreeMap<String, Link>,
    /// Routes to everywhere else.
    pub gateways: Vec<Gateway>,
    /// Name servers.
    pub dns: Vec<IpAddr>,
    /// The public SSH host key, if there is an Ed25519 one.
    pub host_key: Option<String>,
    /// The present boot's id.
    pub boot_id: String,
    /// The attempt whose system runs from memory here, and that system's store path.
    pub rehearsal: Option<(String, String)>,
    /// Whether names of interfaces are those of the kernel (`net.ifnames=0`).
    pub plain_names: bool,
}

/// Memory in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Memory {
    /// All that the kernel has.
    pub total: u64,
    /// What programs can get without swapping.
    pub available: u64,
}

/// What decides whether another kernel may be started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Kexec {
    /// `false` when the kernel was built without it; `None` when its configuration is not known.
    pub built_in: Option<bool>,
    /// Whether it was switched off until the next boot.
    pub disabled: bool,
    /// `integrity` or `confidentiality`.
    pub lockdown: Option<String>,
    /// Whether the firmware starts signed programs only.
    pub secure_boot: bool,
}

/// A disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Disk {
    /// Bytes.
    pub bytes: u64,
    /// Whether it can be read only.
    pub read_only: bool,
    /// Whether it is made to be taken out.
    pub removable: bool,
}

/// A network interface.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Link {
    /// Hardware address, lower case, with colons.
    pub mac: Option<String>,
    /// Addresses that are reached from elsewhere.
    pub addresses: Vec<Address>,
}

/// An address of an interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Address {
    /// The address.
    pub address: IpAddr,
    /// Length of its network's prefix.
    pub prefix: u8,
    /// Whether it came by DHCP or router advertisement.
    pub dynamic: bool,
}

/// A route to everywhere else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Gateway {
    /// The interface.
    pub interface: String,
    /// The router; `None` when the interface leads there by itself.
    pub via: Option<IpAddr>,
    /// Whether it is of IPv6.
    pub ipv6: bool,
}

/// Answers that cannot be understood.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum FactsError {
    /// The answers stop before their end.
    #[error("the machine's answers are cut off")]
    CutOff,
    /// More than any machine has.
    #[error("the machine answers more than {FACTS_BYTES_MAX} bytes")]
    TooLong,
    /// One answer.
    #[error("the machine's answer about {about} cannot be understood: `{text}`")]
    Answer {
        /// Which.
        about: &'static str,
        /// The beginning of it.
        text: String,
    },
}

/// Answers by name.
struct Answers<'a>(BTreeMap<&'a str, Vec<&'a str>>);

impl<'a> Answers<'a> {
    fn split(text: &'a str) -> Result<Self, FactsError> {
        let mut answers = BTreeMap::new();
        let mut current: Option<&mut Vec<&str>> = None;
        let mut ended = false;
        for line in text.lines() {
            if line == "@end" {
                ended = true;
            } else if let Some(name) = line.strip_prefix('@') {
                current = Some(answers.entry(name).or_insert_with(Vec::new));
            } else if let (Some(lines), Some(rest)) = (&mut current, line.strip_prefix(' ')) {
                lines.push(rest);
            }
        }
        if ended { Ok(Self(answers)) } else { Err(FactsError::CutOff) }
    }

    fn lines(&self, name: &str) -> &[&'a str] {
        self.0.get(name).map_or(&[], Vec::as_slice)
    }

    /// The first line, without spaces around; empty when there is none.
    fn word(&self, name: &str) -> &'a str {
        self.lines(name).first().map_or("", |line| line.trim())
    }
}

fn wrong(about: &'static str, text: &str) -> FactsError {
    let text = text.chars().filter(|c| !c.is_control()).take(80).collect();
    FactsError::Answer { about, text }
}

impl Facts {
    /// Reads what [`SCRIPT`] printed.
    ///
    /// # Errors
    ///
    /// Answers that are cut off, or not of the form that a Linux machine gives.
    pub fn parse(bytes: &[u8]) -> Result<Self, FactsError> {
        if bytes.len() > FACTS_BYTES_MAX {
            return Err(FactsError::TooLong);
        }
        let text = String::from_utf8_lossy(bytes);
        let answers = Answers::split(&text)?;
        let block_devices = block_devices(&answers)?;
        let arguments = answers.word("command-line");
        let interfaces = interfaces(&answers)?;
        let mut gateways = gateways(&answers, "routes", false)?;
        gateways.extend(gateways_of_ipv6(&answers)?);
        Ok(Self {
            is_root: answers.word("user") == "0",
            machine: readable(answers.word("machine")),
            kernel: readable(answers.word("kernel")),
            system: system_name(&answers),
            systemd: answers.word("init").starts_with('/'),
            container: container(answers.word("container")),
            memory: memory(&answers)?,
            uefi: !answers.word("efi").is_empty(),
            kexec: kexec(&answers),
            root_disks: root_disks(&answers, &block_devices),
            disks: disks(&block_devices),
            interfaces,
            gateways,
            dns: name_servers(&answers),
            host_key: host_key(answers.word("keys")),
            boot_id: readable(answers.word("boot")),
            rehearsal: rehearsal(arguments),
            plain_names: arguments.split(' ').any(|word| word == "net.ifnames=0"),
        })
    }

    /// The interface that leads to everywhere else; that of IPv4 when both families have one.
    pub fn uplink(&self) -> Option<(&str, &Link)> {
        let ranked = self.gateways.iter().find(|g| !g.ipv6).or(self.gateways.first())?;
        let (name, link) = self.interfaces.get_key_value(&ranked.interface)?;
        Some((name, link))
    }
}

/// Text of the machine for people: short, without control characters.
fn readable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(120).collect()
}

fn system_name(answers: &Answers<'_>) -> String {
    let name = answers.lines("system").iter().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    readable(name.unwrap_or("an unknown system").trim_matches('"'))
}

fn container(word: &str) -> Option<String> {
    (!word.is_empty() && word != "none").then(|| readable(word))
}

/// `PUBLIC KEY` without its comment.
fn host_key(line: &str) -> Option<String> {
    let mut words = line.split_ascii_whitespace();
    let (kind, key) = (words.next()?, words.next()?);
    let plain = |c: char| c.is_ascii_alphanumeric() || "+/=".contains(c);
    (kind == "ssh-ed25519" && key.len() < 200 && key.chars().all(plain))
        .then(|| format!("{kind} {key}"))
}

fn memory(answers: &Answers<'_>) -> Result<Memory, FactsError> {
    let field = |name: &str| {
        let line = answers.lines("memory").iter().find_map(|line| line.strip_prefix(name));
        let line = line.ok_or_else(|| wrong("memory", ""))?;
        let number = line.trim().strip_suffix(" kB").and_then(|text| text.trim().parse().ok());
        let bytes = number.and_then(|kib: u64| kib.checked_mul(1024));
        bytes.ok_or_else(|| wrong("memory", line))
    };
    Ok(Memory { total: field("MemTotal:")?, available: field("MemAvailable:")? })
}

/// The lockdown that holds stands in brackets: `none [integrity] confidentiality`.
fn kexec(answers: &Answers<'_>) -> Kexec {
    let lockdown = answers.word("lockdown");
    let holds = lockdown.split_once('[').and_then(|(_, rest)| rest.split_once(']'));
    let holds = holds.map(|(word, _)| word).filter(|word| *word != "none");
    Kexec {
        built_in: match answers.word("kexec-config") {
            "" => None,
            line => Some(line == "CONFIG_KEXEC_FILE=y"),
        },
        disabled: answers.word("kexec-disabled") == "1",
        lockdown: holds.map(readable),
        secure_boot: answers.word("secure-boot") == "1",
    }
}

/// The running system's place in memory and its attempt, from the kernel's command line.
fn rehearsal(arguments: &str) -> Option<(String, String)> {
    let value = |name: &str| {
        let words = arguments.split(' ').rev();
        let mut values = words.filter_map(|word| word.strip_prefix(name)?.strip_prefix('='));
        values.next()
    };
    let in_memory = value(ROOT) == Some(MEMORY);
    in_memory
        .then(|| (readable(value(ATTEMPT).unwrap_or("")), readable(value(SYSTEM).unwrap_or(""))))
}

/// A disk, a partition, or what is made of them.
struct BlockDevice<'a> {
    bytes: u64,
    number: &'a str,
    read_only: bool,
    removable: bool,
    parent: Option<&'a str>,
    real: bool,
    parts: Vec<&'a str>,
}

fn block_devices<'a>(
    answers: &Answers<'a>,
) -> Result<BTreeMap<&'a str, BlockDevice<'a>>, FactsError> {
    let mut devices = BTreeMap::new();
    for line in answers.lines("disks").iter().take(ITEMS_MAX) {
        let words: Vec<&str> = line.split(' ').collect();
        let [name, sectors, number, read_only, removable, parent, real, ref slaves @ ..] =
            words[..]
        else {
            return Err(wrong("disks", line));
        };
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_!.".contains(c);
        let bytes = sectors.parse().ok().and_then(|n: u64| n.checked_mul(SECTOR_BYTES));
        let bytes = bytes.ok_or_else(|| wrong("disks", line))?;
        if name.is_empty() || !name.chars().all(plain) {
            return Err(wrong("disks", line));
        }
        let slaves = slaves.first().copied().unwrap_or_default();
        let device = BlockDevice {
            bytes,
            number,
            read_only: read_only == "1",
            removable: removable == "1",
            parent: Some(parent).filter(|parent| *parent != "-"),
            real: real == "real",
            parts: slaves.split(',').filter(|slave| !slave.is_empty()).collect(),
        };
        devices.insert(name, device);
    }
    Ok(devices)
}

/// Real disks with room, not their partitions.
fn disks(devices: &BTreeMap<&str, BlockDevice<'_>>) -> BTreeMap<String, Disk> {
    let is_disk = |d: &BlockDevice<'_>| d.parent.is_none() && d.real && d.bytes > 0;
    let disk = |d: &BlockDevice<'_>| Disk {
        bytes: d.bytes,
        read_only: d.read_only,
        removable: d.removable,
    };
    let found = devices.iter().filter(|(_, device)| is_disk(device));
    found.map(|(name, device)| ((*name).to_owned(), disk(device))).collect()
}

/// The disks below the file system at `/`, through partitions, mappings and arrays.
///
/// Form of the lines: proc(5), `/proc/PID/mountinfo`.
fn root_disks(
    answers: &Answers<'_>,
    devices: &BTreeMap<&str, BlockDevice<'_>>,
) -> BTreeSet<String> {
    let mut waiting: Vec<&str> = Vec::new();
    for line in answers.lines("mounts") {
        let words: Vec<&str> = line.split(' ').collect();
        if words.get(4) != Some(&"/") {
            continue;
        }
        let by_number = devices.iter().find(|(_, d)| words.get(2) == Some(&d.number));
        // Some file systems have numbers of their own; then the source says the device.
        let source = words.iter().skip_while(|word| **word != "-").nth(2);
        let by_name = source.and_then(|source| source.strip_prefix("/dev/"));
        waiting = by_number.map(|(name, _)| *name).or(by_name).into_iter().collect();
    }
    let (mut seen, mut found) = (BTreeSet::new(), BTreeSet::new());
    while let Some(name) = waiting.pop() {
        let Some(device) = devices.get(name).filter(|_| seen.insert(name)) else { continue };
        waiting.extend(device.parent);
        waiting.extend(&device.parts);
        if device.parent.is_none() && device.real {
            found.insert(name.to_owned());
        }
    }
    found
}

/// A line of `ip -j address`; what is not needed is not looked at.
#[derive(Deserialize)]
struct IpLink {
    #[serde(default)]
    ifname: String,
    #[serde(default)]
    address: Option<String>,
    #[serde(default)]
    link_type: String,
    #[serde(default)]
    addr_info: Vec<IpAddress>,
}

#[derive(Deserialize)]
struct IpAddress {
    #[serde(default)]
    local: String,
    #[serde(default)]
    prefixlen: u8,
    #[serde(default)]
    scope: String,
    #[serde(default)]
    dynamic: bool,
    #[serde(default)]
    temporary: bool,
}

#[derive(Deserialize)]
struct IpRoute {
    #[serde(default)]
    dst: String,
    #[serde(default)]
    gateway: Option<String>,
    #[serde(default)]
    dev: String,
}

fn json<T: for<'de> Deserialize<'de>>(
    answers: &Answers<'_>,
    name: &str,
    about: &'static str,
) -> Result<Vec<T>, FactsError> {
    let text = answers.lines(name).concat();
    if text.trim().is_empty() {
        return Ok(Vec::new());
    }
    let items: Vec<T> = serde_json::from_str(&text).map_err(|_| wrong(about, &text))?;
    Ok(items.into_iter().take(ITEMS_MAX).collect())
}

fn interfaces(answers: &Answers<'_>) -> Result<BTreeMap<String, Link>, FactsError> {
    let mut links = BTreeMap::new();
    for link in json::<IpLink>(answers, "addresses", "addresses")? {
        if link.link_type == "loopback" {
            continue;
        }
        let mut addresses = Vec::new();
        for info in &link.addr_info {
            if info.scope != "global" || info.temporary {
                continue;
            }
            let address = info.local.parse().map_err(|_| wrong("addresses", &info.local))?;
            addresses.push(Address { address, prefix: info.prefixlen, dynamic: info.dynamic });
        }
        let mac = link.address.map(|mac| mac.to_ascii_lowercase()).filter(|mac| is_mac(mac));
        links.insert(readable(&link.ifname), Link { mac, addresses });
    }
    Ok(links)
}

fn is_mac(text: &str) -> bool {
    let parts: Vec<&str> = text.split(':').collect();
    let hex = |part: &&str| part.len() == 2 && part.chars().all(|c| c.is_ascii_hexdigit());
    parts.len() == 6 && parts.iter().all(hex)
}

fn gateways(answers: &Answers<'_>, name: &str, ipv6: bool) -> Result<Vec<Gateway>, FactsError> {
    let mut found = Vec::new();
    for route in json::<IpRoute>(answers, name, "routes")? {
        if route.dst != "default" {
            continue;
        }
        let via = route.gateway.as_deref().map(str::parse).transpose();
        let via = via.map_err(|_| wrong("routes", route.gateway.as_deref().unwrap_or("")))?;
        found.push(Gateway { interface: readable(&route.dev), via, ipv6 });
    }
    Ok(found)
}

fn gateways_of_ipv6(answers: &Answers<'_>) -> Result<Vec<Gateway>, FactsError> {
    gateways(answers, "routes6", true)
}

/// Servers of resolv.conf(5) that are not on the machine itself.
fn name_servers(answers: &Answers<'_>) -> Vec<IpAddr> {
    let lines = answers.lines("dns").iter();
    let words = lines.filter_map(|line| line.strip_prefix("nameserver ")).take(ITEMS_MAX);
    let servers = words.filter_map(|word| word.trim().parse::<IpAddr>().ok());
    servers.filter(|server| !server.is_loopback()).collect()
}

#[cfg(test)]
pub(in crate::install) mod tests;
