//! Store paths as NAR streams: out, and in from where they need not be trusted.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, BufReader, Read, Write};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use super::add::Built;
use super::{Store, StoreError, dump};
use crate::exec::interrupt::Interrupt;
use crate::exec::progress::Silent;
use crate::store::nar::{self, Event, Limits};
use crate::store::{PathInfo, StorePath, StorePathName};

impl Store {
    /// Writes the NAR of `path`.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotValid`] when it is not in the store.
    pub fn write_nar(&self, path: &StorePath, output: &mut dyn Write) -> Result<(), StoreError> {
        if !self.is_valid(path)? {
            return Err(StoreError::NotValid { path: path.clone() });
        }
        dump::write(&self.real_path(path), output)
    }

    /// Stores what `input` holds as `path` with `references`, if that is its own address.
    ///
    /// So nothing about its origin need be trusted. Files become 0444 or 0555, directories 0755.
    ///
    /// # Errors
    ///
    /// [`StoreError::Import`] for a bad NAR, [`StoreError::Foreign`] when its contents or
    /// `references` lead to another path, [`StoreError::NotValid`] when a reference is missing here.
    pub fn import_nar(
        &self,
        path: &StorePath,
        references: std::collections::BTreeSet<StorePath>,
        input: &mut dyn Read,
        limits: &Limits,
    ) -> Result<(), StoreError> {
        let scratch = self.scratch(path.name())?;
        let at = scratch.path().join("tree");
        nar::read(&mut BufReader::with_capacity(256 << 10, input), limits, &mut |event| {
            restore(&at, event)
        })
        .map_err(|source| StoreError::Import { path: path.clone(), source })?;
        let watch = dump::Watch { interrupt: &Interrupt::default(), task: &Silent };
        let digested = dump::digest(&at, None, dump::Times::Store, watch)?;
        let name = StorePathName::new(path.name()).expect("the name in a store path is one");
        let nar = (digested.nar_hash, digested.nar_size);
        let info = PathInfo::of_contents(self.directory(), &name, nar, references);
        if info.path != *path {
            return Err(StoreError::Foreign { expected: path.clone(), found: info.path });
        }
        self.place(vec![Built { at, info }]).map(drop)
    }
}

/// Makes what `event` tells of below `root`, which lies in a directory that only we write to.
fn restore(root: &Path, event: Event<'_>) -> io::Result<()> {
    match event {
        Event::Directory { path } => fs::create_dir(below(root, path)),
        Event::DirectoryEnd { path } => set_mode(&below(root, path), 0o755),
        Event::Symlink { path, target } => symlink(OsStr::from_bytes(target), below(root, path)),
        Event::File { path, executable, contents, .. } => {
            let path = below(root, path);
            io::copy(contents, &mut File::create_new(&path)?)?;
            set_mode(&path, if executable { 0o555 } else { 0o444 })
        }
    }
}

fn below(root: &Path, path: &[u8]) -> PathBuf {
    if path.is_empty() { root.to_owned() } else { root.join(OsStr::from_bytes(path)) }
}

fn set_mode(path: &Path, mode: u32) -> io::Result<()> {
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}
