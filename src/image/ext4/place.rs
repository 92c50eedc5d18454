//! Gives every directory, attribute block, file and the journal of an ext4 file system its blocks.

use crate::tree::Node;

use super::super::inodes::Inode;
use super::super::segment::Source;
use super::allocate::Allocator;
use super::directory::{self, Directory, Name, TYPE_DIRECTORY};
use super::extents::ExtentTree;
use super::geometry::BLOCK_BYTES;
use super::layout::{Ext4Error, Parameters};
use super::superblock::FIRST_INODE;
use super::xattr::{self, Attributes, Refused};
use super::{inode, superblock};

/// The root's inode, `EXT4_ROOT_INO`.
pub(super) const ROOT_INODE: u32 = 2;
/// The directory that e2fsck puts files into that have lost their names.
pub(super) const LOST_AND_FOUND: &[u8] = b"lost+found";
/// It has room in advance, because e2fsck may find no free block for it.
const LOST_AND_FOUND_BLOCKS: usize = 4;
/// A shorter target of a symbolic link stands in the inode.
pub(super) const SHORT_TARGET_BYTES: usize = 60;

/// What a file system holds, before it has places.
#[derive(Debug)]
pub(super) struct Contents {
    /// One for each inode of the tree: what it needs in blocks.
    pub(super) bodies: Vec<Body>,
    /// One for each inode of the tree.
    pub(super) attributes: Vec<Attributes>,
    pub(super) lost_and_found: Vec<u8>,
}

/// Contents of an inode.
#[derive(Debug)]
pub(super) enum Body {
    /// None in blocks.
    None,
    /// Directory blocks or a long link target.
    Metadata { bytes: Vec<u8>, indexed: bool },
    /// A file of this many bytes.
    File { size: u64 },
}

/// Where everything lies.
#[derive(Debug)]
pub(super) struct Places {
    /// One for each inode of the tree; empty when it has no blocks.
    pub(super) trees: Vec<ExtentTree>,
    /// One for each inode of the tree, 0 when it has no attribute block.
    pub(super) attribute_blocks: Vec<u64>,
    pub(super) lost_and_found: ExtentTree,
    pub(super) journal: ExtentTree,
}

/// The inode on disk of number `number` of the tree.
pub(super) fn inode_number(number: usize) -> u32 {
    match number {
        0 => ROOT_INODE,
        _ => FIRST_INODE + u32::try_from(number).expect("the number of inodes was checked"),
    }
}

/// Blocks that `bytes` bytes need.
pub(super) fn blocks_for(bytes: u64) -> u64 {
    bytes.div_ceil(BLOCK_BYTES as u64)
}

impl Body {
    /// Blocks that it needs, without those of an extent tree.
    pub(super) fn blocks(&self) -> u64 {
        match self {
            Self::None => 0,
            Self::Metadata { bytes, .. } => blocks_for(bytes.len() as u64),
            Self::File { size } => blocks_for(*size),
        }
    }
}

/// What the inodes of a tree need in blocks.
pub(super) fn contents(
    inodes: &[Inode<'_, Source>],
    parameters: &Parameters,
) -> Result<Contents, Ext4Error> {
    let seed = superblock::seed(&parameters.uuid);
    let body = |number| body(inodes, number, seed, &parameters.hash_seed);
    let attributes = |inode: &Inode<'_, Source>| {
        let path = || inode.path.clone();
        xattr::encode(&inode.entry.xattrs).map_err(|refused| match refused {
            Refused::Name(name) => Ext4Error::Attribute {
                path: path(),
                name: String::from_utf8_lossy(&name).chars().take(250).collect(),
            },
            Refused::Size => Ext4Error::AttributesTooLarge { path: path() },
        })
    };
    Ok(Contents {
        bodies: (0..inodes.len()).map(body).collect::<Result<_, _>>()?,
        attributes: inodes.iter().map(attributes).collect::<Result<_, _>>()?,
        lost_and_found: lost_and_found(seed),
    })
}

