//! Unpacked packages as layers: read, and put into the order in which they lie over each other.

use rayon::prelude::*;

use super::unpack::CONTROL_BYTES_MAX;
use super::{Engine, StepError, tree_text};
use crate::debian::layers::{PackageMeta, layer_order};
use crate::exec::files::read_limited;
use crate::lower::compose::Layer;
use crate::store::StorePath;

/// Sorts `paths` lowest first; reads no more of each than its control file.
pub(super) fn ordered<'a>(
    engine: &Engine<'_>,
    paths: impl Iterator<Item = &'a StorePath>,
) -> Result<Vec<(PackageMeta, &'a StorePath)>, StepError> {
    let paths: Vec<&StorePath> = paths.collect();
    let metas: Vec<PackageMeta> =
        paths.par_iter().map(|path| meta(engine, path)).collect::<Result<_, StepError>>()?;
    let order = layer_order(&metas);
    Ok(order.into_iter().map(|index| (metas[index].clone(), paths[index])).collect())
}

/// Reads `paths` and sorts them lowest first.
pub(super) fn read<'a>(
    engine: &Engine<'_>,
    paths: impl Iterator<Item = &'a StorePath>,
) -> Result<Vec<Layer>, StepError> {
    let layer = |(meta, path): (PackageMeta, &StorePath)| {
        let manifest = tree_text::read_manifest(&engine.real(path, ""), path)?;
        Ok(Layer { meta, path: path.clone(), manifest })
    };
    ordered(engine, paths)?.into_par_iter().map(layer).collect()
}

fn meta(engine: &Engine<'_>, path: &StorePath) -> Result<PackageMeta, StepError> {
    let control = read_limited(&engine.real(path, "control/control"), CONTROL_BYTES_MAX)?;
    PackageMeta::parse(&control).map_err(|source| StepError::Control { path: path.clone(), source })
}
