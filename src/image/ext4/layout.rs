//! From a tree to the segments of an ext4 file system.

use thiserror::Error;

use crate::tree::{Node, TreePath};

use super::super::inodes::{self, Inode, TreeError};
use super::super::segment::{ImageTree, Layout, Segment, Source};
use super::allocate::Allocator;
use super::extents::ExtentTree;
use super::geometry::{self, BLOCK_BYTES, Geometry, INODE_BYTES};
use super::groups::{self, Groups, Usage, block_segment};
use super::inode::{FLAG_EXTENTS, FLAG_INDEX, Fields};
use super::place::{self, Body, Contents, Places, SHORT_TARGET_BYTES, inode_number};
use super::superblock::{FIRST_INODE, Totals};
use super::xattr::Attributes;
use super::{inode, journal, superblock, xattr};

/// Of files; a directory with more directories says 1, which stands for "many" (`dir_nlink`).
const LINKS_MAX: u32 = 65000;
/// Free inodes that a file system has at least, for a machine that lives on it.
const FREE_INODES_MIN: u64 = 4096;

/// What the contents do not say about a file system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameters {
    /// The file system's identity.
    pub uuid: [u8; 16],
    /// What file names are hashed with.
    pub hash_seed: [u8; 16],
    /// Label, at most 16 bytes.
    pub label: String,
    /// Bytes of the partition.
    pub size: u64,
    /// When it was made, seconds since 1970.
    pub epoch: u64,
}

/// A tree that cannot become an ext4 file system.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Ext4Error {
    /// The tree is no file system.
    #[error("the tree cannot be a file system")]
    Tree(#[from] TreeError),
    /// The contents need more blocks or inodes than the size allows.
    #[error("{size} bytes are too few for the contents")]
    NoSpace {
        /// The size asked for.
        size: u64,
    },
    /// The label has more than 16 bytes.
    #[error("the file system label `{label}` has more than 16 bytes")]
    Label {
        /// The label.
        label: String,
    },
    /// The tree has what the file system makes for itself.
    #[error("the tree has a `lost+found` of its own")]
    LostAndFound,
    /// A file has 16 TiB or more.
    #[error("`{path}` has 16 TiB or more")]
    FileTooLarge {
        /// The path.
        path: TreePath,
    },
    /// A file has more than 65000 names.
    #[error("`{path}` has more than 65000 hard links")]
    TooManyLinks {
        /// Its first name.
        path: TreePath,
    },
    /// A directory has more names than an index of two levels holds (some millions).
    #[error("the directory `{path}` has too many names")]
    DirectoryTooLarge {
        /// The path.
        path: TreePath,
    },
    /// An attribute outside `user.`, `trusted.` and `security.`.
    #[error("`{path}` has the extended attribute `{name}`, which cannot be stored")]
    Attribute {
        /// The path.
        path: TreePath,
        /// The attribute's name.
        name: String,
    },
    /// The attributes of a file do not fit into a block.
    #[error("`{path}` has more than 4 KiB of extended attributes")]
    AttributesTooLarge {
        /// The path.
        path: TreePath,
    },
}

/// The file system that holds `tree`.
///
/// The same arguments give the same segments. The file system ends with the last whole block of
/// `parameters.size`, or before it when the last block group would be too short for its own metadata.
///
/// # Errors
///
/// [`Ext4Error::NoSpace`] when the size is too small; others for the first entry that ext4 cannot express.
pub fn layout(tree: &ImageTree, parameters: &Parameters) -> Result<Layout, Ext4Error> {
    if parameters.label.len() > 16 {
        return Err(Ext4Error::Label { label: parameters.label.clone() });
    }
    let inodes = inodes::number(tree)?;
    check_links(&inodes)?;
    let contents = place::contents(&inodes, parameters)?;
    let no_space = || Ext4Error::NoSpace { size: parameters.size };
    let used_inodes = u64::from(FIRST_INODE) + inodes.len() as u64 - 1;
    let geometry =
        Geometry::new(parameters.size, used_inodes + FREE_INODES_MIN).ok_or_else(no_space)?;
    let mut allocator = Allocator::new(geometry.blocks, geometry.metadata());
    let journal_blocks = journal::blocks(geometry.blocks);
    let places = place::places(&contents, &mut allocator, journal_blocks).ok_or_else(no_space)?;
    let system = System { inodes: &inodes, contents, places, geometry, parameters };
    let mut segments = system.content_segments();
    segments.extend(system.inode_segments());
    let usage = Usage {
        blocks: allocator.used(),
        inodes: u32::try_from(used_inodes).map_err(|_| no_space())?,
        directories: system.directories_by_group(),
    };
    let groups = groups::write(geometry, &usage, superblock::seed(&parameters.uuid));
    segments.extend(system.superblock_segments(&groups));
    segments.extend(groups.segments);
    Ok(Layout::new(parameters.size, segments))
}

