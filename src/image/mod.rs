//! Trees → bytes: EROFS metadata images, ext4 and FAT file systems, cpio, partition tables.

pub mod boot_entries;
mod bytes;
pub mod cpio;
pub mod disk;
pub mod erofs;
pub mod ext4;
pub mod fat;
pub mod gpt;
pub mod grub;
pub mod identity;
pub mod inodes;
pub mod plan;
pub mod qcow2;
#[cfg(test)]
mod sample;
pub mod segment;
