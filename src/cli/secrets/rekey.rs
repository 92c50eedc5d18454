//! `secrets rekey`: encrypt for exactly those who shall be able to decrypt.

use std::collections::BTreeSet;

use serde_json::json;

use super::super::report::Failure;
use super::super::session::{Session, explain_workspace};
use super::arguments::{Rekey, Who};
use super::host::HostSecrets;

pub(super) fn run(session: &Session<'_>, arguments: &Rekey) -> Result<(), Failure> {
    let workspace = session.workspace()?;
    let names = workspace
        .select(&arguments.hosts)
        .map_err(|error| explain_workspace(error, Some(&workspace)))?;
    let mut reports = Vec::new();
    for name in names {
        let host = HostSecrets::read(session, &name)?;
        // A host without secrets has no file; one that was named should have.
        if host.encrypted()?.is_none() && arguments.hosts.is_empty() {
            continue;
        }
        reports.push(rekey(session, &host, &arguments.who)?);
    }
    if session.json {
        session.ui.json(&serde_json::Value::Array(reports));
    }
    Ok(())
}

fn rekey(
    session: &Session<'_>,
    host: &HostSecrets<'_>,
    who: &Who,
) -> Result<serde_json::Value, Failure> {
    let mut file = host.open_existing(who)?;
    let (wanted, rule, only_encrypted) = host.wanted()?;
    let has: BTreeSet<String> = file.metadata.recipients().map(str::to_owned).collect();
    let wants: BTreeSet<String> = wanted.iter().map(|key| key.as_str().to_owned()).collect();
    let added: Vec<&String> = wants.difference(&has).collect();
    let removed: Vec<&String> = has.difference(&wants).collect();
    let same_rule = file.metadata.rule.written() == rule.written()
        && file.metadata.mac_only_encrypted == only_encrypted;
    let changes = !added.is_empty() || !removed.is_empty() || !same_rule;
    let report = json!({
        "host": host.name, "file": host.shown, "added": added, "removed": removed,
        "new_key": !removed.is_empty(), "written": changes,
    });
    if changes {
        if removed.is_empty() {
            file.set_recipients(&wanted).map_err(Failure::files)?;
        } else {
            file.renew_key(&wanted).map_err(Failure::files)?;
        }
        file.metadata.rule = rule;
        file.metadata.mac_only_encrypted = only_encrypted;
        let items = file.opened.items.clone();
        file.write(items, session.environment.now_seconds).map_err(Failure::files)?;
    }
    if !session.json {
        for (sign, keys) in [("+", &added), ("-", &removed)] {
            for key in keys {
                session.ui.result(&format!("{} {sign} {key}", host.name));
            }
        }
        let shown = &host.shown;
        session.ui.say(&match (changes, removed.is_empty()) {
            (false, _) => format!("{shown} is encrypted for exactly these already"),
            (true, true) => format!("{shown} written; commit it"),
            (true, false) => format!(
                "{shown} written with a new key; who was removed still knows the values: \
                 `nexus-host secrets rotate {}`",
                host.name
            ),
        });
    }
    Ok(report)
}
