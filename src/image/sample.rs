//! Small trees for the tests of this layer.

use std::collections::BTreeMap;

use crate::store::StorePath;
use crate::tree::{Entry, Node, StoreFile, TreePath};

use super::segment::{ImageTree, Source};
use crate::tree::Tree;

/// A time that most entries have.
pub(super) const MTIME: u64 = 1_700_000_000;

/// A path inside a tree.
pub(super) fn path(text: &str) -> TreePath {
    TreePath::new(text).unwrap()
}

/// The store path that all contents lie in.
pub(super) fn store_path() -> StorePath {
    StorePath::from_base_name("00000000000000000000000000000000-sample-1").unwrap()
}

/// Contents of `size` bytes at `inner`.
pub(super) fn contents(size: u64, inner: &str) -> StoreFile {
    StoreFile { size, path: store_path(), inner: path(inner) }
}

/// An entry of root's with usual attributes.
pub(super) fn entry<F>(mode: u16, node: Node<F>) -> Entry<F> {
    Entry { mode, uid: 0, gid: 0, mtime: MTIME, xattrs: BTreeMap::new(), node }
}

/// A tree with one of each kind; directories in between are added.
pub(super) fn tree() -> Tree {
    let mut ping = entry(0o755, Node::File(contents(5000, "data/usr/bin/ping")));
    ping.xattrs.insert(b"security.capability".to_vec(), b"\x01\0\0\x02\0\x20\0\0".to_vec());
    let mut private = entry(0o4750, Node::File(contents(1, "data/etc/secret")));
    (private.uid, private.gid, private.mtime) = (70_000, 42, MTIME + 1);
    let entries = [
        ("bin/ping", ping),
        ("bin/ping6", entry(0, Node::HardLink(path("bin/ping")))),
        ("bin/sh", entry(0o777, Node::Symlink(b"dash".to_vec()))),
        ("etc/secret", private),
        ("etc/empty", entry(0o600, Node::File(contents(0, "data/etc/empty")))),
        ("run/pipe", entry(0o600, Node::Fifo)),
        ("tmp", entry(0o1777, Node::Directory)),
    ];
    let mut tree: Tree = entries.into_iter().map(|(at, entry)| (path(at), entry)).collect();
    super::inodes::complete(&mut tree, MTIME);
    tree
}

/// A tree with files made for it.
pub(super) fn made(files: &[(&str, &[u8])]) -> ImageTree {
    let to_entry = |(at, bytes): &(&str, &[u8])| {
        (path(at), entry(0o644, Node::File(Source::Bytes(bytes.to_vec()))))
    };
    let mut tree: ImageTree = files.iter().map(to_entry).collect();
    super::inodes::complete(&mut tree, MTIME);
    tree
}

/// A boot.img that says in the right places what GRUB's says.
pub(super) fn grub_boot() -> Vec<u8> {
    let mut boot = vec![7; 512];
    boot[0x5c..0x64].copy_from_slice(&1_u64.to_le_bytes());
    boot[0x64] = 0xff;
    boot[0x66..0x68].copy_from_slice(&[0xeb, 5]);
    boot[510..].copy_from_slice(&[0x55, 0xaa]);
    boot
}

/// A core.img of three sectors, the last not full, that lists the other two.
pub(super) fn grub_core() -> Vec<u8> {
    let mut core = vec![9; 1500];
    core[508..512].copy_from_slice(&[2, 0, 0x20, 8]);
    core
}
