//! Writes the bytes of an EROFS image.

use thiserror::Error;

use crate::tree::{Node, StoreFile, Tree, TreePath};

use super::super::bytes::{crc32c_raw, low16, low32, put, put_u16, put_u32, put_u64};
use super::super::inodes::{self, Inode, TreeError};
use super::directory;
use super::layout::{BLOCK_BYTES, Body, Placed, Plan, plan};
use super::xattr::count_field;

/// `EROFS_SUPER_MAGIC_V1`.
const MAGIC: u32 = 0xe0f5_e1e2;
const SUPERBLOCK_AT: usize = 1024;
/// Checksum present; times of compact inodes are modification times.
const FEATURES_COMPATIBLE: u32 = 0x1 | 0x2;
/// Chunk-based files.
const FEATURES_INCOMPATIBLE: u32 = 0x4;

/// A tree that cannot become an EROFS image.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ErofsError {
    /// The tree is no file system.
    #[error("the tree cannot be a file system")]
    Tree(#[from] TreeError),
    /// An attribute has a name that EROFS cannot store, that overlayfs would take for its own, or a
    /// value of more than 65535 bytes.
    #[error("`{path}` has the extended attribute `{name}`, which cannot be stored")]
    Attribute {
        /// The path.
        path: TreePath,
        /// The attribute's name.
        name: String,
    },
    /// All attributes of one file together have more than 256 KiB.
    #[error("`{path}` has more than 256 KiB of extended attributes")]
    AttributesTooLarge {
        /// The path.
        path: TreePath,
    },
    /// The place of the contents has more than 65535 bytes.
    #[error("the contents of `{path}` have too long a name in the store")]
    RedirectTooLong {
        /// The path.
        path: TreePath,
    },
    /// A file has more than 8 TiB.
    #[error("`{path}` has more than 8 TiB")]
    FileTooLarge {
        /// The path.
        path: TreePath,
    },
    /// More than 2^32 blocks.
    #[error("the image would have more than 16 TiB of metadata")]
    ImageTooLarge,
}

/// The metadata image of `tree`, whose root becomes the root of the image.
///
/// The same tree gives the same bytes; the image has a whole number of 4096-byte blocks.
///
/// # Errors
///
/// [`ErofsError`] for the first entry that EROFS or overlayfs cannot express.
pub fn write(tree: &Tree) -> Result<Vec<u8>, ErofsError> {
    let inodes = inodes::number(tree)?;
    let plan = plan(&inodes)?;
    let mut image = vec![0; (plan.metadata_blocks + plan.content_blocks) * BLOCK_BYTES];
    for (number, placed) in plan.placed.iter().enumerate() {
        write_inode(&mut image, &inodes[number], number, placed, &plan);
        write_body(&mut image, &inodes, number, &plan);
    }
    write_superblock(&mut image, &plan);
    Ok(image)
}

fn write_inode(
    image: &mut [u8],
    inode: &Inode<'_, StoreFile>,
    number: usize,
    placed: &Placed,
    plan: &Plan,
) {
    let (layout, union) = match placed.body {
        Body::Nothing => (0, 0),
        Body::Hole { chunk_bits } => (4, u32::from(chunk_bits)),
        Body::Contents { blocks: 0, .. } => (2, 0),
        Body::Contents { block, tail, .. } => {
            let layout = if tail > 0 { 2 } else { 0 };
            (layout, low32((plan.metadata_blocks + block) as u64))
        }
    };
    let entry = inode.entry;
    // Only for programs that want 32-bit numbers; the kernel's own is the place.
    let serial = low32(number as u64 + 1);
    let target = &mut image[placed.offset..];
    put_u16(target, 0, layout << 1 | u16::from(placed.extended));
    put_u16(target, 2, count_field(&placed.xattrs));
    put_u16(target, 4, file_type_bits(&entry.node) | entry.mode & 0o7777);
    if placed.extended {
        put_u64(target, 8, placed.size);
        put_u32(target, 16, union);
        put_u32(target, 20, serial);
        put_u32(target, 24, entry.uid);
        put_u32(target, 28, entry.gid);
        put_u64(target, 32, entry.mtime);
        put_u32(target, 44, inode.links);
    } else {
        put_u16(target, 6, low16(inode.links));
        put_u32(target, 8, low32(placed.size));
        put_u32(target, 16, union);
        put_u32(target, 20, serial);
        put_u16(target, 24, low16(entry.uid));
        put_u16(target, 26, low16(entry.gid));
    }
    put(target, placed.inode_bytes(), &placed.xattrs);
}

fn write_body(image: &mut [u8], inodes: &[Inode<'_, StoreFile>], number: usize, plan: &Plan) {
    let placed = &plan.placed[number];
    let tail_at = placed.offset + placed.inode_bytes() + placed.xattrs.len();
    match placed.body {
        Body::Nothing => {}
        // `EROFS_NULL_ADDR`.
        Body::Hole { .. } => put(image, tail_at, &[0xff; 4]),
        Body::Contents { block, blocks, .. } => {
            let node_number = |target: usize| plan.placed[target].node_number();
            let directory;
            let contents = if let Node::Symlink(target) = &inodes[number].entry.node {
                target
            } else {
                directory = directory::contents(inodes, number, node_number);
                &directory
            };
            let in_blocks = contents.len().min(blocks * BLOCK_BYTES);
            let (whole, tail) = contents.split_at(in_blocks);
            put(image, (plan.metadata_blocks + block) * BLOCK_BYTES, whole);
            put(image, tail_at, tail);
        }
    }
}

/// The kernel's `S_IF…` bits.
fn file_type_bits(node: &Node<StoreFile>) -> u16 {
    match node {
        Node::Fifo => 0o01_0000,
        Node::Directory => 0o04_0000,
        Node::File(_) => 0o10_0000,
        Node::Symlink(_) => 0o12_0000,
        Node::HardLink(_) => unreachable!("numbered inodes are no hard links"),
    }
}

fn write_superblock(image: &mut [u8], plan: &Plan) {
    let root = u16::try_from(plan.placed[0].node_number()).expect("the root is placed first");
    let blocks = plan.metadata_blocks + plan.content_blocks;
    let target = &mut image[SUPERBLOCK_AT..BLOCK_BYTES];
    put_u32(target, 0, MAGIC);
    put_u32(target, 8, FEATURES_COMPATIBLE);
    target[12] = 12;
    put_u16(target, 14, root);
    put_u64(target, 16, plan.placed.len() as u64);
    put_u64(target, 24, plan.build_time);
    put_u32(target, 36, low32(blocks as u64));
    put_u32(target, 80, FEATURES_INCOMPATIBLE);
    // Over the rest of the first block, inodes included; the checksum's own field counts as zero.
    let checksum = crc32c_raw(u32::MAX, target);
    put_u32(target, 4, checksum);
}
