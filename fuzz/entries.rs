//! What is fuzzed: each function reads bytes that may be anything and checks what must then hold.
//!
//! Used by the fuzz targets and by `tests/it/mutations.rs`, which runs them on every `cargo test`.
#![allow(dead_code, reason = "each user takes the functions that it needs")]

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io::{self, Read as _};

use nexus_host::debian::deb::{Limits, Sink, read_deb};
use nexus_host::sops::{DataKey, Document, Format};
use nexus_host::store::nar;
use nexus_host::tree::shape::complete_parents;
use nexus_host::tree::{Manifest, Node, TreePath};

/// Little enough that no input takes long.
const BYTES_MAX: u64 = 8 << 20;
/// The data key of the seeds of `sops`.
const SOPS_KEY: [u8; 32] = [7; 32];

/// Reads `bytes` as a package: what the sink gets can be made inside one directory, and the manifest
/// says the same.
pub(crate) fn deb(bytes: &[u8]) {
    let limits = Limits {
        data_bytes: BYTES_MAX,
        control_bytes: BYTES_MAX,
        entries: 10_000,
        names_bytes: 1 << 20,
        memory_bytes: 16 << 20,
        ..Limits::default()
    };
    let mut sink = Checker::default();
    let Ok(manifest) = read_deb(bytes, &limits, &mut sink) else { return };
    assert!(sink.open.is_none(), "a file has no end");
    for (path, entry) in manifest.entries.iter().filter(|(path, _)| !path.is_root()) {
        let expected = match &entry.node {
            Node::Directory => Some(Made::Directory),
            Node::Symlink(_) => Some(Made::Symlink),
            Node::File(_) | Node::HardLink(_) => Some(Made::File),
            Node::Fifo => None,
        };
        assert_eq!(sink.made.remove(path), expected, "{path}");
    }
    assert!(sink.made.is_empty(), "{:?} are not in the manifest", sink.made);
    let text = manifest.to_text();
    assert_eq!(Manifest::parse(text.as_bytes()).as_ref(), Ok(&manifest));
}

/// Reads `bytes` as a manifest: an accepted text is the only one of its manifest.
pub(crate) fn manifest(bytes: &[u8]) {
    let Ok(mut manifest) = Manifest::parse(bytes) else { return };
    assert_eq!(manifest.to_text().as_bytes(), bytes);
    complete_parents(&mut manifest.entries).expect("the reader refuses entries below files");
    let text = manifest.to_text();
    assert_eq!(Manifest::parse(text.as_bytes()).as_ref(), Ok(&manifest));
}

/// Reads `bytes` as a NAR: paths stay inside, parents come first.
pub(crate) fn nar(bytes: &[u8]) {
    let limits = nar::Limits { contents_bytes: BYTES_MAX, entries: 10_000 };
    let mut made = BTreeMap::new();
    let mut is_cut = false;
    let mut visit = |event: nar::Event<'_>| {
        let (path, kind) = match event {
            nar::Event::DirectoryEnd { path } => {
                let path = TreePath::new(path).expect("an end has a sound path");
                assert_eq!(
                    made.get(&path),
                    Some(&Made::Directory),
                    "{path} ends without a beginning"
                );
                return Ok(());
            }
            nar::Event::Directory { path } => (path, Made::Directory),
            nar::Event::Symlink { path, target } => {
                assert!(!target.is_empty() && !target.contains(&0));
                (path, Made::Symlink)
            }
            nar::Event::File { path, size, contents, .. } => {
                let read = io::copy(&mut contents.take(BYTES_MAX + 1), &mut io::sink())?;
                assert!(read <= size);
                is_cut |= read < size;
                (path, Made::File)
            }
        };
        let path = TreePath::new(path).expect("the reader gives sound paths");
        let parent = path.parent().map(|parent| made.get(&parent));
        assert!(
            parent.is_none_or(|parent| parent == Some(&Made::Directory)),
            "no parent of {path}"
        );
        assert_eq!(made.insert(path.clone(), kind), None, "{path} comes twice");
        Ok(())
    };
    let result = nar::read(&mut &bytes[..], &limits, &mut visit);
    assert!(result.is_err() || !is_cut, "a file was cut off");
}

