//! The lines of an import conversation, for both ends. Form: `docs/agent-protocol.md`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use crate::store::nar::DEPTH_MAX;
use crate::store::{Sha256Digest, StorePath};
use crate::tree::TreePath;
use crate::tree::manifest::{path_from_text, path_to_text, target_from_text, target_to_text};

/// The first line.
pub const FIRST_LINE: &str = "nexus-import 1";
/// Most bytes of a line: a long path and a long target, escaped.
pub const LINE_BYTES_MAX: usize = 32 << 10;
/// Most entries of all listings of a conversation together.
pub const ENTRIES_MAX: u64 = 4_000_000;
/// Most bytes of one frame, decompressed or not.
pub const FRAME_BYTES_MAX: u64 = 16 << 20;

/// What one store path holds, contents by digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// The store path.
    pub path: StorePath,
    /// The store paths it needs.
    pub references: BTreeSet<StorePath>,
    /// What it holds; the root, at the empty path, is the only one or a directory.
    pub entries: BTreeMap<TreePath, ListedNode>,
}

/// What stands at a place in a store path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListedNode {
    /// A directory.
    Directory,
    /// A file.
    File {
        /// SHA-256 of its contents.
        digest: Sha256Digest,
        /// Bytes.
        size: u64,
        /// Whether it may be executed.
        executable: bool,
    },
    /// A symbolic link and its raw target.
    Link(Vec<u8>),
}

/// A line of the first part of the conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListingLine {
    /// A store path begins.
    Path(StorePath, BTreeSet<StorePath>),
    /// Something in it.
    Entry(TreePath, ListedNode),
    /// It is complete.
    End,
    /// All are complete.
    Go,
}

/// A content that the host lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Want {
    /// Its SHA-256.
    pub digest: Sha256Digest,
    /// Its bytes.
    pub size: u64,
    /// Bytes that are there already.
    pub have: u64,
}

/// A piece of a content that follows its line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// SHA-256 of the whole content.
    pub digest: Sha256Digest,
    /// First byte of the piece in the content.
    pub from: u64,
    /// Bytes of the piece.
    pub bytes: u64,
    /// How they come.
    pub form: Form,
}

/// How the bytes of a piece come over the line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Form {
    /// As they are.
    Raw,
    /// As one zstd frame of so many bytes.
    Zstd(u64),
    /// The whole content, as its difference to a file that the host has; see [`super::patch`].
    Patch {
        /// Bytes that follow.
        length: u64,
        /// The store path that has the file.
        base: StorePath,
        /// The file in it.
        inner: TreePath,
    },
}

impl Listing {
    /// The lines, from `path` to `end`.
    pub fn to_text(&self) -> String {
        let mut text = format!("path {}", self.path);
        for reference in &self.references {
            write!(text, " {reference}").expect("a String takes all");
        }
        text.push('\n');
        for (path, node) in &self.entries {
            let name = path_to_text(path);
            match node {
                ListedNode::Directory => writeln!(text, "d {name}"),
                ListedNode::File { digest, size, executable } => {
                    let mark = if *executable { 'x' } else { '-' };
                    writeln!(text, "f {digest} {size} {mark} {name}")
                }
                ListedNode::Link(target) => writeln!(text, "l {} {name}", target_to_text(target)),
            }
            .expect("a String takes all");
        }
        text.push_str("end\n");
        text
    }

    /// Adds an entry that has been read.
    ///
    /// # Errors
    ///
    /// What is wrong with its place: twice, too deep, or not below a directory.
    pub fn add(&mut self, path: TreePath, node: ListedNode) -> Result<(), &'static str> {
        if path.as_bytes().split(|c| *c == b'/').count() > DEPTH_MAX {
            return Err("it lies too deep");
        }
        if let Some(parent) = path.parent()
            && self.entries.get(&parent) != Some(&ListedNode::Directory)
        {
            return Err("no directory holds it");
        }
        match self.entries.insert(path, node) {
            None => Ok(()),
            Some(_) => Err("it is there twice"),
        }
    }
}

impl ListedNode {
    /// About how much of a disk it takes; whole blocks, and one for what has no contents.
    pub fn disk_bytes(&self) -> u64 {
        const BLOCK_BYTES: u64 = 4096;
        match self {
            Self::File { size, .. } => {
                size.div_ceil(BLOCK_BYTES).saturating_add(1).saturating_mul(BLOCK_BYTES)
            }
            Self::Directory | Self::Link(_) => BLOCK_BYTES,
        }
    }
}

