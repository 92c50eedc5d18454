//! Tests of dpkg's database.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use expect_test::{Expect, expect};

use super::{DatabaseError, Identity, UnpackedPackage, conffile_digest, unpacked_database};
use crate::tree::TreePath;

fn package(control: &str, files: &[(&str, &str)], paths: &[&str]) -> UnpackedPackage {
    let files = files.iter().map(|(name, text)| ((*name).to_owned(), text.as_bytes().to_vec()));
    UnpackedPackage {
        control: control.as_bytes().to_vec(),
        control_files: files.collect(),
        paths: paths.iter().map(|path| TreePath::new(*path).unwrap()).collect(),
        conffile_digests: BTreeMap::from([(
            TreePath::new("etc/a.conf").unwrap(),
            conffile_digest(b"a = 1\n"),
        )]),
    }
}

/// Prints every file that is not empty: its mode, its path, its lines indented.
#[track_caller]
fn check(packages: &[UnpackedPackage], expected: &Expect) {
    let files = unpacked_database(packages).unwrap();
    let mut text = String::new();
    for (path, file) in files.iter().filter(|(_, file)| !file.contents.is_empty()) {
        writeln!(text, "{:04o} {path}", file.mode).unwrap();
        for line in String::from_utf8_lossy(&file.contents).lines() {
            writeln!(text, "  |{line}").unwrap();
        }
    }
    expected.assert_eq(&text);
}

#[track_caller]
fn check_error(packages: &[UnpackedPackage], expected: &Expect) {
    expected.assert_eq(&unpacked_database(packages).unwrap_err().to_string());
}

const PLAIN: &str = "Package: plain\nVersion: 1:2.0-1\nArchitecture: all\nDescription: x\n more\n";
const SAME: &str = "Package: libx\nVersion: 1\nArchitecture: amd64\nMulti-Arch: same\n";

#[test]
fn a_package_has_a_paragraph_a_list_and_its_control_files() {
    let files = [
        ("postinst", "#!/bin/sh\n"),
        ("md5sums", "0  usr/bin/x\n"),
        ("conffiles", "/etc/a.conf\n/etc/b.conf\nremove-on-upgrade /etc/old.conf\n"),
        ("control", "not kept"),
        ("../evil", "not kept"),
    ];
    let paths = ["", "etc", "etc/a.conf", "usr"];
    check(
        &[package(PLAIN, &files, &paths)],
        &expect![[r"
        0644 info/format
          |1
        0644 info/plain.conffiles
          |/etc/a.conf
          |/etc/b.conf
          |remove-on-upgrade /etc/old.conf
        0644 info/plain.list
          |/.
          |/etc
          |/etc/a.conf
          |/usr
        0644 info/plain.md5sums
          |0  usr/bin/x
        0755 info/plain.postinst
          |#!/bin/sh
        0644 status
          |Package: plain
          |Version: 1:2.0-1
          |Architecture: all
          |Description: x
          | more
          |Status: install ok unpacked
          |Conffiles:
          | /etc/a.conf 9358f2568f3316fe7e78a4fa7707c414
          | /etc/b.conf newconffile
          | /etc/old.conf newconffile remove-on-upgrade
          |
    "]],
    );
}

#[test]
fn the_architecture_is_part_of_the_name_for_libraries() {
    check(
        &[package(SAME, &[("shlibs", "x\n")], &["usr"])],
        &expect![[r"
        0644 info/format
          |1
        0644 info/libx:amd64.list
          |/.
          |/usr
        0644 info/libx:amd64.shlibs
          |x
        0644 status
          |Package: libx
          |Version: 1
          |Architecture: amd64
          |Multi-Arch: same
          |Status: install ok unpacked
          |
    "]],
    );
}

#[test]
fn paragraphs_are_sorted_and_triggers_are_in_the_order_of_packages() {
    let triggers =
        "# comment\ninterest /usr/share/x # why\n\ninterest-noawait ldconfig\nactivate y\n";
    let packages = [
        package(PLAIN, &[("triggers", triggers)], &[]),
        package(SAME, &[("triggers", "interest-await ldconfig\ninterest-noawait /a\n")], &[]),
    ];
    check(
        &packages,
        &expect![[r"
        0644 info/format
          |1
        0644 info/libx:amd64.list
          |/.
        0644 info/libx:amd64.triggers
          |interest-await ldconfig
          |interest-noawait /a
        0644 info/plain.list
          |/.
        0644 info/plain.triggers
          |# comment
          |interest /usr/share/x # why
          |
          |interest-noawait ldconfig
          |activate y
        0644 status
          |Package: libx
          |Version: 1
          |Architecture: amd64
          |Multi-Arch: same
          |Status: install ok unpacked
          |
          |Package: plain
          |Version: 1:2.0-1
          |Architecture: all
          |Description: x
          | more
          |Status: install ok unpacked
          |
        0644 triggers/File
          |/usr/share/x plain
          |/a libx:amd64/noawait
        0644 triggers/ldconfig
          |plain/noawait
          |libx:amd64
    "]],
    );
}

#[test]
fn what_dpkg_would_refuse_is_refused() {
    let bad = |control: &str| package(control, &[], &[]);
    check_error(
        &[bad("Version: 1\n")],
        &expect!["the control data of `` has no usable field Package"],
    );
    check_error(
        &[bad("Package: ../x\nVersion: 1\nArchitecture: all\n")],
        &expect!["the control data of `` has no usable field Package"],
    );
    check_error(
        &[bad("Package: x\nVersion: 1\n")],
        &expect!["the control data of `x` has no usable field Architecture"],
    );
    check_error(
        &[bad(&format!("{PLAIN}\nPackage: second\n"))],
        &expect!["the control data of a package is not one paragraph of UTF-8"],
    );
    check_error(
        &[package(PLAIN, &[], &[]), package(PLAIN, &[], &[])],
        &expect!["package plain is there twice"],
    );
    for (file, text) in [
        ("triggers", "interest\n"),
        ("triggers", "interest ../../x\n"),
        ("triggers", "wish x\n"),
        ("conffiles", "\n/etc/../x\n"),
        ("conffiles", "etc/x\n"),
    ] {
        let error = unpacked_database(&[package(PLAIN, &[(file, text)], &[])]).unwrap_err();
        assert!(matches!(error, DatabaseError::Line { .. }), "{text:?}: {error}");
    }
}

#[test]
fn the_digest_is_that_of_md5sum() {
    // printf 'a = 1\n' | md5sum
    assert_eq!(conffile_digest(b"a = 1\n"), "9358f2568f3316fe7e78a4fa7707c414");
}

#[test]
fn field_names_are_without_regard_to_case() {
    let identity = Identity::of(b"package: x\nVERSION: 1\nArchitecture: amd64\n").unwrap();
    assert_eq!((identity.in_database().as_str(), identity.version.as_str()), ("x", "1"));
}
