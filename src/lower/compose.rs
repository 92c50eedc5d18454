//! Packages → one root, by dpkg's rules; then what the maintainer scripts changed.
//!
//! Rules, from dpkg's `src/main/archives.c` (`tarobject`) and Debian policy 7.6: a directory that is
//! there already keeps its attributes and does not become a link; a link to a directory that is there
//! stays; any other path may come from two packages only when one of them says that it replaces the
//! other, and then its own wins. A file that loses its place lives on under its further names.

use std::collections::BTreeMap;

use thiserror::Error;

use crate::debian::layers::PackageMeta;
use crate::store::StorePath;
use crate::tree::links::Links;
use crate::tree::{Entry, Manifest, Node, StoreFile, Tree, TreePath};

/// An unpacked package.
#[derive(Debug, Clone)]
pub struct Layer {
    /// What its control file says.
    pub meta: PackageMeta,
    /// Where it lies.
    pub path: StorePath,
    /// What it holds.
    pub manifest: Manifest,
}

/// Two packages that want the same path.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "`{path}` is in package {first} and in package {second}, and neither can replace the other"
)]
pub struct ConflictError {
    /// The path.
    pub path: TreePath,
    /// The package that came first.
    pub first: String,
    /// The other.
    pub second: String,
}

/// The union of `layers`, lowest first.
///
/// # Errors
///
/// [`ConflictError`] for the first path, in order of layers, that two packages want.
pub fn compose(layers: Vec<Layer>) -> Result<Tree, ConflictError> {
    let mut tree = Tree::new();
    let mut links = Links::default();
    let mut owners: BTreeMap<TreePath, usize> = BTreeMap::new();
    let mut packages = Vec::with_capacity(layers.len());
    for (index, layer) in layers.into_iter().enumerate() {
        let mut new = layer.manifest.into_tree(&layer.path);
        packages.push(layer.meta);
        let mut lost = Vec::new();
        for (path, entry) in &new {
            let Some(present) = tree.get(path) else { continue };
            let first = &packages[owners[path]];
            match settle(present, entry, first, &packages[index]) {
                Settled::Keep => lost.push(path.clone()),
                Settled::Take => {}
                Settled::Conflict => {
                    let (first, second) =
                        (first.name.to_string(), packages[index].name.to_string());
                    return Err(ConflictError { path: path.clone(), first, second });
                }
            }
        }
        let mut new_links = Links::of(&new);
        for path in &lost {
            new_links.remove(&mut new, path);
        }
        owners.extend(new.keys().map(|path| (path.clone(), index)));
        links.extend(&mut tree, new);
    }
    Ok(tree)
}

enum Settled {
    Keep,
    Take,
    Conflict,
}

fn settle(
    present: &Entry<StoreFile>,
    new: &Entry<StoreFile>,
    old_package: &PackageMeta,
    new_package: &PackageMeta,
) -> Settled {
    match (&present.node, &new.node) {
        (Node::Directory | Node::Symlink(_), Node::Directory)
        | (Node::Directory, Node::Symlink(_)) => Settled::Keep,
        // Neither what lies in the directory nor the other could be kept.
        (Node::Directory, _) | (_, Node::Directory) => Settled::Conflict,
        // Two packages may bring the very same link, as they may bring the same directory.
        (Node::Symlink(a), Node::Symlink(b)) if a == b => Settled::Keep,
        _ if new_package.replaces(old_package) => Settled::Take,
        _ if old_package.replaces(new_package) => Settled::Keep,
        _ => Settled::Conflict,
    }
}

/// Lays a difference over a tree: removals first, then what is new or changed.
pub fn apply(tree: &mut Tree, difference: Manifest, path: &StorePath) {
    let mut links = Links::of(tree);
    for removed in &difference.removed {
        links.remove(tree, removed);
        remove_below(tree, &mut links, removed);
    }
    let new = difference.into_tree(path);
    for (at, _) in new.iter().filter(|(_, entry)| !entry.is_directory()) {
        if tree.get(at).is_some_and(Entry::is_directory) {
            remove_below(tree, &mut links, at);
        }
    }
    links.extend(tree, new);
}

fn remove_below(tree: &mut Tree, links: &mut Links, path: &TreePath) {
    // No component begins with a byte below 1.
    let Ok(start) = TreePath::new([path.as_bytes(), b"/\x01"].concat()) else { return };
    let inside: Vec<TreePath> = tree
        .range(start..)
        .map(|(at, _)| at)
        .take_while(|at| at.strip_prefix(path).is_some())
        .cloned()
        .collect();
    for at in inside {
        links.remove(tree, &at);
    }
}

#[cfg(test)]
mod tests;
