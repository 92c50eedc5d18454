//! The unpacked packages: their manifests merged, their control data read.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::ConfigureError;
use crate::debian::dpkg_database::{self, Conffile, Identity, UnpackedPackage};
use crate::exec::files::{FileError, read_limited};
use crate::tree::{Entry, FileBeside, Manifest, Node, TreePath};

/// Most bytes of a manifest or a control file.
const FILE_BYTES_MAX: u64 = 256 << 20;

/// Permission bits that files below `data/` have besides those of their manifest, so that the builder
/// can read them; see `exec::unpack`.
const FILE_MODE_ADDED: u16 = 0o400;
const DIRECTORY_MODE_ADDED: u16 = 0o700;

/// All packages as one tree.
#[derive(Debug)]
pub(super) struct Layers {
    /// The directories given, in order.
    pub(super) directories: Vec<PathBuf>,
    /// What identifies each package.
    pub(super) identities: Vec<Identity>,
    /// What goes into dpkg's database.
    pub(super) packages: Vec<UnpackedPackage>,
    /// What is seen at each path, and the position of the package it is from.
    pub(super) entries: BTreeMap<TreePath, (usize, Entry<FileBeside>)>,
}

impl Layers {
    /// Reads every package's manifest and control files.
    pub(super) fn read(directories: &[PathBuf]) -> Result<Self, ConfigureError> {
        let read: Vec<(Manifest, Identity, UnpackedPackage)> = directories
            .par_iter()
            .map(|directory| read_package(directory))
            .collect::<Result<_, _>>()?;
        let mut layers = Self {
            directories: directories.to_vec(),
            identities: Vec::with_capacity(read.len()),
            packages: Vec::with_capacity(read.len()),
            entries: BTreeMap::new(),
        };
        for (index, (manifest, identity, package)) in read.into_iter().enumerate() {
            layers.identities.push(identity);
            layers.packages.push(package);
            for (path, entry) in manifest.entries {
                layers.entries.insert(path, (index, entry));
            }
        }
        Ok(layers)
    }

    /// The attributes and kind of what is seen at `path`.
    pub(super) fn entry(&self, path: &TreePath) -> Option<&Entry<FileBeside>> {
        self.entries.get(path).map(|(_, entry)| entry)
    }

    /// Where the contents at `path` lie on the disk.
    pub(super) fn file(&self, path: &TreePath) -> Option<PathBuf> {
        let (index, _) = self.entries.get(path)?;
        Some(self.directories[*index].join("data").join(path.to_path()))
    }

    /// The bytes of the file at `path`.
    pub(super) fn read_file(&self, path: &str) -> Result<Vec<u8>, ConfigureError> {
        let path = TreePath::new(path)?;
        let file = self.file(&path).ok_or(ConfigureError::Missing { path })?;
        Ok(read_limited(&file, FILE_BYTES_MAX)?)
    }

    /// Paths below `directory`, itself not included.
    pub(super) fn below<'a>(
        &'a self,
        directory: &'a TreePath,
    ) -> impl Iterator<Item = &'a TreePath> {
        let start = std::ops::Bound::Excluded(directory);
        let after = self.entries.range((start, std::ops::Bound::Unbounded));
        // What is below shares the prefix, but a name like `a-b` sorts between `a` and `a/b`.
        after
            .map(|(path, _)| path)
            .take_while(move |path| path.as_bytes().starts_with(directory.as_bytes()))
            .filter(move |path| path.strip_prefix(directory).is_some())
    }
}

/// The permission bits that an entry has on the disk.
pub(super) fn mode_on_disk(entry: &Entry<FileBeside>) -> u16 {
    match entry.node {
        Node::Directory => entry.mode & 0o777 | DIRECTORY_MODE_ADDED,
        _ => entry.mode & 0o777 | FILE_MODE_ADDED,
    }
}

fn read_package(directory: &Path) -> Result<(Manifest, Identity, UnpackedPackage), ConfigureError> {
    let path = directory.join("manifest");
    let manifest = Manifest::parse(&read_limited(&path, FILE_BYTES_MAX)?)
        .map_err(|source| ConfigureError::Manifest { path, source })?;
    let mut control_files = read_control(&directory.join("control"))?;
    let control = control_files.remove("control").unwrap_or_default();
    let identity = Identity::of(&control)?;
    let mut conffile_digests = BTreeMap::new();
    if let Some(contents) = control_files.get("conffiles") {
        for Conffile { path, .. } in dpkg_database::conffiles(&identity.name, contents)? {
            // A link or something that the package does not hold has no digest.
            let is_file = |entry: &Entry<FileBeside>| matches!(entry.node, Node::File(_));
            if manifest.entries.get(&path).is_some_and(is_file) {
                let file = directory.join("data").join(path.to_path());
                let contents = read_limited(&file, FILE_BYTES_MAX)?;
                conffile_digests.insert(path, dpkg_database::conffile_digest(&contents));
            }
        }
    }
    let paths = manifest.entries.keys().cloned().collect();
    Ok((manifest, identity, UnpackedPackage { control, control_files, paths, conffile_digests }))
}

fn read_control(directory: &Path) -> Result<BTreeMap<String, Vec<u8>>, FileError> {
    let listed = std::fs::read_dir(directory).map_err(FileError::at("list", directory))?;
    let mut files = BTreeMap::new();
    for entry in listed {
        let entry = entry.map_err(FileError::at("list", directory))?;
        // dpkg takes no other names, and no directories, from there.
        let Ok(name) = entry.file_name().into_string() else { continue };
        let kind = entry.file_type().map_err(FileError::at("look at", &entry.path()))?;
        if kind.is_file() {
            files.insert(name, read_limited(&entry.path(), FILE_BYTES_MAX)?);
        }
    }
    Ok(files)
}
