//! Modules: the built-in ones and the user's, and which section belongs to which.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::builtin::BUILT_IN;
use super::document::check_size;
use super::format::Format;
use super::manifest::parse_manifest;
use super::schema::Field;
use crate::diag::{Code, Diagnostic, Place, Problems, Source, printable};

/// Files of one module by name (`module.toml`, `contribute.toml.tera`, …).
pub type ModuleFiles = BTreeMap<String, String>;
/// A user's modules by the name of their folder.
pub type UserModules = BTreeMap<String, ModuleFiles>;

/// The template that yields what a module contributes, from its own options alone.
pub const CONTRIBUTE: &str = "contribute.toml.tera";
/// The template that yields what a module makes of everything contributed.
pub const CONSUME: &str = "consume.toml.tera";
/// What a module is.
const MANIFEST: &str = "module.toml";
/// The module that knows `[host]`; the evaluation reads its options.
const CORE: &str = "host";
/// Names of template variables that are not sections.
const RESERVED: &[&str] = &["all", "item", "loop", "module", "system", "with"];
/// Most files of a module.
const FILES_MAX: usize = 256;

/// When a module takes part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// In every host.
    Always,
    /// When the host file has one of its sections.
    Section,
}

/// A module: option schemas and templates.
#[derive(Debug)]
pub struct Module {
    /// Its name, that of its folder.
    pub name: String,
    /// What it is for, in a line.
    pub summary: String,
    /// When it takes part.
    pub activation: Activation,
    /// The top-level sections of a host file that it claims.
    pub sections: BTreeMap<String, Field>,
    /// Its templates by file name.
    pub templates: BTreeMap<String, Arc<Source>>,
    /// Its `module.toml`.
    pub manifest: Arc<Source>,
}

/// All modules of a workspace.
#[derive(Debug)]
pub struct Modules {
    /// By name.
    pub by_name: BTreeMap<String, Module>,
}

impl Modules {
    /// The built-in modules and `user`'s; all problems of all of them at once.
    pub fn load(user: &UserModules, problems: &mut Problems) -> Self {
        let mut by_name = BTreeMap::new();
        for (name, files) in BUILT_IN {
            let files = files.iter().map(|(file, text)| ((*file).to_owned(), (*text).to_owned()));
            if let Some((module, _)) = load_module(name, files.collect(), problems) {
                by_name.insert(module.name.clone(), module);
            }
        }
        for (name, files) in user.iter().filter(|(name, files)| !is_built_in(name, files)) {
            let Some((module, replaces)) = load_module(name, files.clone(), problems) else {
                continue;
            };
            let built_in = BUILT_IN.iter().any(|(built_in, _)| built_in == name);
            match override_problem(&module, built_in, replaces) {
                Some(problem) => problems.push(problem),
                None => drop(by_name.insert(name.clone(), module)),
            }
        }
        let modules = Self { by_name };
        modules.check_claims(problems);
        modules
    }

    /// The module that claims `section`, and the schema of it.
    pub fn section(&self, section: &str) -> Option<(&Module, &Field)> {
        let mut all = self.by_name.values();
        all.find_map(|module| Some((module, module.sections.get(section)?)))
    }

    /// The names of all sections.
    pub fn section_names(&self) -> impl Iterator<Item = &str> + Clone {
        self.by_name.values().flat_map(|module| module.sections.keys().map(String::as_str))
    }

    fn check_claims(&self, problems: &mut Problems) {
        let mut claimed: BTreeMap<&str, &Module> = BTreeMap::new();
        for module in self.by_name.values() {
            for section in module.sections.keys() {
                let place = module.place_of(section);
                if RESERVED.contains(&section.as_str()) {
                    let message = format!("the name `{section}` is reserved");
                    let reason = "expected another name";
                    problems.push(Diagnostic::error(Code::ModuleClaim, message, place, reason));
                } else if let Some(other) = claimed.insert(section, module) {
                    let message = format!(
                        "the modules `{}` and `{}` both claim the section `{section}`",
                        other.name, module.name
                    );
                    let problem =
                        Diagnostic::error(Code::ModuleClaim, message, place, "claimed here");
                    problems.push(problem.with_label(other.place_of(section), "and here"));
                }
            }
        }
    }
}

