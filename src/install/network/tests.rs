//! Host files against the network of the machine of the facts' tests.

use super::super::facts::tests::MACHINE;
use super::*;
use crate::diag::{Place, Source};
use crate::eval::Origin;

fn interface(names: &[&str], dhcp: bool, addresses: &[&str], gateways: &[&str]) -> Interface {
    Interface {
        names: names.iter().map(|name| (*name).to_owned()).collect(),
        mac: None,
        dhcp,
        addresses: addresses.iter().map(|address| (*address).to_owned()).collect(),
        gateways: gateways.iter().map(|gateway| gateway.parse().unwrap()).collect(),
        dns: Vec::new(),
    }
}

fn found(facts: &Facts, declared: &[(&str, Interface)], target: &str) -> Vec<String> {
    let traced = |value: Interface| {
        let fragment = Place::start_of(&Source::new("module", ""));
        let origin = Origin { module: "network".into(), asked: None, fragment };
        Traced { value, origins: vec![origin] }
    };
    let declared = declared.iter().map(|(name, i)| ((*name).to_owned(), traced(i.clone())));
    let findings = compare(facts, &declared.collect(), target.parse().ok());
    findings.iter().map(ToString::to_string).collect()
}

const BLOCK: &str = "help: write into the host file:\n\
    [network.interfaces.wan]\n\
    mac = \"52:54:00:aa:bb:cc\"\n\
    dhcp = true\n\
    addresses = [\"203.0.113.5/32\"]\n\
    gateways = [\"198.51.100.1\"]\n\
    dns = [\"192.0.2.53\"]\n";

#[test]
fn an_address_set_by_hand_is_told_with_what_to_write() {
    let facts = Facts::parse(MACHINE.as_bytes()).unwrap();
    let dhcp = [("default", interface(&["*"], true, &[], &[]))];
    let expected = format!(
        "warning: 203.0.113.5/32 was set by hand here, and the host file leaves it to DHCP\n{BLOCK}"
    );
    assert_eq!(found(&facts, &dhcp, "203.0.113.5"), [expected]);
}

#[test]
fn what_was_pasted_has_no_findings() {
    let facts = Facts::parse(MACHINE.as_bytes()).unwrap();
    let mut wan = interface(&[], true, &["203.0.113.5/32"], &["198.51.100.1"]);
    wan.mac = Some("52:54:00:AA:bb:cc".into());
    let default = interface(&["*"], true, &[], &[]);
    assert_eq!(found(&facts, &[("default", default), ("wan", wan)], "203.0.113.5"), [""; 0]);
}

#[test]
fn an_address_that_would_be_lost_is_an_error() {
    let facts = Facts::parse(MACHINE.as_bytes()).unwrap();
    let other = [("wan", interface(&["eth?"], false, &["203.0.113.6/24"], &["203.0.113.1"]))];
    let all = found(&facts, &other, "203.0.113.5");
    let starts: Vec<&str> = all.iter().map(|text| text.lines().next().unwrap()).collect();
    assert_eq!(
        starts,
        [
            "warning: eth0 has another name in the new host, whose kernel names by the slot",
            "error: the host file does not declare 203.0.113.5/32; \
             it is the address that the machine is reached at",
            "warning: the host file does not declare 2001:db8::5/64",
            "warning: the host file declares 203.0.113.6/24, which the machine does not have now",
        ]
    );
    let nothing = found(&facts, &[("lan", interface(&["enp*"], true, &[], &[]))], "x");
    assert_eq!(nothing, [format!("error: no interface of the host file applies to eth0\n{BLOCK}")]);
}

#[test]
fn another_router_is_told() {
    let facts = Facts::parse(MACHINE.as_bytes()).unwrap();
    let declared = ["203.0.113.5/32", "2001:db8::5/64"];
    let wan = interface(&["*"], false, &declared, &["203.0.113.1", "fe80::1"]);
    let all = found(&facts, &[("default", wan)], "203.0.113.5");
    let expected =
        "warning: the machine's router for 203.0.113.5 is 198.51.100.1, which is not declared";
    assert_eq!(all, [format!("{expected}\n{BLOCK}")]);
}

#[test]
fn patterns_match_as_networkd_does() {
    let check = |pattern: &str, name: &str| matches(pattern.as_bytes(), name.as_bytes());
    assert!(
        check("*", "eth0")
            && check("en*", "enp1s0")
            && check("e?h0", "eth0")
            && check("*0", "eth0")
    );
    assert!(!check("en*", "eth0") && !check("eth", "eth0") && !check("eth0?", "eth0"));
}
