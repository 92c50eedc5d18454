//! `secrets add-host`: an identity for a host, and the rule who can decrypt its file.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::super::report::Failure;
use super::super::session::Session;
use super::arguments::AddHost;
use super::host::{HostSecrets, SecretsError, make_folder_of, write_failure};
use crate::exec::files::{FileError, write_atomic};
use crate::exec::secrets::document::{content_error, read_rules};
use crate::sops::{Format, Item, Node, Recipient, SecretBytes, generate_identity};

pub(super) fn run(session: &Session<'_>, arguments: &AddHost) -> Result<(), Failure> {
    let host = HostSecrets::read(session, &arguments.host)?;
    let public = host.public_path();
    if let Some(known) = host.host_recipient()? {
        let message = format!("{} has an identity already: {}", host.name, known.as_str());
        let help = format!(
            "to replace it, remove {} and run this again, then `secrets rekey {}`",
            host.workspace.shown(&public),
            host.name
        );
        return Err(SecretsError::Refused { message }.fail(help));
    }
    let people = people(&host, arguments)?;
    let (recipient, private) = if let Some(text) = &arguments.recipient {
        (Recipient::parse(text).map_err(Failure::files)?, None)
    } else {
        let (identity, recipient) = generate_identity();
        let path = out_path(session, &host, arguments)?;
        write_identity(&path, &host.name, &identity, &recipient)?;
        (recipient, Some(path))
    };
    make_folder_of(&public)?;
    let text = format!("# public key of the host {}\n{}\n", host.name, recipient.as_str());
    write_atomic(&public, text.as_bytes()).map_err(write_failure)?;
    let rule_written = write_rule(&host, &people, &recipient)?;
    let private = private.map(|path| path.display().to_string());
    if session.json {
        session.ui.json(&json!({
            "host": host.name, "recipient": recipient.as_str(), "identity": private,
            "public": host.workspace.shown(&public), "rule_written": rule_written,
        }));
        return Ok(());
    }
    session.ui.result(recipient.as_str());
    if let Some(private) = private {
        session.ui.say(&format!(
            "the host's identity is in {private}: keep it out of the repository, and a copy offline"
        ));
    }
    let shown = host.workspace.shown(&public);
    session.ui.say(&format!("{shown} and .sops.yaml written; commit them"));
    if host.encrypted()?.is_some() {
        session.ui.say(&format!("next: nexus-host secrets rekey {}", host.name));
    }
    Ok(())
}

/// Who else can decrypt: those of the rule there is, or whoever runs this.
fn people(host: &HostSecrets<'_>, arguments: &AddHost) -> Result<Vec<Recipient>, Failure> {
    let (people, ..) = host.wanted()?;
    if !people.is_empty() {
        return Ok(people);
    }
    let found = host.identities(&arguments.who, true)?;
    let own = found.identities.recipients().iter().map(|text| Recipient::parse(text));
    let own: Vec<Recipient> = own.collect::<Result<_, _>>().map_err(Failure::files)?;
    if own.is_empty() {
        let help = "`age-keygen -o ~/.config/sops/age/keys.txt` makes yours";
        return Err(SecretsError::NoIdentity.fail(help));
    }
    Ok(own)
}

fn out_path(
    session: &Session<'_>,
    host: &HostSecrets<'_>,
    arguments: &AddHost,
) -> Result<PathBuf, Failure> {
    if let Some(told) = &arguments.out {
        return Ok(session.environment.working_directory.join(told));
    }
    let data = session.environment.data_directory().map_err(Failure::files)?;
    Ok(data.join("identities").join(format!("{}.txt", host.name)))
}

/// A new file that only its owner may read; an existing one is never replaced.
fn write_identity(
    path: &Path,
    host: &str,
    identity: &SecretBytes,
    recipient: &Recipient,
) -> Result<(), Failure> {
    make_folder_of(path)?;
    let mut options = OpenOptions::new();
    let file = options.write(true).create_new(true).mode(0o600).open(path);
    let mut file = file.map_err(|error| {
        let exists = error.kind() == std::io::ErrorKind::AlreadyExists;
        let failure = Failure::files(FileError::at("create", path)(error));
        let help =
            "it may be the only copy of an identity: move it away, or name another with --out";
        if exists { failure.help(help) } else { failure }
    })?;
    let head = format!("# identity of the host {host}\n# public key: {}\n", recipient.as_str());
    let written = [head.as_bytes(), identity.expose(), b"\n"]
        .iter()
        .try_for_each(|part| file.write_all(part));
    written
        .and_then(|()| file.sync_all())
        .map_err(|e| write_failure(FileError::at("write", path)(e)))
}

/// Puts a rule for the host's file in front of the others; whether one was needed.
fn write_rule(
    host: &HostSecrets<'_>,
    people: &[Recipient],
    recipient: &Recipient,
) -> Result<bool, Failure> {
    let root = &host.workspace.root;
    let relative = host.workspace.shown(&host.path);
    let rules = read_rules(root).map_err(Failure::files)?;
    let covered = rules.as_ref().and_then(|rules| rules.for_path(&relative));
    if covered.is_some_and(|rule| rule.recipients.contains(recipient)) {
        return Ok(false);
    }
    let path = root.join(".sops.yaml");
    let mut items = if path.exists() {
        let bytes =
            std::fs::read(&path).map_err(|e| write_failure(FileError::at("read", &path)(e)))?;
        Format::Yaml.parse_plain(&bytes).map_err(content_error(&path)).map_err(Failure::files)?
    } else {
        Vec::new()
    };
    let mut keys: Vec<Node> = people.iter().map(|key| Node::text(key.as_str())).collect();
    if !people.contains(recipient) {
        keys.push(Node::text(recipient.as_str()));
    }
    let pattern = format!("^{}$", regex::escape(&relative));
    let rule = Node::Map(vec![
        Item::entry("path_regex", Node::text(&pattern)),
        Item::entry("age", Node::List(keys)),
    ]);
    let is_rules =
        |item: &&mut Item| matches!(item, Item::Entry { key, .. } if key == "creation_rules");
    match items.iter_mut().find(is_rules) {
        Some(Item::Entry { value: Node::List(rules), .. }) => {
            rules.retain(|rule| !is_for(rule, &pattern));
            rules.insert(0, rule);
        }
        Some(Item::Entry { value, .. }) => *value = Node::List(vec![rule]),
        _ => items.push(Item::entry("creation_rules", Node::List(vec![rule]))),
    }
    let text = Format::Yaml.write_plain(&items).map_err(Failure::files)?;
    write_atomic(&path, &text).map_err(write_failure)?;
    Ok(true)
}

/// Whether a rule of `.sops.yaml` has exactly this pattern.
fn is_for(rule: &Node, pattern: &str) -> bool {
    match rule {
        Node::Map(items) => {
            crate::sops::find(items, &["path_regex"]).and_then(Node::as_text) == Some(pattern)
        }
        _ => false,
    }
}
