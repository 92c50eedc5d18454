//! Extended attributes of ext4: in the inode when they fit, else in one block.
//!
//! Source: `fs/ext4/xattr.h` and `ext4_xattr_hash_entry` in `fs/ext4/xattr.c` of Linux 6.12.

use std::collections::BTreeMap;

use super::super::bytes::{crc32c_raw, put, put_u16, put_u32};
use super::geometry::BLOCK_BYTES;

const MAGIC: u32 = 0xea02_0000;
/// Bytes of an entry in front of its name.
const ENTRY_BYTES: usize = 16;
/// Bytes of a block's header.
const BLOCK_HEADER_BYTES: usize = 32;
/// Bytes in the inode for entries and values, behind the magic number.
pub(super) const IN_INODE_BYTES: usize = 256 - 128 - 32 - 4;
/// Name prefixes with a number of their own. Access control lists have another form on disk than in
/// programs and are not supported.
const PREFIXES: [(&[u8], u8); 3] = [(b"user.", 1), (b"trusted.", 4), (b"security.", 6)];

/// The attributes of one file, ready to be placed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Attributes {
    /// None.
    None,
    /// What stands in the inode, magic number included.
    InInode(Vec<u8>),
    /// Block contents, but for the checksum, which depends on the place.
    Block(Vec<u8>),
}

/// Why attributes cannot be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refused {
    /// A name outside `user.`, `trusted.`, `security.`, or too long.
    Name(Vec<u8>),
    /// More than a block of 4096 bytes holds.
    Size,
}

struct Attribute<'a> {
    index: u8,
    name: &'a [u8],
    value: &'a [u8],
}

/// Encodes `xattrs`.
pub(super) fn encode(xattrs: &BTreeMap<Vec<u8>, Vec<u8>>) -> Result<Attributes, Refused> {
    if xattrs.is_empty() {
        return Ok(Attributes::None);
    }
    let mut attributes = Vec::with_capacity(xattrs.len());
    for (name, value) in xattrs {
        attributes.push(split(name, value).ok_or_else(|| Refused::Name(name.clone()))?);
    }
    // The order that the kernel searches in.
    attributes.sort_by_key(|one| (one.index, one.name.len(), one.name));
    let bytes: usize = 4 + attributes.iter().map(Attribute::bytes).sum::<usize>();
    if bytes <= IN_INODE_BYTES {
        let mut area = vec![0; 4 + IN_INODE_BYTES];
        put_u32(&mut area, 0, MAGIC);
        write_entries(&mut area[4..], 0, &attributes);
        return Ok(Attributes::InInode(area));
    }
    if BLOCK_HEADER_BYTES + bytes > BLOCK_BYTES {
        return Err(Refused::Size);
    }
    let mut block = vec![0; BLOCK_BYTES];
    let hash = write_entries(&mut block, BLOCK_HEADER_BYTES, &attributes);
    put_u32(&mut block, 0, MAGIC);
    // Used by one inode; one block.
    put_u32(&mut block, 4, 1);
    put_u32(&mut block, 8, 1);
    put_u32(&mut block, 12, hash);
    Ok(Attributes::Block(block))
}

/// Writes the checksum of an attribute block that lies at block `number`.
pub(super) fn seal(block: &mut [u8], number: u64, seed: u32) {
    let checksum = crc32c_raw(crc32c_raw(seed, &number.to_le_bytes()), block);
    put_u32(block, 16, checksum);
}

fn split<'a>(name: &'a [u8], value: &'a [u8]) -> Option<Attribute<'a>> {
    PREFIXES.iter().find_map(|&(prefix, index)| {
        let name = name.strip_prefix(prefix).filter(|rest| (1..=255).contains(&rest.len()))?;
        Some(Attribute { index, name, value })
    })
}

impl Attribute<'_> {
    fn entry_bytes(&self) -> usize {
        (ENTRY_BYTES + self.name.len()).next_multiple_of(4)
    }

    fn bytes(&self) -> usize {
        self.entry_bytes() + self.value.len().next_multiple_of(4)
    }

    /// A hash of name and value; equal attribute sets can share a block by it.
    fn hash(&self) -> u32 {
        let mut hash: u32 = 0;
        for &byte in self.name {
            hash = hash.rotate_left(5) ^ u32::from(byte);
        }
        for chunk in self.value.chunks(4) {
            let mut word = [0; 4];
            word[..chunk.len()].copy_from_slice(chunk);
            hash = hash.rotate_left(16) ^ u32::from_le_bytes(word);
        }
        hash
    }
}

/// Writes entries from `start` on and values from the end backwards; gives the hash of all.
fn write_entries(area: &mut [u8], start: usize, attributes: &[Attribute<'_>]) -> u32 {
    let mut at = start;
    let mut value_at = area.len();
    let mut all: u32 = 0;
    for one in attributes {
        value_at -= one.value.len().next_multiple_of(4);
        let small = |number: usize| u16::try_from(number).expect("an offset in a block");
        area[at] = u8::try_from(one.name.len()).expect("checked when split");
        area[at + 1] = one.index;
        put_u16(area, at + 2, if one.value.is_empty() { 0 } else { small(value_at) });
        put_u32(area, at + 8, u32::from(small(one.value.len())));
        put_u32(area, at + 12, one.hash());
        put(area, at + ENTRY_BYTES, one.name);
        put(area, value_at, one.value);
        at += one.entry_bytes();
        all = all.rotate_left(16) ^ one.hash();
    }
    all
}
