//! Steps: unpacked packages → what their maintainer scripts, and slow programs in their place, make.

use std::path::{Path, PathBuf};

use super::{Engine, Inputs, StepError, layers};
use crate::debian::accounts::Ids;
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
    let request = request(engine, inputs, ids.clone(), epoch, into)?;
    keep(
        &request,
        into,
        |limits| {
            let made = configure(engine.environment, &request, engine.progress, limits)?;
            Ok(made.directory)
        },
        engine,
    )
}

/// Runs a helper's program.
pub(super) fn help(
    engine: &Engine<'_>,
    inputs: &Inputs<'_>,
    helper: Helper,
    epoch: u64,
    into: &Path,
) -> Result<References, StepError> {
    let request = request(engine, inputs, Ids::default(), epoch, into)?;
    keep(
        &request,
        into,
        |limits| {
            let made = run_helper(engine.environment, helper, &request, limits)?;
            Ok(made.directory)
        },
        engine,
    )
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
    request: &Request,
    into: &Path,
    make: impl FnOnce(&Limits) -> Result<PathBuf, ConfigureError>,
    engine: &Engine<'_>,
) -> Result<References, StepError> {
    let limits = Limits { interrupt: engine.interrupt.clone(), deadline: None };
    match make(&limits) {
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
