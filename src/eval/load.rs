//! From texts to a system, with every problem that can be found.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::fragment::{Stage, schema};
use super::secrets::Secrets;
use super::system::{Debian, Kernel, Origin, PackageSource, System, Traced};
use super::template::Engine;
use super::{context, item::Item};
use crate::diag::{Code, Diagnostic, Place, Problems, Source};
use crate::spec::{
    CONSUME, CONTRIBUTE, HostName, HostSpec, Module, Modules, UserModules, Value, read_host,
};

/// Evaluates a host file.
///
/// `workspace` is `nexus-host.toml` beside `hosts/`, if there is one; `user_modules` are the folders
/// of `modules/` there. Warnings come with the system, sorted by place.
///
/// # Errors
///
/// All problems that could be found, sorted by place; at least one of them is an error.
pub fn load(
    host: &Arc<Source>,
    workspace: Option<&Arc<Source>>,
    user_modules: &UserModules,
) -> Result<(System, Vec<Diagnostic>), Vec<Diagnostic>> {
    let mut problems = Problems::default();
    let system = evaluate(host, workspace, user_modules, &mut problems);
    match system.filter(|_| !problems.has_errors()) {
        Some(system) => Ok((system, problems.into_sorted())),
        None => Err(problems.into_sorted()),
    }
}

/// The table of items that a fragment may have, for the documentation of modules.
pub fn fragment_items() -> String {
    let mut page = String::new();
    crate::spec::record_table(&mut page, schema(), "");
    page
}

fn evaluate(
    host: &Arc<Source>,
    workspace: Option<&Arc<Source>>,
    user_modules: &UserModules,
    problems: &mut Problems,
) -> Option<System> {
    let modules = Modules::load(user_modules, problems);
    let spec = read_host(host, workspace, &modules, problems)?;
    let mut system = start(&spec, problems);
    let mut engines: Vec<(&Module, Engine<'_>)> = Vec::new();
    for name in &spec.active {
        let module = &modules.by_name[name];
        if let Some(engine) = problems.keep(Engine::new(module)) {
            engines.push((module, engine));
        }
    }
    for consumes in [false, true] {
        if problems.has_errors() {
            return None;
        }
        run_stage(&mut system, &spec, &engines, consumes, problems);
        if !consumes {
            system.secrets.add_references(&spec);
        }
    }
    system.check(problems);
    system.generate(problems);
    Some(system)
}

fn run_stage(
    system: &mut System,
    spec: &HostSpec,
    engines: &[(&Module, Engine<'_>)],
    consumes: bool,
    problems: &mut Problems,
) {
    let template = if consumes { CONSUME } else { CONTRIBUTE };
    let mut fragments = Vec::new();
    for (module, engine) in engines {
        if !module.templates.contains_key(template) {
            continue;
        }
        let context = if consumes {
            context::second_stage(spec, module, system)
        } else {
            context::first_stage(spec, module)
        };
        let stage = Stage { spec, module, engine, context: &context, consumes };
        fragments.extend(stage.read(template, problems));
    }
    for fragment in fragments {
        system.merge(fragment, problems);
    }
}

/// The system before any module: what `[host]`, `[debian]` and `[[sources]]` say by themselves.
fn start(spec: &HostSpec, problems: &mut Problems) -> System {
    let host = Item(&spec.sections["host"]);
    let name = HostName::new(host.text("name")).expect("checked by the schema");
    check_name(spec, host.value("name"), problems);
    let kernel = host.value("kernel").text().map(|kernel| match kernel {
        "cloud" => Kernel::Cloud,
        _ => Kernel::Generic,
    });
    let debian = Item(&spec.sections["debian"]);
    System {
        name,
        release: host.text("release").to_owned(),
        architecture: host.text("architecture").to_owned(),
        kernel,
        time_zone: host.text("time_zone").to_owned(),
        locale: host.text("locale").to_owned(),
        debian: Debian {
            mirror: debian.optional("mirror"),
            security_mirror: debian.optional("security_mirror"),
        },
        sources: sources(spec, problems),
        packages: BTreeMap::new(),
        users: BTreeMap::new(),
        groups: BTreeMap::new(),
        files: BTreeMap::new(),
        units: BTreeMap::new(),
        ports: Vec::new(),
        routes: BTreeMap::new(),
        interfaces: BTreeMap::new(),
        checks: BTreeMap::new(),
        backups: BTreeMap::new(),
        sysctl: BTreeMap::new(),
        kernel_arguments: Vec::new(),
        kernel_modules: BTreeMap::new(),
        tmpfiles: BTreeMap::new(),
        mounts: BTreeMap::new(),
        secrets: Secrets::new(Item(&spec.sections["secrets"]).optional("file")),
        deploy: Item(&spec.sections["deploy"]).to_deploy(),
    }
}

fn sources(spec: &HostSpec, problems: &mut Problems) -> BTreeMap<String, Traced<PackageSource>> {
    let mut sources: BTreeMap<String, Traced<PackageSource>> = BTreeMap::new();
    for value in spec.sections["sources"].items() {
        let item = Item(value);
        let name = item.text("name").to_owned();
        let place = value.place.clone().expect("a list has no default items");
        if let Some(other) = sources.get(&name) {
            let message = format!("two sources called `{name}`");
            let problem = Diagnostic::error(Code::Conflict, message, place, "the second");
            problems.push(problem.with_label(other.place().clone(), "the first"));
            continue;
        }
        let source = PackageSource {
            uri: item.text("uri").to_owned(),
            suite: item.text("suite").to_owned(),
            components: item.texts("components"),
            key_file: item.text("key_file").to_owned(),
        };
        let asked = Some(place.clone());
        let origin = Origin { module: "host".to_owned(), asked, fragment: place };
        sources.insert(name, Traced { value: source, origins: vec![origin] });
    }
    sources
}

/// A host's name and its file's name are best the same.
fn check_name(spec: &HostSpec, name: &Value, problems: &mut Problems) {
    let path = &spec.source.path;
    let file = path.rsplit('/').next().and_then(|file| file.strip_suffix(".toml"));
    let (Some(file), Some(found)) = (file, name.text()) else { return };
    if file != found {
        let message = format!("the host in `{path}` calls itself `{found}`");
        let place = name.place.clone().unwrap_or_else(|| Place::start_of(&spec.source));
        let reason = format!("the file's name says `{}`", crate::diag::printable(file));
        problems.push(Diagnostic::warning(Code::NameMismatch, message, place, reason));
    }
}
