//! Store paths against real Nix: every vector was made with Nix 2.8.0 (Debian's `nix-bin`
//! 2.8.0-1.1+b1), by the command in the comment above it.

use nix_derivation::{Derivation, InputDerivationHash, OutputPathHash};
use sha2::Digest as _;

use super::*;

fn name(text: &str) -> StorePathName {
    StorePathName::new(text).unwrap()
}

fn digest(text: &str) -> Sha256Digest {
    text.parse().unwrap()
}

/// SHA-256 of the NAR of a file with the three bytes `bar`.
const BAR_NAR: &str = "bfdf43b4bef0636de9a334222aae292bbe911fc1fb3b8915f36ab7d97465cff6";

#[track_caller]
fn check(path: &StorePath, expected: &str) {
    assert_eq!(StoreDir::default().join(path), expected);
    let base_name = expected.strip_prefix("/nix/store/").unwrap();
    assert_eq!(&StorePath::from_base_name(base_name).unwrap(), path);
}

#[test]
fn text() {
    let dir = StoreDir::default();
    // builtins.toFile "foo" "bar"
    let foo = dir.path_for_text(&name("foo"), b"bar", &BTreeSet::new());
    check(&foo, "/nix/store/vxjiwkjkn7x4079qvh1jkl5pn05j2aw0-foo");
    // builtins.toFile "refs" "see ${builtins.toFile "foo" "bar"}\n"
    let text = format!("see {}\n", dir.join(&foo));
    let refs = dir.path_for_text(&name("refs"), text.as_bytes(), &BTreeSet::from([foo]));
    check(&refs, "/nix/store/0bymz1ywzqdxkn8xhi5n140alglav05m-refs");
}

#[test]
fn contents() {
    let dir = StoreDir::default();
    // printf bar > foo; nix-store --add foo
    let foo = dir.path_for_contents(&name("foo"), digest(BAR_NAR), &BTreeSet::new());
    check(&foo, "/nix/store/dxwkwjzdaq7ka55pkk252gh32bgpmql4-foo");
}

#[test]
fn contents_with_a_reference() {
    let dir = StoreDir::default();
    // printf foobar > dep; nix-store --add dep
    let (nar, _) = crate::store::nar::of_file(b"foobar", false);
    let dep = dir.path_for_contents(&name("dep"), nar, &BTreeSet::new());
    check(&dep, "/nix/store/wjp82gqdfldnlvcsm84sv13lvrs8gypm-dep");
    // A directory `r` with a file `file` that holds `points to <dep>\n`, imported as a path with
    // that reference (nix-store --import), then `nix store make-content-addressed`.
    let nar = digest("5c3d3c17c0ac4cf44b6f5f00947f71f17a0145deb844a80523cd8ba01c496a26");
    let path = dir.path_for_contents(&name("r"), nar, &BTreeSet::from([dep]));
    check(&path, "/nix/store/0fmkp2448jl3zydfnsrr8z55v180ybya-r");
}

#[test]
fn flat_fixed_hashes() {
    let dir = StoreDir::default();
    let fixed = |hash| dir.path_for_fixed(&name("foo"), Ingestion::Flat, &hash);
    // printf bar > foo; nix-store --add-fixed ALGORITHM foo; hashes from sha1sum, sha512sum
    let sha1 = *b"\x62\xcd\xb7\x02\x0f\xf9\x20\xe5\xaa\x64\x2c\x3d\x40\x66\x95\x0d\xd1\xf0\x1f\x4d";
    check(&fixed(FixedHash::Sha1(sha1)), "/nix/store/xw97k337gykargrvkpr1pxbrlb62byp8-foo");
    let sha256 = Sha256Digest::of(b"bar");
    check(&fixed(FixedHash::Sha256(sha256)), "/nix/store/mk161j17xxwjx6dxs4ckib4lrfdxi4d8-foo");
    let sha512: [u8; 64] = sha2::Sha512::digest("bar").into();
    check(&fixed(FixedHash::Sha512(sha512)), "/nix/store/bk3grrddrc02hdbl04p0ypkjri5x5q4r-foo");
}

#[test]
fn recursive_fixed_hashes() {
    let dir = StoreDir::default();
    let fixed = |hash| dir.path_for_fixed(&name("tree"), Ingestion::Recursive, &hash);
    // nix-store --add-fixed --recursive ALGORITHM tree, the tree of nar's tests
    let nar = digest("9f8fba147cdc0e6025456029a9adb27a65bb3e9b94625d6ba609236eb429e0b8");
    check(&fixed(FixedHash::Sha256(nar)), "/nix/store/v5hcc18h7qqlhv6zlag1ic7nx9imf7kv-tree");
    let nar = crate::store::nar::tests::tree_nar();
    let sha512: [u8; 64] = sha2::Sha512::digest(nar).into();
    check(&fixed(FixedHash::Sha512(sha512)), "/nix/store/kfh7w3zfr8fd3vlwf5hfjf356sy67jgl-tree");
}

