//! A file tree as a value: names, owners, modes, times, contents by reference.
//!
//! [`Manifest`] describes the files of one store path (contents lie beside it, in `data/`); its text
//! form is in [`manifest`]. [`Tree`] is composed from many and is what images are written
//! from. What every user of a tree needs is in [`shape`] and [`links`].

pub mod links;
pub mod manifest;
pub mod path;
pub mod shape;

use std::collections::{BTreeMap, BTreeSet};

use crate::store::StorePath;

pub use manifest::ManifestError;
pub use path::{TreePath, TreePathError};

/// What stands at a path, and its attributes. `F` says where a file's contents are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry<F> {
    /// The twelve permission bits, setuid, setgid and sticky included.
    pub mode: u16,
    /// Numeric owner on the host.
    pub uid: u32,
    /// Numeric group on the host.
    pub gid: u32,
    /// Seconds since 1970.
    pub mtime: u64,
    /// Extended attributes by full name (`security.capability`), raw values.
    pub xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Kind and contents.
    pub node: Node<F>,
}

/// Kind and contents of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node<F> {
    /// A directory.
    Directory,
    /// A regular file.
    File(F),
    /// A symbolic link and its raw target.
    Symlink(Vec<u8>),
    /// Another name of the file at this path.
    ///
    /// The entry repeats the file's mode, owner and time; the extended attributes are at the file only.
    HardLink(TreePath),
    /// A named pipe.
    Fifo,
}

/// Contents of a file in a manifest: they lie beside the manifest, at the same path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileBeside {
    /// Bytes.
    pub size: u64,
}

/// Contents of a file in a store path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreFile {
    /// Bytes.
    pub size: u64,
    /// The store path that holds the contents.
    pub path: StorePath,
    /// Where in it; empty when the store path is the file itself.
    pub inner: TreePath,
}

/// Entries by path; parents need not be present until a tree is completed.
pub type Entries<F> = BTreeMap<TreePath, Entry<F>>;

/// What one store path holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Manifest {
    /// The files, contents beside the manifest.
    pub entries: Entries<FileBeside>,
    /// Paths that this difference removes from what lies below; empty for packages.
    pub removed: BTreeSet<TreePath>,
}

/// A tree composed from store paths.
pub type Tree = Entries<StoreFile>;
