//! Putting built trees into the store.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::open::{rename_tree, set_aside};
use super::scratch::remove_tree;
use super::{Store, StoreError, dump};
use crate::exec::files::FileError;
use crate::exec::interrupt::Interrupt;
use crate::exec::progress::Silent;
use crate::store::nar;
use crate::store::references::Candidates;
use crate::store::{PathInfo, StorePath, StorePathName};

/// A tree that is ready to be stored.
#[derive(Debug, Clone)]
pub struct ToAdd {
    /// Where it lies: inside a [`super::Scratch`] of this store. It is gone afterwards.
    pub built: PathBuf,
    /// The name after the digest.
    pub name: StorePathName,
    /// Which store paths it names.
    pub references: References,
}

/// How the references of a tree are known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum References {
    /// It can have none, such as the contents of a package; nothing is scanned.
    None,
    /// Those of these that its contents name.
    ScanFor(BTreeSet<StorePath>),
}

/// A tree whose path is known, ready to be placed.
#[derive(Debug)]
pub struct Built {
    pub(super) at: PathBuf,
    pub(super) info: PathInfo,
}

impl Store {
    /// Stores one tree; see [`Store::add_all`].
    pub fn add(&self, item: ToAdd) -> Result<StorePath, StoreError> {
        let paths = self.add_all(vec![item])?;
        Ok(paths.into_iter().next().expect("one path for one tree"))
    }

    /// Stores trees and answers their paths, in the same order; all become valid at once.
    ///
    /// Modification times become 1, modes stay. A tree that is in the store already is dropped.
    ///
    /// # Errors
    ///
    /// Nothing is valid then that was not before, and what was built may lie where it was or be gone.
    pub fn add_all(&self, items: Vec<ToAdd>) -> Result<Vec<StorePath>, StoreError> {
        let built = items
            .into_par_iter()
            .with_max_len(1)
            .map(|item| self.digest(item))
            .collect::<Result<Vec<_>, _>>()?;
        self.place(built)
    }

    /// Stores a single file that is not executable.
    pub fn add_bytes(
        &self,
        name: &StorePathName,
        bytes: &[u8],
        references: &References,
    ) -> Result<StorePath, StoreError> {
        let references = match references {
            References::None => BTreeSet::new(),
            References::ScanFor(paths) => Candidates::new(paths).named_in(bytes),
        };
        let nar = nar::of_file(bytes, false);
        let info = PathInfo::of_contents(self.directory(), name, nar, references);
        if self.is_valid(&info.path)? {
            return Ok(info.path);
        }
        let scratch = self.scratch(name.as_str())?;
        let at = scratch.path().join("file");
        write_read_only(&at, bytes)?;
        let path = info.path.clone();
        self.place(vec![Built { at, info }])?;
        Ok(path)
    }

    /// Finds the path of a tree; modification times become 1, modes stay.
    ///
    /// # Errors
    ///
    /// A tree that cannot be read, or holds what no store path can.
    pub fn digest(&self, item: ToAdd) -> Result<Built, StoreError> {
        let candidates = match &item.references {
            References::None => None,
            References::ScanFor(paths) => Some(Candidates::new(paths)),
        };
        let scanner = candidates.as_ref().map(Candidates::scanner);
        let watch = dump::Watch { interrupt: &Interrupt::default(), task: &Silent };
        let digested = dump::digest(&item.built, scanner, dump::Times::Store, watch)?;
        let nar = (digested.nar_hash, digested.nar_size);
        let info = PathInfo::of_contents(self.directory(), &item.name, nar, digested.references);
        Ok(Built { at: item.built, info })
    }

    /// Renames and registers what is new; answers all paths, in the same order.
    ///
    /// # Errors
    ///
    /// As [`Store::add_all`].
    pub fn place(&self, built: Vec<Built>) -> Result<Vec<StorePath>, StoreError> {
        let paths: Vec<StorePath> = built.iter().map(|built| built.info.path.clone()).collect();
        let lock = self.lock_for_change()?;
        let (new, spare) = self.split(built)?;
        if !new.is_empty() {
            self.set_leftovers_aside(&new)?;
            let mut moves = Moves::default();
            for built in &new {
                moves.rename(&built.at, &self.real_path(&built.info.path))?;
            }
            if self.boot.is_none() {
                self.sync_file_system()?;
            }
            let infos: Vec<PathInfo> = new.into_iter().map(|built| built.info).collect();
            self.registry().register(&infos, self.boot.as_deref())?;
            moves.keep();
        }
        drop(lock);
        for path in &spare {
            // What stays goes with its scratch directory.
            let _ = remove_tree(path);
        }
        Ok(paths)
    }

    /// Makes room where somebody died between renaming and registering.
    fn set_leftovers_aside(&self, new: &[Built]) -> Result<(), StoreError> {
        let leftovers: Vec<&StorePath> =
            new.iter().map(|built| &built.info.path).filter(|path| self.is_present(path)).collect();
        if leftovers.is_empty() {
            return Ok(());
        }
        let scratch = self.scratch("replaced")?;
        leftovers.into_iter().try_for_each(|path| set_aside(&self.real_path(path), &scratch))
    }

    /// What must be placed, each path once, and where the rest lies.
    fn split(&self, built: Vec<Built>) -> Result<(Vec<Built>, Vec<PathBuf>), StoreError> {
        let mut new: Vec<Built> = Vec::new();
        let mut spare = Vec::new();
        let mut placed = BTreeSet::new();
        for built in built {
            let path = &built.info.path;
            if placed.contains(path) || self.is_valid(path)? {
                spare.push(built.at);
            } else {
                placed.insert(path.clone());
                new.push(built);
            }
        }
        for reference in new.iter().flat_map(|built| &built.info.references) {
            if !placed.contains(reference) && !self.is_valid(reference)? {
                return Err(StoreError::NotValid { path: reference.clone() });
            }
        }
        Ok((new, spare))
    }
}

/// Renames that are undone when not all of a batch succeeds.
#[derive(Default)]
struct Moves(Vec<(PathBuf, PathBuf)>);

impl Moves {
    fn rename(&mut self, from: &Path, to: &Path) -> Result<(), StoreError> {
        rename_tree(from, to).map_err(FileError::at("move into the store", from))?;
        self.0.push((from.to_owned(), to.to_owned()));
        Ok(())
    }

    fn keep(mut self) {
        self.0.clear();
    }
}

impl Drop for Moves {
    fn drop(&mut self) {
        for (from, to) in &self.0 {
            // What cannot be moved back is unregistered, and so garbage.
            let _ = rename_tree(to, from);
        }
    }
}

fn write_read_only(path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    let failed = FileError::at("write", path);
    let write = || {
        let mut file = File::create_new(path)?;
        file.write_all(bytes)?;
        let modified = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1);
        file.set_modified(modified)?;
        file.set_permissions(fs::Permissions::from_mode(0o444))
    };
    Ok(write().map_err(failed)?)
}
