//! Tests of the text form.

use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::*;

/// Every kind of line once.
const SAMPLE: &str = "\
nexus-manifest 1
- etc/gone
- etc/gone-too
d 0755 0 0 1700000000 .
d 1777 0 0 0 tmp
d 0755 0 0 1 usr/bin
f 0755 0 0 1700000000 1234 usr/bin/ping
x security.capability 0100000200200000
x user.empty -
f 4755 0 0 7 1 usr/bin/sudo
h usr/bin/sudo usr/bin/sudoedit
l 0777 0 0 1700000000 ../lib/a%20b usr/bin/%25%C3%A9
p 0600 1 4294967295 18446744073709551615 usr/bin/~
";

#[test]
fn reads_and_writes_every_kind_of_line() {
    let sample = sorted_sample();
    let manifest = Manifest::parse(sample.as_bytes()).unwrap();
    assert_eq!(manifest.to_text(), sample);
    let at = |path: &str| &manifest.entries[&TreePath::new(path).unwrap()];
    assert_eq!(at("usr/bin/sudoedit").mode, 0o4755);
    assert_eq!(at("usr/bin/ping").xattrs[&b"user.empty"[..]], b"");
    assert_eq!(at("usr/bin/%é").node, Node::Symlink(b"../lib/a b".to_vec()));
}

/// `%` sorts before letters, so the link stands first in its directory.
fn sorted_sample() -> String {
    let link = "l 0777 0 0 1700000000 ../lib/a%20b usr/bin/%25%C3%A9\n";
    SAMPLE.replace(link, "").replace("f 0755", &format!("{link}f 0755"))
}

#[track_caller]
fn check_refused(text: &[u8], expected: &Expect) {
    expected.assert_eq(&Manifest::parse(text).unwrap_err().to_string());
}

#[track_caller]
fn check_line(lines: &str, expected: &Expect) {
    check_refused(format!("nexus-manifest 1\n{lines}\n").as_bytes(), expected);
}

#[test]
fn refuses_what_is_not_a_manifest() {
    check_refused(b"", &expect!["line 1 of the manifest: expected `nexus-manifest 1`"]);
    check_refused(b"\n", &expect!["line 1 of the manifest: expected `nexus-manifest 1`"]);
    check_refused(
        b"nexus-manifest 2\n",
        &expect!["line 1 of the manifest: expected `nexus-manifest 1`"],
    );
    check_refused(b"nexus-manifest 1", &expect!["line 1 of the manifest: the line has no end"]);
    check_refused(
        b"nexus-manifest 1\np 0600 0 0 0 a",
        &expect!["line 2 of the manifest: the line has no end"],
    );
    check_line(
        "nexus-manifest 1",
        &expect!["line 2 of the manifest: `nexus-manifest` is not a kind of entry"],
    );
    check_line("", &expect!["line 2 of the manifest: `` is not a kind of entry"]);
    check_line("p 0600 0 0 a", &expect!["line 2 of the manifest: expected 6 fields"]);
    check_line("p 0600 0 0 0 a b", &expect!["line 2 of the manifest: expected 6 fields"]);
    check_line("p 0600 0  0 0 a", &expect!["line 2 of the manifest: expected 6 fields"]);
}

#[test]
fn refuses_values_that_cannot_be_or_are_written_otherwise() {
    check_line(
        "d 755 0 0 0 a",
        &expect!["line 2 of the manifest: `755` is not a mode of four octal digits"],
    );
    check_line(
        "d 0758 0 0 0 a",
        &expect!["line 2 of the manifest: `0758` is not a mode of four octal digits"],
    );
    check_line("d 0755 00 0 0 a", &expect!["line 2 of the manifest: `00` is not a user number"]);
    check_line(
        "d 0755 4294967296 0 0 a",
        &expect!["line 2 of the manifest: `4294967296` is not a user number"],
    );
    check_line("d 0755 0 -1 0 a", &expect!["line 2 of the manifest: `-1` is not a group number"]);
    check_line(
        "d 0755 0 0 18446744073709551616 a",
        &expect!["line 2 of the manifest: `18446744073709551616` is not a time in seconds"],
    );
    check_line(
        "f 0644 0 0 0 +1 a",
        &expect!["line 2 of the manifest: `+1` is not a size in bytes"],
    );
    check_line("d 0755 0 0 0 ../a", &expect!["line 2 of the manifest: `../a` is not a path"]);
    check_line("d 0755 0 0 0 /a", &expect!["line 2 of the manifest: `/a` is not a path"]);
    check_line("d 0755 0 0 0 a%00", &expect!["line 2 of the manifest: `a%00` is not a path"]);
    check_line("d 0755 0 0 0 a%2f", &expect!["line 2 of the manifest: `a%2f` is not a path"]);
    check_line("d 0755 0 0 0 %61", &expect!["line 2 of the manifest: `%61` is not a path"]);
    check_line("d 0755 0 0 0 a%2", &expect!["line 2 of the manifest: `a%2` is not a path"]);
    check_line(
        "l 0777 0 0 0 a%00 b",
        &expect!["line 2 of the manifest: `a%00` is not the target of a link"],
    );
    check_line(
        "d 0755 0 0 0 a\nx user.a 0",
        &expect!["line 3 of the manifest: `0` is not a value in hexadecimal digits"],
    );
    check_line(
        "d 0755 0 0 0 a\nx user.a AA",
        &expect!["line 3 of the manifest: `AA` is not a value in hexadecimal digits"],
    );
}

