//! The `sops` part of a document: recipients with the data key, the rule, the authentication code.

use super::error::SopsError;
use super::rule::{RULE_KEYS, Rule};
use super::tree::{Item, Node};

/// Lists of keys of services that nexus-host leaves as they are.
const SERVICES: [&str; 6] = ["kms", "gcp_kms", "hckms", "azure_kv", "hc_vault", "pgp"];
/// Most recipients of a document.
const RECIPIENTS_MAX: usize = 256;
/// The version of SOPS whose format is written.
const VERSION: &str = "3.13.3";

/// The `sops` part of a document.
#[derive(Debug, Clone)]
pub struct Metadata {
    /// Who can decrypt, each with the data key encrypted for it.
    pub(super) age: Vec<WrappedKey>,
    /// Which values are encrypted.
    pub rule: Rule,
    /// Whether only encrypted values are authenticated.
    pub mac_only_encrypted: bool,
    /// When it was last changed, RFC 3339.
    pub(super) last_modified: String,
    /// The authentication code, encrypted.
    pub(super) mac: String,
    /// Everything that is not above, such as the keys of other services.
    rest: Vec<Item>,
}

/// The data key for one recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct WrappedKey {
    /// The recipient as written.
    pub(super) recipient: String,
    /// An armored age file that holds the data key.
    pub(super) armored: String,
}

impl Metadata {
    /// For a new document.
    pub fn new(rule: Rule, mac_only_encrypted: bool) -> Self {
        let version = Item::entry("version", Node::text(VERSION));
        Self {
            age: Vec::new(),
            rule,
            mac_only_encrypted,
            last_modified: String::new(),
            mac: String::new(),
            rest: vec![version],
        }
    }

    /// The recipients, in document order.
    pub fn recipients(&self) -> impl Iterator<Item = &str> {
        self.age.iter().map(|key| key.recipient.as_str())
    }

    /// Names of other key services that the data key is encrypted for.
    pub fn other_services(&self) -> Vec<&str> {
        let named = |item: &Item| match item {
            Item::Entry { key, value: Node::List(keys) } if !keys.is_empty() => {
                SERVICES.iter().find(|service| *service == key).copied()
            }
            _ => None,
        };
        self.rest.iter().filter_map(named).collect()
    }

    /// Reads the `sops` map.
    pub(super) fn read(mut items: Vec<Item>) -> Result<Self, SopsError> {
        lift_only_group(&mut items)?;
        let mut rules = Vec::new();
        for key in RULE_KEYS {
            if let Some(value) = take_text(&mut items, key)?.filter(|value| !value.is_empty()) {
                rules.push(Rule::parse(key, &value, "sops.")?);
            }
        }
        if rules.len() > 1 {
            let (first, _) = rules[0].written();
            return Err(wrong(first, "stands beside another rule; a document has one"));
        }
        let age = match take(&mut items, "age") {
            None | Some(Node::Null) => Vec::new(),
            Some(Node::List(keys)) => keys.iter().map(wrapped_key).collect::<Result<_, _>>()?,
            Some(_) => return Err(wrong("age", "is not a list")),
        };
        if age.len() > RECIPIENTS_MAX {
            return Err(SopsError::TooLarge { what: "recipients", limit: RECIPIENTS_MAX });
        }
        let required = |items: &mut Vec<Item>, key: &'static str| {
            take_text(items, key)?.ok_or_else(|| wrong(key, "is missing"))
        };
        let last_modified = required(&mut items, "lastmodified")?;
        let mac = required(&mut items, "mac")?;
        let mac_only_encrypted = match take(&mut items, "mac_only_encrypted") {
            None | Some(Node::Null) => false,
            Some(node) => flag(&node)?,
        };
        let rule = rules.pop().unwrap_or_default();
        items.retain(|item| matches!(item, Item::Entry { .. }));
        Ok(Self { age, rule, mac_only_encrypted, last_modified, mac, rest: items })
    }

    /// The `sops` map, keys sorted as SOPS sorts them.
    pub(super) fn write(&self) -> Vec<Item> {
        let mut items = self.rest.clone();
        let key = |key: &WrappedKey| {
            Node::Map(vec![
                Item::entry("enc", Node::text(&key.armored)),
                Item::entry("recipient", Node::text(&key.recipient)),
            ])
        };
        if !self.age.is_empty() {
            items.push(Item::entry("age", Node::List(self.age.iter().map(key).collect())));
        }
        let (rule, value) = self.rule.written();
        items.push(Item::entry(rule, Node::text(value)));
        items.push(Item::entry("lastmodified", Node::text(&self.last_modified)));
        items.push(Item::entry("mac", Node::text(&self.mac)));
        if self.mac_only_encrypted {
            items.push(Item::entry("mac_only_encrypted", Node::Bool(true)));
        }
        items.sort_by(|a, b| key_of(a).cmp(key_of(b)));
        items
    }
}

