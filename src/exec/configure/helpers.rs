//! What maintainer scripts would have made with slow programs, made apart: each on only what it needs,
//! so that it is made again only when that changes.
//!
//! The real program of the packages runs in a sandbox whose root is the packages given: the program's
//! own package with all that it depends on, and the packages whose files it reads. Nothing is
//! configured in there.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::layers::Layers;
use super::run::{log_streams, log_tail, recording_sandbox};
use super::{ConfigureError, Request, delta};
use crate::exec::environment::Environment;
use crate::exec::files::FileError;
use crate::exec::process::status_in_words;
use crate::exec::sandbox::{self, Command, Limits, last_lines};
use crate::tree::{Manifest, TreePath};

/// A program that makes files from the files of many packages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Helper {
    /// `depmod`: which kernel module needs which.
    KernelModules,
    /// `systemd-hwdb`: what udev knows about devices.
    HardwareDatabase,
    /// `update-ca-certificates`: the certificates that TLS clients trust.
    Certificates,
}

/// What a helper's program made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    /// The directory that holds `data/` and `manifest`, below the scratch directory.
    pub directory: PathBuf,
    /// What was written to `manifest`.
    pub manifest: Manifest,
}

impl Helper {
    /// All helpers.
    pub const ALL: [Self; 3] = [Self::KernelModules, Self::HardwareDatabase, Self::Certificates];

    /// The Debian package that has the program.
    pub fn package(self) -> &'static str {
        match self {
            Self::KernelModules => "kmod",
            Self::HardwareDatabase => "udev",
            Self::Certificates => "ca-certificates",
        }
    }

    /// Packages that the program needs besides its own package's dependencies: its script assumes
    /// that everything essential is there.
    pub fn packages_assumed(self) -> &'static [&'static str] {
        match self {
            Self::KernelModules | Self::HardwareDatabase => &[],
            Self::Certificates => &["coreutils", "dash", "debianutils", "findutils", "grep", "sed"],
        }
    }

    /// Whether a package with a file at `path` is one whose files the program reads.
    pub fn reads(self, path: &TreePath) -> bool {
        let below = |directory: &str| {
            let rest = path.as_bytes().strip_prefix(directory.as_bytes());
            rest.is_some_and(|rest| rest.first() == Some(&b'/'))
        };
        match self {
            Self::KernelModules => below("usr/lib/modules"),
            Self::HardwareDatabase => below("usr/lib/udev/hwdb.d") || below("etc/udev/hwdb.d"),
            Self::Certificates => {
                below("usr/share/ca-certificates") || below("usr/local/share/ca-certificates")
            }
        }
    }

    fn commands(self, layers: &Layers) -> Vec<Command> {
        match self {
            Self::KernelModules => {
                let versions = kernel_versions(layers);
                versions.iter().map(|version| Command::new(["depmod", version.as_str()])).collect()
            }
            Self::HardwareDatabase => vec![Command::new(["systemd-hwdb", "--usr", "update"])],
            Self::Certificates => vec![Command::new(["update-ca-certificates", "--default"])],
        }
    }
}

/// Runs a helper's program on `request.packages`; the numbers in the request are not looked at.
///
/// The result depends on the packages and the epoch alone. Packages without anything to do give an
/// empty manifest.
///
/// # Errors
///
/// [`ConfigureError::Helper`] when the program failed; or what kept it from running.
pub fn run_helper(
    environment: &Environment,
    helper: Helper,
    request: &Request,
    limits: &Limits,
) -> Result<Made, ConfigureError> {
    let layers = Layers::read(&request.packages)?;
    let upper = request.scratch.join("upper");
    std::fs::create_dir_all(&upper).map_err(FileError::at("make", &upper))?;
    let commands = helper.commands(&layers);
    let mut owners = sandbox::Owners::default();
    if !commands.is_empty() {
        let sandbox = recording_sandbox(request, &layers);
        let streams = log_streams(request)?;
        let ran = sandbox::run(environment, &sandbox, &commands, streams, limits)
            .map_err(ConfigureError::Sandbox)?;
        if !ran.status.success() {
            return Err(ConfigureError::Helper {
                program: commands[ran.last].argv[0].to_string_lossy().into_owned(),
                status: status_in_words(ran.status),
                output: last_lines(log_tail(request)?.as_bytes()).trim_end().to_owned(),
                log: request.log.clone(),
            });
        }
        owners = ran.owners;
    }
    let manifest = delta::keep(request, &layers, &owners)?;
    delta::finish(request, &manifest)?;
    Ok(Made { directory: request.scratch.join(delta::DELTA), manifest })
}

/// The kernels whose modules are there: `<version>` of `usr/lib/modules/<version>/…`.
fn kernel_versions(layers: &Layers) -> BTreeSet<String> {
    let paths = layers.entries.keys();
    let below = paths.filter_map(|path| path.as_bytes().strip_prefix(b"usr/lib/modules/"));
    let version = |rest: &[u8]| {
        let end = rest.iter().position(|&byte| byte == b'/')?;
        String::from_utf8(rest[..end].to_vec()).ok()
    };
    below.filter_map(version).collect()
}
