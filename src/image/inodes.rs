//! A tree as numbered inodes: names of a directory, links counted, every reference resolved.

use std::collections::BTreeMap;

use thiserror::Error;

use crate::tree::{Entries, Entry, Node, TreePath};

/// Most bytes in a file name; the limit of the kernel and of every format here.
const NAME_BYTES_MAX: usize = 255;

/// A file, directory or link of a tree, without its names.
#[derive(Debug)]
pub struct Inode<'t, F> {
    /// Its first name.
    pub path: &'t TreePath,
    /// Its attributes and contents; never a hard link.
    pub entry: &'t Entry<F>,
    /// Names that lead here; of a directory 2 and one more for each directory in it.
    pub links: u32,
    /// Index of the directory that holds the first name; the root is its own parent.
    pub parent: usize,
    /// Names of a directory with the index of what they name, ascending bytewise.
    pub children: Vec<(&'t [u8], usize)>,
}

/// A tree that cannot be a file system.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TreeError {
    /// There is no entry for the directory that holds a path, or for the root.
    #[error("the directory of `{path}` is not in the tree")]
    NoParent {
        /// The path found.
        path: TreePath,
    },
    /// What holds a path is not a directory.
    #[error("`{path}` lies in something that is not a directory")]
    ParentIsNoDirectory {
        /// The path found.
        path: TreePath,
    },
    /// A hard link leads to nothing, to a directory or to another hard link.
    #[error("`{path}` is a hard link to `{target}`, which is not a file of the tree")]
    HardLinkTarget {
        /// The link.
        path: TreePath,
        /// Where it leads.
        target: TreePath,
    },
    /// A file name has more than 255 bytes.
    #[error("`{path}` has a name of more than 255 bytes")]
    NameTooLong {
        /// The path found.
        path: TreePath,
    },
    /// The target of a symbolic link is empty or has more than 4095 bytes or a NUL.
    #[error("the target of the symbolic link `{path}` is empty, too long or has a NUL")]
    SymlinkTarget {
        /// The link.
        path: TreePath,
    },
}

/// Numbers the inodes of `tree` in the order of their first names; the root is number 0.
///
/// # Errors
///
/// [`TreeError`] for the first entry that has no place.
pub fn number<F>(tree: &Entries<F>) -> Result<Vec<Inode<'_, F>>, TreeError> {
    match tree.get(&TreePath::root()).map(|entry| &entry.node) {
        Some(Node::Directory) => {}
        Some(_) => return Err(TreeError::ParentIsNoDirectory { path: TreePath::root() }),
        None => return Err(TreeError::NoParent { path: TreePath::root() }),
    }
    let mut inodes: Vec<Inode<'_, F>> = Vec::with_capacity(tree.len());
    let mut numbers: BTreeMap<&[u8], usize> = BTreeMap::new();
    let mut hard_links = Vec::new();
    for (path, entry) in tree {
        check_names(path, entry)?;
        let parent = parent_of(path, &inodes, &numbers)?;
        if let Node::HardLink(target) = &entry.node {
            hard_links.push((path, target, parent));
            continue;
        }
        let number = inodes.len();
        let is_directory = matches!(entry.node, Node::Directory);
        if !path.is_root() {
            inodes[parent].children.push((path.file_name(), number));
            inodes[parent].links += u32::from(is_directory);
        }
        let links = if is_directory { 2 } else { 1 };
        numbers.insert(path.as_bytes(), number);
        inodes.push(Inode { path, entry, links, parent, children: Vec::new() });
    }
    for (path, target, parent) in hard_links {
        let fail = || TreeError::HardLinkTarget { path: path.clone(), target: target.clone() };
        let number = *numbers.get(target.as_bytes()).ok_or_else(fail)?;
        if matches!(inodes[number].entry.node, Node::Directory) {
            return Err(fail());
        }
        inodes[number].links += 1;
        let children = &mut inodes[parent].children;
        let place = children.partition_point(|(name, _)| *name < path.file_name());
        children.insert(place, (path.file_name(), number));
    }
    Ok(inodes)
}

fn check_names<F>(path: &TreePath, entry: &Entry<F>) -> Result<(), TreeError> {
    if path.file_name().len() > NAME_BYTES_MAX {
        return Err(TreeError::NameTooLong { path: path.clone() });
    }
    match &entry.node {
        Node::Symlink(target)
            if target.is_empty() || target.len() > 4095 || target.contains(&0) =>
        {
            Err(TreeError::SymlinkTarget { path: path.clone() })
        }
        _ => Ok(()),
    }
}

fn parent_of<F>(
    path: &TreePath,
    inodes: &[Inode<'_, F>],
    numbers: &BTreeMap<&[u8], usize>,
) -> Result<usize, TreeError> {
    let Some(directory) = path.parent() else { return Ok(0) };
    let parent = *numbers
        .get(directory.as_bytes())
        .ok_or_else(|| TreeError::NoParent { path: path.clone() })?;
    if matches!(inodes[parent].entry.node, Node::Directory) {
        Ok(parent)
    } else {
        Err(TreeError::ParentIsNoDirectory { path: path.clone() })
    }
}

/// Adds the directories that `tree` takes for granted, its root included, as `root:root` 0755.
pub fn complete<F>(tree: &mut Entries<F>, mtime: u64) {
    let paths: Vec<TreePath> = tree.keys().cloned().collect();
    for path in paths.into_iter().chain([TreePath::root()]) {
        let mut missing = if path.is_root() { Some(path) } else { path.parent() };
        while let Some(directory) = missing.take_if(|directory| !tree.contains_key(directory)) {
            missing = directory.parent();
            let entry = Entry {
                mode: 0o755,
                uid: 0,
                gid: 0,
                mtime,
                xattrs: BTreeMap::new(),
                node: Node::Directory,
            };
            tree.insert(directory, entry);
        }
    }
}

#[cfg(test)]
mod tests;
