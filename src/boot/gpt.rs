//! Growing a GUID partition table to a larger disk: old headers in, new sectors out.
//!
//! Format: UEFI specification 2.10, section 5.3. Sectors are 512 bytes; all numbers little-endian.

#[cfg(not(any(feature = "builder", feature = "agent")))]
use alloc::{borrow::ToOwned as _, string::String, vec::Vec};

use thiserror::Error;

/// Bytes of a sector.
pub const SECTOR_BYTES: usize = 512;
/// Sectors of the partition entries: 128 entries of 128 bytes.
pub const ENTRY_SECTORS: u64 = 32;
/// Sectors from the start of the disk to the end of the primary table.
pub const START_SECTORS: u64 = 2 + ENTRY_SECTORS;
/// Bytes of the block in which everything lies that growing changes at the start of the disk.
///
/// One page, one aligned request: a disk of today writes it whole or not at all, so that no loss of power
/// leaves a header that does not fit its entries. (Neither GRUB nor the kernel looks at the backup.)
pub const BLOCK_BYTES: usize = 4096;
/// Partitions end at a multiple of this many sectors, 1 MiB, as those of every partitioning tool.
const ALIGNMENT_SECTORS: u64 = 2048;
/// First bytes of a header.
const SIGNATURE: &[u8; 8] = b"EFI PART";
const HEADER_BYTES: usize = 92;
const ENTRY_BYTES: usize = 128;
const ENTRY_COUNT: usize = 128;
/// Bytes of the header, number of entries, bytes of one: as the header says it.
const SHAPE: (u32, u32, u32) = (92, 128, 128);

/// What to write so that the table fills the disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrownTable {
    /// The backup: entries, then header, to be written first, at this sector.
    pub backup_sector: u64,
    /// Bytes of the backup.
    pub backup: Vec<u8>,
    /// The first [`BLOCK_BYTES`] of the disk, to be written in one go.
    pub block: Vec<u8>,
}

/// A table that cannot be grown.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum GptError {
    /// No table, or one whose check sum is wrong.
    #[error("the partition table is damaged: {0}")]
    Damaged(&'static str),
    /// The partition to grow is not there or not the last.
    #[error("partition `{0}` is not the last one of the disk")]
    NotLast(String),
}

/// Grows the partition called `label`, which is the last one, to the end of the disk.
///
/// `start` are the first [`START_SECTORS`] of the disk; `None` when there is nothing to grow.
///
/// # Errors
///
/// A damaged table, another partition behind the one to grow, or one whose entry is not among the first 24.
pub fn grown(start: &[u8], disk_sectors: u64, label: &str) -> Result<Option<GrownTable>, GptError> {
    let cut_off = || GptError::Damaged("it is cut off");
    let header = start.get(SECTOR_BYTES..SECTOR_BYTES + HEADER_BYTES).ok_or_else(cut_off)?;
    let entries = start.get(2 * SECTOR_BYTES..).ok_or_else(cut_off)?;
    let entries = entries.get(..ENTRY_BYTES * ENTRY_COUNT).ok_or_else(cut_off)?;
    check_header(header, entries)?;
    let last_sector = disk_sectors.checked_sub(1).ok_or(GptError::Damaged("the disk is empty"))?;
    if number(header, 32) >= last_sector || last_sector <= ENTRY_SECTORS + 34 {
        return Ok(None);
    }
    let last_usable = last_sector - ENTRY_SECTORS - 1;
    let old_entries = entries;
    let entries = with_grown_entry(old_entries, label, last_usable)?;
    let primary_header = new_header(header, &entries, [1, last_sector, 2], last_usable);
    let backup_entries = last_sector - ENTRY_SECTORS;
    let backup_header = new_header(header, &entries, [last_sector, 1, backup_entries], last_usable);
    let mut block = [&start[..SECTOR_BYTES], &primary_header[..], &entries[..]].concat();
    set_protective_size(&mut block, last_sector);
    let (_, behind) = entries.split_at(BLOCK_BYTES - 2 * SECTOR_BYTES);
    if behind != &old_entries[BLOCK_BYTES - 2 * SECTOR_BYTES..] {
        return Err(GptError::Damaged("the partition's entry is not one of the first"));
    }
    block.truncate(BLOCK_BYTES);
    Ok(Some(GrownTable {
        backup_sector: backup_entries,
        backup: [&entries[..], &backup_header[..]].concat(),
        block,
    }))
}

