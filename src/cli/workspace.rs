//! The user's folder: found by walking up to the directory that has `hosts/`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::exec::files::{FileError, read_limited};

/// Most bytes of a host file, a module file or a lock.
const TEXT_BYTES_MAX: u64 = 4 << 20;

/// The user's folder and what of it concerns all hosts.
#[derive(Debug)]
pub(crate) struct Workspace {
    /// The directory that has `hosts/`.
    pub(crate) root: PathBuf,
}

/// Why a workspace or a host in it could not be read.
#[derive(Debug, Error)]
pub(crate) enum WorkspaceError {
    #[error("no folder `hosts` in {} or above it", from.display())]
    NotFound { from: PathBuf },
    #[error("there is no host `{name}`: {} does not exist", path.display())]
    NoHost { name: String, path: PathBuf, known: Vec<String> },
    #[error("{} has no host files", path.display())]
    NoHosts { path: PathBuf },
    #[error("{} is not UTF-8", path.display())]
    NotText { path: PathBuf },
    #[error(transparent)]
    File(#[from] FileError),
}

impl Workspace {
    /// The nearest directory, from `start` upwards, that has `hosts/`.
    pub(crate) fn find(start: &Path) -> Result<Self, WorkspaceError> {
        let found = start.ancestors().find(|directory| directory.join("hosts").is_dir());
        found
            .map(|root| Self { root: root.to_owned() })
            .ok_or_else(|| WorkspaceError::NotFound { from: start.to_owned() })
    }

    /// Names of all hosts, sorted.
    pub(crate) fn hosts(&self) -> Result<Vec<String>, WorkspaceError> {
        let folder = self.root.join("hosts");
        let mut names = Vec::new();
        for path in list(&folder)? {
            if path.extension().is_some_and(|extension| extension == "toml") {
                names.extend(path.file_stem().and_then(|stem| stem.to_str()).map(str::to_owned));
            }
        }
        if names.is_empty() { Err(WorkspaceError::NoHosts { path: folder }) } else { Ok(names) }
    }

    /// The hosts named, or all when none is.
    pub(crate) fn select(&self, named: &[String]) -> Result<Vec<String>, WorkspaceError> {
        if named.is_empty() { self.hosts() } else { Ok(named.to_vec()) }
    }

    /// `hosts/NAME.toml`.
    pub(crate) fn host_path(&self, name: &str) -> PathBuf {
        self.root.join("hosts").join(format!("{name}.toml"))
    }

    /// `hosts/NAME.lock`.
    pub(crate) fn lock_path(&self, name: &str) -> PathBuf {
        self.root.join("hosts").join(format!("{name}.lock"))
    }

    /// Text of the host file of `name`.
    pub(crate) fn host_text(&self, name: &str) -> Result<String, WorkspaceError> {
        let path = self.host_path(name);
        let plain = !name.is_empty() && !name.contains(['/', '\0']) && !name.starts_with('.');
        if !plain || !path.exists() {
            let known = self.hosts().unwrap_or_default();
            return Err(WorkspaceError::NoHost { name: name.to_owned(), path, known });
        }
        read_text(&path)
    }

    /// Text of a file below the workspace, `None` when there is none.
    pub(crate) fn text_if_present(&self, path: &Path) -> Result<Option<String>, WorkspaceError> {
        let path = self.root.join(path);
        if path.exists() { read_text(&path).map(Some) } else { Ok(None) }
    }

    /// The user's own modules: name → file name → text.
    pub(crate) fn modules(
        &self,
    ) -> Result<BTreeMap<String, BTreeMap<String, String>>, WorkspaceError> {
        let folder = self.root.join("modules");
        let mut modules = BTreeMap::new();
        if !folder.is_dir() {
            return Ok(modules);
        }
        for module in list(&folder)?.into_iter().filter(|path| path.is_dir()) {
            let mut files = BTreeMap::new();
            for file in list(&module)?.into_iter().filter(|path| path.is_file()) {
                files.insert(file_name(&file), read_text(&file)?);
            }
            modules.insert(file_name(&module), files);
        }
        Ok(modules)
    }

    /// A path for messages: relative to the workspace when it is below it.
    pub(crate) fn shown(&self, path: &Path) -> String {
        path.strip_prefix(&self.root).unwrap_or(path).display().to_string()
    }
}

fn read_text(path: &Path) -> Result<String, WorkspaceError> {
    String::from_utf8(read_limited(path, TEXT_BYTES_MAX)?)
        .map_err(|_| WorkspaceError::NotText { path: path.to_owned() })
}

fn list(folder: &Path) -> Result<Vec<PathBuf>, FileError> {
    let read = std::fs::read_dir(folder).map_err(FileError::at("list", folder))?;
    let mut paths = read
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<Vec<_>, _>>()
        .map_err(FileError::at("list", folder))?;
    paths.sort();
    Ok(paths)
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
