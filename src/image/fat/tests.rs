//! Tests of the FAT32 writer; `tests/it/image.rs` asks fsck.vfat and mtools.

use expect_test::{Expect, expect};

use super::super::sample::{entry, made, path};
use super::layout::date_and_time;
use super::names::NamesTaken;
use super::{FatError, Parameters, layout};
use crate::tree::Node;

const MIB: u64 = 1 << 20;

fn parameters(size: u64) -> Parameters {
    Parameters { size, label: *b"NEXUS-ESP  ", volume_id: 7 }
}

/// Short names and numbers of entries that names get, in their order.
#[track_caller]
fn check(names: &[&str], expected: &Expect) {
    let mut taken = NamesTaken::default();
    let mut shown = String::new();
    for name in names {
        shown += &match taken.store(name.as_bytes()) {
            Some(stored) => {
                let short = String::from_utf8_lossy(&stored.short).into_owned();
                format!("{name}: {short:?} {}\n", stored.entries())
            }
            None => format!("{name:?}: refused\n"),
        };
    }
    expected.assert_eq(&shown);
}

#[test]
fn short_names() {
    check(
        &[
            "BOOTX64.EFI",
            "grub.cfg",
            "loader.conf",
            "loader.config",
            "nexus-1+3.conf",
            "nexus-2.conf",
            "linux-0123456789abcdef",
            ".hidden",
            "two.dots.txt",
            "ÄÖ.txt",
            "with space",
        ],
        &expect![[r#"
            BOOTX64.EFI: "BOOTX64 EFI" 1
            grub.cfg: "GRUB    CFG" 2
            loader.conf: "LOADER~1CON" 2
            loader.config: "LOADER~2CON" 2
            nexus-1+3.conf: "NEXUS-~1CON" 3
            nexus-2.conf: "NEXUS-~2CON" 2
            linux-0123456789abcdef: "LINUX-~1   " 3
            .hidden: "~1      HID" 2
            two.dots.txt: "TWODOT~1TXT" 2
            ÄÖ.txt: "____~1  TXT" 2
            with space: "WITHSP~1   " 2
        "#]],
    );
}

#[test]
fn many_names_with_the_same_beginning() {
    let names: Vec<String> = (0..12).map(|index| format!("generation-{index}.conf")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    check(
        &names,
        &expect![[r#"
        generation-0.conf: "GENERA~1CON" 3
        generation-1.conf: "GENERA~2CON" 3
        generation-2.conf: "GENERA~3CON" 3
        generation-3.conf: "GENERA~4CON" 3
        generation-4.conf: "GENERA~5CON" 3
        generation-5.conf: "GENERA~6CON" 3
        generation-6.conf: "GENERA~7CON" 3
        generation-7.conf: "GENERA~8CON" 3
        generation-8.conf: "GENERA~9CON" 3
        generation-9.conf: "GENER~10CON" 3
        generation-10.conf: "GENER~11CON" 3
        generation-11.conf: "GENER~12CON" 3
    "#]],
    );
}

#[test]
fn what_fat_cannot_have() {
    let long = "a".repeat(256);
    check(
        &["a:b", "a/b", "a\u{1}", "dot.", "space ", " space", "README", "readme", "", &long],
        &expect![[r#"
            "a:b": refused
            "a/b": refused
            "a\u{1}": refused
            "dot.": refused
            "space ": refused
            " space": refused
            README: "README     " 1
            "readme": refused
            "": refused
            "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa": refused
        "#]],
    );
}

#[test]
fn dates() {
    let shown = |seconds| {
        let (date, time) = date_and_time(seconds);
        let (year, month, day) = (1980 + (date >> 9), date >> 5 & 15, date & 31);
        format!("{year}-{month}-{day} {}:{}:{}", time >> 11, time >> 5 & 63, 2 * (time & 31))
    };
    assert_eq!(shown(0), "1980-1-1 0:0:0");
    assert_eq!(shown(951_782_399), "2000-2-28 23:59:58");
    assert_eq!(shown(951_782_400), "2000-2-29 0:0:0");
    assert_eq!(shown(1_700_000_000), "2023-11-14 22:13:20");
    assert_eq!(shown(u64::MAX), "2107-12-31 23:59:58");
}

#[test]
fn sizes_and_contents_that_do_not_fit() {
    let tree = made(&[("a", b"x")]);
    assert!(layout(&tree, &parameters(33 * MIB)).is_ok());
    for size in [0, 32 * MIB, 3 << 40] {
        assert_eq!(layout(&tree, &parameters(size)).err(), Some(FatError::Size { size }));
    }
    let large = made(&[("a", &vec![1; 40 << 20])]);
    assert!(matches!(layout(&large, &parameters(40 * MIB)), Err(FatError::NoSpace { .. })));
}

#[test]
fn links_are_refused() {
    for node in [Node::Symlink(b"a".to_vec()), Node::Fifo, Node::HardLink(path("a"))] {
        let mut tree = made(&[("a", b"x")]);
        tree.insert(path("b"), entry(0o644, node));
        assert!(matches!(layout(&tree, &parameters(64 * MIB)), Err(FatError::Node { .. })));
    }
    let mut tree = made(&[("b", b"x")]);
    tree.insert(path("B"), entry(0o644, Node::Directory));
    let refused = FatError::Name { path: path("b") };
    assert_eq!(layout(&tree, &parameters(64 * MIB)), Err(refused));
}

#[test]
fn the_same_tree_gives_the_same_file_system() {
    let tree = made(&[("a/b", b"x"), ("c", b"")]);
    assert_eq!(layout(&tree, &parameters(64 * MIB)), layout(&tree, &parameters(64 * MIB)));
}
