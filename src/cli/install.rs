//! `install`: a machine that runs another system becomes a host.

use std::io::BufRead as _;
use std::path::PathBuf;

use serde_json::json;
use thiserror::Error;

use super::arguments::{Install, Restore};
use super::build::{Built, How, build};
use super::image::{Parts, make_parts};
use super::report::Failure;
use super::session::Session;
use super::{exit, workspace::Workspace};
use crate::agent::command::new_nonce;
use crate::eval::System;
use crate::exec::files::{FileError, read_limited};
use crate::exec::init_program::NEXUS_AGENT;
use crate::exec::store::Store;
use crate::install::findings::{Needs, Wishes, findings};
use crate::install::plan::{Choices, plan};
use crate::install::{Plan, Severity};
use crate::sops::SecretBytes;
use crate::spec::SshAddress;
use crate::ssh::SshError;
use crate::takeover::{
    Cargo, Event, MachineState, OverSsh, ShellError, Takeover, TakeoverError, Ways, ask_facts,
    take_over,
};

/// Most bytes of an identity and of a system's kernel arguments.
const TEXT_BYTES_MAX: u64 = 64 << 10;
/// How long the first login may take.
const LOGIN_WITHIN: std::time::Duration = std::time::Duration::from_secs(40);

/// What keeps a takeover from beginning.
#[derive(Debug, Error)]
enum InstallError {
    #[error("nobody has an SSH key and may become root on `{host}`, so nobody could log in to it")]
    NoLogin { host: String },
    #[error("`{host}` has secrets, and its identity is not at {}", path.display())]
    NoIdentity { host: String, path: PathBuf },
    #[error("`{host}` makes no backups, so nothing can be brought back")]
    NoBackups { host: String },
    #[error("the machine cannot be taken over")]
    Unfit,
    #[error("not confirmed")]
    NotConfirmed,
}

pub(super) fn run(session: &Session<'_>, arguments: &Install) -> Result<(), Failure> {
    let old = arguments.ssh.clone();
    let workspace = session.workspace()?;
    let store = session.store()?;
    let how = How { offline: arguments.offline, for_image: true };
    let built = build(session, &workspace, &store, &arguments.host, how)?;
    let identity = identity(session, arguments, &built.system)?;
    let new = new_login(&built.system, &old)?;
    let parts = make_parts(session, &workspace, &store, &built, arguments.offline)?;
    let options = super::deploy::options(&arguments.login, Vec::new());
    let (environment, interrupt) = (&session.environment, &session.interrupt);
    let mut ways = OverSsh { old, new, options, environment, interrupt };
    let host = Host { built: &built, parts: &parts, identity: identity.as_ref(), store: &store };
    host.install(session, &workspace, arguments, &mut ways)
}

/// A host that is built, and what goes with it.
struct Host<'a> {
    built: &'a Built,
    parts: &'a Parts,
    identity: Option<&'a SecretBytes>,
    store: &'a Store,
}

