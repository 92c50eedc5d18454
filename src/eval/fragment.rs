//! What one template yields: rendered, parsed strictly, typed.

use std::sync::{Arc, LazyLock};

use tera::Context;

use super::context;
use super::item::Item;
use super::secrets::{SecretDemand, SecretTemplate};
use super::system::{
    File, Group, Interface, Mount, Origin, Port, Route, Tmpfile, Traced, Unit, User,
};
use super::template::Engine;
use crate::diag::{Code, Diagnostic, Place, Problems, Severity, Source, closest, printable};
use crate::health::{Check, Vantage};
use crate::spec::check::Checker;
use crate::spec::document;
use crate::spec::{
    Data, Field, Format, HostSpec, Kind, Module, PackageName, Presence, Record, UnitName, UserName,
    Value, parse_record,
};
use crate::tree::TreePath;

/// The schema of fragments, in the language of `module.toml`.
static SCHEMA: LazyLock<Record> = LazyLock::new(|| {
    let source = Source::new("src/eval/fragment.toml", include_str!("fragment.toml"));
    let mut problems = Problems::default();
    let record = parse_record(&source, &mut problems);
    with_from(record.expect("a test reads the schema of fragments"))
});

/// What only first-stage templates may yield, because second-stage templates see it.
const SEEN_BY_CONSUMERS: &[&str] = &["groups", "interfaces", "ports", "routes", "users"];

/// Items of one template, in its order.
#[derive(Debug, Default)]
pub(super) struct Fragment {
    pub(super) packages: Vec<(PackageName, Traced<()>)>,
    pub(super) files: Vec<(TreePath, Traced<File>)>,
    pub(super) units: Vec<(UnitName, Traced<Unit>)>,
    pub(super) users: Vec<(UserName, Traced<User>)>,
    pub(super) groups: Vec<(UserName, Traced<Group>)>,
    pub(super) ports: Vec<Traced<Port>>,
    pub(super) routes: Vec<(String, Traced<Route>)>,
    pub(super) interfaces: Vec<(String, Traced<Interface>)>,
    pub(super) checks: Vec<(String, Traced<Check>)>,
    pub(super) backups: Vec<(String, Traced<()>)>,
    pub(super) sysctl: Vec<(String, Traced<String>)>,
    pub(super) kernel_arguments: Vec<Traced<String>>,
    pub(super) kernel_modules: Vec<(String, Traced<()>)>,
    pub(super) tmpfiles: Vec<((String, String), Traced<Tmpfile>)>,
    pub(super) mounts: Vec<(String, Traced<Mount>)>,
    pub(super) secrets: Vec<(String, Traced<SecretDemand>)>,
    pub(super) secret_templates: Vec<(String, Traced<SecretTemplate>)>,
}

/// One module in one stage.
pub(super) struct Stage<'a> {
    pub(super) spec: &'a HostSpec,
    pub(super) module: &'a Module,
    pub(super) engine: &'a Engine<'a>,
    pub(super) context: &'a Context,
    /// Whether it is the second stage.
    pub(super) consumes: bool,
}

/// The schema of fragments, for the documentation.
pub(super) fn schema() -> &'static Record {
    &SCHEMA
}

