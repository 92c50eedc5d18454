//! Tests of the EROFS writer; `tests/it/image.rs` asks fsck.erofs and the kernel.

use super::super::sample::{MTIME, contents, entry, path, tree};
use super::layout::BLOCK_BYTES;
use super::{ErofsError, write};
use crate::tree::{Node, Tree};

fn number(image: &[u8], at: usize, bytes: usize) -> u64 {
    let mut number = [0; 8];
    number[..bytes].copy_from_slice(&image[at..at + bytes]);
    u64::from_le_bytes(number)
}

/// Finds `name` in the directory of inode `node`, whose contents lie behind it.
fn lookup(image: &[u8], node: u64, name: &str) -> Option<u64> {
    let at = usize::try_from(node * 32).unwrap();
    let is_extended = image[at] & 1 == 1;
    let (header, size) = if is_extended { (64, 8) } else { (32, 4) };
    let size = usize::try_from(number(image, at + 8, size)).unwrap();
    assert_eq!(image[at] >> 1, 2, "a directory that ends behind its inode");
    assert_eq!(number(image, at + 2, 2), 0, "directories of the sample have no attributes");
    let blocks = size / BLOCK_BYTES;
    let first = usize::try_from(number(image, at + 16, 4)).unwrap() * BLOCK_BYTES;
    let whole = (0..blocks).map(|block| &image[first + block * BLOCK_BYTES..][..BLOCK_BYTES]);
    let tail = &image[at + header..][..size % BLOCK_BYTES];
    whole.chain([tail]).find_map(|block| lookup_in_block(block, name))
}

fn lookup_in_block(block: &[u8], name: &str) -> Option<u64> {
    let count = usize::try_from(number(block, 8, 2)).unwrap() / 12;
    let name_at = |index: usize| usize::try_from(number(block, 12 * index + 8, 2)).unwrap();
    (0..count).find_map(|index| {
        let end = if index + 1 < count { name_at(index + 1) } else { block.len() };
        let found = block[name_at(index)..end].split(|byte| *byte == 0).next().unwrap();
        (found == name.as_bytes()).then(|| number(block, 12 * index, 8))
    })
}

fn inode<'i>(image: &'i [u8], at: &str) -> &'i [u8] {
    let mut node = number(image, 1024 + 14, 2);
    for name in at.split('/') {
        node = lookup(image, node, name).unwrap_or_else(|| panic!("no {name} of {at}"));
    }
    &image[usize::try_from(node * 32).unwrap()..]
}

#[test]
fn a_file_says_where_its_contents_are() {
    let image = write(&tree()).unwrap();
    let ping = inode(&image, "bin/ping");
    // Compact, one chunk of 8 KiB, regular 0755, two names, 5000 bytes.
    assert_eq!((number(ping, 0, 2), number(ping, 16, 4)), (4 << 1, 1));
    assert_eq!((number(ping, 4, 2), number(ping, 6, 2), number(ping, 8, 4)), (0o100_755, 2, 5000));
    let attributes = &ping[32 + 12..][..4 * usize::try_from(number(ping, 2, 2) - 1).unwrap()];
    let shown = String::from_utf8_lossy(attributes);
    assert!(shown.contains("capability"));
    assert!(shown.contains("overlay.metacopy"));
    let target = "overlay.redirect/00000000000000000000000000000000-sample-1/data/usr/bin/ping";
    assert!(shown.contains(target), "{shown}");
    assert_eq!(&ping[32 + 12 + attributes.len()..][..4], [0xff; 4]);
}

#[test]
fn what_does_not_fit_32_bytes_takes_64() {
    let image = write(&tree()).unwrap();
    let secret = inode(&image, "etc/secret");
    assert_eq!(number(secret, 0, 2), 4 << 1 | 1);
    assert_eq!((number(secret, 24, 4), number(secret, 28, 4)), (70_000, 42));
    assert_eq!((number(secret, 4, 2), number(secret, 32, 8)), (0o104_750, MTIME + 1));
    // An empty file has no contents anywhere.
    let empty = inode(&image, "etc/empty");
    assert_eq!((number(empty, 0, 2), number(empty, 2, 2), number(empty, 8, 4)), (0, 0, 0));
}

#[test]
fn hard_links_are_one_inode() {
    let image = write(&tree()).unwrap();
    assert_eq!(inode(&image, "bin/ping"), inode(&image, "bin/ping6"));
}

#[test]
fn large_directories_have_blocks() {
    let mut tree = Tree::new();
    for index in 0..1000 {
        tree.insert(path(&format!("big/name-{index:04}")), entry(0o600, Node::Fifo));
    }
    super::super::inodes::complete(&mut tree, MTIME);
    let image = write(&tree).unwrap();
    assert_eq!(image.len() % BLOCK_BYTES, 0);
    for name in ["name-0000", "name-0500", "name-0999"] {
        assert_eq!(number(inode(&image, &format!("big/{name}")), 4, 2), 0o010_600);
    }
}

#[test]
fn the_same_tree_gives_the_same_bytes() {
    assert_eq!(write(&tree()), write(&tree()));
}

#[track_caller]
fn check_attribute(name: &str, value: usize, expected: Option<ErofsError>) {
    let mut tree = tree();
    let secret = tree.get_mut(&path("etc/secret")).unwrap();
    secret.xattrs.insert(name.as_bytes().to_vec(), vec![1; value]);
    assert_eq!(write(&tree).err(), expected);
}

#[test]
fn attributes_that_overlayfs_would_obey_are_refused() {
    let refused = |name: &str| {
        Some(ErofsError::Attribute { path: path("etc/secret"), name: name.to_owned() })
    };
    check_attribute("user.note", 100, None);
    check_attribute("trusted.note", 100, None);
    check_attribute("system.posix_acl_access", 28, None);
    for name in
        ["trusted.overlay.opaque", "trusted.overlay.redirect", "other.x", "user.", "system.x"]
    {
        check_attribute(name, 1, refused(name));
    }
    check_attribute("user.note", 65_536, refused("user.note"));
    check_attribute(&format!("user.{}", "n".repeat(255)), 65_535, None);
}

#[test]
fn too_many_attributes_are_refused() {
    let mut tree = tree();
    let secret = tree.get_mut(&path("etc/secret")).unwrap();
    for index in 0..5 {
        secret.xattrs.insert(format!("user.{index}").into_bytes(), vec![1; 60_000]);
    }
    let refused = ErofsError::AttributesTooLarge { path: path("etc/secret") };
    assert_eq!(write(&tree), Err(refused));
}

#[test]
fn a_file_larger_than_a_chunk_can_be_is_refused() {
    let mut tree = tree();
    let node = Node::File(contents((8 << 40) + 1, "data/huge"));
    tree.insert(path("tmp/huge"), entry(0o644, node));
    assert_eq!(write(&tree), Err(ErofsError::FileTooLarge { path: path("tmp/huge") }));
}