impl Host<'_> {
    fn install(
        &self,
        session: &Session<'_>,
        workspace: &Workspace,
        arguments: &Install,
        ways: &mut OverSsh<'_>,
    ) -> Result<(), Failure> {
        let unchanged = |error| Failure::with_code(exit::MACHINE_UNCHANGED, error);
        let target = ways.old.host().parse().ok();
        let facts = {
            let mut shell = ways.old(LOGIN_WITHIN).map_err(unreached)?;
            ask_facts(&mut *shell).map_err(unchanged)?
        };
        let kernel = self.real("kernel")?;
        let needs = Needs {
            kernel_bytes: std::fs::metadata(&kernel)
                .map_err(|error| Failure::build(FileError::at("look at", &kernel)(error)))?
                .len(),
            initrd_bytes: self.parts.rehearsal.bytes,
            unpacked_bytes: self.parts.rehearsal.unpacked_bytes,
            disk_bytes: self.parts.layout.size,
        };
        let keep_host_key = arguments.keep_host_key;
        let wishes = Wishes { disk: arguments.disk.as_deref(), keep_host_key, target };
        let (found, disk) = findings(&facts, &needs, &self.built.system.interfaces, &wishes);
        let choices = Choices {
            host: arguments.host.clone(),
            system: self.store.directory().join(&self.built.path),
            disk,
            keep_host_key,
            secrets: self.identity.is_some(),
            restore: restored(arguments, &self.built.system)?,
            return_seconds: arguments.return_after,
            agent_bytes: NEXUS_AGENT.len() as u64,
        };
        let plan = plan(facts, &needs, found, choices);
        show(session, &plan);
        if plan.findings.iter().any(|finding| finding.severity == Severity::Error) {
            let shown = workspace.shown(&workspace.host_path(&arguments.host));
            let help = format!("see above; the host file is {shown}");
            return Err(unchanged_error(InstallError::Unfit).help(help));
        }
        if arguments.dry_run {
            return Ok(());
        }
        if !arguments.yes && !confirmed(session, &arguments.host) {
            let help = "`--yes` goes on without asking";
            return Err(unchanged_error(InstallError::NotConfirmed).help(help));
        }
        self.take_over(session, &plan, &kernel, ways)
    }

    fn take_over(
        &self,
        session: &Session<'_>,
        plan: &Plan,
        kernel: &std::path::Path,
        ways: &mut dyn Ways,
    ) -> Result<(), Failure> {
        let params = self.store.real_path(&self.built.path).join("params");
        let arguments = read_limited(&params, TEXT_BYTES_MAX).map_err(Failure::build)?;
        let cargo = Cargo {
            agent: NEXUS_AGENT,
            kernel,
            initrd: &self.parts.rehearsal.path,
            arguments: &String::from_utf8_lossy(&arguments),
            layout: &self.parts.layout,
            identity: self.identity.map(|identity| &identity.expose()[..]),
        };
        let nonce = new_nonce().map_err(Failure::build)?;
        let takeover = Takeover { plan, cargo, attempt: nonce.as_str() };
        let mut watch = |event: Event| match event {
            Event::Begins(number) => {
                let step = &plan.steps[number - 1];
                session.ui.say(&format!("{number}/{} {step}", plan.steps.len()));
            }
            Event::Done(number, took) => {
                session.ui.say(&format!(
                    "{number}/{} done in {:.1} s",
                    plan.steps.len(),
                    took.as_secs_f64()
                ));
            }
            Event::HostKey(key) => session.ui.say(&format!("the host's SSH key: {key}")),
        };
        let installed = take_over(&takeover, ways, &mut watch).map_err(explain)?;
        if session.json {
            session.ui.json(&json!({
                "host": plan.host, "system": plan.system, "host_key": installed.host_key,
            }));
        } else {
            session.ui.result(&plan.system);
        }
        Ok(())
    }

    /// Where a file that the system links to lies on this machine.
    fn real(&self, name: &str) -> Result<PathBuf, Failure> {
        let link = self.store.real_path(&self.built.path).join(name);
        let target = std::fs::read_link(&link)
            .map_err(|error| Failure::build(FileError::at("read the link", &link)(error)))?;
        Ok(self.store.root().join(target.strip_prefix("/").unwrap_or(&target)))
    }
}

/// A machine that could not be logged in to, with what the connection says to do.
fn unreached(error: ShellError) -> Failure {
    let source = error.source.as_ref().and_then(|source| source.downcast_ref::<SshError>());
    let help = source.and_then(SshError::help);
    let failure = Failure::with_code(exit::MACHINE_UNCHANGED, error);
    match help {
        Some(help) => failure.help(help),
        None => failure,
    }
}

fn unchanged_error(error: InstallError) -> Failure {
    Failure::with_code(exit::MACHINE_UNCHANGED, error)
}

