//! Whether the store is what its registry says.

use std::collections::BTreeSet;
use std::fs;

use rayon::prelude::*;

use super::{Store, StoreError, dump};
use crate::exec::files::FileError;
use crate::exec::interrupt::Interrupt;
use crate::exec::progress::{Progress, Unit};
use crate::failure::causes;
use crate::store::{PathInfo, Sha256Digest, StorePath};

/// What [`Store::verify`] found; all lists are in order.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct VerifyReport {
    /// How many paths are registered.
    pub paths: usize,
    /// Bytes of their NARs.
    pub nar_bytes: u64,
    /// Registered, but not there.
    pub missing: Vec<StorePath>,
    /// There, but not as registered.
    pub changed: Vec<Changed>,
    /// Registered with a hash or references that do not belong to the path.
    pub misnamed: Vec<StorePath>,
    /// Registered with a reference that is not.
    pub dangling: Vec<StorePath>,
    /// What `SQLite` says is wrong with the registry's file.
    pub registry: Vec<String>,
    /// There, but not registered: garbage of a killed process, or just being added by a living one.
    pub unregistered: Vec<String>,
}

/// A path whose contents are not what they were.
#[derive(Debug, PartialEq, Eq)]
pub struct Changed {
    /// The path.
    pub path: StorePath,
    /// The SHA-256 of its NAR when it was stored.
    pub expected: Sha256Digest,
    /// What it is now.
    pub found: Found,
}

/// What the contents of a changed path are.
#[derive(Debug, PartialEq, Eq)]
pub enum Found {
    /// A tree with another digest.
    Digest(Sha256Digest),
    /// Not readable as a tree: the errors, outermost first, joined by colons.
    Unreadable(String),
}

impl VerifyReport {
    /// Whether everything registered is there and right; garbage does not count.
    pub fn is_clean(&self) -> bool {
        self.missing.is_empty()
            && self.changed.is_empty()
            && self.misnamed.is_empty()
            && self.dangling.is_empty()
            && self.registry.is_empty()
    }

    /// Every path that must be made again.
    pub fn broken(&self) -> BTreeSet<StorePath> {
        let changed = self.changed.iter().map(|changed| &changed.path);
        self.missing
            .iter()
            .chain(changed)
            .chain(&self.misnamed)
            .chain(&self.dangling)
            .cloned()
            .collect()
    }
}

impl Store {
    /// Compares the store with its registry; with `contents` every byte is read.
    ///
    /// Others may go on building meanwhile. Runs on all processors.
    ///
    /// # Errors
    ///
    /// Only when it cannot be found out; what is wrong with the store is in the report.
    pub fn verify(
        &self,
        contents: bool,
        progress: &dyn Progress,
        interrupt: &Interrupt,
    ) -> Result<VerifyReport, StoreError> {
        let damage = self.registry().damage()?;
        if !damage.is_empty() {
            return Ok(VerifyReport { registry: damage, ..VerifyReport::default() });
        }
        // Listed first: what is added in between is registered by the time it is looked up.
        let entries = self.entries()?;
        let infos = self.registry().all()?;
        let registered: BTreeSet<&str> = infos.iter().map(|info| info.path.as_str()).collect();
        let (present, missing) =
            infos.iter().partition::<Vec<_>, _>(|info| self.is_present(&info.path));
        let mut report = VerifyReport {
            paths: infos.len(),
            nar_bytes: infos.iter().map(|info| info.nar_size).sum(),
            missing: missing.into_iter().map(|info| info.path.clone()).collect(),
            dangling: self.registry().dangling()?,
            ..VerifyReport::default()
        };
        report.unregistered =
            entries.into_iter().filter(|name| !registered.contains(name.as_str())).collect();
        for info in &infos {
            if info.proves_itself(self.directory()) == Ok(Some(false)) {
                report.misnamed.push(info.path.clone());
            }
        }
        if contents {
            report.changed = self.changed(&present, progress, interrupt)?;
        }
        Ok(report)
    }

    /// Forgets and removes what a report calls broken, with all that refers to it, so that it is
    /// made again when it is next needed.
    pub fn remove_broken(&self, report: &VerifyReport) -> Result<BTreeSet<StorePath>, StoreError> {
        self.remove(&report.broken())
    }

    fn changed(
        &self,
        present: &[&PathInfo],
        progress: &dyn Progress,
        interrupt: &Interrupt,
    ) -> Result<Vec<Changed>, StoreError> {
        let bytes = present.iter().map(|info| info.nar_size).sum();
        let task = progress.begin("verify", Unit::Bytes, Some(bytes));
        let watch = dump::Watch { interrupt, task: &*task };
        let check = |info: &&PathInfo| {
            task.at(info.path.as_str());
            let real = self.real_path(&info.path);
            let found = match dump::digest(&real, None, dump::Times::Keep, watch) {
                Ok(digested) if digested.nar_hash == info.nar_hash => return None,
                Ok(digested) => Found::Digest(digested.nar_hash),
                Err(StoreError::Interrupted(interrupted)) => return Some(Err(interrupted)),
                Err(error) => Found::Unreadable(causes(&error).join(": ")),
            };
            let (path, expected) = (info.path.clone(), info.nar_hash);
            Some(Ok(Changed { path, expected, found }))
        };
        Ok(present.par_iter().with_max_len(1).filter_map(check).collect::<Result<_, _>>()?)
    }

    /// The names in the store directory, in order, without Nix's own hidden ones.
    pub(super) fn entries(&self) -> Result<Vec<String>, StoreError> {
        let directory = &self.layout.paths;
        let failed = || FileError::at("list", directory);
        let mut names = Vec::new();
        for entry in fs::read_dir(directory).map_err(failed())? {
            let name = entry.map_err(failed())?.file_name().to_string_lossy().into_owned();
            if !name.starts_with('.') {
                names.push(name);
            }
        }
        names.sort_unstable();
        Ok(names)
    }
}
