//! Bitmaps and descriptors of the block groups.

use std::ops::Range;

use super::super::bytes::{crc32c_raw, high16, high32, low16, low32, put_u16, put_u32};
use super::super::segment::{Data, Segment};
use super::geometry::{
    self, BLOCK_BYTES, BLOCKS_PER_GROUP, DESCRIPTOR_BYTES, GROUPS_PER_FLEX, GROUPS_PER_META,
    Geometry, first_block,
};

/// `EXT4_BG_INODE_ZEROED`: what no inode of the table has used is zero on the disk.
const FLAG_INODE_TABLE_ZEROED: u16 = 0x4;

/// What is in use.
#[derive(Debug)]
pub(super) struct Usage {
    /// Runs of used blocks, ascending.
    pub(super) blocks: Vec<Range<u64>>,
    /// Inodes 1 to this are used, those that the file system reserves included.
    pub(super) inodes: u32,
    /// Directories of each group, by inode; a missing group has none.
    pub(super) directories: Vec<u32>,
}

/// Bitmaps and descriptors, and what remains free.
#[derive(Debug)]
pub(super) struct Groups {
    pub(super) segments: Vec<Segment>,
    pub(super) free_blocks: u64,
    pub(super) free_inodes: u32,
}

/// Writes what describes the groups; `seed` is the file system's.
pub(super) fn write(geometry: Geometry, usage: &Usage, seed: u32) -> Groups {
    let mut used = Runs { runs: &usage.blocks };
    let mut descriptors = Vec::with_capacity(geometry.groups as usize * DESCRIPTOR_BYTES);
    let mut segments = Vec::new();
    let (mut free_blocks, mut free_inodes) = (0, 0);
    let (mut block_bitmaps, mut inode_bitmaps) = (Vec::new(), Vec::new());
    for group in 0..geometry.groups {
        let block_bitmap = used.bitmap(geometry, group);
        let inode_bitmap = inode_bitmap(geometry, group, usage.inodes);
        let free = Free {
            blocks: clear_bits(&block_bitmap),
            inodes: geometry.inodes_per_group - used_inodes(geometry, group, usage.inodes),
            directories: usage.directories.get(group as usize).copied().unwrap_or(0),
        };
        free_blocks += u64::from(free.blocks);
        free_inodes += free.inodes;
        let checksums = [&block_bitmap[..], &inode_bitmap[..inode_bitmap_bytes(geometry)]]
            .map(|bitmap| crc32c_raw(seed, bitmap));
        descriptors.extend(descriptor(geometry, group, &free, checksums, seed));
        block_bitmaps.extend(block_bitmap);
        inode_bitmaps.extend(inode_bitmap);
        if (group + 1).is_multiple_of(GROUPS_PER_FLEX) || group + 1 == geometry.groups {
            let at = geometry.block_bitmap(group - group % GROUPS_PER_FLEX);
            block_bitmaps.append(&mut inode_bitmaps);
            segments.push(block_segment(at, std::mem::take(&mut block_bitmaps)));
        }
    }
    for group in 0..geometry.groups {
        if let Some(block) = geometry::descriptors(group) {
            let first = (group - group % GROUPS_PER_META) as usize * DESCRIPTOR_BYTES;
            let end = descriptors.len().min(first + BLOCK_BYTES);
            segments.push(block_segment(block, descriptors[first..end].to_vec()));
        }
    }
    Groups { segments, free_blocks, free_inodes }
}

/// A segment of bytes at block `block`.
pub(super) fn block_segment(block: u64, bytes: Vec<u8>) -> Segment {
    Segment { offset: block * BLOCK_BYTES as u64, data: Data::Bytes(bytes) }
}

struct Free {
    blocks: u32,
    inodes: u32,
    directories: u32,
}

fn descriptor(
    geometry: Geometry,
    group: u32,
    free: &Free,
    [block_checksum, inode_checksum]: [u32; 2],
    seed: u32,
) -> [u8; DESCRIPTOR_BYTES] {
    let mut bytes = [0; DESCRIPTOR_BYTES];
    let places =
        [geometry.block_bitmap(group), geometry.inode_bitmap(group), geometry.inode_table(group)];
    for (index, place) in places.into_iter().enumerate() {
        put_u32(&mut bytes, 4 * index, low32(place));
        put_u32(&mut bytes, 0x20 + 4 * index, high32(place));
    }
    put_u16(&mut bytes, 0x0c, low16(free.blocks));
    put_u16(&mut bytes, 0x0e, low16(free.inodes));
    put_u16(&mut bytes, 0x10, low16(free.directories));
    put_u16(&mut bytes, 0x12, FLAG_INODE_TABLE_ZEROED);
    put_u16(&mut bytes, 0x18, low16(block_checksum));
    put_u16(&mut bytes, 0x1a, low16(inode_checksum));
    // Inodes are given out from the front, so the free ones are those at the end that were never used.
    put_u16(&mut bytes, 0x1c, low16(free.inodes));
    put_u16(&mut bytes, 0x38, high16(block_checksum));
    put_u16(&mut bytes, 0x3a, high16(inode_checksum));
    let checksum = crc32c_raw(crc32c_raw(seed, &group.to_le_bytes()), &bytes);
    put_u16(&mut bytes, 0x1e, low16(checksum));
    bytes
}

/// The used runs that are not behind the group being written.
struct Runs<'a> {
    runs: &'a [Range<u64>],
}

impl Runs<'_> {
    /// The block bitmap of `group`; groups are asked for in ascending order.
    fn bitmap(&mut self, geometry: Geometry, group: u32) -> Vec<u8> {
        let mut bitmap = vec![0; BLOCK_BYTES];
        let first = first_block(group);
        let blocks = u64::from(geometry.blocks_of(group));
        while let Some(run) = self.runs.first().filter(|run| run.start < first + blocks) {
            let from = run.start.max(first) - first;
            let to = run.end.min(first + blocks) - first;
            set_bits(&mut bitmap, from, to);
            if run.end > first + blocks {
                break;
            }
            self.runs = &self.runs[1..];
        }
        // Blocks that the last group does not have count as used.
        set_bits(&mut bitmap, blocks, u64::from(BLOCKS_PER_GROUP));
        bitmap
    }
}

fn set_bits(bitmap: &mut [u8], from: u64, to: u64) {
    let index = |bit: u64| usize::try_from(bit / 8).expect("a bit of a block");
    let mut bit = from;
    while bit < to {
        if bit.is_multiple_of(8) && to - bit >= 8 {
            bitmap[index(bit)] = 0xff;
            bit += 8;
        } else {
            bitmap[index(bit)] |= 1 << (bit % 8);
            bit += 1;
        }
    }
}

fn clear_bits(bitmap: &[u8]) -> u32 {
    bitmap.iter().map(|byte| byte.count_zeros()).sum()
}

fn used_inodes(geometry: Geometry, group: u32, used: u32) -> u32 {
    used.saturating_sub(group * geometry.inodes_per_group).min(geometry.inodes_per_group)
}

fn inode_bitmap_bytes(geometry: Geometry) -> usize {
    geometry.inodes_per_group as usize / 8
}

fn inode_bitmap(geometry: Geometry, group: u32, used: u32) -> Vec<u8> {
    let mut bitmap = vec![0; BLOCK_BYTES];
    set_bits(&mut bitmap, 0, u64::from(used_inodes(geometry, group, used)));
    bitmap[inode_bitmap_bytes(geometry)..].fill(0xff);
    bitmap
}
