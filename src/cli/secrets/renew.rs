//! `secrets generate` and `rotate`: values that nobody has to think of.

use std::collections::BTreeSet;

use serde_json::json;

use super::super::report::Failure;
use super::super::session::Session;
use super::arguments::{Generate, Rotate};
use super::host::{HostSecrets, SecretsError, say_consequences};
use crate::exec::secrets::document::SecretsFile;
use crate::exec::secrets::{generate as make, random};
use crate::secrets::{Kind, missing, value_of, value_path};
use crate::sops::{Item, Node, set};

pub(super) fn generate(session: &Session<'_>, arguments: &Generate) -> Result<(), Failure> {
    let host = HostSecrets::read(session, &arguments.host)?;
    let file = host.open_or_create(&arguments.who)?;
    let absent: BTreeSet<String> =
        missing(&file.opened.items, file.format, &host.declarations).into_iter().collect();
    let (made, items) = make_all(&host, &file, &absent)?;
    let left = missing(&items, file.format, &host.declarations);
    if !made.is_empty() {
        file.write(items, session.environment.now_seconds).map_err(Failure::files)?;
    }
    if session.json {
        let json = json!({ "host": host.name, "file": host.shown, "made": made, "missing": left });
        session.ui.json(&json);
        return Ok(());
    }
    for name in &made {
        session.ui.result(name);
    }
    match made.len() {
        0 => session.ui.say("nothing was missing that can be generated"),
        count => session.ui.say(&format!("{count} made in {}; commit it", host.shown)),
    }
    for name in left {
        let made_from = host.declarations.secrets[&name].generate.as_deref();
        let made_from = made_from.and_then(|kind| kind.parse::<Kind>().ok());
        session.ui.say(&match made_from.as_ref().and_then(Kind::made_from) {
            Some(of) => format!("{name} is made when {of} is set"),
            None => format!("set it yourself: nexus-host secrets set {} {name}", host.name),
        });
    }
    Ok(())
}

pub(super) fn rotate(session: &Session<'_>, arguments: &Rotate) -> Result<(), Failure> {
    let host = HostSecrets::read(session, &arguments.host)?;
    let mut file = host.open_existing(&arguments.who)?;
    let chosen = choose(&host, &arguments.names)?;
    let (made, items) = make_all(&host, &file, &chosen)?;
    let kept: Vec<&String> =
        host.declarations.secrets.keys().filter(|name| !made.contains(name)).collect();
    let (restart, reload) = host.consequences(made.iter());
    if !arguments.dry_run {
        let (recipients, ..) = host.wanted()?;
        file.renew_key(&recipients).map_err(Failure::files)?;
        file.write(items, session.environment.now_seconds).map_err(Failure::files)?;
    }
    if session.json {
        session.ui.json(&json!({
            "host": host.name, "file": host.shown, "written": !arguments.dry_run,
            "renewed": made, "kept": kept, "restarts": restart, "reloads": reload,
        }));
        return Ok(());
    }
    for name in &made {
        session.ui.result(name);
    }
    let verb = if arguments.dry_run { "would be renewed" } else { "renewed" };
    session.ui.say(&format!("{} of {} secrets {verb}", made.len(), made.len() + kept.len()));
    say_consequences(session, &restart, &reload);
    if !arguments.dry_run {
        session.ui.say(&format!("{} has a new key; commit it", host.shown));
    }
    Ok(())
}

/// Which secrets are renewed: those named, or all that may be; and what is made from them.
fn choose(host: &HostSecrets<'_>, named: &[String]) -> Result<BTreeSet<String>, Failure> {
    let mut chosen = BTreeSet::new();
    for name in named {
        host.check_name(name, false)?;
        if host.declarations.secrets[name].generate.is_none() {
            let message = format!("`{name}` has no `generate`, so it cannot be made anew");
            let help = format!("`nexus-host secrets set {} {name}` sets it", host.name);
            return Err(SecretsError::Refused { message }.fail(help));
        }
        chosen.insert(name.clone());
    }
    for (name, declared) in &host.declarations.secrets {
        if named.is_empty() && declared.generate.is_some() && !declared.never_rotate {
            chosen.insert(name.clone());
        }
    }
    // Digests follow what they are digests of, also digests of digests.
    loop {
        let before = chosen.len();
        for (name, declared) in &host.declarations.secrets {
            let kind = declared.generate.as_deref().and_then(|kind| kind.parse::<Kind>().ok());
            if kind.as_ref().and_then(Kind::made_from).is_some_and(|of| chosen.contains(of)) {
                chosen.insert(name.clone());
            }
        }
        if chosen.len() == before {
            return Ok(chosen);
        }
    }
}

/// Makes those of `names` that can be made, in an order in which digests come after their secrets.
fn make_all(
    host: &HostSecrets<'_>,
    file: &SecretsFile,
    names: &BTreeSet<String>,
) -> Result<(Vec<String>, Vec<Item>), Failure> {
    let mut items = file.opened.items.clone();
    let mut made: Vec<String> = Vec::new();
    let kinds = names.iter().filter_map(|name| {
        let written = host.declarations.secrets.get(name)?.generate.as_deref()?;
        Some((name, written.parse::<Kind>().ok()?))
    });
    let mut waiting: Vec<(&String, Kind)> = kinds.collect();
    while !waiting.is_empty() {
        let pending: BTreeSet<&String> = waiting.iter().map(|(name, _)| *name).collect();
        let (ready, later): (Vec<_>, Vec<_>) = waiting.iter().cloned().partition(|(_, kind)| {
            kind.made_from().is_none_or(|of| !pending.iter().any(|name| *name == of))
        });
        if ready.is_empty() {
            let names: Vec<&str> = later.iter().map(|(name, _)| name.as_str()).collect();
            let message = format!("{} are made from each other", names.join(", "));
            return Err(SecretsError::Refused { message }.fail("let one of them be set by hand"));
        }
        for (name, kind) in ready {
            let other = |of: &str| value_of(&items, file.format, of);
            let value = match make::generate(&kind, &other, &mut random) {
                Ok(value) => value,
                // Its source is set by hand later; then it is made.
                Err(make::GenerateError::NoSource { .. }) => continue,
                Err(error) => {
                    let message = format!("`{name}` cannot be made: {error}");
                    return Err(SecretsError::Refused { message }.fail("choose another kind"));
                }
            };
            let path = value_path(file.format, name);
            let path: Vec<&str> = path.iter().map(String::as_str).collect();
            set(&mut items, &path, Node::Text(value)).map_err(Failure::files)?;
            made.push(name.clone());
        }
        waiting = later;
    }
    made.sort();
    Ok((made, items))
}
