//! Templates of a module: compiled once, rendered strictly.
//!
//! Undefined variables are errors, also in conditions. What is printed without a filter must be
//! [plain](quote::is_plain): Tera's hook for HTML escaping is used as a guard, so a value that could
//! mean something in the file's language stops the rendering instead of ending up in it.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{Error as IoError, ErrorKind as IoKind, Write};
use std::sync::Arc;

use tera::{Context, ErrorKind, Kwargs, State, Tera, TeraResult, Value};

use super::quote;
use crate::diag::{Code, Diagnostic, Place, Position, Source, printable};
use crate::spec::{FILE_BYTES_MAX, Format, Module, seconds};

/// The templates of one module.
pub(super) struct Engine<'m> {
    tera: Tera,
    module: &'m Module,
}

/// A rendered template, as text that problems can point at.
pub(super) type Rendered = Arc<Source>;

impl<'m> Engine<'m> {
    /// Compiles all templates of `module`.
    pub(super) fn new(module: &'m Module) -> Result<Self, Box<Diagnostic>> {
        let mut tera = Tera::new();
        tera.autoescape_on([""]);
        tera.set_escape_fn(refuse_special);
        register_filters(&mut tera);
        let is_template = |name: &str| Format::Template.check(name).is_ok();
        let templates = module.templates.iter().filter(|(name, _)| is_template(name));
        let added = tera.add_raw_templates(templates.map(|(name, source)| (name, &source.text)));
        match added {
            Ok(()) => Ok(Self { tera, module }),
            Err(error) => Err(Box::new(compile_problem(module, &error))),
        }
    }

    /// Renders `template`, which the module has.
    pub(super) fn render(
        &self,
        template: &str,
        context: &Context,
    ) -> Result<Rendered, Box<Diagnostic>> {
        self.check_variables(template, context)?;
        let mut output = Bounded { text: Vec::new() };
        let result = self.tera.render_to(template, context, &mut output);
        let text = String::from_utf8_lossy(&output.text).into_owned();
        let rendered = Source::new(format!("{} (rendered)", self.path(template)), text);
        match result {
            Ok(()) => Ok(rendered),
            Err(error) => Err(Box::new(self.render_problem(template, &error, &rendered))),
        }
    }

    /// Tera takes an undefined variable in a condition for false; here a slip is an error.
    fn check_variables(&self, template: &str, context: &Context) -> Result<(), Box<Diagnostic>> {
        let used = self.tera.get_template_variables(template);
        let used: BTreeSet<&str> = used.into_iter().flatten().collect();
        let Some(unknown) = used.into_iter().find(|name| !context.contains_key(name)) else {
            return Ok(());
        };
        let source = &self.module.templates[template];
        let start = find_word(&source.text, unknown).unwrap_or(0);
        let place = Place::new(source, start..start + unknown.len());
        let message = format!("the template has an unknown variable `{}`", printable(unknown));
        let reason = "expected a section of the module, `host`, `with`, or in `consume` also `all`";
        Err(Box::new(Diagnostic::error(Code::Template, message, place, reason)))
    }

    fn render_problem(
        &self,
        template: &str,
        error: &tera::Error,
        rendered: &Rendered,
    ) -> Diagnostic {
        if let Some(problem) = reported(self.module, error) {
            return problem;
        }
        // The guard and the size limit: Tera has no position for what happens while it writes.
        let cause = std::error::Error::source(error).map(ToString::to_string);
        let message = cause.unwrap_or_else(|| first_line(&error.to_string()));
        let end = rendered.text.len();
        let line_start = rendered.text.rfind('\n').map_or(0, |newline| newline + 1);
        let reason = format!("after this, in `{}`", self.path(template));
        let place = Place::new(rendered, line_start..end);
        Diagnostic::error(Code::Template, message, place, reason)
    }

    fn path(&self, template: &str) -> &str {
        &self.module.templates[template].path
    }
}

fn compile_problem(module: &Module, error: &tera::Error) -> Diagnostic {
    reported(module, error).unwrap_or_else(|| {
        let text = error.to_string();
        let message = first_line(text.strip_prefix("error: ").unwrap_or(&text));
        let place = located(module, &text).unwrap_or(Place::start_of(&module.manifest));
        Diagnostic::error(Code::Template, message, place, "in a template of this module")
    })
}

/// The place in a report that Tera gives as text alone: ` --> name:line:column`.
fn located(module: &Module, report: &str) -> Option<Place> {
    let (_, location) = report.split_once("--> ")?;
    let mut parts = location.lines().next()?.trim_end_matches(']').rsplitn(3, ':');
    let column = parts.next()?.parse().ok()?;
    let line = parts.next()?.parse().ok()?;
    let source = module.templates.get(parts.next()?)?;
    let start = source.offset(Position { line, column });
    Some(Place::new(source, start..start + 1))
}

/// Where `word` stands in `text` as a whole word.
fn find_word(text: &str, word: &str) -> Option<usize> {
    let part_of_name = |c: char| c.is_alphanumeric() || c == '_';
    let mut found = text.match_indices(word).map(|(start, _)| start);
    found.find(|start| {
        !text[..*start].ends_with(part_of_name)
            && !text[start + word.len()..].starts_with(part_of_name)
    })
}

