//! `deploy`: build hosts, show what will change, and change their machines, kept only when proven.

pub(super) mod arguments;
mod change;
mod remote;
mod rollback;
mod show;
mod status;
mod told;

use std::collections::BTreeSet;
use std::io::IsTerminal as _;

use thiserror::Error;

use self::arguments::Deploy;
use self::change::{Prepared, Ready, carry_out, prepare};
use self::told::{Outcome, Told};
use super::build::{How, build_system};
use super::hosts;
use super::report::Failure;
use super::session::Session;
use super::workspace::Workspace;
use crate::deploy::{Agent, DeployError, Rollout, RolloutError, Ways};
use crate::exec::revision::revision;
use crate::exec::store::Store;

pub(super) use self::remote::options;
pub(super) use self::rollback::{generations, rollback};
pub(super) use self::status::run as status;

/// What the command line asks for cannot be done.
#[derive(Debug, Error)]
enum AskedError {
    #[error("--ssh names one machine, but {0} hosts are to be changed")]
    OneAddress(usize),
    #[error("no host has the tag `{0}`")]
    NoTag(String),
    #[error("whether to go on cannot be asked without a terminal")]
    NoTerminal,
    #[error(transparent)]
    Rollout(#[from] RolloutError),
}

/// What the command line asks for makes no sense here.
fn usage(error: AskedError) -> Failure {
    Failure::with_code(super::exit::USAGE, error)
}

pub(super) fn run(session: &Session<'_>, arguments: &Deploy) -> Result<(), Failure> {
    let workspace = session.workspace()?;
    let store = session.store()?;
    let names = chosen(session, &workspace, arguments)?;
    if names.len() > 1 && matches!(arguments.reach.ssh, Some(Some(_))) {
        return Err(usage(AskedError::OneAddress(names.len())));
    }
    let canary = arguments.canary.as_deref();
    let rollout = Rollout::plan(&names, canary, arguments.batch).map_err(|e| usage(e.into()))?;
    if arguments.attach {
        let told = names.iter().map(|name| change::attach(session, &workspace, name, arguments));
        let told: Result<Vec<Told>, Failure> = told.collect();
        return told::finish(session, told?);
    }
    let (built, commit) = std::thread::scope(|scope| {
        // Git takes about as long as a small build.
        let commit = scope.spawn(|| revision(&workspace.root, &session.environment));
        let built = names.iter().map(|name| ready(session, &workspace, &store, name, arguments));
        let built: Result<Vec<_>, Failure> = built.collect();
        (built, commit.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    });
    let prepared = in_parallel(arguments, built?, |ready| {
        let host = ready.built.system.name.to_string();
        prepare(session, &workspace, &store, (ready, commit.clone()), arguments)
            .map_err(|failure| (host, failure))
    });
    let (mut told, mut waiting) = (Vec::new(), Vec::new());
    for result in prepared {
        match result {
            Ok(Prepared::Same(same)) => told.push(same),
            Ok(Prepared::Change(change)) => waiting.push(*change),
            Err((host, failure)) => told.push(Told::failed(session, &host, failure)),
        }
    }
    let texts: Vec<String> = waiting.iter().map(|change| change.shown.to_text()).collect();
    for text in texts {
        session.ui.say(&text);
    }
    if arguments.dry_run {
        told.extend(waiting.iter().map(|change| Told::of(&change.shown, Outcome::DryRun)));
        return told::finish(session, told);
    }
    if waiting.is_empty() || told.iter().any(Told::is_failure) {
        told.extend(waiting.iter().map(|change| Told::of(&change.shown, Outcome::NotReached)));
        return told::finish(session, told);
    }
    if !arguments.yes && !agreed(session, waiting.len()).map_err(usage)? {
        told.extend(waiting.iter().map(|change| Told::of(&change.shown, Outcome::Declined)));
        return told::finish(session, told);
    }
    told.extend(roll_out(session, arguments, rollout, waiting));
    told::finish(session, told)
}

/// The hosts that are meant, each once, in the order of naming; those of tags in the order of names.
fn chosen(
    session: &Session<'_>,
    workspace: &Workspace,
    arguments: &Deploy,
) -> Result<Vec<String>, Failure> {
    let mut names = Vec::new();
    for name in &arguments.hosts {
        if !names.contains(name) {
            names.push(name.clone());
        }
    }
    if arguments.on.is_empty() {
        return Ok(names);
    }
    let explain = |error| super::session::explain_workspace(error, Some(workspace));
    let mut unknown: BTreeSet<&String> = arguments.on.iter().collect();
    for name in workspace.hosts().map_err(explain)? {
        let tags = hosts::system(session, workspace, &name)?.deploy.tags;
        let meant: Vec<&String> = arguments.on.iter().filter(|tag| tags.contains(*tag)).collect();
        unknown.retain(|tag| !meant.contains(tag));
        if !meant.is_empty() && !names.contains(&name) {
            names.push(name);
        }
    }
    match unknown.into_iter().next() {
        None => Ok(names),
        Some(tag) => Err(usage(AskedError::NoTag(tag.clone()))),
    }
}

/// Tests a host, unless told otherwise, builds it, and logs in to its machine meanwhile.
fn ready(
    session: &Session<'_>,
    workspace: &Workspace,
    store: &Store,
    name: &str,
    arguments: &Deploy,
) -> Result<Ready, Failure> {
    if !arguments.no_test {
        super::test::prove(session, workspace, store, name, arguments.offline)?;
    }
    let system = hosts::system_with_secrets(session, workspace, name)?;
    let ways = remote::ways(session, &system, &arguments.reach)?;
    let how = How { offline: arguments.offline, for_image: false };
    let (built, login) = std::thread::scope(|scope| {
        let login = scope.spawn(|| greet(&ways));
        let built = build_system(session, workspace, store, system, how);
        (built, login.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    });
    let built = built?;
    session.interrupt.check().map_err(Failure::build)?;
    Ok(Ready { built, ways, login })
}

/// A login to a machine whose agent has answered.
fn greet(ways: &Ways) -> Result<Agent, DeployError> {
    let mut agent = Agent::connect(ways.first())?;
    agent.status()?;
    Ok(agent)
}

/// Asks on the terminal.
fn agreed(session: &Session<'_>, machines: usize) -> Result<bool, AskedError> {
    if !std::io::stdin().is_terminal() {
        return Err(AskedError::NoTerminal);
    }
    let what =
        if machines == 1 { "this machine".into() } else { format!("these {machines} machines") };
    session.ui.problem(&format!("Change {what}? [y/N]"));
    let mut answer = String::new();
    // No answer is no.
    let _unread = std::io::stdin().read_line(&mut answer);
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

/// Does `work` for every item, so many at once as the command line says; results keep the order.
fn in_parallel<T: Send, R: Send>(
    arguments: &Deploy,
    items: Vec<T>,
    work: impl Fn(T) -> R + Sync,
) -> Vec<R> {
    let waiting = std::sync::Mutex::new(items.into_iter().enumerate());
    let done = std::sync::Mutex::new(Vec::new());
    let next = || waiting.lock().unwrap_or_else(std::sync::PoisonError::into_inner).next();
    std::thread::scope(|scope| {
        for _ in 0..arguments.parallel.get().min(100) {
            scope.spawn(|| {
                while let Some((index, item)) = next() {
                    let result = work(item);
                    let mut done = done.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                    done.push((index, result));
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    done.sort_by_key(|(index, _)| *index);
    done.into_iter().map(|(_, result)| result).collect()
}

/// Changes the machines, wave by wave, and stops after a wave in which one has failed.
fn roll_out(
    session: &Session<'_>,
    arguments: &Deploy,
    rollout: Rollout,
    mut waiting: Vec<change::Change>,
) -> Vec<Told> {
    let mut told = Vec::new();
    let mut kept = Vec::new();
    let mut stopped = false;
    for wave in rollout.waves {
        let (now, later): (Vec<_>, Vec<_>) =
            waiting.into_iter().partition(|change| wave.contains(&change.shown.host));
        waiting = later;
        if stopped || session.interrupt.is_set() {
            told.extend(now.iter().map(|change| Told::of(&change.shown, Outcome::NotReached)));
            continue;
        }
        let done = in_parallel(arguments, now, |mut change| {
            let outcome = carry_out(session, &mut change);
            (change, outcome)
        });
        for (change, outcome) in done {
            stopped |= outcome.is_failure();
            if matches!(outcome, Outcome::Kept { .. }) {
                kept.push((told.len(), change.back()));
            }
            told.push(Told::of(&change.shown, outcome));
        }
    }
    if stopped && arguments.revert_all {
        for (index, back) in kept {
            told[index].outcome = back.take_back(session);
        }
    }
    told
}