/// Lets the protective partition of the MBR cover the disk. Source: UEFI specification 2.10, table 5.4.
fn set_protective_size(block: &mut [u8], last_sector: u64) {
    let entry = &mut block[446..462];
    if entry[4] == 0xee {
        let sectors = u32::try_from(last_sector).unwrap_or(u32::MAX);
        entry[12..16].copy_from_slice(&sectors.to_le_bytes());
    }
}

fn check_header(header: &[u8], entries: &[u8]) -> Result<(), GptError> {
    if &header[..8] != SIGNATURE {
        return Err(GptError::Damaged("it has no signature"));
    }
    let shape = (number32(header, 12), number32(header, 80), number32(header, 84));
    if shape != SHAPE {
        return Err(GptError::Damaged("it has an unusual shape"));
    }
    let mut without_sum = header.to_vec();
    without_sum[16..20].fill(0);
    if crc32(&without_sum) != number32(header, 16) || crc32(entries) != number32(header, 88) {
        return Err(GptError::Damaged("a check sum is wrong"));
    }
    Ok(())
}

/// Entries with the last sector of `label` moved to `last_usable`, or a little before it.
fn with_grown_entry(entries: &[u8], label: &str, last_usable: u64) -> Result<Vec<u8>, GptError> {
    let name: Vec<u8> = label.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let is_used = |entry: &&[u8]| entry[..16].iter().any(|byte| *byte != 0);
    let ends = entries.chunks_exact(ENTRY_BYTES).filter(is_used).map(|entry| number(entry, 40));
    let last_end = ends.max().unwrap_or(0);
    let mut grown = entries.to_vec();
    let entry = grown.chunks_exact_mut(ENTRY_BYTES).find(|entry| {
        let field = &entry[56..128];
        field.starts_with(&name) && field[name.len()..].iter().all(|byte| *byte == 0)
    });
    match entry {
        Some(entry) if number(entry, 40) == last_end => {
            let end = ((last_usable + 1) / ALIGNMENT_SECTORS * ALIGNMENT_SECTORS).max(1) - 1;
            entry[40..48].copy_from_slice(&end.max(last_end).to_le_bytes());
            Ok(grown)
        }
        _ => Err(GptError::NotLast(label.to_owned())),
    }
}

/// A sector with a header: `places` are its own sector, the other header's, and the entries'.
fn new_header(old: &[u8], entries: &[u8], places: [u64; 3], last_usable: u64) -> Vec<u8> {
    let mut header = old.to_vec();
    header[24..32].copy_from_slice(&places[0].to_le_bytes());
    header[32..40].copy_from_slice(&places[1].to_le_bytes());
    header[48..56].copy_from_slice(&last_usable.to_le_bytes());
    header[72..80].copy_from_slice(&places[2].to_le_bytes());
    header[88..92].copy_from_slice(&crc32(entries).to_le_bytes());
    header[16..20].fill(0);
    let sum = crc32(&header);
    header[16..20].copy_from_slice(&sum.to_le_bytes());
    header.resize(SECTOR_BYTES, 0);
    header
}

fn number(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

fn number32(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

/// CRC-32 as in IEEE 802.3, reflected, of a few kilobytes.
fn crc32(bytes: &[u8]) -> u32 {
    let step = |sum: u32, _| if sum & 1 == 1 { (sum >> 1) ^ 0xedb8_8320 } else { sum >> 1 };
    let sum = bytes.iter().fold(u32::MAX, |sum, byte| (0..8).fold(sum ^ u32::from(*byte), step));
    !sum
}

#[cfg(test)]
mod tests;
