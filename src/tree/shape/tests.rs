//! Tests of parents, children and contents in the store.

use expect_test::{Expect, expect};

use super::*;

fn manifest(lines: &str) -> Manifest {
    Manifest::parse(format!("nexus-manifest 1\n{lines}").as_bytes()).unwrap()
}

#[track_caller]
fn check_complete(lines: &str, expected: &Expect) {
    let mut manifest = manifest(lines);
    let result = complete_parents(&mut manifest.entries);
    let text = match result {
        Ok(()) => manifest.to_text(),
        Err(error) => error.to_string(),
    };
    expected.assert_eq(&text);
}

#[test]
fn missing_parents_are_default_directories() {
    check_complete(
        "d 0700 1 2 3 a\nf 0644 0 0 0 1 a/b/c\nl 0777 0 0 0 x a/b/d\np 0600 0 0 0 z/y/x\n",
        &expect![[r"
            nexus-manifest 1
            d 0755 0 0 0 .
            d 0700 1 2 3 a
            d 0755 0 0 0 a/b
            f 0644 0 0 0 1 a/b/c
            l 0777 0 0 0 x a/b/d
            d 0755 0 0 0 z
            d 0755 0 0 0 z/y
            p 0600 0 0 0 z/y/x
        "]],
    );
}

#[test]
fn a_parent_that_is_no_directory_is_an_error() {
    let mut entries = manifest("l 0777 0 0 0 b a\n").entries;
    let file = manifest("f 0644 0 0 0 1 a/x/y\n").entries;
    entries.extend(file);
    let error = complete_parents(&mut entries).unwrap_err();
    expect!["`a/x/y` lies below `a`, which is not a directory"].assert_eq(&error.to_string());
    assert_eq!(entries.len(), 2, "nothing was added");
}

#[test]
fn children_are_in_order_and_not_deeper() {
    let entries = manifest(
        "d 0755 0 0 0 .\nd 0755 0 0 0 a\nf 0644 0 0 0 1 a-b\nd 0755 0 0 0 a/b\nf 0644 0 0 0 1 a/b-c\n\
         f 0644 0 0 0 1 a/b/c\nf 0644 0 0 0 1 b\n",
    )
    .entries;
    let names = |directory: &str| {
        let directory = TreePath::new(directory).unwrap();
        let found = children(&entries, &directory).map(|(path, _)| path.to_string());
        found.collect::<Vec<_>>().join(" ")
    };
    assert_eq!(names(""), "a a-b b");
    assert_eq!(names("a"), "a/b a/b-c");
    assert_eq!(names("a/b"), "a/b/c");
    assert_eq!(names("b"), "");
    let directories = by_directory(&entries);
    for (directory, found) in &directories {
        let directory = TreePath::new(directory.to_vec()).unwrap();
        assert!(children(&entries, &directory).eq(found.iter().copied()), "{directory}");
    }
    assert_eq!(directories.len(), 3);
}

#[test]
fn contents_of_a_package_lie_below_data() {
    let name = crate::store::StorePathName::new("hello").unwrap();
    let digest = crate::store::Sha256Digest::of(b"");
    let path = crate::store::StoreDir::default().path_for_contents(&name, digest, &BTreeSet::new());
    let tree = manifest("f 0644 0 0 0 7 usr/x\nh usr/x usr/y\n").into_tree(&path);
    let file = &tree[&TreePath::new("usr/x").unwrap()].node;
    let inner = TreePath::new("data/usr/x").unwrap();
    assert_eq!(*file, Node::File(StoreFile { size: 7, path, inner }));
}
