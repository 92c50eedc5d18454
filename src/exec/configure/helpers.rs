//! What maintainer scripts would have made with slow programs, made apart and at the same time.
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
use crate::lower::recipe::Helper;
use crate::tree::Manifest;

/// What a helper's program made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    /// The directory that holds `data/` and `manifest`, below the scratch directory.
    pub directory: PathBuf,
    /// What was written to `manifest`.
    pub manifest: Manifest,
}

/// What to run; nothing when the packages have nothing to do for it.
fn commands(helper: Helper, layers: &Layers) -> Vec<Command> {
    match helper {
        Helper::KernelModules => {
            let versions = kernel_versions(layers);
            versions.iter().map(|version| Command::new(["depmod", version.as_str()])).collect()
        }
        Helper::HardwareDatabase => vec![Command::new(["systemd-hwdb", "--usr", "update"])],
        Helper::Certificates => vec![Command::new(["update-ca-certificates", "--default"])],
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
    let commands = commands(helper, &layers);
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
