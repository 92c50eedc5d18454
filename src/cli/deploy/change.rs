//! One machine's part of a deployment: looked at, sent what it lacks, changed.

use std::time::Duration;

use super::arguments::Deploy;
use super::remote::{failure, same_machine, ways};
use super::show;
use super::told::{Outcome, Told};
use crate::agent::command::new_nonce;
use crate::cli::build::Built;
use crate::cli::hosts;
use crate::cli::report::Failure;
use crate::cli::session::Session;
use crate::cli::workspace::Workspace;
use crate::deploy::{
    Activation, Agent, Attempt, Copied, DeployError, Difference, End, Event, Listener, Manifest,
    OutsideCheck, Status, Ways, copy, plain,
};
use crate::exec::files::read_limited;
use crate::exec::revision::who;
use crate::exec::store::Store;
use crate::generation::Nonce;
use crate::store::StorePath;

/// Most bytes of a manifest.
const MANIFEST_BYTES_MAX: u64 = 64 << 20;
/// How often a copy begins again after the line broke.
const COPY_TRIES: u32 = 5;
/// How long it waits before, times the number of the try.
const COPY_AGAIN: Duration = Duration::from_secs(1);

/// What is to be brought to a machine.
pub(super) struct Ready {
    pub(super) built: Built,
    pub(super) ways: Ways,
    /// The login that was made meanwhile.
    pub(super) login: Result<Agent, DeployError>,
}

/// What a machine is found to need.
pub(super) enum Prepared {
    /// Nothing.
    Same(Told),
    /// A change.
    Change(Box<Change>),
}

/// A change that can be made.
pub(super) struct Change {
    pub(super) shown: show::Change,
    ways: Ways,
    agent: Agent,
    wanted: Activation,
    checks: Vec<OutsideCheck>,
}

/// How to take a change back.
pub(super) struct Back {
    host: String,
    ways: Ways,
    wanted: Activation,
}

/// Looks at a machine and sends what it lacks of a system built from files of a commit; nothing that runs changes.
pub(super) fn prepare(
    session: &Session<'_>,
    workspace: &Workspace,
    store: &Store,
    (ready, commit): (Ready, Option<String>),
    arguments: &Deploy,
) -> Result<Prepared, Failure> {
    let Ready { built, ways, login } = ready;
    let host = built.system.name.to_string();
    let system = store.directory().join(&built.path);
    let (mut agent, status) = look_again(login, &ways).map_err(failure)?;
    same_machine(session, workspace, &host, &status, arguments.new_machine)?;
    if let Some(trial) = &status.trial {
        let (number, by) = (trial.number, plain(&trial.by));
        return Err(failure(DeployError::OnTrial { number, by }));
    }
    if status.running_system() == system && status.default == status.running_number() {
        let outcome = Outcome::Same { number: status.running_number() };
        return Ok(Prepared::Same(Told::without_change(&host, outcome)));
    }
    let old = agent.manifest(status.running_system()).map_err(failure)?;
    let manifest = store.real_path(&built.path).join("manifest.json");
    let manifest = read_limited(&manifest, MANIFEST_BYTES_MAX).map_err(Failure::build)?;
    let new = Manifest::parse(&manifest).map_err(|problem| failure(unusable(problem)))?;
    let checks = new.checks_from_outside().map_err(|problem| failure(unusable(problem)))?;
    let copied = send(session, store, (&mut agent, &ways), &built.path, &status)?;
    let level = level(arguments);
    let (plan, plan_json) = agent.plan(&built.path, level).map_err(failure)?;
    let window_seconds = arguments.window.unwrap_or(built.system.deploy.window_seconds);
    let wanted = Activation {
        system: Some(built.path.clone()),
        back_to: None,
        window_seconds,
        level: level.to_owned(),
        expect: status.running_number(),
        by: who(&session.environment),
        commit,
        again: arguments.again,
    };
    let shown = show::Change {
        host,
        system,
        from: status.running_number(),
        difference: Difference::between(&old, &new),
        plan,
        plan_json,
        copied,
        window_seconds,
    };
    Ok(Prepared::Change(Box::new(Change { shown, ways, agent, wanted, checks })))
}

/// What the machine says now; a line that a long build has outlived is replaced.
fn look_again(
    login: Result<Agent, DeployError>,
    ways: &Ways,
) -> Result<(Agent, Status), DeployError> {
    let mut agent = login?;
    let status = match agent.status() {
        Err(error) if error.may_pass() => {
            agent = Agent::connect(ways.first())?;
            agent.status()?
        }
        answer => answer?,
    };
    Ok((agent, status))
}

fn unusable(problem: String) -> DeployError {
    DeployError::Reply { command: "manifest.json".into(), problem }
}

/// The level in the agent's words.
fn level(arguments: &Deploy) -> &'static str {
    match (arguments.boot, arguments.reboot, arguments.soft_reboot) {
        (true, ..) => "boot",
        (_, true, _) => "reboot",
        (.., true) => "soft-reboot",
        _ => "auto",
    }
}

