//! Unpacked packages as layers: read, and put into the order in which they lie over each other.

use rayon::prelude::*;

use super::unpack::CONTROL_BYTES_MAX;
use super::{Engine, StepError, tree_text};
use crate::debian::layers::{PackageMeta, layer_order};
use crate::exec::files::read_limited;
use crate::lower::compose::Layer;
use crate::store::StorePath;

/// Reads `paths` and sorts them lowest first.
pub(super) fn read<'a>(
    engine: &Engine<'_>,
    paths: impl Iterator<Item = &'a StorePath>,
) -> Result<Vec<Layer>, StepError> {
    let paths: Vec<&StorePath> = paths.collect();
    let layers: Vec<Layer> =
        paths.into_par_iter().map(|path| layer(engine, path)).collect::<Result<_, StepError>>()?;
    let metas: Vec<PackageMeta> = layers.iter().map(|layer| layer.meta.clone()).collect();
    let mut slots: Vec<Option<Layer>> = layers.into_iter().map(Some).collect();
    let take = |index: usize| slots[index].take().expect("an order names each layer once");
    Ok(layer_order(&metas).into_iter().map(take).collect())
}

fn layer(engine: &Engine<'_>, path: &StorePath) -> Result<Layer, StepError> {
    let root = engine.real(path, "");
    let manifest = tree_text::read_manifest(&root, path)?;
    let control = read_limited(&root.join("control/control"), CONTROL_BYTES_MAX)?;
    let damaged = |source| StepError::Control { path: path.clone(), source };
    let meta = PackageMeta::parse(&control).map_err(damaged)?;
    Ok(Layer { meta, path: path.clone(), manifest })
}
