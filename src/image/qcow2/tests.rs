//! Tests of the qcow2 writer: a reader follows the tables back to the disk.

use super::super::segment::{Data, Layout, Segment};
use super::{CLUSTER, wrap};

fn flat(layout: &Layout) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(layout.size).unwrap()];
    for segment in &layout.segments {
        let Data::Bytes(data) = &segment.data else { panic!("only bytes here") };
        let at = usize::try_from(segment.offset).unwrap();
        bytes[at..at + data.len()].copy_from_slice(data);
    }
    bytes
}

fn number(bytes: &[u8], at: u64) -> u64 {
    let at = usize::try_from(at).unwrap();
    u64::from_be_bytes(bytes[at..at + 8].try_into().unwrap())
}

/// The disk that a reader of `file` sees; counts of references are compared with what was met.
fn read(file: &[u8]) -> Vec<u8> {
    assert_eq!(&file[..8], b"QFI\xfb\0\0\0\x03");
    let size = number(file, 24);
    let l1 = number(file, 40);
    let place = |entry: u64| entry & 0x00ff_ffff_ffff_fe00;
    let mut disk = Vec::new();
    for cluster in 0..size.div_ceil(CLUSTER) {
        let l2 = place(number(file, l1 + 8 * (cluster / 8192)));
        let data = if l2 == 0 { 0 } else { place(number(file, l2 + 8 * (cluster % 8192))) };
        match usize::try_from(data).unwrap() {
            0 => disk.resize(disk.len() + 65536, 0),
            at => disk.extend_from_slice(&file[at..at + 65536]),
        }
    }
    disk.truncate(usize::try_from(size).unwrap());
    let block = number(file, number(file, 48));
    for cluster in 0..file.len() as u64 / CLUSTER {
        let at = usize::try_from(block + 2 * cluster).unwrap();
        assert_eq!(file[at..at + 2], [0, 1], "cluster {cluster} has one user");
    }
    disk
}

#[track_caller]
fn check(size: u64, pieces: &[(u64, usize)]) {
    let segment = |&(offset, length): &(u64, usize)| Segment {
        offset,
        data: Data::Bytes((0..length).map(|index| index.to_le_bytes()[0] | 1).collect()),
    };
    let disk = Layout::new(size, pieces.iter().map(segment).collect());
    let file = wrap(&disk);
    assert_eq!(file.size % CLUSTER, 0);
    assert!(read(&flat(&file)) == flat(&disk), "another disk than was written");
}

#[test]
fn a_reader_finds_what_was_written() {
    check(1 << 20, &[]);
    check(1 << 20, &[(0, 10)]);
    check(1 << 20, &[(100, 10), (200, 10), (65536, 3)]);
    check(1 << 20, &[(60000, 200_000), (300_000, 1)]);
    check((1 << 20) + 512, &[((1 << 20) + 500, 12)]);
}

#[test]
fn holes_take_no_place() {
    let tail = Segment { offset: (40 << 30) - 512, data: Data::Bytes(vec![1; 512]) };
    let file = wrap(&Layout::new(40 << 30, vec![tail]));
    assert!(file.size <= 6 * CLUSTER, "{} bytes", file.size);
}
