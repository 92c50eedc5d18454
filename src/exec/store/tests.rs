//! Stores in temporary directories: what goes in comes out, and what breaks is noticed.

mod adding;
mod breaking;
mod keeping;
mod moving;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use super::*;
use crate::exec::files::write_atomic;
use crate::exec::interrupt::Interrupt;
use crate::exec::progress::Silent;
use crate::store::{Sha256Digest, StorePath, StorePathName};

/// A store in a directory of its own.
struct Fixture {
    store: Store,
    directory: tempfile::TempDir,
}

impl Fixture {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path()).unwrap();
        Self { store, directory }
    }

    /// Opens the store again, as another process would.
    fn reopen(self) -> Self {
        let Self { store, directory } = self;
        drop(store);
        let store = Store::open(directory.path()).unwrap();
        Self { store, directory }
    }

    /// Changes the registry behind the program's back.
    fn tamper(&self, sql: &str) {
        let path = self.directory.path().join("nix/var/nix/db/db.sqlite");
        let connection = rusqlite::Connection::open(path).unwrap();
        connection.execute_batch(&format!("pragma foreign_keys = off; {sql}")).unwrap();
    }

    fn text(&self, name_text: &str, text: &str) -> StorePath {
        self.store.add_bytes(&name(name_text), text.as_bytes(), &References::None).unwrap()
    }

    /// A text that names `paths`.
    fn referrer(&self, name_text: &str, paths: &[&StorePath]) -> StorePath {
        let lines: Vec<String> = paths.iter().map(|path| format!("/nix/store/{path}")).collect();
        let all = References::ScanFor(paths.iter().map(|&path| path.clone()).collect());
        self.store.add_bytes(&name(name_text), lines.join("\n").as_bytes(), &all).unwrap()
    }

    fn verify(&self) -> VerifyReport {
        self.store.verify(true, &Silent, &Interrupt::default()).unwrap()
    }

    #[track_caller]
    fn assert_clean(&self) {
        let report = self.verify();
        assert!(report.is_clean(), "{report:?}");
        assert_eq!(report.unregistered, Vec::<String>::new());
    }

    /// What lies in the store directory.
    fn entries(&self) -> Vec<String> {
        list(&self.directory.path().join("nix/store"))
    }

    fn scratches(&self) -> Vec<String> {
        let mut names = list(&self.directory.path().join("nix/var/nexus-host/scratch"));
        names.retain(|name| name != ".lock");
        names
    }
}

fn list(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let name = |entry: std::io::Result<fs::DirEntry>| entry.unwrap().file_name();
    let mut names: Vec<_> = entries.map(|entry| name(entry).into_string().unwrap()).collect();
    names.sort();
    names
}

fn name(text: &str) -> StorePathName {
    StorePathName::new(text).unwrap()
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// The tree of the tests of `store::nar`, which real Nix has digested.
fn build_tree(at: &Path) -> PathBuf {
    let tree = at.join("tree");
    fs::create_dir_all(tree.join("sub/empty")).unwrap();
    write_atomic(&tree.join("a"), b"hello\n").unwrap();
    write_atomic(&tree.join("run"), b"#!/bin/sh\n").unwrap();
    set_mode(&tree.join("run"), 0o740);
    symlink("../a", tree.join("sub/link")).unwrap();
    write_atomic(&tree.join("sub/zero"), b"").unwrap();
    let latin_1 = <std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(b"caf\xe9");
    write_atomic(&tree.join("sub").join(latin_1), b"x").unwrap();
    tree
}

const TREE: &str = "v5hcc18h7qqlhv6zlag1ic7nx9imf7kv-tree";

fn tree_to_add(scratch: &Scratch) -> ToAdd {
    ToAdd { built: build_tree(scratch.path()), name: name("tree"), references: References::None }
}

fn digest(text: &str) -> Sha256Digest {
    Sha256Digest::of(text.as_bytes())
}

/// Takes from this thread what lets root write where modes forbid it.
fn without_privileges() {
    use rustix::thread::{CapabilitySet, CapabilitySets, capabilities, set_capabilities};
    let gone = CapabilitySet::DAC_OVERRIDE | CapabilitySet::DAC_READ_SEARCH;
    let sets = capabilities(None).unwrap();
    let sets = CapabilitySets { effective: sets.effective.difference(gone), ..sets };
    set_capabilities(None, sets).unwrap();
}
