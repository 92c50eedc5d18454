//! Tests of what a package may be.

mod entries;
mod members;

use expect_test::{Expect, expect};

use super::testing::*;
use super::*;
use crate::tree::Manifest;

fn read(package: &[u8], limits: &Limits) -> (Recorder, Result<Manifest, String>) {
    let mut recorder = Recorder::default();
    let result = read_deb(package, limits, &mut recorder);
    (recorder, result.map_err(|error| in_words(&error)))
}

fn in_words(error: &dyn std::error::Error) -> String {
    let chain = std::iter::successors(Some(error), |error| error.source());
    chain.map(ToString::to_string).collect::<Vec<_>>().join("\n  caused by: ")
}

/// What the sink gets and the manifest of a package whose data archive has these entries.
#[track_caller]
fn check(entries: &[TestEntry], expected: &Expect) {
    let by_compression =
        [("", Style::Gnu), (".gz", Style::Pax), (".xz", Style::Gnu), (".zst", Style::Pax)];
    let texts = by_compression.map(|(suffix, style)| {
        let (recorder, result) = read(&deb(&tar(entries, style), suffix), &Limits::default());
        let lines = recorder.lines.join("\n");
        let manifest = result.unwrap();
        assert_eq!(Manifest::parse(manifest.to_text().as_bytes()).unwrap(), manifest);
        format!("{lines}\n{}", manifest.to_text())
    });
    assert!(texts.iter().all(|text| *text == texts[0]), "{texts:#?}");
    expected.assert_eq(&texts[0]);
}

/// Why a data archive with these entries is refused.
#[track_caller]
fn check_refused(entries: &[TestEntry], expected: &Expect) {
    check_refused_tar(&tar(entries, Style::Pax), expected);
}

#[track_caller]
fn check_refused_tar(tar: &[u8], expected: &Expect) {
    check_refused_deb(&deb(tar, ""), expected);
}

#[track_caller]
fn check_refused_deb(package: &[u8], expected: &Expect) {
    let error = read(package, &Limits::default()).1.unwrap_err();
    expected.assert_eq(error.strip_prefix("`data.tar` has a refused entry ").unwrap_or(&error));
}

fn file(name: &str) -> TestEntry {
    TestEntry::file(name, "x")
}

#[test]
fn a_package_is_read() {
    let capability = [(b"security.capability".to_vec(), vec![1, 0, 0, 2])].into();
    let entries = [
        TestEntry { mtime: 9, ..TestEntry::directory("./") },
        TestEntry { mode: 0o1777, uid: 3, gid: 4, ..TestEntry::directory("./tmp/") },
        TestEntry { mode: 0o4755, xattrs: capability, ..TestEntry::file("./usr/bin/sudo", "elf") },
        TestEntry::hard_link("./usr/bin/edit", "./usr/bin/sudo"),
        TestEntry { mode: 0o700, ..TestEntry::directory("./usr/") },
        TestEntry::symlink("./usr/bin/away", "../../../etc/shadow"),
        TestEntry { mode: 0o600, ..TestEntry::new(b'6', "./run/pipe") },
    ];
    check(
        &entries,
        &expect![[r##"
        control 0644 control "Package: test\n"
        control 0755 postinst "#!/bin/sh\n"
        d tmp
        d usr
        d usr/bin
        f 4755 usr/bin/sudo "elf"
        h usr/bin/edit = usr/bin/sudo
        l usr/bin/away -> ../../../etc/shadow
        d run
        nexus-manifest 1
        d 0755 0 0 9 .
        d 0755 0 0 0 run
        p 0600 0 0 7 run/pipe
        d 1777 3 4 7 tmp
        d 0700 0 0 7 usr
        d 0755 0 0 0 usr/bin
        l 0777 0 0 7 ../../../etc/shadow usr/bin/away
        f 4755 0 0 7 3 usr/bin/edit
        x security.capability 01000002
        h usr/bin/edit usr/bin/sudo
    "##]],
    );
}

#[test]
fn paths_are_merged_into_usr() {
    let entries = [
        TestEntry::symlink("./lib", "usr/lib"),
        TestEntry::symlink("./bin", "/usr/bin/"),
        TestEntry::directory("./sbin/"),
        file("./lib/udev/rule"),
        file("./library/udev"),
        file("./usr/lib/x"),
        TestEntry::hard_link("./lib64/hard", "./lib/udev/rule"),
        TestEntry::hard_link("./sbin/hard", "lib64/hard"),
        TestEntry::symlink("./libx32/s", "../lib/x"),
    ];
    check(
        &entries,
        &expect![[r##"
        control 0644 control "Package: test\n"
        control 0755 postinst "#!/bin/sh\n"
        l lib -> usr/lib
        l bin -> /usr/bin/
        d usr
        d usr/sbin
        d usr/lib
        d usr/lib/udev
        f 0644 usr/lib/udev/rule "x"
        d library
        f 0644 library/udev "x"
        f 0644 usr/lib/x "x"
        d usr/lib64
        h usr/lib64/hard = usr/lib/udev/rule
        h usr/sbin/hard = usr/lib/udev/rule
        d usr/libx32
        l usr/libx32/s -> ../lib/x
        nexus-manifest 1
        d 0755 0 0 0 .
        l 0777 0 0 7 /usr/bin/ bin
        l 0777 0 0 7 usr/lib lib
        d 0755 0 0 0 library
        f 0644 0 0 7 1 library/udev
        d 0755 0 0 0 usr
        d 0755 0 0 0 usr/lib
        d 0755 0 0 0 usr/lib/udev
        f 0644 0 0 7 1 usr/lib/udev/rule
        f 0644 0 0 7 1 usr/lib/x
        d 0755 0 0 0 usr/lib64
        h usr/lib/udev/rule usr/lib64/hard
        d 0755 0 0 0 usr/libx32
        l 0777 0 0 7 ../lib/x usr/libx32/s
        d 0755 0 0 7 usr/sbin
        h usr/lib/udev/rule usr/sbin/hard
    "##]],
    );
}

#[test]
fn names_may_be_long() {
    let name = format!("{}/{}", "d".repeat(200), "f".repeat(200));
    // The hundredth byte, where a header's name is cut off, is a slash.
    let cut = format!("{}/x", "c".repeat(99));
    let target = "t".repeat(300);
    let link = TestEntry::hard_link("./h", &name);
    let entries = [file(&name), file(&cut), TestEntry::symlink("./s", &target), link];
    for style in [Style::Gnu, Style::Pax] {
        let (recorder, result) = read(&deb(&tar(&entries, style), ""), &Limits::default());
        assert_eq!(result.err(), None);
        for line in [
            format!("f 0644 {name} \"x\""),
            format!("f 0644 {cut} \"x\""),
            format!("l s -> {target}"),
            format!("h h = {name}"),
        ] {
            assert!(recorder.lines.contains(&line), "{line}");
        }
    }
}
