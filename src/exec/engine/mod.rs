//! Realises recipes: looks up what was made before, makes the rest, remembers it.

mod agent;
mod base;
mod configure;
mod files;
mod grub;
mod initrd;
mod layers;
mod system;
mod tree_text;
mod unpack;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use thiserror::Error;

use super::environment::Environment;
use super::fetch::FetchError;
use super::files::FileError;
use super::interrupt::{Interrupt, Interrupted};
use super::progress::{Progress, Task, Unit};
use super::sandbox::{self, Limits, SandboxError};
use super::store::{Built, Realisation, References, Store, StoreError, ToAdd};
use crate::debian::accounts::Accounts;
use crate::lower::recipe::{Graph, Recipe, RecipeId, Role, Step};
use crate::store::{Sha256Digest, StorePath};

/// What making things needs.
#[derive(Clone, Copy)]
#[expect(missing_debug_implementations, reason = "its parts are traits without it")]
pub struct Engine<'a> {
    /// Where results go.
    pub store: &'a Store,
    /// To start parts of this program in a sandbox.
    pub environment: &'a Environment,
    /// Where `.deb` files come from.
    pub debs: &'a dyn Debs,
    /// Who is told.
    pub progress: &'a dyn Progress,
    /// Whether to stop.
    pub interrupt: &'a Interrupt,
}

/// Gets `.deb` files, from the cache or the network.
pub trait Debs: Sync {
    /// Files by digest, each verified.
    fn files(
        &self,
        digests: &[Sha256Digest],
    ) -> Result<BTreeMap<Sha256Digest, PathBuf>, FetchError>;
}

