//! Checks made over the network, as a stranger sees the machine.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use super::super::expectations::HttpExpectation;
use super::super::network::{ConnectError, Network, PortScan, http};
use super::{Bench, Failure, Finding, verdict};

/// How long addresses may take to appear after the boot.
const ADDRESS_WITHIN: Duration = Duration::from_secs(60);

/// How long a scan of all ports may take; an emulated machine needs about ten seconds.
const SCAN_WITHIN: Duration = Duration::from_secs(180);

/// How long a page may take to be served after the boot.
const PAGE_WITHIN: Duration = Duration::from_secs(60);

/// How often what is not there yet is asked for again.
const ASK_AGAIN: Duration = Duration::from_millis(500);

/// How many unexpected ports a report names.
const PORTS_SHOWN: usize = 20;

impl Bench<'_> {
    /// The network of the first card; a machine without one fails its outside checks.
    pub(super) fn outside(&self) -> Result<(Network, [u8; 6]), Failure> {
        let none = || Failure::Seen("the machine has no network card".to_owned());
        self.machine.network(0).map(|(network, mac)| (network.clone(), mac)).ok_or_else(none)
    }

    pub(super) fn dhcp_address(&mut self) -> Finding {
        let (network, mac) = self.outside()?;
        let deadline = Instant::now() + ADDRESS_WITHIN;
        loop {
            if let Some(address) = network.leases()?.get(&mac) {
                self.addresses.push(IpAddr::V4(*address));
                return Ok(address.to_string());
            }
            if Instant::now() >= deadline {
                let seen = "the machine took no address from the DHCP server";
                return Err(Failure::Seen(seen.to_owned()));
            }
            self.machine.shell().pause(ASK_AGAIN)?;
        }
    }

    pub(super) fn static_address(&mut self, address: IpAddr) -> Finding {
        let (network, _) = self.outside()?;
        let none = BTreeSet::new();
        match network.scan_tcp(address, none, ADDRESS_WITHIN) {
            Ok(_) => Ok("the machine answers who has it".to_owned()),
            Err(ConnectError::NoMachine) => {
                Err(Failure::Seen("nobody answers who has it".to_owned()))
            }
            Err(error) => Err(error.into()),
        }
    }

    pub(super) fn router_address(&mut self) -> Finding {
        let (network, _) = self.outside()?;
        let (prefix, bits) = network.options().ipv6;
        let deadline = Instant::now() + ADDRESS_WITHIN;
        loop {
            let table = self.machine.shell().succeed("cat /proc/net/if_inet6")?;
            if let Some(address) = address_in_prefix(&table, prefix, bits) {
                self.addresses.push(IpAddr::V6(address));
                return Ok(address.to_string());
            }
            if Instant::now() >= deadline {
                let seen = format!("no address in {prefix}/{bits} among:\n{table}");
                return Err(Failure::Seen(seen));
            }
            self.machine.shell().pause(ASK_AGAIN)?;
        }
    }

    /// One address of the machine for each family that it has.
    pub(super) fn one_address_each(&self) -> Vec<IpAddr> {
        let first = |ipv6| self.addresses.iter().find(|address| address.is_ipv6() == ipv6);
        [false, true].into_iter().filter_map(first).copied().collect()
    }

    pub(super) fn http(&mut self, page: &HttpExpectation) -> Finding {
        let (network, _) = self.outside()?;
        let addresses = self.one_address_each();
        if addresses.is_empty() {
            return Err(Failure::Seen("the machine has no address".to_owned()));
        }
        let deadline = Instant::now() + PAGE_WITHIN;
        let mut seen = Vec::new();
        for address in addresses {
            let to = SocketAddr::new(address, page.port);
            loop {
                let (is_good, line) = ask_for_page(&network, to, page);
                if is_good {
                    seen.push(line);
                    break;
                }
                if Instant::now() >= deadline {
                    return Err(Failure::Seen(line));
                }
                self.machine.shell().pause(ASK_AGAIN)?;
            }
        }
        Ok(seen.join("\n"))
    }

    pub(super) fn tcp_ports(&mut self, ipv6: bool) -> Finding {
        let (network, _) = self.outside()?;
        let address = self.addresses.iter().copied().find(|address| address.is_ipv6() == ipv6);
        let none = || Failure::Seen("the machine has no address of this family".to_owned());
        let address = address.ok_or_else(none)?;
        let begin = Instant::now();
        let found = network.scan_tcp(address, (1..=u16::MAX).collect(), SCAN_WITHIN)?;
        let (is_good, seen) = judge_ports(&found, &self.expected.tcp_ports);
        verdict(is_good, format!("{seen}; {address} in {:.1} s", begin.elapsed().as_secs_f64()))
    }
}

