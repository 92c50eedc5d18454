//! Where each inode of an EROFS image lies, and in which form.

use crate::tree::{Node, StoreFile};

use super::super::inodes::Inode;
use super::write::ErofsError;
use super::{directory, xattr};

/// Bytes of a block; `blkszbits` is its logarithm.
pub(super) const BLOCK_BYTES: usize = 4096;
/// Inode numbers are offsets in units of this.
pub(super) const SLOT_BYTES: usize = 32;
/// Where the first inode lies: behind the superblock.
const FIRST_INODE_AT: usize = 1024 + 128;
/// Bytes of the chunk number behind a file.
const CHUNK_BYTES: usize = 4;

/// What stands behind an inode and its attributes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Body {
    /// Nothing: an empty file or a pipe.
    Nothing,
    /// One chunk that is a hole, of 4096 << `chunk_bits` bytes.
    Hole { chunk_bits: u16 },
    /// Contents: whole blocks elsewhere from `block` on, then `tail` bytes here.
    Contents { block: usize, blocks: usize, tail: usize },
}

/// An inode with its place.
#[derive(Debug)]
pub(super) struct Placed {
    /// Bytes from the start of the image.
    pub(super) offset: usize,
    /// Size as programs see it.
    pub(super) size: u64,
    /// Whether it needs the 64-byte form.
    pub(super) extended: bool,
    /// Encoded attributes.
    pub(super) xattrs: Vec<u8>,
    /// What follows.
    pub(super) body: Body,
}

/// All inodes with their places.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) placed: Vec<Placed>,
    /// Modification time of compact inodes.
    pub(super) build_time: u64,
    /// Blocks in front of the first whole block of contents.
    pub(super) metadata_blocks: usize,
    /// Whole blocks of contents.
    pub(super) content_blocks: usize,
}

impl Placed {
    /// Bytes of the inode itself.
    pub(super) fn inode_bytes(&self) -> usize {
        if self.extended { 64 } else { 32 }
    }

    /// The number that directory entries use.
    pub(super) fn node_number(&self) -> u64 {
        (self.offset / SLOT_BYTES) as u64
    }
}

/// Places `inodes`, in their order.
pub(super) fn plan(inodes: &[Inode<'_, StoreFile>]) -> Result<Plan, ErofsError> {
    let build_time = xattr::most_frequent_mtime(inodes);
    let mut placed = Vec::with_capacity(inodes.len());
    let mut end = FIRST_INODE_AT;
    let mut content_blocks = 0;
    for (number, inode) in inodes.iter().enumerate() {
        let (size, mut body) = measure(inodes, number)
            .ok_or_else(|| ErofsError::FileTooLarge { path: inode.path.clone() })?;
        if let Body::Contents { block, blocks, .. } = &mut body {
            *block = content_blocks;
            content_blocks += *blocks;
        }
        let mut one = Placed {
            offset: 0,
            size,
            extended: needs_extended(inode, size, build_time),
            xattrs: xattr::encode(inode)?,
            body,
        };
        one.offset = place(&one, end);
        end = one.offset + one.inode_bytes() + one.xattrs.len() + behind(body);
        placed.push(one);
    }
    let metadata_blocks = end.div_ceil(BLOCK_BYTES);
    u32::try_from(metadata_blocks + content_blocks).map_err(|_| ErofsError::ImageTooLarge)?;
    Ok(Plan { placed, build_time, metadata_blocks, content_blocks })
}

/// The size that programs see, and what follows the inode; contents are not placed yet.
///
/// `None` for a file that no single chunk can hold.
fn measure(inodes: &[Inode<'_, StoreFile>], number: usize) -> Option<(u64, Body)> {
    let bytes = match &inodes[number].entry.node {
        Node::Fifo | Node::HardLink(_) => 0,
        Node::File(file) if file.size == 0 => 0,
        Node::File(file) => {
            return Some((file.size, Body::Hole { chunk_bits: chunk_bits(file.size)? }));
        }
        Node::Symlink(target) => target.len(),
        Node::Directory => directory::size(inodes, number),
    };
    if bytes == 0 {
        return Some((0, Body::Nothing));
    }
    let (mut blocks, mut tail) = (bytes / BLOCK_BYTES, bytes % BLOCK_BYTES);
    // A tail must lie in one block, behind an inode of which nothing but the slot is aligned.
    if tail > BLOCK_BYTES - SLOT_BYTES {
        (blocks, tail) = (blocks + 1, 0);
    }
    Some((bytes as u64, Body::Contents { block: 0, blocks, tail }))
}

/// The smallest chunk that holds a whole file; a 5-bit field.
fn chunk_bits(size: u64) -> Option<u16> {
    (0..32).find(|&bits| size <= (BLOCK_BYTES as u64) << bits)
}

fn needs_extended(inode: &Inode<'_, StoreFile>, size: u64, build_time: u64) -> bool {
    let entry = inode.entry;
    entry.mtime != build_time
        || u16::try_from(entry.uid).is_err()
        || u16::try_from(entry.gid).is_err()
        || u16::try_from(inode.links).is_err()
        || u32::try_from(size).is_err()
}

fn behind(body: Body) -> usize {
    match body {
        Body::Nothing => 0,
        Body::Hole { .. } => CHUNK_BYTES,
        Body::Contents { tail, .. } => tail,
    }
}

/// The first slot at or after `end` where neither the inode nor its tail crosses a block.
fn place(placed: &Placed, end: usize) -> usize {
    let mut offset = end.next_multiple_of(SLOT_BYTES);
    loop {
        let tail_at = offset + placed.inode_bytes() + placed.xattrs.len();
        let inode_crosses = offset % BLOCK_BYTES + placed.inode_bytes() > BLOCK_BYTES;
        let tail_crosses = match placed.body {
            Body::Contents { tail, .. } => tail_at % BLOCK_BYTES + tail > BLOCK_BYTES,
            Body::Nothing | Body::Hole { .. } => false,
        };
        if !inode_crosses && !tail_crosses {
            return offset;
        }
        offset += SLOT_BYTES;
    }
}
