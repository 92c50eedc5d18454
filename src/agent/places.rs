//! Where things lie on a host; below another root in tests.

use std::path::{Path, PathBuf};

use crate::store::{StoreDir, StorePath};

/// This program, as it lies on every host.
pub const AGENT: &str = "/usr/lib/nexus-host/nexus-agent";

/// The directory of a host's file tree, `/` except in tests.
#[derive(Debug, Clone)]
pub struct Places {
    root: PathBuf,
}

impl Places {
    /// The host that this program runs on.
    pub fn host() -> Self {
        Self::below("/")
    }

    /// A host whose files lie below `root`.
    pub fn below(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// A place given from the root, without a slash in front.
    pub fn at(&self, place: &str) -> PathBuf {
        self.root.join(place)
    }

    /// The directory of all store paths.
    pub fn store(&self) -> PathBuf {
        self.at("nix/store")
    }

    /// One store path.
    pub fn store_path(&self, path: &StorePath) -> PathBuf {
        self.store().join(path.as_str())
    }

    /// What the agent remembers over boots.
    pub fn memory(&self) -> PathBuf {
        self.at("nix/var/nexus-host")
    }

    /// Contents that arrived and belong to no store path yet.
    pub fn incoming(&self) -> PathBuf {
        self.memory().join("incoming")
    }

    /// Links of generations.
    pub fn profiles(&self) -> PathBuf {
        self.at("nix/var/nix/profiles")
    }

    /// What the agent remembers until the next boot.
    pub fn run(&self) -> PathBuf {
        self.at("run/nexus-host")
    }
}

/// The full text of a store path, as commands and plans show it.
pub fn shown(path: &StorePath) -> String {
    StoreDir::default().join(path)
}

/// Reads a store path, full or its last part alone.
pub fn read_store_path(text: &str) -> Result<StorePath, crate::store::path::StorePathError> {
    let base = text.strip_prefix(StoreDir::default().as_str()).and_then(|r| r.strip_prefix('/'));
    StorePath::from_base_name(base.unwrap_or(text))
}

/// The name of a system as part of file names: digest and name.
pub fn file_in(directory: &Path, path: &StorePath) -> PathBuf {
    directory.join(path.as_str())
}
