//! What users of trees need: missing parents, children of a directory, contents found in the store.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use thiserror::Error;

use super::{Entries, Entry, FileBeside, Manifest, Node, StoreFile, Tree, TreePath};
use crate::store::StorePath;

/// The directory of a package's store path that holds the contents which its manifest describes.
pub const DATA_DIRECTORY: &str = "data";

/// An entry that lies below something that is not a directory.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{path}` lies below `{parent}`, which is not a directory")]
pub struct NotADirectoryError {
    /// The entry.
    pub path: TreePath,
    /// What stands above it.
    pub parent: TreePath,
}

impl<F> Entry<F> {
    /// A directory of mode 0755 that belongs to root, from 1970: what stands in for a parent that
    /// nobody described.
    pub fn default_directory() -> Self {
        let node = Node::Directory;
        Self { mode: 0o755, uid: 0, gid: 0, mtime: 0, xattrs: BTreeMap::new(), node }
    }

    /// Whether this is a directory.
    pub fn is_directory(&self) -> bool {
        matches!(self.node, Node::Directory)
    }

    /// The same entry with another way to say where the contents are.
    pub fn map_file<G>(self, place: impl FnOnce(F) -> G) -> Entry<G> {
        let Self { mode, uid, gid, mtime, xattrs, node } = self;
        let node = match node {
            Node::File(file) => Node::File(place(file)),
            Node::Directory => Node::Directory,
            Node::Symlink(target) => Node::Symlink(target),
            Node::HardLink(first) => Node::HardLink(first),
            Node::Fifo => Node::Fifo,
        };
        Entry { mode, uid, gid, mtime, xattrs, node }
    }
}

impl Manifest {
    /// The same entries with their contents found below `data/` in `store_path`; removals are dropped.
    pub fn into_tree(self, store_path: &StorePath) -> Tree {
        let data = TreePath::new(DATA_DIRECTORY).expect("the name is a path");
        let in_store = |(path, entry): (TreePath, Entry<FileBeside>)| {
            let inner = data.join(&path);
            let place =
                |file: FileBeside| StoreFile { size: file.size, path: store_path.clone(), inner };
            (path, entry.map_file(place))
        };
        self.entries.into_iter().map(in_store).collect()
    }
}

/// Adds each directory that lies above an entry and is not there, the root included.
///
/// # Errors
///
/// The first entry, in order, that has something above it which is not a directory; then nothing was
/// added.
pub fn complete_parents<F>(entries: &mut Entries<F>) -> Result<(), NotADirectoryError> {
    let mut missing = BTreeSet::from([TreePath::root()]);
    let mut known_good = None;
    for path in entries.keys() {
        let mut above = path.parent();
        if above == known_good {
            continue;
        }
        known_good.clone_from(&above);
        while let Some(parent) = above {
            match entries.get(&parent) {
                Some(entry) if entry.is_directory() => break,
                Some(_) => return Err(NotADirectoryError { path: path.clone(), parent }),
                None => {}
            }
            above = parent.parent();
            if !missing.insert(parent) {
                break;
            }
        }
    }
    for path in missing {
        entries.entry(path).or_insert_with(Entry::default_directory);
    }
    Ok(())
}

/// What lies directly in `directory`, by name; reads over all that is below.
///
/// For a whole tree [`by_directory`] is the faster way.
pub fn children<'a, F>(
    entries: &'a Entries<F>,
    directory: &'a TreePath,
) -> impl Iterator<Item = (&'a TreePath, &'a Entry<F>)> {
    let below = (Bound::Excluded(directory), Bound::Unbounded);
    entries
        .range::<TreePath, _>(below)
        .take_while(|(path, _)| path.as_bytes().starts_with(directory.as_bytes()))
        .filter(|(path, _)| path.parent_bytes() == Some(directory.as_bytes()))
}

/// The entries of every directory, by name; a directory without entries is not a key.
pub fn by_directory<F>(entries: &Entries<F>) -> BTreeMap<&[u8], Vec<(&TreePath, &Entry<F>)>> {
    let mut directories: BTreeMap<&[u8], Vec<_>> = BTreeMap::new();
    for (path, entry) in entries {
        if let Some(parent) = path.parent_bytes() {
            directories.entry(parent).or_default().push((path, entry));
        }
    }
    directories
}

#[cfg(test)]
mod tests;
