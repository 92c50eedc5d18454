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
use super::store::{Realisation, References, Store, StoreError, ToAdd};
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
        let mut outputs: Vec<Option<StorePath>> = Vec::new();
        for level in graph.levels() {
            outputs.resize(level.last().map_or(0, |id| id.index() + 1).max(outputs.len()), None);
            let made = self.realise_level(graph, &level, &outputs)?;
            for (id, output) in level.iter().zip(made) {
                outputs[id.index()] = Some(output);
            }
        }
        Ok(outputs.into_iter().map(|output| output.expect("every level was realised")).collect())
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

    fn realise_level(
        &self,
        graph: &Graph,
        level: &[RecipeId],
        outputs: &[Option<StorePath>],
    ) -> Result<Vec<StorePath>, EngineError> {
        let output_of = |id: &RecipeId| outputs[id.index()].clone().expect("inputs come first");
        let mut jobs = Vec::new();
        for id in level {
            let recipe = graph.get(*id);
            let outputs: Vec<_> = recipe.inputs.iter().map(|(_, input)| output_of(input)).collect();
            let preimage = recipe.preimage(&outputs);
            let key = Sha256Digest::of(preimage.as_bytes());
            jobs.push(Job { key, preimage, inputs: Inputs { recipe, outputs } });
        }
        let keys: Vec<Sha256Digest> = jobs.iter().map(|job| job.key).collect();
        let mut made = self.store.realised_many(&keys)?;
        let missing: Vec<usize> = (0..jobs.len()).filter(|index| made[*index].is_none()).collect();
        if !missing.is_empty() {
            let missing_jobs: Vec<&Job<'_>> = missing.iter().map(|index| &jobs[*index]).collect();
            for (index, path) in missing.into_iter().zip(self.make_all(&missing_jobs)?) {
                made[index] = Some(path);
            }
        }
        Ok(made.into_iter().map(|path| path.expect("made or found")).collect())
    }

    /// Makes jobs at the same time and adds their outputs in one go.
    fn make_all(&self, jobs: &[&Job<'_>]) -> Result<Vec<StorePath>, EngineError> {
        self.interrupt.check()?;
        let debs = self.fetch(jobs)?;
        let is_unpack = |job: &&Job<'_>| matches!(job.recipe().step, Step::Unpack { .. });
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
                Ok((number, self.make(jobs[number], &debs, &into, &*task)?))
            })
            .collect::<Result<Vec<(usize, ToAdd)>, EngineError>>()?;
        built.sort_by_key(|(number, _)| *number);
        let paths = self.store.add_all(built.into_iter().map(|(_, made)| made).collect())?;
        let record = |(job, path): (&&Job<'_>, &StorePath)| Realisation {
            recipe: job.key,
            preimage: job.preimage.clone(),
            path: path.clone(),
        };
        let records: Vec<Realisation> = jobs.iter().zip(&paths).map(record).collect();
        self.store.record_realisations(&records)?;
        Ok(paths)
    }

    /// The `.deb` files that `jobs` unpack.
    fn fetch(&self, jobs: &[&Job<'_>]) -> Result<Fetched, EngineError> {
        let digest = |job: &&Job<'_>| match job.recipe().step {
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
fn longest_first(jobs: &[&Job<'_>], debs: &Fetched) -> Vec<usize> {
    let weight = |job: &Job<'_>| match &job.recipe().step {
        Step::Unpack { deb } => std::fs::metadata(&debs[deb]).map_or(0, |found| found.len()),
        Step::Configure { .. } => u64::MAX,
        _ => 0,
    };
    let mut order: Vec<usize> = (0..jobs.len()).collect();
    order.sort_by_cached_key(|index| std::cmp::Reverse(weight(jobs[*index])));
    order
}

/// Files by digest.
type Fetched = BTreeMap<Sha256Digest, PathBuf>;

struct Job<'a> {
    key: Sha256Digest,
    preimage: String,
    inputs: Inputs<'a>,
}

impl Job<'_> {
    fn recipe(&self) -> &Recipe {
        self.inputs.recipe
    }
}
