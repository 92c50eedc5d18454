//! NAR, Nix's archive of one tree: reading a stream that may be hostile, digesting, writing.
//!
//! Every token is its length (8 bytes, little endian), its bytes, and zeros up to a multiple of 8.
//! The grammar, from Nix's `src/libutil/archive.cc`:
//!
//! ```text
//! "nix-archive-1" node
//! node   = "(" "type" ( "regular" ["executable" ""] "contents" bytes
//!                     | "symlink" "target" bytes
//!                     | "directory" entry* ) ")"
//! entry  = "entry" "(" "name" bytes "node" node ")"       names strictly ascending
//! ```
//!
//! Owners, times, extended attributes and all permission bits but the owner's `x` are not in it.

use std::collections::BTreeSet;
use std::io::{self, Read, Write};

use nix_archive::nar::{Error as FormatError, Event as FormatEvent, decode_events_reader};
use sha2::{Digest as _, Sha256};
use thiserror::Error;

use super::references::Scanner;
use super::{Sha256Digest, StorePath};

/// Writes a NAR piece by piece, refusing what is not one.
pub use nix_archive::nar::Encoder;

/// Most bytes of a name in a directory; Linux's `NAME_MAX`.
pub const NAME_BYTES_MAX: usize = 255;
/// Most bytes of a path inside the tree and of a link's target; one less than Linux's `PATH_MAX`.
pub const PATH_BYTES_MAX: usize = 4095;
/// Most directories within each other; Nix refuses more.
pub const DEPTH_MAX: usize = 64;

/// How much a reader takes before it refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of all files together.
    pub contents_bytes: u64,
    /// Files, links and directories.
    pub entries: u64,
}

impl Default for Limits {
    /// Far more than the largest Debian package has.
    fn default() -> Self {
        Self { contents_bytes: 64 << 30, entries: 4_000_000 }
    }
}

/// One thing that a NAR holds; paths are relative to its root, which is the empty path.
///
/// A path's components are valid names, and its parent was announced as a directory before it.
pub enum Event<'a> {
    /// A directory begins; what it holds follows in ascending order of names.
    Directory {
        /// Where.
        path: &'a [u8],
    },
    /// The directory at `path` is complete.
    DirectoryEnd {
        /// Where.
        path: &'a [u8],
    },
    /// A regular file.
    File {
        /// Where.
        path: &'a [u8],
        /// Whether the owner's `x` bit is set.
        executable: bool,
        /// Bytes that `contents` yields, if the archive is not cut off there.
        size: u64,
        /// The contents; what is not read is skipped.
        contents: &'a mut dyn Read,
    },
    /// A symbolic link.
    Symlink {
        /// Where.
        path: &'a [u8],
        /// Its raw target: 1 to 4095 bytes without NUL.
        target: &'a [u8],
    },
}

