//! The text form of a [`Manifest`], for people to read and for digests to cover.
//!
//! ASCII, one line an entry, fields separated by one space, each line ended by a newline:
//!
//! ```text
//! nexus-manifest 1
//! - etc/gone                                   removed from what lies below; before all else
//! d 0755 0 0 1700000000 .                      directory: mode uid gid mtime path; `.` is the root
//! f 0755 0 0 1700000000 1234 usr/bin/ping      file: … size path
//! x security.capability 0100000200200000       attribute of the entry above: name value-in-hex
//! l 0777 0 0 1700000000 ../lib/x usr/bin/x     symbolic link: … target path
//! h usr/bin/perl usr/bin/perl5.40.1            hard link: the file's first name, this name
//! p 0600 0 0 1700000000 run/initctl            named pipe
//! ```
//!
//! Every byte of a path, target or attribute name outside `!` to `~`, and `%` itself, is written as
//! `%XX` with upper-case digits; an empty attribute value is `-`. Removals, entries and an entry's
//! attributes are each in strict byte order. A manifest has exactly one text and the reader takes no
//! other: what it accepts, [`Manifest::to_text`] gives back byte for byte.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use thiserror::Error;

use super::path::PATH_BYTES_MAX;
use super::{Entry, FileBeside, Manifest, Node, TreePath};

/// The first line; the number changes with the format.
const FIRST_LINE: &[u8] = b"nexus-manifest 1";
/// Most bytes of an attribute's name in Linux (`XATTR_NAME_MAX`, `linux/limits.h`).
pub const XATTR_NAME_BYTES_MAX: usize = 255;
/// Most bytes of an attribute's value in Linux (`XATTR_SIZE_MAX`, `linux/limits.h`).
pub const XATTR_VALUE_BYTES_MAX: usize = 65536;

/// A text that is not a manifest.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("line {line} of the manifest: {fault}")]
pub struct ManifestError {
    /// The first line is 1.
    pub line: usize,
    /// What is wrong with it.
    pub fault: ManifestFault,
}

/// What can be wrong with a line of a manifest.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ManifestFault {
    /// Another file, or a later version of the format.
    #[error("expected `nexus-manifest 1`")]
    FirstLine,
    /// The text was cut off.
    #[error("the line has no end")]
    Cut,
    /// The line begins with none of the known letters.
    #[error("`{0}` is not a kind of entry")]
    Kind(String),
    /// Too few or too many fields.
    #[error("expected {0} fields")]
    Fields(usize),
    /// A field has a value it cannot have, or is not written in the one way it can be.
    #[error("`{found}` is not {expected}")]
    Field {
        /// What belongs there, with its article.
        expected: &'static str,
        /// The text found, made printable and cut to 80 characters.
        found: String,
    },
    /// Not in order, or twice.
    #[error("`{0}` does not sort after the line before it")]
    Order(String),
    /// A removal that follows an entry.
    #[error("a removal stands below an entry")]
    LateRemoval,
    /// An attribute that follows neither an entry nor another attribute of one.
    #[error("an attribute without an entry that can have it")]
    AttributeAlone,
    /// The root removed, or made something else than a directory.
    #[error("the root is a directory and stays")]
    Root,
    /// An entry below something that is not a directory.
    #[error("`{path}` lies below `{parent}`, which is not a directory")]
    Below {
        /// The entry.
        path: TreePath,
        /// What stands above it.
        parent: TreePath,
    },
    /// A hard link whose first name is not a file of this manifest.
    #[error("`{0}`, the first name of a hard link, is not a file of the manifest")]
    FirstName(TreePath),
}

type Fault = ManifestFault;
type Line = (usize, TreePath, Entry<FileBeside>);

impl Manifest {
    /// The text, as the module draws it.
    ///
    /// [`Manifest::parse`] gives back an equal manifest when this one is sound: nothing lies below a
    /// non-directory, and each hard link's first name is a file, whose mode, owner and time the link
    /// repeats (but not its extended attributes).
    pub fn to_text(&self) -> String {
        let mut text = String::with_capacity(64 * (self.entries.len() + self.removed.len() + 1));
        text.push_str("nexus-manifest 1\n");
        for path in &self.removed {
            text.push_str("- ");
            push_path(&mut text, path);
            text.push('\n');
        }
        for (path, entry) in &self.entries {
            push_entry(&mut text, path, entry);
        }
        text
    }

