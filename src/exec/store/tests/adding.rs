//! Trees and files going in.

use std::os::unix::fs::MetadataExt as _;

use super::*;

#[test]
fn a_tree_gets_the_path_that_nix_gives_it() {
    let fixture = Fixture::new();
    let scratch = fixture.store.scratch("test").unwrap();
    let path = fixture.store.add(tree_to_add(&scratch)).unwrap();
    // nix-store --add tree, Nix 2.8.0
    assert_eq!(path.as_str(), TREE);
    let info = fixture.store.info(&path).unwrap().unwrap();
    let nar_hash = "9f8fba147cdc0e6025456029a9adb27a65bb3e9b94625d6ba609236eb429e0b8";
    assert_eq!(info.nar_hash.to_string(), nar_hash);
    assert_eq!(info.nar_size, 1424);
    assert_eq!(info.references, BTreeSet::new());
    assert!(fixture.store.is_valid(&path).unwrap());
    assert_eq!(list(scratch.path()), Vec::<String>::new());
    fixture.assert_clean();
}

#[test]
fn times_become_one_and_modes_stay() {
    let fixture = Fixture::new();
    let scratch = fixture.store.scratch("test").unwrap();
    let path = fixture.store.add(tree_to_add(&scratch)).unwrap();
    let real = fixture.store.real_path(&path);
    for inner in ["", "a", "run", "sub", "sub/link", "sub/empty", "sub/zero"] {
        let metadata = fs::symlink_metadata(real.join(inner)).unwrap();
        assert_eq!((metadata.mtime(), metadata.mtime_nsec()), (1, 0), "{inner}");
    }
    assert_eq!(fs::metadata(real.join("run")).unwrap().mode() & 0o7777, 0o740);
}

#[test]
fn a_file_gets_the_path_that_nix_gives_it() {
    let fixture = Fixture::new();
    let path = fixture.text("foo", "bar");
    // nix-store --add foo, Nix 2.8.0
    assert_eq!(path.as_str(), "dxwkwjzdaq7ka55pkk252gh32bgpmql4-foo");
    let metadata = fs::metadata(fixture.store.real_path(&path)).unwrap();
    assert_eq!((metadata.mtime(), metadata.mode() & 0o7777), (1, 0o444));
    assert_eq!(fixture.text("foo", "bar"), path);
    fixture.assert_clean();
}

#[test]
fn the_second_of_two_equal_trees_is_dropped() {
    let fixture = Fixture::new();
    let scratches: Vec<Scratch> = (0..3).map(|_| fixture.store.scratch("test").unwrap()).collect();
    let first = fixture.store.add(tree_to_add(&scratches[0])).unwrap();
    let inode = |path| fs::metadata(fixture.store.real_path(path)).unwrap().ino();
    let first_inode = inode(&first);
    let again = scratches[1..].iter().map(tree_to_add).collect();
    assert_eq!(fixture.store.add_all(again).unwrap(), [first.clone(), first.clone()]);
    assert_eq!(inode(&first), first_inode);
    assert_eq!(list(scratches[1].path()), Vec::<String>::new());
    fixture.assert_clean();
}

#[test]
fn a_batch_may_hold_the_same_tree_twice() {
    let fixture = Fixture::new();
    let scratches = [fixture.store.scratch("a").unwrap(), fixture.store.scratch("b").unwrap()];
    let paths = fixture.store.add_all(scratches.iter().map(tree_to_add).collect()).unwrap();
    assert_eq!(paths[0], paths[1]);
    fixture.assert_clean();
}

#[test]
fn references_are_those_found() {
    let fixture = Fixture::new();
    let (a, b) = (fixture.text("a", "a"), fixture.text("b", "b"));
    let candidates = References::ScanFor(BTreeSet::from([a.clone(), b]));
    let scratch = fixture.store.scratch("test").unwrap();
    let built = scratch.path().join("tree");
    fs::create_dir(&built).unwrap();
    symlink(format!("/nix/store/{a}"), built.join("link")).unwrap();
    let item = ToAdd { built, name: name("tree"), references: candidates };
    let path = fixture.store.add(item).unwrap();
    let info = fixture.store.info(&path).unwrap().unwrap();
    assert_eq!(info.references, BTreeSet::from([a]));
    fixture.assert_clean();
}

#[test]
fn a_reference_to_what_is_not_there_is_refused() {
    let fixture = Fixture::new();
    let gone: StorePath = "vxjiwkjkn7x4079qvh1jkl5pn05j2aw0-foo".parse().unwrap();
    let candidates = References::ScanFor(BTreeSet::from([gone.clone()]));
    let text = format!("/nix/store/{gone}");
    let error = fixture.store.add_bytes(&name("a"), text.as_bytes(), &candidates).unwrap_err();
    assert!(matches!(error, StoreError::NotValid { path } if path == gone));
    assert_eq!(fixture.entries(), Vec::<String>::new());
}

