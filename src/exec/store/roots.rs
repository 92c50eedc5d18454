//! Roots: names for paths that must be kept, with all they refer to.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::fs::symlink;

use super::{Store, StoreError};
use crate::exec::files::FileError;
use crate::store::StorePath;

/// Most bytes of a root's name.
const NAME_BYTES_MAX: usize = 200;

impl Store {
    /// Keeps `path` under `name`, in place of what had that name.
    ///
    /// The link says `/nix/store/…`, as Nix's own roots do, wherever the store lies.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotValid`] when `path` is not in the store.
    pub fn add_root(&self, name: &str, path: &StorePath) -> Result<(), StoreError> {
        check_name(name)?;
        if !self.is_valid(path)? {
            return Err(StoreError::NotValid { path: path.clone() });
        }
        let link = self.layout.roots.join(name);
        let scratch = self.scratch("root")?;
        let new = scratch.path().join("link");
        symlink(self.directory().join(path), &new)
            .and_then(|()| fs::rename(&new, &link))
            .map_err(FileError::at("write", &link))?;
        Ok(())
    }

    /// Keeps nothing under `name` any longer; a name that is not there is fine.
    pub fn remove_root(&self, name: &str) -> Result<(), StoreError> {
        check_name(name)?;
        let link = self.layout.roots.join(name);
        match fs::remove_file(&link) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(FileError::at("remove", &link)(error).into())
            }
            _ => Ok(()),
        }
    }

    /// The roots made by [`Store::add_root`], by name.
    pub fn roots(&self) -> Result<BTreeMap<String, StorePath>, StoreError> {
        let directory = &self.layout.roots;
        let failed = || FileError::at("list", directory);
        let mut roots = BTreeMap::new();
        for entry in fs::read_dir(directory).map_err(failed())? {
            let entry = entry.map_err(failed())?;
            // Whatever else lies there is not ours.
            let target = fs::read_link(entry.path()).ok().map(OsString::from);
            let path = target.and_then(|target| self.path_in_directory(target.to_str()?));
            if let (Some(path), Ok(name)) = (path, entry.file_name().into_string()) {
                roots.insert(name, path);
            }
        }
        Ok(roots)
    }

    /// The store path that `target`, such as `/nix/store/<digest>-<name>/bin`, lies in.
    pub(super) fn path_in_directory(&self, target: &str) -> Option<StorePath> {
        let inside = target.strip_prefix(self.directory().as_str())?.strip_prefix('/')?;
        StorePath::from_base_name(inside.split('/').next()?).ok()
    }
}

fn check_name(name: &str) -> Result<(), StoreError> {
    let allowed = |c: u8| c.is_ascii_alphanumeric() || b"._-".contains(&c);
    let good = (1..=NAME_BYTES_MAX).contains(&name.len())
        && name.bytes().all(allowed)
        && !name.starts_with('.');
    if good { Ok(()) } else { Err(StoreError::RootName { name: name.chars().take(250).collect() }) }
}