impl Module {
    fn place_of(&self, section: &str) -> Place {
        let start = self.sections.get(section).map_or(0, |field| field.rank);
        Place::new(&self.manifest, start..start + section.len())
    }
}

fn load_module(name: &str, files: ModuleFiles, problems: &mut Problems) -> Option<(Module, bool)> {
    let before = problems.len();
    let folder = format!("modules/{}", printable(name));
    let mut sources: BTreeMap<String, Arc<Source>> = files
        .into_iter()
        .map(|(file, text)| {
            let path = format!("{folder}/{}", printable(&file));
            (file, Source::new(path, text))
        })
        .collect();
    let Some(manifest) = sources.remove(MANIFEST) else {
        let place = Place::start_of(&Source::new(format!("{folder}/{MANIFEST}"), ""));
        let message = format!("the module `{}` has no `{MANIFEST}`", printable(name));
        let reason = "expected this file";
        problems.push(Diagnostic::error(Code::ModuleManifest, message, place, reason));
        return None;
    };
    check_files(&manifest, &sources, problems);
    let parsed = parse_manifest(&manifest, problems)?;
    if parsed.name != name || Format::Slug.check(name).is_err() {
        let message = format!("the module calls itself `{}`", printable(&parsed.name));
        let reason = format!("expected `{}`, the name of its folder", printable(name));
        let place = Place::start_of(&manifest);
        problems.push(Diagnostic::error(Code::ModuleManifest, message, place, reason));
    }
    let activation = if parsed.always { Activation::Always } else { Activation::Section };
    let module = Module {
        name: parsed.name,
        summary: parsed.summary,
        activation,
        sections: parsed.sections,
        templates: sources,
        manifest,
    };
    (problems.len() == before).then_some((module, parsed.replaces))
}

fn check_files(
    manifest: &Arc<Source>,
    files: &BTreeMap<String, Arc<Source>>,
    problems: &mut Problems,
) {
    if files.len() > FILES_MAX {
        let message = format!("the module has {} files", files.len());
        let reason = format!("expected at most {FILES_MAX}");
        let place = Place::start_of(manifest);
        problems.push(Diagnostic::error(Code::ModuleFile, message, place, reason));
    }
    for (name, source) in files {
        problems.keep(check_size(source));
        if Format::Template.check(name).is_err() && name != "README.md" {
            let message = format!("nothing can use the file `{}`", printable(name));
            let place = Place::start_of(&Source::new(source.path.clone(), ""));
            let reason = "expected a name that ends in `.tera`";
            problems.push(Diagnostic::error(Code::ModuleFile, message, place, reason));
        }
    }
    if !files.contains_key(CONTRIBUTE) && !files.contains_key(CONSUME) {
        let message = format!("the module has neither `{CONTRIBUTE}` nor `{CONSUME}`");
        let place = Place::start_of(manifest);
        let reason = "expected one of them beside this file";
        problems.push(Diagnostic::error(Code::ModuleFile, message, place, reason));
    }
}

/// Whether a module of a workspace is the built-in one, as in the folder of this project, which is a workspace too.
fn is_built_in(name: &str, files: &ModuleFiles) -> bool {
    let same = |built_in: &[(&str, &str)]| {
        let own = files.iter().map(|(file, text)| (file.as_str(), text.as_str()));
        own.eq(built_in.iter().copied())
    };
    BUILT_IN.iter().any(|(built_in, files)| *built_in == name && same(files))
}

fn override_problem(module: &Module, built_in: bool, replaces: bool) -> Option<Diagnostic> {
    let place = Place::start_of(&module.manifest);
    let name = &module.name;
    let error = |message: String, reason: &str| {
        Some(Diagnostic::error(Code::ModuleOverride, message, place.clone(), reason))
    };
    if name == CORE {
        error("the module `host` cannot be replaced".to_owned(), "expected another name")
    } else if built_in && !replaces {
        let problem = error(format!("`{name}` is the name of a built-in module"), "another one");
        problem.map(|problem| {
            problem.with_help("Add `replaces = true` below `[module]`, or rename your module.")
        })
    } else if replaces && !built_in {
        error(format!("there is no built-in module `{name}` to replace"), "declared here")
    } else {
        None
    }
}
