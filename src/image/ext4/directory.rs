//! Directory blocks of ext4: one block of names, or many below an index of their hashes.
//!
//! ```text
//! block     names: { inode u32, bytes of this entry u16, bytes of the name u8, type u8, name }, the last
//!           entry reaching to the final 12 bytes, which hold the checksum
//! index     block 0 of a large directory: `.`, `..` reaching over the rest, then { hash version, depth },
//!           { limit u16, count u16, block u32 } and { hash u32, block u32 } ascending, checksum last;
//!           with depth 1 these name blocks of the same form (`fs/ext4/namei.c`, "dx_root", "dx_node")
//! ```

use super::super::bytes::{crc32c_raw, low16, low32, put, put_u16, put_u32};
use super::geometry::BLOCK_BYTES;
use super::hash::name_hash;

/// Bytes at the end of a block of names: an entry without a name that holds the checksum.
const TAIL_BYTES: usize = 12;
/// Room for names in a block.
const NAMES_BYTES: usize = BLOCK_BYTES - TAIL_BYTES;
/// Leaves of a new index are filled this far, so that the first new names need no split.
const LEAF_FILL_BYTES: usize = NAMES_BYTES * 7 / 8;
/// Index entries in block 0, and in further blocks of the index.
const ROOT_LIMIT: usize = (BLOCK_BYTES - 12 - 12 - 8 - 8) / 8;
const NODE_LIMIT: usize = (BLOCK_BYTES - 8 - 8) / 8;
/// Where the index entries begin.
const ROOT_ENTRIES_AT: usize = 32;
const NODE_ENTRIES_AT: usize = 8;
/// `DX_HASH_HALF_MD4`; the superblock's flag says that characters are unsigned.
const HASH_HALF_MD4: u8 = 1;

/// A name in a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Name<'t> {
    pub(super) text: &'t [u8],
    pub(super) inode: u32,
    /// `EXT4_FT_…`.
    pub(super) file_type: u8,
}

/// `EXT4_FT_DIR`.
pub(super) const TYPE_DIRECTORY: u8 = 2;

/// The directory a block is written for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Directory<'a> {
    pub(super) inode: u32,
    pub(super) parent: u32,
    /// Checksum seed of the directory's inode.
    pub(super) seed: u32,
    pub(super) hash_seed: &'a [u8; 16],
}

/// The contents of a directory with `names` in any order, and whether they are indexed.
///
/// `None` when an index of two levels cannot hold them.
pub(super) fn contents(directory: Directory<'_>, names: &[Name<'_>]) -> Option<(Vec<u8>, bool)> {
    let dots = [
        Name { text: b".", inode: directory.inode, file_type: TYPE_DIRECTORY },
        Name { text: b"..", inode: directory.parent, file_type: TYPE_DIRECTORY },
    ];
    let bytes: usize = dots.iter().chain(names).map(|name| entry_bytes(name.text)).sum();
    if bytes <= NAMES_BYTES {
        let all: Vec<Name<'_>> = dots.iter().chain(names).copied().collect();
        return Some((names_block(directory.seed, &all), false));
    }
    indexed(directory, names).map(|contents| (contents, true))
}

/// A block of names, checksum included.
pub(super) fn names_block(seed: u32, names: &[Name<'_>]) -> Vec<u8> {
    let mut block = vec![0; BLOCK_BYTES];
    let mut at = 0;
    for (index, name) in names.iter().enumerate() {
        let is_last = index + 1 == names.len();
        let bytes = if is_last { NAMES_BYTES - at } else { entry_bytes(name.text) };
        write_entry(&mut block, at, name, bytes);
        at += bytes;
    }
    if names.is_empty() {
        put_u16(&mut block, 4, low16(low32(NAMES_BYTES as u64)));
    }
    put_u16(&mut block, NAMES_BYTES + 4, low16(low32(TAIL_BYTES as u64)));
    // The type that marks the tail.
    block[NAMES_BYTES + 7] = 0xde;
    let checksum = crc32c_raw(seed, &block[..NAMES_BYTES]);
    put_u32(&mut block, NAMES_BYTES + 8, checksum);
    block
}

fn entry_bytes(name: &[u8]) -> usize {
    (8 + name.len()).next_multiple_of(4)
}

fn write_entry(block: &mut [u8], at: usize, name: &Name<'_>, bytes: usize) {
    put_u32(block, at, name.inode);
    put_u16(block, at + 4, u16::try_from(bytes).expect("an entry lies in a block"));
    block[at + 6] = u8::try_from(name.text.len()).expect("a name has at most 255 bytes");
    block[at + 7] = name.file_type;
    put(block, at + 8, name.text);
}

/// Names of one block below the index, and the hash that leads there.
struct Leaf<'t> {
    hash: u32,
    names: Vec<Name<'t>>,
}

