//! Opening a store: its directories, what a dead process or a power cut left.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rayon::prelude::*;

use super::collect::keep_reserve;
use super::lock::Lock;
use super::registry::Registry;
use super::scratch::{Scratch, remove_leftovers};
use super::{StoreError, dump};
use crate::exec::files::FileError;
use crate::exec::interrupt::Interrupt;
use crate::exec::progress::Silent;
use crate::store::{StoreDir, StorePath};

/// A store on disk; many threads and processes may use it at once.
#[derive(Debug)]
pub struct Store {
    pub(super) layout: Layout,
    directory: StoreDir,
    registry: Mutex<Registry>,
    /// Which start of the machine this is; none where the kernel does not say.
    pub(super) boot: Option<String>,
    /// Tells a collector of garbage that the store is in use.
    pub(super) in_use: Lock,
}

/// Where the parts of a store lie.
#[derive(Debug)]
pub(super) struct Layout {
    root: PathBuf,
    pub(super) paths: PathBuf,
    database: PathBuf,
    pub(super) gc_roots: PathBuf,
    pub(super) roots: PathBuf,
    pub(super) scratch: PathBuf,
    pub(super) add_lock: PathBuf,
    pub(super) use_lock: PathBuf,
    pub(super) reserve: PathBuf,
}

impl Layout {
    fn of(root: &Path) -> Self {
        let own = root.join("nix/var/nexus-host");
        let gc_roots = root.join("nix/var/nix/gcroots");
        Self {
            root: root.to_owned(),
            paths: root.join("nix/store"),
            database: root.join("nix/var/nix/db"),
            roots: gc_roots.join("nexus-host"),
            gc_roots,
            scratch: own.join("scratch"),
            add_lock: own.join("add.lock"),
            use_lock: own.join("use.lock"),
            reserve: own.join("reserve"),
        }
    }

    fn create(&self) -> Result<(), StoreError> {
        for directory in [&self.paths, &self.database, &self.roots, &self.scratch] {
            fs::create_dir_all(directory).map_err(FileError::at("create", directory))?;
        }
        Ok(())
    }
}

impl Store {
    /// Opens the store below `root`, an absolute path; makes it when there is none.
    ///
    /// Removes what dead processes were building. After a reboot it also digests the paths that may
    /// not have reached the disk, and forgets the broken ones.
    pub fn open(root: &Path) -> Result<Self, StoreError> {
        let layout = Layout::of(root);
        layout.create()?;
        let in_use = Lock::shared(&layout.use_lock)?;
        let directory = StoreDir::default();
        let registry = Registry::open(&layout.database, directory.clone(), &layout.add_lock)?;
        remove_leftovers(&layout.scratch)?;
        keep_reserve(&layout.reserve);
        let store =
            Self { layout, directory, registry: Mutex::new(registry), boot: boot(), in_use };
        store.prove_after_reboot()?;
        Ok(store)
    }

    /// The directory that paths are computed for, `/nix/store`; not where they lie.
    pub fn directory(&self) -> &StoreDir {
        &self.directory
    }

    /// The directory given to [`Store::open`].
    pub fn root(&self) -> &Path {
        &self.layout.root
    }

    /// Where `path` lies, whether it is there or not.
    pub fn real_path(&self, path: &StorePath) -> PathBuf {
        self.layout.paths.join(path.as_str())
    }

    /// Waits until all that is registered is on the disk.
    pub fn sync(&self) -> Result<(), StoreError> {
        let unproven = self.registry().unproven()?;
        if unproven.is_empty() {
            return Ok(());
        }
        self.sync_file_system()?;
        self.registry().mark_proven(&unproven)
    }

    pub(super) fn sync_file_system(&self) -> Result<(), StoreError> {
        let path = &self.layout.paths;
        let directory = File::open(path).map_err(FileError::at("open", path))?;
        rustix::fs::syncfs(&directory)
            .map_err(|errno| FileError::at("sync the file system of", path)(errno.into()).into())
    }

    /// Whether something lies where `path` should.
    pub(super) fn is_present(&self, path: &StorePath) -> bool {
        fs::symlink_metadata(self.real_path(path)).is_ok()
    }

    /// The registry, for one question or transaction.
    pub(super) fn registry(&self) -> MutexGuard<'_, Registry> {
        // A panic elsewhere leaves no transaction open: it is rolled back when dropped.
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Holds off all other adding and removing.
    pub(super) fn lock_for_change(&self) -> Result<Lock, StoreError> {
        Lock::exclusive(&self.layout.add_lock)
    }

    /// Forgets `paths` and their referrers, and removes them from the disk.
    pub(super) fn remove(
        &self,
        paths: &BTreeSet<StorePath>,
    ) -> Result<BTreeSet<StorePath>, StoreError> {
        let _lock = self.lock_for_change()?;
        let forgotten = self.registry().forget(paths)?;
        let scratch = self.scratch("removed")?;
        for path in &forgotten {
            set_aside(&self.real_path(path), &scratch)?;
        }
        Ok(forgotten)
    }

    /// Digests what was written before a reboot and not synced; what is broken is removed.
    fn prove_after_reboot(&self) -> Result<(), StoreError> {
        let Some(boot) = &self.boot else { return Ok(()) };
        let unproven = self.registry().unproven_since(boot)?;
        if unproven.is_empty() {
            return Ok(());
        }
        let infos = unproven.iter().filter_map(|path| self.registry().info(path).transpose());
        let infos = infos.collect::<Result<Vec<_>, _>>()?;
        let watch = dump::Watch { interrupt: &Interrupt::default(), task: &Silent };
        let broken: BTreeSet<StorePath> = infos
            .into_par_iter()
            .with_max_len(1)
            .filter(|info| {
                let real = self.real_path(&info.path);
                let digested = dump::digest(&real, None, dump::Times::Keep, watch);
                digested.map_or(true, |found| found.nar_hash != info.nar_hash)
            })
            .map(|info| info.path)
            .collect();
        self.remove(&broken)?;
        self.registry().mark_proven(&unproven)
    }
}

/// Moves what lies at `path` out of the store, to be removed with `scratch`.
pub(super) fn set_aside(path: &Path, scratch: &Scratch) -> Result<(), StoreError> {
    let name = path.file_name().expect("a path in the store has a name");
    let outcome = rename_tree(path, &scratch.path().join(name));
    match outcome {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        outcome => Ok(outcome.map_err(FileError::at("remove", path))?),
    }
}

/// Renames, also a directory that its owner may not write: its `..` changes.
pub(super) fn rename_tree(from: &Path, to: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let metadata = fs::symlink_metadata(from)?;
    let mode = metadata.permissions().mode();
    if !metadata.is_dir() || mode & 0o200 != 0 {
        return fs::rename(from, to);
    }
    fs::set_permissions(from, fs::Permissions::from_mode(mode | 0o200))?;
    let outcome = fs::rename(from, to);
    let restored = if outcome.is_ok() { to } else { from };
    fs::set_permissions(restored, fs::Permissions::from_mode(mode))?;
    outcome
}

fn boot() -> Option<String> {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(text.trim().to_owned()).filter(|boot| !boot.is_empty())
}
