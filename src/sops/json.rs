//! JSON in document order; keys that are there twice are refused.

use std::fmt;

use serde::de::{self, DeserializeSeed, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeMap as _, SerializeSeq as _, Serializer};

use super::error::SopsError;
use super::format::check_unique;
use super::tree::{DEPTH_MAX, Item, Node};

/// Reads an object.
pub(super) fn parse(bytes: &[u8]) -> Result<Vec<Item>, SopsError> {
    let syntax = |error: serde_json::Error| SopsError::Syntax {
        format: "JSON",
        line: error.line(),
        reason: reason_of(&error),
    };
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let node = Depth(0).deserialize(&mut deserializer).map_err(syntax)?;
    deserializer.end().map_err(syntax)?;
    match node {
        Node::Map(items) => Ok(items),
        _ => Err(SopsError::Unsupported {
            line: 1,
            found: "a value that is no object",
            instead: "wrap it in one, such as {\"data\": …}",
        }),
    }
}

/// The parser's words without its values: a message must not show a secret.
fn reason_of(error: &serde_json::Error) -> String {
    match error.classify() {
        serde_json::error::Category::Eof => "it ends too early".to_owned(),
        serde_json::error::Category::Data => {
            let text = error.to_string();
            let own = text.split(" at line ").next().unwrap_or_default();
            if own.starts_with("key ") || own.starts_with("nested ") {
                own.to_owned()
            } else {
                "a value of an unknown kind".to_owned()
            }
        }
        _ => "it does not follow the grammar here".to_owned(),
    }
}

/// Writes an object, indented with tabs as SOPS does.
pub(super) fn write(items: &[Item]) -> Result<String, SopsError> {
    check_text(items, "")?;
    let mut bytes = Vec::new();
    let formatter = serde_json::ser::PrettyFormatter::with_indent(b"\t");
    let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, formatter);
    Entries(items).serialize(&mut serializer).expect("checked before: every text is UTF-8");
    bytes.push(b'\n');
    Ok(String::from_utf8(bytes).expect("serde_json writes UTF-8"))
}

fn check_text(items: &[Item], prefix: &str) -> Result<(), SopsError> {
    for item in items {
        if let Item::Entry { key, value } = item {
            let path = if prefix.is_empty() { key.clone() } else { format!("{prefix}/{key}") };
            check_node(value, &path)?;
        }
    }
    Ok(())
}

fn check_node(node: &Node, path: &str) -> Result<(), SopsError> {
    let unwritable =
        |reason| SopsError::Unwritable { path: path.to_owned(), format: "JSON", reason };
    match node {
        Node::Text(text) if text.text().is_none() => Err(unwritable("it is not UTF-8")),
        Node::Float(number) if !number.is_finite() => {
            Err(unwritable("JSON has only finite numbers"))
        }
        Node::Map(items) => check_text(items, path),
        Node::List(nodes) => nodes.iter().try_for_each(|node| check_node(node, path)),
        _ => Ok(()),
    }
}

/// Reads a value at a depth.
struct Depth(usize);

impl<'de> DeserializeSeed<'de> for Depth {
    type Value = Node;

    fn deserialize<D: de::Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        if self.0 > DEPTH_MAX {
            return Err(de::Error::custom("nested too deep"));
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Depth {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_bool<E>(self, yes: bool) -> Result<Node, E> {
        Ok(Node::Bool(yes))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Node, E> {
        Ok(Node::Int(number))
    }

    #[expect(clippy::cast_precision_loss, reason = "SOPS too reads what is no i64 as a float")]
    fn visit_u64<E>(self, number: u64) -> Result<Node, E> {
        Ok(i64::try_from(number).map_or(Node::Float(number as f64), Node::Int))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Node, E> {
        Ok(Node::Float(number))
    }

    fn visit_str<E>(self, text: &str) -> Result<Node, E> {
        Ok(Node::text(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Node, A::Error> {
        let mut nodes = Vec::new();
        while let Some(node) = access.next_element_seed(Depth(self.0 + 1))? {
            nodes.push(node);
        }
        Ok(Node::List(nodes))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Node, A::Error> {
        let mut items = Vec::new();
        while let Some(key) = access.next_key::<String>()? {
            let value = access.next_value_seed(Depth(self.0 + 1))?;
            items.push(Item::Entry { key, value });
        }
        check_unique(&items).map_err(|error| match error {
            SopsError::DuplicateKey { path } => {
                de::Error::custom(format!("key `{path}` is there twice"))
            }
            other => de::Error::custom(other),
        })?;
        Ok(Node::Map(items))
    }
}

/// Entries of an object, comments left out: JSON has none.
struct Entries<'t>(&'t [Item]);

impl Serialize for Entries<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for item in self.0 {
            if let Item::Entry { key, value } = item {
                map.serialize_entry(key, &Plain(value))?;
            }
        }
        map.end()
    }
}

struct Plain<'t>(&'t Node);

impl Serialize for Plain<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Node::Null | Node::Comment(_) => serializer.serialize_unit(),
            Node::Bool(yes) => serializer.serialize_bool(*yes),
            Node::Int(number) => serializer.serialize_i64(*number),
            Node::Float(number) => serializer.serialize_f64(*number),
            Node::Time(text) => serializer.serialize_str(text),
            Node::Text(text) => serializer.serialize_str(text.text().unwrap_or_default()),
            Node::Map(items) => Entries(items).serialize(serializer),
            Node::List(nodes) => {
                let mut list = serializer.serialize_seq(None)?;
                for node in nodes.iter().filter(|node| !matches!(node, Node::Comment(_))) {
                    list.serialize_element(&Plain(node))?;
                }
                list.end()
            }
        }
    }
}
