//! A file tree as a value: names, owners, modes, times, contents by reference.
//!
//! [`Manifest`] describes the files of one store path (contents lie beside it); [`Tree`] is what is
//! composed from many and written into images. Text form of a manifest (one line an entry, sorted by
//! path, fields separated by one space; every byte of a path, target or attribute name outside
//! `!`..`~`, and `%` itself, as `%XX`):
//!
//! ```text
//! nexus-manifest 1
//! d 0755 0 0 1700000000 usr/bin
//! f 0644 0 0 1700000000 1234 usr/share/doc/a
//! l 0777 0 0 1700000000 ../lib/x usr/bin/x
//! h usr/bin/perl usr/bin/perl5.40        (hard link: first name, this name)
//! p 0600 0 0 1700000000 run/initctl
//! x security.capability 0100000200… usr/bin/ping   (attribute of an entry that follows on a line before)
//! - etc/gone                              (only in a difference: the path is removed)
//! ```

use std::collections::BTreeMap;
use std::fmt;

use thiserror::Error;

use crate::store::StorePath;

/// A path inside a tree: relative, bytes; components non-empty and neither `.` nor `..`.
///
/// The empty path is the tree's own root. Ordered bytewise, so a directory comes before what it holds.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct TreePath(Vec<u8>);

/// A path with an empty, `.` or `..` component, a NUL, or more than 4095 bytes.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{path}` is not a path inside a tree")]
pub struct TreePathError {
    /// The path found, made printable and cut to 250 characters.
    pub path: String,
}

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
    /// Another name of the file at this path; attributes are those of the first name.
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
    pub removed: std::collections::BTreeSet<TreePath>,
}

/// A tree composed from store paths.
pub type Tree = Entries<StoreFile>;

impl TreePath {
    /// The root of the tree.
    pub fn root() -> Self {
        Self(Vec::new())
    }

    /// Checks a relative path.
    pub fn new(path: impl Into<Vec<u8>>) -> Result<Self, TreePathError> {
        let path = path.into();
        let bad = |part: &[u8]| part.is_empty() || part == b"." || part == b"..";
        if path.is_empty() {
            return Ok(Self(path));
        }
        if path.len() > 4095 || path.contains(&0) || path.split(|&c| c == b'/').any(bad) {
            let path = String::from_utf8_lossy(&path).chars().take(250).collect();
            return Err(TreePathError { path });
        }
        Ok(Self(path))
    }

    /// The raw bytes, without a slash in front.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether this is the tree's root.
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// The directory that holds this path; `None` for the root.
    pub fn parent(&self) -> Option<TreePath> {
        if self.is_root() {
            return None;
        }
        let end = self.0.iter().rposition(|&c| c == b'/').unwrap_or(0);
        Some(Self(self.0[..end].to_vec()))
    }

    /// The last component; empty for the root.
    pub fn file_name(&self) -> &[u8] {
        let start = self.0.iter().rposition(|&c| c == b'/').map_or(0, |slash| slash + 1);
        &self.0[start..]
    }

    /// This path with `name` (one or more components) below it.
    pub fn join(&self, name: &TreePath) -> TreePath {
        if self.is_root() {
            return name.clone();
        }
        if name.is_root() {
            return self.clone();
        }
        Self([&self.0[..], b"/", &name.0[..]].concat())
    }

    /// What remains after `prefix`, when this path is `prefix` or below it.
    pub fn strip_prefix(&self, prefix: &TreePath) -> Option<TreePath> {
        if prefix.is_root() {
            return Some(self.clone());
        }
        let rest = self.0.strip_prefix(&prefix.0[..])?;
        match rest.first() {
            None => Some(Self::root()),
            Some(b'/') => Some(Self(rest[1..].to_vec())),
            Some(_) => None,
        }
    }

    /// The path for the operating system.
    pub fn to_path(&self) -> std::path::PathBuf {
        use std::os::unix::ffi::OsStringExt as _;
        std::ffi::OsString::from_vec(self.0.clone()).into()
    }
}

impl fmt::Display for TreePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.0))
    }
}

impl fmt::Debug for TreePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", String::from_utf8_lossy(&self.0))
    }
}
