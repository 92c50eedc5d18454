//! The 256 bytes of an ext4 inode.

use super::super::bytes::{crc32c_raw, high16, high32, low16, low32, put, put_u16, put_u32};
use super::geometry::INODE_BYTES;

/// `EXT4_EXTENTS_FL` and `EXT4_INDEX_FL`.
pub(super) const FLAG_EXTENTS: u32 = 0x8_0000;
pub(super) const FLAG_INDEX: u32 = 0x1000;
/// Bytes of the inode behind the first 128 that are fields; then come attributes.
const EXTRA_BYTES: u16 = 32;
/// The last second that 34 bits with the kernel's offset express, in the year 2446.
const SECONDS_MAX: u64 = (1 << 34) - (1 << 31) - 1;

/// What an inode says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fields {
    /// Type and permission bits.
    pub(super) mode: u16,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) size: u64,
    pub(super) links: u16,
    /// Blocks of contents, extent tree and attributes.
    pub(super) blocks: u64,
    pub(super) flags: u32,
    /// Extents, or the target of a short symbolic link.
    pub(super) block: [u8; 60],
    /// The attribute block, or 0.
    pub(super) attribute_block: u64,
    /// Attributes in the inode; at most 96 bytes.
    pub(super) attributes: Vec<u8>,
    pub(super) mtime: u64,
    /// When the inode was made and changed last.
    pub(super) changed: u64,
}

/// The checksum seed of inode `number`; its generation is 0.
pub(super) fn seed(file_system_seed: u32, number: u32) -> u32 {
    crc32c_raw(crc32c_raw(file_system_seed, &number.to_le_bytes()), &[0; 4])
}

impl Fields {
    /// The bytes on disk; `seed` is the inode's own.
    pub(super) fn encode(&self, seed: u32) -> [u8; INODE_BYTES] {
        let mut bytes = [0; INODE_BYTES];
        let sectors = self.blocks * 8;
        put_u16(&mut bytes, 0x00, self.mode);
        put_u16(&mut bytes, 0x02, low16(self.uid));
        put_u32(&mut bytes, 0x04, low32(self.size));
        put_u16(&mut bytes, 0x18, low16(self.gid));
        put_u16(&mut bytes, 0x1a, self.links);
        put_u32(&mut bytes, 0x1c, low32(sectors));
        put_u32(&mut bytes, 0x20, self.flags);
        put(&mut bytes, 0x28, &self.block);
        put_u32(&mut bytes, 0x68, low32(self.attribute_block));
        put_u32(&mut bytes, 0x6c, high32(self.size));
        put_u16(&mut bytes, 0x74, low16(high32(sectors)));
        put_u16(&mut bytes, 0x76, low16(high32(self.attribute_block)));
        put_u16(&mut bytes, 0x78, high16(self.uid));
        put_u16(&mut bytes, 0x7a, high16(self.gid));
        put_u16(&mut bytes, 0x80, EXTRA_BYTES);
        // Access, change, modification, creation: low 32 bits, then two more in front of nanoseconds.
        put_time(&mut bytes, 0x08, 0x8c, self.mtime);
        put_time(&mut bytes, 0x0c, 0x84, self.changed);
        put_time(&mut bytes, 0x10, 0x88, self.mtime);
        put_time(&mut bytes, 0x90, 0x94, self.changed);
        put(&mut bytes, 0xa0, &self.attributes);
        let checksum = crc32c_raw(seed, &bytes);
        put_u16(&mut bytes, 0x7c, low16(checksum));
        put_u16(&mut bytes, 0x82, high16(checksum));
        bytes
    }
}

fn put_time(bytes: &mut [u8], at: usize, extra_at: usize, seconds: u64) {
    let seconds = seconds.min(SECONDS_MAX);
    // The low half is signed; the extra bits count how often 2^32 must be added to it.
    let epochs = (seconds + (1 << 31)) >> 32;
    put_u32(bytes, at, low32(seconds));
    put_u32(bytes, extra_at, low32(epochs));
}