fn ask_for_page(network: &Network, to: SocketAddr, page: &HttpExpectation) -> (bool, String) {
    let site = (page.host.as_str(), page.path.as_str());
    match http::get(network, to, site, Duration::from_secs(20)) {
        Ok(answer) => {
            let body = String::from_utf8_lossy(&answer.body);
            let contains = page.contains.as_ref().is_none_or(|text| body.contains(text.as_str()));
            let server = answer.headers.get("server").map_or("unnamed", String::as_str);
            let start: String = body.trim().chars().take(60).collect();
            let seen = format!("{to}: status {}, server {server}, body {start:?}", answer.status);
            (answer.status == page.status && contains, seen)
        }
        Err(error) => (false, super::chain(&error).replace('\n', ", ")),
    }
}

/// Whether exactly the wanted ports are open, and a sentence about it.
pub(super) fn judge_ports(found: &PortScan, wanted: &BTreeSet<u16>) -> (bool, String) {
    let open = if found.open.is_empty() { "no port".to_owned() } else { list(&found.open) };
    let (closed, silent) = (found.closed.len(), found.silent.len());
    let mut seen = vec![format!("{open} open, {closed} closed, {silent} silent")];
    let too_many: BTreeSet<u16> = found.open.difference(wanted).copied().collect();
    let missing: BTreeSet<u16> = wanted.difference(&found.open).copied().collect();
    if !too_many.is_empty() {
        seen.push(format!("open but not declared: {}", list(&too_many)));
    }
    if !missing.is_empty() {
        seen.push(format!("declared but not open: {}", list(&missing)));
    }
    (too_many.is_empty() && missing.is_empty(), seen.join("; "))
}

fn list(ports: &BTreeSet<u16>) -> String {
    let shown: Vec<String> = ports.iter().take(PORTS_SHOWN).map(u16::to_string).collect();
    let more = ports.len().saturating_sub(PORTS_SHOWN);
    let rest = if more == 0 { String::new() } else { format!(" and {more} more") };
    format!("{}{rest}", shown.join(", "))
}

/// The first usable address within a prefix (`/proc/net/if_inet6` as Linux's `if6_seq_show` writes it:
/// address in hexadecimal, index, prefix, scope, flags, name).
pub(super) fn address_in_prefix(table: &str, prefix: Ipv6Addr, bits: u8) -> Option<Ipv6Addr> {
    /// `IFA_F_TENTATIVE`, `IFA_F_DADFAILED` and `IFA_F_DEPRECATED`: not to be used, now or ever.
    const UNUSABLE: u32 = 0x40 | 0x08 | 0x20;
    let mask = u128::MAX.checked_shl(128 - u32::from(bits.min(128))).unwrap_or(0);
    table.lines().find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [address, _, _, _, flags, _] = fields[..] else { return None };
        let address = u128::from_str_radix(address, 16).ok()?;
        let flags = u32::from_str_radix(flags, 16).ok()?;
        let inside = address & mask == u128::from(prefix) & mask;
        (inside && flags & UNUSABLE == 0).then(|| Ipv6Addr::from(address))
    })
}
