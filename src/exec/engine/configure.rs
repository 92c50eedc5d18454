//! Steps: unpacked packages → what their maintainer scripts, and slow programs in their place, make.

use std::path::{Path, PathBuf};

use super::{Engine, Inputs, StepError, layers};
use crate::debian::lock::Ids;
use crate::exec::configure::helpers::run_helper;
use crate::exec::configure::{ConfigureError, Request, configure, remove_scratch};
use crate::exec::files::FileError;
use crate::exec::sandbox::Limits;
use crate::exec::store::References;
use crate::lower::recipe::{Helper, Role};

/// Runs the maintainer scripts.
pub(super) fn run(
    engine: &Engine<'_>,
    inputs: &Inputs<'_>,
    ids: &Ids,
    epoch: u64,
    into: &Path,
) -> Result<References, StepError> {
    keep(engine, request(engine, inputs, ids.clone(), epoch, into)?, into, |request, limits| {
        Ok(configure(engine.environment, request, engine.progress, limits)?.directory)
    })
}

/// Runs a helper's program.
pub(super) fn help(
    engine: &Engine<'_>,
    inputs: &Inputs<'_>,
    helper: Helper,
    epoch: u64,
    into: &Path,
) -> Result<References, StepError> {
    keep(engine, request(engine, inputs, Ids::default(), epoch, into)?, into, |request, limits| {
        Ok(run_helper(engine.environment, helper, request, limits)?.directory)
    })
}

fn request(
    engine: &Engine<'_>,
    inputs: &Inputs<'_>,
    ids: Ids,
    epoch: u64,
    into: &Path,
) -> Result<Request, StepError> {
    let packages = layers::ordered(engine, inputs.of(Role::Package))?;
    let logs = engine.store.root().join("nix/var/log/nexus-host");
    std::fs::create_dir_all(&logs).map_err(FileError::at("create", &logs))?;
    Ok(Request {
        packages: packages.iter().map(|(_, path)| engine.real(path, "")).collect(),
        ids,
        epoch_seconds: epoch,
        scratch: into.with_extension("scratch"),
        // Its own, because another process may be making the same now.
        log: logs.join(format!("{}-{}.log", inputs.recipe.name, std::process::id())),
    })
}

/// Moves what `make` made to `into`, and removes its scratch directory however it ended.
fn keep(
    engine: &Engine<'_>,
    request: Request,
    into: &Path,
    make: impl FnOnce(&Request, &Limits) -> Result<PathBuf, ConfigureError>,
) -> Result<References, StepError> {
    let limits = Limits { interrupt: engine.interrupt.clone(), deadline: None };
    match make(&request, &limits) {
        Ok(directory) => {
            std::fs::rename(&directory, into).map_err(FileError::at("move", into))?;
            remove_scratch(&request.scratch)?;
            // Only what failed is worth reading.
            let _kept = std::fs::remove_file(&request.log);
            Ok(References::None)
        }
        Err(error) => {
            // The error that counts is the first one; the store clears its scratch directories later.
            let _left = remove_scratch(&request.scratch);
            Err(error.into())
        }
    }
}
