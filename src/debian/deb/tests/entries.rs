//! Entries that are refused, with the reason.

use expect_test::expect;

use super::*;

#[test]
fn names_that_lead_outside_are_refused() {
    check_refused(&[file("../x")], &expect!["`../x`: the name leads out of the package"]);
    check_refused(
        &[file("./usr/../../x")],
        &expect!["`./usr/../../x`: the name leads out of the package"],
    );
    check_refused(
        &[file("/etc/passwd")],
        &expect!["`/etc/passwd`: the name leads out of the package"],
    );
    check_refused(
        &[TestEntry::directory("..")],
        &expect!["`..`: the name leads out of the package"],
    );
    check_refused(
        &[TestEntry::symlink("./a", "/etc"), file("./a/passwd")],
        &expect!["`./a/passwd`: it lies below `a`, which is not a directory"],
    );
    check_refused(
        &[TestEntry::symlink("./a", "b"), file("./a/b/c")],
        &expect!["`./a/b/c`: it lies below `a`, which is not a directory"],
    );
    check_refused(
        &[TestEntry::symlink("./usr", "/"), file("./lib/x")],
        &expect!["`./lib/x`: it lies below `usr`, which is not a directory"],
    );
    check_refused(
        &[TestEntry::symlink("./lib", "/tmp"), file("./lib/x")],
        &expect!["`./lib`: it is neither a directory nor a link to `usr/lib`"],
    );
    check_refused(
        &[file("./bin")],
        &expect!["`./bin`: it is neither a directory nor a link to `usr/bin`"],
    );
    check_refused(
        &[file("./a"), file("./a/b")],
        &expect!["`./a/b`: it lies below `a`, which is not a directory"],
    );
}

#[test]
fn hard_links_lead_to_earlier_files() {
    check_refused(
        &[TestEntry::hard_link("./a", "/etc/passwd")],
        &expect!["`./a`: it is a hard link to `/etc/passwd`, which leads out of the package"],
    );
    check_refused(
        &[TestEntry::hard_link("./a", "../../x")],
        &expect!["`./a`: it is a hard link to `../../x`, which leads out of the package"],
    );
    check_refused(
        &[TestEntry::hard_link("./a", "./b"), file("./b")],
        &expect!["`./a`: it is a hard link to `b`, which is not an earlier file of the package"],
    );
    check_refused(
        &[TestEntry::hard_link("./a", "./a")],
        &expect!["`./a`: it is a hard link to `a`, which is not an earlier file of the package"],
    );
    check_refused(
        &[TestEntry::hard_link("./a", "")],
        &expect!["`./a`: the link's target is not a path (empty, a NUL, or more than 4095 bytes)"],
    );
    check_refused(
        &[TestEntry::symlink("./s", "/etc/passwd"), TestEntry::hard_link("./a", "./s")],
        &expect!["`./a`: it is a hard link to `s`, which is not an earlier file of the package"],
    );
    check_refused(
        &[TestEntry::directory("./d"), TestEntry::hard_link("./a", "./d")],
        &expect!["`./a`: it is a hard link to `d`, which is not an earlier file of the package"],
    );
    check_refused(
        &[TestEntry::symlink("./s", "d"), file("./d/f"), TestEntry::hard_link("./a", "./s/f")],
        &expect!["`./a`: it is a hard link to `s/f`, which is not an earlier file of the package"],
    );
}

