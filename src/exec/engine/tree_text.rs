//! A composed tree on disk: a manifest, and beside it where each file's contents are.
//!
//! `origins` has one line for each `f` line of `manifest`, in the same order:
//! `<store path base name> <path in it>`, the latter as in manifests.

use std::fmt::Write as _;
use std::path::Path;

use super::{StepError, TreeError};
use crate::exec::files::{FileError, read_limited, write_scratch};
use crate::store::StorePath;
use crate::tree::manifest::{path_from_text, path_to_text};
use crate::tree::{FileBeside, Manifest, Node, StoreFile, Tree, TreePath};

/// Most bytes of either file: 200 for each of 500,000 entries.
const BYTES_MAX: u64 = 100_000_000;

/// Writes `tree` into the directory `into`.
pub(super) fn write(tree: &Tree, into: &Path) -> Result<(), StepError> {
    let mut origins = String::new();
    let mut manifest = Manifest::default();
    for (path, entry) in tree {
        if let Node::File(file) = &entry.node {
            let inner = path_to_text(&file.inner);
            writeln!(origins, "{} {inner}", file.path).expect("a String takes all");
        }
        let beside = entry.clone().map_file(|file| FileBeside { size: file.size });
        manifest.entries.insert(path.clone(), beside);
    }
    write_scratch(&into.join("manifest"), manifest.to_text().as_bytes())?;
    write_scratch(&into.join("origins"), origins.as_bytes())?;
    Ok(())
}

/// Reads what [`write`] wrote.
pub(super) fn read(from: &Path, whose: &StorePath) -> Result<Tree, StepError> {
    let manifest = read_manifest(from, whose)?;
    let path = from.join("origins");
    let origins = read_limited(&path, BYTES_MAX)?;
    let origins = String::from_utf8(origins).map_err(|_| damaged(&path))?;
    let mut lines = origins.lines();
    let mut tree = Tree::new();
    for (at, entry) in manifest.entries {
        let mut fault = None;
        let is_file = matches!(entry.node, Node::File(_));
        let origin = if is_file { lines.next().and_then(origin_of) } else { None };
        let entry = entry.map_file(|file| {
            let (path, inner) = origin.unwrap_or_else(|| {
                fault = Some(());
                (whose.clone(), TreePath::root())
            });
            StoreFile { size: file.size, path, inner }
        });
        if fault.is_some() {
            return Err(damaged(&path).into());
        }
        tree.insert(at, entry);
    }
    Ok(tree)
}

/// Reads the manifest of a package, a delta or a helper.
pub(super) fn read_manifest(from: &Path, whose: &StorePath) -> Result<Manifest, StepError> {
    let text = read_limited(&from.join("manifest"), BYTES_MAX)?;
    let fault = |source| TreeError::Manifest { path: whose.clone(), source };
    Ok(Manifest::parse(&text).map_err(fault)?)
}

fn origin_of(line: &str) -> Option<(StorePath, TreePath)> {
    let (base, inner) = line.split_once(' ')?;
    Some((StorePath::from_base_name(base).ok()?, path_from_text(inner.as_bytes())?))
}

fn damaged(path: &Path) -> FileError {
    FileError::at("understand", path)(std::io::ErrorKind::InvalidData.into())
}