/// The `.drv` files of `let dep = derivation {…}; in derivation { name = "demo-1.0"; … }`.
const DEP_DRV: &str = r#"Derive([("out","/nix/store/f4rvqv1ighlypaij3kj5c8w4y5sbqz0l-dep","","")],[],[],"x86_64-linux","/bin/sh",["-c","echo a > $out"],[("builder","/bin/sh"),("name","dep"),("out","/nix/store/f4rvqv1ighlypaij3kj5c8w4y5sbqz0l-dep"),("system","x86_64-linux")])"#;
const DEMO_DRV: &str = r#"Derive([("out","/nix/store/r8vm6n1ckqdw22yk14h8c13l4x8gys94-demo-1.0","","")],[("/nix/store/s5qxfdah0mh4i38iy40ingqbi64b6v6f-dep.drv",["out"])],["/nix/store/vxjiwkjkn7x4079qvh1jkl5pn05j2aw0-foo"],"x86_64-linux","/bin/sh",["-c","cp /nix/store/f4rvqv1ighlypaij3kj5c8w4y5sbqz0l-dep $out"],[("builder","/bin/sh"),("name","demo-1.0"),("out","/nix/store/r8vm6n1ckqdw22yk14h8c13l4x8gys94-demo-1.0"),("src","/nix/store/vxjiwkjkn7x4079qvh1jkl5pn05j2aw0-foo"),("system","x86_64-linux")])"#;

#[test]
fn outputs_of_derivations() {
    let path_of = |name_text, modulo: OutputPathHash| {
        let modulo = modulo.into_ready().unwrap().into_bytes();
        StoreDir::default().path_for_output(&name(name_text), Sha256Digest::from_bytes(modulo))
    };
    let no_inputs = |_: &nix_derivation::store_path::StorePath| InputDerivationHash::Deferred;
    let dep = Derivation::from_aterm_bytes(DEP_DRV.as_bytes(), "dep").unwrap();
    let path = path_of("dep", dep.hash_output_path_modulo(no_inputs).unwrap());
    check(&path, "/nix/store/f4rvqv1ighlypaij3kj5c8w4y5sbqz0l-dep");
    let dep_hash = dep.hash_input_derivation_modulo(no_inputs).unwrap();
    let demo = Derivation::from_aterm_bytes(DEMO_DRV.as_bytes(), "demo-1.0").unwrap();
    let path = path_of("demo-1.0", demo.hash_output_path_modulo(|_| dep_hash).unwrap());
    check(&path, "/nix/store/r8vm6n1ckqdw22yk14h8c13l4x8gys94-demo-1.0");
}

#[test]
fn derivations_are_text() {
    let dir = StoreDir::default();
    let dep = dir.path_for_text(&name("dep.drv"), DEP_DRV.as_bytes(), &BTreeSet::new());
    check(&dep, "/nix/store/s5qxfdah0mh4i38iy40ingqbi64b6v6f-dep.drv");
    let foo = dir.path_for_text(&name("foo"), b"bar", &BTreeSet::new());
    let references = BTreeSet::from([dep, foo]);
    let demo = dir.path_for_text(&name("demo-1.0.drv"), DEMO_DRV.as_bytes(), &references);
    check(&demo, "/nix/store/ag11cp0qgmx55ihgqz3v8g9cxjbqmn7v-demo-1.0.drv");
}

#[test]
fn a_fetched_file_of_known_hash() {
    // derivation { name = "fetched.deb"; outputHashMode = "flat"; outputHashAlgo = "sha256"; … }
    let hash = FixedHash::Sha256(Sha256Digest::of(b"bar"));
    let path = StoreDir::default().path_for_fixed(&name("fetched.deb"), Ingestion::Flat, &hash);
    check(&path, "/nix/store/kw50801wrp4g3ac3wfwmp8ry1kr9s9d7-fetched.deb");
}

#[track_caller]
fn check_name(text: &str, good: bool) {
    assert_eq!(StorePathName::new(text).is_ok(), good, "{text:?}");
    let base_name = format!("vxjiwkjkn7x4079qvh1jkl5pn05j2aw0-{text}");
    assert_eq!(StorePath::from_base_name(&base_name).is_ok(), good, "{base_name:?}");
}

#[test]
fn names() {
    check_name("a", true);
    check_name("-", true);
    check_name(".a", true);
    check_name("..a", true);
    check_name("a-1.2+b?c=d_e", true);
    check_name(&"a".repeat(211), true);
    check_name(&"a".repeat(212), false);
    check_name("", false);
    check_name(".", false);
    check_name("..", false);
    check_name(".-a", false);
    check_name("..-a", false);
    check_name("a/b", false);
    check_name("a b", false);
    check_name("a:b", false);
    check_name("a~b", false);
    check_name("é", false);
    check_name("a\0", false);
}

#[test]
fn names_from_debian_versions() {
    let joined = StorePathName::from_parts(&["base-files", "1:2.0~rc1", "amd64"]).unwrap();
    assert_eq!(joined.as_str(), "base-files-1-2.0-rc1-amd64");
}

#[track_caller]
fn refuses_path(text: &str) {
    assert!(
        matches!(StorePath::from_base_name(text), Err(StorePathError::Digest { .. })),
        "{text}"
    );
}

#[test]
fn other_text_is_no_store_path() {
    refuses_path("");
    refuses_path("foo");
    refuses_path("vxjiwkjkn7x4079qvh1jkl5pn05j2aw0");
    refuses_path("vxjiwkjkn7x4079qvh1jkl5pn05j2aw0_foo");
    // `e` is not in Nix's base-32, nor is a capital.
    refuses_path("exjiwkjkn7x4079qvh1jkl5pn05j2aw0-foo");
    refuses_path("Vxjiwkjkn7x4079qvh1jkl5pn05j2aw0-foo");
    refuses_path(&"é".repeat(40));
}
