//! Step: packages, what their scripts changed, helpers → the part of a host that packages decide.

use std::path::Path;

use super::{Engine, Inputs, StepError, TreeError, layers, tree_text};
use crate::exec::files::write_scratch;
use crate::exec::store::References;
use crate::lower::base::{Base, base_of};
use crate::lower::compose::{apply, compose};
use crate::lower::recipe::Role;
use crate::tree::shape::complete_parents;

/// Contents of the base's own files lie here, as in a package.
pub(super) const FACTORY_FILE: &str = "data/usr/lib/tmpfiles.d/nexus-factory.conf";

pub(super) fn run(
    engine: &Engine<'_>,
    inputs: &Inputs<'_>,
    epoch: u64,
    into: &Path,
) -> Result<References, StepError> {
    let packages = layers::read(engine, inputs.of(Role::Package))?;
    let mut root = compose(packages).map_err(TreeError::Conflict)?;
    for path in inputs.of(Role::Delta).chain(inputs.of(Role::Helper)) {
        let difference = tree_text::read_manifest(&engine.real(path, ""), path)?;
        apply(&mut root, difference, path);
    }
    for entry in root.values_mut() {
        entry.mtime = entry.mtime.min(epoch);
    }
    complete_parents(&mut root).map_err(TreeError::Shape)?;
    let Base { mut tree, factory_configuration } = base_of(&root);
    complete_parents(&mut tree).map_err(TreeError::Shape)?;
    tree_text::write(&tree, into)?;
    write_scratch(&into.join(FACTORY_FILE), factory_configuration.as_bytes())?;
    let all = inputs.outputs.iter().cloned().collect();
    Ok(References::ScanFor(all))
}
