//! The other end of an import: what whoever deploys says about store paths, and their contents.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom, Write};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};
use zstd::bulk::Compressor;

use super::error::AgentError;
use super::patch;
use super::protocol::{FRAME_BYTES_MAX, Form, Frame, ListedNode, Listing, Want};
use crate::exec::files::{FileError, read_limited};
use crate::store::{Sha256Digest, StorePath};
use crate::tree::TreePath;

/// Bytes of a content that are compressed at once: more hardly compress better, and leave a processor's cache.
const FRAME_BYTES: u64 = 1 << 20;

/// Contents by digest, and a file that has each.
pub type Sources = BTreeMap<Sha256Digest, PathBuf>;

/// Lists the tree of a store path that lies at `real`, and notes where its contents are.
///
/// # Errors
///
/// What could not be read; also anything that is neither file, directory nor link.
pub fn list(
    path: &StorePath,
    references: BTreeSet<StorePath>,
    real: &Path,
    sources: &mut Sources,
) -> Result<Listing, AgentError> {
    let mut listing = Listing { path: path.clone(), references, entries: BTreeMap::new() };
    walk(&mut listing, &TreePath::root(), real, sources)?;
    Ok(listing)
}

fn walk(
    listing: &mut Listing,
    at: &TreePath,
    real: &Path,
    sources: &mut Sources,
) -> Result<(), AgentError> {
    let metadata = real.symlink_metadata().map_err(FileError::at("look at", real))?;
    let wrong = |problem: &str| AgentError::Unexpected(format!("{}: {problem}", real.display()));
    let node = if metadata.is_dir() {
        ListedNode::Directory
    } else if metadata.is_symlink() {
        let target = fs::read_link(real).map_err(FileError::at("read the link", real))?;
        ListedNode::Link(target.as_os_str().as_bytes().to_vec())
    } else if metadata.is_file() {
        let mut file = File::open(real).map_err(FileError::at("open", real))?;
        let mut sha256 = Sha256::new();
        let size = std::io::copy(&mut file, &mut sha256).map_err(FileError::at("read", real))?;
        let digest = Sha256Digest::from_bytes(sha256.finalize().into());
        sources.insert(digest, real.to_owned());
        let executable = metadata.permissions().mode() & 0o100 != 0;
        ListedNode::File { digest, size, executable }
    } else {
        return Err(wrong("it is neither file, directory nor link"));
    };
    let is_directory = node == ListedNode::Directory;
    listing.add(at.clone(), node).map_err(wrong)?;
    if is_directory {
        for entry in fs::read_dir(real).map_err(FileError::at("list", real))? {
            let name = entry.map_err(FileError::at("list", real))?.file_name();
            let inner =
                TreePath::new(name.as_bytes()).map_err(|error| wrong(&error.to_string()))?;
            walk(listing, &at.join(&inner), &real.join(&name), sources)?;
        }
    }
    Ok(())
}

/// A file that the host has, to send others as their difference to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Base {
    /// The store path that has it, on the host too.
    pub path: StorePath,
    /// Where it is in there.
    pub inner: TreePath,
    /// Where it lies on this machine.
    pub real: PathBuf,
}

/// Sends contents, compressed; its buffers serve for all of them.
pub struct Sender<'s> {
    sources: &'s Sources,
    level: i32,
    compressor: Compressor<'static>,
    piece: Vec<u8>,
    packed: Vec<u8>,
}

impl std::fmt::Debug for Sender<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sender").field("level", &self.level).finish_non_exhaustive()
    }
}

impl<'s> Sender<'s> {
    /// A sender of what is among `sources`, at zstd's `level`.
    ///
    /// # Errors
    ///
    /// When zstd has no such level, or no memory.
    pub fn new(sources: &'s Sources, level: i32) -> Result<Self, AgentError> {
        let compressor = Compressor::new(level).map_err(AgentError::at("begin", "compressing"))?;
        Ok(Self { sources, level, compressor, piece: Vec::new(), packed: Vec::new() })
    }

    /// Sends what of a content is wanted, in frames; answers the bytes that went out.
    ///
    /// # Errors
    ///
    /// When the content is not among the sources, cannot be read, or the line breaks.
    pub fn send(&mut self, want: &Want, output: &mut dyn Write) -> Result<u64, AgentError> {
        let unknown = || AgentError::Unexpected(format!("content {} is not ours", want.digest));
        let path = self.sources.get(&want.digest).ok_or_else(unknown)?;
        let mut file = File::open(path).map_err(FileError::at("open", path))?;
        file.seek(SeekFrom::Start(want.have)).map_err(FileError::at("read", path))?;
        let (mut from, mut sent) = (want.have, 0);
        while from < want.size {
            let bytes = (want.size - from).min(FRAME_BYTES);
            self.piece.clear();
            let count = (&mut file)
                .take(bytes)
                .read_to_end(&mut self.piece)
                .map_err(FileError::at("read", path))?;
            if count as u64 != bytes {
                return Err(AgentError::Unexpected(format!("{} became shorter", path.display())));
            }
            self.packed.clear();
            self.packed.reserve(zstd::zstd_safe::compress_bound(count));
            self.compressor
                .compress_to_buffer(&self.piece, &mut self.packed)
                .map_err(FileError::at("compress", path))?;
            let smaller = self.packed.len() < count;
            let form = if smaller { Form::Zstd(self.packed.len() as u64) } else { Form::Raw };
            let frame = Frame { digest: want.digest, from, bytes, form };
            let raw = if smaller { &self.packed } else { &self.piece };
            writeln!(output, "{}", frame.to_line())
                .and_then(|()| output.write_all(raw))
                .map_err(AgentError::at("send", path))?;
            sent += raw.len() as u64;
            from += bytes;
        }
        Ok(sent)
    }

    /// Sends a whole content as its difference to `base`, when that is less; else as [`Self::send`] does.
    ///
    /// # Errors
    ///
    /// As [`Self::send`]; also when the base cannot be read.
    pub fn send_difference(
        &mut self,
        want: &Want,
        base: &Base,
        output: &mut dyn Write,
    ) -> Result<u64, AgentError> {
        let base_bytes = base.real.metadata().map_err(FileError::at("look at", &base.real))?.len();
        let fits =
            want.have == 0 && want.size <= FRAME_BYTES_MAX && base_bytes <= patch::BASE_BYTES_MAX;
        let Some(path) = self.sources.get(&want.digest).filter(|_| fits) else {
            return self.send(want, output);
        };
        let old = read_limited(&base.real, patch::BASE_BYTES_MAX)?;
        let new = read_limited(path, FRAME_BYTES_MAX)?;
        let patch = patch::make(&old, &new, self.level).map_err(FileError::at("compress", path))?;
        if patch.len() as u64 >= want.size / 2 {
            return self.send(want, output);
        }
        let length = patch.len() as u64;
        let form = Form::Patch { length, base: base.path.clone(), inner: base.inner.clone() };
        let frame = Frame { digest: want.digest, from: 0, bytes: want.size, form };
        writeln!(output, "{}", frame.to_line())
            .and_then(|()| output.write_all(&patch))
            .map_err(AgentError::at("send", path))?;
        Ok(length)
    }
}