/// Sends what the machine lacks, over new connections when the line breaks.
fn send(
    session: &Session<'_>,
    store: &Store,
    (agent, ways): (&mut Agent, &Ways),
    system: &StorePath,
    status: &Status,
) -> Result<Copied, Failure> {
    let closure = store.closure(std::slice::from_ref(system)).map_err(Failure::build)?;
    let running = status.running_system().rsplit('/').next().unwrap_or_default();
    let running = StorePath::from_base_name(running).ok();
    let mut tries = 0;
    loop {
        let sent = agent
            .missing(&closure)
            .and_then(|missing| copy(agent, store, &missing, running.as_ref(), session.ui));
        match sent {
            Ok(copied) => return Ok(copied),
            Err(error) if error.may_pass() && tries < COPY_TRIES => {
                tries += 1;
                session.ui.say(&format!("{}: {error}; sending the rest", ways.first().shown()));
                std::thread::sleep(COPY_AGAIN * tries);
                // A machine that is away for longer fails at the next question.
                if let Ok(again) = Agent::connect(ways.first()) {
                    *agent = again;
                }
            }
            Err(error) => return Err(failure(error)),
        }
    }
}

/// Tells what happens, each line with the host's name.
struct Lines<'a> {
    session: &'a Session<'a>,
    host: &'a str,
}

impl Listener for Lines<'_> {
    fn event(&self, event: &Event) {
        let line = match event.name.as_str() {
            "begin" => format!("tries generation {}", event.number("number").unwrap_or(0)),
            "problem" => format!("problem: {}", event.text("message")),
            "check" if event.fields["ok"] == true => {
                format!("check `{}` passed", event.text("name"))
            }
            "check" => format!("check `{}` failed: {}", event.text("name"), event.text("detail")),
            "rebooting" => format!("goes down for a {}", event.text("level")),
            "awaiting" => {
                let seconds = event.number("seconds").unwrap_or(0);
                format!("switched; to be confirmed within {seconds} s")
            }
            "returned" => format!("went back: {}", event.text("reason")),
            "stuck" => {
                format!("cannot go back while it runs, so it boots: {}", event.text("reason"))
            }
            _ => return,
        };
        self.note(&line);
    }

    fn note(&self, text: &str) {
        self.session.ui.say(&format!("{}: {}", self.host, plain(text)));
    }
}

/// Changes the machine; errors are shown at once and are an outcome, too.
pub(super) fn carry_out(session: &Session<'_>, change: &mut Change) -> Outcome {
    let host = change.shown.host.clone();
    let lines = Lines { session, host: &host };
    let end = new_nonce().map_err(DeployError::Nonce).and_then(|nonce| {
        let Change { ways, agent, wanted, checks, .. } = &mut *change;
        Attempt::new(ways, nonce, checks, &session.interrupt, &lines).run(agent, wanted)
    });
    outcome(session, end)
}

pub(super) fn outcome(session: &Session<'_>, end: Result<End, DeployError>) -> Outcome {
    match end {
        Ok(End::Kept { number }) => Outcome::Kept { number },
        Ok(End::Prepared { number }) => Outcome::Prepared { number },
        Ok(End::Returned { reason, code }) => Outcome::Returned { reason, code },
        Err(error) => Outcome::failed(session, failure(error)),
    }
}

/// Follows what is on trial on a machine already, and confirms it.
pub(super) fn attach(
    session: &Session<'_>,
    workspace: &Workspace,
    name: &str,
    arguments: &Deploy,
) -> Result<Told, Failure> {
    let system = hosts::system(session, workspace, name)?;
    let ways = ways(session, &system, &arguments.reach)?;
    let mut agent = Agent::connect(ways.first()).map_err(failure)?;
    let status = agent.status().map_err(failure)?;
    same_machine(session, workspace, name, &status, arguments.new_machine)?;
    let trial = status.trial.as_ref().ok_or_else(|| failure(DeployError::NoTrial))?;
    let on_trial = status.generation(trial.number).map(|entry| entry.system.clone());
    let manifest = agent.manifest(&on_trial.unwrap_or_default()).map_err(failure)?;
    let checks = manifest.checks_from_outside().map_err(|problem| failure(unusable(problem)))?;
    let nonce = Nonce::new(&trial.nonce).map_err(|error| failure(unusable(error.to_string())))?;
    drop(agent);
    let lines = Lines { session, host: name };
    let attempt = Attempt::new(&ways, nonce, &checks, &session.interrupt, &lines);
    Ok(Told::without_change(name, outcome(session, attempt.attach())))
}

impl Change {
    /// How to take it back once it is kept.
    pub(super) fn back(&self) -> Back {
        let wanted = Activation {
            system: None,
            back_to: self.shown.from,
            expect: None,
            commit: None,
            again: false,
            ..self.wanted.clone()
        };
        Back { host: self.shown.host.clone(), ways: self.ways.clone(), wanted }
    }
}

impl Back {
    /// For a machine whose generations are known.
    pub(super) fn new(host: &str, ways: Ways, wanted: Activation) -> Self {
        Self { host: host.to_owned(), ways, wanted }
    }

    /// Takes the machine back, tried and confirmed like any change.
    pub(super) fn take_back(&self, session: &Session<'_>) -> Outcome {
        match self.try_to(session) {
            Ok(End::Kept { .. }) => Outcome::Reverted,
            other => outcome(session, other),
        }
    }

    /// The same, as an end.
    pub(super) fn try_to(&self, session: &Session<'_>) -> Result<End, DeployError> {
        let lines = Lines { session, host: &self.host };
        let nonce = new_nonce().map_err(DeployError::Nonce)?;
        let mut agent = Agent::connect(self.ways.first())?;
        let attempt = Attempt::new(&self.ways, nonce, &[], &session.interrupt, &lines);
        attempt.run(&mut agent, &self.wanted)
    }
}
