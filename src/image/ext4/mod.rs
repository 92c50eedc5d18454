//! ext4 file systems, decided whole before a byte is written.
//!
//! [`layout`] turns a tree into segments: metadata as bytes, contents as references into the store, which
//! `exec` copies in parallel. Blocks of 4096 bytes, groups of 32768 blocks, inodes of 256 bytes, numbers
//! little-endian (`Documentation/filesystems/ext4/` and `fs/ext4/ext4.h` of Linux 6.12):
//!
//! ```text
//! group 0, 1, 3^n, 5^n, 7^n        starts with a superblock or its copy              (sparse_super)
//! group 64m, 64m + 1, 64m + 63     then one block of 64 group descriptors            (meta_bg)
//! group 16f                        then for the groups 16f … 16f + 15 all block bitmaps, all inode
//!                                  bitmaps, all inode tables                         (flex_bg)
//! everything else, in order        directories, attribute blocks and long link targets; files; journal
//! ```
//!
//! Descriptors lie with the groups they describe, so `EXT4_IOC_RESIZE_FS` grows the file system to any size
//! while it is mounted. All metadata has checksums. Space is given out from front to back, so everything in
//! front of the last file is used and everything behind it free.

mod allocate;
mod directory;
mod extents;
mod geometry;
mod groups;
mod hash;
mod inode;
mod journal;
mod layout;
mod place;
mod superblock;
#[cfg(test)]
mod tests;
mod xattr;

pub use layout::{Ext4Error, Parameters, layout, size_for};
