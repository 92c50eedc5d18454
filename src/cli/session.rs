//! What all verbs share in one run: where things are, whether to stop, who is told.

use std::path::PathBuf;

use super::arguments::Global;
use super::exit;
use super::report::Failure;
use super::ui::Ui;
use super::workspace::{Workspace, WorkspaceError};
use crate::exec::environment::Environment;
use crate::exec::fetch::{FetchOptions, Fetcher};
use crate::exec::interrupt::Interrupt;
use crate::exec::store::Store;

/// One run of the program.
#[derive(Debug)]
pub(super) struct Session<'a> {
    pub(super) ui: &'a Ui,
    pub(super) json: bool,
    pub(super) environment: Environment,
    pub(super) interrupt: Interrupt,
    store_directory: Option<PathBuf>,
}

impl<'a> Session<'a> {
    pub(super) fn start(
        global: &Global,
        mut environment: Environment,
        ui: &'a Ui,
    ) -> Result<Self, Failure> {
        let bug = |error| Failure::with_code(exit::BUG, error);
        if let Some(directory) = &global.directory {
            environment.working_directory = environment.working_directory.join(directory);
        }
        if let Some(jobs) = global.jobs {
            // A second pool in the same process is refused; there is one run a process.
            let _first = rayon::ThreadPoolBuilder::new().num_threads(jobs.get()).build_global();
        }
        let interrupt = Interrupt::on_signals().map_err(bug)?;
        let store_directory = global.store.clone();
        Ok(Self { ui, json: global.json, environment, interrupt, store_directory })
    }

    /// The workspace around the working directory.
    pub(super) fn workspace(&self) -> Result<Workspace, Failure> {
        let found = Workspace::find(&self.environment.working_directory);
        found.map_err(|error| explain_workspace(error, None))
    }

    /// A fetcher with the user's cache.
    pub(super) fn fetcher(&self, options: FetchOptions) -> Result<Fetcher<'_>, Failure> {
        let cache = self.environment.cache_directory().map_err(Failure::build)?;
        let options = options.with_environment(&self.environment).map_err(Failure::build)?;
        Fetcher::new(&cache, self.ui, &self.interrupt, options).map_err(Failure::build)
    }

    /// The store, made when it is not there.
    pub(super) fn store(&self) -> Result<Store, Failure> {
        let root = match &self.store_directory {
            Some(told) => self.environment.working_directory.join(told),
            None => self.environment.data_directory().map_err(Failure::build)?,
        };
        Store::open(&root).map_err(Failure::build)
    }
}

/// An error about the workspace, with what to do about it.
pub(super) fn explain_workspace(error: WorkspaceError, workspace: Option<&Workspace>) -> Failure {
    let help = match (&error, workspace) {
        (WorkspaceError::NotFound { .. }, _) => {
            Some("run `nexus-host init NAME` to begin, or say with -C where your hosts are".into())
        }
        (WorkspaceError::NoHost { name, known, .. }, _) => Some(match nearest(name, known) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("run `nexus-host init {name}` to write one"),
        }),
        (WorkspaceError::NoHosts { .. }, _) => Some("run `nexus-host init NAME` to begin".into()),
        _ => None,
    };
    let failure = Failure::files(error);
    match help {
        Some(help) => failure.help(help),
        None => failure,
    }
}

fn nearest<'n>(name: &str, known: &'n [String]) -> Option<&'n String> {
    let distance = |other: &String| strsim::damerau_levenshtein(name, other);
    known.iter().filter(|other| distance(other) <= 2).min_by_key(|other| distance(other))
}