/// Why a recipe was not realised.
#[derive(Debug, Error)]
pub enum EngineError {
    /// A `.deb` could not be had.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// This machine does not let us run programs of packages; found out before anything is fetched.
    #[error("programs of packages cannot be run on this machine")]
    Sandbox(#[source] SandboxError),
    /// The work itself failed.
    #[error("cannot {verb} {name}")]
    Step {
        /// What was being done.
        verb: &'static str,
        /// To what.
        name: String,
        /// Why not.
        #[source]
        source: Box<StepError>,
    },
    /// The store did not take or give something.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The user pressed Ctrl-C.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
}

/// Why one step failed.
#[derive(Debug, Error)]
pub enum StepError {
    /// A `.deb` is not what it should be.
    #[error(transparent)]
    Unpack(#[from] super::unpack::UnpackError),
    /// A maintainer script failed.
    #[error(transparent)]
    Configure(#[from] super::configure::ConfigureError),
    /// Packages do not go together, or a manifest is damaged.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// A tool failed.
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    /// A file could not be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// The store did not take or give something.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// An input does not have what the step looks for.
    #[error("{what} is missing in {path}")]
    Missing {
        /// What was looked for.
        what: String,
        /// Where.
        path: StorePath,
    },
    /// A package's control file is damaged.
    #[error("the control file of {path} is damaged")]
    Control {
        /// Whose.
        path: StorePath,
        /// How.
        #[source]
        source: crate::debian::layers::MetaError,
    },
    /// A `.deb` with the right bytes under a wrong name.
    #[error("the lock says `{expected}`, but the file is `{found}`")]
    OtherPackage {
        /// Name, version and architecture by the lock, as in a file's name.
        expected: String,
        /// The same by the package itself.
        found: String,
    },
    /// The kernel's modules do not go together.
    #[error(transparent)]
    Modules(#[from] crate::lower::modules::ModulesError),
    /// A tree cannot be written as an image.
    #[error(transparent)]
    Erofs(#[from] crate::image::erofs::ErofsError),
    /// An account cannot be written.
    #[error(transparent)]
    HostAccount(#[from] crate::lower::accounts::HostAccountError),
    /// The accounts that the packages made cannot be read.
    #[error("the accounts that packages made cannot be read")]
    PackageAccounts(#[from] crate::debian::accounts::AccountError),
    /// A file belongs to nobody.
    #[error("a file shall belong to `{name}`, which neither a package nor the host file makes")]
    UnknownOwner {
        /// The user or group.
        name: String,
    },
    /// The user pressed Ctrl-C.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
}

/// Why trees cannot be put together.
#[derive(Debug, Error)]
pub enum TreeError {
    /// Two packages want the same path.
    #[error(transparent)]
    Conflict(#[from] crate::lower::compose::ConflictError),
    /// An entry lies below something that is not a directory.
    #[error(transparent)]
    Shape(#[from] crate::tree::shape::NotADirectoryError),
    /// A manifest is damaged.
    #[error("the manifest of {path} is damaged")]
    Manifest {
        /// Whose.
        path: StorePath,
        /// How.
        #[source]
        source: crate::tree::ManifestError,
    },
}

/// The inputs of a recipe, made.
pub(super) struct Inputs<'a> {
    recipe: &'a Recipe,
    outputs: Vec<StorePath>,
}

impl Inputs<'_> {
    /// Inputs with `role`, in the recipe's order.
    pub(super) fn of(&self, role: Role) -> impl Iterator<Item = &StorePath> {
        let roles = self.recipe.inputs.iter().map(|(role, _)| *role);
        roles.zip(&self.outputs).filter(move |(r, _)| *r == role).map(|(_, output)| output)
    }

    /// The only input with `role`; the graph has it.
    pub(super) fn one(&self, role: Role) -> &StorePath {
        self.of(role).next().expect("the graph gives the step this input")
    }
}

impl Engine<'_> {
    /// Makes everything in `graph`; outputs in the order of the graph.
    ///
    /// # Errors
    ///
    /// A step that failed; what was made before it stays valid.
    pub fn realise(&self, graph: &Graph) -> Result<Vec<StorePath>, EngineError> {
        let mut outputs = Outputs(vec![None; graph.len()]);
        loop {
            let jobs = self.missing(graph, &mut outputs)?;
            if jobs.is_empty() {
                break;
            }
            for (job, path) in jobs.iter().zip(self.make_all(&jobs)?) {
                outputs.0[job.id.index()] = Some(path);
            }
        }
        let all = outputs.0.into_iter();
        Ok(all.map(|output| output.expect("what is not missing was made")).collect())
    }

    /// Notes that the recipe `id` of `graph` has the output `path`, which was made by another recipe.
    ///
    /// `outputs` are those of the recipes before it.
    pub fn remember(
        &self,
        graph: &Graph,
        id: RecipeId,
        outputs: &[StorePath],
        path: &StorePath,
    ) -> Result<(), StoreError> {
        let recipe = graph.get(id);
        let inputs: Vec<StorePath> =
            recipe.inputs.iter().map(|(_, input)| outputs[input.index()].clone()).collect();
        let preimage = recipe.preimage(&inputs);
        self.store.record_realisation(Sha256Digest::of(preimage.as_bytes()), &preimage, path)
    }

    /// The accounts that the maintainer scripts made, from their delta.
    pub fn package_accounts(&self, delta: &StorePath) -> Result<Accounts, StepError> {
        files::package_accounts(self, delta)
    }

    /// All that must be made now: not made before, and all inputs are there.
    ///
    /// Notes what was made before, and looks again at what waited for that: so nothing waits for work
    /// that it does not need.
    fn missing<'g>(
        &self,
        graph: &'g Graph,
        outputs: &mut Outputs,
    ) -> Result<Vec<Job<'g>>, EngineError> {
        let mut missing: Vec<Job<'g>> = Vec::new();
        loop {
            let mut ready = outputs.ready(graph);
            // The same package may be part of the host and a tool: it is made once and then found.
            ready.retain(|job| missing.iter().all(|known| known.key != job.key));
            if ready.is_empty() {
                missing.sort_by_key(|job| job.id);
                return Ok(missing);
            }
            let keys: Vec<Sha256Digest> = ready.iter().map(|job| job.key).collect();
            for (job, made) in ready.into_iter().zip(self.store.realised_many(&keys)?) {
                match made {
                    Some(path) => outputs.0[job.id.index()] = Some(path),
                    None if missing.iter().any(|known| known.key == job.key) => {}
                    None => missing.push(job),
                }
            }
        }
    }

    /// Makes jobs at the same time and adds their outputs in one go.
    fn make_all(&self, jobs: &[Job<'_>]) -> Result<Vec<StorePath>, EngineError> {
        self.interrupt.check()?;
        let debs = self.fetch(jobs)?;
        let is_unpack = |job: &Job<'_>| matches!(job.recipe().step, Step::Unpack { .. });
        let label = match jobs {
            [job] => format!("{} {}", job.recipe().step.verb(), job.recipe().name),
            jobs if jobs.iter().any(is_unpack) => "unpack packages".to_owned(),
            _ => "make parts of the system".to_owned(),
        };
        let task = self.progress.begin(&label, Unit::Things, Some(jobs.len() as u64));
        let scratch = self.store.scratch("build")?;
        let mut built = longest_first(jobs, &debs)
            .into_par_iter()
            .with_max_len(1)
            .map(|number| {
                let into = scratch.path().join(number.to_string());
                // Digested by the thread that made it, while the next is made by another.
                let made = self.make(&jobs[number], &debs, &into, &*task)?;
                Ok((number, self.store.digest(made)?))
            })
            .collect::<Result<Vec<(usize, Built)>, EngineError>>()?;
        built.sort_by_key(|(number, _)| *number);
        let paths = self.store.place(built.into_iter().map(|(_, made)| made).collect())?;
        let record = |(job, path): (&Job<'_>, &StorePath)| Realisation {
            recipe: job.key,
            preimage: job.preimage.clone(),
            path: path.clone(),
        };
        let records: Vec<Realisation> = jobs.iter().zip(&paths).map(record).collect();
        self.store.record_realisations(&records)?;
        Ok(paths)
    }

    /// The `.deb` files that `jobs` unpack.
    fn fetch(&self, jobs: &[Job<'_>]) -> Result<Fetched, EngineError> {
        let digest = |job: &Job<'_>| match job.recipe().step {
            Step::Unpack { deb } => Some(deb),
            _ => None,
        };
        let wanted: Vec<Sha256Digest> = jobs.iter().filter_map(digest).collect();
        if wanted.is_empty() {
            return Ok(Fetched::new());
        }
        // Whoever unpacks packages also runs what is in them, so a machine that forbids it is better
        // told now than after a long download.
        let limits = Limits { interrupt: self.interrupt.clone(), deadline: None };
        sandbox::try_out(self.environment, &limits).map_err(EngineError::Sandbox)?;
        Ok(self.debs.files(&wanted)?)
    }

    fn make(
        &self,
        job: &Job<'_>,
        debs: &Fetched,
        into: &Path,
        task: &dyn Task,
    ) -> Result<ToAdd, EngineError> {
        self.interrupt.check()?;
        let recipe = job.recipe();
        task.at(recipe.name.as_str());
        let fail = |source| EngineError::Step {
            verb: recipe.step.verb(),
            name: recipe.name.to_string(),
            source: Box::new(source),
        };
        let references = self.step(&job.inputs, debs, into).map_err(fail)?;
        task.advance(1);
        Ok(ToAdd { built: into.to_owned(), name: recipe.name.clone(), references })
    }

    /// Does the work of a recipe in the directory `into`, which is not there yet.
    fn step(
        &self,
        inputs: &Inputs<'_>,
        debs: &Fetched,
        into: &Path,
    ) -> Result<References, StepError> {
        match &inputs.recipe.step {
            Step::Unpack { deb } => unpack::run(inputs, &debs[deb], deb, into),
            Step::Configure { ids, epoch } => configure::run(self, inputs, ids, *epoch, into),
            Step::Help { helper, epoch } => configure::help(self, inputs, *helper, *epoch, into),
            Step::Base { epoch } => base::run(self, inputs, *epoch, into),
            Step::Files { .. } => files::run(self, inputs, into),
            Step::Initrd { .. } => initrd::run(self, inputs, into),
            Step::System { .. } => system::run(self, inputs, into),
            Step::Agent { epoch, .. } => agent::run(*epoch, into),
            Step::GrubCore => grub::run_mkimage(self, inputs, into),
        }
    }

    /// Where the file or directory `inner` of a store path lies on this machine.
    pub(super) fn real(&self, path: &StorePath, inner: &str) -> PathBuf {
        let real = self.store.real_path(path);
        if inner.is_empty() { real } else { real.join(inner) }
    }
}

/// Positions of `jobs`, those first that take long, so that no processor waits for one at the end.
fn longest_first(jobs: &[Job<'_>], debs: &Fetched) -> Vec<usize> {
    let weight = |job: &Job<'_>| match &job.recipe().step {
        Step::Unpack { deb } => std::fs::metadata(&debs[deb]).map_or(0, |found| found.len()),
        Step::Configure { .. } => u64::MAX,
        _ => 0,
    };
    let mut order: Vec<usize> = (0..jobs.len()).collect();
    order.sort_by_cached_key(|index| std::cmp::Reverse(weight(&jobs[*index])));
    order
}

/// Files by digest.
type Fetched = BTreeMap<Sha256Digest, PathBuf>;

/// What is known to be made, by position in the graph.
struct Outputs(Vec<Option<StorePath>>);

impl Outputs {
    /// What is not known to be made while all its inputs are, in the graph's order.
    fn ready<'g>(&self, graph: &'g Graph) -> Vec<Job<'g>> {
        let open = graph.ids().filter(|id| self.0[id.index()].is_none());
        open.filter_map(|id| {
            let recipe = graph.get(id);
            let inputs = recipe.inputs.iter().map(|(_, input)| self.0[input.index()].clone());
            let inputs = Inputs { recipe, outputs: inputs.collect::<Option<_>>()? };
            let preimage = recipe.preimage(&inputs.outputs);
            Some(Job { id, key: Sha256Digest::of(preimage.as_bytes()), preimage, inputs })
        })
        .collect()
    }
}

struct Job<'a> {
    id: RecipeId,
    key: Sha256Digest,
    preimage: String,
    inputs: Inputs<'a>,
}

impl Job<'_> {
    fn recipe(&self) -> &Recipe {
        self.inputs.recipe
    }
}
