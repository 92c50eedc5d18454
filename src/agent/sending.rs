//! The other end of an import: what whoever deploys says about store paths, and their contents.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom, Write};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::error::AgentError;
use super::patch;
use super::protocol::{FRAME_BYTES_MAX, Form, Frame, ListedNode, Listing, Want};
use crate::exec::files::{FileError, read_limited};
use crate::store::{Sha256Digest, StorePath};
use crate::tree::TreePath;

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

/// Sends what of a content is wanted, in compressed frames; answers the bytes that went out.
///
/// # Errors
///
/// When the content is not among `sources`, cannot be read, or the line breaks.
pub fn send(
    want: &Want,
    sources: &Sources,
    level: i32,
    output: &mut dyn Write,
) -> Result<u64, AgentError> {
    let unknown = || AgentError::Unexpected(format!("content {} is not ours", want.digest));
    let path = sources.get(&want.digest).ok_or_else(unknown)?;
    let mut file = File::open(path).map_err(FileError::at("open", path))?;
    file.seek(SeekFrom::Start(want.have)).map_err(FileError::at("read", path))?;
    let (mut from, mut sent) = (want.have, 0);
    while from < want.size {
        let bytes = (want.size - from).min(FRAME_BYTES_MAX / 4);
        let mut piece = Vec::new();
        let count =
            (&mut file).take(bytes).read_to_end(&mut piece).map_err(FileError::at("read", path))?;
        if count as u64 != bytes {
            return Err(AgentError::Unexpected(format!("{} became shorter", path.display())));
        }
        let packed =
            zstd::bulk::compress(&piece, level).map_err(FileError::at("compress", path))?;
        let smaller = packed.len() < piece.len();
        let form = if smaller { Form::Zstd(packed.len() as u64) } else { Form::Raw };
        let frame = Frame { digest: want.digest, from, bytes, form };
        let raw = if smaller { &packed } else { &piece };
        writeln!(output, "{}", frame.to_line())
            .and_then(|()| output.write_all(raw))
            .map_err(AgentError::at("send", path))?;
        sent += raw.len() as u64;
        from += bytes;
    }
    Ok(sent)
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

/// Sends a whole content as its difference to `base`, when that is less; else as [`send`] does.
///
/// # Errors
///
/// As [`send`]; also when the base cannot be read.
pub fn send_difference(
    want: &Want,
    base: &Base,
    sources: &Sources,
    level: i32,
    output: &mut dyn Write,
) -> Result<u64, AgentError> {
    let base_bytes = base.real.metadata().map_err(FileError::at("look at", &base.real))?.len();
    let fits =
        want.have == 0 && want.size <= FRAME_BYTES_MAX && base_bytes <= patch::BASE_BYTES_MAX;
    let Some(path) = sources.get(&want.digest).filter(|_| fits) else {
        return send(want, sources, level, output);
    };
    let old = read_limited(&base.real, patch::BASE_BYTES_MAX)?;
    let new = read_limited(path, FRAME_BYTES_MAX)?;
    let patch = patch::make(&old, &new, level).map_err(FileError::at("compress", path))?;
    if patch.len() as u64 >= want.size / 2 {
        return send(want, sources, level, output);
    }
    let length = patch.len() as u64;
    let form = Form::Patch { length, base: base.path.clone(), inner: base.inner.clone() };
    let frame = Frame { digest: want.digest, from: 0, bytes: want.size, form };
    writeln!(output, "{}", frame.to_line())
        .and_then(|()| output.write_all(&patch))
        .map_err(AgentError::at("send", path))?;
    Ok(length)
}