/// The least size, in whole MiB, that holds `tree` and leaves `free` bytes to users other than root.
///
/// # Errors
///
/// As [`layout`], but never for want of space.
pub fn size_for(tree: &ImageTree, free: u64) -> Result<u64, Ext4Error> {
    const MIB: u64 = 1 << 20;
    let inodes = inodes::number(tree)?;
    let parameters =
        Parameters { uuid: [0; 16], hash_seed: [0; 16], label: String::new(), size: 0, epoch: 0 };
    let contents = place::contents(&inodes, &parameters)?;
    let needed = blocks_needed(&contents) + free.div_ceil(BLOCK_BYTES as u64);
    let inodes = inodes.len() as u64 + u64::from(FIRST_INODE) + FREE_INODES_MIN;
    let mut size = (needed * BLOCK_BYTES as u64).next_multiple_of(MIB);
    loop {
        let missing = match Geometry::new(size, inodes) {
            None => MIB / BLOCK_BYTES as u64,
            Some(geometry) => {
                let metadata: u64 = geometry.metadata().iter().map(|run| run.end - run.start).sum();
                let reserved = superblock::reserved_blocks(geometry.blocks);
                let overhead = metadata + reserved + journal::blocks(geometry.blocks);
                (needed + overhead).saturating_sub(geometry.blocks)
            }
        };
        if missing == 0 {
            return Ok(size);
        }
        size = (size + missing * BLOCK_BYTES as u64).next_multiple_of(MIB);
    }
}

/// Blocks of all contents; of extent trees as many as could become necessary.
fn blocks_needed(contents: &Contents) -> u64 {
    let lost_and_found = place::blocks_for(contents.lost_and_found.len() as u64);
    let bodies: u64 =
        contents.bodies.iter().map(|body| body.blocks() + (body.blocks() >> 16)).sum();
    let is_block = |attributes: &&Attributes| matches!(attributes, Attributes::Block(_));
    lost_and_found + bodies + contents.attributes.iter().filter(is_block).count() as u64
}

fn check_links(inodes: &[Inode<'_, Source>]) -> Result<(), Ext4Error> {
    let is_directory = |inode: &Inode<'_, Source>| matches!(inode.entry.node, Node::Directory);
    match inodes.iter().find(|inode| inode.links > LINKS_MAX && !is_directory(inode)) {
        Some(inode) => Err(Ext4Error::TooManyLinks { path: inode.path.clone() }),
        None => Ok(()),
    }
}

/// A file system whose every block has its place.
struct System<'a> {
    inodes: &'a [Inode<'a, Source>],
    contents: Contents,
    places: Places,
    geometry: Geometry,
    parameters: &'a Parameters,
}

