//! A TOML value against the type of its option → a checked value, all problems noted.

use std::collections::BTreeMap;
use std::sync::Arc;

use toml::de::{DeArray, DeInteger, DeTable, DeValue};

use super::document::{Key, Raw};
use super::format::Format;
use super::schema::{Field, ITEMS_MAX, Kind, Presence, Record, quoted};
use super::value::{Data, Value};
use crate::diag::{Code, Diagnostic, Place, Problems, Source, did_you_mean, printable};
use crate::secrets::is_secret_name;

/// Checks the values of one file.
pub(crate) struct Checker<'a> {
    /// The file.
    pub(crate) source: &'a Arc<Source>,
    /// Where problems go.
    pub(crate) problems: &'a mut Problems,
}

/// A value, what it is called in messages, and the place that stands for it.
#[derive(Clone, Copy)]
pub(crate) struct Slot<'r> {
    /// The value.
    pub(crate) raw: &'r Raw<'r>,
    /// `units.hello.exec`.
    pub(crate) path: &'r str,
    /// The key that it stands at; tables are shown by it.
    pub(crate) key: Option<&'r Key<'r>>,
}

impl Checker<'_> {
    /// Checks one value; `None` when problems were noted.
    pub(crate) fn value(&mut self, slot: Slot<'_>, kind: &Kind) -> Option<Value> {
        let data = match (kind, slot.raw.get_ref()) {
            (Kind::Bool, DeValue::Boolean(yes)) => Some(Data::Bool(*yes)),
            (Kind::Integer { .. }, DeValue::Integer(integer)) => self.integer(slot, integer, kind),
            (Kind::Enum(words), DeValue::String(word)) => self.word(slot, word, words),
            (Kind::Text(format), DeValue::String(text)) => self.text(slot, text, *format),
            (Kind::Secret, DeValue::Table(table)) => self.secret(slot, table),
            (Kind::List(of), DeValue::Array(items)) => self.list(slot, items, of),
            (Kind::Map(name, of), DeValue::Table(table)) => self.map(slot, table, *name, of),
            (Kind::Record(record), DeValue::Table(table)) => {
                self.record(table, record, slot.path, &self.place(slot))
            }
            _ => self.wrong_type(slot, kind),
        }?;
        Some(Value { data, place: Some(self.place(slot)) })
    }

    /// Checks the keys of a table against a record; what is not set gets its default.
    pub(crate) fn record(
        &mut self,
        table: &DeTable<'_>,
        record: &Record,
        path: &str,
        place: &Place,
    ) -> Option<Data> {
        let before = self.problems.len();
        for key in table.keys() {
            if !record.options.contains_key(key.get_ref().as_ref()) {
                let known = record.options.keys().map(String::as_str);
                let problem = unknown_key(self.at(key), key.get_ref(), path, known);
                self.problems.push(problem);
            }
        }
        let mut values = BTreeMap::new();
        for (name, field) in &record.options {
            let value = match table.get_key_value(name.as_str()) {
                Some((key, raw)) => {
                    let path = join(path, name);
                    self.field(Slot { raw, path: &path, key: Some(key) }, field)
                }
                None => self.unset(name, field, path, place),
            };
            values.insert(name.clone(), value.unwrap_or(Value::default(Data::Absent)));
        }
        (self.problems.len() == before).then_some(Data::Map(values))
    }

    /// Checks the value of an option, with its least number of items.
    pub(crate) fn field(&mut self, slot: Slot<'_>, field: &Field) -> Option<Value> {
        let value = self.value(slot, &field.kind)?;
        let count = match &value.data {
            Data::List(items) => items.len(),
            Data::Map(map) if matches!(field.kind, Kind::Map(..)) => map.len(),
            _ => return Some(value),
        };
        if count >= field.at_least {
            return Some(value);
        }
        let message = format!("`{}` has {}", slot.path, items(count));
        let reason = format!("expected at least {}", field.at_least);
        let problem = Diagnostic::error(Code::OutOfRange, message, self.place(slot), reason);
        self.problems.push(problem.with_help(format!("For example {}.", code(&field.example()))));
        None
    }

    fn unset(&mut self, name: &str, field: &Field, path: &str, place: &Place) -> Option<Value> {
        if let Some(data) = unset_data(field) {
            return Some(Value::default(data));
        }
        let table = if path.is_empty() { "the file".to_owned() } else { code(path) };
        let message = format!("{table} lacks `{name}`");
        let reason = format!("expected `{name}`, {}", field.kind.expected());
        let help = format!("Add {}.", code(&format!("{name} = {}", field.example())));
        let problem = Diagnostic::error(Code::MissingKey, message, place.clone(), reason);
        self.reject(problem.with_help(help))
    }

    fn integer(&mut self, slot: Slot<'_>, found: &DeInteger<'_>, kind: &Kind) -> Option<Data> {
        let parsed = i64::from_str_radix(found.as_str(), found.radix()).ok();
        let Kind::Integer { min, max } = kind else { return None };
        if let Some(number) = parsed.filter(|number| (min..=max).contains(&number)) {
            return Some(Data::Integer(number));
        }
        let message = format!("{} is out of range", code(&found.to_string()));
        let reason = format!("expected {}", kind.expected());
        self.reject(Diagnostic::error(Code::OutOfRange, message, self.place(slot), reason))
    }

    fn word(&mut self, slot: Slot<'_>, found: &str, words: &[String]) -> Option<Data> {
        if words.iter().any(|word| word == found) {
            return Some(Data::Text(found.to_owned()));
        }
        let message = format!("{} is not a value of `{}`", code(found), slot.path);
        let reason = format!("expected {}", quoted(words));
        let near = did_you_mean(found, words.iter().map(String::as_str));
        let problem = Diagnostic::error(Code::InvalidValue, message, self.place(slot), reason);
        self.reject(problem.with_help_if(near))
    }

    fn text(&mut self, slot: Slot<'_>, text: &str, format: Format) -> Option<Data> {
        let place = self.place(slot);
        let number = || format.number(text).map(Data::Integer);
        self.form(text, format, place)
            .then(|| number().unwrap_or_else(|| Data::Text(text.to_owned())))
    }

    /// Whether `text` has the form; notes the problem if not.
    fn form(&mut self, text: &str, format: Format, place: Place) -> bool {
        let Err(error) = format.check(text) else { return true };
        let reason = format!("expected {}", format.info().expected);
        let help = match error.suggestion() {
            Some(suggestion) => format!("Write {}.", code(&suggestion)),
            None => format!("For example {}.", code(format.info().example)),
        };
        let problem = Diagnostic::error(Code::InvalidValue, error.to_string(), place, reason);
        self.problems.push(problem.with_help(help));
        false
    }

    fn secret(&mut self, slot: Slot<'_>, table: &DeTable<'_>) -> Option<Data> {
        let name = table.get("secret").map(toml::Spanned::get_ref).and_then(DeValue::as_str);
        match name {
            Some(name) if table.len() == 1 && is_secret_name(name) => {
                Some(Data::Secret(name.to_owned()))
            }
            _ => {
                let message = format!("`{}` is not a reference to a secret", slot.path);
                let reason = "expected `{ secret = \"group/name\" }`";
                let place = Place::new(self.source, slot.raw.span());
                self.reject(Diagnostic::error(Code::InvalidValue, message, place, reason))
            }
        }
    }

    fn list(&mut self, slot: Slot<'_>, items: &DeArray<'_>, of: &Kind) -> Option<Data> {
        self.check_count(slot, items.len())?;
        let mut values = Vec::with_capacity(items.len());
        let mut good = true;
        for (index, raw) in items.iter().enumerate() {
            let path = format!("{}[{index}]", slot.path);
            match self.value(Slot { raw, path: &path, key: None }, of) {
                Some(value) => values.push(value),
                None => good = false,
            }
        }
        good.then_some(Data::List(values))
    }

    fn map(
        &mut self,
        slot: Slot<'_>,
        table: &DeTable<'_>,
        name: Format,
        of: &Kind,
    ) -> Option<Data> {
        self.check_count(slot, table.len())?;
        let mut values = BTreeMap::new();
        let mut good = true;
        for (key, raw) in table {
            let text = key.get_ref().as_ref();
            good &= self.form(text, name, self.at(key));
            let path = join(slot.path, text);
            match self.value(Slot { raw, path: &path, key: Some(key) }, of) {
                Some(value) => drop(values.insert(text.to_owned(), value)),
                None => good = false,
            }
        }
        good.then_some(Data::Map(values))
    }

    fn check_count(&mut self, slot: Slot<'_>, count: usize) -> Option<()> {
        if count <= ITEMS_MAX {
            return Some(());
        }
        let message = format!("`{}` has {}", slot.path, items(count));
        let reason = format!("expected at most {ITEMS_MAX}");
        self.reject(Diagnostic::error(Code::OutOfRange, message, self.place(slot), reason))
    }

    fn wrong_type<T>(&mut self, slot: Slot<'_>, kind: &Kind) -> Option<T> {
        let found = type_name(slot.raw.get_ref());
        let message = format!("`{}` is {found}", slot.path);
        let reason = format!("expected {}", kind.expected());
        let place = self.place(slot);
        let problem = Diagnostic::error(Code::WrongType, message, place, reason);
        let written = &self.source.text[slot.raw.span()];
        let help = match converted(written, slot.raw.get_ref(), kind) {
            Some(text) => format!("Write {}.", code(&text)),
            None => format!("For example {}.", code(&kind.example())),
        };
        self.reject(problem.with_help(help))
    }

    fn reject<T>(&mut self, problem: Diagnostic) -> Option<T> {
        self.problems.push(problem);
        None
    }

    fn at(&self, key: &Key<'_>) -> Place {
        Place::new(self.source, key.span())
    }

    /// Tables are shown by their key, everything else by itself.
    fn place(&self, slot: Slot<'_>) -> Place {
        match (slot.key, slot.raw.get_ref()) {
            (Some(key), DeValue::Table(_)) => self.at(key),
            _ => Place::new(self.source, slot.raw.span()),
        }
    }
}