/// The problem with Tera's own position, if it gives one.
fn reported(module: &Module, error: &tera::Error) -> Option<Diagnostic> {
    let (ErrorKind::SyntaxError(report) | ErrorKind::RenderingError(report)) = error.kind() else {
        return None;
    };
    let source = module.templates.get(report.filename())?;
    let span = report.span();
    let at = |line, column| source.offset(Position { line, column: column + 1 });
    let start = at(span.start_line, span.start_col);
    let place = Place::new(source, start..at(span.end_line, span.end_col).max(start));
    let message = first_line(report.message());
    Some(Diagnostic::error(Code::Template, message, place, "in this expression"))
}

/// Rendered text up to the size of any file.
struct Bounded {
    text: Vec<u8>,
}

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.text.len() + bytes.len() > FILE_BYTES_MAX {
            return Err(IoError::new(IoKind::FileTooLarge, "the template yields more than 1 MiB"));
        }
        self.text.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn refuse_special(text: &str, output: &mut dyn Write) -> std::io::Result<()> {
    if quote::is_plain(text) {
        return output.write_all(text.as_bytes());
    }
    let message = format!("`{}` is printed without a filter that quotes it", printable(text));
    Err(IoError::new(IoKind::InvalidInput, message))
}

fn register_filters(tera: &mut Tera) {
    tera.register_filter("toml", |value: &Value, _: Kwargs, _: &State| {
        Ok::<_, tera::Error>(Value::safe_string(&toml_value(value)?))
    });
    tera.register_filter("systemd", |text: &str, _: Kwargs, _: &State| {
        safe(quote::systemd_value(text))
    });
    tera.register_filter("systemd_words", |items: &Value, _: Kwargs, _: &State| {
        let quoted: Result<Vec<_>, _> =
            texts(items)?.into_iter().map(quote::systemd_word).collect();
        safe(quoted.map(|words| words.join(" ")))
    });
    tera.register_filter("exec", |items: &Value, _: Kwargs, _: &State| {
        safe(quote::systemd_exec(texts(items)?))
    });
    tera.register_filter("environment", |map: &Value, _: Kwargs, _: &State| environment(map));
    tera.register_filter("caddy", |text: &str, _: Kwargs, _: &State| safe(quote::caddy(text)));
    tera.register_filter("nft", |text: &str, _: Kwargs, _: &State| safe(quote::nft(text)));
    tera.register_filter("words", |items: &Value, _: Kwargs, _: &State| {
        safe(quote::words(texts(items)?))
    });
    tera.register_filter("endpoint", |text: &str, _: Kwargs, _: &State| endpoint(text));
    tera.register_filter("seconds", |text: &str, _: Kwargs, _: &State| {
        seconds(text).ok_or_else(|| tera::Error::message("the filter takes a length of time"))
    });
    tera.register_filter("octal", |mode: i64, _: Kwargs, _: &State| format!("{mode:04o}"));
    tera.register_filter("text", |text: &str, _: Kwargs, _: &State| Value::safe_string(text));
}

fn safe(quoted: Result<String, quote::QuoteError>) -> TeraResult<Value> {
    quoted.map(|text| Value::safe_string(&text)).map_err(tera::Error::message)
}

/// `ADDRESS:PORT` taken apart; `reach` is where the machine itself reaches it.
fn endpoint(text: &str) -> TeraResult<Value> {
    let refuse = |_| tera::Error::message("the filter takes `ADDRESS:PORT`");
    let endpoint: core::net::SocketAddr = text.parse().map_err(refuse)?;
    let reach = match endpoint.ip() {
        IpAddr::V4(address) if address.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(address) if address.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        address => address,
    };
    Ok(Value::from(BTreeMap::from([
        ("address", Value::from(endpoint.ip().to_string())),
        ("port", Value::from(endpoint.port())),
        ("reach", Value::from(reach.to_string())),
    ])))
}

fn texts(items: &Value) -> TeraResult<Vec<&str>> {
    let array = items.as_array();
    let texts = array.and_then(|items| items.iter().map(Value::as_str).collect::<Option<_>>());
    texts.ok_or_else(|| tera::Error::message("the filter takes a list of texts"))
}

fn environment(map: &Value) -> TeraResult<Value> {
    let refuse = || tera::Error::message("the filter takes a table of texts");
    let mut words = Vec::new();
    for (name, value) in map.as_map().ok_or_else(refuse)? {
        let name = name.as_str().ok_or_else(refuse)?;
        let value = value.as_str().ok_or_else(refuse)?;
        words.push(quote::environment(name, value).map_err(tera::Error::message)?);
    }
    Ok(Value::safe_string(&words.join(" ")))
}

/// A value as TOML.
fn toml_value(value: &Value) -> TeraResult<String> {
    if let Some(text) = value.as_str() {
        return Ok(quote::toml_string(text));
    }
    if let Some(items) = value.as_array() {
        let items: TeraResult<Vec<_>> = items.iter().map(toml_value).collect();
        return Ok(format!("[{}]", items?.join(", ")));
    }
    if let Some(map) = value.as_map() {
        let mut pairs = Vec::new();
        for (key, value) in map {
            let key = key.as_str().unwrap_or_default();
            pairs.push(format!("{} = {}", quote::toml_string(key), toml_value(value)?));
        }
        return Ok(format!("{{ {} }}", pairs.join(", ")));
    }
    if value.as_bool().is_some() || value.as_i128().is_some() {
        return Ok(value.to_string());
    }
    Err(tera::Error::message(
        "an option that is not set has no value in TOML; ask `{% if … %}` first",
    ))
}

/// Tera's messages may quote the template: a line of them, without control characters.
fn first_line(text: &str) -> String {
    const CHARS_MAX: usize = 200;
    let line = text.lines().next().unwrap_or_default();
    line.chars().filter(|char| !char.is_control()).take(CHARS_MAX).collect()
}
