//! Partition tables: a GPT with its backup, behind a protective MBR that can hold boot code.
//!
//! ```text
//! sector 0            MBR: boot code, one partition of type EE over the whole disk
//! sector 1            header; sectors 2 to 33 hold 128 entries of 128 bytes
//! last 33 sectors     the same entries, then the other header
//! ```
//!
//! Format: UEFI specification 2.10, section 5. Sectors are 512 bytes; all numbers little-endian.

use super::bytes::{put, put_u16, put_u32, put_u64};
use super::identity::Guid;
use super::segment::{Data, Segment};

/// Bytes of a sector.
pub const SECTOR_BYTES: u64 = 512;
/// Bytes of the MBR that boot code may use.
pub const BOOT_CODE_BYTES: usize = 440;
/// Bytes at the end of a disk that no partition may use, rounded up so that the rest stays aligned.
pub const BACKUP_BYTES: u64 = 1 << 20;
/// Sectors of the entries.
const ENTRY_SECTORS: u64 = 32;
const ENTRY_BYTES: usize = 128;
const HEADER_BYTES: u32 = 92;
/// UTF-16 units of a partition's name.
const NAME_UNITS: usize = 36;

/// A partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partition {
    /// Its name, at most 36 characters; ours are ASCII.
    pub name: &'static str,
    /// What it is for.
    pub kind: Guid,
    /// Its own identifier.
    pub id: Guid,
    /// First byte, a multiple of the sector's size.
    pub start: u64,
    /// Bytes, a multiple of the sector's size, not 0.
    pub size: u64,
}

/// The table of a disk of `disk_bytes` bytes: what stands in front of the first partition and at the end.
///
/// `boot_code` starts the machine on a BIOS; it is empty when nothing should.
pub fn table(
    disk_bytes: u64,
    disk: Guid,
    partitions: &[Partition],
    boot_code: &[u8],
) -> Vec<Segment> {
    assert!(partitions.len() <= 128 && boot_code.len() <= BOOT_CODE_BYTES, "a table of our own");
    let sectors = disk_bytes / SECTOR_BYTES;
    let entries = entries(partitions);
    let last = sectors - 1;
    let header = |own, other, entries_at| {
        header(&entries, disk, [own, other, entries_at], last - ENTRY_SECTORS - 1)
    };
    let primary = [&mbr(sectors, boot_code)[..], &header(1, last, 2), &entries].concat();
    let backup = [&entries[..], &header(last, 1, last - ENTRY_SECTORS)].concat();
    let backup_at = (last - ENTRY_SECTORS) * SECTOR_BYTES;
    vec![
        Segment { offset: 0, data: Data::Bytes(primary) },
        Segment { offset: backup_at, data: Data::Bytes(backup) },
    ]
}

fn mbr(sectors: u64, boot_code: &[u8]) -> Vec<u8> {
    let mut mbr = vec![0; 512];
    put(&mut mbr, 0, boot_code);
    // Not bootable; from cylinder 0, head 0, sector 2; type EE; to the end; in sectors: from 1 on.
    put(&mut mbr, 446, &[0, 0, 2, 0, 0xee, 0xff, 0xff, 0xff]);
    put_u32(&mut mbr, 454, 1);
    put_u32(&mut mbr, 458, u32::try_from(sectors - 1).unwrap_or(u32::MAX));
    put(&mut mbr, 510, &[0x55, 0xaa]);
    mbr
}

fn entries(partitions: &[Partition]) -> Vec<u8> {
    let mut entries = vec![0; ENTRY_BYTES * 128];
    for (entry, partition) in entries.chunks_exact_mut(ENTRY_BYTES).zip(partitions) {
        let first = partition.start / SECTOR_BYTES;
        put(entry, 0, partition.kind.as_bytes());
        put(entry, 16, partition.id.as_bytes());
        put_u64(entry, 32, first);
        put_u64(entry, 40, first + partition.size / SECTOR_BYTES - 1);
        for (index, unit) in partition.name.encode_utf16().take(NAME_UNITS).enumerate() {
            put_u16(entry, 56 + 2 * index, unit);
        }
    }
    entries
}

/// A header whose own sector, whose other's sector and whose entries' sector are `places`.
fn header(entries: &[u8], disk: Guid, places: [u64; 3], last_usable: u64) -> Vec<u8> {
    let mut header = vec![0; 512];
    put(&mut header, 0, b"EFI PART");
    put_u32(&mut header, 8, 0x0001_0000);
    put_u32(&mut header, 12, HEADER_BYTES);
    put_u64(&mut header, 24, places[0]);
    put_u64(&mut header, 32, places[1]);
    put_u64(&mut header, 40, 2 + ENTRY_SECTORS);
    put_u64(&mut header, 48, last_usable);
    put(&mut header, 56, disk.as_bytes());
    put_u64(&mut header, 72, places[2]);
    put_u32(&mut header, 80, 128);
    put_u32(&mut header, 84, 128);
    put_u32(&mut header, 88, crc32(entries));
    let checksum = crc32(&header[..92]);
    put_u32(&mut header, 16, checksum);
    header
}

fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum()
}

#[cfg(test)]
mod tests;
