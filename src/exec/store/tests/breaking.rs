//! Killed processes, full disks, power cuts, and people who edit the store.

use super::*;

#[test]
fn what_was_renamed_but_not_registered_is_garbage_and_built_over() {
    without_privileges();
    let fixture = Fixture::new();
    let leftover = fixture.directory.path().join("nix/store").join(TREE);
    fs::create_dir_all(leftover.join("half")).unwrap();
    set_mode(&leftover, 0o555);
    let report = fixture.verify();
    assert!(report.is_clean());
    assert_eq!(report.unregistered, [TREE]);
    assert!(!fixture.store.is_valid(&TREE.parse().unwrap()).unwrap());
    let scratch = fixture.store.scratch("test").unwrap();
    fixture.store.add(tree_to_add(&scratch)).unwrap();
    assert!(!leftover.join("half").exists());
    fixture.assert_clean();
}

#[test]
fn a_full_disk_leaves_the_store_as_it_was() {
    let fixture = Fixture::new();
    let before = fixture.text("before", "x");
    let scratch = fixture.store.scratch("test").unwrap();
    // SQLite then says the same as on a full disk.
    fixture.store.registry().limit_pages();
    let mut built: Vec<ToAdd> = vec![tree_to_add(&scratch)];
    for number in 0..400 {
        let file = scratch.path().join(number.to_string());
        write_atomic(&file, number.to_string().as_bytes()).unwrap();
        let name = name(&"n".repeat(200));
        built.push(ToAdd { built: file, name, references: References::None });
    }
    let error = fixture.store.add_all(built).unwrap_err();
    assert!(error.is_disk_full(), "{error:?}");
    assert_eq!(fixture.entries(), [before.as_str()]);
    assert_eq!(list(scratch.path()).len(), 401, "what was built is where it was");
    drop(scratch);
    let fixture = fixture.reopen();
    assert_eq!(fixture.verify().paths, 1);
    fixture.assert_clean();
}

#[test]
fn what_cannot_be_renamed_undoes_its_batch() {
    let fixture = Fixture::new();
    let scratch = fixture.store.scratch("test").unwrap();
    let file = scratch.path().join("file");
    write_atomic(&file, b"x").unwrap();
    let item = |built: &Path| ToAdd {
        built: built.to_owned(),
        name: name("file"),
        references: References::None,
    };
    let twin = ToAdd { name: name("twin"), ..item(&file) };
    // The second rename finds nothing at the place that the first has emptied.
    let error = fixture.store.add_all(vec![item(&file), twin]).unwrap_err();
    assert!(matches!(error, StoreError::File(_)), "{error:?}");
    assert!(file.exists());
    assert_eq!(fixture.entries(), Vec::<String>::new());
    assert_eq!(fixture.verify().paths, 0);
}

#[test]
fn verify_names_what_is_wrong() {
    let fixture = Fixture::new();
    let missing = fixture.text("missing", "a");
    let changed = fixture.text("changed", "b");
    let misnamed = fixture.text("misnamed", "c");
    let target = fixture.text("target", "d");
    let dangling = fixture.referrer("dangling", &[&target]);
    let expected = fixture.store.info(&changed).unwrap().unwrap().nar_hash;
    assert!(fixture.verify().is_clean());
    fs::remove_file(fixture.store.real_path(&missing)).unwrap();
    fs::remove_file(fixture.store.real_path(&changed)).unwrap();
    write_atomic(&fixture.store.real_path(&changed), b"B").unwrap();
    fixture.tamper(&format!(
        "insert into Refs select a.id, b.id from ValidPaths a, ValidPaths b
         where a.path like '%-misnamed' and b.path like '%-target';
         update Refs set reference = 999 where referrer =
         (select id from ValidPaths where path = '/nix/store/{dangling}');"
    ));
    fs::create_dir(fixture.directory.path().join("nix/store/odd")).unwrap();
    let (found, _) = crate::store::nar::of_file(b"B", false);
    let found = Found::Digest(found);
    let report = fixture.verify();
    assert!(!report.is_clean());
    let broken = BTreeSet::from([&missing, &changed, &misnamed, &dangling]);
    assert_eq!(report.broken().iter().collect::<BTreeSet<_>>(), broken);
    let expected = VerifyReport {
        paths: 5,
        nar_bytes: report.nar_bytes,
        missing: vec![missing],
        changed: vec![Changed { path: changed, expected, found }],
        // References are part of the address.
        misnamed: {
            let mut both = vec![misnamed, dangling.clone()];
            both.sort();
            both
        },
        dangling: vec![dangling],
        registry: vec![],
        unregistered: vec!["odd".to_owned()],
    };
    assert_eq!(report, expected);
}

#[test]
fn what_is_broken_is_forgotten_with_its_referrers_and_can_be_made_again() {
    let fixture = Fixture::new();
    let bottom = fixture.text("bottom", "a");
    let middle = fixture.referrer("middle", &[&bottom]);
    let top = fixture.referrer("top", &[&middle]);
    let other = fixture.text("other", "b");
    fixture.store.record_realisation(digest("r"), "r", &top).unwrap();
    let real = fixture.store.real_path(&bottom);
    set_mode(&real, 0o755);
    let gone = fixture.store.remove_broken(&fixture.verify()).unwrap();
    assert_eq!(gone, BTreeSet::from([bottom.clone(), middle, top]));
    assert_eq!(fixture.entries(), [other.as_str()]);
    assert_eq!(fixture.store.realised(&digest("r")).unwrap(), None);
    fixture.assert_clean();
    assert_eq!(fixture.text("bottom", "a"), bottom);
    fixture.assert_clean();
}