/// Why a stream was not read as a NAR to its end.
#[derive(Debug, Error)]
pub enum NarError {
    /// Cut off, unsorted, doubled, badly named or padded, or not a NAR at all.
    #[error("not a NAR that Nix would accept")]
    Format(#[source] FormatError),
    /// A name that no Linux directory can hold, or a path too long to open.
    #[error("`{path}` in the NAR is longer than Linux allows")]
    LongPath {
        /// The path, made printable and cut to 250 characters.
        path: String,
    },
    /// A link's target that is empty, too long or contains NUL.
    #[error("the target of the symbolic link `{path}` in the NAR is not one")]
    Target {
        /// The path of the link, made printable and cut to 250 characters.
        path: String,
    },
    /// The files are larger than the reader takes.
    #[error("the files in the NAR are larger than {limit} bytes together")]
    TooLarge {
        /// The limit.
        limit: u64,
    },
    /// There are more things in it than the reader takes.
    #[error("the NAR has more than {limit} entries")]
    TooMany {
        /// The limit.
        limit: u64,
    },
    /// The stream could not be read, or the visitor could not do its work.
    #[error("cannot read the NAR on")]
    Io(#[source] io::Error),
}

/// Reads one NAR, which is all that `reader` has, and tells `visit` what it holds.
///
/// Needs little memory, whatever the archive claims. Events come before the end has been seen: what
/// `visit` made of them is worth nothing when this fails. `reader` is read in small pieces.
///
/// # Errors
///
/// [`NarError::Io`] with what `visit` answered; any other means the archive is bad.
pub fn read(
    reader: &mut dyn Read,
    limits: &Limits,
    visit: &mut dyn FnMut(Event<'_>) -> io::Result<()>,
) -> Result<(), NarError> {
    let mut guard = Guard { left: *limits, limits: *limits, path: Vec::new() };
    let mut problem = None;
    let outcome = decode_events_reader(reader, |event| {
        guard.pass(event, visit).map_err(|error| {
            problem = Some(error);
            // The words are never seen: `problem` is returned instead.
            FormatError::Io(io::Error::other("stopped"))
        })
    });
    match (outcome, problem) {
        (_, Some(problem)) => Err(problem),
        (Ok(()), None) => Ok(()),
        (Err(FormatError::Io(error)), None) => Err(NarError::Io(error)),
        (Err(error), None) => Err(NarError::Format(error)),
    }
}

impl std::fmt::Debug for Event<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (kind, path) = match self {
            Self::Directory { path } => ("Directory", path),
            Self::DirectoryEnd { path } => ("DirectoryEnd", path),
            Self::File { path, .. } => ("File", path),
            Self::Symlink { path, .. } => ("Symlink", path),
        };
        write!(f, "{kind} {}", path.escape_ascii())
    }
}

/// Counts against the limits and keeps the path of the entry at hand.
struct Guard {
    limits: Limits,
    left: Limits,
    path: Vec<u8>,
}

impl Guard {
    fn pass<R: Read + ?Sized>(
        &mut self,
        event: nix_archive::nar::ReadEvent<'_, R>,
        visit: &mut dyn FnMut(Event<'_>) -> io::Result<()>,
    ) -> Result<(), NarError> {
        match event {
            FormatEvent::DirectoryStart { name } => {
                self.enter(name)?;
                visit(Event::Directory { path: &self.path }).map_err(NarError::Io)
            }
            FormatEvent::DirectoryEnd { .. } => {
                visit(Event::DirectoryEnd { path: &self.path }).map_err(NarError::Io)?;
                self.leave();
                Ok(())
            }
            FormatEvent::Regular { name, executable, mut contents } => {
                self.enter(name)?;
                let (size, limit) = (contents.size(), self.limits.contents_bytes);
                self.left.contents_bytes = (self.left.contents_bytes.checked_sub(size))
                    .ok_or(NarError::TooLarge { limit })?;
                let contents: &mut dyn Read = &mut contents;
                visit(Event::File { path: &self.path, executable, size, contents })
                    .map_err(NarError::Io)?;
                self.leave();
                Ok(())
            }
            FormatEvent::Symlink { name, target } => {
                self.enter(name)?;
                if target.is_empty() || target.len() > PATH_BYTES_MAX || target.contains(&0) {
                    return Err(NarError::Target { path: self.printable_path() });
                }
                visit(Event::Symlink { path: &self.path, target }).map_err(NarError::Io)?;
                self.leave();
                Ok(())
            }
        }
    }

    fn enter(&mut self, name: Option<&[u8]>) -> Result<(), NarError> {
        self.left.entries = (self.left.entries.checked_sub(1))
            .ok_or(NarError::TooMany { limit: self.limits.entries })?;
        let Some(name) = name else { return Ok(()) };
        if !self.path.is_empty() {
            self.path.push(b'/');
        }
        self.path.extend_from_slice(name);
        if name.len() > NAME_BYTES_MAX || self.path.len() > PATH_BYTES_MAX {
            return Err(NarError::LongPath { path: self.printable_path() });
        }
        Ok(())
    }

    fn leave(&mut self) {
        let parent = self.path.iter().rposition(|&byte| byte == b'/').unwrap_or(0);
        self.path.truncate(parent);
    }

    fn printable_path(&self) -> String {
        String::from_utf8_lossy(&self.path).chars().take(250).collect()
    }
}

/// Digest and size of the NAR of one regular file.
pub fn of_file(contents: &[u8], executable: bool) -> (Sha256Digest, u64) {
    let (size, digest) = nix_archive::nar::hash_regular(contents, executable).into_parts();
    (Sha256Digest::from_bytes(digest), size)
}

/// Takes a NAR, digests and counts it, and looks for references if there is a scanner.
#[derive(Debug, Default)]
pub struct Digester<'a> {
    sha256: Sha256,
    bytes: u64,
    scanner: Option<Scanner<'a>>,
}

/// What a [`Digester`] found out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Digested {
    /// SHA-256 of the NAR.
    pub nar_hash: Sha256Digest,
    /// Bytes of the NAR.
    pub nar_size: u64,
    /// The candidates that it names; empty without a scanner.
    pub references: BTreeSet<StorePath>,
}

impl<'a> Digester<'a> {
    /// Begins a NAR.
    pub fn new(scanner: Option<Scanner<'a>>) -> Self {
        Self { scanner, ..Self::default() }
    }

    /// The results, after the last byte.
    pub fn finish(self) -> Digested {
        Digested {
            nar_hash: Sha256Digest::from_bytes(self.sha256.finalize().into()),
            nar_size: self.bytes,
            references: self.scanner.map(|scanner| scanner.found()).unwrap_or_default(),
        }
    }
}

impl Write for Digester<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.sha256.update(bytes);
        if let Some(scanner) = &mut self.scanner {
            scanner.feed(bytes);
        }
        self.bytes += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
pub(in crate::store) mod tests;
