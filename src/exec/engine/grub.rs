//! Step: GRUB's packages → the image that a BIOS starts.

use std::path::Path;

use super::{Engine, Inputs, StepError};
use crate::exec::files::FileError;
use crate::exec::sandbox::{Command, Limits, Sandbox, Streams, Upper, run};
use crate::exec::store::References;
use crate::image::grub::mkimage_command;
use crate::lower::recipe::Role;

/// Where the tool writes, as it sees it.
const OUTPUT: &str = "core.img";

/// Makes a single file.
pub(super) fn run_mkimage(
    engine: &Engine<'_>,
    inputs: &Inputs<'_>,
    into: &Path,
) -> Result<References, StepError> {
    let layers = inputs.of(Role::Tool).map(|tool| engine.real(tool, "data")).collect();
    let scratch = into.with_extension("scratch");
    let mut sandbox = Sandbox::for_tool(layers);
    sandbox.upper = Upper::Directory(scratch.clone());
    let limits = Limits { interrupt: engine.interrupt.clone(), deadline: None };
    let commands = [Command::new(mkimage_command(&Path::new("/").join(OUTPUT)))];
    run(engine.environment, &sandbox, &commands, Streams::default(), &limits)?
        .checked(&commands)?;
    let made = scratch.join("upper").join(OUTPUT);
    std::fs::rename(&made, into).map_err(FileError::at("move", &made))?;
    Ok(References::None)
}
