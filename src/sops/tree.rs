//! A SOPS document as a value: maps in document order, lists, typed leaves, comments.

use super::error::SopsError;
use super::secret::SecretBytes;

/// Deepest nesting of maps and lists.
pub const DEPTH_MAX: usize = 32;
/// Most keys, items and comments of a document.
pub const NODES_MAX: usize = 100_000;

/// A line of a map: a key with its value, or a comment.
#[derive(Debug, Clone, PartialEq)]
pub enum Item {
    /// A key and its value; a key occurs once in its map.
    Entry {
        /// The key, never encrypted.
        key: String,
        /// Its value.
        value: Node,
    },
    /// A comment before the next entry, or after the last.
    Comment(Comment),
}

/// A comment, without its `#`.
#[derive(Debug, Clone, PartialEq)]
pub struct Comment {
    /// Its text; people write secrets into comments.
    pub text: SecretBytes,
    /// Whether it stands on the line of the entry that follows in the tree.
    pub inline: bool,
}

/// A value, encrypted (then a text `ENC[…]`) or plain.
#[derive(Debug, Clone, PartialEq)]
pub enum Node {
    /// Nothing; never encrypted and not authenticated.
    Null,
    /// Yes or no.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number with a fraction or exponent.
    Float(f64),
    /// A point in time, in RFC 3339.
    Time(String),
    /// Text, or bytes that are no text (in binary documents).
    Text(SecretBytes),
    /// A comment among the items of a list.
    Comment(Comment),
    /// Items in order.
    List(Vec<Node>),
    /// Entries in document order.
    Map(Vec<Item>),
}

impl Item {
    /// An entry.
    pub fn entry(key: &str, value: Node) -> Self {
        Self::Entry { key: key.to_owned(), value }
    }
}

impl Comment {
    /// A comment on a line of its own.
    pub fn own_line(text: &str) -> Self {
        Self { text: text.into(), inline: false }
    }
}

impl Node {
    /// A text.
    pub fn text(text: &str) -> Self {
        Self::Text(text.into())
    }

    /// The text, when it is one.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => text.text(),
            _ => None,
        }
    }

    /// The bytes that count for the message authentication code, and that are encrypted; `None` for
    /// what has none (nothing, maps, lists).
    pub(super) fn leaf_bytes(&self) -> Option<SecretBytes> {
        match self {
            Self::Bool(true) => Some("True".into()),
            Self::Bool(false) => Some("False".into()),
            Self::Int(number) => Some(number.to_string().into()),
            Self::Float(number) => Some(float_text(*number).into()),
            Self::Time(text) => Some(text.as_str().into()),
            Self::Text(text) => Some(text.clone()),
            Self::Comment(comment) => Some(comment.text.clone()),
            Self::Null | Self::List(_) | Self::Map(_) => None,
        }
    }

    /// The value as a program reads it from a file: text as it is, numbers in digits, `true`, `false`.
    ///
    /// `None` for maps and lists.
    pub fn file_bytes(&self) -> Option<SecretBytes> {
        match self {
            Self::Null => Some(SecretBytes::default()),
            Self::Bool(true) => Some("true".into()),
            Self::Bool(false) => Some("false".into()),
            other => other.leaf_bytes(),
        }
    }
}

/// Shortest digits that read back as the same number, never with an exponent.
pub(super) fn float_text(number: f64) -> String {
    match number {
        _ if number.is_nan() => "NaN".to_owned(),
        _ if number == f64::INFINITY => "+Inf".to_owned(),
        _ if number == f64::NEG_INFINITY => "-Inf".to_owned(),
        _ => format!("{number}"),
    }
}

/// The value at `path`, keys of maps and positions (from 0, comments not counted) of lists.
pub fn find<'t>(items: &'t [Item], path: &[&str]) -> Option<&'t Node> {
    let (first, rest) = path.split_first()?;
    let value = items.iter().find_map(|item| match item {
        Item::Entry { key, value } if key == first => Some(value),
        _ => None,
    })?;
    follow(value, rest)
}

fn follow<'t>(node: &'t Node, path: &[&str]) -> Option<&'t Node> {
    match (node, path.split_first()) {
        (node, None) => Some(node),
        (Node::Map(items), Some(_)) => find(items, path),
        (Node::List(nodes), Some((position, rest))) => {
            let position: usize = position.parse().ok()?;
            let mut real = nodes.iter().filter(|node| !matches!(node, Node::Comment(_)));
            follow(real.nth(position)?, rest)
        }
        _ => None,
    }
}

/// Puts `value` at `path`, making maps on the way; what stood there is replaced, a new key comes last.
///
/// # Errors
///
/// [`SopsError::NotAMap`] when the path goes through a value that is no map.
pub fn set(items: &mut Vec<Item>, path: &[&str], value: Node) -> Result<(), SopsError> {
    let mut here = items;
    let (last, folders) = path.split_last().ok_or(SopsError::EmptyPath)?;
    for (depth, folder) in folders.iter().enumerate() {
        let index = entry_index(here, folder).unwrap_or_else(|| {
            here.push(Item::entry(folder, Node::Map(Vec::new())));
            here.len() - 1
        });
        here = match &mut here[index] {
            Item::Entry { value: Node::Map(inner), .. } => inner,
            _ => return Err(SopsError::NotAMap { path: path[..=depth].join("/") }),
        };
    }
    match entry_index(here, last) {
        Some(index) => here[index] = Item::entry(last, value),
        None => here.push(Item::entry(last, value)),
    }
    Ok(())
}

/// Takes the entry at `path` away, and maps that are empty then; whether it was there.
pub fn remove(items: &mut Vec<Item>, path: &[&str]) -> bool {
    let Some((first, rest)) = path.split_first() else { return false };
    let Some(index) = entry_index(items, first) else { return false };
    if rest.is_empty() {
        items.remove(index);
        return true;
    }
    let Item::Entry { value: Node::Map(inner), .. } = &mut items[index] else { return false };
    let removed = remove(inner, rest);
    if removed && inner.is_empty() {
        items.remove(index);
    }
    removed
}

fn entry_index(items: &[Item], wanted: &str) -> Option<usize> {
    items.iter().position(|item| matches!(item, Item::Entry { key, .. } if key == wanted))
}

/// Paths of all leaves in document order, joined by `/`; lists count as leaves, comments do not.
pub fn leaf_paths(items: &[Item]) -> Vec<String> {
    let mut paths = Vec::new();
    collect_paths(items, "", &mut paths);
    paths
}

fn collect_paths(items: &[Item], prefix: &str, paths: &mut Vec<String>) {
    for item in items {
        let Item::Entry { key, value } = item else { continue };
        let path = if prefix.is_empty() { key.clone() } else { format!("{prefix}/{key}") };
        match value {
            Node::Map(inner) => collect_paths(inner, &path, paths),
            _ => paths.push(path),
        }
    }
}