    /// Reads the text form; takes memory in proportion to `text` and never panics.
    ///
    /// # Errors
    ///
    /// The first line that the format does not allow.
    pub fn parse(text: &[u8]) -> Result<Self, ManifestError> {
        let mut reader = Reader::default();
        let mut count = 0;
        for (index, line) in text.split_inclusive(|&c| c == b'\n').enumerate() {
            count = index + 1;
            let result = match line.strip_suffix(b"\n") {
                None => Err(Fault::Cut),
                Some(FIRST_LINE) if index == 0 => Ok(()),
                Some(_) if index == 0 => Err(Fault::FirstLine),
                Some(line) => reader.line(count, line),
            };
            result.map_err(|fault| ManifestError { line: count, fault })?;
        }
        if count == 0 {
            return Err(ManifestError { line: 1, fault: Fault::FirstLine });
        }
        reader.finish()
    }
}

/// What has been read so far.
#[derive(Default)]
struct Reader {
    removed: Vec<TreePath>,
    lines: Vec<Line>,
}

impl Reader {
    fn line(&mut self, number: usize, line: &[u8]) -> Result<(), Fault> {
        let kind = line.split(|&c| c == b' ').next().unwrap_or_default();
        match kind {
            b"-" => self.removal(&fields::<2>(line)?),
            b"x" => self.attribute(&fields::<3>(line)?),
            b"d" => {
                let [_, mode, uid, gid, mtime, path] = fields::<6>(line)?;
                let entry = attributes([mode, uid, gid, mtime], Node::Directory)?;
                self.entry(number, read_path(path)?, entry)
            }
            b"p" => {
                let [_, mode, uid, gid, mtime, path] = fields::<6>(line)?;
                let entry = attributes([mode, uid, gid, mtime], Node::Fifo)?;
                self.entry(number, read_path(path)?, entry)
            }
            b"f" => {
                let [_, mode, uid, gid, mtime, size, path] = fields::<7>(line)?;
                let size = decimal(size).ok_or_else(|| bad("a size in bytes", size))?;
                let node = Node::File(FileBeside { size });
                let entry = attributes([mode, uid, gid, mtime], node)?;
                self.entry(number, read_path(path)?, entry)
            }
            b"l" => {
                let [_, mode, uid, gid, mtime, target, path] = fields::<7>(line)?;
                let node = Node::Symlink(read_target(target)?);
                let entry = attributes([mode, uid, gid, mtime], node)?;
                self.entry(number, read_path(path)?, entry)
            }
            b"h" => {
                let [_, first, path] = fields::<3>(line)?;
                let node = Node::HardLink(read_path(first)?);
                let unknown = BTreeMap::new();
                let entry = Entry { mode: 0, uid: 0, gid: 0, mtime: 0, xattrs: unknown, node };
                self.entry(number, read_path(path)?, entry)
            }
            other => Err(Fault::Kind(shown(other))),
        }
    }

    fn removal(&mut self, [_, path]: &[&[u8]; 2]) -> Result<(), Fault> {
        if !self.lines.is_empty() {
            return Err(Fault::LateRemoval);
        }
        let path = read_path(path)?;
        if path.is_root() {
            return Err(Fault::Root);
        }
        if self.removed.last().is_some_and(|last| *last >= path) {
            return Err(Fault::Order(path.to_string()));
        }
        self.removed.push(path);
        Ok(())
    }

    fn attribute(&mut self, [_, name, value]: &[&[u8]; 3]) -> Result<(), Fault> {
        let (_, _, entry) = self.lines.last_mut().ok_or(Fault::AttributeAlone)?;
        if matches!(entry.node, Node::HardLink(_)) {
            return Err(Fault::AttributeAlone);
        }
        let name = unescape(name)
            .filter(|name| name.len() <= XATTR_NAME_BYTES_MAX && !name.contains(&0))
            .ok_or_else(|| bad("an attribute's name", name))?
            .into_owned();
        if entry.xattrs.last_key_value().is_some_and(|(last, _)| *last >= name) {
            return Err(Fault::Order(shown(&name)));
        }
        let value = hex(value).ok_or_else(|| bad("a value in hexadecimal digits", value))?;
        entry.xattrs.insert(name, value);
        Ok(())
    }

    fn entry(
        &mut self,
        number: usize,
        path: TreePath,
        entry: Entry<FileBeside>,
    ) -> Result<(), Fault> {
        if self.lines.last().is_some_and(|(_, last, _)| *last >= path) {
            return Err(Fault::Order(path.to_string()));
        }
        if path.is_root() && entry.node != Node::Directory {
            return Err(Fault::Root);
        }
        self.check_above(&path)?;
        self.lines.push((number, path, entry));
        Ok(())
    }

