//! Tests of layouts.

use super::super::sample::contents;
use super::{Data, Layout, Segment, Source};

fn bytes(offset: u64, bytes: &[u8]) -> Segment {
    Segment { offset, data: Data::Bytes(bytes.to_vec()) }
}

#[test]
fn segments_are_sorted_and_empty_ones_dropped() {
    let layout = Layout::new(10, vec![bytes(5, b"b"), bytes(7, b""), bytes(0, b"aa")]);
    assert_eq!(layout.segments, [bytes(0, b"aa"), bytes(5, b"b")]);
    assert_eq!(layout.data_bytes(), 3);
    let shifted: Vec<Segment> = layout.shifted(100).collect();
    assert_eq!(shifted, [bytes(100, b"aa"), bytes(105, b"b")]);
}

#[test]
fn segments_that_do_not_fit_are_our_bug() {
    let refused = |size, segments: Vec<Segment>| {
        std::panic::catch_unwind(|| Layout::new(size, segments)).is_err()
    };
    assert!(refused(10, vec![bytes(0, b"aa"), bytes(1, b"b")]), "overlapping");
    assert!(refused(10, vec![bytes(9, b"aa")]), "behind the end");
    assert!(!refused(10, vec![bytes(8, b"aa")]));
}

#[test]
fn pieces_of_a_source() {
    assert_eq!(Source::Bytes(b"abcdef".to_vec()).piece(2, 3), Data::Bytes(b"cde".to_vec()));
    let file = contents(6, "x");
    let piece = Source::Store(file.clone()).piece(2, 3);
    assert_eq!(piece, Data::File { file, start: 2, length: 3 });
    assert_eq!(piece.length(), 3);
}
