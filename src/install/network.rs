//! Whether the machine would be reached as the new host: its addresses against the declared ones.

use core::net::IpAddr;
use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::facts::{Address, Facts, Link};
use super::findings::Finding;
use crate::eval::{Interface, Traced};

/// Name of the interface that `[network] dhcp = true` stands for; it applies where no other does.
const DEFAULT: &str = "default";

/// Compares the machine's way to everywhere else with what the host file declares.
///
/// `target` is the address at which the machine is reached now, when it is known as an address. The
/// rehearsal would find all this out too; here it is told before anything happens, with what to write.
pub fn compare(
    facts: &Facts,
    declared: &BTreeMap<String, Traced<Interface>>,
    target: Option<IpAddr>,
) -> Vec<Finding> {
    let Some((name, link)) = facts.uplink() else {
        let message = "the machine has no route to everywhere else, so addresses are not compared";
        return vec![Finding::warning(message)];
    };
    let block = block(facts, link);
    let Some((own_name, interface)) = applying(declared, name, link) else {
        let message = format!("no interface of the host file applies to {name}");
        return vec![Finding::error(message).help(paste(&block))];
    };
    let mut findings = Vec::new();
    if facts.plain_names && own_name != DEFAULT && interface.mac.is_none() {
        let message =
            format!("{name} has another name in the new host, whose kernel names by the slot");
        findings.push(Finding::warning(message).help(paste(&block)));
    }
    for address in &link.addresses {
        findings.extend(compare_address(facts, interface, *address, target, &block));
    }
    let has = |text: &String| {
        let address = text.split('/').next().and_then(|text| text.parse::<IpAddr>().ok());
        link.addresses.iter().any(|found| Some(found.address) == address)
    };
    for text in interface.addresses.iter().filter(|text| !has(text)) {
        let message = format!("the host file declares {text}, which the machine does not have now");
        findings.push(Finding::warning(message));
    }
    findings
}

/// What becomes of one address of the machine.
fn compare_address(
    facts: &Facts,
    interface: &Interface,
    found: Address,
    target: Option<IpAddr>,
    block: &str,
) -> Option<Finding> {
    let Address { address, prefix, dynamic } = found;
    let declared = |text: &String| {
        text.split('/').next().and_then(|text| text.parse::<IpAddr>().ok()) == Some(address)
    };
    if interface.addresses.iter().any(declared) {
        let gateway = facts.gateways.iter().find(|gateway| gateway.ipv6 == address.is_ipv6())?;
        let via = gateway.via.filter(|via| !interface.gateways.contains(via))?;
        let message = format!("the machine's router for {address} is {via}, which is not declared");
        return (!interface.dhcp).then(|| Finding::warning(message).help(paste(block)));
    }
    if interface.dhcp && dynamic {
        return None;
    }
    let (message, is_sure) = if interface.dhcp {
        let words = "was set by hand here, and the host file leaves it to DHCP";
        (format!("{address}/{prefix} {words}"), false)
    } else {
        (format!("the host file does not declare {address}/{prefix}"), true)
    };
    let finding = if is_sure && target == Some(address) {
        Finding::error(format!("{message}; it is the address that the machine is reached at"))
    } else {
        Finding::warning(message)
    };
    Some(finding.help(paste(block)))
}

/// The declared interface whose settings the link gets, as systemd-networkd chooses: the first by name.
fn applying<'a>(
    declared: &'a BTreeMap<String, Traced<Interface>>,
    name: &str,
    link: &Link,
) -> Option<(&'a str, &'a Interface)> {
    let fits = |interface: &Interface| {
        let by_name = interface.names.is_empty()
            || interface.names.iter().any(|pattern| matches(pattern.as_bytes(), name.as_bytes()));
        let mac = interface.mac.as_ref().map(|mac| mac.to_ascii_lowercase());
        by_name && (mac.is_none() || mac == link.mac)
    };
    let (last, first): (Vec<_>, Vec<_>) = declared.iter().partition(|(name, _)| *name == DEFAULT);
    let mut all = first.into_iter().chain(last);
    let found = all.find(|(_, interface)| fits(&interface.value));
    found.map(|(name, interface)| (name.as_str(), &interface.value))
}

/// Whether a pattern of systemd.network(5) with `*` and `?` matches.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    match (pattern.split_first(), name.split_first()) {
        (None, None) => true,
        (Some((b'*', rest)), _) => (0..=name.len()).any(|skipped| matches(rest, &name[skipped..])),
        (Some((b'?', rest)), Some((_, name))) => matches(rest, name),
        (Some((a, rest)), Some((b, name))) if a == b => matches(rest, name),
        _ => false,
    }
}

fn paste(block: &str) -> String {
    format!("write into the host file:\n{block}")
}

/// The machine's present addresses as a section of a host file.
fn block(facts: &Facts, link: &Link) -> String {
    let mut text = String::from("[network.interfaces.wan]\n");
    if let Some(mac) = &link.mac {
        writeln!(text, "mac = \"{mac}\"").expect("a String takes all");
    }
    let by_hand: Vec<&Address> = link.addresses.iter().filter(|found| !found.dynamic).collect();
    if by_hand.len() < link.addresses.len() {
        text.push_str("dhcp = true\n");
    }
    let list = |name: &str, items: Vec<String>| {
        let quoted: Vec<String> = items.iter().map(|item| format!("\"{item}\"")).collect();
        if items.is_empty() { String::new() } else { format!("{name} = [{}]\n", quoted.join(", ")) }
    };
    let addresses = by_hand.iter().map(|found| format!("{}/{}", found.address, found.prefix));
    text.push_str(&list("addresses", addresses.collect()));
    let is_needed = |ipv6: bool| by_hand.iter().any(|found| found.address.is_ipv6() == ipv6);
    let gateways = facts.gateways.iter().filter(|gateway| is_needed(gateway.ipv6));
    text.push_str(&list(
        "gateways",
        gateways.filter_map(|g| g.via).map(|via| via.to_string()).collect(),
    ));
    if !by_hand.is_empty() {
        text.push_str(&list("dns", facts.dns.iter().map(ToString::to_string).collect()));
    }
    text
}

#[cfg(test)]
mod tests;
