//! Recipes there and back, and what is no recipe.

use super::*;
use crate::tree::TreePath;

fn layout() -> Layout {
    let path = StorePath::from_base_name("00000000000000000000000000000000-it").unwrap();
    let file = StoreFile { size: 0, path, inner: TreePath::new("a b/%é").unwrap() };
    let segments = vec![
        Segment { offset: 0, data: Data::Bytes(b"end \nbytes\n".to_vec()) },
        Segment { offset: 4096, data: Data::File { file: file.clone(), start: 7, length: 100 } },
        Segment { offset: 4196, data: Data::File { file, start: 0, length: 1 } },
        Segment { offset: 8191, data: Data::Bytes(vec![0]) },
    ];
    Layout { size: 8192, segments }
}

fn written(layout: &Layout) -> Vec<u8> {
    let mut bytes = Vec::new();
    write(layout, &mut bytes).unwrap();
    bytes
}

#[test]
fn a_recipe_is_read_as_it_was_written() {
    assert_eq!(read(&mut &written(&layout())[..]).unwrap(), layout());
}

#[test]
fn a_recipe_that_is_cut_anywhere_is_refused() {
    let whole = written(&layout());
    for length in 0..whole.len() {
        assert!(read(&mut &whole[..length]).is_err(), "{length} of {} bytes", whole.len());
    }
}

#[test]
fn a_changed_recipe_is_refused() {
    let text = zstd::stream::decode_all(&written(&layout())[..]).unwrap();
    let end = text.windows(5).rposition(|five| five == b"\nend ").unwrap();
    for at in 0..end {
        let mut changed = text.clone();
        changed[at] ^= 1;
        let packed = zstd::stream::encode_all(&changed[..], 1).unwrap();
        assert!(read(&mut &packed[..]).is_err(), "byte {at}");
    }
}

#[test]
fn what_is_no_recipe_is_named() {
    #[track_caller]
    fn check(text: &str, expected: &str) {
        let packed = zstd::stream::encode_all(text.as_bytes(), 1).unwrap();
        let error = read(&mut &packed[..]).unwrap_err();
        assert_eq!(error.to_string(), expected);
    }
    let base = "00000000000000000000000000000000-it";
    let overlap = "overlaps another or leaves the disk";
    check("x\n", "line 1 of the disk's recipe: expected `nexus-disk 1` and the size of the disk");
    check("nexus-disk 1 5", "line 1 of the disk's recipe: it is cut off");
    check(
        "nexus-disk 1 9\nbytes 0\n",
        "line 2 of the disk's recipe: expected `bytes`, `file` or `end`",
    );
    check(
        "nexus-disk 1 9\nbytes 5 5\nabcde",
        &format!("line 2 of the disk's recipe: this piece {overlap}"),
    );
    let large = u64::MAX;
    check(
        &format!("nexus-disk 1 9\nfile {large} 0 5 {base} a\n"),
        &format!("line 2 of the disk's recipe: this piece {overlap}"),
    );
    check(
        &format!("nexus-disk 1 9\nfile 0 {large} 5 {base} a\n"),
        "line 2 of the disk's recipe: expected `bytes`, `file` or `end`",
    );
    check(
        &format!("nexus-disk 1 9\nfile 0 0 5 {base} ../a\n"),
        "line 2 of the disk's recipe: expected `bytes`, `file` or `end`",
    );
    check(
        &format!("nexus-disk 1 {large}\nbytes 0 {large}\n"),
        "line 2 of the disk's recipe: the recipe brings more than it may",
    );
    check(
        "nexus-disk 1 9\nend 00\n",
        "the recipe of the disk has arrived with other contents than announced",
    );
}
