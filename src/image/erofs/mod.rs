//! Metadata-only EROFS images: names and attributes here, contents in `/nix/store` through overlayfs.
//!
//! A regular file with contents has no data in the image, only its size and two attributes that
//! overlayfs reads (`Documentation/filesystems/overlayfs.rst`, "Metadata only copy up" and
//! "Data-only lower layers"):
//!
//! ```text
//! trusted.overlay.metacopy   empty: no digest is checked. With fs-verity the value is
//!                            { version 0, length 36, flags 0, algorithm 1 } + 32 bytes of SHA-256
//! trusted.overlay.redirect   /<store path's base name>/<path in it>, from the data-only layer's root
//! ```
//!
//! The image, 4096-byte blocks, numbers little-endian (`fs/erofs/erofs_fs.h` of Linux 6.12):
//!
//! ```text
//! 1024    superblock, 128 bytes
//! 1152    inodes, each on a multiple of 32 (its number is offset / 32), the root first:
//!         32 bytes (compact) or 64 (extended), attributes, then the tail of a directory or a link target,
//!         or the one chunk number of a file, which is "hole"
//! block n whole blocks of directories and of long link targets
//! ```

mod directory;
mod layout;
#[cfg(test)]
mod tests;
mod write;
mod xattr;

pub use write::{ErofsError, write};