#[test]
fn a_tree_that_may_not_be_written_is_moved_whole() {
    without_privileges();
    let fixture = Fixture::new();
    let scratch = fixture.store.scratch("test").unwrap();
    let item = tree_to_add(&scratch);
    set_mode(&item.built.join("sub"), 0o555);
    set_mode(&item.built, 0o555);
    let path = fixture.store.add(item).unwrap();
    let real = fixture.store.real_path(&path);
    assert_eq!(fs::metadata(&real).unwrap().mode() & 0o777, 0o555);
    // What is not needed any longer goes too.
    let item = tree_to_add(&scratch);
    set_mode(&item.built.join("sub"), 0o555);
    set_mode(&item.built, 0o555);
    fixture.store.add(item).unwrap();
    assert_eq!(list(scratch.path()), Vec::<String>::new());
    fixture.assert_clean();
}

#[test]
fn a_named_pipe_is_refused_and_named() {
    let fixture = Fixture::new();
    let scratch = fixture.store.scratch("test").unwrap();
    let item = tree_to_add(&scratch);
    let pipe = item.built.join("sub/pipe");
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    let error = fixture.store.add(item).unwrap_err();
    assert!(matches!(error, StoreError::Kind { path } if path == pipe));
    assert_eq!(fixture.entries(), Vec::<String>::new());
}

#[test]
fn a_tree_deeper_than_nix_allows_is_refused() {
    let fixture = Fixture::new();
    let scratch = fixture.store.scratch("test").unwrap();
    let built = scratch.path().join("tree");
    fs::create_dir_all(built.join("d/".repeat(64))).unwrap();
    let item = ToAdd { built, name: name("deep"), references: References::None };
    assert!(matches!(fixture.store.add(item).unwrap_err(), StoreError::Nar { .. }));
    assert_eq!(fixture.entries(), Vec::<String>::new());
}

#[test]
fn many_threads_may_add_the_same() {
    let fixture = Fixture::new();
    let paths: BTreeSet<StorePath> = std::thread::scope(|scope| {
        let add = || {
            // Each with a store of its own, as processes have.
            let store = Store::open(fixture.directory.path()).unwrap();
            let scratch = store.scratch("test").unwrap();
            store.add(tree_to_add(&scratch)).unwrap()
        };
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(add)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(paths, BTreeSet::from([TREE.parse().unwrap()]));
    assert_eq!(fixture.scratches(), Vec::<String>::new());
    fixture.assert_clean();
}

#[test]
fn many_threads_may_make_the_store() {
    for _ in 0..10 {
        let directory = tempfile::tempdir().unwrap();
        let start = std::sync::Barrier::new(8);
        let add = |number: u32| {
            start.wait();
            let store = Store::open(directory.path()).unwrap();
            store.add_bytes(&name("n"), &number.to_le_bytes(), &References::None).unwrap();
        };
        std::thread::scope(|scope| {
            let add = &add;
            (0..8).for_each(|number| drop(scope.spawn(move || add(number))));
        });
        let fixture = Fixture { store: Store::open(directory.path()).unwrap(), directory };
        assert_eq!(fixture.verify().paths, 8);
        fixture.assert_clean();
    }
}

#[test]
fn a_store_is_shared_by_threads() {
    fn check<T: Send + Sync>() {}
    check::<Store>();
    check::<Scratch>();
}

/// Another process is between renaming and registering: its tree must not be taken for a dead one's.
#[test]
fn who_adds_waits_for_who_is_adding() {
    let fixture = Fixture::new();
    let path: StorePath = TREE.parse().unwrap();
    let scratch = fixture.store.scratch("first").unwrap();
    let built = build_tree(scratch.path());
    let lock = fixture.store.lock_for_change().unwrap();
    let (sender, finished) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let scratch = fixture.store.scratch("second").unwrap();
            sender.send(fixture.store.add(tree_to_add(&scratch)).unwrap()).unwrap();
        });
        fs::rename(&built, fixture.store.real_path(&path)).unwrap();
        let inode = || fs::metadata(fixture.store.real_path(&path)).unwrap().ino();
        let first_inode = inode();
        let waiting = finished.recv_timeout(std::time::Duration::from_millis(200));
        assert_eq!(waiting, Err(std::sync::mpsc::RecvTimeoutError::Timeout));
        let nar_hash = "9f8fba147cdc0e6025456029a9adb27a65bb3e9b94625d6ba609236eb429e0b8";
        let nar = (nar_hash.parse().unwrap(), 1424);
        let (dir, none) = (fixture.store.directory(), BTreeSet::new());
        let info = crate::store::PathInfo::of_contents(dir, &name("tree"), nar, none);
        fixture.store.registry().register(&[info], None).unwrap();
        drop(lock);
        assert_eq!(finished.recv().unwrap(), path);
        assert_eq!(inode(), first_inode);
    });
}
