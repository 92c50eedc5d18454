//! What a registry knows about one store path.

use std::collections::BTreeSet;

use super::path::StorePathError;
use super::{Sha256Digest, StoreDir, StorePath, StorePathName};

/// What is known about a valid store path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathInfo {
    /// The path.
    pub path: StorePath,
    /// SHA-256 of its NAR.
    pub nar_hash: Sha256Digest,
    /// Bytes of its NAR.
    pub nar_size: u64,
    /// The store paths that its contents name; never the path itself when we made it.
    pub references: BTreeSet<StorePath>,
    /// When it was registered, in seconds since 1970; no output depends on it.
    pub registered_seconds: u64,
    /// Nix's `ca` field, such as `fixed:r:sha256:…`; absent for paths addressed by inputs.
    pub content_address: Option<String>,
}

impl PathInfo {
    /// The facts about contents that we address ourselves, in [`StoreDir::path_for_contents`]' way.
    pub fn of_contents(
        dir: &StoreDir,
        name: &StorePathName,
        nar: (Sha256Digest, u64),
        references: BTreeSet<StorePath>,
    ) -> Self {
        let (nar_hash, nar_size) = nar;
        Self {
            path: dir.path_for_contents(name, nar_hash, &references),
            nar_hash,
            nar_size,
            references,
            registered_seconds: 0,
            content_address: Some(recursive_address(nar_hash)),
        }
    }

    /// Whether the path follows from hash, references and name; `None` when it is addressed in a
    /// way that these facts cannot prove.
    pub fn proves_itself(&self, dir: &StoreDir) -> Result<Option<bool>, StorePathError> {
        if self.content_address.as_deref() != Some(&recursive_address(self.nar_hash)) {
            return Ok(None);
        }
        let name = StorePathName::new(self.path.name())?;
        Ok(Some(dir.path_for_contents(&name, self.nar_hash, &self.references) == self.path))
    }
}

/// Nix's text for contents addressed by the SHA-256 of their NAR.
fn recursive_address(nar: Sha256Digest) -> String {
    format!("fixed:r:sha256:{}", nar.base32())
}

#[cfg(test)]
mod tests;