impl System<'_> {
    fn seed_of(&self, number: u32) -> u32 {
        inode::seed(superblock::seed(&self.parameters.uuid), number)
    }

    /// Directories, link targets, attributes, files, extent trees and the journal.
    fn content_segments(&self) -> Vec<Segment> {
        let mut segments = Vec::new();
        let places = &self.places;
        push_bytes(&mut segments, &places.lost_and_found, &self.contents.lost_and_found);
        for (number, inode) in self.inodes.iter().enumerate() {
            let tree = &places.trees[number];
            match (&self.contents.bodies[number], &inode.entry.node) {
                (Body::Metadata { bytes, .. }, _) => push_bytes(&mut segments, tree, bytes),
                (Body::File { size }, Node::File(source)) => {
                    push_file(&mut segments, tree, source, *size);
                }
                _ => {}
            }
            let seed = self.seed_of(inode_number(number));
            let blocks = tree.blocks(seed).into_iter();
            segments.extend(blocks.map(|(block, bytes)| block_segment(block, bytes)));
            if let Attributes::Block(bytes) = &self.contents.attributes[number] {
                let block = places.attribute_blocks[number];
                let mut bytes = bytes.clone();
                xattr::seal(&mut bytes, block, superblock::seed(&self.parameters.uuid));
                segments.push(block_segment(block, bytes));
            }
        }
        let first = places.journal.extents[0].start;
        let blocks = journal::blocks(self.geometry.blocks);
        segments.push(block_segment(first, journal::superblock(blocks, &self.parameters.uuid)));
        segments
    }

    /// The used parts of the inode tables.
    fn inode_segments(&self) -> Vec<Segment> {
        let used = FIRST_INODE as usize + self.inodes.len() - 1;
        let mut table = vec![0; used * INODE_BYTES];
        let mut set = |number: u32, fields: Fields| {
            let at = (number as usize - 1) * INODE_BYTES;
            table[at..at + INODE_BYTES].copy_from_slice(&fields.encode(self.seed_of(number)));
        };
        for number in 0..self.inodes.len() {
            set(inode_number(number), self.fields(number));
        }
        set(FIRST_INODE, self.lost_and_found_fields());
        set(journal::INODE, self.journal_fields());
        let group_bytes = self.geometry.inodes_per_group as usize * INODE_BYTES;
        let place = |(group, bytes): (u32, &[u8])| {
            block_segment(self.geometry.inode_table(group), bytes.to_vec())
        };
        (0..).zip(table.chunks(group_bytes)).map(place).collect()
    }

    fn fields(&self, number: usize) -> Fields {
        let inode = &self.inodes[number];
        let tree = &self.places.trees[number];
        let body = &self.contents.bodies[number];
        let attribute_block = self.places.attribute_blocks[number];
        let entry = inode.entry;
        let lost_and_found_links = u32::from(number == 0);
        let links = inode.links + lost_and_found_links;
        let (type_bits, size) = match &entry.node {
            Node::Directory => (0o04_0000, body.blocks() * BLOCK_BYTES as u64),
            Node::File(source) => (0o10_0000, source.size()),
            Node::Symlink(target) => (0o12_0000, target.len() as u64),
            Node::Fifo => (0o01_0000, 0),
            Node::HardLink(_) => unreachable!("numbered inodes are no hard links"),
        };
        let indexed = matches!(body, Body::Metadata { indexed: true, .. });
        let (block, extents) = match &entry.node {
            Node::Symlink(target) if target.len() < SHORT_TARGET_BYTES => {
                let mut block = [0; SHORT_TARGET_BYTES];
                block[..target.len()].copy_from_slice(target);
                (block, false)
            }
            Node::Fifo => ([0; SHORT_TARGET_BYTES], false),
            _ => (tree.in_inode(), true),
        };
        Fields {
            mode: type_bits | entry.mode & 0o7777,
            uid: entry.uid,
            gid: entry.gid,
            size,
            links: u16::try_from(links).ok().filter(|_| links <= LINKS_MAX).unwrap_or(1),
            blocks: tree.block_count() + u64::from(attribute_block != 0),
            flags: if extents { FLAG_EXTENTS } else { 0 } | if indexed { FLAG_INDEX } else { 0 },
            block,
            attribute_block,
            attributes: match &self.contents.attributes[number] {
                Attributes::InInode(bytes) => bytes.clone(),
                Attributes::None | Attributes::Block(_) => Vec::new(),
            },
            mtime: entry.mtime,
            changed: self.parameters.epoch,
        }
    }

    fn lost_and_found_fields(&self) -> Fields {
        let size = self.contents.lost_and_found.len() as u64;
        self.own_fields(0o04_0700, 2, size, &self.places.lost_and_found)
    }

    fn journal_fields(&self) -> Fields {
        self.own_fields(0o10_0600, 1, self.journal_bytes(), &self.places.journal)
    }

    fn journal_bytes(&self) -> u64 {
        journal::blocks(self.geometry.blocks) * BLOCK_BYTES as u64
    }

    /// An inode that is not of the tree.
    fn own_fields(&self, mode: u16, links: u16, size: u64, tree: &ExtentTree) -> Fields {
        Fields {
            mode,
            uid: 0,
            gid: 0,
            size,
            links,
            blocks: tree.block_count(),
            flags: FLAG_EXTENTS,
            block: tree.in_inode(),
            attribute_block: 0,
            attributes: Vec::new(),
            mtime: self.parameters.epoch,
            changed: self.parameters.epoch,
        }
    }

    fn directories_by_group(&self) -> Vec<u32> {
        let of_tree = self.inodes.iter().enumerate();
        let directories = of_tree
            .filter(|(_, inode)| matches!(inode.entry.node, Node::Directory))
            .map(|(number, _)| inode_number(number))
            .chain([FIRST_INODE]);
        let mut counts = Vec::new();
        for inode in directories {
            let group = ((inode - 1) / self.geometry.inodes_per_group) as usize;
            if counts.len() <= group {
                counts.resize(group + 1, 0);
            }
            counts[group] += 1;
        }
        counts
    }

    fn superblock_segments(&self, groups: &Groups) -> Vec<Segment> {
        let totals = Totals {
            free_blocks: groups.free_blocks,
            free_inodes: groups.free_inodes,
            journal_extents: self.places.journal.in_inode(),
            journal_bytes: self.journal_bytes(),
        };
        let write = |group| {
            let block = geometry::superblock(group)?;
            let bytes = superblock::encode(self.geometry, self.parameters, &totals, group);
            let mut segment = block_segment(block, bytes);
            // In front of the first superblock is room for a boot sector.
            segment.offset += if group == 0 { 1024 } else { 0 };
            Some(segment)
        };
        (0..self.geometry.groups).filter_map(write).collect()
    }
}

fn push_bytes(segments: &mut Vec<Segment>, tree: &ExtentTree, bytes: &[u8]) {
    let mut rest = bytes;
    for extent in &tree.extents {
        let length = usize::try_from(extent.blocks).expect("at most 32768") * BLOCK_BYTES;
        let (piece, behind) = rest.split_at(rest.len().min(length));
        segments.push(block_segment(extent.start, piece.to_vec()));
        rest = behind;
    }
}

fn push_file(segments: &mut Vec<Segment>, tree: &ExtentTree, source: &Source, size: u64) {
    let mut start = 0;
    for extent in &tree.extents {
        let length = (extent.blocks * BLOCK_BYTES as u64).min(size - start);
        let offset = extent.start * BLOCK_BYTES as u64;
        segments.push(Segment { offset, data: source.piece(start, length) });
        start += length;
    }
}