/// Reads `bytes` as a SOPS document in every format, encrypted and plain: what is accepted reads back as
/// itself, and what opens can be sealed and opened again.
pub(crate) fn sops(bytes: &[u8]) {
    let key = DataKey::new(SOPS_KEY);
    for format in [Format::Yaml, Format::Json, Format::Dotenv, Format::Binary] {
        if let Ok(items) = format.parse_plain(bytes)
            && let Ok(text) = format.write_plain(&items)
        {
            let again = format.parse_plain(&text).expect("what was written can be read");
            assert_eq!(format.write_plain(&again).as_ref(), Ok(&text), "{format:?}");
        }
        let Ok(document) = Document::parse(format, bytes) else { continue };
        if let Ok(text) = document.to_bytes() {
            let again = Document::parse(format, &text).expect("what was written can be read");
            assert_eq!(again.to_bytes().as_ref(), Ok(&text), "{format:?}");
        }
        let Ok(opened) = document.open(&key) else { continue };
        let plain = format.write_plain(&opened.items);
        let metadata = document.metadata.clone();
        let mut random = |buffer: &mut [u8]| buffer.fill(1);
        let now = ("2026-11-21T12:00:00Z", &mut random as _);
        if let Ok(sealed) = Document::seal(format, opened, metadata, &key, now) {
            let again = sealed.open(&key).expect("what was sealed can be opened");
            assert_eq!(format.write_plain(&again.items), plain, "{format:?}");
        }
    }
}

/// What was made at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Made {
    Directory,
    File,
    Symlink,
}

/// How many more bytes a file gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expected {
    Any,
    Bytes(u64),
}

/// Remembers what it was told to make and checks that it could be.
#[derive(Debug, Default)]
struct Checker {
    made: BTreeMap<TreePath, Made>,
    /// The file whose contents come, with what is to come.
    open: Option<Expected>,
}

impl Checker {
    fn make(&mut self, path: &TreePath, made: Made) {
        let parent = path.parent().expect("the root is there");
        let above = self.made.get(&parent);
        assert!(parent.is_root() || above == Some(&Made::Directory), "no parent of {path}");
        assert_eq!(self.made.insert(path.clone(), made), None, "{path} comes twice");
        assert!(self.open.is_none(), "the file before {path} has no end");
    }
}

impl Sink for Checker {
    type Error = Infallible;

    fn control_file(&mut self, name: &TreePath, _: u16) -> Result<(), Infallible> {
        assert!(self.open.is_none() && name.parent() == Some(TreePath::root()));
        self.open = Some(Expected::Any);
        Ok(())
    }

    fn directory(&mut self, path: &TreePath) -> Result<(), Infallible> {
        self.make(path, Made::Directory);
        Ok(())
    }

    fn file(&mut self, path: &TreePath, mode: u16, size: u64) -> Result<(), Infallible> {
        assert!(mode <= 0o7777 && size <= BYTES_MAX);
        self.make(path, Made::File);
        self.open = Some(Expected::Bytes(size));
        Ok(())
    }

    fn contents(&mut self, bytes: &[u8]) -> Result<(), Infallible> {
        let left = self.open.as_mut().expect("contents follow a file");
        if let Expected::Bytes(left) = left {
            *left = left.checked_sub(bytes.len() as u64).expect("no more than promised");
        }
        Ok(())
    }

    fn end_of_file(&mut self) -> Result<(), Infallible> {
        let left = self.open.take().expect("an end follows a file");
        assert!(matches!(left, Expected::Any | Expected::Bytes(0)), "less than promised");
        Ok(())
    }

    fn symlink(&mut self, path: &TreePath, target: &[u8]) -> Result<(), Infallible> {
        assert!(!target.is_empty() && !target.contains(&0));
        self.make(path, Made::Symlink);
        Ok(())
    }

    fn hard_link(&mut self, path: &TreePath, first: &TreePath) -> Result<(), Infallible> {
        assert_eq!(self.made.get(first), Some(&Made::File), "{first} is not an earlier file");
        self.make(path, Made::File);
        Ok(())
    }
}
