//! Index choice and decompression with its limit.

use std::fmt::Write as _;

use expect_test::{Expect, expect};

use super::*;

const DIGEST: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn release(head: &str, files: &[&str]) -> Release {
    let mut text = format!("Date: Sat, 12 Sep 2026 07:55:41 UTC\n{head}SHA256:\n");
    for file in files {
        writeln!(text, " {DIGEST} 7 {file}").unwrap();
    }
    Release::parse(text.as_bytes()).unwrap()
}

#[track_caller]
fn check(release: &Release, components: &[&str], expected: &Expect) {
    let components: Vec<String> = components.iter().map(|&name| name.to_owned()).collect();
    expected.assert_eq(&match package_indexes(release, &components, "amd64") {
        Ok(indexes) => indexes.iter().map(in_words).collect::<Vec<_>>().join("\n"),
        Err(error) => format!("error: {error}"),
    });
}

fn in_words(index: &IndexFile) -> String {
    let by_hash = index.by_hash_path.as_ref().map(|path| path.replace(DIGEST, "…"));
    let (path, packing) = (&index.path, index.packing);
    format!("{path} {packing:?} {by_hash:?} {:?}", index.unpacked_bytes)
}

const BOTH: [&str; 3] = [
    "main/binary-amd64/Packages",
    "main/binary-amd64/Packages.gz",
    "main/binary-amd64/Packages.xz",
];

#[test]
fn xz_by_hash_is_preferred() {
    let debian = "Acquire-By-Hash: yes\nNo-Support-for-Architecture-all: Packages\n\
                  Architectures: all amd64\nComponents: main contrib\n";
    check(
        &release(debian, &BOTH),
        &["main"],
        &expect![[
            r#"main/binary-amd64/Packages.xz Xz Some("main/binary-amd64/by-hash/SHA256/…") Some(7)"#
        ]],
    );
    check(
        &release("", &BOTH[..2]),
        &["main"],
        &expect!["main/binary-amd64/Packages.gz Gzip None Some(7)"],
    );
    check(
        &release("", &BOTH[..1]),
        &["main"],
        &expect!["main/binary-amd64/Packages Plain None Some(7)"],
    );
    check(
        &release(debian, &BOTH),
        &["main", "contrib"],
        &expect!["error: the Release file lists no `contrib/binary-amd64/Packages`, packed or not"],
    );
    check(
        &release(debian, &BOTH),
        &["universe"],
        &expect!["error: there is no component `universe`; there are main, contrib"],
    );
    check(
        &release("Architectures: arm64\n", &BOTH),
        &["main"],
        &expect!["error: there are no packages for architecture `amd64`"],
    );
    check(
        &release("Components: updates/main\n", &BOTH),
        &["main"],
        &expect!["main/binary-amd64/Packages.xz Xz None Some(7)"],
    );
}

#[test]
fn packages_for_all_may_be_apart() {
    let files = ["main/binary-amd64/Packages.xz", "main/binary-all/Packages.xz"];
    check(
        &release("Architectures: all amd64\n", &files),
        &["main"],
        &expect![[r#"
        main/binary-amd64/Packages.xz Xz None None
        main/binary-all/Packages.xz Xz None None"#]],
    );
    check(
        &release("Architectures: amd64\n", &files),
        &["main"],
        &expect!["main/binary-amd64/Packages.xz Xz None None"],
    );
}

#[test]
fn flat_repositories() {
    let flat = release("Acquire-By-Hash: yes\n", &["Packages", "Packages.gz"]);
    check(&flat, &[], &expect![[r#"Packages.gz Gzip Some("by-hash/SHA256/…") Some(7)"#]]);
    check(
        &release("", &[]),
        &[],
        &expect!["error: the Release file lists no `Packages`, packed or not"],
    );
}

fn index(packing: Packing, unpacked_bytes: Option<u64>) -> IndexFile {
    let release = release("", &["Packages"]);
    let plain = package_indexes(&release, &[], "amd64").unwrap().remove(0);
    IndexFile { packing, unpacked_bytes, ..plain }
}

fn xz(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write as _;
    let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 6);
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write as _;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn every_packing_unpacks() {
    let bytes = b"Package: x\n".repeat(1000);
    let size = Some(bytes.len() as u64);
    let unpack = |packing, packed: &[u8]| unpack_index(&index(packing, size), packed).unwrap();
    assert_eq!(unpack(Packing::Plain, &bytes), bytes);
    assert_eq!(unpack(Packing::Xz, &xz(&bytes)), bytes);
    assert_eq!(unpack(Packing::Gzip, &gzip(&bytes)), bytes);
    let halves = [gzip(&bytes[..5000]), gzip(&bytes[5000..])].concat();
    assert_eq!(unpack(Packing::Gzip, &halves), bytes);
    let halves = [xz(&bytes[..5000]), xz(&bytes[5000..])].concat();
    assert_eq!(unpack(Packing::Xz, &halves), bytes);
}

#[test]
fn bombs_and_broken_files_are_refused() {
    let bomb = xz(&vec![0; 100_000]);
    let error = unpack_index(&index(Packing::Xz, Some(1000)), &bomb).unwrap_err();
    expect!["the index unpacks to more than the 1000 bytes that were announced"]
        .assert_eq(&error.to_string());
    for length in 0..bomb.len() {
        assert!(unpack_index(&index(Packing::Xz, None), &bomb[..length]).is_err(), "{length}");
    }
    let whole = gzip(&[7; 10_000]);
    for length in 1..whole.len() {
        assert!(unpack_index(&index(Packing::Gzip, None), &whole[..length]).is_err(), "{length}");
    }
}

proptest::proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes: Vec<u8>) {
        let _ = unpack_index(&index(Packing::Xz, None), &bytes);
        let _ = unpack_index(&index(Packing::Gzip, None), &bytes);
    }
}
