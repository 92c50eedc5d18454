//! `secrets check`: what is wrong with the secrets of hosts.

use std::collections::BTreeSet;

use serde_json::json;

use super::super::exit;
use super::super::report::Failure;
use super::super::session::{Session, explain_workspace};
use super::arguments::{Check, Who};
use super::host::HostSecrets;
use crate::exec::secrets::document::SecretsFile;
use crate::secrets::{Kind, missing, unused, value_of};
use crate::sops::{Document, SecretBytes};

/// Fewest characters of a secret that a person sets.
const LENGTH_MIN: usize = 12;
/// Fewest different characters of it.
const DIFFERENT_MIN: usize = 6;
/// What is tried first by whoever guesses.
const COMMON: [&str; 12] = [
    "admin",
    "administrator",
    "changeme",
    "default",
    "hunter2",
    "letmein",
    "password",
    "passw0rd",
    "qwertyuiop",
    "secret",
    "test",
    "welcome",
];
/// Bits for reading by the group and by others.
const READ_BY_OTHERS: u32 = 0o044;

/// One thing that is wrong.
struct Finding {
    kind: &'static str,
    name: Option<String>,
    message: String,
    help: String,
    is_error: bool,
}

pub(super) fn run(session: &Session<'_>, arguments: &Check) -> Result<(), Failure> {
    let workspace = session.workspace()?;
    let names = workspace
        .select(&arguments.hosts)
        .map_err(|error| explain_workspace(error, Some(&workspace)))?;
    let (mut reports, mut failed) = (Vec::new(), false);
    for name in names {
        let host = HostSecrets::read(session, &name)?;
        let (findings, judged) = findings(&host, &arguments.who)?;
        failed |= findings.iter().any(|finding| finding.is_error);
        if session.json {
            reports.push(report(&host, &findings, judged));
        } else {
            show(session, &host, &findings, judged);
        }
    }
    if session.json {
        session.ui.json(&serde_json::Value::Array(reports));
    }
    if failed { Err(Failure::Shown(exit::CHECK_FAILED)) } else { Ok(()) }
}

fn report(host: &HostSecrets<'_>, findings: &[Finding], judged: bool) -> serde_json::Value {
    let findings = findings.iter().map(|finding| {
        json!({
            "kind": finding.kind, "secret": finding.name, "message": finding.message,
            "help": finding.help, "severity": if finding.is_error { "error" } else { "warning" },
        })
    });
    let findings: Vec<_> = findings.collect();
    json!({ "host": host.name, "file": host.shown, "values_judged": judged, "findings": findings })
}

fn show(session: &Session<'_>, host: &HostSecrets<'_>, findings: &[Finding], judged: bool) {
    for finding in findings {
        let severity = if finding.is_error { "error" } else { "warning" };
        session.ui.result(&format!("{}: {severity}: {}", host.name, finding.message));
        session.ui.result(&format!("  help: {}", finding.help));
    }
    if findings.is_empty() {
        session.ui.result(&format!(
            "{}: {} secrets, all good",
            host.name,
            host.declarations.secrets.len()
        ));
    }
    if !judged {
        session.ui.say(&format!(
            "{}: values were not judged: no identity here opens {}",
            host.name, host.shown
        ));
    }
}

/// What is wrong, and whether the values could be looked at.
fn findings(host: &HostSecrets<'_>, who: &Who) -> Result<(Vec<Finding>, bool), Failure> {
    let mut found = readable(host);
    let Some((bytes, document)) = host.encrypted()? else {
        let needed = !host.declarations.is_empty();
        if needed {
            let message = format!("{} does not exist, so no secret has a value", host.shown);
            let help = format!("nexus-host secrets generate {}", host.name);
            found.push(finding("missing", None, message, help, true));
        }
        return Ok((found, !needed));
    };
    found.extend(names(host, &document));
    found.extend(keys(host, &document)?);
    let identities = host.identities(who, true)?.identities;
    if !document
        .metadata
        .recipients()
        .any(|key| identities.recipients().iter().any(|own| own == key))
    {
        return Ok((found, false));
    }
    let file = SecretsFile::open(&host.path, (bytes, document), &identities);
    let file = file.map_err(Failure::files)?;
    found.extend(weak(host, &file));
    Ok((found, true))
}

fn finding(
    kind: &'static str,
    name: Option<&str>,
    message: String,
    help: impl Into<String>,
    is_error: bool,
) -> Finding {
    Finding { kind, name: name.map(str::to_owned), message, help: help.into(), is_error }
}

