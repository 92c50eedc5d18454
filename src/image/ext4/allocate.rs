//! Gives out blocks from front to back, around the metadata of the groups.

use std::ops::Range;

/// Most blocks in one extent.
const EXTENT_BLOCKS_MAX: u64 = 32768;

/// Blocks of a file that follow one another on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Extent {
    /// The first of them on the disk.
    pub(super) start: u64,
    /// How many, at most 32768.
    pub(super) blocks: u64,
}

/// The free blocks of a file system.
#[derive(Debug)]
pub(super) struct Allocator {
    /// Metadata that is still ahead, the next one last.
    ahead: Vec<Range<u64>>,
    next: u64,
    end: u64,
}

impl Allocator {
    /// All of a file system of `blocks` blocks, without `metadata`.
    pub(super) fn new(blocks: u64, mut metadata: Vec<Range<u64>>) -> Self {
        metadata.reverse();
        Self { ahead: metadata, next: 0, end: blocks }
    }

    /// The next `blocks` blocks, in as few extents as the metadata in between allows; `None` when the file
    /// system is full.
    pub(super) fn take(&mut self, blocks: u64) -> Option<Vec<Extent>> {
        let mut extents = Vec::new();
        let mut missing = blocks;
        while missing > 0 {
            while let Some(metadata) = self.ahead.pop_if(|metadata| metadata.start == self.next) {
                self.next = metadata.end;
            }
            let end = self.ahead.last().map_or(self.end, |metadata| metadata.start);
            if end <= self.next {
                return None;
            }
            let taken = missing.min(end - self.next).min(EXTENT_BLOCKS_MAX);
            extents.push(Extent { start: self.next, blocks: taken });
            self.next += taken;
            missing -= taken;
        }
        Some(extents)
    }

    /// The next single block.
    pub(super) fn take_one(&mut self) -> Option<u64> {
        self.take(1).map(|extents| extents[0].start)
    }

    /// Everything that is used: all in front of the next block, and the metadata behind it.
    pub(super) fn used(mut self) -> Vec<Range<u64>> {
        self.ahead.push(0..self.next);
        self.ahead.reverse();
        self.ahead
    }
}
