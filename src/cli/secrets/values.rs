//! `secrets list`, `get` and `set`: single values.

use std::io::{IsTerminal as _, Read as _};

use base64::Engine as _;
use serde_json::json;

use super::super::report::Failure;
use super::super::session::Session;
use super::arguments::{Get, List, Set};
use super::host::{HostSecrets, SecretsError, ask_secret, say_consequences, say_stale};
use crate::secrets::{node_of, unused, value_of, value_path};
use crate::sops::{Node, Secret, SecretBytes};

/// Most bytes of one secret.
const VALUE_BYTES_MAX: u64 = 8 << 20;

pub(super) fn list(session: &Session<'_>, arguments: &List) -> Result<(), Failure> {
    let host = HostSecrets::read(session, &arguments.host)?;
    let encrypted = host.encrypted()?;
    let document = encrypted.as_ref().map(|(_, document)| document);
    let is_set = |name: &str| {
        document.is_some_and(|found| node_of(&found.items, found.format, name).is_some())
    };
    let extra = document
        .map(|found| unused(&found.items, found.format, &host.declarations))
        .unwrap_or_default();
    let rows = host.declarations.secrets.iter().map(|(name, declared)| {
        let (restart, reload) = host.declarations.users_of(name);
        (name, declared, is_set(name), restart, reload)
    });
    if session.json {
        let rows = rows.map(|(name, declared, set, restart, reload)| {
            json!({
                "name": name, "set": set, "generate": declared.generate,
                "never_rotate": declared.never_rotate, "owner": declared.owner,
                "group": declared.group, "mode": format!("{:04o}", declared.mode),
                "restarts": restart, "reloads": reload,
            })
        });
        let rows: Vec<_> = rows.collect();
        let recipients: Vec<_> =
            document.map(|found| found.metadata.recipients().collect()).unwrap_or_default();
        session.ui.json(&json!({
            "host": host.name, "file": host.shown, "exists": document.is_some(),
            "recipients": recipients, "secrets": rows, "unused": extra,
        }));
        return Ok(());
    }
    for (name, declared, set, restart, reload) in rows {
        let state = if set { "set" } else { "missing" };
        let how = declared.generate.as_deref().unwrap_or("by hand");
        // A plain value is no secret of ours to hide, but it need not be shown either.
        let how = how.split_once(':').filter(|(kind, _)| *kind == "plain").map_or(how, |(k, _)| k);
        let users: Vec<&str> = restart.into_iter().chain(reload).collect();
        let users = if users.is_empty() { "-".to_owned() } else { users.join(", ") };
        session.ui.result(&format!("{name:32} {state:8} {how:24} {users}"));
    }
    for name in extra {
        session.ui.result(&format!("{name:32} unused"));
    }
    Ok(())
}

pub(super) fn get(session: &Session<'_>, arguments: &Get) -> Result<(), Failure> {
    let host = HostSecrets::read(session, &arguments.host)?;
    host.check_name(&arguments.name, true)?;
    let file = host.open_existing(&arguments.who)?;
    let value = value_of(&file.opened.items, file.format, &arguments.name).ok_or_else(|| {
        let (name, path) = (arguments.name.clone(), host.shown.clone());
        let help = format!("`nexus-host secrets list {}` shows what there is", host.name);
        SecretsError::NoValue { name, path }.fail(help)
    })?;
    if session.json {
        let json = if let Some(text) = value.text() {
            json!({ "name": arguments.name, "value": text })
        } else {
            let text = base64::engine::general_purpose::STANDARD.encode(value.expose());
            json!({ "name": arguments.name, "base64": text })
        };
        session.ui.json(&json);
    } else {
        session.ui.bytes(value.expose());
    }
    Ok(())
}

pub(super) fn set(session: &Session<'_>, arguments: &Set) -> Result<(), Failure> {
    let host = HostSecrets::read(session, &arguments.host)?;
    let name = &arguments.name;
    host.check_name(name, arguments.undeclared)?;
    let file = host.open_or_create(&arguments.who)?;
    let value = read_value(name, arguments.exact)?;
    if value_of(&file.opened.items, file.format, name).as_ref() == Some(&value) {
        session.ui.say(&format!("{name} has this value already"));
        return Ok(());
    }
    let mut items = file.opened.items.clone();
    let path = value_path(file.format, name);
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    crate::sops::set(&mut items, &path, Node::Text(value)).map_err(Failure::files)?;
    file.write(items, session.environment.now_seconds).map_err(Failure::files)?;
    session.ui.say(&format!("{name} set in {}; commit it", host.shown));
    say_stale(session, &host, std::iter::once(name));
    let (restart, reload) = host.consequences(std::iter::once(name));
    say_consequences(session, &restart, &reload);
    Ok(())
}

fn read_value(name: &str, exact: bool) -> Result<SecretBytes, Failure> {
    let refused = |message: String, help: &str| SecretsError::Refused { message }.fail(help);
    let mut input = std::io::stdin().lock();
    if input.is_terminal() {
        let typed = ask_secret(&format!("Value of {name}: "));
        return typed.filter(|value| !value.is_empty()).ok_or_else(|| {
            refused("no value was typed".to_owned(), "give it on standard input: `… < FILE`")
        });
    }
    let mut bytes = Secret::new(Vec::new());
    let read = input.by_ref().take(VALUE_BYTES_MAX + 1).read_to_end(bytes.expose_mut());
    read.map_err(|error| {
        refused(format!("standard input cannot be read: {error}"), "give it as `… < FILE`")
    })?;
    if bytes.expose().len() as u64 > VALUE_BYTES_MAX {
        let message = format!("the value has more than {VALUE_BYTES_MAX} bytes");
        return Err(refused(message, "a secret of this size belongs into a backup"));
    }
    if !exact && bytes.expose().last() == Some(&b'\n') {
        bytes.expose_mut().pop();
    }
    if bytes.text().is_none() {
        let help = "encode it first, such as with `base64`";
        return Err(refused("the value is not UTF-8 text".to_owned(), help));
    }
    Ok(bytes)
}
