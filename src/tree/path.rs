//! Paths inside a tree: relative, checked once, bytes.

use std::fmt;

use thiserror::Error;

/// Most bytes of a path or of a link's target: `PATH_MAX` of `linux/limits.h` without the NUL.
pub const PATH_BYTES_MAX: usize = 4095;

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
        if path.len() > PATH_BYTES_MAX || path.contains(&0) || path.split(|&c| c == b'/').any(bad) {
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
        self.parent_bytes().map(|parent| Self(parent.to_vec()))
    }

    /// The bytes of [`TreePath::parent`].
    pub fn parent_bytes(&self) -> Option<&[u8]> {
        parent_of(&self.0)
    }

    /// The last component; empty for the root.
    pub fn file_name(&self) -> &[u8] {
        let start = self.0.iter().rposition(|&c| c == b'/').map_or(0, |slash| slash + 1);
        &self.0[start..]
    }

    /// This path with `name` (one or more components) below it.
    #[must_use]
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

/// Cuts the last component off a checked path; `None` for the root.
pub(super) fn parent_of(path: &[u8]) -> Option<&[u8]> {
    let slash = path.iter().rposition(|&c| c == b'/').unwrap_or(0);
    if path.is_empty() { None } else { Some(&path[..slash]) }
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