#[test]
fn refuses_lines_that_do_not_fit_together() {
    check_line(
        "p 0600 0 0 0 b\np 0600 0 0 0 a",
        &expect!["line 3 of the manifest: `a` does not sort after the line before it"],
    );
    check_line(
        "p 0600 0 0 0 a\np 0600 0 0 0 a",
        &expect!["line 3 of the manifest: `a` does not sort after the line before it"],
    );
    check_line(
        "- b\n- a",
        &expect!["line 3 of the manifest: `a` does not sort after the line before it"],
    );
    check_line(
        "p 0600 0 0 0 a\n- b",
        &expect!["line 3 of the manifest: a removal stands below an entry"],
    );
    check_line("- .", &expect!["line 2 of the manifest: the root is a directory and stays"]);
    check_line(
        "p 0600 0 0 0 .",
        &expect!["line 2 of the manifest: the root is a directory and stays"],
    );
    check_line(
        "x user.a 00",
        &expect!["line 2 of the manifest: an attribute without an entry that can have it"],
    );
    check_line(
        "f 0644 0 0 0 0 a\nh a b\nx user.a 00",
        &expect!["line 4 of the manifest: an attribute without an entry that can have it"],
    );
    check_line(
        "p 0600 0 0 0 a\nx user.b 00\nx user.a 00",
        &expect!["line 4 of the manifest: `user.a` does not sort after the line before it"],
    );
    check_line(
        "h b a",
        &expect![
            "line 2 of the manifest: `b`, the first name of a hard link, is not a file of the manifest"
        ],
    );
    check_line(
        "d 0755 0 0 0 a\nh a b",
        &expect![
            "line 3 of the manifest: `a`, the first name of a hard link, is not a file of the manifest"
        ],
    );
    check_line(
        "l 0777 0 0 0 x a\np 0600 0 0 0 a-b\np 0600 0 0 0 a/b/c",
        &expect!["line 4 of the manifest: `a/b/c` lies below `a`, which is not a directory"],
    );
}

#[test]
fn a_cut_text_is_refused_or_is_a_shorter_manifest() {
    let sample = sorted_sample();
    for end in 0..sample.len() {
        if let Ok(manifest) = Manifest::parse(&sample.as_bytes()[..end]) {
            assert_eq!(manifest.to_text(), sample[..end]);
        }
    }
}

fn names() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        "[a-c]{1,2}".prop_map(String::into_bytes),
        proptest::collection::vec(1_u8..=255, 1..6)
            .prop_map(|name| name.into_iter().map(|c| if c == b'/' { b'%' } else { c }).collect()),
    ]
}

fn paths() -> impl Strategy<Value = TreePath> {
    proptest::collection::vec(names(), 1..4)
        .prop_filter_map("dots", |names| TreePath::new(names.join(&b'/')).ok())
}

fn nodes() -> impl Strategy<Value = Node<FileBeside>> {
    prop_oneof![
        Just(Node::Directory),
        Just(Node::Fifo),
        any::<u64>().prop_map(|size| Node::File(FileBeside { size })),
        names().prop_map(Node::Symlink),
    ]
}

fn entries() -> impl Strategy<Value = Entry<FileBeside>> {
    let numbers = (0..=0o7777_u16, any::<u32>(), any::<u32>(), any::<u64>());
    let value = proptest::collection::vec(any::<u8>(), 0..4);
    let xattrs = proptest::collection::btree_map(names(), value, 0..3);
    (numbers, xattrs, nodes()).prop_map(|((mode, uid, gid, mtime), xattrs, node)| Entry {
        mode,
        uid,
        gid,
        mtime,
        xattrs,
        node,
    })
}

prop_compose! {
    /// Sound manifests: nothing below a non-directory, links to files.
    fn manifests()(
        found in proptest::collection::btree_map(paths(), entries(), 0..12),
        removed in proptest::collection::btree_set(paths(), 0..3),
        links in proptest::collection::vec((paths(), any::<prop::sample::Index>()), 0..3),
    ) -> Manifest {
        let mut manifest = Manifest { entries: BTreeMap::new(), removed };
        let sound = |entries: &BTreeMap<TreePath, Entry<FileBeside>>, path: &TreePath| {
            let above = std::iter::successors(path.parent(), TreePath::parent);
            above.filter_map(|parent| entries.get(&parent)).all(Entry::is_directory)
        };
        for (path, entry) in found {
            if sound(&manifest.entries, &path) {
                manifest.entries.insert(path, entry);
            }
        }
        let is_file = |entry: &Entry<_>| matches!(entry.node, Node::File(_));
        let files: Vec<_> =
            manifest.entries.iter().filter(|(_, entry)| is_file(entry)).map(|(path, _)| path.clone()).collect();
        for (path, index) in links {
            let below = manifest.entries.keys().any(|other| other.strip_prefix(&path).is_some());
            if !files.is_empty() && !below && sound(&manifest.entries, &path) {
                let first = index.get(&files).clone();
                let file = manifest.entries[&first].clone();
                let link = Entry { node: Node::HardLink(first), xattrs: BTreeMap::new(), ..file };
                manifest.entries.insert(path, link);
            }
        }
        manifest
    }
}

proptest! {
    #[test]
    fn a_manifest_comes_back_from_its_text(manifest in manifests()) {
        let text = manifest.to_text();
        prop_assert!(text.is_ascii());
        prop_assert_eq!(Manifest::parse(text.as_bytes()), Ok(manifest));
    }

    #[test]
    fn an_accepted_text_is_the_only_one(
        manifest in manifests(),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut text = manifest.to_text().into_bytes();
        for (index, byte) in changes {
            let at = index.index(text.len());
            text[at] = byte;
        }
        if let Ok(read) = Manifest::parse(&text) {
            prop_assert_eq!(read.to_text().into_bytes(), text);
        }
    }
}
