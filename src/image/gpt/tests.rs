//! Tests of partition tables, read back by hand; `tests/it/image.rs` asks sgdisk.

use super::super::identity::Guid;
use super::super::segment::{Data, Segment};
use super::{Partition, crc32, table};

const DISK_BYTES: u64 = 64 << 20;

fn partition() -> Partition {
    let kind =
        Guid::new(0xc12a_7328, 0xf81f, 0x11d2, [0xba, 0x4b, 0x00, 0xa0, 0xc9, 0x3e, 0xc9, 0x3b]);
    Partition { name: "nexus-esp", kind, id: Guid::derived("vps1", "x"), start: 1 << 20, size: 512 }
}

fn made() -> (Vec<u8>, u64, Vec<u8>) {
    let disk = Guid::derived("vps1", "disk");
    let segments = table(DISK_BYTES, disk, &[partition()], &[0xaa; 440]);
    let [
        Segment { offset: 0, data: Data::Bytes(primary) },
        Segment { offset, data: Data::Bytes(backup) },
    ] = &segments[..]
    else {
        panic!("{segments:?}")
    };
    (primary.clone(), *offset, backup.clone())
}

fn number(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
}

#[track_caller]
fn check_header(header: &[u8], entries: &[u8], own: u64, other: u64) {
    let mut plain = header[..92].to_vec();
    plain[16..20].fill(0);
    assert_eq!(header[16..20], crc32(&plain).to_le_bytes());
    assert_eq!(header[88..92], crc32(entries).to_le_bytes());
    assert_eq!((number(header, 24), number(header, 32)), (own, other));
}

#[test]
fn both_tables_describe_the_same_partitions() {
    let last = DISK_BYTES / 512 - 1;
    let (primary, backup_at, backup) = made();
    assert_eq!(primary.len(), 34 * 512);
    assert_eq!(backup_at + backup.len() as u64, DISK_BYTES);
    assert_eq!(primary[1024..], backup[..32 * 512]);
    check_header(&primary[512..], &primary[1024..], 1, last);
    check_header(&backup[32 * 512..], &backup[..32 * 512], last, 1);
    let entry = &primary[1024..1152];
    assert_eq!((number(entry, 32), number(entry, 40)), (2048, 2048));
    assert_eq!(&entry[56..60], b"n\0e\0");
    // The GUID of EFI system partitions as every tool prints it, in the bytes of a disk.
    assert_eq!(entry[..8], [0x28, 0x73, 0x2a, 0xc1, 0x1f, 0xf8, 0xd2, 0x11]);
}

#[test]
fn the_mbr_protects_the_disk_and_starts_the_loader() {
    let (primary, _, _) = made();
    assert_eq!(primary[..440], [0xaa; 440]);
    assert_eq!(primary[450], 0xee);
    assert_eq!(primary[454..462], [1, 0, 0, 0, 0xff, 0xff, 1, 0]);
    assert_eq!(primary[510..512], [0x55, 0xaa]);
}

#[test]
fn a_disk_of_more_than_2_tib_is_protected_as_far_as_the_mbr_can_count() {
    let disk = Guid::derived("vps1", "disk");
    let segments = table(3 << 40, disk, &[partition()], &[]);
    let Data::Bytes(primary) = &segments[0].data else { panic!() };
    assert_eq!(primary[458..462], [0xff; 4]);
}

#[test]
fn the_grown_table_of_nexus_init_starts_from_ours() {
    let (primary, _, _) = made();
    let grown = crate::boot::gpt::grown(&primary, 1 << 20, "nexus-esp").unwrap().unwrap();
    assert_eq!(number(&grown.block[1024..], 40), (1 << 20) - 2048 - 1);
}
