//! Writes tar archives and packages for tests, sound ones and others.

use std::collections::BTreeMap;
use std::io::Write as _;

use super::Sink;
use crate::tree::TreePath;

/// An entry of a tar archive as the test wants it, sound or not.
#[derive(Debug, Clone)]
pub(crate) struct TestEntry {
    /// The type byte of the header.
    pub(crate) kind: u8,
    pub(crate) name: Vec<u8>,
    pub(crate) link: Vec<u8>,
    pub(crate) mode: u16,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) mtime: u64,
    pub(crate) contents: Vec<u8>,
    pub(crate) xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
}

/// How names that do not fit a header are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    Gnu,
    Pax,
}

impl TestEntry {
    pub(crate) fn new(kind: u8, name: &str) -> Self {
        let (name, mode) = (name.as_bytes().to_vec(), if kind == b'5' { 0o755 } else { 0o644 });
        let (link, contents, xattrs) = (Vec::new(), Vec::new(), BTreeMap::new());
        Self { kind, name, link, mode, uid: 0, gid: 0, mtime: 7, contents, xattrs }
    }

    pub(crate) fn file(name: &str, contents: &str) -> Self {
        Self { contents: contents.as_bytes().to_vec(), ..Self::new(b'0', name) }
    }

    pub(crate) fn directory(name: &str) -> Self {
        Self::new(b'5', name)
    }

    pub(crate) fn symlink(name: &str, target: &str) -> Self {
        Self { link: target.as_bytes().to_vec(), mode: 0o777, ..Self::new(b'2', name) }
    }

    pub(crate) fn hard_link(name: &str, first: &str) -> Self {
        Self { link: first.as_bytes().to_vec(), ..Self::new(b'1', name) }
    }
}

/// A header block; `size` is the text or bytes of the field.
pub(crate) fn header(entry: &TestEntry, size: &[u8]) -> [u8; 512] {
    let mut block = [0; 512];
    let mut put = |at: usize, bytes: &[u8], most: usize| {
        let length = bytes.len().min(most);
        block[at..at + length].copy_from_slice(&bytes[..length]);
    };
    put(0, &entry.name, 100);
    put(100, format!("{:07o}", entry.mode).as_bytes(), 8);
    put(108, &id(entry.uid), 8);
    put(116, &id(entry.gid), 8);
    put(124, size, 12);
    put(136, format!("{:011o}", entry.mtime).as_bytes(), 12);
    put(148, b"        ", 8);
    put(156, &[entry.kind], 1);
    put(157, &entry.link, 100);
    put(257, b"ustar\x0000", 8);
    seal(&mut block);
    block
}

/// Octal, or base 256 when seven digits do not hold it.
fn id(id: u32) -> Vec<u8> {
    let octal = format!("{id:07o}").into_bytes();
    if octal.len() <= 7 { octal } else { [&[0x80, 0, 0, 0][..], &id.to_be_bytes()].concat() }
}

/// Puts the right checksum into a header.
pub(crate) fn seal(block: &mut [u8; 512]) {
    block[148..156].copy_from_slice(b"        ");
    let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}

/// `bytes` and zeros up to a whole block.
pub(crate) fn padded(bytes: &[u8]) -> Vec<u8> {
    let mut padded = bytes.to_vec();
    padded.resize(bytes.len().next_multiple_of(512), 0);
    padded
}

/// One entry: extension headers, header, contents.
pub(crate) fn tar_entry(entry: &TestEntry, style: Style) -> Vec<u8> {
    let mut records = Vec::new();
    let mut bytes = Vec::new();
    let mut long = |kind: u8, keyword: &[u8], value: &[u8]| {
        if value.len() <= 100 && !value.contains(&0) {
            return;
        }
        match style {
            Style::Pax => records.extend(pax_record(keyword, value)),
            Style::Gnu => {
                bytes.extend(extension(kind, &[value, b"\0"].concat()));
            }
        }
    };
    long(b'L', b"path", &entry.name);
    long(b'K', b"linkpath", &entry.link);
    for (name, value) in &entry.xattrs {
        records.extend(pax_record(&[b"SCHILY.xattr.", &name[..]].concat(), value));
    }
    if !records.is_empty() {
        bytes.extend(extension(b'x', &records));
    }
    let size = format!("{:011o}", entry.contents.len());
    bytes.extend(header(entry, size.as_bytes()));
    bytes.extend(padded(&entry.contents));
    bytes
}

/// A header about the next entry.
pub(crate) fn extension(kind: u8, contents: &[u8]) -> Vec<u8> {
    let entry = TestEntry { contents: contents.to_vec(), ..TestEntry::new(kind, "extension") };
    let size = format!("{:011o}", contents.len());
    [&header(&entry, size.as_bytes())[..], &padded(contents)].concat()
}

