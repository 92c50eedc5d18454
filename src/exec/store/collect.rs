//! Removing what nothing needs any longer.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::Path;

use super::open::set_aside;
use super::{Store, StoreError};
use crate::exec::files::FileError;
use crate::store::StorePath;

/// Bytes kept from being used by others, so that the registry can note removals on a full disk.
const RESERVE_BYTES: u64 = 4 << 20;

/// What [`Store::collect_garbage`] removed.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Collected {
    /// The valid paths that nothing referred to.
    pub paths: BTreeSet<StorePath>,
    /// Bytes of their NARs.
    pub nar_bytes: u64,
    /// Entries of the store directory that were not registered.
    pub unregistered: usize,
}

impl Store {
    /// Removes all that neither a root nor `keep` refers to, and what was never registered.
    ///
    /// Roots are all links below `nix/var/nix/gcroots`, Nix's own included.
    ///
    /// # Errors
    ///
    /// [`StoreError::InUse`] when another process, or another [`Store`] of this one, has it open.
    pub fn collect_garbage(&self, keep: &[StorePath]) -> Result<Collected, StoreError> {
        if !self.in_use.try_upgrade(&self.layout.use_lock)? {
            return Err(StoreError::InUse { root: self.root().to_owned() });
        }
        // Where the disk is full, this is what makes room for the first removal.
        let _ = fs::remove_file(&self.layout.reserve);
        let outcome = self.collect_alone(keep);
        keep_reserve(&self.layout.reserve);
        self.in_use.downgrade(&self.layout.use_lock)?;
        outcome
    }

    fn collect_alone(&self, keep: &[StorePath]) -> Result<Collected, StoreError> {
        let mut roots = keep.to_vec();
        self.gather_roots(&self.layout.gc_roots, &mut roots)?;
        // A root may outlive what it names, when someone removes that by hand.
        let registry = self.registry();
        let mut valid = Vec::new();
        for root in roots {
            if registry.is_registered(&root)? {
                valid.push(root);
            }
        }
        let all = registry.all()?;
        drop(registry);
        let live: BTreeSet<StorePath> = self.closure(&valid)?.into_iter().collect();
        let dead = all.iter().filter(|info| !live.contains(&info.path));
        let nar_bytes = dead.clone().map(|info| info.nar_size).sum();
        let dead = dead.map(|info| info.path.clone()).collect();
        let paths = self.remove(&dead)?;
        let unregistered = self.remove_unregistered(&live)?;
        self.forget_recipes()?;
        Ok(Collected { paths, nar_bytes, unregistered })
    }

    fn gather_roots(&self, directory: &Path, into: &mut Vec<StorePath>) -> Result<(), StoreError> {
        let failed = || FileError::at("list", directory);
        for entry in fs::read_dir(directory).map_err(failed())? {
            let entry = entry.map_err(failed())?;
            let kind = entry.file_type().map_err(failed())?;
            if kind.is_dir() {
                self.gather_roots(&entry.path(), into)?;
            } else if kind.is_symlink() {
                into.extend(self.follow(&entry.path()));
            }
        }
        Ok(())
    }

    /// The store path that a link leads to, at most over one other link, as Nix's indirect roots do.
    fn follow(&self, link: &Path) -> Option<StorePath> {
        let target = fs::read_link(link).ok()?;
        let direct = target.to_str().and_then(|target| self.path_in_directory(target));
        direct.or_else(|| {
            let target = fs::read_link(link.parent()?.join(target)).ok()?;
            self.path_in_directory(target.to_str()?)
        })
    }

    fn remove_unregistered(&self, live: &BTreeSet<StorePath>) -> Result<usize, StoreError> {
        let _lock = self.lock_for_change()?;
        let live: BTreeSet<&str> = live.iter().map(StorePath::as_str).collect();
        let scratch = self.scratch("unregistered")?;
        let mut entries = self.entries()?;
        entries.retain(|name| !live.contains(name.as_str()));
        for name in &entries {
            set_aside(&self.layout.paths.join(name), &scratch)?;
        }
        Ok(entries.len())
    }

    fn forget_recipes(&self) -> Result<(), StoreError> {
        self.registry().change("remove from", |transaction| {
            transaction.execute_batch(
                "delete from NexusRecipes
                 where recipe not in (select recipe from NexusRealisations)",
            )
        })
    }
}

/// Sees to it that the reserve is there, where the file system can do that and has room.
pub(super) fn keep_reserve(path: &Path) {
    let Ok(file) = File::create_new(path) else { return };
    let flags = rustix::fs::FallocateFlags::empty();
    if rustix::fs::fallocate(&file, flags, 0, RESERVE_BYTES).is_err() {
        let _ = fs::remove_file(path);
    }
}