/// What an option has that is not set; `None` when it must be.
pub(crate) fn unset_data(field: &Field) -> Option<Data> {
    match (&field.presence, &field.kind) {
        (Presence::Default { data, .. }, _) => Some(data.clone()),
        (Presence::Required, _) => None,
        (Presence::Optional, Kind::List(_)) => Some(Data::List(Vec::new())),
        (Presence::Optional, Kind::Map(..)) => Some(Data::Map(BTreeMap::new())),
        (Presence::Optional, Kind::Record(record)) => {
            Some(defaults(record).unwrap_or(Data::Absent))
        }
        (Presence::Optional, _) => Some(Data::Absent),
    }
}

/// A record of which nothing is set; `None` when something must be.
fn defaults(record: &Record) -> Option<Data> {
    let value = |(name, field): (&String, &Field)| {
        unset_data(field).map(|data| (name.clone(), Value::default(data)))
    };
    record.options.iter().map(value).collect::<Option<_>>().map(Data::Map)
}

/// The problem of a key that nothing has.
pub(crate) fn unknown_key<'k>(
    place: Place,
    key: &str,
    table: &str,
    known: impl Iterator<Item = &'k str> + Clone,
) -> Diagnostic {
    const LISTED_MAX: usize = 8;
    let (message, reason) = if table.is_empty() {
        (format!("{} is not a section of a host file", code(key)), "no module has this section")
    } else {
        (format!("{} is not an option of `{table}`", code(key)), "no such option")
    };
    let help = did_you_mean(key, known.clone()).or_else(|| {
        let all: Vec<_> = known.map(str::to_owned).collect();
        (all.len() <= LISTED_MAX && !all.is_empty()).then(|| format!("Known are {}.", quoted(&all)))
    });
    let help = help.unwrap_or_else(|| "All options are listed in docs/options.md.".to_owned());
    Diagnostic::error(Code::UnknownKey, message, place, reason).with_help(help)
}

