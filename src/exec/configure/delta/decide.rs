//! Which of the things found in the upper layer are changes, and how they are described.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::exec::configure::layers::Layers;
use crate::exec::configure::leaks::leak;
use crate::exec::configure::replacements::is_replaced;
use crate::exec::sandbox::{Owner, Owners};
use crate::tree::{Entry, FileBeside, Manifest, Node, TreePath};

/// One thing in the upper layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) kind: Kind,
    pub(super) mode: u16,
    /// The file's number in its file system.
    pub(super) inode: u64,
    /// The owner noted at it.
    pub(super) owner: Option<Owner>,
    /// The attribute `security.capability`, without a namespace.
    pub(super) capability: Option<Vec<u8>>,
}

/// What kind of thing was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    /// A directory; an opaque one hides what is below in lower layers.
    Directory { is_opaque: bool },
    /// A file, and whether it has the contents that the packages have there.
    File { size: u64, is_same: bool },
    /// A symbolic link.
    Symlink { target: Vec<u8> },
    /// A named pipe.
    Fifo,
    /// The mark that something in a lower layer was removed.
    Whiteout,
    /// A socket or device.
    Other,
}

/// The manifest of the delta. Depends on nothing but its arguments.
pub(super) fn decide(
    found: &BTreeMap<TreePath, Found>,
    layers: &Layers,
    owners: &Owners,
    epoch_seconds: u64,
) -> Manifest {
    let mut manifest = Manifest::default();
    for (path, thing) in found {
        let is_directory = matches!(thing.kind, Kind::Directory { .. });
        let is_link = matches!(thing.kind, Kind::Symlink { .. });
        if is_replaced(path) || leak(path, is_directory, is_link).is_some() || path.is_root() {
            continue;
        }
        remove_hidden(path, thing, found, layers, &mut manifest.removed);
        let Some(node) = node(thing) else { continue };
        let owner = owner(path, thing, owners);
        let mut xattrs = BTreeMap::new();
        if let Some(value) = &thing.capability {
            xattrs.insert(b"security.capability".to_vec(), value.clone());
        }
        let mut entry = Entry {
            mode: thing.mode,
            uid: owner.uid,
            gid: owner.gid,
            mtime: epoch_seconds,
            xattrs,
            node,
        };
        if let Some(below) = layers.entry(path)
            && has_same_contents(thing, below)
        {
            entry.mtime = below.mtime.min(epoch_seconds);
            if is_same(&entry, below) {
                continue;
            }
        }
        manifest.entries.insert(path.clone(), entry);
    }
    manifest
}

/// Notes what `thing` makes invisible in the packages.
fn remove_hidden(
    path: &TreePath,
    thing: &Found,
    found: &BTreeMap<TreePath, Found>,
    layers: &Layers,
    removed: &mut BTreeSet<TreePath>,
) {
    match thing.kind {
        Kind::Directory { is_opaque: false } => return,
        Kind::Whiteout if layers.entry(path).is_some() => {
            removed.insert(path.clone());
        }
        _ => {}
    }
    let hidden = layers.below(path).filter(|path| !found.contains_key(path));
    removed.extend(hidden.cloned());
}

fn node(thing: &Found) -> Option<Node<FileBeside>> {
    match &thing.kind {
        Kind::Directory { .. } => Some(Node::Directory),
        Kind::File { size, .. } => Some(Node::File(FileBeside { size: *size })),
        Kind::Symlink { target } => Some(Node::Symlink(target.clone())),
        Kind::Fifo => Some(Node::Fifo),
        Kind::Whiteout | Kind::Other => None,
    }
}

/// The owner noted at the thing; of a file that was rewritten through a new one, its path's.
///
/// The writer gave the new file the owner that it saw, which is root, or left it as it was, which is
/// root too. A call that gave the path itself back to root has made the recorder forget the path.
fn owner(path: &TreePath, thing: &Found, owners: &Owners) -> Owner {
    let by_path = || owners.by_path.get(&Path::new("/").join(path.to_path())).copied();
    let root = Owner::default();
    match thing.owner {
        Some(owner) if owner != root => owner,
        Some(_) => by_path().unwrap_or(root),
        None => {
            let is_file = matches!(thing.kind, Kind::File { .. });
            let by_path = if is_file { by_path() } else { None };
            by_path.or_else(|| owners.by_inode.get(&thing.inode).copied()).unwrap_or(root)
        }
    }
}

fn has_same_contents(thing: &Found, below: &Entry<FileBeside>) -> bool {
    match (&thing.kind, &below.node) {
        (Kind::File { is_same, .. }, Node::File(_) | Node::HardLink(_)) => *is_same,
        (Kind::Directory { .. }, Node::Directory) | (Kind::Fifo, Node::Fifo) => true,
        (Kind::Symlink { target }, Node::Symlink(below)) => target == below,
        _ => false,
    }
}

fn is_same(entry: &Entry<FileBeside>, below: &Entry<FileBeside>) -> bool {
    let symlink = matches!(entry.node, Node::Symlink(_));
    (symlink || entry.mode == below.mode)
        && (entry.uid, entry.gid) == (below.uid, below.gid)
        && entry.xattrs == below.xattrs
}

#[cfg(test)]
mod tests;
