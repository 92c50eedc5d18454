//! The store under many processes, one of which may be killed, and on a disk that is full.
//!
//! The processes are this test program again, told by a variable which store to work on.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use nexus_host::exec::environment::Environment;
use nexus_host::exec::interrupt::Interrupt;
use nexus_host::exec::process;
use nexus_host::exec::progress::Silent;
use nexus_host::exec::store::{References, Store, StoreError, ToAdd, VerifyReport};
use nexus_host::store::{StorePath, StorePathName};

use crate::namespaces::{Disk, has_own_mounts};

/// Names the store for a child.
const STORE: &str = "NEXUS_HOST_TEST_STORE";

/// This program, running only `test`, with `store` to work on.
fn child(test: &str, store: &Path) -> Command {
    let environment = Environment::of_process().unwrap();
    let mut command = process::command(environment.program.as_os_str());
    command.args(["--exact", "--nocapture", test]).env(STORE, store);
    command
}

/// The store to work on, in a child.
fn told_store() -> Option<PathBuf> {
    let environment = Environment::of_process().unwrap();
    environment.variable(STORE).map(PathBuf::from)
}

fn name(text: &str) -> StorePathName {
    StorePathName::new(text).unwrap()
}

/// Adds twenty small trees, the same for the same `number`.
fn add_batch(store: &Store, number: usize) -> Result<Vec<StorePath>, StoreError> {
    let scratch = store.scratch("batch")?;
    let item = |index: usize| {
        let built = scratch.path().join(index.to_string());
        fs::create_dir_all(built.join("usr/bin")).unwrap();
        let mut file = fs::File::create(built.join("usr/bin/x")).unwrap();
        writeln!(file, "{number} {index}").unwrap();
        ToAdd { built, name: name("tree"), references: References::None }
    };
    store.add_all((0..20).map(item).collect())
}

fn verify(store: &Store) -> VerifyReport {
    store.verify(true, &Silent, &Interrupt::default()).unwrap()
}

#[track_caller]
fn assert_success(output: &Output) {
    let errors = String::from_utf8_lossy(&output.stderr);
    let words = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{}\n{words}\n{errors}", output.status);
}

/// Not a test by itself: what `a_killed_process_…` kills.
#[test]
fn child_adds_until_it_is_killed() {
    let Some(root) = told_store() else { return };
    let store = Store::open(&root).unwrap();
    for number in 0.. {
        std::io::stdout().write_all(b"adding\n").unwrap();
        add_batch(&store, number + std::process::id() as usize * 1000).unwrap();
    }
}

#[test]
fn a_killed_process_leaves_a_clean_store() {
    let directory = tempfile::tempdir().unwrap();
    for round in 0..25 {
        let mut command = child("store::child_adds_until_it_is_killed", directory.path());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let adding = lines.by_ref().filter(|line| line.as_ref().unwrap() == "adding");
        assert_eq!(adding.take(3).count(), 3);
        // Each round at another place of the batch, which takes some milliseconds.
        std::thread::sleep(Duration::from_micros(400 * round));
        child.kill().unwrap();
        child.wait().unwrap();

        let store = Store::open(directory.path()).unwrap();
        let report = verify(&store);
        assert!(report.is_clean(), "{report:?}");
        let scratch = fs::read_dir(directory.path().join("nix/var/nexus-host/scratch")).unwrap();
        assert_eq!(scratch.count(), 1, "only the lock is left");
        store.collect_garbage(&[]).unwrap();
        assert_eq!(verify(&store), VerifyReport::default());
    }
}

/// Not a test by itself: what `processes_at_once_…` runs.
#[test]
fn child_adds_what_others_add_too() {
    let Some(root) = told_store() else { return };
    let store = Store::open(&root).unwrap();
    for number in 0..10 {
        for path in add_batch(&store, number).unwrap() {
            assert!(store.is_valid(&path).unwrap());
            assert!(store.real_path(&path).join("usr/bin/x").exists());
        }
    }
}

#[test]
fn processes_at_once_make_the_same_store() {
    let directory = tempfile::tempdir().unwrap();
    let spawn = |_| {
        let mut command = child("store::child_adds_what_others_add_too", directory.path());
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let children: Vec<_> = (0..4).map(spawn).collect();
    for child in children {
        assert_success(&child.wait_with_output().unwrap());
    }
    let store = Store::open(directory.path()).unwrap();
    let report = verify(&store);
    assert!(report.is_clean(), "{report:?}");
    assert_eq!((report.paths, report.unregistered.len()), (200, 0));
}

#[test]
fn a_full_disk_is_named_and_leaves_a_clean_store() {
    if !has_own_mounts("store::a_full_disk_is_named_and_leaves_a_clean_store") {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let _disk = Disk::mount(directory.path(), 8 << 20);
    let store = Store::open(directory.path()).unwrap();
    let mut bytes = vec![0; 300_000];
    let mut paths = Vec::new();
    let error = loop {
        bytes[0] += 1;
        match store.add_bytes(&name("file"), &bytes, &References::None) {
            Ok(path) => paths.push(path),
            Err(error) => break error,
        }
    };
    assert!(error.is_disk_full(), "{error:?}");
    // Then to the last byte, so that the registry cannot grow either.
    let filler = directory.path().join("filler");
    let mut file = fs::File::create(&filler).unwrap();
    while file.write(&bytes).is_ok_and(|written| written > 0) {}
    let error = (0..2000).find_map(|number| add_batch_of_links(&store, number).err());
    if let Some(error) = error {
        assert!(error.is_disk_full(), "{error:?}");
    }
    assert!(verify(&store).is_clean());
    drop(store);
    let store = Store::open(directory.path()).unwrap();
    for path in paths {
        assert!(store.is_valid(&path).unwrap());
    }
    // Room is made without any being left.
    store.collect_garbage(&[]).unwrap();
    add_batch(&store, 0).unwrap();
    assert!(verify(&store).is_clean());
}

/// Links take no blocks of their own, so only the registry can find the disk full.
fn add_batch_of_links(store: &Store, number: usize) -> Result<StorePath, StoreError> {
    let scratch = store.scratch("link")?;
    let built = scratch.path().join("link");
    std::os::unix::fs::symlink(number.to_string(), &built).unwrap();
    store.add(ToAdd { built, name: name(&"n".repeat(200)), references: References::None })
}
