//! Tests of the numbering of inodes.

use expect_test::{Expect, expect};

use super::super::sample::{contents, entry, path, tree};
use super::{complete, number};
use crate::tree::{Node, Tree};

/// One line for each inode: number, links, parent, path, and the names in it.
#[track_caller]
fn check(tree: &Tree, expected: &Expect) {
    let printed = match number(tree) {
        Err(error) => format!("{error}\n"),
        Ok(inodes) => inodes
            .iter()
            .enumerate()
            .map(|(number, inode)| {
                let children: Vec<String> = inode
                    .children
                    .iter()
                    .map(|(name, number)| format!("{}={number}", String::from_utf8_lossy(name)))
                    .collect();
                let (links, parent) = (inode.links, inode.parent);
                format!("{number} x{links} in {parent} {:?} {}\n", inode.path, children.join(" "))
            })
            .collect(),
    };
    expected.assert_eq(&printed);
}

fn with(at: &str, node: Node<crate::tree::StoreFile>) -> Tree {
    let mut tree = tree();
    tree.insert(path(at), entry(0o644, node));
    tree
}

#[test]
fn inodes_have_names_links_and_parents() {
    check(
        &tree(),
        &expect![[r#"
        0 x6 in 0 "" bin=1 etc=4 run=7 tmp=9
        1 x2 in 0 "bin" ping=2 ping6=2 sh=3
        2 x2 in 1 "bin/ping" 
        3 x1 in 1 "bin/sh" 
        4 x2 in 0 "etc" empty=5 secret=6
        5 x1 in 4 "etc/empty" 
        6 x1 in 4 "etc/secret" 
        7 x2 in 0 "run" pipe=8
        8 x1 in 7 "run/pipe" 
        9 x2 in 0 "tmp" 
    "#]],
    );
}

#[test]
fn a_hard_link_that_sorts_before_its_file_is_found() {
    check(
        &with("a", Node::HardLink(path("etc/empty"))),
        &expect![[r#"
        0 x6 in 0 "" a=5 bin=1 etc=4 run=7 tmp=9
        1 x2 in 0 "bin" ping=2 ping6=2 sh=3
        2 x2 in 1 "bin/ping" 
        3 x1 in 1 "bin/sh" 
        4 x2 in 0 "etc" empty=5 secret=6
        5 x2 in 4 "etc/empty" 
        6 x1 in 4 "etc/secret" 
        7 x2 in 0 "run" pipe=8
        8 x1 in 7 "run/pipe" 
        9 x2 in 0 "tmp" 
    "#]],
    );
}

#[test]
fn what_has_no_place_is_named() {
    check(
        &Tree::new(),
        &expect![[r#"
        the directory of `` is not in the tree
    "#]],
    );
    check(
        &with("x/y", Node::Fifo),
        &expect![[r#"
        the directory of `x/y` is not in the tree
    "#]],
    );
    check(
        &with("bin/sh/y", Node::Fifo),
        &expect![[r#"
        `bin/sh/y` lies in something that is not a directory
    "#]],
    );
    check(
        &with("", Node::Fifo),
        &expect![[r#"
        `` lies in something that is not a directory
    "#]],
    );
    check(
        &with("y", Node::HardLink(path("nothing"))),
        &expect![[r#"
        `y` is a hard link to `nothing`, which is not a file of the tree
    "#]],
    );
    check(
        &with("y", Node::HardLink(path("tmp"))),
        &expect![[r#"
        `y` is a hard link to `tmp`, which is not a file of the tree
    "#]],
    );
    check(
        &with("y", Node::HardLink(path("bin/ping6"))),
        &expect![[r#"
        `y` is a hard link to `bin/ping6`, which is not a file of the tree
    "#]],
    );
    check(
        &with("y", Node::Symlink(Vec::new())),
        &expect![[r#"
        the target of the symbolic link `y` is empty, too long or has a NUL
    "#]],
    );
    check(
        &with("y", Node::Symlink(vec![b'a'; 4096])),
        &expect![[r#"
        the target of the symbolic link `y` is empty, too long or has a NUL
    "#]],
    );
    check(
        &with("y", Node::Symlink(b"a\0".to_vec())),
        &expect![[r#"
        the target of the symbolic link `y` is empty, too long or has a NUL
    "#]],
    );
}

#[test]
fn a_name_of_256_bytes_is_refused() {
    assert!(number(&with(&"a".repeat(255), Node::Fifo)).is_ok());
    assert!(number(&with(&"a".repeat(256), Node::Fifo)).is_err());
}

#[test]
fn completing_adds_only_what_is_missing() {
    let mut tree = Tree::new();
    tree.insert(path("a/b/c"), entry(0o600, Node::File(contents(1, "c"))));
    tree.insert(path("a"), entry(0o700, Node::Directory));
    complete(&mut tree, 7);
    let shown: Vec<String> =
        tree.iter().map(|(at, entry)| format!("{at:?} {:o} {}", entry.mode, entry.mtime)).collect();
    expect![[r#"
        "" 755 7
        "a" 700 1700000000
        "a/b" 755 7
        "a/b/c" 600 1700000000"#]]
    .assert_eq(&shown.join("\n"));
}
