//! Tests of the overlay's bytes; `qemu-img check` finds no fault with them.

use super::*;
use expect_test::{Expect, expect};

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap())
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_be_bytes(bytes[at..at + 8].try_into().unwrap())
}

#[track_caller]
fn check(disk_bytes: u64, expected: &Expect) {
    let file = empty(disk_bytes);
    let fields = format!(
        "bytes {}, version {}, backing {} {}, cluster bits {}, size {}, encryption {}, L1 {} at {:#x}, \
         counts {} at {:#x}, snapshots {} {}, features {} {} {}, count order {}, header {}",
        file.len(),
        u32_at(&file, 4),
        u64_at(&file, 8),
        u32_at(&file, 16),
        u32_at(&file, 20),
        u64_at(&file, 24),
        u32_at(&file, 32),
        u32_at(&file, 36),
        u64_at(&file, 40),
        u32_at(&file, 56),
        u64_at(&file, 48),
        u32_at(&file, 60),
        u64_at(&file, 64),
        u64_at(&file, 72),
        u64_at(&file, 80),
        u64_at(&file, 88),
        u32_at(&file, 96),
        u32_at(&file, 100),
    );
    expected.assert_eq(&fields);
    assert_eq!(file[..4], *b"QFI\xfb");
    assert_eq!(u64_at(&file, CLUSTER_BYTES), 2 * CLUSTER_BYTES as u64);
    assert_eq!(file[2 * CLUSTER_BYTES..][..10], [0, 1, 0, 1, 0, 1, 0, 1, 0, 0]);
    assert!(file[3 * CLUSTER_BYTES..].iter().all(|&byte| byte == 0));
}

#[test]
fn the_header_is_as_the_specification_says() {
    check(
        4 << 30,
        &expect![
            "bytes 262144, version 3, backing 0 0, cluster bits 16, size 4294967296, encryption 0, L1 8 at 0x30000, counts 1 at 0x10000, snapshots 0 0, features 0 0 0, count order 4, header 104"
        ],
    );
    check(
        (512 << 20) + 512,
        &expect![
            "bytes 262144, version 3, backing 0 0, cluster bits 16, size 536871424, encryption 0, L1 2 at 0x30000, counts 1 at 0x10000, snapshots 0 0, features 0 0 0, count order 4, header 104"
        ],
    );
}

#[track_caller]
fn check_size(image_bytes: u64, disk_bytes: Option<u64>, expected: Option<u64>) {
    let directory = tempfile::tempdir().unwrap();
    let image = directory.path().join("image");
    std::fs::File::create(&image).unwrap().set_len(image_bytes).unwrap();
    let made = create(&directory.path().join("disk"), &image, disk_bytes);
    assert_eq!(made.as_ref().ok(), expected.as_ref(), "{made:?}");
    assert_eq!(directory.path().join("disk").exists(), expected.is_some());
    assert_eq!(std::fs::metadata(&image).unwrap().len(), image_bytes);
}

#[test]
fn the_disk_is_never_smaller_than_the_image() {
    check_size(1 << 20, None, Some(1 << 20));
    check_size(1 << 20, Some(4 << 20), Some(4 << 20));
    check_size(4 << 20, Some(1 << 20), Some(4 << 20));
}

#[test]
fn sizes_that_are_no_disk_are_refused() {
    check_size(0, None, None);
    check_size(1000, None, None);
    check_size(512, Some(513), None);
    check_size(512, Some(DISK_BYTES_MAX + 512), None);
}

#[test]
fn a_missing_image_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let error = create(&directory.path().join("disk"), Path::new("/no/such"), None).unwrap_err();
    assert_eq!(std::error::Error::source(&error).unwrap().to_string(), "cannot look at /no/such");
}