impl ListingLine {
    /// Reads a line without its end.
    ///
    /// # Errors
    ///
    /// What was expected instead.
    pub fn parse(line: &[u8]) -> Result<Self, &'static str> {
        let words: Vec<&[u8]> = line.split(|c| *c == b' ').collect();
        match words[..] {
            [b"go"] => Ok(Self::Go),
            [b"end"] => Ok(Self::End),
            [b"path", path, ref references @ ..] => {
                let references: Option<BTreeSet<StorePath>> =
                    references.iter().map(|word| store_path(word)).collect();
                match (store_path(path), references) {
                    (Some(path), Some(references)) => Ok(Self::Path(path, references)),
                    _ => Err("expected `path` and names of store paths"),
                }
            }
            [b"d", name] => Ok(Self::Entry(place(name)?, ListedNode::Directory)),
            [b"f", digest, size, mark @ (b"x" | b"-"), name] => {
                let digest = text(digest).and_then(|text| text.parse().ok());
                let node = ListedNode::File {
                    digest: digest.ok_or("expected a SHA-256 digest")?,
                    size: number(size).ok_or("expected a number of bytes")?,
                    executable: mark == b"x",
                };
                Ok(Self::Entry(place(name)?, node))
            }
            [b"l", target, name] => {
                let target = target_from_text(target).ok_or("expected the target of a link")?;
                Ok(Self::Entry(place(name)?, ListedNode::Link(target)))
            }
            _ => Err("expected `path`, `d`, `f`, `l`, `end` or `go`"),
        }
    }
}

impl Want {
    /// The line, without its end.
    pub fn to_line(self) -> String {
        format!("want {} {} {}", self.digest, self.size, self.have)
    }

    /// Reads the line.
    pub fn parse(line: &str) -> Option<Self> {
        let mut words = line.strip_prefix("want ")?.split(' ');
        let want = Self {
            digest: words.next()?.parse().ok()?,
            size: words.next()?.parse().ok()?,
            have: words.next()?.parse().ok()?,
        };
        words.next().is_none().then_some(want)
    }
}

impl Frame {
    /// The line, without its end.
    pub fn to_line(&self) -> String {
        let Self { digest, from, bytes, form } = self;
        let start = format!("content {digest} {from} {bytes}");
        match form {
            Form::Raw => format!("{start} raw"),
            Form::Zstd(length) => format!("{start} zstd {length}"),
            Form::Patch { length, base, inner } => {
                format!("{start} patch {length} {base} {}", path_to_text(inner))
            }
        }
    }

    /// Bytes that follow the line.
    pub fn length(&self) -> u64 {
        match &self.form {
            Form::Raw => self.bytes,
            Form::Zstd(length) | Form::Patch { length, .. } => *length,
        }
    }

    /// Reads the line.
    ///
    /// # Errors
    ///
    /// What was expected instead.
    pub fn parse(line: &[u8]) -> Result<Self, &'static str> {
        const EXPECTED: &str = "expected `content`, digest, begin, bytes, and a form";
        let words: Vec<&[u8]> = line.split(|c| *c == b' ').collect();
        let [b"content", digest, from, bytes, ref form @ ..] = words[..] else {
            return Err(EXPECTED);
        };
        let form = match form {
            [b"raw"] => Form::Raw,
            [b"zstd", length] => Form::Zstd(number(length).ok_or(EXPECTED)?),
            [b"patch", length, base, inner] => Form::Patch {
                length: number(length).ok_or(EXPECTED)?,
                base: store_path(base).ok_or(EXPECTED)?,
                inner: place(inner)?,
            },
            _ => return Err(EXPECTED),
        };
        let digest = text(digest).and_then(|text| text.parse().ok()).ok_or(EXPECTED)?;
        let from = number(from).ok_or(EXPECTED)?;
        let bytes = number(bytes).ok_or(EXPECTED)?;
        let frame = Self { digest, from, bytes, form };
        if bytes > FRAME_BYTES_MAX || frame.length() > FRAME_BYTES_MAX {
            return Err("a frame has at most 16777216 bytes");
        }
        Ok(frame)
    }
}

fn text(word: &[u8]) -> Option<&str> {
    std::str::from_utf8(word).ok()
}

fn number(word: &[u8]) -> Option<u64> {
    text(word)?.parse().ok()
}

fn store_path(word: &[u8]) -> Option<StorePath> {
    StorePath::from_base_name(text(word)?).ok()
}

fn place(word: &[u8]) -> Result<TreePath, &'static str> {
    path_from_text(word).ok_or("expected a path inside the store path")
}

#[cfg(test)]
mod tests;
