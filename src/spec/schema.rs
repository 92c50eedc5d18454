//! What options there are: types, documentation, defaults.

use std::collections::BTreeMap;
use std::fmt;

use super::check::join;
use super::format::Format;
use super::value::Data;

/// Most items of a list or map that a host file may have.
pub const ITEMS_MAX: usize = 10_000;

/// The type of an option.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// Yes or no.
    Bool,
    /// A whole number in a range, both ends included.
    Integer {
        /// The least.
        min: i64,
        /// The greatest.
        max: i64,
    },
    /// One of some words.
    Enum(Vec<String>),
    /// Text of a form.
    Text(Format),
    /// `{ secret = "name" }`.
    Secret,
    /// Items of one type.
    List(Box<Kind>),
    /// Names of the user's choice, and a value of one type each.
    Map(Format, Box<Kind>),
    /// Fixed keys.
    Record(Record),
}

/// The options of a record, by key.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Record {
    /// The options.
    pub options: BTreeMap<String, Field>,
}

/// An option.
#[derive(Debug, Clone, PartialEq)]
pub struct Field {
    /// Its type.
    pub kind: Kind,
    /// What it does, in a sentence or more.
    pub doc: String,
    /// What holds when it is not set.
    pub presence: Presence,
    /// A value as one would write it, for the documentation and for help.
    pub example: Option<String>,
    /// Fewest items of a list or map.
    pub at_least: usize,
    /// Its place among its siblings in the documentation.
    pub rank: usize,
}

/// What holds when an option is not set.
#[derive(Debug, Clone, PartialEq)]
pub enum Presence {
    /// It must be set.
    Required,
    /// Nothing; lists and maps are empty, records have their defaults if they need nothing.
    Optional,
    /// A value.
    Default {
        /// The value.
        data: Data,
        /// The same as `module.toml` writes it.
        written: String,
    },
}

impl Kind {
    /// What a value of the type looks like, for help that can be pasted.
    pub fn example(&self) -> String {
        match self {
            Self::Bool => "true".to_owned(),
            Self::Integer { min, .. } => min.to_string(),
            Self::Enum(words) => format!("\"{}\"", words.first().map_or("", String::as_str)),
            Self::Text(format) => format!("\"{}\"", format.info().example),
            Self::Secret => "{ secret = \"name\" }".to_owned(),
            Self::List(of) => format!("[{}]", of.example()),
            Self::Map(name, of) => {
                format!("{{ {} = {} }}", join("", name.info().example), of.example())
            }
            Self::Record(record) => {
                let required = record.options.iter().filter(|(_, option)| option.is_required());
                let parts: Vec<_> =
                    required.map(|(key, option)| format!("{key} = {}", option.example())).collect();
                if parts.is_empty() {
                    "{}".to_owned()
                } else {
                    format!("{{ {} }}", parts.join(", "))
                }
            }
        }
    }

    /// With its article, for "expected …".
    pub fn expected(&self) -> String {
        match self {
            Self::Bool => "`true` or `false`".to_owned(),
            Self::Integer { min, max } => format!("a number from {min} to {max}"),
            Self::Enum(words) => quoted(words),
            Self::Text(format) => format!("{} in quotes", format.info().what),
            Self::Secret => "`{ secret = \"…\" }`".to_owned(),
            Self::List(_) => "a list in `[ ]`".to_owned(),
            Self::Map(..) | Self::Record(_) => "a table".to_owned(),
        }
    }

    /// The record at the innermost of lists and maps, if there is one.
    pub fn innermost_record(&self) -> Option<&Record> {
        match self {
            Self::Record(record) => Some(record),
            Self::List(of) | Self::Map(_, of) => of.innermost_record(),
            _ => None,
        }
    }
}

impl Field {
    /// Whether it must be set.
    pub fn is_required(&self) -> bool {
        self.presence == Presence::Required
    }

    /// A value as one would write it.
    pub fn example(&self) -> String {
        self.example.clone().unwrap_or_else(|| self.kind.example())
    }
}

/// The type as `module.toml` writes it.
impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool => f.write_str("bool"),
            Self::Integer { min, max } => write!(f, "integer<{min}..{max}>"),
            Self::Enum(words) => write!(f, "enum<{}>", words.join("|")),
            Self::Text(format) => f.write_str(format.info().name),
            Self::Secret => f.write_str("secret"),
            Self::List(of) => write!(f, "list<{of}>"),
            Self::Map(name, of) => write!(f, "map<{}, {of}>", name.info().name),
            Self::Record(_) => f.write_str("record"),
        }
    }
}

/// `` `a`, `b` or `c` ``.
pub(super) fn quoted(words: &[String]) -> String {
    let quoted: Vec<_> = words.iter().map(|word| format!("`{word}`")).collect();
    match quoted.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
        None => String::new(),
    }
}