fn body(
    inodes: &[Inode<'_, Source>],
    number: usize,
    seed: u32,
    hash_seed: &[u8; 16],
) -> Result<Body, Ext4Error> {
    let inode = &inodes[number];
    match &inode.entry.node {
        Node::Fifo | Node::HardLink(_) => Ok(Body::None),
        Node::File(source) if source.size() == 0 => Ok(Body::None),
        Node::File(source) if blocks_for(source.size()) > u64::from(u32::MAX) => {
            Err(Ext4Error::FileTooLarge { path: inode.path.clone() })
        }
        Node::File(source) => Ok(Body::File { size: source.size() }),
        Node::Symlink(target) if target.len() < SHORT_TARGET_BYTES => Ok(Body::None),
        Node::Symlink(target) => Ok(Body::Metadata { bytes: target.clone(), indexed: false }),
        Node::Directory => {
            let own = inode_number(number);
            let directory = Directory {
                inode: own,
                parent: inode_number(inode.parent),
                seed: inode::seed(seed, own),
                hash_seed,
            };
            let (bytes, indexed) = directory::contents(directory, &names(inodes, number)?)
                .ok_or_else(|| Ext4Error::DirectoryTooLarge { path: inode.path.clone() })?;
            Ok(Body::Metadata { bytes, indexed })
        }
    }
}

fn names<'t>(inodes: &[Inode<'t, Source>], number: usize) -> Result<Vec<Name<'t>>, Ext4Error> {
    let to_name = |&(name, target): &(&'t [u8], usize)| Name {
        text: name,
        inode: inode_number(target),
        file_type: file_type(&inodes[target].entry.node),
    };
    let mut names: Vec<Name<'t>> = inodes[number].children.iter().map(to_name).collect();
    if number == 0 {
        if names.iter().any(|name| name.text == LOST_AND_FOUND) {
            return Err(Ext4Error::LostAndFound);
        }
        let inode = FIRST_INODE;
        names.push(Name { text: LOST_AND_FOUND, inode, file_type: TYPE_DIRECTORY });
    }
    Ok(names)
}

fn file_type(node: &Node<Source>) -> u8 {
    match node {
        Node::File(_) => 1,
        Node::Directory => TYPE_DIRECTORY,
        Node::Fifo => 5,
        Node::Symlink(_) => 7,
        Node::HardLink(_) => unreachable!("numbered inodes are no hard links"),
    }
}

fn lost_and_found(seed: u32) -> Vec<u8> {
    let seed = inode::seed(seed, FIRST_INODE);
    let dots = [
        Name { text: b".", inode: FIRST_INODE, file_type: TYPE_DIRECTORY },
        Name { text: b"..", inode: ROOT_INODE, file_type: TYPE_DIRECTORY },
    ];
    let mut bytes = directory::names_block(seed, &dots);
    for _ in 1..LOST_AND_FOUND_BLOCKS {
        bytes.extend(directory::names_block(seed, &[]));
    }
    bytes
}

/// Gives places: directories and attributes first, so that they lie together, then files, then the journal.
///
/// `None` when the file system is full.
pub(super) fn places(
    contents: &Contents,
    allocator: &mut Allocator,
    journal_blocks: u64,
) -> Option<Places> {
    let mut trees = vec![ExtentTree::default(); contents.bodies.len()];
    let mut attribute_blocks = vec![0; contents.bodies.len()];
    let lost_and_found_blocks = blocks_for(contents.lost_and_found.len() as u64);
    let lost_and_found = ExtentTree::allocate(allocator, lost_and_found_blocks)?;
    for (number, body) in contents.bodies.iter().enumerate() {
        if let Body::Metadata { .. } = body {
            trees[number] = ExtentTree::allocate(allocator, body.blocks())?;
        }
        if let Attributes::Block(_) = contents.attributes[number] {
            attribute_blocks[number] = allocator.take_one()?;
        }
    }
    for (number, body) in contents.bodies.iter().enumerate() {
        if let Body::File { .. } = body {
            trees[number] = ExtentTree::allocate(allocator, body.blocks())?;
        }
    }
    let journal = ExtentTree::allocate(allocator, journal_blocks)?;
    Some(Places { trees, attribute_blocks, lost_and_found, journal })
}
