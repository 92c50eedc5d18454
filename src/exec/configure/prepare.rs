//! The state in which dpkg finds the packages: unpacked, with their owners and modes, and nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, Permissions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use rustix::fs::XattrFlags;

use super::layers::{Layers, mode_on_disk};
use super::replacements::{Replacement, is_replaced, replacements};
use super::{ConfigureError, Request};
use crate::debian::dpkg_database::{self, DATABASE};
use crate::exec::files::FileError;
use crate::exec::sandbox::{OWNER_ATTRIBUTE, Owner};
use crate::tree::{Entry, FileBeside, Node, TreePath};

/// The lists of accounts that every Debian system has, and where they go. Source: base-passwd.
const MASTERS: &[(&str, &str)] = &[
    ("usr/share/base-passwd/passwd.master", "etc/passwd"),
    ("usr/share/base-passwd/group.master", "etc/group"),
];

/// What was made in the scratch directory.
#[derive(Debug)]
pub(super) struct Prepared {
    /// The layer of programs that do nothing.
    pub(super) replacements: PathBuf,
    /// Owners other than root that packages give to their files.
    pub(super) known_owners: BTreeMap<PathBuf, Owner>,
}

/// Fills the scratch directory.
pub(super) fn prepare(request: &Request, layers: &Layers) -> Result<Prepared, ConfigureError> {
    let scratch = &request.scratch;
    std::fs::create_dir_all(scratch).map_err(FileError::at("make", scratch))?;
    let replacements = scratch.join("replacements");
    write_replacements(&replacements, layers)?;
    let mut upper = Upper::new(scratch.join("upper"), layers)?;
    let mut known_owners = BTreeMap::new();
    for (path, (_, entry)) in &layers.entries {
        let owner = Owner { uid: entry.uid, gid: entry.gid };
        if owner != Owner::default() {
            known_owners.insert(Path::new("/").join(path.to_path()), owner);
        }
        // A copy in the upper layer would hide a replacement.
        let differs = owner != Owner::default() || mode_on_disk(entry) != entry.mode;
        if differs && !is_replaced(path) {
            upper.copy_up(path, entry)?;
        }
    }
    for (path, file) in dpkg_database::unpacked_database(&layers.packages)? {
        let path = TreePath::new(format!("{DATABASE}/{path}"))?;
        upper.write(&path, file.mode, &file.contents)?;
    }
    for (master, target) in MASTERS {
        upper.write(&TreePath::new(*target)?, 0o644, &layers.read_file(master)?)?;
    }
    Ok(Prepared { replacements, known_owners })
}

fn write_replacements(root: &Path, layers: &Layers) -> Result<(), ConfigureError> {
    for (name, replacement) in replacements(layers.entries.keys()) {
        let path = root.join(name.to_path());
        make_directories(root, &name.parent().unwrap_or_default(), layers)?;
        match replacement {
            Replacement::Link(target) => {
                symlink(target, &path).map_err(FileError::at("make", &path))?;
            }
            Replacement::Script(text) => write_file(&path, 0o755, text.as_bytes())?,
            Replacement::Copy(of) => write_file(&path, 0o755, &layers.read_file(of)?)?,
        }
    }
    Ok(())
}

/// Makes a directory of the topmost lower layer, whose mode is the one that is seen.
fn make_directories(root: &Path, path: &TreePath, layers: &Layers) -> Result<(), FileError> {
    if let Some(parent) = path.parent() {
        make_directories(root, &parent, layers)?;
    }
    let target = root.join(path.to_path());
    if target.is_dir() {
        return Ok(());
    }
    std::fs::create_dir(&target).map_err(FileError::at("make", &target))?;
    set_mode(&target, layers.entry(path).map_or(0o755, mode_on_disk))
}

/// The layer that scripts write to, before they run.
struct Upper<'a> {
    root: PathBuf,
    layers: &'a Layers,
    made: BTreeSet<TreePath>,
}

impl<'a> Upper<'a> {
    fn new(root: PathBuf, layers: &'a Layers) -> Result<Self, FileError> {
        std::fs::create_dir(&root).map_err(FileError::at("make", &root))?;
        set_mode(&root, 0o755)?;
        Ok(Self { root, layers, made: BTreeSet::from([TreePath::root()]) })
    }

    /// Makes what scripts see at `path` have the mode and owner of its package.
    fn copy_up(
        &mut self,
        path: &TreePath,
        entry: &Entry<FileBeside>,
    ) -> Result<(), ConfigureError> {
        match entry.node {
            Node::Directory => self.directory(path),
            Node::File(_) | Node::HardLink(_) => {
                self.parent(path)?;
                let source = self.layers.file(path).expect("the entry is one of the layers'");
                let target = self.root.join(path.to_path());
                std::fs::copy(&source, &target).map_err(FileError::at("copy", &source))?;
                set_attributes(&target, entry)?;
                Ok(())
            }
            // The recorder could not tell its owner; no package has such ones.
            Node::Symlink(_) | Node::Fifo => Ok(()),
        }
    }

    fn write(&mut self, path: &TreePath, mode: u16, contents: &[u8]) -> Result<(), ConfigureError> {
        self.parent(path)?;
        Ok(write_file(&self.root.join(path.to_path()), mode, contents)?)
    }

    fn parent(&mut self, path: &TreePath) -> Result<(), ConfigureError> {
        path.parent().map_or(Ok(()), |parent| self.directory(&parent))
    }

    /// Makes a directory and those above it, each as its package has it: this layer's attributes
    /// are the ones that are seen.
    fn directory(&mut self, path: &TreePath) -> Result<(), ConfigureError> {
        if self.made.contains(path) {
            return Ok(());
        }
        self.parent(path)?;
        let target = self.root.join(path.to_path());
        let made = std::fs::DirBuilder::new().mode(0o755).create(&target);
        made.map_err(FileError::at("make", &target))?;
        match self.layers.entry(path) {
            Some(entry) if entry.is_directory() => set_attributes(&target, entry)?,
            _ => set_mode(&target, 0o755)?,
        }
        self.made.insert(path.clone());
        Ok(())
    }
}

fn set_attributes(path: &Path, entry: &Entry<FileBeside>) -> Result<(), FileError> {
    let owner = Owner { uid: entry.uid, gid: entry.gid };
    if owner != Owner::default() {
        let text = owner.to_string();
        // While the mode still lets the caller.
        set_mode(path, 0o700)?;
        rustix::fs::setxattr(path, OWNER_ATTRIBUTE, text.as_bytes(), XattrFlags::empty())
            .map_err(|errno| FileError::at("note the owner of", path)(errno.into()))?;
    }
    set_mode(path, entry.mode)
}

fn set_mode(path: &Path, mode: u16) -> Result<(), FileError> {
    std::fs::set_permissions(path, Permissions::from_mode(mode.into()))
        .map_err(FileError::at("set the mode of", path))
}

fn write_file(path: &Path, mode: u16, contents: &[u8]) -> Result<(), FileError> {
    let mut file = File::create(path).map_err(FileError::at("make", path))?;
    file.write_all(contents).map_err(FileError::at("write", path))?;
    file.set_permissions(Permissions::from_mode(mode.into()))
        .map_err(FileError::at("set the mode of", path))
}
