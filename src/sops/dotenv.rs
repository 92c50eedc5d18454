//! Lines `KEY=value`; a line break in a value is written `\n`, and metadata as keys `sops_…`.

use std::collections::BTreeMap;

use super::error::SopsError;
use super::format::check_unique;
use super::tree::{Comment, Item, Node, float_text};

/// What the keys of metadata begin with.
pub(super) const PREFIX: &str = "sops_";
const MAP: &str = "__map_";
const LIST: &str = "__list_";

/// Reads lines; empty ones are left out.
pub(super) fn parse(bytes: &[u8]) -> Result<Vec<Item>, SopsError> {
    let mut items = Vec::new();
    for (index, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        let syntax = |reason: &str| SopsError::Syntax {
            format: "dotenv",
            line: index + 1,
            reason: reason.to_owned(),
        };
        let line = std::str::from_utf8(line).map_err(|_| syntax("it is not UTF-8"))?;
        if line.is_empty() {
            continue;
        }
        if let Some(comment) = line.strip_prefix('#') {
            items.push(Item::Comment(Comment::own_line(comment)));
        } else {
            let (key, value) = line.split_once('=').ok_or_else(|| syntax("it has no `=`"))?;
            items.push(Item::entry(key, Node::text(&value.replace("\\n", "\n"))));
        }
    }
    check_unique(&items)?;
    Ok(items)
}

/// Writes lines.
pub(super) fn write(items: &[Item]) -> Result<String, SopsError> {
    let mut text = String::new();
    for item in items {
        match item {
            Item::Comment(comment) => {
                let line = comment.text.text().unwrap_or_default().replace(['\n', '\r'], " ");
                text.push_str(&format!("#{line}\n"));
            }
            Item::Entry { key, value } => {
                let unwritable =
                    |reason| SopsError::Unwritable { path: key.clone(), format: "dotenv", reason };
                let bad = |c: char| matches!(c, '=' | '\n' | '\r');
                if key.is_empty() || key.starts_with('#') || key.contains(bad) {
                    return Err(unwritable("the key is empty, begins with `#` or has a `=`"));
                }
                let value = match value {
                    Node::Map(_) | Node::List(_) => {
                        return Err(unwritable("the format has no maps and lists"));
                    }
                    Node::Float(number) => float_text(*number),
                    other => {
                        let bytes = other.file_bytes().unwrap_or_default();
                        let text = bytes.text().ok_or_else(|| unwritable("it is not UTF-8"))?;
                        if text.contains("\\n") {
                            // A backslash before an n cannot be told from a line break.
                            return Err(unwritable("it has a backslash followed by `n`"));
                        }
                        text.replace('\n', "\\n")
                    }
                };
                text.push_str(&format!("{key}={value}\n"));
            }
        }
    }
    Ok(text)
}

/// Takes the metadata out of the lines.
pub(super) fn split_metadata(items: Vec<Item>) -> Result<(Vec<Item>, Vec<Item>), SopsError> {
    let mut rest = Vec::new();
    let mut flat = BTreeMap::new();
    for item in items {
        match item {
            Item::Entry { key, value } if key.starts_with(PREFIX) => {
                flat.insert(key[PREFIX.len()..].to_owned(), value);
            }
            other => rest.push(other),
        }
    }
    if flat.is_empty() {
        return Err(SopsError::NoMetadata);
    }
    let mut root = Branch::default();
    for (key, value) in flat {
        root.place(&key, value)?;
    }
    match root.into_node("sops")? {
        Node::Map(metadata) => Ok((rest, metadata)),
        _ => Err(SopsError::NoMetadata),
    }
}

/// Metadata as lines.
pub(super) fn flatten_metadata(metadata: &[Item]) -> Vec<Item> {
    let mut flat = Vec::new();
    for item in metadata {
        if let Item::Entry { key, value } = item {
            flatten(&format!("{PREFIX}{key}"), value, &mut flat);
        }
    }
    flat
}

fn flatten(name: &str, node: &Node, flat: &mut Vec<Item>) {
    match node {
        Node::Map(items) => {
            for item in items {
                if let Item::Entry { key, value } = item {
                    flatten(&format!("{name}{MAP}{key}"), value, flat);
                }
            }
        }
        Node::List(nodes) => {
            for (index, node) in nodes.iter().enumerate() {
                flatten(&format!("{name}{LIST}{index}"), node, flat);
            }
        }
        leaf => flat.push(Item::entry(name, leaf.clone())),
    }
}

/// A tree that grows from flat keys.
#[derive(Default)]
struct Branch {
    value: Option<Node>,
    keys: BTreeMap<String, Branch>,
    positions: BTreeMap<usize, Branch>,
}

/// The separators of flat keys.
#[derive(Clone, Copy, PartialEq)]
enum Step {
    Map,
    List,
}

impl Branch {
    fn place(&mut self, key: &str, value: Node) -> Result<(), SopsError> {
        let wrong = || SopsError::Metadata {
            field: key.to_owned(),
            reason: "cannot stand beside the others".to_owned(),
        };
        let mut here = self;
        let mut step = Step::Map;
        let mut rest = key;
        loop {
            let next = [(MAP, Step::Map), (LIST, Step::List)];
            let next = next.iter().filter_map(|(word, step)| Some((rest.find(word)?, word, step)));
            let next = next.min_by_key(|(at, ..)| *at);
            let part = next.map_or(rest, |(at, ..)| &rest[..at]);
            here = match step {
                Step::Map => here.keys.entry(part.to_owned()).or_default(),
                Step::List => {
                    let position = part.parse().map_err(|_| wrong())?;
                    here.positions.entry(position).or_default()
                }
            };
            let Some((at, word, after)) = next else { break };
            (step, rest) = (*after, &rest[at + word.len()..]);
        }
        if here.value.replace(value).is_some() { Err(wrong()) } else { Ok(()) }
    }

    fn into_node(self, name: &str) -> Result<Node, SopsError> {
        let wrong = |reason: &str| SopsError::Metadata {
            field: name.to_owned(),
            reason: reason.to_owned(),
        };
        match (self.value, self.keys.is_empty(), self.positions.is_empty()) {
            (Some(value), true, true) => Ok(value),
            (None, false, true) => {
                let items = self.keys.into_iter();
                let items = items.map(|(key, branch)| {
                    branch.into_node(&key).map(|value| Item::Entry { key, value })
                });
                items.collect::<Result<_, _>>().map(Node::Map)
            }
            (None, true, false) => {
                let gapless = self.positions.keys().copied().eq(0..self.positions.len());
                if !gapless {
                    return Err(wrong("is a list with gaps"));
                }
                let nodes = self.positions.into_values().map(|branch| branch.into_node(name));
                nodes.collect::<Result<_, _>>().map(Node::List)
            }
            _ => Err(wrong("is a value and a map or list at once")),
        }
    }
}
