//! The disk QEMU writes to: an empty qcow2 whose contents come from the image, which stays as it is.
//!
//! Layout (QEMU's `docs/interop/qcow2.rst`, version 3; big endian; clusters of 64 KiB):
//!
//! ```text
//! cluster 0       header, 104 bytes
//! cluster 1       reference count table: one entry → cluster 2
//! cluster 2       reference count block: 16-bit counts, 1 for each cluster of this file
//! cluster 3..     L1 table: one zero entry for each 512 MiB of the disk, "all from the backing file"
//! ```
//!
//! The backing file is not named in here but on QEMU's command line, so the file is the same for all.

use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::exec::files::{self, FileError};

const CLUSTER_BITS: u32 = 16;
const CLUSTER_BYTES: usize = 1 << CLUSTER_BITS;

/// Disk bytes that one entry of the L1 table stands for: a cluster full of 8-byte L2 entries.
const L1_ENTRY_BYTES: u64 = (CLUSTER_BYTES as u64 / 8) << CLUSTER_BITS;

/// The largest disk; its L1 table fits one cluster.
const DISK_BYTES_MAX: u64 = L1_ENTRY_BYTES * (CLUSTER_BYTES as u64 / 8);

/// An overlay that cannot be made.
#[derive(Debug, Error)]
pub enum OverlayError {
    /// The image cannot be looked at, or the overlay not written.
    #[error("the overlay cannot be written")]
    File(#[from] FileError),
    /// The size makes no sense.
    #[error("{} is not a disk of at most {DISK_BYTES_MAX} bytes in whole sectors of 512: it has {bytes}", image.display())]
    Size {
        /// The image.
        image: PathBuf,
        /// Its size, or the size that was asked for.
        bytes: u64,
    },
}

/// Writes an empty overlay over `image` to `path`; the machine sees a disk of at least `disk_bytes`.
///
/// Returns the size of the disk.
pub fn create(path: &Path, image: &Path, disk_bytes: Option<u64>) -> Result<u64, OverlayError> {
    let metadata = std::fs::metadata(image).map_err(FileError::at("look at", image))?;
    let bytes = disk_bytes.unwrap_or(0).max(metadata.len());
    if bytes == 0 || bytes % 512 != 0 || bytes > DISK_BYTES_MAX {
        return Err(OverlayError::Size { image: image.to_owned(), bytes });
    }
    files::write_atomic(path, &empty(bytes))?;
    Ok(bytes)
}

/// The bytes of an empty qcow2 file for a disk of `disk_bytes`.
fn empty(disk_bytes: u64) -> Vec<u8> {
    let cluster = CLUSTER_BYTES as u64;
    let l1_entries =
        u32::try_from(disk_bytes.div_ceil(L1_ENTRY_BYTES)).expect("checked by DISK_BYTES_MAX");
    let mut file = Vec::with_capacity(4 * CLUSTER_BYTES);
    file.extend_from_slice(b"QFI\xfb");
    file.extend_from_slice(&3_u32.to_be_bytes());
    // No backing file name: offset and length.
    file.extend_from_slice(&[0; 12]);
    file.extend_from_slice(&CLUSTER_BITS.to_be_bytes());
    file.extend_from_slice(&disk_bytes.to_be_bytes());
    // No encryption.
    file.extend_from_slice(&0_u32.to_be_bytes());
    file.extend_from_slice(&l1_entries.to_be_bytes());
    file.extend_from_slice(&(3 * cluster).to_be_bytes());
    file.extend_from_slice(&cluster.to_be_bytes());
    file.extend_from_slice(&1_u32.to_be_bytes());
    // No snapshots: count and offset; then incompatible, compatible and auto-clear features.
    file.extend_from_slice(&[0; 12]);
    file.extend_from_slice(&[0; 24]);
    // Reference counts of 2^4 bits; length of the header.
    file.extend_from_slice(&4_u32.to_be_bytes());
    file.extend_from_slice(&104_u32.to_be_bytes());
    file.resize(CLUSTER_BYTES, 0);
    file.extend_from_slice(&(2 * cluster).to_be_bytes());
    file.resize(2 * CLUSTER_BYTES, 0);
    for _ in 0..4 {
        file.extend_from_slice(&1_u16.to_be_bytes());
    }
    file.resize(4 * CLUSTER_BYTES, 0);
    file
}

#[cfg(test)]
mod tests;