#[test]
fn only_files_links_directories_and_pipes_are_taken() {
    check_refused(
        &[TestEntry::new(b'3', "./null")],
        &expect!["`./null`: it is a character device, which a package may not carry"],
    );
    check_refused(
        &[TestEntry::new(b'4', "./sda")],
        &expect!["`./sda`: it is a block device, which a package may not carry"],
    );
    check_refused(
        &[TestEntry::new(b'S', "./sparse")],
        &expect!["`./sparse`: it is an entry of type `S`, which a package may not carry"],
    );
    check_refused(
        &[TestEntry::new(0xff, "./what")],
        &expect![[r"`./what`: it is an entry of type `\u{ff}`, which a package may not carry"]],
    );
    check_refused(
        &[TestEntry { contents: vec![0; 9], ..TestEntry::symlink("./s", "x") }],
        &expect!["`./s`: it has contents although it is not a file"],
    );
    check_refused(
        &[TestEntry::symlink("./s", "")],
        &expect!["`./s`: the link's target is not a path (empty, a NUL, or more than 4095 bytes)"],
    );
    check_refused(
        &[TestEntry::symlink("./s", "a\0b")],
        &expect!["`./s`: the link's target is not a path (empty, a NUL, or more than 4095 bytes)"],
    );
    check_refused(
        &[TestEntry::symlink("./s", &"t".repeat(4096))],
        &expect!["`./s`: the link's target is not a path (empty, a NUL, or more than 4095 bytes)"],
    );
    check_refused(
        &[TestEntry { uid: u32::MAX, ..file("./a") }],
        &expect!["`./a`: its owner 4294967295 is not a user or group number"],
    );
    let nameless = [(b"".to_vec(), vec![])].into();
    check_refused(
        &[TestEntry { xattrs: nameless, ..file("./a") }],
        &expect!["`./a`: an extended attribute has an impossible name or more than 65536 bytes"],
    );
    let large = [(b"user.a".to_vec(), vec![0; 65537])].into();
    check_refused(
        &[TestEntry { xattrs: large, ..file("./a") }],
        &expect!["`./a`: an extended attribute has an impossible name or more than 65536 bytes"],
    );
}

#[test]
fn names_that_are_not_paths_are_refused() {
    check_refused(
        &[file("")],
        &expect![
            "``: the name is not a path (empty parts, a NUL, or more than 4095 bytes, 255 a part)"
        ],
    );
    check_refused(
        &[file("./a//b")],
        &expect![
            "`./a//b`: the name is not a path (empty parts, a NUL, or more than 4095 bytes, 255 a part)"
        ],
    );
    check_refused(
        &[file("./a/./b")],
        &expect![
            "`./a/./b`: the name is not a path (empty parts, a NUL, or more than 4095 bytes, 255 a part)"
        ],
    );
    check_refused(
        &[file("./a\0b")],
        &expect![
            "`./a�b`: the name is not a path (empty parts, a NUL, or more than 4095 bytes, 255 a part)"
        ],
    );
    let long = |bytes: usize| format!("lib/{}", "n/".repeat(bytes / 2 - 2).trim_end_matches('/'));
    assert_eq!(long(4094).len(), 4093);
    let result = |name: &str| {
        let package = deb(&tar(&[file(name)], Style::Gnu), "");
        read(&package, &Limits::default()).1
    };
    assert_eq!(result(&long(4092)).err(), None);
    // With `usr/` in front it is one byte too long.
    assert!(result(&long(4094)).unwrap_err().ends_with("255 a part)"));
    assert_eq!(result(&"n".repeat(255)).err(), None);
    assert!(result(&"n".repeat(256)).unwrap_err().ends_with("255 a part)"));
}

#[test]
fn a_place_is_taken_once() {
    check_refused(&[file("./a"), file("./a")], &expect!["`./a`: its place `a` is already taken"]);
    check_refused(&[file("./a"), file("a")], &expect!["`a`: its place `a` is already taken"]);
    check_refused(
        &[file("./lib/a"), file("./usr/lib/a")],
        &expect!["`./usr/lib/a`: its place `usr/lib/a` is already taken"],
    );
    check_refused(
        &[TestEntry::directory("./a"), file("./a")],
        &expect!["`./a`: its place `a` is already taken"],
    );
    check_refused(
        &[file("./a/b"), TestEntry::symlink("./a", "b")],
        &expect!["`./a`: its place `a` is already taken"],
    );
    check_refused(
        &[TestEntry::symlink("./", "b")],
        &expect!["`./`: its place `` is already taken"],
    );
    let other = TestEntry { mode: 0o700, ..TestEntry::directory("./usr/lib/") };
    check_refused(
        &[TestEntry::directory("./lib/"), other],
        &expect!["`./usr/lib/`: its place `usr/lib` is a directory with another mode or owner"],
    );
    let twice = [TestEntry::directory("./lib/"), TestEntry::directory("./usr/lib/")];
    check(
        &twice,
        &expect![[r##"
        control 0644 control "Package: test\n"
        control 0755 postinst "#!/bin/sh\n"
        d usr
        d usr/lib
        nexus-manifest 1
        d 0755 0 0 0 .
        d 0755 0 0 0 usr
        d 0755 0 0 7 usr/lib
    "##]],
    );
}