/// What became of the machine, as an exit code and what to do.
fn explain(error: TakeoverError) -> Failure {
    let (code, help) = match error.state {
        MachineState::Unchanged => {
            (exit::MACHINE_UNCHANGED, "the machine runs on as before; nothing is left on it")
        }
        MachineState::Returned => (
            exit::MACHINE_UNCHANGED,
            "the machine has rebooted into what it ran before; its disk was not touched",
        ),
        MachineState::InMemory => (
            exit::MACHINE_UNKNOWN,
            "the host runs from memory and stays; run this again to write its disk, with --ssh as you \
             log in to the host",
        ),
        MachineState::WithoutData => (
            exit::MACHINE_UNKNOWN,
            "the host runs from its disk; once what is said above is mended, `systemctl start restore-NAME` there \
             brings a backup back, and so does its next boot",
        ),
        MachineState::Unknown => (
            exit::MACHINE_UNKNOWN,
            "look at the machine's console; if it does not answer, its provider's rescue system helps",
        ),
    };
    Failure::with_code(code, error).help(help)
}

fn show(session: &Session<'_>, plan: &Plan) {
    if session.json {
        session.ui.json(&json!({ "plan": plan }));
    } else {
        session.ui.problem(plan.to_string().trim_end());
    }
}

/// Whether the user types the host's name.
fn confirmed(session: &Session<'_>, host: &str) -> bool {
    session.ui.problem(&format!("type `{host}` to go on:"));
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line).is_ok() && line.trim() == host
}

/// The identity that the host's secrets are encrypted for, when it has secrets.
fn identity(
    session: &Session<'_>,
    arguments: &Install,
    system: &System,
) -> Result<Option<SecretBytes>, Failure> {
    let path = if let Some(told) = &arguments.identity {
        session.environment.working_directory.join(told)
    } else if system.secrets.is_empty() {
        return Ok(None);
    } else {
        let data = session.environment.data_directory().map_err(Failure::files)?;
        data.join("identities").join(format!("{}.txt", arguments.host))
    };
    if arguments.identity.is_none() && !path.exists() {
        let error = InstallError::NoIdentity { host: arguments.host.clone(), path };
        return Err(Failure::files(error).help("say with --identity where it is"));
    }
    let bytes = read_limited(&path, TEXT_BYTES_MAX).map_err(Failure::files)?;
    Ok(Some(SecretBytes::new(bytes)))
}

/// Names of the backups that shall be brought back.
fn restored(arguments: &Install, system: &System) -> Result<Vec<String>, Failure> {
    match arguments.restore {
        None => Ok(Vec::new()),
        Some(Restore::Latest) if system.backups.is_empty() => {
            let error = InstallError::NoBackups { host: arguments.host.clone() };
            Err(Failure::files(error)
                .help("leave `--restore` out, or declare one of the [backups]"))
        }
        Some(Restore::Latest) => Ok(system.backups.keys().cloned().collect()),
    }
}

/// How to log in to the new host: as root where the host file lets him, else as one who may use `sudo`; where the
/// host file has a way to the same address, as it says.
fn new_login(system: &System, old: &SshAddress) -> Result<SshAddress, Failure> {
    let keys = |user: &str| format!("etc/ssh/authorized_keys.d/{user}");
    let has = |path: String| system.files.keys().any(|found| found.as_bytes() == path.as_bytes());
    let users = system.users.keys().map(ToString::to_string);
    let mut sudoers =
        users.filter(|user| has(keys(user)) && has(format!("etc/sudoers.d/nexus-host-{user}")));
    let user = if has(keys("root")) { Some("root".to_owned()) } else { sudoers.next() };
    let Some(user) = user else {
        let error = InstallError::NoLogin { host: system.name.to_string() };
        let help =
            "write `ssh_keys = [\"ssh-ed25519 …\"]` and `sudo = true` below one of the [users]";
        return Err(Failure::files(error).help(help));
    };
    let is_ssh = |port: &&crate::eval::Traced<crate::eval::Port>| {
        port.value.service.as_ref().is_some_and(|unit| unit.to_string() == "ssh.service")
    };
    let port = system.ports.iter().find(is_ssh).map_or(22, |port| port.value.port);
    Ok(match system.deploy.ssh.iter().find(|way| way.host() == old.host()) {
        Some(way) => {
            let user = way.user().map_or(user, str::to_owned);
            way.with(Some(user), way.port().unwrap_or(port))
        }
        None => old.with(Some(user), port),
    })
}