/// Files on the host that others than their owner may read.
fn readable(host: &HostSecrets<'_>) -> Vec<Finding> {
    let secrets =
        host.declarations.secrets.iter().map(|(name, secret)| (name, secret.mode, &secret.group));
    let templates = host.declarations.templates.iter();
    let templates = templates.map(|(name, template)| (name, template.mode, &template.group));
    let mut found = Vec::new();
    for (name, mode, group) in secrets.chain(templates) {
        let by_everyone = mode & 0o004 != 0;
        // Root's group has nobody else in it.
        let by_group = mode & READ_BY_OTHERS & 0o040 != 0 && group != "root";
        if by_everyone || by_group {
            let whom =
                if by_everyone { "everybody".to_owned() } else { format!("the group `{group}`") };
            let message = format!("`{name}` can be read by {whom} on the host (mode {mode:04o})");
            let help =
                "let `owner` be the service's user and `mode` \"0400\", or use LoadCredential=";
            found.push(finding("readable", Some(name), message, help, by_everyone));
        }
    }
    found
}

/// Names on one side only.
fn names(host: &HostSecrets<'_>, document: &Document) -> Vec<Finding> {
    let mut found = Vec::new();
    for name in missing(&document.items, document.format, &host.declarations) {
        let message = format!("`{name}` has no value in {}", host.shown);
        let made = host.declarations.secrets[&name].generate.is_some();
        let help = if made {
            format!("nexus-host secrets generate {}", host.name)
        } else {
            format!("nexus-host secrets set {} {name}", host.name)
        };
        found.push(finding("missing", Some(&name), message, help, true));
    }
    for name in unused(&document.items, document.format, &host.declarations) {
        let message = format!("`{name}` is in {}, but nothing declares it", host.shown);
        let help = format!("remove it with `nexus-host secrets edit {}`", host.name);
        found.push(finding("unused", Some(&name), message, help, false));
    }
    found
}

/// Who can decrypt, against who shall.
fn keys(host: &HostSecrets<'_>, document: &Document) -> Result<Vec<Finding>, Failure> {
    let mut found = Vec::new();
    let has: BTreeSet<&str> = document.metadata.recipients().collect();
    let rekey = format!("nexus-host secrets rekey {}", host.name);
    match host.host_recipient()? {
        None => {
            let message = format!("{} has no identity, so it could decrypt nothing", host.name);
            let help = format!("nexus-host secrets add-host {}", host.name);
            found.push(finding("host", None, message, help, true));
        }
        Some(recipient) if !has.contains(recipient.as_str()) => {
            let message = format!("{} cannot decrypt {}", host.name, host.shown);
            found.push(finding("host", None, message, rekey.clone(), true));
        }
        Some(_) => {}
    }
    let (wanted, ..) = host.wanted()?;
    let wanted: BTreeSet<&str> = wanted.iter().map(crate::sops::Recipient::as_str).collect();
    for key in has.difference(&wanted) {
        let message = format!("{key} can decrypt {}, but no rule names it", host.shown);
        found.push(finding("recipient", None, message, rekey.clone(), true));
    }
    for key in wanted.difference(&has) {
        let message = format!("{key} shall be able to decrypt {}, but cannot", host.shown);
        found.push(finding("recipient", None, message, rekey.clone(), false));
    }
    Ok(found)
}

/// Values that are easily guessed; those that were generated are not.
fn weak(host: &HostSecrets<'_>, file: &SecretsFile) -> Vec<Finding> {
    let mut found = Vec::new();
    for (name, declared) in &host.declarations.secrets {
        let Some(value) = value_of(&file.opened.items, file.format, name) else { continue };
        let kind = declared.generate.as_deref().and_then(|kind| kind.parse::<Kind>().ok());
        if matches!(kind, Some(Kind::Empty | Kind::Plain(_))) {
            continue;
        }
        if let Some(reason) = weakness(&value) {
            let message = format!("`{name}` is weak: {reason}");
            let help = match kind {
                Some(_) => format!("nexus-host secrets rotate {} {name}", host.name),
                None => format!("nexus-host secrets set {} {name}", host.name),
            };
            found.push(finding("weak", Some(name), message, help, true));
        }
    }
    found
}

/// Why a value is easily guessed; never the value.
fn weakness(value: &SecretBytes) -> Option<&'static str> {
    let bytes = value.expose().trim_ascii();
    let lower = String::from_utf8_lossy(bytes).to_lowercase();
    let plain: String = lower.chars().filter(|char| char.is_alphabetic()).collect();
    let different: BTreeSet<u8> = bytes.iter().copied().collect();
    if bytes.is_empty() {
        Some("it is empty")
    } else if COMMON.contains(&lower.as_str()) || COMMON.contains(&plain.as_str()) {
        Some("it is a common password")
    } else if bytes.len() < LENGTH_MIN {
        Some("it has fewer than 12 characters")
    } else if different.len() < DIFFERENT_MIN {
        Some("it has fewer than 6 different characters")
    } else {
        None
    }
}
