//! Growing a table that the `gpt` crate wrote, and reading the result with it.

use std::io::Cursor;

use super::*;

/// A disk of `sectors` with two partitions, made by the `gpt` crate.
fn disk(sectors: u64) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(sectors).unwrap() * SECTOR_BYTES];
    let mbr = gpt::mbr::ProtectiveMBR::with_lb_size(u32::try_from(sectors - 1).unwrap());
    mbr.overwrite_lba0(&mut Cursor::new(&mut bytes)).unwrap();
    let config =
        gpt::GptConfig::new().writable(true).logical_block_size(gpt::disk::LogicalBlockSize::Lb512);
    let mut table = config.create_from_device(Cursor::new(&mut bytes), None).unwrap();
    table.add_partition("nexus-esp", 64 * 512, gpt::partition_types::EFI, 0, None).unwrap();
    table.add_partition("nexus-root", 100 * 512, gpt::partition_types::LINUX_FS, 0, None).unwrap();
    table.write().unwrap();
    bytes
}

fn sectors_of(bytes: &[u8]) -> &[u8] {
    &bytes[..SECTOR_BYTES * 34]
}

#[test]
fn a_larger_disk_is_filled_and_both_tables_are_good() {
    let mut bytes = disk(1000);
    bytes.resize(5000 * SECTOR_BYTES, 0);
    let table = grown(sectors_of(&bytes), 5000, "nexus-root").unwrap().unwrap();
    assert_eq!(table.block.len(), BLOCK_BYTES);
    bytes[..BLOCK_BYTES].copy_from_slice(&table.block);
    assert_eq!(bytes[446 + 12..446 + 16], 4999_u32.to_le_bytes(), "the protective partition");
    let at = usize::try_from(table.backup_sector).unwrap() * SECTOR_BYTES;
    assert_eq!(at + table.backup.len(), bytes.len(), "the backup ends the disk");
    bytes[at..].copy_from_slice(&table.backup);
    for damage in [None, Some(SECTOR_BYTES), Some(bytes.len() - SECTOR_BYTES)] {
        let mut copy = bytes.clone();
        if let Some(at) = damage {
            copy[at] ^= 1;
        }
        let config = gpt::GptConfig::new().logical_block_size(gpt::disk::LogicalBlockSize::Lb512);
        let disk = config.open_from_device(Cursor::new(copy)).unwrap();
        let root = disk.partitions().values().find(|part| part.name == "nexus-root").unwrap();
        assert_eq!(root.last_lba, 4096 - 1, "a multiple of 1 MiB, with damage {damage:?}");
    }
}

#[test]
fn a_table_that_fills_the_disk_stays() {
    assert_eq!(grown(sectors_of(&disk(1000)), 1000, "nexus-root"), Ok(None));
}

#[test]
fn a_partition_is_never_made_smaller() {
    let mut bytes = disk(1000);
    bytes.resize(1200 * SECTOR_BYTES, 0);
    let table = grown(sectors_of(&bytes), 1200, "nexus-root").unwrap().unwrap();
    let end = |block: &[u8]| number(&block[2 * SECTOR_BYTES + ENTRY_BYTES..], 40);
    assert_eq!(end(&table.block), end(&bytes));
}

#[test]
fn what_is_damaged_or_unexpected_is_refused() {
    let good = disk(1000);
    let mut bad = good.clone();
    bad[SECTOR_BYTES * 2 + 40] ^= 1;
    let wrong_sum = Err(GptError::Damaged("a check sum is wrong"));
    assert_eq!(grown(sectors_of(&bad), 5000, "nexus-root"), wrong_sum);
    assert_eq!(
        grown(sectors_of(&good), 5000, "nexus-esp"),
        Err(GptError::NotLast("nexus-esp".into()))
    );
    assert_eq!(
        grown(&vec![0; 16384 + 1024], 5000, "x"),
        Err(GptError::Damaged("it has no signature"))
    );
    assert_eq!(grown(&[], 5000, "x"), Err(GptError::Damaged("it is cut off")));
}