fn leaves<'t>(hash_seed: &[u8; 16], names: &[Name<'t>]) -> Vec<Leaf<'t>> {
    let mut hashed: Vec<((u32, u32), Name<'t>)> =
        names.iter().map(|name| (name_hash(hash_seed, name.text), *name)).collect();
    hashed.sort_by_key(|(hash, name)| (*hash, name.text));
    let mut leaves: Vec<Leaf<'t>> = Vec::new();
    let mut filled = LEAF_FILL_BYTES;
    let mut previous = None;
    for ((hash, _), name) in hashed {
        filled += entry_bytes(name.text);
        if filled > LEAF_FILL_BYTES {
            filled = entry_bytes(name.text);
            // The lowest bit tells that names with this hash stand in the block before, too.
            let continues = u32::from(previous == Some(hash));
            let hash = if leaves.is_empty() { 0 } else { hash | continues };
            leaves.push(Leaf { hash, names: Vec::new() });
        }
        leaves.last_mut().expect("the first name opens a leaf").names.push(name);
        previous = Some(hash);
    }
    leaves
}

fn indexed(directory: Directory<'_>, names: &[Name<'_>]) -> Option<Vec<u8>> {
    let leaves = leaves(directory.hash_seed, names);
    let nodes = if leaves.len() <= ROOT_LIMIT { 0 } else { leaves.len().div_ceil(NODE_LIMIT) };
    if nodes > ROOT_LIMIT {
        return None;
    }
    let block_number = |index: usize| low32(index as u64);
    let first_leaf = 1 + nodes;
    let to_leaves: Vec<(u32, u32)> = leaves
        .iter()
        .enumerate()
        .map(|(index, leaf)| (leaf.hash, block_number(first_leaf + index)))
        .collect();
    let mut contents = if nodes == 0 {
        root_block(directory, 0, &to_leaves)
    } else {
        let to_nodes: Vec<(u32, u32)> = to_leaves
            .chunks(NODE_LIMIT)
            .enumerate()
            .map(|(index, chunk)| (chunk[0].0, block_number(1 + index)))
            .collect();
        let mut contents = root_block(directory, 1, &to_nodes);
        for chunk in to_leaves.chunks(NODE_LIMIT) {
            contents.extend(node_block(directory.seed, chunk));
        }
        contents
    };
    for leaf in &leaves {
        contents.extend(names_block(directory.seed, &leaf.names));
    }
    Some(contents)
}

fn root_block(directory: Directory<'_>, depth: u8, entries: &[(u32, u32)]) -> Vec<u8> {
    let mut block = vec![0; BLOCK_BYTES];
    let dot = Name { text: b".", inode: directory.inode, file_type: TYPE_DIRECTORY };
    let dots = Name { text: b"..", inode: directory.parent, file_type: TYPE_DIRECTORY };
    write_entry(&mut block, 0, &dot, 12);
    write_entry(&mut block, 12, &dots, BLOCK_BYTES - 12);
    block[28] = HASH_HALF_MD4;
    // Bytes of this description.
    block[29] = 8;
    block[30] = depth;
    write_index(&mut block, ROOT_ENTRIES_AT, ROOT_LIMIT, entries, directory.seed);
    block
}

fn node_block(seed: u32, entries: &[(u32, u32)]) -> Vec<u8> {
    let mut block = vec![0; BLOCK_BYTES];
    // An empty entry over the whole block hides the index from whoever does not know it.
    put_u16(&mut block, 4, low16(low32(BLOCK_BYTES as u64)));
    write_index(&mut block, NODE_ENTRIES_AT, NODE_LIMIT, entries, seed);
    block
}

/// Writes index entries and their checksum; the first entry's hash is where limit and count stand.
fn write_index(block: &mut [u8], at: usize, limit: usize, entries: &[(u32, u32)], seed: u32) {
    let small = |number: usize| u16::try_from(number).expect("at most 510 entries");
    for (index, &(hash, target)) in entries.iter().enumerate() {
        put_u32(block, at + 8 * index, hash);
        put_u32(block, at + 8 * index + 4, target);
    }
    put_u16(block, at, small(limit));
    put_u16(block, at + 2, small(entries.len()));
    // Over all that is in use, then the tail { reserved, checksum } with the checksum as zero.
    let used = crc32c_raw(seed, &block[..at + 8 * entries.len()]);
    let checksum = crc32c_raw(used, &[0; 8]);
    put_u32(block, at + 8 * limit + 4, checksum);
}
