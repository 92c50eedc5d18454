//! An empty journal: its first block, and how long it is.
//!
//! Source: `journal_superblock_t` in `include/linux/jbd2.h` of Linux 6.12; numbers big-endian.

use super::super::bytes::put;
use super::geometry::BLOCK_BYTES;

/// The inode of the journal, `EXT4_JOURNAL_INO`.
pub(super) const INODE: u32 = 8;
/// Fewer blocks the kernel refuses (`JBD2_MIN_JOURNAL_BLOCKS`).
const BLOCKS_MIN: u64 = 1024;
const BLOCKS_MAX: u64 = 16384;

/// Blocks of the journal of a file system: a sixteenth, a power of two, 4 MiB to 64 MiB.
///
/// That is more than mke2fs gives to a small file system, because ours grow to the size of the disk and the
/// journal does not.
pub(super) fn blocks(file_system_blocks: u64) -> u64 {
    let sixteenth = (file_system_blocks / 16).max(1);
    (1 << sixteenth.ilog2()).clamp(BLOCKS_MIN, BLOCKS_MAX)
}

/// The first block; all others are zero.
pub(super) fn superblock(blocks: u64, uuid: &[u8; 16]) -> Vec<u8> {
    let mut block = vec![0; BLOCK_BYTES];
    let number = |value: u64| u32::try_from(value).expect("at most 16384 blocks").to_be_bytes();
    // Magic number, then "superblock, version 2".
    put(&mut block, 0, &0xc03b_3998_u32.to_be_bytes());
    put(&mut block, 4, &number(4));
    put(&mut block, 12, &number(BLOCK_BYTES as u64));
    put(&mut block, 16, &number(blocks));
    // First block of the log, and the number of the first transaction. No start: the log is empty.
    put(&mut block, 20, &number(1));
    put(&mut block, 24, &number(1));
    put(&mut block, 48, uuid);
    // One file system uses it.
    put(&mut block, 64, &number(1));
    block
}
