//! What an image consists of: pieces of bytes and of files in the store, each at its offset.

use crate::tree::{Entries, Entry, Node, StoreFile, Tree};

/// Contents of a file in an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// Made for this image.
    Bytes(Vec<u8>),
    /// A file in the store.
    Store(StoreFile),
}

/// A tree whose files are in the store or made for the image.
pub type ImageTree = Entries<Source>;

/// A piece of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// Where it goes, in bytes from the start of the image.
    pub offset: u64,
    /// What goes there.
    pub data: Data,
}

/// The contents of a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Data {
    /// These bytes.
    Bytes(Vec<u8>),
    /// `length` bytes of a file in the store, from byte `start` of it.
    File {
        /// The file; its size is at least `start + length`.
        file: StoreFile,
        /// First byte.
        start: u64,
        /// Number of bytes, never 0.
        length: u64,
    },
}

/// A whole image: a disk, a partition or a disk file; what no segment covers is zero.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// Bytes.
    pub size: u64,
    /// Ascending, without overlap, within `size`.
    pub segments: Vec<Segment>,
}

impl Source {
    /// Bytes.
    pub fn size(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Store(file) => file.size,
        }
    }

    /// The piece of this file from `start` on, as contents of a segment.
    pub(super) fn piece(&self, start: u64, length: u64) -> Data {
        match self {
            Self::Bytes(bytes) => {
                let position = |at: u64| usize::try_from(at).expect("a position in memory");
                Data::Bytes(bytes[position(start)..position(start + length)].to_vec())
            }
            Self::Store(file) => Data::File { file: file.clone(), start, length },
        }
    }
}

impl Data {
    /// Bytes.
    pub fn length(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::File { length, .. } => *length,
        }
    }
}

impl Layout {
    /// The segments in ascending order; a segment without bytes is dropped.
    ///
    /// Panics when two overlap or one ends after `size`: that is our own bug.
    pub(super) fn new(size: u64, mut segments: Vec<Segment>) -> Self {
        segments.retain(|segment| segment.data.length() > 0);
        segments.sort_by_key(|segment| segment.offset);
        let mut end = 0;
        for segment in &segments {
            assert!(segment.offset >= end, "segments overlap at byte {}", segment.offset);
            end = segment.offset + segment.data.length();
        }
        assert!(end <= size, "the last segment ends at byte {end} of {size}");
        Self { size, segments }
    }

    /// Bytes of contents, without the holes.
    pub fn data_bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.data.length()).sum()
    }

    /// The same segments, `offset` bytes further on.
    pub(super) fn shifted(self, offset: u64) -> impl Iterator<Item = Segment> {
        self.segments
            .into_iter()
            .map(move |segment| Segment { offset: segment.offset + offset, ..segment })
    }
}

/// The same tree with contents as an image wants them.
pub fn image_tree(tree: Tree) -> ImageTree {
    let convert = |entry: Entry<StoreFile>| Entry {
        mode: entry.mode,
        uid: entry.uid,
        gid: entry.gid,
        mtime: entry.mtime,
        xattrs: entry.xattrs,
        node: match entry.node {
            Node::Directory => Node::Directory,
            Node::File(file) => Node::File(Source::Store(file)),
            Node::Symlink(target) => Node::Symlink(target),
            Node::HardLink(first) => Node::HardLink(first),
            Node::Fifo => Node::Fifo,
        },
    };
    tree.into_iter().map(|(path, entry)| (path, convert(entry))).collect()
}

#[cfg(test)]
mod tests;
