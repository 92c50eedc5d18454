//! The ext4 superblock.

use super::super::bytes::{crc32c_raw, high32, low16, low32, put, put_u16, put_u32};
use super::geometry::{
    BLOCK_BYTES, BLOCKS_PER_GROUP, DESCRIPTOR_BYTES, GROUPS_PER_FLEX, Geometry, INODE_BYTES,
};
use super::journal;
use super::layout::Parameters;

/// Bytes of a superblock.
const BYTES: usize = 1024;
/// The first inode that files may have: `lost+found`.
pub(super) const FIRST_INODE: u32 = 11;
/// `has_journal`, `ext_attr`, `dir_index`.
const COMPATIBLE: u32 = 0x4 | 0x8 | 0x20;
/// `filetype`, `meta_bg`, `extent`, `64bit`, `flex_bg`.
const INCOMPATIBLE: u32 = 0x2 | 0x10 | 0x40 | 0x80 | 0x200;
/// `sparse_super`, `large_file`, `huge_file`, `dir_nlink`, `extra_isize`, `metadata_csum`. Not `verity`: a
/// kernel without fs-verity could not write to the disk, and `tune2fs -O verity` adds it to a mounted one.
const READ_ONLY_COMPATIBLE: u32 = 0x1 | 0x2 | 0x8 | 0x20 | 0x40 | 0x400;
/// Kept for root: one part in this many.
const RESERVED_PART: u64 = 100;

/// What the superblock says beside the parameters.
#[derive(Debug)]
pub(super) struct Totals {
    pub(super) free_blocks: u64,
    pub(super) free_inodes: u32,
    /// The extents of the journal's inode, and its size in bytes.
    pub(super) journal_extents: [u8; 60],
    pub(super) journal_bytes: u64,
}

/// The checksum seed of a file system.
pub(super) fn seed(uuid: &[u8; 16]) -> u32 {
    crc32c_raw(u32::MAX, uuid)
}

/// Blocks of a file system that only root may fill.
pub(super) fn reserved_blocks(blocks: u64) -> u64 {
    blocks / RESERVED_PART
}

/// The superblock as it stands in `group`.
pub(super) fn encode(
    geometry: Geometry,
    parameters: &Parameters,
    totals: &Totals,
    group: u32,
) -> Vec<u8> {
    let mut bytes = vec![0; BYTES];
    write_counts(&mut bytes, geometry, totals);
    write_format(&mut bytes, geometry, group);
    write_identity(&mut bytes, parameters);
    // `s_jnl_backup_type`: the journal's extents and size are kept here, too.
    bytes[0xfd] = 1;
    put(&mut bytes, 0x10c, &totals.journal_extents);
    put_u32(&mut bytes, 0x10c + 60, high32(totals.journal_bytes));
    put_u32(&mut bytes, 0x10c + 64, low32(totals.journal_bytes));
    let checksum = crc32c_raw(u32::MAX, &bytes[..BYTES - 4]);
    put_u32(&mut bytes, BYTES - 4, checksum);
    bytes
}

fn write_counts(bytes: &mut [u8], geometry: Geometry, totals: &Totals) {
    let reserved = reserved_blocks(geometry.blocks);
    put_u32(bytes, 0x00, geometry.inodes());
    put_u32(bytes, 0x04, low32(geometry.blocks));
    put_u32(bytes, 0x08, low32(reserved));
    put_u32(bytes, 0x0c, low32(totals.free_blocks));
    put_u32(bytes, 0x10, totals.free_inodes);
    put_u32(bytes, 0x150, high32(geometry.blocks));
    put_u32(bytes, 0x154, high32(reserved));
    put_u32(bytes, 0x158, high32(totals.free_blocks));
}

fn write_format(bytes: &mut [u8], geometry: Geometry, group: u32) {
    let small = |number: usize| low16(low32(number as u64));
    // Block and cluster size: 1024 << 2.
    let block_bits = BLOCK_BYTES.ilog2() - 10;
    put_u32(bytes, 0x18, block_bits);
    put_u32(bytes, 0x1c, block_bits);
    put_u32(bytes, 0x20, BLOCKS_PER_GROUP);
    put_u32(bytes, 0x24, BLOCKS_PER_GROUP);
    put_u32(bytes, 0x28, geometry.inodes_per_group);
    // No check is forced by the number of mounts.
    put_u16(bytes, 0x36, 0xffff);
    put_u16(bytes, 0x38, 0xef53);
    // Clean; on errors go on; revision with features.
    put_u16(bytes, 0x3a, 1);
    put_u16(bytes, 0x3c, 1);
    put_u32(bytes, 0x4c, 1);
    put_u32(bytes, 0x54, FIRST_INODE);
    put_u16(bytes, 0x58, small(INODE_BYTES));
    put_u16(bytes, 0x5a, low16(group));
    put_u32(bytes, 0x5c, COMPATIBLE);
    put_u32(bytes, 0x60, INCOMPATIBLE);
    put_u32(bytes, 0x64, READ_ONLY_COMPATIBLE);
    put_u32(bytes, 0xe0, journal::INODE);
    // Names are hashed with half MD4, characters unsigned on every processor.
    bytes[0xfc] = 1;
    put_u32(bytes, 0x160, 2);
    put_u16(bytes, 0xfe, small(DESCRIPTOR_BYTES));
    // Mount with user attributes and access control lists.
    put_u32(bytes, 0x100, 0xc);
    put_u16(bytes, 0x15c, 32);
    put_u16(bytes, 0x15e, 32);
    bytes[0x174] = GROUPS_PER_FLEX.ilog2().to_le_bytes()[0];
    // Checksums are CRC-32C.
    bytes[0x175] = 1;
    put_u32(bytes, 0x268, FIRST_INODE);
}

fn write_identity(bytes: &mut [u8], parameters: &Parameters) {
    let now = low32(parameters.epoch);
    // Written, checked, made.
    for at in [0x30, 0x40, 0x108] {
        put_u32(bytes, at, now);
    }
    put(bytes, 0x68, &parameters.uuid);
    put(bytes, 0x78, parameters.label.as_bytes());
    put(bytes, 0xec, &parameters.hash_seed);
}
