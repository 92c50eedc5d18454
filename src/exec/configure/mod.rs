//! Runs the maintainer scripts of a set of packages, once, and keeps what they changed.
//!
//! The packages' files are the lower layers of an overlay, replacements for programs that must do
//! nothing are on top of them, dpkg's database is written as if dpkg had just unpacked everything.
//! Then every `preinst` runs, then `dpkg --configure -a`. What the scripts changed is the *delta*: a
//! directory in the layout of a package's store path, without `control/`. It depends on the packages,
//! the pinned ids and the epoch alone.

mod delta;
mod failure;
pub mod helpers;
mod layers;
mod leaks;
mod prepare;
mod replacements;
mod run;

use std::path::PathBuf;

use thiserror::Error;

use super::environment::Environment;
use super::files::FileError;
use super::progress::Progress;
use super::sandbox::{Limits, SandboxError};
use crate::debian::accounts::{AccountError, Accounts, NoIdLeftError};
use crate::debian::dpkg_database::DatabaseError;
use crate::debian::lock::Ids;
use crate::tree::{Manifest, ManifestError, TreePath};

/// What to configure, and where.
#[derive(Debug, Clone)]
pub struct Request {
    /// Directories of unpacked packages (`control/`, `data/`, `manifest`), in the order in which dpkg
    /// would unpack them: where two hold the same path, the later one's is used.
    pub packages: Vec<PathBuf>,
    /// Numbers that users and groups must have; other names get free ones.
    pub ids: Ids,
    /// The time, in seconds since 1970, of all that is made.
    pub epoch_seconds: u64,
    /// A directory for everything that is made, empty or absent, on a disk; best on the one of the
    /// packages.
    pub scratch: PathBuf,
    /// Where the scripts' output goes.
    pub log: PathBuf,
}

/// What the scripts changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Configured {
    /// The directory that holds `data/` and `manifest`, below the scratch directory.
    pub directory: PathBuf,
    /// What was written to `manifest`.
    pub manifest: Manifest,
    /// All users and groups, with pinned numbers.
    pub accounts: Accounts,
    /// Numbers of all accounts, and of those that were pinned and are gone.
    pub ids: Ids,
}

/// Packages that could not be configured.
#[derive(Debug, Error)]
pub enum ConfigureError {
    /// A maintainer script failed.
    #[error("the {script} script of package {package} failed ({status}); the whole log is {}{}", log.display(), tail_after_colon(output))]
    Script {
        /// The package.
        package: String,
        /// `preinst`, `postinst` or another.
        script: String,
        /// How it ended, such as `exit status 1`.
        status: String,
        /// Its last lines of output.
        output: String,
        /// The file with all output.
        log: PathBuf,
    },
    /// A helper's program failed.
    #[error("the program {program} failed ({status}); the whole log is {}{}", log.display(), tail_after_colon(output))]
    Helper {
        /// The program.
        program: String,
        /// How it ended, such as `exit code 1`.
        status: String,
        /// Its last lines of output.
        output: String,
        /// The file with all output.
        log: PathBuf,
    },
    /// dpkg failed without blaming a script.
    #[error("dpkg could not configure the packages; the whole log is {}{}", log.display(), tail_after_colon(output))]
    Dpkg {
        /// Its last lines of output.
        output: String,
        /// The file with all output.
        log: PathBuf,
    },
    /// The packages lack something without which nothing can be configured.
    #[error("no package has the file /{path}")]
    Missing {
        /// The file.
        path: TreePath,
    },
    /// The sandbox failed.
    #[error("cannot run the maintainer scripts")]
    Sandbox(#[source] SandboxError),
    /// A package's manifest cannot be read.
    #[error("the manifest {} is damaged", path.display())]
    Manifest {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: ManifestError,
    },
    /// Control data that dpkg would refuse.
    #[error("dpkg's database cannot be made")]
    Database(#[from] DatabaseError),
    /// The scripts left an account file that cannot be read.
    #[error("the accounts cannot be read")]
    Accounts(#[from] AccountError),
    /// There are more accounts than numbers.
    #[error("the accounts cannot be numbered")]
    NoIdLeft(#[from] NoIdLeftError),
    /// The scripts left a file whose name no tree can have.
    #[error("the scripts made a file with a name that cannot be kept")]
    Path(#[from] crate::tree::TreePathError),
    /// A file could not be read or written.
    #[error("cannot prepare or keep the packages' configuration")]
    File(#[from] FileError),
}

/// Configures the packages.
///
/// `scratch` holds the result and nothing else afterwards. On failure the caller removes it, with
/// [`remove_scratch`], because a sandbox leaves directories that a plain user must first open.
///
/// # Errors
///
/// The first script that failed, by package and name; or what kept the scripts from running.
pub fn configure(
    environment: &Environment,
    request: &Request,
    progress: &dyn Progress,
    limits: &Limits,
) -> Result<Configured, ConfigureError> {
    let layers = layers::Layers::read(&request.packages)?;
    let prepared = prepare::prepare(request, &layers)?;
    let owners = run::run(environment, request, &layers, (&prepared, progress, limits))?;
    delta::collect(request, &layers, &owners)
}

/// Removes a scratch directory, whatever permissions scripts gave to what is in it.
pub fn remove_scratch(scratch: &std::path::Path) -> Result<(), FileError> {
    delta::disk::remove_tree(scratch)
}

fn tail_after_colon(output: &str) -> String {
    if output.is_empty() { String::new() } else { format!(":\n{output}") }
}
