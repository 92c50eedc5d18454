//! `test --keep`: a test machine that stays, to log in to and to deploy to.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use thiserror::Error;

use super::report::Failure;
use super::session::Session;
use crate::vm::Machine;
use crate::vm::expectations::Expectations;

/// How long the machine may take to boot.
const BOOT_WITHIN: Duration = Duration::from_secs(300);
/// How long it may then take to ask for an address.
const ADDRESS_WITHIN: Duration = Duration::from_secs(60);
/// How often is looked whether the machine or the user has ended it.
const LOOK: Duration = Duration::from_millis(200);
/// Shows the machine's public host key.
const HOST_KEY: &str = "cat /var/lib/nexus-host/ssh/ssh_host_ed25519_key.pub";

/// Why a machine cannot be kept for anybody.
#[derive(Debug, Error)]
enum KeepError {
    #[error("nobody can log in: no user of the host has an SSH key")]
    NobodyHasAKey,
    #[error("the machine has no address")]
    NoAddress,
    #[error("the machine has ended: {0}")]
    Ended(String),
}

/// Waits for the boot, says how to log in, and stays until Ctrl-C.
pub(super) fn keep(
    session: &Session<'_>,
    machine: &mut Machine,
    expected: &Expectations,
) -> Result<(), Failure> {
    let login = expected.logins.first();
    let login = login.ok_or_else(|| {
        Failure::files(KeepError::NobodyHasAKey).help("add `ssh_keys` to one of the `[users]`")
    })?;
    machine.wait_booted(BOOT_WITHIN).map_err(Failure::build)?;
    let address = address(session, machine, expected)?;
    let (network, _) = machine.network(0).expect("a test machine has one network card");
    let to = SocketAddr::new(address, expected.ssh_port);
    let forward = network.forward(to).map_err(Failure::build)?;
    let key = machine.shell().succeed(HOST_KEY).map_err(Failure::build)?;
    let (host, user, local) = (&expected.host, &login.user, forward.local);
    let port = local.port();
    if session.json {
        session.ui.json(&serde_json::json!({
            "host": host, "ssh": format!("{user}@{local}"), "host_key": key.trim(),
        }));
    } else {
        session.ui.result(&format!("ssh -p {port} {user}@{}", local.ip()));
    }
    session.ui.say(&format!(
        "{host} runs until Ctrl-C; log in with the line above, or change hosts/{host}.toml and, in another terminal:\n  \
         nexus-host deploy {host} --ssh {user}@{local} --accept-new --new-machine\n\
         its host key: {}",
        key.trim()
    ));
    while !session.interrupt.is_set() {
        if let Some(end) = machine.ended() {
            return Err(Failure::build(KeepError::Ended(end)));
        }
        std::thread::sleep(LOOK);
    }
    Ok(())
}

/// The machine's address: the one that it has asked for, or its static one.
fn address(
    session: &Session<'_>,
    machine: &Machine,
    expected: &Expectations,
) -> Result<IpAddr, Failure> {
    let (network, mac) = machine.network(0).expect("a test machine has one network card");
    let deadline = Instant::now() + ADDRESS_WITHIN;
    loop {
        session.interrupt.check().map_err(Failure::build)?;
        let leased = network.leases().map_err(Failure::build)?.get(&mac).copied();
        let address = leased.map(IpAddr::V4).or_else(|| expected.addresses.first().copied());
        match address {
            Some(address) => return Ok(address),
            None if Instant::now() >= deadline => return Err(Failure::build(KeepError::NoAddress)),
            None => std::thread::sleep(LOOK),
        }
    }
}
