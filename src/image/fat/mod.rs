//! FAT32 file systems with long names, for the partition that firmware reads.
//!
//! ```text
//! sector 0, 6     boot sector and its copy; sectors 1 and 7: free space
//! sector 32       two equal tables: for each cluster the next one of its file
//! then            clusters, from number 2 on: the root, directories, files, all without gaps
//! ```
//!
//! Format: Microsoft's "FAT: General Overview of On-Disk Format", 1.03; numbers little-endian.

mod layout;
mod names;
#[cfg(test)]
mod tests;

pub use layout::{FatError, Parameters, layout};