    /// Whatever stands nearest above `path` must be a directory; it has been checked itself.
    fn check_above(&self, path: &TreePath) -> Result<(), Fault> {
        // Most often the line before is a sibling, whose way up is known to be good.
        let last = self.lines.last().map(|(_, last, _)| last.parent_bytes());
        if last == Some(path.parent_bytes()) {
            return Ok(());
        }
        let mut above = path.parent_bytes();
        while let Some(parent) = above {
            let found = self.lines.binary_search_by(|(_, path, _)| path.as_bytes().cmp(parent));
            if let Ok(index) = found {
                let (_, parent, entry) = &self.lines[index];
                return match entry.node {
                    Node::Directory => Ok(()),
                    _ => Err(Fault::Below { path: path.clone(), parent: parent.clone() }),
                };
            }
            above = super::path::parent_of(parent);
        }
        Ok(())
    }

    /// Gives hard links the attributes of their file, and builds the maps.
    fn finish(mut self) -> Result<Manifest, ManifestError> {
        for index in 0..self.lines.len() {
            let (line, _, entry) = &self.lines[index];
            let Node::HardLink(first) = &entry.node else { continue };
            let found = self.lines.binary_search_by(|(_, path, _)| path.cmp(first)).ok();
            let file = found.map(|found| &self.lines[found].2);
            let Some(file) = file.filter(|entry| matches!(entry.node, Node::File(_))) else {
                let fault = Fault::FirstName(first.clone());
                return Err(ManifestError { line: *line, fault });
            };
            let (mode, uid, gid, mtime) = (file.mode, file.uid, file.gid, file.mtime);
            let node = Node::HardLink(first.clone());
            self.lines[index].2 = Entry { mode, uid, gid, mtime, xattrs: BTreeMap::new(), node };
        }
        let entries = self.lines.into_iter().map(|(_, path, entry)| (path, entry)).collect();
        let removed: BTreeSet<TreePath> = self.removed.into_iter().collect();
        Ok(Manifest { entries, removed })
    }
}

fn fields<const N: usize>(line: &[u8]) -> Result<[&[u8]; N], Fault> {
    let mut parts = line.split(|&c| c == b' ');
    let mut fields = [&line[..0]; N];
    for field in &mut fields {
        *field = parts.next().ok_or(Fault::Fields(N))?;
    }
    if parts.next().is_some() { Err(Fault::Fields(N)) } else { Ok(fields) }
}

fn attributes(
    [mode, uid, gid, mtime]: [&[u8]; 4],
    node: Node<FileBeside>,
) -> Result<Entry<FileBeside>, Fault> {
    let number = |text| decimal(text).and_then(|number| u32::try_from(number).ok());
    Ok(Entry {
        mode: octal_mode(mode).ok_or_else(|| bad("a mode of four octal digits", mode))?,
        uid: number(uid).ok_or_else(|| bad("a user number", uid))?,
        gid: number(gid).ok_or_else(|| bad("a group number", gid))?,
        mtime: decimal(mtime).ok_or_else(|| bad("a time in seconds", mtime))?,
        xattrs: BTreeMap::new(),
        node,
    })
}

fn octal_mode(text: &[u8]) -> Option<u16> {
    let digit = |mode: u16, &c: &u8| {
        Some(mode << 3 | u16::from(c.wrapping_sub(b'0'))).filter(|_| (b'0'..=b'7').contains(&c))
    };
    if text.len() == 4 { text.iter().try_fold(0, digit) } else { None }
}

/// A number without leading zeros.
fn decimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() || (text[0] == b'0' && text.len() > 1) {
        return None;
    }
    text.iter().try_fold(0_u64, |number, &c| {
        let digit = char::from(c).to_digit(10)?;
        number.checked_mul(10)?.checked_add(u64::from(digit))
    })
}

fn hex(text: &[u8]) -> Option<Vec<u8>> {
    if text == b"-" {
        return Some(Vec::new());
    }
    if text.is_empty() || text.len() > 2 * XATTR_VALUE_BYTES_MAX || !text.len().is_multiple_of(2) {
        return None;
    }
    let digit = |c: u8| match c {
        b'0'..=b'9' => Some(c - b'0'),
        b'a'..=b'f' => Some(c - b'a' + 10),
        _ => None,
    };
    text.chunks_exact(2).map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?)).collect()
}

