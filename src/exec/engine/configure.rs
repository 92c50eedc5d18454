//! Step: unpacked packages → what their maintainer scripts change.

use std::path::Path;

use super::{Engine, Inputs, StepError, layers};
use crate::debian::accounts::Ids;
use crate::exec::configure::{Request, configure, remove_scratch};
use crate::exec::files::FileError;
use crate::exec::sandbox::Limits;
use crate::exec::store::References;
use crate::lower::recipe::Role;

pub(super) fn run(
    engine: &Engine<'_>,
    inputs: &Inputs<'_>,
    ids: &Ids,
    epoch: u64,
    into: &Path,
) -> Result<References, StepError> {
    let layers = layers::read(engine, inputs.of(Role::Package))?;
    let scratch = into.with_extension("scratch");
    let logs = engine.store.root().join("nix/var/log/nexus-host");
    std::fs::create_dir_all(&logs).map_err(FileError::at("create", &logs))?;
    let request = Request {
        packages: layers.iter().map(|layer| engine.real(&layer.path, "")).collect(),
        ids: ids.clone(),
        epoch_seconds: epoch,
        scratch: scratch.clone(),
        // Its own, because another process may be configuring the same packages now.
        log: logs.join(format!("maintainer-scripts-{}.log", std::process::id())),
    };
    let limits = Limits { interrupt: engine.interrupt.clone(), deadline: None };
    match configure(engine.environment, &request, engine.progress, &limits) {
        Ok(configured) => {
            std::fs::rename(&configured.directory, into).map_err(FileError::at("move", into))?;
            remove_scratch(&scratch)?;
            // Only what failed is worth reading.
            let _kept = std::fs::remove_file(&request.log);
            Ok(References::None)
        }
        Err(error) => {
            // The error that counts is the first one; the store clears its scratch directories later.
            let _left = remove_scratch(&scratch);
            Err(error.into())
        }
    }
}
