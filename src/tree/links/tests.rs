//! Tests of hard links whose file goes.

use expect_test::{Expect, expect};

use super::*;
use crate::tree::{FileBeside, Manifest};

/// A file with three names, one with two, one with one.
const SAMPLE: &str = "\
nexus-manifest 1
f 0755 0 0 1 11 a
x user.note 01
h a b
h a c/d
f 0644 0 0 2 22 e
h e f
f 0600 0 0 3 33 g
";

fn sample() -> (Entries<FileBeside>, Links) {
    let entries = Manifest::parse(SAMPLE.as_bytes()).unwrap().entries;
    let links = Links::of(&entries);
    (entries, links)
}

fn path(text: &str) -> TreePath {
    TreePath::new(text).unwrap()
}

#[track_caller]
fn check(entries: Entries<FileBeside>, links: Option<&Links>, expected: &Expect) {
    if let Some(links) = links {
        let noted = links.0.iter().filter(|(_, names)| !names.is_empty());
        assert!(noted.eq(Links::of(&entries).0.iter()), "{links:?}");
    }
    let text = Manifest { entries, removed: BTreeSet::new() }.to_text();
    assert!(Manifest::parse(text.as_bytes()).is_ok(), "{text}");
    expected.assert_eq(text.strip_prefix("nexus-manifest 1\n").unwrap());
}

#[test]
fn the_next_name_becomes_the_file() {
    let (mut entries, mut links) = sample();
    links.remove(&mut entries, &path("a")).unwrap();
    links.remove(&mut entries, &path("f")).unwrap();
    links.remove(&mut entries, &path("g")).unwrap();
    assert_eq!(links.remove(&mut entries, &path("nothing")), None);
    check(
        entries.clone(),
        Some(&links),
        &expect![[r#"
        f 0755 0 0 1 11 b
        x user.note 01
        h b c/d
        f 0644 0 0 2 22 e
    "#]],
    );
    links.remove(&mut entries, &path("b")).unwrap();
    links.remove(&mut entries, &path("e")).unwrap();
    check(
        entries,
        Some(&links),
        &expect![[r#"
        f 0755 0 0 1 11 c/d
        x user.note 01
    "#]],
    );
}

#[test]
fn another_file_in_its_place_gets_no_links() {
    let (mut entries, mut links) = sample();
    let new = "nexus-manifest 1\nf 0600 9 9 9 99 a\nh a b\nl 0777 0 0 0 x e\n";
    links.extend(&mut entries, Manifest::parse(new.as_bytes()).unwrap().entries);
    check(
        entries,
        Some(&links),
        &expect![[r#"
        f 0600 9 9 9 99 a
        h a b
        f 0755 0 0 1 11 c/d
        x user.note 01
        l 0777 0 0 0 x e
        f 0644 0 0 2 22 f
        f 0600 0 0 3 33 g
    "#]],
    );
}

#[test]
fn a_link_may_come_before_its_file() {
    let (mut entries, mut links) = sample();
    let new = "nexus-manifest 1\nh e 0\nf 0600 9 9 9 99 e\n";
    links.extend(&mut entries, Manifest::parse(new.as_bytes()).unwrap().entries);
    check(
        entries,
        Some(&links),
        &expect![[r#"
        h e 0
        f 0755 0 0 1 11 a
        x user.note 01
        h a b
        h a c/d
        f 0600 9 9 9 99 e
        f 0644 0 0 2 22 f
        f 0600 0 0 3 33 g
    "#]],
    );
}

#[test]
fn a_cut_leaves_a_file_on_both_sides() {
    let text = "nexus-manifest 1\nf 0644 0 0 0 1 etc/a\nh usr/b etc/b\nf 0644 0 0 0 2 usr/b\n\
                h etc/a usr/c\nh etc/a usr/d\nh usr/b usr/e\n";
    let entries = Manifest::parse(text.as_bytes()).unwrap().entries;
    check(
        below(&entries, &path("usr")),
        None,
        &expect![[r#"
        f 0644 0 0 0 2 b
        f 0644 0 0 0 1 c
        h c d
        h b e
    "#]],
    );
    check(
        below(&entries, &path("etc")),
        None,
        &expect![[r#"
        f 0644 0 0 0 1 a
        f 0644 0 0 0 2 b
    "#]],
    );
    assert_eq!(below(&entries, &TreePath::root()), entries);
}
