//! Checked values, each with its place in the user's text.

use std::collections::BTreeMap;

use crate::diag::Place;

/// A value that has the type its option asks for.
#[derive(Debug, Clone, PartialEq)]
pub struct Value {
    /// The value.
    pub data: Data,
    /// Where it is written; `None` for a default.
    pub place: Option<Place>,
}

/// What a value is.
#[derive(Debug, Clone, PartialEq)]
pub enum Data {
    /// An optional option that is not set.
    Absent,
    /// Yes or no.
    Bool(bool),
    /// A number; also a size in bytes and permission bits.
    Integer(i64),
    /// Text in one of the formats.
    Text(String),
    /// The name of a secret; its contents are never here.
    Secret(String),
    /// Values in order.
    List(Vec<Value>),
    /// Values by name: a record, or a table with names of the user's choice.
    Map(BTreeMap<String, Value>),
}

impl Value {
    /// A value that the user did not write.
    pub fn default(data: Data) -> Self {
        Self { data, place: None }
    }

    /// The value below `key`, if this is a map that has it.
    pub fn get(&self, key: &str) -> Option<&Value> {
        match &self.data {
            Data::Map(map) => map.get(key),
            _ => None,
        }
    }

    /// The text, if it is one.
    pub fn text(&self) -> Option<&str> {
        match &self.data {
            Data::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The number, if it is one.
    pub fn integer(&self) -> Option<i64> {
        match &self.data {
            Data::Integer(integer) => Some(*integer),
            _ => None,
        }
    }

    /// Whether it is `true`.
    pub fn is_true(&self) -> bool {
        self.data == Data::Bool(true)
    }

    /// The items, if it is a list; else none.
    pub fn items(&self) -> &[Value] {
        match &self.data {
            Data::List(items) => items,
            _ => &[],
        }
    }

    /// The texts of a list.
    pub fn texts(&self) -> impl Iterator<Item = &str> {
        self.items().iter().filter_map(Value::text)
    }

    /// The pairs, if it is a map; else none.
    pub fn pairs(&self) -> impl Iterator<Item = (&String, &Value)> {
        let map = match &self.data {
            Data::Map(map) => Some(map),
            _ => None,
        };
        map.into_iter().flatten()
    }

    /// This value, if it is no list and no map, else those inside it.
    pub fn leaves(&self) -> Vec<&Value> {
        match &self.data {
            Data::List(items) => items.iter().flat_map(Self::leaves).collect(),
            Data::Map(map) => map.values().flat_map(Self::leaves).collect(),
            _ => vec![self],
        }
    }

    /// The value at `path` (keys and list positions), or the last one on the way that exists.
    pub fn follow<'a>(&self, path: impl IntoIterator<Item = &'a str>) -> &Value {
        let mut here = self;
        for step in path {
            let next = match &here.data {
                Data::Map(map) => map.get(step),
                Data::List(items) => step.parse().ok().and_then(|index: usize| items.get(index)),
                _ => None,
            };
            match next {
                Some(next) if next.place.is_some() => here = next,
                _ => break,
            }
        }
        here
    }
}