impl Stage<'_> {
    /// Renders and reads `template`; `None` when the fragment could not be read at all.
    pub(super) fn read(&self, template: &str, problems: &mut Problems) -> Option<Fragment> {
        let rendered = problems.keep(self.engine.render(template, self.context))?;
        let items = self.check(&rendered, problems)?;
        let mut fragment = Fragment::default();
        for (kind, list) in items.pairs() {
            for item in list.items() {
                if self.consumes && SEEN_BY_CONSUMERS.contains(&kind.as_str()) {
                    problems.push(self.stage_problem(kind, item));
                } else {
                    let result = self.take(&mut fragment, kind, item);
                    problems.keep(result);
                }
            }
        }
        Some(fragment)
    }

    /// The rendered text against the schema; problems are those of the module.
    fn check(&self, rendered: &Arc<Source>, problems: &mut Problems) -> Option<Value> {
        let mut own = Problems::default();
        let place = Place::start_of(rendered);
        let root = document::parse(rendered, &mut own);
        let checked = root.filter(|_| own.is_empty()).and_then(|root| {
            let mut checker = Checker { source: rendered, problems: &mut own };
            checker.record(&root, &SCHEMA, "fragment", &place)
        });
        let failed = own.has_errors();
        for mut problem in own.into_sorted() {
            let found = format!("{}: {}", self.module.name, problem.message);
            problem.message = format!("module {found}");
            problem.code = Code::Fragment;
            problems.push(problem);
        }
        checked.filter(|_| !failed).map(Value::default)
    }

    fn take(
        &self,
        fragment: &mut Fragment,
        kind: &str,
        value: &Value,
    ) -> Result<(), Box<Diagnostic>> {
        let item = Item(value);
        let origin = self.origin(value)?;
        let name = |key: &str| item.text(key).to_owned();
        match kind {
            "packages" => {
                let package = PackageName::new(item.text("name")).expect("checked by the schema");
                fragment.packages.push((package, traced((), origin)));
            }
            "files" => fragment.files.push(self.file(item, origin)?),
            "links" => {
                let link = File::Link { target: name("target") };
                fragment.files.push((tree_path(item, &origin)?, traced(link, origin)));
            }
            "units" | "dropins" => fragment.units.push(self.unit(kind, item, origin)?),
            "users" => {
                let user = item.user("name").expect("checked by the schema");
                fragment.users.push((user, traced(item.to_user(), origin)));
            }
            "groups" => {
                let group = item.user("name").expect("checked by the schema");
                fragment.groups.push((group, traced(item.to_group(), origin)));
            }
            "ports" => fragment.ports.push(traced(item.to_port(), origin)),
            "routes" => fragment.routes.push((name("domain"), traced(item.to_route(), origin))),
            "interfaces" => {
                fragment.interfaces.push((name("name"), traced(item.to_interface(), origin)));
            }
            "checks" => {
                let check = traced(self.health_check(item)?, origin);
                fragment.checks.push((name("name"), check));
            }
            "backups" => fragment.backups.push((name("name"), traced((), origin))),
            "sysctl" => fragment.sysctl.push((name("key"), traced(name("value"), origin))),
            "kernel_arguments" => fragment.kernel_arguments.push(traced(name("argument"), origin)),
            "kernel_modules" => fragment.kernel_modules.push((name("name"), traced((), origin))),
            "tmpfiles" => {
                let key = (name("path"), name("type"));
                fragment.tmpfiles.push((key, traced(item.to_tmpfile(), origin)));
            }
            "mounts" => fragment.mounts.push((name("where"), traced(item.to_mount(), origin))),
            "secrets" => fragment.secrets.push((name("name"), traced(item.to_secret(), origin))),
            "secret_templates" => fragment.secret_templates.push(self.template(item, origin)?),
            "problems" => return Err(Box::new(assertion(item, &origin))),
            other => unreachable!("the schema has no `{other}`"),
        }
        Ok(())
    }

    /// Who asked for `item`, by its `from`.
    fn origin(&self, item: &Value) -> Result<Origin, Box<Diagnostic>> {
        let fragment = item.place.clone().expect("an item of a fragment is written there");
        let from: Vec<&str> = Item(item).value("from").texts().collect();
        let sections = &self.spec.sections;
        let mut asked = &None;
        if let Some((section, rest)) = from.split_first() {
            let value = sections.get(*section);
            let value = value.ok_or_else(|| Box::new(self.unknown_section(item, section)))?;
            asked = &value.follow(rest.iter().copied()).place;
        }
        // A default that nobody wrote: the module is there because of one of its sections.
        let mut own = self.module.sections.keys();
        let asked =
            asked.clone().or_else(|| own.find_map(|name| sections.get(name)?.place.clone()));
        Ok(Origin { module: self.module.name.clone(), asked, fragment })
    }

    fn unknown_section(&self, item: &Value, section: &str) -> Diagnostic {
        let place = Item(item).value("from").place.clone();
        let place = place.or_else(|| item.place.clone()).expect("written in the fragment");
        let known = self.spec.sections.keys().map(String::as_str);
        let reason = match closest(section, known) {
            Some(near) => format!("expected a section, perhaps `{near}`"),
            None => "expected a section of a host file".to_owned(),
        };
        let message = format!("module {}: `from` names an unknown section", self.module.name);
        Diagnostic::error(Code::Fragment, message, place, reason)
    }

    fn file(
        &self,
        item: Item<'_>,
        origin: Origin,
    ) -> Result<(TreePath, Traced<File>), Box<Diagnostic>> {
        let path = tree_path(item, &origin)?;
        let content = match item.value("text").text() {
            Some(text) => text.to_owned(),
            None => self.rendered(item, &origin)?.ok_or_else(|| {
                let message = format!("module {}: a file without contents", self.module.name);
                let place = origin.fragment.clone();
                Diagnostic::error(Code::Fragment, message, place, "expected `template` or `text`")
            })?,
        };
        let file = File::Regular {
            content: content.into_bytes(),
            mode: item.number("mode").expect("it has a default"),
            owner: item.user("owner").expect("it has a default"),
            group: item.user("group").expect("it has a default"),
        };
        Ok((path, traced(file, origin)))
    }

    fn template(
        &self,
        item: Item<'_>,
        origin: Origin,
    ) -> Result<(String, Traced<SecretTemplate>), Box<Diagnostic>> {
        let text = match item.value("text").text() {
            Some(text) => text.to_owned(),
            None => self.rendered(item, &origin)?.unwrap_or_default(),
        };
        if let Err(error) = crate::secrets::parse_template(&text) {
            let message = error.to_string();
            let reason = "expected `{secret:NAME}`, or `{secret:NAME|env}`, `|json`, `|url`";
            let place = origin.place().clone();
            return Err(Box::new(Diagnostic::error(Code::InvalidValue, message, place, reason)));
        }
        let template = item.to_secret_template(text);
        Ok((item.text("name").to_owned(), traced(template, origin)))
    }

    fn unit(
        &self,
        kind: &str,
        item: Item<'_>,
        origin: Origin,
    ) -> Result<(UnitName, Traced<Unit>), Box<Diagnostic>> {
        let text = self.rendered(item, &origin)?;
        if kind == "units" {
            let name = item.unit_name("name").expect("checked by the schema");
            return Ok((name, traced(item.unit(text), origin)));
        }
        let name = item.unit_name("unit").expect("checked by the schema");
        let mut unit = Unit::default();
        unit.dropins.insert(item.text("name").to_owned(), text.unwrap_or_default());
        Ok((name, traced(unit, origin)))
    }

    /// The rendered `template` of an item; `None` when it has none.
    fn rendered(&self, item: Item<'_>, origin: &Origin) -> Result<Option<String>, Box<Diagnostic>> {
        let Some(template) = item.value("template").text() else { return Ok(None) };
        if !self.module.templates.contains_key(template) {
            let place = item.value("template").place.clone();
            let known = self.module.templates.keys().map(String::as_str);
            let message = format!("module {} has no template `{template}`", self.module.name);
            let place = place.unwrap_or_else(|| origin.fragment.clone());
            let problem = Diagnostic::error(Code::ModuleFile, message, place, "no such file");
            let near = crate::diag::did_you_mean(template, known);
            return Err(Box::new(problem.with_help_if(near)));
        }
        let context = context::with(self.context, &item.map("with"));
        match self.engine.render(template, &context) {
            Ok(rendered) => Ok(Some(rendered.text.clone())),
            Err(problem) => Err(Box::new(self.with_user_text(*problem, origin))),
        }
    }

    /// `problem` with the text of the host file that it names, or the option that asked.
    fn with_user_text(&self, problem: Diagnostic, origin: &Origin) -> Diagnostic {
        let own = self.module.sections.keys().filter_map(|name| self.spec.sections.get(name));
        let named = |text: &str| problem.message.starts_with(&format!("`{}` ", printable(text)));
        let text = own.flat_map(Value::leaves).find(|value| value.text().is_some_and(named));
        match text.map_or(&origin.asked, |value| &value.place).clone() {
            Some(place) => problem.with_label(place, "this text"),
            None => problem,
        }
    }

    fn health_check(&self, item: Item<'_>) -> Result<Check, Box<Diagnostic>> {
        let probe = item.to_probe().map_err(|needed| {
            let place = item.0.place.clone().expect("written in the fragment");
            let kind = item.text("kind");
            let message = format!("module {}: a check of kind `{kind}`", self.module.name);
            let reason = format!("expected `{needed}` too");
            Box::new(Diagnostic::error(Code::Fragment, message, place, reason))
        })?;
        let outside = item.text("vantage") == "outside";
        Ok(Check {
            name: item.text("name").to_owned(),
            probe,
            vantage: if outside { Vantage::Outside } else { Vantage::Inside },
            within_seconds: item.number("within").expect("it has a default"),
            in_test: item.flag("in_test"),
        })
    }

    fn stage_problem(&self, kind: &str, item: &Value) -> Diagnostic {
        let message = format!("module {}: `{kind}` in the second stage", self.module.name);
        let place = item.place.clone().expect("written in the fragment");
        let problem = Diagnostic::error(Code::Stage, message, place, "others have not seen it");
        problem.with_help("Yield it from `contribute.toml.tera`.")
    }
}

