//! Tests of whole disks; `tests/it/image.rs` asks the real tools.

use super::super::sample::{grub_boot, grub_core, made};
use super::super::segment::Data;
use super::{DiskContents, DiskError, DiskPlan, layout};
use crate::image::ext4::Ext4Error;
use crate::image::segment::Layout;

const PLAN: &str =
    "[disk]\nsize = \"minimum\"\n[esp]\nsize = \"64MiB\"\n[root]\nfree = \"32MiB\"\n";

fn disk(plan: &str, host: &str) -> Layout {
    let tree = made(&[("a/file", b"contents")]);
    let contents = DiskContents {
        host,
        epoch: 1_700_000_000,
        grub: (&grub_boot(), &grub_core()),
        esp: &tree,
        root: &tree,
    };
    layout(&DiskPlan::parse(plan).unwrap(), &contents).unwrap()
}

#[test]
fn the_same_host_gives_the_same_disk_and_another_host_another() {
    assert_eq!(disk(PLAN, "vps1"), disk(PLAN, "vps1"));
    assert_ne!(disk(PLAN, "vps1"), disk(PLAN, "vps2"));
}

#[test]
fn a_larger_disk_goes_to_the_root_partition() {
    let small = disk(PLAN, "vps1").size;
    assert_eq!(small % (1 << 20), 0);
    let large = disk(&PLAN.replace("minimum", "8GiB"), "vps1");
    assert_eq!(large.size, 8 << 30);
    let tiny = disk(&PLAN.replace("minimum", "1MiB"), "vps1");
    assert_eq!(tiny.size, small, "the contents need more than was asked for");
}

#[test]
fn the_parts_lie_where_the_table_says() {
    let disk = disk(PLAN, "vps1");
    let at = |offset: u64| {
        let found = disk.segments.iter().find(|segment| segment.offset == offset).unwrap();
        let Data::Bytes(bytes) = &found.data else { panic!("only bytes here") };
        &bytes[..]
    };
    assert_eq!(at(1 << 20)[..4], [9; 4]);
    assert_eq!(&at(2 << 20)[82..87], b"FAT32");
    assert_eq!(at((66 << 20) + 1024)[0x38..0x3a], [0x53, 0xef]);
}

#[test]
fn errors_say_which_part() {
    let tree = made(&[("lost+found/x", b"")]);
    let grub = (&grub_boot()[..], &grub_core()[..]);
    let contents = DiskContents { host: "vps1", epoch: 0, grub, esp: &tree, root: &tree };
    let refused = layout(&DiskPlan::parse(PLAN).unwrap(), &contents);
    assert_eq!(refused, Err(DiskError::Root(Ext4Error::LostAndFound)));
}
