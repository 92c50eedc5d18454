//! `module.toml` → what a module is: its sections and their option schemas.
//!
//! ```toml
//! [module]
//! name = "example"
//! summary = "One line."
//! activation = "section"        # or "always"
//! replaces = false              # true to replace a built-in module of this name
//!
//! [sections.example]            # the top-level table `[example]` of a host file
//! doc = "What it is."
//! type = "record"               # the default; also "map<slug, record>", "list<record>"
//!
//! [sections.example.options.port]
//! type = "port"
//! doc = "What it does."
//! default = 80                  # or `required = true`, or neither: not set
//! example = "8080"              # as TOML, for the documentation
//! at_least = 0                  # fewest items of a list
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;

use toml::de::{DeTable, DeValue};

use super::check::{Checker, Slot, join, unknown_key};
use super::document::{self, Key, Raw};
use super::format::Format;
use super::kind::parse_kind;
use super::schema::{Field, Kind, Presence, Record};
use crate::diag::{Code, Diagnostic, Place, Problems, Source};

/// Deepest nesting of records.
const DEPTH_MAX: usize = 6;

/// What a `module.toml` says.
#[derive(Debug)]
pub(super) struct Manifest {
    pub(super) name: String,
    pub(super) summary: String,
    pub(super) always: bool,
    pub(super) replaces: bool,
    pub(super) sections: BTreeMap<String, Field>,
}

/// Reads a `module.toml`; `None` when problems were noted.
pub(super) fn parse_manifest(source: &Arc<Source>, problems: &mut Problems) -> Option<Manifest> {
    let before = problems.len();
    let root = document::parse(source, problems)?;
    let mut reader = Reader { source, problems };
    reader.only(&root, &["module", "sections"], "");
    let module = reader.table(&root, "module").unwrap_or_default();
    reader.only(&module, &["name", "summary", "activation", "replaces"], "module");
    let activation = reader.text(&module, "activation").unwrap_or("section".to_owned());
    if !["always", "section"].contains(&activation.as_str()) {
        let place = reader.key_place(&module, "activation");
        reader.bad(place, "this is not an activation", "expected `always` or `section`");
    }
    let name = reader.required(&module, "name", source);
    let summary = reader.required(&module, "summary", source);
    let sections = reader.table(&root, "sections").unwrap_or_default();
    let sections = reader.fields(&sections, "sections", 0);
    let replaces = reader.flag(&module, "replaces");
    (reader.problems.len() == before).then(|| Manifest {
        name: name.unwrap_or_default(),
        summary: summary.unwrap_or_default(),
        always: activation == "always",
        replaces,
        sections,
    })
}

/// Reads a file that has options alone, as the schema of fragments is one.
pub(crate) fn parse_record(source: &Arc<Source>, problems: &mut Problems) -> Option<Record> {
    let before = problems.len();
    let root = document::parse(source, problems)?;
    let options = Reader { source, problems }.fields(&root, "", 0);
    (problems.len() == before).then_some(Record { options })
}

struct Reader<'a> {
    source: &'a Arc<Source>,
    problems: &'a mut Problems,
}

