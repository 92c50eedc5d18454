//! Tests of what lands on the disk, and of what does not when something is wrong.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use expect_test::expect;

use super::{ImageFileError, store_tree, write};
use crate::exec::files::{FileError, write_atomic};
use crate::exec::interrupt::Interrupt;
use crate::exec::progress::Silent;
use crate::image::segment::{Data, Layout, Segment};
use crate::store::StorePath;
use crate::tree::{Node, StoreFile, TreePath};

const MIB: u64 = 1 << 20;

/// A directory with a store in it.
struct Place {
    directory: tempfile::TempDir,
    path: StorePath,
}

impl Place {
    fn new() -> Self {
        let path = StorePath::from_base_name("00000000000000000000000000000000-x").unwrap();
        let place = Self { directory: tempfile::tempdir().unwrap(), path };
        fs::create_dir_all(place.real("data")).unwrap();
        place
    }

    fn store(&self) -> &Path {
        self.directory.path()
    }

    fn real(&self, inner: &str) -> PathBuf {
        self.store().join(self.path.as_str()).join(inner)
    }

    fn target(&self) -> PathBuf {
        self.store().join("disk.raw")
    }

    /// A file in the store, all of the same letter.
    fn file(&self, inner: &str, letter: u8, size: u64) -> StoreFile {
        let bytes = vec![letter; usize::try_from(size).unwrap()];
        write_atomic(&self.real(inner), &bytes).unwrap();
        let inner = TreePath::new(inner).unwrap();
        StoreFile { size, path: self.path.clone(), inner }
    }

    fn write(&self, layout: &Layout, interrupt: &Interrupt) -> Result<(), ImageFileError> {
        write((&self.target(), 0o644), layout, self.store(), interrupt, &Silent)
    }

    /// Names beside the store path.
    fn names(&self) -> Vec<String> {
        let listed = fs::read_dir(self.store()).unwrap();
        let mut names: Vec<String> =
            listed.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

fn bytes(offset: u64, bytes: &[u8]) -> Segment {
    Segment { offset, data: Data::Bytes(bytes.to_vec()) }
}

fn piece(offset: u64, file: &StoreFile, start: u64, length: u64) -> Segment {
    Segment { offset, data: Data::File { file: file.clone(), start, length } }
}

#[test]
fn every_segment_lands_in_its_place_and_holes_take_none() {
    let place = Place::new();
    let small = place.file("data/small", b's', 5000);
    let large = place.file("data/large", b'l', 20 * MIB + 3);
    let segments = vec![
        bytes(10, b"ten"),
        piece(4096, &small, 1000, 4000),
        piece(MIB, &large, 0, 20 * MIB),
        piece(600 * MIB, &large, 20 * MIB, 3),
    ];
    place.write(&Layout { size: 1000 * MIB, segments }, &Interrupt::default()).unwrap();
    let metadata = fs::metadata(place.target()).unwrap();
    assert_eq!((metadata.len(), metadata.permissions().mode() & 0o777), (1000 * MIB, 0o644));
    assert!(metadata.blocks() * 512 < 22 * MIB, "{} blocks", metadata.blocks());
    let image = fs::read(place.target()).unwrap();
    let mut expected = vec![0; 1000 << 20];
    expected[10..13].copy_from_slice(b"ten");
    expected[4096..8096].fill(b's');
    expected[1 << 20..21 << 20].fill(b'l');
    expected[600 << 20..(600 << 20) + 3].fill(b'l');
    assert!(image == expected, "other bytes than asked for");
}

#[test]
fn an_old_image_stays_when_the_new_one_fails() {
    let place = Place::new();
    write_atomic(&place.target(), b"old").unwrap();
    let mut file = place.file("data/a", b'a', 10);
    file.size = 11;
    let layout = Layout { size: MIB, segments: vec![piece(0, &file, 0, 11)] };
    let error = place.write(&layout, &Interrupt::default()).unwrap_err();
    assert!(matches!(error, ImageFileError::Changed { found: 10, expected: 11, .. }), "{error}");
    fs::remove_file(place.real("data/a")).unwrap();
    let error = place.write(&layout, &Interrupt::default()).unwrap_err();
    assert!(error.to_string().ends_with("-x/data/a"), "{error}");
    assert_eq!(fs::read(place.target()).unwrap(), b"old");
    assert_eq!(place.names(), [place.path.as_str(), "disk.raw"]);
}

#[test]
fn an_interrupt_leaves_nothing() {
    let place = Place::new();
    let interrupt = Interrupt::default();
    interrupt.set();
    let layout = Layout { size: MIB, segments: vec![bytes(0, b"a")] };
    let error = place.write(&layout, &interrupt).unwrap_err();
    assert!(matches!(error, ImageFileError::Interrupted(_)), "{error}");
    assert_eq!(place.names(), [place.path.as_str()]);
}

#[test]
fn a_disk_that_cannot_hold_the_image_is_named() {
    let place = Place::new();
    // Larger than any file may be; /dev/full is no directory to make a temporary file in.
    let layout = Layout { size: i64::MAX as u64, segments: Vec::new() };
    let error = place.write(&layout, &Interrupt::default()).unwrap_err();
    let ImageFileError::File(FileError { action, path, .. }) = &error else { panic!("{error}") };
    assert_eq!((*action, path), ("write", &place.target()));
    assert_eq!(place.names(), [place.path.as_str()]);
}

#[test]
fn a_store_path_becomes_a_tree_with_nix_s_modes() {
    let place = Place::new();
    place.file("data/plain", b'p', 3);
    place.file("data/program", b'q', 4);
    fs::set_permissions(place.real("data/program"), fs::Permissions::from_mode(0o4711)).unwrap();
    symlink("program", place.real("data/link")).unwrap();
    let tree = store_tree(place.store(), std::slice::from_ref(&place.path)).unwrap();
    let shown: Vec<String> = tree
        .iter()
        .map(|(path, entry)| {
            let node = match &entry.node {
                Node::File(file) => format!("{} bytes of {}", file.size, file.inner),
                other => format!("{other:?}"),
            };
            format!("{:o} {} {path}: {node}", entry.mode, entry.mtime)
        })
        .collect();
    expect![[r#"
        555 1 nix/store/00000000000000000000000000000000-x: Directory
        555 1 nix/store/00000000000000000000000000000000-x/data: Directory
        777 1 nix/store/00000000000000000000000000000000-x/data/link: Symlink([112, 114, 111, 103, 114, 97, 109])
        444 1 nix/store/00000000000000000000000000000000-x/data/plain: 3 bytes of data/plain
        555 1 nix/store/00000000000000000000000000000000-x/data/program: 4 bytes of data/program"#]].assert_eq(&shown.join("\n"));
}

#[test]
fn a_store_path_that_is_a_file_or_holds_a_socket() {
    let place = Place::new();
    let file = StorePath::from_base_name("11111111111111111111111111111111-file").unwrap();
    write_atomic(&place.store().join(file.as_str()), b"x").unwrap();
    let tree = store_tree(place.store(), &[file]).unwrap();
    assert_eq!(tree.len(), 1);
    let _socket = std::os::unix::net::UnixListener::bind(place.real("data/socket")).unwrap();
    let error = store_tree(place.store(), std::slice::from_ref(&place.path)).unwrap_err();
    assert!(matches!(error, ImageFileError::Kind { .. }), "{error}");
}
