//! The ways to a host's machine, and what is remembered about it.

use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

use super::arguments::{Login, Reach};
use crate::cli::exit;
use crate::cli::report::Failure;
use crate::cli::session::Session;
use crate::cli::workspace::Workspace;
use crate::deploy::{DeployError, Fate, Status, Ways, plain};
use crate::eval::System;
use crate::exec::files::{FileError, read_limited, write_atomic};
use crate::spec::SshAddress;
use crate::ssh::{Options, choose};
use crate::store::Sha256Digest;

/// Most bytes of what is remembered.
const MEMORY_BYTES_MAX: u64 = 4096;

/// The ways to the machine of `system`.
pub(super) fn ways(session: &Session<'_>, system: &System, reach: &Reach) -> Result<Ways, Failure> {
    let told = reach.ssh.clone().flatten();
    let addresses = match told {
        Some(address) => vec![address],
        None if system.deploy.ssh.is_empty() => {
            vec![system.name.as_str().parse::<SshAddress>().map_err(Failure::files)?]
        }
        None => system.deploy.ssh.clone(),
    };
    let options = options(&reach.login, system.deploy.host_keys.clone());
    let way = |address| choose(address, &options, &session.environment, &session.interrupt);
    let ways: Result<Vec<_>, _> = addresses.iter().map(way).collect();
    let ways = ways.map_err(|error| failure(error.into()))?;
    Ok(Ways::new(ways).expect("there is one address at least"))
}

/// What the command line says about logging in.
pub(in crate::cli) fn options(login: &Login, host_keys: Vec<String>) -> Options {
    Options {
        program: login.ssh_program.clone(),
        key: login.ssh_key.clone(),
        accept_new: login.accept_new,
        host_keys,
    }
}

/// A failure of a machine, with the exit code that its fate means.
pub(super) fn failure(error: DeployError) -> Failure {
    let code = match error.fate() {
        Fate::Unchanged => exit::MACHINE_UNCHANGED,
        Fate::CheckFailed => exit::CHECK_FAILED,
        Fate::Unknown => exit::MACHINE_UNKNOWN,
    };
    let help = error.help();
    let failure = Failure::with_code(code, error);
    match help {
        Some(help) => failure.help(help),
        None => failure,
    }
}

/// Refuses another machine than the one that answered for this host before; a new one is remembered.
pub(super) fn same_machine(
    session: &Session<'_>,
    workspace: &Workspace,
    host: &str,
    status: &Status,
    may_be_new: bool,
) -> Result<(), Failure> {
    let path = memory(session, workspace, host)?;
    let found = status.machine_id.clone().unwrap_or_default();
    let known = match read_limited(&path, MEMORY_BYTES_MAX) {
        Ok(bytes) => Some(String::from_utf8_lossy(&bytes).trim().to_owned()),
        Err(_) => None,
    };
    match known {
        Some(known) if known == found => return Ok(()),
        Some(known) if !may_be_new => {
            return Err(failure(DeployError::OtherMachine { known, found: plain(&found) }));
        }
        _ => {}
    }
    let folder = path.parent().expect("it lies in a folder");
    std::fs::create_dir_all(folder)
        .map_err(|error| Failure::build(FileError::at("create", folder)(error)))?;
    write_atomic(&path, format!("{found}\n").as_bytes()).map_err(Failure::build)
}

/// Hosts of two workspaces may have the same name.
fn memory(session: &Session<'_>, workspace: &Workspace, host: &str) -> Result<PathBuf, Failure> {
    let folder = session.environment.state_directory().map_err(Failure::build)?;
    let place = Sha256Digest::of(workspace.root.as_os_str().as_bytes()).to_string();
    Ok(folder.join("machines").join(format!("{host}-{}", &place[..16])))
}
