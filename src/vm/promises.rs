//! What a host promises: from its `System` to what a test machine is checked against.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use super::expectations::{CommandExpectation, Expectations, HttpExpectation, Login};
use crate::agent::places::AGENT;
use crate::debian::lock::Lock;
use crate::eval::{Protocol, System};
use crate::health::{Check, Probe, Vantage};

/// Where Debian's sshd listens unless told otherwise.
const SSH_UNIT: &str = "ssh.service";

/// Everything that `system` with the packages of `lock` says of itself.
pub fn promises(system: &System, lock: &Lock) -> Expectations {
    let mut expected = Expectations::new(system.name.as_str());
    expected.dhcp =
        system.interfaces.is_empty() || system.interfaces.values().any(|i| i.value.dhcp);
    expected.addresses = static_addresses(system);
    expected.tcp_ports = open_ports(system);
    expected.ssh_port = ssh_port(system).unwrap_or(0);
    expected.logins = logins(system);
    expected.units = units(system);
    expected.package_count = Some(lock.packages.len());
    expected.time_zone = Some(system.time_zone.clone());
    expected.locale = Some(system.locale.clone());
    for check in system.checks.values() {
        add_check(&mut expected, &check.value);
    }
    expected
}

fn open_ports(system: &System) -> BTreeSet<u16> {
    let open = system
        .ports
        .iter()
        .map(|port| &port.value)
        .filter(|port| port.open && port.protocol == Protocol::Tcp && port.sources.is_empty());
    open.map(|port| port.port).collect()
}

fn ssh_port(system: &System) -> Option<u16> {
    let is_ssh = |port: &&crate::eval::Port| {
        port.service.as_ref().is_some_and(|unit| unit.as_str() == SSH_UNIT)
    };
    system.ports.iter().map(|port| &port.value).find(is_ssh).map(|port| port.port)
}

fn static_addresses(system: &System) -> Vec<IpAddr> {
    let texts = system.interfaces.values().flat_map(|interface| &interface.value.addresses);
    texts.filter_map(|text| text.split('/').next()?.parse().ok()).collect()
}

fn logins(system: &System) -> Vec<Login> {
    let with_keys = system.users.iter().filter(|(_, user)| !user.value.ssh_keys.is_empty());
    with_keys
        .map(|(name, user)| Login { user: name.to_string(), keys: user.value.ssh_keys.clone() })
        .collect()
}

/// Services of ours that start at boot; what is started by another unit or a timer may rest.
fn units(system: &System) -> Vec<String> {
    let wanted = system.units.iter().filter(|(name, unit)| {
        let by_target = unit.value.wanted_by.iter().any(|by| by.as_str() == "multi-user.target");
        by_target && name.as_str().ends_with(".service")
    });
    wanted.map(|(name, _)| name.to_string()).collect()
}

/// What is seen from inside, the host's own agent looks at, as it does after a switch; open ports are all
/// tried from outside anyway.
fn add_check(expected: &mut Expectations, check: &Check) {
    if !check.in_test {
        return;
    }
    if check.vantage == Vantage::Inside {
        expected.commands.push(CommandExpectation {
            name: check.name.clone(),
            command: format!(
                "{AGENT} check --once {}",
                crate::exec::process::shell_word(&check.name)
            ),
            contains: None,
            within: Duration::from_secs(u64::from(check.within_seconds)),
        });
    } else if let Probe::Http { url, status, contains } = &check.probe {
        expected.http.extend(page(url, *status, contains.clone()));
    }
}

/// Plain HTTP only: a certificate that the world trusts cannot be had in a test machine.
fn page(url: &str, status: u16, contains: Option<String>) -> Option<HttpExpectation> {
    let rest = url.strip_prefix("http://")?;
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, port.parse().ok()?),
        _ => (authority, 80),
    };
    Some(HttpExpectation {
        port,
        host: host.to_owned(),
        path: format!("/{path}"),
        status,
        contains,
    })
}