#[test]
fn a_path_removed_by_hand_is_not_valid_and_is_put_back() {
    let fixture = Fixture::new();
    let path = fixture.text("a", "a");
    fixture.store.record_realisation(digest("r"), "r", &path).unwrap();
    fs::remove_file(fixture.store.real_path(&path)).unwrap();
    assert!(!fixture.store.is_valid(&path).unwrap());
    assert_eq!(fixture.store.info(&path).unwrap(), None);
    assert_eq!(fixture.store.realised(&digest("r")).unwrap(), None);
    fixture.text("a", "a");
    assert_eq!(fixture.store.realised(&digest("r")).unwrap(), Some(path));
    fixture.assert_clean();
}

#[test]
fn after_a_reboot_what_did_not_reach_the_disk_is_forgotten() {
    let fixture = Fixture::new();
    let good = fixture.text("good", "a");
    let torn = fixture.text("torn", "b");
    let referrer = fixture.referrer("referrer", &[&torn]);
    let lost = fixture.text("lost", "c");
    fs::remove_file(fixture.store.real_path(&lost)).unwrap();
    let real = fixture.store.real_path(&torn);
    fs::remove_file(&real).unwrap();
    write_atomic(&real, b"").unwrap();
    // In the same boot nothing is digested again.
    let fixture = fixture.reopen();
    assert!(fixture.store.is_valid(&torn).unwrap());
    fixture.tamper("update NexusUnproven set boot = 'another'");
    let fixture = fixture.reopen();
    assert_eq!(fixture.entries(), [good.as_str()]);
    assert!(!fixture.store.is_valid(&referrer).unwrap());
    assert_eq!(fixture.verify().paths, 1);
    assert_eq!(fixture.store.registry().unproven().unwrap(), []);
    fixture.assert_clean();
}

#[test]
fn what_is_synced_needs_no_proof() {
    let fixture = Fixture::new();
    let path = fixture.text("a", "a");
    assert_eq!(fixture.store.registry().unproven().unwrap(), [path]);
    fixture.store.sync().unwrap();
    assert_eq!(fixture.store.registry().unproven().unwrap(), []);
}

#[test]
fn leftovers_of_the_dead_are_removed_and_those_of_the_living_stay() {
    without_privileges();
    let fixture = Fixture::new();
    let living = fixture.store.scratch("living").unwrap();
    let dead = fixture.directory.path().join("nix/var/nexus-host/scratch/1-0-dead");
    fs::create_dir_all(dead.join("sub")).unwrap();
    set_mode(&dead.join("sub"), 0o000);
    set_mode(&dead, 0o555);
    let again = Store::open(fixture.directory.path()).unwrap();
    assert!(!dead.exists());
    assert!(living.path().exists());
    drop(again);
    drop(living);
    assert_eq!(fixture.scratches(), Vec::<String>::new());
}

#[test]
fn a_scratch_directory_goes_with_all_it_holds() {
    without_privileges();
    let fixture = Fixture::new();
    let outside = fixture.directory.path().join("outside");
    fs::create_dir(&outside).unwrap();
    let scratch = fixture.store.scratch("a/../b c").unwrap();
    let deep = scratch.path().join("read-only/deep");
    fs::create_dir_all(&deep).unwrap();
    write_atomic(&deep.join("file"), b"x").unwrap();
    symlink(&outside, deep.join("link")).unwrap();
    set_mode(&deep, 0o000);
    set_mode(deep.parent().unwrap(), 0o555);
    let path = scratch.path().to_owned();
    assert!(path.file_name().unwrap().to_str().unwrap().ends_with("-a-..-b-c"), "{path:?}");
    drop(scratch);
    assert!(!path.exists());
    assert!(outside.exists());
}

#[test]
fn verify_stops_when_asked_to() {
    let fixture = Fixture::new();
    fixture.text("a", "a");
    let interrupt = Interrupt::default();
    interrupt.set();
    let error = fixture.store.verify(true, &Silent, &interrupt).unwrap_err();
    assert!(matches!(error, StoreError::Interrupted(_)));
}

#[test]
fn a_damaged_registry_is_found_out() {
    let fixture = Fixture::new();
    (0..200).for_each(|number| drop(fixture.text("n", &number.to_string())));
    let Fixture { store, directory } = fixture;
    drop(store);
    let database = directory.path().join("nix/var/nix/db/db.sqlite");
    let mut bytes = fs::read(&database).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..middle + 8192].fill(0xff);
    write_atomic(&database, &bytes).unwrap();
    let outcome = Store::open(directory.path())
        .and_then(|store| store.verify(false, &Silent, &Interrupt::default()));
    match outcome {
        Ok(report) => assert!(!report.is_clean(), "{report:?}"),
        Err(error) => assert!(matches!(error, StoreError::Registry { .. }), "{error:?}"),
    }
}

#[test]
fn a_registry_of_another_time_is_refused() {
    let fixture = Fixture::new();
    let directory = fixture.directory;
    drop(fixture.store);
    let schema = directory.path().join("nix/var/nix/db/schema");
    write_atomic(&schema, b"11").unwrap();
    let error = Store::open(directory.path()).unwrap_err();
    let message = format!("the registry {} has schema 11, not 10", schema.display());
    assert_eq!(error.to_string(), message);
}
