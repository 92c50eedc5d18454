//! Directory blocks of EROFS: sorted entries in front, names behind, each block on its own.

use crate::tree::{Node, StoreFile};

use super::super::bytes::{put, put_u16, put_u64};
use super::super::inodes::Inode;
use super::layout::BLOCK_BYTES;

/// Bytes of `erofs_dirent`.
const ENTRY_BYTES: usize = 12;

/// The names of a directory in order, `.` and `..` among them, with the number of what they name.
fn names<'t>(inodes: &[Inode<'t, StoreFile>], number: usize) -> Vec<(&'t [u8], usize)> {
    let inode = &inodes[number];
    let mut names: Vec<(&[u8], usize)> = Vec::with_capacity(inode.children.len() + 2);
    names.extend_from_slice(&inode.children);
    names.extend_from_slice(&[(b".", number), (b"..", inode.parent)]);
    names.sort_unstable_by_key(|&(name, _)| name);
    names
}

/// How many of `names` fit into one block, and the bytes they take there.
fn fitting(names: &[(&[u8], usize)]) -> (usize, usize) {
    let mut bytes = 0;
    for (count, (name, _)) in names.iter().enumerate() {
        let with_this = bytes + ENTRY_BYTES + name.len();
        if with_this > BLOCK_BYTES {
            return (count, bytes);
        }
        bytes = with_this;
    }
    (names.len(), bytes)
}

/// Bytes of a directory's contents; the last block is counted as far as it is filled.
pub(super) fn size(inodes: &[Inode<'_, StoreFile>], number: usize) -> usize {
    let names = names(inodes, number);
    let mut rest = &names[..];
    let mut full_blocks = 0;
    loop {
        let (count, bytes) = fitting(rest);
        rest = &rest[count..];
        if rest.is_empty() {
            return full_blocks * BLOCK_BYTES + bytes;
        }
        full_blocks += 1;
    }
}

/// The contents of a directory; `node_number` gives the on-disk number of an inode.
pub(super) fn contents(
    inodes: &[Inode<'_, StoreFile>],
    number: usize,
    node_number: impl Fn(usize) -> u64,
) -> Vec<u8> {
    let names = names(inodes, number);
    let mut rest = &names[..];
    let mut contents = Vec::new();
    while !rest.is_empty() {
        contents.resize(contents.len().next_multiple_of(BLOCK_BYTES), 0);
        let (count, bytes) = fitting(rest);
        let start = contents.len();
        contents.resize(start + bytes, 0);
        let block = &mut contents[start..];
        let mut name_at = count * ENTRY_BYTES;
        for (index, &(name, target)) in rest[..count].iter().enumerate() {
            let at = index * ENTRY_BYTES;
            put_u64(block, at, node_number(target));
            put_u16(block, at + 8, u16::try_from(name_at).expect("an offset in a block"));
            block[at + 10] = file_type(&inodes[target].entry.node);
            put(block, name_at, name);
            name_at += name.len();
        }
        rest = &rest[count..];
    }
    contents
}

/// The kernel's `FT_…` numbers (`include/linux/fs_types.h`).
fn file_type(node: &Node<StoreFile>) -> u8 {
    match node {
        Node::File(_) => 1,
        Node::Directory => 2,
        Node::Fifo => 5,
        Node::Symlink(_) => 7,
        Node::HardLink(_) => unreachable!("numbered inodes are no hard links"),
    }
}
