//! Which package wins a path, and how a difference is laid over.

use expect_test::{Expect, expect};

use std::collections::BTreeSet;

use super::*;
use crate::tree::FileBeside;

fn entry(kind: &str) -> Entry<FileBeside> {
    let node = match kind {
        "dir" => Node::Directory,
        "file" => Node::File(FileBeside { size: 1 }),
        link if link.starts_with('=') => {
            Node::HardLink(TreePath::new(&link.as_bytes()[1..]).unwrap())
        }
        target => Node::Symlink(target.as_bytes().to_vec()),
    };
    Entry { mode: 0o755, uid: 0, gid: 0, mtime: 0, xattrs: BTreeMap::new(), node }
}

fn manifest(entries: &[(&str, &str)]) -> Manifest {
    let entries = entries.iter().map(|(path, kind)| (TreePath::new(*path).unwrap(), entry(kind)));
    Manifest { entries: entries.collect(), removed: BTreeSet::new() }
}

fn layer(name: &str, replaces: &[&str], entries: &[(&str, &str)]) -> Layer {
    let path = StorePath::from_base_name(&format!("vxjiwkjkn7x4079qvh1jkl5pn05j2aw0-{name}"));
    let replaces = replaces.join(", ");
    let control = format!("Package: {name}\nVersion: 1\nArchitecture: all\nReplaces: {replaces}\n");
    let meta = PackageMeta::parse(control.as_bytes()).unwrap();
    Layer { meta, path: path.unwrap(), manifest: manifest(entries) }
}

fn show(tree: &Tree) -> String {
    let line = |(path, entry): (&TreePath, &Entry<StoreFile>)| {
        let what = match &entry.node {
            Node::File(file) => format!("file of {}", file.path.name()),
            Node::HardLink(first) => format!("= {first}"),
            Node::Symlink(target) => format!("-> {}", String::from_utf8_lossy(target)),
            _ => "directory".into(),
        };
        format!("{path} {what}\n")
    };
    tree.iter().map(line).collect()
}

#[track_caller]
fn check(layers: Vec<Layer>, expected: Expect) {
    expected.assert_eq(&compose(layers).map_or_else(|error| error.to_string(), |tree| show(&tree)));
}

#[test]
fn directories_are_shared() {
    check(
        vec![
            layer("a", &[], &[("usr", "dir"), ("usr/a", "file")]),
            layer("b", &[], &[("usr", "dir"), ("usr/b", "file")]),
        ],
        expect![[r#"
            usr directory
            usr/a file of a
            usr/b file of b
        "#]],
    );
}

#[test]
fn a_file_of_two_packages_is_a_conflict() {
    check(
        vec![layer("a", &[], &[("x", "file")]), layer("b", &[], &[("x", "file")])],
        expect!["`x` is in package a and in package b, and neither can replace the other"],
    );
    check(
        vec![layer("a", &[], &[("x", "file")]), layer("b", &[], &[("x", "dir")])],
        expect!["`x` is in package a and in package b, and neither can replace the other"],
    );
}

#[test]
fn who_replaces_wins_from_above_and_from_below() {
    check(
        vec![layer("a", &[], &[("x", "file")]), layer("b", &["a"], &[("x", "file")])],
        expect![[r#"
            x file of b
        "#]],
    );
    check(
        vec![layer("a", &["b"], &[("x", "file")]), layer("b", &[], &[("x", "file")])],
        expect![[r#"
            x file of a
        "#]],
    );
}

#[test]
fn a_link_to_a_directory_stays() {
    check(
        vec![layer("a", &[], &[("x", "usr/x")]), layer("b", &[], &[("x", "dir")])],
        expect![[r#"
            x -> usr/x
        "#]],
    );
}

#[test]
fn a_directory_does_not_become_something_else() {
    let directory = || layer("a", &[], &[("x", "dir"), ("x/f", "file")]);
    check(
        vec![directory(), layer("b", &[], &[("x", "usr/x")])],
        expect![[r#"
            x directory
            x/f file of a
        "#]],
    );
    check(
        vec![directory(), layer("b", &["a"], &[("x", "file")])],
        expect!["`x` is in package a and in package b, and neither can replace the other"],
    );
    check(
        vec![layer("b", &["a"], &[("x", "file")]), directory()],
        expect!["`x` is in package b and in package a, and neither can replace the other"],
    );
}

#[test]
fn a_file_lives_on_under_its_other_names() {
    let names = [("x", "file"), ("y", "=x"), ("z", "=x")];
    check(
        vec![layer("a", &[], &names), layer("b", &["a"], &[("x", "file")])],
        expect![[r#"
            x file of b
            y file of a
            z = y
        "#]],
    );
    check(
        vec![layer("b", &["a"], &[("x", "file")]), layer("a", &[], &names)],
        expect![[r#"
            x file of b
            y file of a
            z = y
        "#]],
    );
    let mut tree = compose(vec![layer("a", &[], &names)]).unwrap();
    let mut difference = manifest(&[("y", "file")]);
    difference.removed.insert(TreePath::new("x").unwrap());
    apply(&mut tree, difference, &layer("delta", &[], &[]).path);
    expect![[r#"
        y file of delta
        z file of a
    "#]]
    .assert_eq(&show(&tree));
}

#[test]
fn a_difference_adds_changes_and_removes() {
    let base = [("d", "dir"), ("d/a", "file"), ("d/b", "file"), ("d-x", "file"), ("e", "file")];
    let mut tree = compose(vec![layer("a", &[], &base)]).unwrap();
    let mut difference = manifest(&[("e", "file"), ("f", "file")]);
    difference.removed.insert(TreePath::new("d").unwrap());
    let delta = layer("delta", &[], &[]);
    apply(&mut tree, difference, &delta.path);
    expect![[r#"
        d-x file of a
        e file of delta
        f file of delta
    "#]]
    .assert_eq(&show(&tree));
}

#[test]
fn a_directory_that_becomes_a_link_takes_its_contents_along() {
    let mut tree =
        compose(vec![layer("a", &[], &[("var/run", "dir"), ("var/run/x", "file")])]).unwrap();
    apply(&mut tree, manifest(&[("var/run", "/run")]), &layer("delta", &[], &[]).path);
    expect![[r#"
        var/run -> /run
    "#]]
    .assert_eq(&show(&tree));
}
