//! NARs out of one store and into another.

use super::*;
use crate::store::nar::{Limits, NarError};

fn import(
    fixture: &Fixture,
    path: &StorePath,
    references: &[&StorePath],
    nar: &[u8],
) -> Result<(), StoreError> {
    let references = references.iter().map(|&path| path.clone()).collect();
    fixture.store.import_nar(path, references, &mut &nar[..], &Limits::default())
}

#[test]
fn a_path_moves_to_another_store() {
    let source = Fixture::new();
    let scratch = source.store.scratch("test").unwrap();
    let tree = source.store.add(tree_to_add(&scratch)).unwrap();
    let referrer = source.referrer("referrer", &[&tree]);
    let mut tree_nar = Vec::new();
    source.store.write_nar(&tree, &mut tree_nar).unwrap();
    let mut referrer_nar = Vec::new();
    source.store.write_nar(&referrer, &mut referrer_nar).unwrap();

    let target = Fixture::new();
    let error = import(&target, &referrer, &[&tree], &referrer_nar).unwrap_err();
    assert!(matches!(error, StoreError::NotValid { path } if path == tree));
    import(&target, &tree, &[], &tree_nar).unwrap();
    import(&target, &referrer, &[&tree], &referrer_nar).unwrap();
    import(&target, &referrer, &[&tree], &referrer_nar).unwrap();
    let info = |fixture: &Fixture| fixture.store.info(&referrer).unwrap().unwrap().references;
    assert_eq!(info(&target), info(&source));
    assert_eq!(target.store.closure(std::slice::from_ref(&referrer)).unwrap(), [tree, referrer]);
    target.assert_clean();
}

#[test]
fn contents_must_be_those_of_the_path() {
    let fixture = Fixture::new();
    let (a, b) = (fixture.text("a", "a"), fixture.text("b", "b"));
    let mut nar = Vec::new();
    fixture.store.write_nar(&a, &mut nar).unwrap();
    let target = Fixture::new();
    for (path, references) in [(&b, vec![]), (&a, vec![&b])] {
        let error = import(&target, path, &references, &nar).unwrap_err();
        assert!(matches!(error, StoreError::Foreign { .. }), "{error:?}");
    }
    assert_eq!(target.entries(), Vec::<String>::new());
}

#[test]
fn every_cut_leaves_the_store_empty() {
    let source = Fixture::new();
    let scratch = source.store.scratch("test").unwrap();
    let tree = source.store.add(tree_to_add(&scratch)).unwrap();
    let mut nar = Vec::new();
    source.store.write_nar(&tree, &mut nar).unwrap();
    let target = Fixture::new();
    for length in (0..nar.len()).step_by(37) {
        let error = import(&target, &tree, &[], &nar[..length]).unwrap_err();
        let cut = matches!(error, StoreError::Import { source: NarError::Format(_), .. });
        assert!(cut, "at {length}: {error:?}");
    }
    assert_eq!(target.entries(), Vec::<String>::new());
    assert_eq!(target.scratches(), Vec::<String>::new());
}

#[test]
fn a_full_disk_at_the_other_end_is_said_to_be_full() {
    let fixture = Fixture::new();
    let path = fixture.text("a", &"a".repeat(1 << 20));
    let mut full = fs::File::options().write(true).open("/dev/full").unwrap();
    let error = fixture.store.write_nar(&path, &mut full).unwrap_err();
    assert!(error.is_disk_full(), "{error:?}");
}