/// A path as manifests write it: escaped, `.` for the root.
pub fn path_to_text(path: &TreePath) -> String {
    let mut text = String::new();
    push_path(&mut text, path);
    text
}

/// Undoes [`path_to_text`]; `None` when it is not such a text.
pub fn path_from_text(text: &[u8]) -> Option<TreePath> {
    read_path(text).ok()
}

/// The target of a symbolic link as in a manifest.
pub fn target_to_text(target: &[u8]) -> String {
    let mut text = String::new();
    push_escaped(&mut text, target);
    text
}

/// Reads [`target_to_text`]; `None` for what Linux would not take.
pub fn target_from_text(text: &[u8]) -> Option<Vec<u8>> {
    read_target(text).ok()
}

fn read_path(text: &[u8]) -> Result<TreePath, Fault> {
    if text == b"." {
        return Ok(TreePath::root());
    }
    unescape(text).and_then(|path| TreePath::new(path).ok()).ok_or_else(|| bad("a path", text))
}

fn read_target(text: &[u8]) -> Result<Vec<u8>, Fault> {
    unescape(text)
        .filter(|target| target.len() <= PATH_BYTES_MAX && !target.contains(&0))
        .map(Cow::into_owned)
        .ok_or_else(|| bad("the target of a link", text))
}

fn is_plain(c: u8) -> bool {
    c.is_ascii_graphic() && c != b'%'
}

/// Undoes [`push_escaped`]; `None` for the empty text and for what it would have written otherwise.
fn unescape(text: &[u8]) -> Option<Cow<'_, [u8]>> {
    if text.is_empty() {
        return None;
    }
    if text.iter().all(|&c| is_plain(c)) {
        return Some(Cow::Borrowed(text));
    }
    let digit = |c: u8| match c {
        b'0'..=b'9' => Some(c - b'0'),
        b'A'..=b'F' => Some(c - b'A' + 10),
        _ => None,
    };
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [first, tail @ ..] = rest {
        if is_plain(*first) {
            bytes.push(*first);
            rest = tail;
            continue;
        }
        let [b'%', high, low, tail @ ..] = rest else { return None };
        let byte = digit(*high)? << 4 | digit(*low)?;
        if is_plain(byte) {
            return None;
        }
        bytes.push(byte);
        rest = tail;
    }
    Some(Cow::Owned(bytes))
}

fn push_entry(text: &mut String, path: &TreePath, entry: &Entry<FileBeside>) {
    let Entry { mode, uid, gid, mtime, xattrs, node } = entry;
    let letter = match node {
        Node::Directory => 'd',
        Node::File(_) => 'f',
        Node::Symlink(_) => 'l',
        Node::Fifo => 'p',
        Node::HardLink(first) => {
            text.push_str("h ");
            push_path(text, first);
            text.push(' ');
            push_path(text, path);
            text.push('\n');
            return;
        }
    };
    write!(text, "{letter} {mode:04o} {uid} {gid} {mtime} ").expect("a String takes all");
    match node {
        Node::File(file) => write!(text, "{} ", file.size).expect("a String takes all"),
        Node::Symlink(target) => {
            push_escaped(text, target);
            text.push(' ');
        }
        Node::Directory | Node::Fifo | Node::HardLink(_) => {}
    }
    push_path(text, path);
    text.push('\n');
    for (name, value) in xattrs {
        push_attribute(text, name, value);
    }
}

fn push_attribute(text: &mut String, name: &[u8], value: &[u8]) {
    text.push_str("x ");
    push_escaped(text, name);
    text.push(' ');
    if value.is_empty() {
        text.push('-');
    }
    for byte in value {
        write!(text, "{byte:02x}").expect("a String takes all");
    }
    text.push('\n');
}

fn push_path(text: &mut String, path: &TreePath) {
    if path.is_root() {
        text.push('.');
    } else {
        push_escaped(text, path.as_bytes());
    }
}

fn push_escaped(text: &mut String, bytes: &[u8]) {
    for &byte in bytes {
        if is_plain(byte) {
            text.push(char::from(byte));
        } else {
            write!(text, "%{byte:02X}").expect("a String takes all");
        }
    }
}

fn bad(expected: &'static str, found: &[u8]) -> Fault {
    Fault::Field { expected, found: shown(found) }
}

fn shown(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).chars().take(80).collect()
}

#[cfg(test)]
mod tests;
