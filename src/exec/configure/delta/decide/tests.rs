//! Tests of what becomes part of the delta.

use std::collections::BTreeMap;
use std::path::PathBuf;

use expect_test::{Expect, expect};

use super::{Found, Kind, decide};
use crate::exec::configure::layers::Layers;
use crate::exec::sandbox::{Owner, Owners};
use crate::tree::{Manifest, TreePath};

/// What the packages hold.
const BELOW: &str = "\
nexus-manifest 1
d 0755 0 0 500 etc
f 0644 0 0 500 3 etc/conf
f 0640 0 42 500 3 etc/secret
l 0777 0 0 500 ../x etc/link
f 4755 0 0 500 9 usr/bin/su
d 0755 0 0 500 var/lock
f 0644 0 0 500 1 var/lock-file
f 0644 0 0 500 1 var/lock/a
";

fn layers() -> Layers {
    let text: Vec<&str> = BELOW.lines().collect();
    let mut lines = text[1..].to_vec();
    lines.sort_by_key(|line| line.rsplit(' ').next().map(str::to_owned));
    let text = format!("{}\n{}\n", text[0], lines.join("\n"));
    let manifest = Manifest::parse(text.as_bytes()).unwrap();
    let entries = manifest.entries.into_iter().map(|(path, entry)| (path, (0, entry)));
    Layers {
        directories: vec![PathBuf::from("/package")],
        identities: Vec::new(),
        packages: Vec::new(),
        entries: entries.collect(),
    }
}

fn thing(kind: Kind, mode: u16) -> Found {
    Found { kind, mode, inode: 1, owner: None, capability: None }
}

fn directory(mode: u16) -> Found {
    thing(Kind::Directory { is_opaque: false }, mode)
}

fn file(mode: u16, is_same: bool) -> Found {
    thing(Kind::File { size: 3, is_same }, mode)
}

fn link(target: &str) -> Found {
    thing(Kind::Symlink { target: target.into() }, 0o777)
}

fn owned(found: Found, uid: u32, gid: u32) -> Found {
    Found { owner: Some(Owner { uid, gid }), ..found }
}

#[track_caller]
fn check(found: &[(&str, Found)], owners: &Owners, expected: &Expect) {
    let found: BTreeMap<TreePath, Found> =
        found.iter().map(|(path, found)| (TreePath::new(*path).unwrap(), found.clone())).collect();
    expected.assert_eq(&decide(&found, &layers(), owners, 1000).to_text());
}

#[test]
fn what_is_as_in_the_packages_is_no_change() {
    let found = [
        ("etc", directory(0o755)),
        ("etc/conf", file(0o644, true)),
        ("etc/link", link("../x")),
        ("etc/secret", owned(file(0o640, true), 0, 42)),
    ];
    check(
        &found,
        &Owners::default(),
        &expect![[r"
        nexus-manifest 1
    "]],
    );
}

#[test]
fn attributes_and_contents_are_changes() {
    let found = [
        ("etc", directory(0o700)),
        ("etc/conf", owned(file(0o644, true), 998, 0)),
        ("etc/link", link("/elsewhere")),
        ("etc/new", file(0o600, false)),
        ("etc/secret", file(0o640, false)),
    ];
    check(
        &found,
        &Owners::default(),
        &expect![[r"
        nexus-manifest 1
        d 0700 0 0 500 etc
        f 0644 998 0 500 3 etc/conf
        l 0777 0 0 1000 /elsewhere etc/link
        f 0600 0 0 1000 3 etc/new
        f 0640 0 0 1000 3 etc/secret
    "]],
    );
}

#[test]
fn removals_are_told_path_by_path() {
    let found = [
        ("etc/conf", thing(Kind::Whiteout, 0)),
        ("etc/unknown", thing(Kind::Whiteout, 0)),
        ("var/lock", link("/run/lock")),
    ];
    check(
        &found,
        &Owners::default(),
        &expect![[r"
        nexus-manifest 1
        - etc/conf
        - var/lock/a
        l 0777 0 0 1000 /run/lock var/lock
    "]],
    );
    let found = [("var/lock", thing(Kind::Directory { is_opaque: true }, 0o755))];
    check(
        &found,
        &Owners::default(),
        &expect![[r"
        nexus-manifest 1
        - var/lock/a
    "]],
    );
}

#[test]
fn a_rewritten_file_keeps_its_owner() {
    let by_path = |path: &str| Owners {
        by_path: BTreeMap::from([(PathBuf::from(path), Owner { uid: 0, gid: 42 })]),
        ..Owners::default()
    };
    let unmarked = [("etc/secret", file(0o640, false))];
    check(
        &unmarked,
        &by_path("/etc/secret"),
        &expect![[r"
        nexus-manifest 1
        f 0640 0 42 1000 3 etc/secret
    "]],
    );
    let marked = [("etc/secret", owned(file(0o640, false), 0, 0))];
    check(
        &marked,
        &by_path("/etc/secret"),
        &expect![[r"
        nexus-manifest 1
        f 0640 0 42 1000 3 etc/secret
    "]],
    );
    // Given back to root by its own name: the recorder has forgotten the path.
    check(
        &marked,
        &Owners::default(),
        &expect![[r"
        nexus-manifest 1
        f 0640 0 0 1000 3 etc/secret
    "]],
    );
}

#[test]
fn links_have_their_owner_by_number() {
    let owners =
        Owners { by_inode: BTreeMap::from([(1, Owner { uid: 5, gid: 6 })]), ..Owners::default() };
    check(
        &[("etc/new", link("x"))],
        &owners,
        &expect![[r"
        nexus-manifest 1
        l 0777 5 6 1000 x etc/new
    "]],
    );
}

#[test]
fn leaks_sockets_and_replaced_programs_are_left_out() {
    let found = [
        ("etc/machine-id", file(0o444, false)),
        ("etc/socket", thing(Kind::Other, 0o755)),
        ("usr/bin/ssh-keygen", file(0o755, false)),
        ("usr/bin/su", file(0o755, false)),
    ];
    check(
        &found,
        &Owners::default(),
        &expect![[r"
        nexus-manifest 1
    "]],
    );
}

#[test]
fn capabilities_are_kept() {
    let mut found = file(0o755, false);
    found.capability = Some(vec![1, 0, 0, 2]);
    check(
        &[("usr/bin/ping", found)],
        &Owners::default(),
        &expect![[r"
        nexus-manifest 1
        f 0755 0 0 1000 3 usr/bin/ping
        x security.capability 01000002
    "]],
    );
}
