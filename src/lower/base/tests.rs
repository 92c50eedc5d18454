//! Where the parts of a Debian root go.

use std::collections::BTreeMap;

use expect_test::{Expect, expect};

use super::*;
use crate::store::StorePath;

fn entry(node: Node<StoreFile>) -> Entry<StoreFile> {
    Entry { mode: 0o755, uid: 0, gid: 8, mtime: 7, xattrs: BTreeMap::new(), node }
}

fn file() -> Node<StoreFile> {
    let path = StorePath::from_base_name("vxjiwkjkn7x4079qvh1jkl5pn05j2aw0-foo").unwrap();
    Node::File(StoreFile { size: 3, path, inner: TreePath::new("data/x").unwrap() })
}

#[track_caller]
fn check(at: &str, node: Node<StoreFile>, expected: Expect) {
    let root = Tree::from([(path(at), entry(node))]);
    let base = base_of(&root);
    let mut seen = String::new();
    for (at, entry) in &base.tree {
        let kind = match &entry.node {
            Node::HardLink(first) => format!("link to {first}"),
            _ => "entry".into(),
        };
        writeln!(seen, "{at}: {kind}").unwrap();
    }
    let lines = base.factory_configuration.lines().skip(1);
    for line in lines.filter(|line| !line.contains("sysimage")) {
        writeln!(seen, "{line}").unwrap();
    }
    expected.assert_eq(&seen);
}

#[test]
fn usr_and_etc_stay() {
    check(
        "usr/bin/x",
        file(),
        expect![[r#"
        usr/bin/x: entry
    "#]],
    );
    check(
        "etc/x",
        Node::Symlink(b"y".to_vec()),
        expect![[r#"
        etc/x: entry
    "#]],
    );
}

#[test]
fn the_package_database_moves() {
    check(
        "var/lib/dpkg/status",
        file(),
        expect![[r#"
        usr/lib/sysimage/dpkg/status: entry
    "#]],
    );
}

#[test]
fn what_persists_comes_from_the_factory() {
    check(
        "var/lib/a b%",
        file(),
        expect![[r#"
        usr/share/factory/var/lib/a b%: entry
        C "/var/lib/a\x20b%%" 0755 0 8 - /usr/share/factory/var/lib/a b%%
    "#]],
    );
    check(
        "var/lib/a",
        Node::Directory,
        expect![[r#"
        d "/var/lib/a" 0755 0 8 -
    "#]],
    );
    check(
        "var/run",
        Node::Symlink(b"/run".to_vec()),
        expect![[r#"
        L "/var/run" - - - - /run
    "#]],
    );
    check(
        "var/lib/b",
        Node::HardLink(path("var/lib/a")),
        expect![[r#"
        usr/share/factory/var/lib/b: link to usr/share/factory/var/lib/a
        C "/var/lib/b" 0755 0 8 - /usr/share/factory/var/lib/b
    "#]],
    );
}

#[test]
fn what_the_boot_makes_is_left_out() {
    for at in ["boot/vmlinuz", "bin", "dev", "run/x", "var", "tmp"] {
        check(at, Node::Directory, expect![[""]]);
    }
}

#[test]
fn optional_software_lies_below_usr() {
    check(
        "opt/x/y",
        file(),
        expect![[r#"
        usr/lib/opt/x/y: entry
    "#]],
    );
}
