//! The tree of extents in an inode.

use super::super::bytes::{crc32c_raw, high32, low16, low32, put, put_u16, put_u32};
use super::allocate::{Allocator, Extent};
use super::geometry::BLOCK_BYTES;

/// `EXT4_EXT_MAGIC`.
const MAGIC: u16 = 0xf30a;
/// Bytes of the header and of each entry.
const ENTRY_BYTES: usize = 12;
/// Entries in the 60 bytes of an inode, behind the header.
const IN_INODE_MAX: usize = 4;
/// Entries in a block, behind the header and in front of the 4-byte checksum.
const IN_BLOCK_MAX: usize = 340;
/// With one level of blocks under the inode.
const EXTENTS_MAX: usize = IN_INODE_MAX * IN_BLOCK_MAX;

/// The extents of a file and the blocks that the tree itself needs.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct ExtentTree {
    /// Ascending in the file.
    pub(super) extents: Vec<Extent>,
    /// Empty while the inode has room for all extents.
    pub(super) leaves: Vec<u64>,
}

impl ExtentTree {
    /// Gives a file of `blocks` blocks its place; `None` when the file system is full.
    ///
    /// More than 1360 extents, which is at least 40 GiB, count as full too.
    pub(super) fn allocate(allocator: &mut Allocator, blocks: u64) -> Option<Self> {
        let extents = allocator.take(blocks)?;
        if extents.len() > EXTENTS_MAX {
            return None;
        }
        let leaf_count = match extents.len() {
            0..=IN_INODE_MAX => 0,
            count => count.div_ceil(IN_BLOCK_MAX),
        };
        let leaves: Option<Vec<u64>> = (0..leaf_count).map(|_| allocator.take_one()).collect();
        Some(Self { extents, leaves: leaves? })
    }

    /// The 60 bytes in the inode.
    pub(super) fn in_inode(&self) -> [u8; 60] {
        let mut bytes = [0; 60];
        let starts = self.starts_in_file();
        if self.leaves.is_empty() {
            write_header(&mut bytes, self.extents.len(), IN_INODE_MAX, 0);
            self.write_extents(&mut bytes, &starts, 0..self.extents.len());
        } else {
            write_header(&mut bytes, self.leaves.len(), IN_INODE_MAX, 1);
            for (index, &leaf) in self.leaves.iter().enumerate() {
                let at = ENTRY_BYTES * (index + 1);
                put_u32(&mut bytes, at, starts[index * IN_BLOCK_MAX]);
                put_u32(&mut bytes, at + 4, low32(leaf));
                put_u16(&mut bytes, at + 8, low16(high32(leaf)));
            }
        }
        bytes
    }

    /// The tree's own blocks with their contents; `seed` is the inode's.
    pub(super) fn blocks(&self, seed: u32) -> Vec<(u64, Vec<u8>)> {
        let starts = self.starts_in_file();
        let write_leaf = |(index, &leaf): (usize, &u64)| {
            let first = index * IN_BLOCK_MAX;
            let range = first..self.extents.len().min(first + IN_BLOCK_MAX);
            let mut block = vec![0; BLOCK_BYTES];
            write_header(&mut block, range.len(), IN_BLOCK_MAX, 0);
            self.write_extents(&mut block, &starts, range);
            let checksum_at = ENTRY_BYTES * (IN_BLOCK_MAX + 1);
            let checksum = crc32c_raw(seed, &block[..checksum_at]);
            put_u32(&mut block, checksum_at, checksum);
            (leaf, block)
        };
        self.leaves.iter().enumerate().map(write_leaf).collect()
    }

    /// All blocks, those of the tree included.
    pub(super) fn block_count(&self) -> u64 {
        let contents: u64 = self.extents.iter().map(|extent| extent.blocks).sum();
        contents + self.leaves.len() as u64
    }

    fn starts_in_file(&self) -> Vec<u32> {
        let add = |sum: &mut u64, extent: &Extent| {
            let start = *sum;
            *sum += extent.blocks;
            Some(low32(start))
        };
        self.extents.iter().scan(0, add).collect()
    }

    fn write_extents(&self, target: &mut [u8], starts: &[u32], range: std::ops::Range<usize>) {
        for (place, index) in range.enumerate() {
            let extent = self.extents[index];
            let at = ENTRY_BYTES * (place + 1);
            put_u32(target, at, starts[index]);
            put_u16(target, at + 4, low16(low32(extent.blocks)));
            put_u16(target, at + 6, low16(high32(extent.start)));
            put_u32(target, at + 8, low32(extent.start));
        }
    }
}

fn write_header(target: &mut [u8], entries: usize, entries_max: usize, depth: u16) {
    let small = |number: usize| u16::try_from(number).expect("at most 340 entries");
    put(target, 0, &MAGIC.to_le_bytes());
    put_u16(target, 2, small(entries));
    put_u16(target, 4, small(entries_max));
    put_u16(target, 6, depth);
}
