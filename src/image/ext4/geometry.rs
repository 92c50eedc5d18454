//! Where the metadata of each block group lies: arithmetic only.

use std::ops::Range;

use crate::boot;

/// Bytes of a block.
pub(super) const BLOCK_BYTES: usize = boot::ROOT_BLOCK_BYTES;
/// One bitmap block describes this many blocks.
pub(super) const BLOCKS_PER_GROUP: u32 = boot::ROOT_BLOCKS_PER_GROUP;
/// Bytes of an inode.
pub(super) const INODE_BYTES: usize = 256;
/// Bytes of a group descriptor with the `64bit` feature.
pub(super) const DESCRIPTOR_BYTES: usize = 64;
/// Groups whose bitmaps and inode tables lie together.
pub(super) const GROUPS_PER_FLEX: u32 = 16;
/// Groups whose descriptors share a block.
pub(super) const GROUPS_PER_META: u32 = boot::ROOT_GROUPS_PER_META;
/// One inode for each 16 KiB, as mke2fs does for ordinary file systems.
const INODES_PER_GROUP: u32 = 8192;
/// With more, the inode tables of a flex group would not fit into its first group.
const INODES_PER_GROUP_MAX: u32 = 32512;
const INODES_PER_BLOCK: u32 = 16;

/// The shape of a file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Geometry {
    /// Blocks of the whole file system.
    pub(super) blocks: u64,
    /// Block groups.
    pub(super) groups: u32,
    /// Inodes of each group, a multiple of 16.
    pub(super) inodes_per_group: u32,
}

impl Geometry {
    /// The largest file system within `size` bytes that has room for `inodes` inodes.
    ///
    /// A last group that is too short for its own metadata is left out. `None` when there are too many
    /// inodes for the size, or the size is too small or (2^48 bytes and more) too large.
    pub(super) fn new(size: u64, inodes: u64) -> Option<Self> {
        let blocks = size / BLOCK_BYTES as u64;
        let groups = u32::try_from(blocks.div_ceil(u64::from(BLOCKS_PER_GROUP))).ok()?;
        if groups == 0 || groups > 1 << 21 {
            return None;
        }
        let wanted = inodes.div_ceil(u64::from(groups)).next_multiple_of(8 * 16);
        let inodes_per_group = u32::try_from(wanted).ok()?.max(INODES_PER_GROUP);
        if inodes_per_group > INODES_PER_GROUP_MAX {
            return None;
        }
        let whole = Self { blocks, groups, inodes_per_group };
        let last = groups - 1;
        let needed = whole.metadata_of(last).iter().map(|run| run.end - run.start).sum::<u64>();
        if u64::from(whole.blocks_of(last)) > needed {
            return Some(whole);
        }
        Self::new(first_block(last) * BLOCK_BYTES as u64, inodes)
    }

    /// Blocks of `group`; only the last may have fewer than 32768.
    pub(super) fn blocks_of(self, group: u32) -> u32 {
        let rest = self.blocks - first_block(group);
        u32::try_from(rest.min(u64::from(BLOCKS_PER_GROUP))).expect("at most 32768")
    }

    /// Blocks of the inode table of one group.
    pub(super) fn inode_table_blocks(self) -> u32 {
        self.inodes_per_group / INODES_PER_BLOCK
    }

    /// All inodes.
    pub(super) fn inodes(self) -> u32 {
        self.groups * self.inodes_per_group
    }

    /// The block bitmap of `group`.
    #[expect(clippy::unused_self, reason = "it stands with its siblings, which need it")]
    pub(super) fn block_bitmap(self, group: u32) -> u64 {
        flex_start(group) + u64::from(group % GROUPS_PER_FLEX)
    }

    /// The inode bitmap of `group`.
    pub(super) fn inode_bitmap(self, group: u32) -> u64 {
        self.block_bitmap(group) + u64::from(self.flex_groups(group))
    }

    /// The first block of the inode table of `group`.
    pub(super) fn inode_table(self, group: u32) -> u64 {
        let before = (group % GROUPS_PER_FLEX) * self.inode_table_blocks();
        flex_start(group) + u64::from(2 * self.flex_groups(group) + before)
    }

    /// All blocks of metadata, ascending.
    pub(super) fn metadata(self) -> Vec<Range<u64>> {
        (0..self.groups).flat_map(|group| self.metadata_of(group)).collect()
    }

    /// The blocks of metadata that lie in `group`, ascending.
    fn metadata_of(self, group: u32) -> Vec<Range<u64>> {
        let front = front_end(group);
        let mut runs = Vec::new();
        if front > first_block(group) {
            runs.push(first_block(group)..front);
        }
        if group.is_multiple_of(GROUPS_PER_FLEX) {
            let blocks = self.flex_groups(group) * (2 + self.inode_table_blocks());
            runs.push(front..front + u64::from(blocks));
        }
        runs
    }

    /// How many groups the flex group of `group` has.
    fn flex_groups(self, group: u32) -> u32 {
        let first = group - group % GROUPS_PER_FLEX;
        (self.groups - first).min(GROUPS_PER_FLEX)
    }
}

/// The first block of `group`.
pub(super) fn first_block(group: u32) -> u64 {
    u64::from(group) * u64::from(BLOCKS_PER_GROUP)
}

/// The block behind superblock and descriptors of `group`.
fn front_end(group: u32) -> u64 {
    let front = u64::from(has_superblock(group)) + u64::from(descriptors(group).is_some());
    first_block(group) + front
}

/// Where the bitmaps and tables of the flex group of `group` begin.
fn flex_start(group: u32) -> u64 {
    front_end(group - group % GROUPS_PER_FLEX)
}

/// The block of the superblock's copy in `group`.
pub(super) fn superblock(group: u32) -> Option<u64> {
    has_superblock(group).then(|| first_block(group))
}

/// The block in `group` that describes the groups around it.
pub(super) fn descriptors(group: u32) -> Option<u64> {
    let place = group % GROUPS_PER_META;
    let has = place == 0 || place == 1 || place == GROUPS_PER_META - 1;
    has.then(|| first_block(group) + u64::from(has_superblock(group)))
}

/// Whether `group` has a copy of the superblock: 0, 1 and the powers of 3, 5 and 7.
fn has_superblock(group: u32) -> bool {
    let is_power_of = |base: u32| {
        let mut rest = group;
        while rest.is_multiple_of(base) {
            rest /= base;
        }
        rest == 1
    };
    group <= 1 || [3, 5, 7].into_iter().any(is_power_of)
}