/// A record of a PAX header; its length counts its own digits.
pub(crate) fn pax_record(keyword: &[u8], value: &[u8]) -> Vec<u8> {
    let rest = keyword.len() + value.len() + 3;
    let length =
        (rest..rest + 20).find(|length| rest + length.to_string().len() == *length).unwrap();
    [length.to_string().as_bytes(), b" ", keyword, b"=", value, b"\n"].concat()
}

/// A whole archive with its end marker.
pub(crate) fn tar(entries: &[TestEntry], style: Style) -> Vec<u8> {
    let mut bytes: Vec<u8> = entries.iter().flat_map(|entry| tar_entry(entry, style)).collect();
    bytes.extend([0; 1024]);
    bytes
}

/// Compresses for the member's suffix.
pub(crate) fn compress(suffix: &str, bytes: &[u8]) -> Vec<u8> {
    match suffix {
        "" => bytes.to_vec(),
        ".gz" => {
            let level = flate2::Compression::fast();
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), level);
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        }
        ".xz" => {
            let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 0);
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        }
        ".zst" => zstd::encode_all(bytes, 1).unwrap(),
        other => panic!("no compression for {other}"),
    }
}

/// An `ar` archive of the members.
pub(crate) fn ar(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut bytes = b"!<arch>\n".to_vec();
    for (name, contents) in members {
        let size = contents.len();
        let header = format!("{name:<16}{:<12}{:<6}{:<6}{:<8}{size:<10}`\n", 0, 0, 0, "100644");
        bytes.extend_from_slice(header.as_bytes());
        bytes.extend_from_slice(contents);
        bytes.resize(bytes.len().next_multiple_of(2), b'\n');
    }
    bytes
}

/// The control archive that every sound package needs.
pub(crate) fn control_tar() -> Vec<u8> {
    let script = TestEntry { mode: 0o755, ..TestEntry::file("./postinst", "#!/bin/sh\n") };
    let control = TestEntry::file("./control", "Package: test\n");
    tar(&[TestEntry::directory("./"), control, script], Style::Gnu)
}

/// A package around an uncompressed data archive.
pub(crate) fn deb(data: &[u8], suffix: &str) -> Vec<u8> {
    let control = compress(suffix, &control_tar());
    let (control_name, data_name) = (format!("control.tar{suffix}"), format!("data.tar{suffix}"));
    let data = compress(suffix, data);
    ar(&[("debian-binary", b"2.0\n"), (&control_name, &control), (&data_name, &data)])
}

/// Writes down what it is given and checks that it could be made.
#[derive(Debug, Default)]
pub(crate) struct Recorder {
    pub(crate) lines: Vec<String>,
    made: BTreeMap<TreePath, u8>,
    open: Option<(String, u64, Vec<u8>)>,
}

impl Recorder {
    fn make(&mut self, path: &TreePath, kind: u8) {
        let parent = path.parent().expect("the root is there");
        assert!(parent.is_root() || self.made.get(&parent) == Some(&b'd'), "no parent of {path}");
        assert_eq!(self.made.insert(path.clone(), kind), None, "{path} comes twice");
        assert!(self.open.is_none(), "the file before {path} has no end");
    }
}

impl Sink for Recorder {
    type Error = std::convert::Infallible;

    fn control_file(&mut self, name: &TreePath, mode: u16) -> Result<(), Self::Error> {
        assert!(self.open.is_none() && name.parent() == Some(TreePath::root()));
        self.open = Some((format!("control {mode:04o} {name}"), u64::MAX, Vec::new()));
        Ok(())
    }

    fn directory(&mut self, path: &TreePath) -> Result<(), Self::Error> {
        self.make(path, b'd');
        self.lines.push(format!("d {path}"));
        Ok(())
    }

    fn file(&mut self, path: &TreePath, mode: u16, size: u64) -> Result<(), Self::Error> {
        self.make(path, b'f');
        self.open = Some((format!("f {mode:04o} {path}"), size, Vec::new()));
        Ok(())
    }

    fn contents(&mut self, bytes: &[u8]) -> Result<(), Self::Error> {
        self.open.as_mut().unwrap().2.extend_from_slice(bytes);
        Ok(())
    }

    fn end_of_file(&mut self) -> Result<(), Self::Error> {
        let (line, size, contents) = self.open.take().unwrap();
        assert!(size == u64::MAX || size == contents.len() as u64, "{line}");
        self.lines.push(format!("{line} {:?}", String::from_utf8_lossy(&contents)));
        Ok(())
    }

    fn symlink(&mut self, path: &TreePath, target: &[u8]) -> Result<(), Self::Error> {
        self.make(path, b'l');
        self.lines.push(format!("l {path} -> {}", String::from_utf8_lossy(target)));
        Ok(())
    }

    fn hard_link(&mut self, path: &TreePath, first: &TreePath) -> Result<(), Self::Error> {
        assert_eq!(self.made.get(first), Some(&b'f'), "{first} is not an earlier file");
        self.make(path, b'h');
        self.lines.push(format!("h {path} = {first}"));
        Ok(())
    }
}
