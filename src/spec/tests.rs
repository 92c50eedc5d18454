//! Host files and modules of the tests, read.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use expect_test::{Expect, expect, expect_file};
use proptest::prelude::*;

use super::*;
use crate::diag::{Look, Problems, Source, render};

mod files;
mod modules;
mod values;

/// A host file that needs every kind of value; the module is a test's own.
const MODULE: &str = r#"
[module]
name = "demo"
summary = "Has an option of every kind."

[sections.demo]
doc = "The section."
[sections.demo.options.name]
type = "host-name"
required = true
doc = "A name."
[sections.demo.options.port]
type = "port"
default = 80
doc = "A port."
[sections.demo.options.mode]
type = "enum<fast|slow>"
default = "slow"
doc = "A word."
[sections.demo.options.on]
type = "bool"
doc = "A switch."
[sections.demo.options.size]
type = "size"
doc = "A size."
[sections.demo.options.token]
type = "secret"
doc = "A secret."
[sections.demo.options.words]
type = "list<word>"
at_least = 2
default = ["a", "b"]
doc = "Words."
[sections.demo.options.sites]
type = "map<domain, record>"
doc = "Sites."
[sections.demo.options.sites.options.to]
type = "endpoint"
required = true
doc = "A place."
"#;

fn user_module(name: &str, manifest: &str) -> UserModules {
    let files = [("module.toml", manifest), (CONTRIBUTE, "")];
    let files = files.map(|(name, text)| (name.to_owned(), text.to_owned()));
    UserModules::from([(name.to_owned(), ModuleFiles::from(files))])
}

fn read(text: &str, modules: &UserModules) -> Result<HostSpec, String> {
    let mut problems = Problems::default();
    let modules = Modules::load(modules, &mut problems);
    let spec = read_host(&Source::new("hosts/a.toml", text), None, &modules, &mut problems);
    spec.filter(|_| !problems.has_errors())
        .ok_or_else(|| render(&problems.into_sorted(), Look::Plain))
}

/// The problems of a `[demo]` section.
#[track_caller]
fn check(demo: &str, expected: &Expect) {
    let text = format!("[host]\nname = \"a\"\nrelease = \"trixie\"\n[demo]\n{demo}");
    match read(&text, &user_module("demo", MODULE)) {
        Ok(spec) => expected.assert_eq(&format!("{:#?}", plain(&spec.sections["demo"]))),
        Err(problems) => expected.assert_eq(&problems),
    }
}

/// The problems of a whole host file.
#[track_caller]
fn check_file(text: &str, expected: &Expect) {
    expected.assert_eq(&read(text, &UserModules::new()).unwrap_err());
}

/// The problems of a module.
#[track_caller]
fn check_module(manifest: &str, expected: &Expect) {
    let mut problems = Problems::default();
    Modules::load(&user_module("demo", manifest), &mut problems);
    expected.assert_eq(&render(&problems.into_sorted(), Look::Plain));
}

fn plain(value: &Value) -> String {
    match &value.data {
        Data::Absent => "-".to_owned(),
        Data::Bool(yes) => yes.to_string(),
        Data::Integer(number) => number.to_string(),
        Data::Text(text) => text.clone(),
        Data::Secret(name) => format!("secret {name}"),
        Data::List(items) => format!("{:?}", items.iter().map(plain).collect::<Vec<_>>()),
        Data::Map(map) => {
            let pairs = map.iter().map(|(key, value)| format!("{key}: {}", plain(value)));
            format!("{{{}}}", pairs.collect::<Vec<_>>().join(", "))
        }
    }
}