impl Reader<'_> {
    fn fields(&mut self, table: &DeTable<'_>, path: &str, depth: usize) -> BTreeMap<String, Field> {
        let mut fields = BTreeMap::new();
        for (key, raw) in table {
            let name = key.get_ref().as_ref();
            let good = Format::Slug.check(&name.replace('_', "-")).is_ok();
            if !good || depth > DEPTH_MAX {
                let reason = "expected `a-z`, `0-9`, `_`, and no deep nesting";
                self.bad(self.at(key), "this is not a name for an option", reason);
            } else if let Some(field) = self.field(key, raw, &join(path, name), depth) {
                fields.insert(name.to_owned(), field);
            }
        }
        fields
    }

    fn field(&mut self, key: &Key<'_>, raw: &Raw<'_>, path: &str, depth: usize) -> Option<Field> {
        const KEYS: &[&str] =
            &["type", "doc", "options", "default", "required", "example", "at_least"];
        let DeValue::Table(table) = raw.get_ref() else {
            self.bad(
                self.at(key),
                "this is not an option",
                "expected a table with `type` and `doc`",
            );
            return None;
        };
        self.only(table, KEYS, path);
        let mut kind = self.kind(table)?;
        match (self.table(table, "options"), innermost(&mut kind)) {
            (Some(options), Some(record)) => {
                record.options = self.fields(&options, &join(path, "options"), depth + 1);
            }
            (Some(_), None) => {
                let place = self.key_place(table, "options");
                self.bad(place, "only a record has options", "the type has no `record`");
            }
            (None, _) => {}
        }
        let doc = self.text(table, "doc").unwrap_or_default();
        if doc.is_empty() {
            self.bad(
                self.at(key),
                "this option has no `doc`",
                "expected `doc = \"What it does.\"`",
            );
        }
        let example = self.text(table, "example");
        if let Some(example) = &example {
            self.check_example(example, &kind, self.key_place(table, "example"));
        }
        let presence = self.presence(table, &kind, path)?;
        let at_least = self.count(table, "at_least");
        Some(Field { kind, doc, presence, example, at_least, rank: key.span().start })
    }

    fn kind(&mut self, table: &DeTable<'_>) -> Option<Kind> {
        let text = self.text(table, "type").unwrap_or("record".to_owned());
        match parse_kind(&text) {
            Ok(kind) => Some(kind),
            Err(reason) => {
                self.bad(self.key_place(table, "type"), "this is not a type", reason);
                None
            }
        }
    }

    fn presence(&mut self, table: &DeTable<'_>, kind: &Kind, path: &str) -> Option<Presence> {
        let required = self.flag(table, "required");
        let Some((key, raw)) = table.get_key_value("default") else {
            return Some(if required { Presence::Required } else { Presence::Optional });
        };
        if required {
            let reason = "leave one of `default` and `required` away";
            self.bad(self.at(key), "a required option has no default", reason);
            return None;
        }
        let mut checker = Checker { source: self.source, problems: self.problems };
        let value = checker.value(Slot { raw, path: &join(path, "default"), key: None }, kind)?;
        let written = self.source.text[raw.span()].to_owned();
        Some(Presence::Default { data: without_places(value.data), written })
    }

    /// Checks that an example is TOML of the option's type.
    fn check_example(&mut self, example: &str, kind: &Kind, place: Place) {
        let source = Source::new("example", format!("value = {example}\n"));
        let mut problems = Problems::default();
        if let Some(root) = document::parse(&source, &mut problems)
            && let Some((key, raw)) = root.get_key_value("value")
        {
            let slot = Slot { raw, path: "value", key: Some(key) };
            Checker { source: &source, problems: &mut problems }.value(slot, kind);
        }
        if let Some(problem) = problems.into_sorted().into_iter().next() {
            let reason = format!("{}: {}", problem.message, problem.primary.text);
            self.bad(place, "the example is not a value of the option", reason);
        }
    }

    fn only(&mut self, table: &DeTable<'_>, known: &[&str], path: &str) {
        let path = if path.is_empty() { "module.toml" } else { path };
        for key in table.keys().filter(|key| !known.contains(&key.get_ref().as_ref())) {
            let mut problem = unknown_key(self.at(key), key.get_ref(), path, known.iter().copied());
            problem.code = Code::ModuleManifest;
            self.problems.push(problem);
        }
    }

    fn table<'t>(&mut self, table: &DeTable<'t>, key: &str) -> Option<DeTable<'t>> {
        if let DeValue::Table(inner) = table.get(key)?.get_ref() {
            return Some(inner.clone());
        }
        let place = self.key_place(table, key);
        self.bad(place, format!("`{key}` is not a table"), "expected a table");
        None
    }

    fn text(&mut self, table: &DeTable<'_>, key: &str) -> Option<String> {
        if let DeValue::String(text) = table.get(key)?.get_ref() {
            return Some(text.to_string());
        }
        let place = self.key_place(table, key);
        self.bad(place, format!("`{key}` is not text"), "expected text in quotes");
        None
    }

    fn required(&mut self, table: &DeTable<'_>, key: &str, source: &Arc<Source>) -> Option<String> {
        let text = self.text(table, key).filter(|text| Format::Line.check(text).is_ok());
        if text.as_deref().is_none_or(str::is_empty) {
            let message = format!("`module.{key}` is missing");
            self.bad(Place::start_of(source), message, format!("expected `{key} = \"…\"`"));
        }
        text
    }

    fn flag(&mut self, table: &DeTable<'_>, key: &str) -> bool {
        match table.get(key).map(toml::Spanned::get_ref) {
            Some(DeValue::Boolean(yes)) => *yes,
            None => false,
            Some(_) => {
                let place = self.key_place(table, key);
                self.bad(place, format!("`{key}` is neither true nor false"), "expected `true`");
                false
            }
        }
    }

    fn count(&mut self, table: &DeTable<'_>, key: &str) -> usize {
        let Some(raw) = table.get(key) else { return 0 };
        let number = raw.get_ref().as_integer().and_then(|integer| integer.as_str().parse().ok());
        number.unwrap_or_else(|| {
            let place = self.key_place(table, key);
            self.bad(place, format!("`{key}` is not a count"), "expected a number");
            0
        })
    }

    fn bad(&mut self, place: Place, message: impl Into<String>, reason: impl Into<String>) {
        self.problems.push(Diagnostic::error(Code::ModuleManifest, message, place, reason));
    }

    fn at(&self, key: &Key<'_>) -> Place {
        Place::new(self.source, key.span())
    }

    fn key_place(&self, table: &DeTable<'_>, key: &str) -> Place {
        let span = table.get(key).map_or(0..0, toml::Spanned::span);
        Place::new(self.source, span)
    }
}

fn innermost(kind: &mut Kind) -> Option<&mut Record> {
    match kind {
        Kind::Record(record) => Some(record),
        Kind::List(of) | Kind::Map(_, of) => innermost(of),
        _ => None,
    }
}

/// A default is nobody's text: its values have no place.
fn without_places(data: super::Data) -> super::Data {
    use super::{Data, Value};
    let strip = |value: Value| Value::default(without_places(value.data));
    match data {
        Data::List(items) => Data::List(items.into_iter().map(strip).collect()),
        Data::Map(map) => Data::Map(map.into_iter().map(|(k, v)| (k, strip(v))).collect()),
        other => other,
    }
}
