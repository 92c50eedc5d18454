//! `rollback` and `generations`: the history of a machine.

use serde_json::json;

use super::arguments::{Generations, Rollback};
use super::change::{Back, outcome};
use super::remote::{failure, same_machine, ways};
use super::status::age;
use super::told::{Outcome, Told, finish};
use crate::cli::hosts;
use crate::cli::report::Failure;
use crate::cli::session::Session;
use crate::deploy::{Activation, Agent, GenerationReply, Status, plain};
use crate::exec::revision::who;

pub(crate) fn rollback(session: &Session<'_>, arguments: &Rollback) -> Result<(), Failure> {
    let workspace = session.workspace()?;
    let system = hosts::system(session, &workspace, &arguments.host)?;
    let ways = ways(session, &system, &arguments.reach)?;
    let mut agent = Agent::connect(ways.first()).map_err(failure)?;
    let status = agent.status().map_err(failure)?;
    same_machine(session, &workspace, &arguments.host, &status, false)?;
    if let Some(trial) = &status.trial {
        // What waits to be confirmed is ended; the machine runs what it ran before.
        agent.succeed(&["rollback"]).map_err(failure)?;
        let reason = format!("the trial of generation {} was ended", trial.number);
        let text = format!("{}: {reason}", arguments.host);
        session.ui.say(&text);
        if arguments.generation.is_none() {
            let number = agent.status().map_err(failure)?.running_number().unwrap_or(0);
            let told = Told::without_change(&arguments.host, Outcome::Kept { number });
            return finish(session, vec![told]);
        }
    }
    let to = arguments.generation.map_or_else(|| "the one before".into(), |n| n.to_string());
    let from = status.running_number().map_or_else(|| "?".into(), |number| number.to_string());
    session.ui.say(&format!("{}: from generation {from} to {to}", arguments.host));
    if !arguments.yes && !super::agreed(session, 1).map_err(super::usage)? {
        let told = Told::without_change(&arguments.host, Outcome::Declined);
        return finish(session, vec![told]);
    }
    drop(agent);
    let wanted = Activation {
        system: None,
        back_to: arguments.generation,
        window_seconds: system.deploy.window_seconds,
        level: "auto".into(),
        expect: status.running_number(),
        by: who(&session.environment),
        commit: None,
        again: false,
    };
    let back = Back::new(&arguments.host, ways, wanted);
    let outcome = outcome(session, back.try_to(session));
    finish(session, vec![Told::without_change(&arguments.host, outcome)])
}

pub(crate) fn generations(session: &Session<'_>, arguments: &Generations) -> Result<(), Failure> {
    let workspace = session.workspace()?;
    let system = hosts::system(session, &workspace, &arguments.host)?;
    let ways = ways(session, &system, &arguments.reach)?;
    let mut agent = Agent::connect(ways.first()).map_err(failure)?;
    for (verb, numbers) in [("pin", &arguments.pin), ("unpin", &arguments.unpin)] {
        for number in numbers {
            agent.succeed(&[verb, &number.to_string()]).map_err(failure)?;
        }
    }
    let mut collected = None;
    if arguments.gc {
        let keep = format!("--keep={}", arguments.keep);
        let text = agent.succeed(&["gc", &keep, "--json"]).map_err(failure)?;
        let value: serde_json::Value = serde_json::from_slice(&text).unwrap_or_default();
        let bytes = value["nar_bytes"].as_u64().unwrap_or(0);
        let count = value["paths"].as_array().map_or(0, Vec::len);
        let freed = indicatif::BinaryBytes(bytes);
        session.ui.say(&format!("{}: {count} store paths removed ({freed})", arguments.host));
        collected = Some(value);
    }
    let status = agent.status().map_err(failure)?;
    if session.json {
        let all: Vec<_> = status.generations.iter().map(|entry| to_json(entry, &status)).collect();
        let host = &arguments.host;
        session.ui.json(&json!({ "host": host, "generations": all, "collected": collected }));
        return Ok(());
    }
    for entry in &status.generations {
        session.ui.result(&line(entry, &status, session.environment.now_seconds));
    }
    Ok(())
}

fn marks(entry: &GenerationReply, status: &Status) -> Vec<&'static str> {
    let number = Some(entry.number);
    let all = [
        (status.running_number() == number, "running"),
        (status.booted.number == number, "booted"),
        (status.default == number, "default"),
        (status.trial.as_ref().map(|trial| trial.number) == number, "on trial"),
        (entry.pinned, "pinned"),
        (entry.verdict == "bad", "bad"),
    ];
    all.into_iter().filter(|(holds, _)| *holds).map(|(_, word)| word).collect()
}

fn to_json(entry: &GenerationReply, status: &Status) -> serde_json::Value {
    json!({
        "number": entry.number, "system": entry.system, "registered": entry.registered,
        "by": entry.by, "commit": entry.commit, "verdict": entry.verdict, "reason": entry.reason,
        "marks": marks(entry, status),
    })
}

/// `3  2 h ago  me@laptop  1a2b3c  running, default  /nix/store/…`
fn line(entry: &GenerationReply, status: &Status, now_seconds: u64) -> String {
    let mut words = marks(entry, status).join(", ");
    if let Some(reason) = &entry.reason {
        words = format!("{words} ({reason})");
    }
    let commit = entry.commit.as_deref().unwrap_or("-");
    let age = age(now_seconds, entry.registered);
    plain(&format!(
        "{:>4}  {age:<10}  {}  {commit}  {words}  {}",
        entry.number, entry.by, entry.system
    ))
}