fn traced<T>(value: T, origin: Origin) -> Traced<T> {
    Traced { value, origins: vec![origin] }
}

/// The path of a file or link, if it is one that a system is built from.
fn tree_path(item: Item<'_>, origin: &Origin) -> Result<TreePath, Box<Diagnostic>> {
    let text = item.text("path");
    let built = ["/etc/", "/usr/"].iter().any(|top| text.starts_with(top));
    let path = TreePath::new(text.trim_start_matches('/')).ok().filter(|_| built);
    path.ok_or_else(|| {
        let message = format!("`{text}` is not built: only `/etc` and `/usr` are");
        let reason = "expected a path below `/etc` or `/usr`";
        let place = origin.place().clone();
        let problem = Diagnostic::error(Code::PathNotAllowed, message, place, reason);
        let help = "What changes at run time lives in `/var`; use `tmpfiles` for it.";
        Box::new(problem.with_help(help))
    })
}

fn assertion(item: Item<'_>, origin: &Origin) -> Diagnostic {
    let mut problem = Diagnostic::error(
        Code::Assertion,
        item.text("message"),
        origin.place().clone(),
        format!("says the module `{}`", origin.module),
    );
    if item.text("severity") == "warning" {
        problem.severity = Severity::Warning;
    }
    problem.with_help_if(item.optional("help"))
}

/// Each kind of item also has `from`, the path of the option that asks for it.
fn with_from(mut schema: Record) -> Record {
    for field in schema.options.values_mut() {
        if let Kind::List(of) = &mut field.kind
            && let Kind::Record(record) = of.as_mut()
        {
            let from = Field {
                kind: Kind::List(Box::new(Kind::Text(Format::Line))),
                doc: "Path of the option that asks for it, for messages and `explain`.".to_owned(),
                presence: Presence::Default {
                    data: Data::List(Vec::new()),
                    written: "[]".to_owned(),
                },
                example: None,
                at_least: 0,
                rank: usize::MAX,
            };
            record.options.insert("from".to_owned(), from);
        }
    }
    schema
}
