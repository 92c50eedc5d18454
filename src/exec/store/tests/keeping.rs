//! Realisations, closures, roots and garbage.

use super::*;

#[test]
fn a_recipe_is_realised_by_the_path_recorded_last() {
    let fixture = Fixture::new();
    let (a, b) = (fixture.text("a", "a"), fixture.text("b", "b"));
    let recipe = digest("recipe");
    assert_eq!(fixture.store.realised(&recipe).unwrap(), None);
    fixture.store.record_realisation(recipe, "recipe", &a).unwrap();
    assert_eq!(fixture.store.realised(&recipe).unwrap(), Some(a.clone()));
    fixture.store.record_realisation(recipe, "recipe", &b).unwrap();
    let both = fixture.store.realised_many(&[recipe, digest("other")]).unwrap();
    assert_eq!(both, [Some(b.clone()), None]);
    assert_eq!(fixture.store.preimage(&recipe).unwrap().as_deref(), Some("recipe"));
    assert_eq!(fixture.store.preimage_of(&b).unwrap().as_deref(), Some("recipe"));
    assert_eq!(fixture.store.preimage_of(&a).unwrap(), None);
}

#[test]
fn the_latest_of_many_recipes_explains_a_path() {
    let fixture = Fixture::new();
    let path = fixture.text("a", "a");
    for text in ["one", "two", "one"] {
        fixture.store.record_realisation(digest(text), text, &path).unwrap();
    }
    assert_eq!(fixture.store.preimage_of(&path).unwrap().as_deref(), Some("one"));
}

#[test]
fn only_valid_paths_can_be_recorded_or_rooted() {
    let fixture = Fixture::new();
    let gone: StorePath = TREE.parse().unwrap();
    let errors = [
        fixture.store.record_realisation(digest("r"), "r", &gone).unwrap_err(),
        fixture.store.add_root("root", &gone).unwrap_err(),
        fixture.store.closure(std::slice::from_ref(&gone)).unwrap_err(),
        fixture.store.write_nar(&gone, &mut Vec::new()).unwrap_err(),
    ];
    for error in errors {
        assert!(matches!(&error, StoreError::NotValid { path } if *path == gone), "{error}");
    }
}

#[test]
fn a_closure_has_references_before_referrers() {
    let fixture = Fixture::new();
    let (a, b) = (fixture.text("a", "a"), fixture.text("b", "b"));
    let c = fixture.referrer("c", &[&a, &b]);
    let d = fixture.referrer("d", &[&c, &a]);
    fixture.text("unrelated", "x");
    let mut leaves = vec![a.clone(), b];
    leaves.sort();
    let expected = [leaves, vec![c.clone(), d.clone()]].concat();
    assert_eq!(fixture.store.closure(std::slice::from_ref(&d)).unwrap(), expected);
    assert_eq!(fixture.store.closure(&[d.clone(), a.clone(), d]).unwrap(), expected);
    assert_eq!(fixture.store.closure(&[]).unwrap(), []);
}

#[test]
fn roots_are_links_as_nix_has_them() {
    let fixture = Fixture::new();
    let (a, b) = (fixture.text("a", "a"), fixture.text("b", "b"));
    fixture.store.add_root("vps1", &a).unwrap();
    fixture.store.add_root("vps1", &b).unwrap();
    fixture.store.add_root("vps2", &a).unwrap();
    let roots = fixture.store.roots().unwrap();
    let expected = [("vps1".to_owned(), b.clone()), ("vps2".to_owned(), a)];
    assert_eq!(roots.into_iter().collect::<Vec<_>>(), expected);
    let link = fixture.directory.path().join("nix/var/nix/gcroots/nexus-host/vps1");
    assert_eq!(fs::read_link(link).unwrap(), Path::new(&format!("/nix/store/{b}")));
    fixture.store.remove_root("vps1").unwrap();
    fixture.store.remove_root("vps1").unwrap();
    assert_eq!(fixture.store.roots().unwrap().len(), 1);
}

#[test]
fn names_of_roots_are_plain() {
    let fixture = Fixture::new();
    let path = fixture.text("a", "a");
    for name in ["", ".", "..", ".a", "a/b", "a b", "é", &"a".repeat(201)] {
        let error = fixture.store.add_root(name, &path).unwrap_err();
        assert!(matches!(error, StoreError::RootName { .. }), "{name}");
    }
}

#[test]
fn garbage_is_what_no_root_needs() {
    let fixture = Fixture::new();
    let needed = fixture.text("needed", "a");
    let rooted = fixture.referrer("rooted", &[&needed]);
    let kept = fixture.text("kept", "b");
    let garbage = fixture.text("garbage", "c");
    let referrer = fixture.referrer("referrer", &[&garbage, &needed]);
    fixture.store.add_root("vps1", &rooted).unwrap();
    fixture.store.record_realisation(digest("r"), "r", &garbage).unwrap();
    fixture.store.record_realisation(digest("k"), "k", &kept).unwrap();
    fs::create_dir(fixture.directory.path().join("nix/store/odd")).unwrap();
    // An indirect root as `nix-build` leaves it, and one that leads nowhere.
    let gc_roots = fixture.directory.path().join("nix/var/nix/gcroots");
    fs::create_dir(gc_roots.join("auto")).unwrap();
    let result = fixture.directory.path().join("result");
    let indirect = fixture.text("indirect", "i");
    symlink(format!("/nix/store/{indirect}"), &result).unwrap();
    symlink(&result, gc_roots.join("auto/x")).unwrap();
    symlink("/nowhere", gc_roots.join("auto/y")).unwrap();

    let collected = fixture.store.collect_garbage(std::slice::from_ref(&kept)).unwrap();
    assert_eq!(collected.paths, BTreeSet::from([garbage, referrer]));
    assert_eq!(collected.unregistered, 1);
    let mut left = [&needed, &rooted, &kept, &indirect].map(ToString::to_string);
    left.sort();
    assert_eq!(fixture.entries(), left);
    assert_eq!(fixture.store.preimage(&digest("r")).unwrap(), None);
    assert_eq!(fixture.store.realised(&digest("k")).unwrap(), Some(kept));
    fixture.assert_clean();
}

#[test]
fn garbage_is_not_collected_while_others_build() {
    let fixture = Fixture::new();
    let path = fixture.text("a", "a");
    let other = Store::open(fixture.directory.path()).unwrap();
    let error = fixture.store.collect_garbage(&[]).unwrap_err();
    assert!(matches!(error, StoreError::InUse { .. }));
    assert!(other.is_valid(&path).unwrap());
    drop(other);
    assert_eq!(fixture.store.collect_garbage(&[]).unwrap().paths, BTreeSet::from([path]));
}
