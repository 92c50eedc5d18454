//! `nexus-init`: the first program of the host. Finds the root, mounts the system, hands over.
//!
//! ```text
//! /disk     the root partition            → binds /nix /var /home /root /srv
//! /newroot  tmpfs, read-only at the end   → / with links bin, lib, lib64, sbin, opt
//! <system>/usr.erofs :: /nix/store        → /usr
//! <system>/etc.erofs :: /nix/store        → /etc, the machine id bound over etc/machine-id
//! ```

mod disk;
mod kernel;
mod root;

use std::convert::Infallible;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;

use super::arguments::{ArgumentsError, BootArguments};
use super::gpt::GptError;

/// How long a root device may take to appear.
const ROOT_DEADLINE: Duration = Duration::from_secs(60);

/// Why the host does not boot.
#[derive(Debug, Error)]
pub enum InitError {
    /// The command line does not say what to boot.
    #[error(transparent)]
    Arguments(#[from] ArgumentsError),
    /// A system call failed.
    #[error("cannot {action} {path}: {source}", path = path.display())]
    Call {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The root partition did not appear.
    #[error("no root partition {0} after 60 s")]
    NoRoot(String),
    /// The partition table cannot be grown.
    #[error(transparent)]
    Gpt(#[from] GptError),
}

impl InitError {
    /// For `map_err`: adds what was tried and where to the kernel's answer.
    fn at<E: Into<io::Error>>(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(E) -> InitError {
        let path = path.into();
        move |source| InitError::Call { action, path, source: source.into() }
    }
}

/// Boots the host; returns only when it cannot.
///
/// # Errors
///
/// The first step that failed; the caller says it and ends, so that the kernel panics and reboots.
pub fn boot() -> Result<Infallible, InitError> {
    kernel::mount_pseudo_file_systems()?;
    kernel::say("starting");
    let line =
        std::fs::read_to_string("/proc/cmdline").map_err(InitError::at("read", "/proc/cmdline"))?;
    let arguments = BootArguments::parse(&line)?;
    kernel::load_modules()?;
    let device = disk::find_root(&arguments.root, ROOT_DEADLINE)?;
    // A disk that cannot be grown is still a disk that boots.
    let device = match disk::grow_partition(&device) {
        Ok(device) => device,
        Err(error) => {
            kernel::say(&format!("the root partition stays as it is: {error}"));
            device
        }
    };
    root::mount_disk(&device)?;
    if let Err(error) = disk::grow_file_system(&device) {
        kernel::say(&format!("the root file system stays as it is: {error}"));
    }
    root::compose(&arguments.system)?;
    kernel::say("handing over");
    root::switch(&arguments.init)
}

/// Says on the console and in the kernel log why the host does not boot.
pub fn say_failure(error: &InitError) {
    kernel::say_critical(&error.to_string());
}
