//! What proves itself, and what does not.

use super::*;

fn info() -> PathInfo {
    let name = StorePathName::new("foo").unwrap();
    let nar = super::super::nar::of_file(b"bar", false);
    PathInfo::of_contents(&StoreDir::default(), &name, nar, BTreeSet::new())
}

#[test]
fn contents_prove_their_path() {
    let info = info();
    // nix-store --add, then the `ca` field in Nix's registry (2.8.0).
    assert_eq!(info.path.as_str(), "dxwkwjzdaq7ka55pkk252gh32bgpmql4-foo");
    let address = "fixed:r:sha256:1xngcmsdkdvaycaqjfzvq4gr3gib56p2l8illglnsqzhpss47pxz";
    assert_eq!(info.content_address.as_deref(), Some(address));
    assert_eq!(info.nar_size, 120);
    assert_eq!(info.proves_itself(&StoreDir::default()), Ok(Some(true)));
}

#[test]
fn an_added_reference_is_a_false_proof() {
    let mut info = info();
    info.references.insert("vxjiwkjkn7x4079qvh1jkl5pn05j2aw0-foo".parse().unwrap());
    assert_eq!(info.proves_itself(&StoreDir::default()), Ok(Some(false)));
}

#[test]
fn paths_addressed_in_another_way_prove_nothing() {
    let other = PathInfo { content_address: None, ..info() };
    assert_eq!(other.proves_itself(&StoreDir::default()), Ok(None));
}