/// `table.key`, the key in quotes where TOML needs them.
pub(crate) fn join(table: &str, key: &str) -> String {
    let bare = |c: u8| c.is_ascii_alphanumeric() || b"_-".contains(&c);
    let plain = !key.is_empty() && key.bytes().all(bare);
    let key = if plain { key.to_owned() } else { format!("\"{}\"", printable(key)) };
    if table.is_empty() { key } else { format!("{table}.{key}") }
}

fn items(count: usize) -> String {
    if count == 1 { "1 item".to_owned() } else { format!("{count} items") }
}

fn code(text: &str) -> String {
    format!("`{}`", printable(text))
}

fn type_name(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "text",
        DeValue::Integer(_) => "a number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "`true` or `false`",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

/// What was written, in the type that was expected, if that is plain to see.
fn converted(written: &str, found: &DeValue<'_>, kind: &Kind) -> Option<String> {
    let scalar = !matches!(found, DeValue::Array(_) | DeValue::Table(_));
    match (kind, found) {
        (Kind::Integer { min, max }, DeValue::String(text)) => {
            let number: i64 = text.trim().parse().ok()?;
            (min..=max).contains(&&number).then(|| number.to_string())
        }
        (Kind::Bool, DeValue::String(text)) => match text.to_lowercase().as_str() {
            "true" | "yes" | "on" => Some("true".to_owned()),
            "false" | "no" | "off" => Some("false".to_owned()),
            _ => None,
        },
        (Kind::Text(format), _) if scalar => {
            format.check(written).is_ok().then(|| format!("\"{written}\""))
        }
        (Kind::List(of), _) if scalar => match (of.as_ref(), found) {
            (Kind::Text(_) | Kind::Enum(_), DeValue::String(_))
            | (Kind::Integer { .. }, DeValue::Integer(_)) => Some(format!("[{written}]")),
            _ => None,
        },
        _ => None,
    }
}