fn key_of(item: &Item) -> &str {
    match item {
        Item::Entry { key, .. } => key,
        Item::Comment(_) => "",
    }
}

/// A single key group means the same as its keys at the top; more than one needs Shamir's scheme.
fn lift_only_group(items: &mut Vec<Item>) -> Result<(), SopsError> {
    let has_keys = |item: &Item| match item {
        Item::Entry { key, value: Node::List(keys) } => {
            !keys.is_empty() && (key == "age" || SERVICES.contains(&key.as_str()))
        }
        _ => false,
    };
    if items.iter().any(has_keys) {
        return Ok(());
    }
    let Some(Node::List(groups)) = take(items, "key_groups") else { return Ok(()) };
    let count = groups.len();
    match <[Node; 1]>::try_from(groups) {
        Ok([Node::Map(group)]) => {
            for item in group {
                items.retain(|have| key_of(have) != key_of(&item));
                items.push(item);
            }
            Ok(())
        }
        Ok(_) => Err(wrong("key_groups", "does not hold maps")),
        Err(_) if count == 0 => Ok(()),
        Err(_) => Err(SopsError::KeyGroups { groups: count }),
    }
}

fn wrapped_key(node: &Node) -> Result<WrappedKey, SopsError> {
    let Node::Map(items) = node else { return Err(wrong("age", "does not hold maps")) };
    let text = |key: &str| {
        super::tree::find(items, &[key])
            .and_then(Node::as_text)
            .map(str::to_owned)
            .ok_or_else(|| wrong("age", &format!("has an item without `{key}`")))
    };
    Ok(WrappedKey { recipient: text("recipient")?, armored: text("enc")? })
}

fn take(items: &mut Vec<Item>, wanted: &str) -> Option<Node> {
    let index = items.iter().position(|item| key_of(item) == wanted)?;
    match items.remove(index) {
        Item::Entry { value, .. } => Some(value),
        Item::Comment(_) => None,
    }
}

fn take_text(items: &mut Vec<Item>, key: &'static str) -> Result<Option<String>, SopsError> {
    match take(items, key) {
        None | Some(Node::Null) => Ok(None),
        Some(Node::Time(text)) => Ok(Some(text)),
        Some(node) => {
            let text = node.as_text().ok_or_else(|| wrong(key, "is not text"))?;
            Ok(Some(text.to_owned()))
        }
    }
}

/// Formats without types have `true` as text.
fn flag(node: &Node) -> Result<bool, SopsError> {
    match (node, node.as_text()) {
        (Node::Bool(yes), _) => Ok(*yes),
        (_, Some("true")) => Ok(true),
        (_, Some("false")) => Ok(false),
        _ => Err(wrong("mac_only_encrypted", "is neither true nor false")),
    }
}

fn wrong(field: &str, reason: &str) -> SopsError {
    SopsError::Metadata { field: field.to_owned(), reason: reason.to_owned() }
}
