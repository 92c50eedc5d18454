//! Unpacked packages as layers: read, and put into the order in which they lie over each other.

use std::collections::BTreeSet;

use rayon::prelude::*;

use super::unpack::CONTROL_BYTES_MAX;
use super::{Engine, StepError, tree_text};
use crate::debian::control::Paragraphs;
use crate::exec::files::read_limited;
use crate::lower::compose::{Layer, layer_order};
use crate::store::StorePath;

/// Reads `paths`, in the order in which they are given, and sorts them lowest first.
///
/// `base-files` comes first of all, because the attributes of directories are its to say.
pub(super) fn read<'a>(
    engine: &Engine<'_>,
    paths: impl Iterator<Item = &'a StorePath>,
) -> Result<Vec<Layer>, StepError> {
    let paths: Vec<&StorePath> = paths.collect();
    let mut layers: Vec<Layer> =
        paths.into_par_iter().map(|path| layer(engine, path)).collect::<Result<_, StepError>>()?;
    layers.sort_by_key(|layer| layer.name != "base-files");
    let facts: Vec<(&str, &BTreeSet<String>)> =
        layers.iter().map(|layer| (layer.name.as_str(), &layer.replaces)).collect();
    let order = layer_order(&facts);
    let mut slots: Vec<Option<Layer>> = layers.into_iter().map(Some).collect();
    let take = |index: usize| slots[index].take().expect("an order names each layer once");
    Ok(order.into_iter().map(take).collect())
}

fn layer(engine: &Engine<'_>, path: &StorePath) -> Result<Layer, StepError> {
    let root = engine.real(path, "");
    let manifest = tree_text::read_manifest(&root, path)?;
    let control = read_limited(&root.join("control/control"), CONTROL_BYTES_MAX)?;
    let damaged = |source| StepError::Control { path: path.clone(), source };
    let none = || StepError::Missing { what: "a control paragraph".into(), path: path.clone() };
    let paragraph = Paragraphs::new(&control).next().ok_or_else(none)?;
    let name = paragraph.required("Package").map_err(damaged)?.to_owned();
    let replaces = paragraph.text("Replaces").map_err(damaged)?.map(names_in).unwrap_or_default();
    Ok(Layer { name, replaces, path: path.clone(), manifest })
}

/// Package names of a relation field, versions left out.
fn names_in(relations: &str) -> BTreeSet<String> {
    let name = |relation: &str| {
        let end = relation.find(|c: char| c.is_whitespace() || c == '(' || c == ':');
        relation[..end.unwrap_or(relation.len())].to_owned()
    };
    relations.split(',').map(str::trim).filter(|r| !r.is_empty()).map(name).collect()
}
