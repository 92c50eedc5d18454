//! `.sops.yaml`: for whom and by which rule a new document is encrypted.

use regex::Regex;

use super::error::SopsError;
use super::keys::Recipient;
use super::rule::{RULE_KEYS, Rule, regex};
use super::tree::{Item, Node, find};
use super::yaml;

/// Keys of rules for services that nexus-host cannot encrypt for.
const SERVICES: [&str; 6] =
    ["kms", "pgp", "gcp_kms", "hckms", "azure_keyvault", "hc_vault_transit_uri"];
const PLACE: &str = ".sops.yaml: creation_rules";

/// The rules of a `.sops.yaml`, in order; the first that matches holds.
#[derive(Debug, Clone)]
pub struct CreationRules(Vec<CreationRule>);

/// How new documents are encrypted.
#[derive(Debug, Clone)]
pub struct CreationRule {
    /// Which paths it is for; all without one.
    path: Option<Regex>,
    /// Who can decrypt.
    pub recipients: Vec<Recipient>,
    /// Which values are encrypted.
    pub rule: Rule,
    /// Whether only encrypted values are authenticated.
    pub mac_only_encrypted: bool,
}

impl CreationRules {
    /// Reads a `.sops.yaml`.
    ///
    /// # Errors
    ///
    /// [`SopsError::Rule`], naming the rule and its key; also for keys of other services and for more
    /// than one key group, which nexus-host cannot encrypt for.
    pub fn parse(bytes: &[u8]) -> Result<Self, SopsError> {
        let items = yaml::parse(bytes)?;
        let rules = match find(&items, &["creation_rules"]) {
            None | Some(Node::Null) => return Ok(Self(Vec::new())),
            Some(Node::List(rules)) => rules,
            Some(_) => return Err(wrong(PLACE, "is not a list")),
        };
        let maps = rules.iter().filter(|node| !matches!(node, Node::Comment(_)));
        let read = maps.enumerate().map(|(index, node)| {
            let place = format!("{PLACE}[{index}]");
            match node {
                Node::Map(items) => CreationRule::read(items, &place),
                _ => Err(wrong(&place, "is not a map")),
            }
        });
        read.collect::<Result<_, _>>().map(Self)
    }

    /// The rule for the document at `path`, relative to the folder of `.sops.yaml`.
    pub fn for_path(&self, path: &str) -> Option<&CreationRule> {
        self.0.iter().find(|rule| rule.path.as_ref().is_none_or(|regex| regex.is_match(path)))
    }
}

impl CreationRule {
    fn read(items: &[Item], place: &str) -> Result<Self, SopsError> {
        for service in SERVICES {
            if find(items, &[service]).is_some_and(|node| !is_nothing(node)) {
                return Err(wrong(
                    &format!("{place}.{service}"),
                    "nexus-host encrypts for age and ssh-ed25519 keys only",
                ));
            }
        }
        let path = match text_of(items, "path_regex", place)? {
            Some(text) if !text.is_empty() => {
                let place = format!("{place}.path_regex");
                Some(regex(&text).map_err(|reason| SopsError::Rule { place, reason })?)
            }
            _ => None,
        };
        let mut rules = Vec::new();
        for key in RULE_KEYS {
            if let Some(value) = text_of(items, key, place)?.filter(|value| !value.is_empty()) {
                rules.push(Rule::parse(key, &value, &format!("{place}."))?);
            }
        }
        if rules.len() > 1 {
            return Err(wrong(place, "has more than one of the rules `…_suffix` and `…_regex`"));
        }
        let mac_only_encrypted = match find(items, &["mac_only_encrypted"]) {
            None | Some(Node::Null) => false,
            Some(Node::Bool(yes)) => *yes,
            Some(_) => {
                return Err(wrong(&format!("{place}.mac_only_encrypted"), "is not true or false"));
            }
        };
        let rule = rules.pop().unwrap_or_default();
        Ok(Self { path, recipients: recipients(items, place)?, rule, mac_only_encrypted })
    }
}

/// The recipients of `age`, or of the only key group.
fn recipients(items: &[Item], place: &str) -> Result<Vec<Recipient>, SopsError> {
    let groups = match find(items, &["key_groups"]) {
        Some(Node::List(groups)) => groups.as_slice(),
        _ => &[],
    };
    let group = match groups {
        [] => items,
        [Node::Map(group)] => group,
        _ => return Err(SopsError::KeyGroups { groups: groups.len() }),
    };
    let place = format!("{place}.age");
    let mut recipients: Vec<Recipient> = Vec::new();
    let mut add = |text: &str| -> Result<(), SopsError> {
        for part in text.split(',').filter(|part| !part.trim().is_empty()) {
            let recipient = Recipient::parse(part)?;
            if !recipients.contains(&recipient) {
                recipients.push(recipient);
            }
        }
        Ok(())
    };
    match find(group, &["age"]) {
        None | Some(Node::Null) => {}
        Some(Node::List(nodes)) => {
            for node in nodes.iter().filter(|node| !matches!(node, Node::Comment(_))) {
                add(node
                    .as_text()
                    .ok_or_else(|| wrong(&place, "holds something that is no text"))?)?;
            }
        }
        Some(node) => add(node.as_text().ok_or_else(|| wrong(&place, "is not text"))?)?,
    }
    Ok(recipients)
}

fn text_of(items: &[Item], key: &str, place: &str) -> Result<Option<String>, SopsError> {
    match find(items, &[key]) {
        None | Some(Node::Null) => Ok(None),
        Some(node) => {
            let text =
                node.as_text().ok_or_else(|| wrong(&format!("{place}.{key}"), "is not text"))?;
            Ok(Some(text.to_owned()))
        }
    }
}

fn is_nothing(node: &Node) -> bool {
    match node {
        Node::Null => true,
        Node::List(nodes) => nodes.is_empty(),
        Node::Text(text) => text.is_empty(),
        _ => false,
    }
}

fn wrong(place: &str, reason: &str) -> SopsError {
    SopsError::Rule { place: place.to_owned(), reason: reason.to_owned() }
}
