//! The page of all options, made from the schemas.

use std::fmt::Write as _;

use super::check::join;
use super::format::Format;
use super::module::{Activation, Module, Modules};
use super::schema::{Field, Kind, Presence, Record};

/// `docs/options.md`: every section and option of `modules`, and every form that text may take.
pub fn options_page(modules: &Modules) -> String {
    let mut page = String::from(
        "# Options of a host file\n\n\
         Made from the schemas in `modules/*/module.toml`; a test checks that this page is current.\n\
         Types of text are explained at the end.\n",
    );
    for module in modules.by_name.values() {
        module_part(&mut page, module);
    }
    page.push_str("\n## Types of text\n\n| type | expected | example |\n|---|---|---|\n");
    for format in Format::ALL {
        let info = format.info();
        let expected = info.expected.replace('|', "\\|");
        line(&mut page, &format!("| `{}` | {expected} | `{}` |", info.name, info.example));
    }
    page
}

/// A table of the options of one record, for pages about records that no host file has.
pub(crate) fn record_table(page: &mut String, record: &Record, path: &str) {
    let mut options: Vec<_> = record.options.iter().collect();
    options.sort_by_key(|(_, field)| field.rank);
    line(page, "\n| option | type | when not set | |\n|---|---|---|---|");
    for (name, field) in &options {
        let kind = field.kind.to_string().replace('|', "\\|");
        let unset = unset(field).replace('|', "\\|");
        let doc = field.doc.replace('\n', " ").replace('|', "\\|");
        line(page, &format!("| `{name}` | `{kind}` | {unset} | {doc} |"));
    }
    for (name, field) in options {
        if let Some(inner) = field.kind.innermost_record() {
            let path = path_of(path, name, &field.kind);
            line(page, &format!("\n**`{path}`**"));
            record_table(page, inner, &path);
        }
    }
}

fn module_part(page: &mut String, module: &Module) {
    let when = match module.activation {
        Activation::Always => "Takes part in every host.",
        Activation::Section => "Takes part when one of its sections is there.",
    };
    line(page, &format!("\n## Module `{}`\n\n{} {when}", module.name, module.summary));
    let mut sections: Vec<_> = module.sections.iter().collect();
    sections.sort_by_key(|(_, field)| field.rank);
    for (name, field) in sections {
        let path = path_of("", name, &field.kind);
        let header = if matches!(field.kind, Kind::List(_)) {
            format!("[[{name}]]")
        } else {
            format!("[{path}]")
        };
        line(page, &format!("\n### `{header}`\n\n{}", field.doc));
        if let Some(example) = &field.example {
            line(page, &format!("\nExample: `{name} = {example}`"));
        }
        if let Some(record) = field.kind.innermost_record() {
            record_table(page, record, &path);
        }
    }
}

fn path_of(table: &str, name: &str, kind: &Kind) -> String {
    let path = join(table, name);
    match kind {
        Kind::Map(key, _) => format!("{path}.<{}>", key.info().name),
        _ => path,
    }
}

fn unset(field: &Field) -> String {
    match &field.presence {
        Presence::Required => "must be set".to_owned(),
        Presence::Default { written, .. } => format!("`{written}`"),
        Presence::Optional => match &field.kind {
            Kind::List(_) | Kind::Map(..) => "empty".to_owned(),
            Kind::Record(_) => "defaults".to_owned(),
            _ => "not set".to_owned(),
        },
    }
}

fn line(page: &mut String, text: &str) {
    writeln!(page, "{text}").expect("writing to a String cannot fail");
}
