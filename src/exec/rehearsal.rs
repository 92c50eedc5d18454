//! The initrd that runs a host from memory: the system's own, and behind it what its root partition holds.
//!
//! The kernel unpacks archives that stand behind each other one after the other. The file lies beside the
//! images, named by the digest of all that goes into it.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::disk::{DiskImageError, root_tree};
use super::engine::Engine;
use super::files::{FileError, sync_directory};
use super::image::ImageFileError;
use super::progress::{Task, Unit};
use crate::debian::lock::Lock;
use crate::image::cpio::{CpioHeader, padding, trailer};
use crate::image::segment::{ImageTree, Source};
use crate::lower::graph::epoch_of;
use crate::store::{Sha256Digest, StorePath};
use crate::tree::{Entry, Node};

/// Version of what is made from the same inputs: raised when its bytes change.
const VERSION: u32 = 1;
/// Fast: it is sent once, and the time to make it counts too.
const ZSTD_LEVEL: i32 = 6;
/// Where `nexus-init` looks for it.
const DIRECTORY: &str = "disk";
/// Memory comes in pages; a name takes about a quarter of one.
const PAGE_BYTES: u64 = 4096;
/// Archives begin at a multiple of four; the kernel skips zeros between them.
const ALIGNMENT: u64 = 4;

/// An initrd that is a whole host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rehearsal {
    /// The file.
    pub path: PathBuf,
    /// Its bytes.
    pub bytes: u64,
    /// Bytes of memory that it takes when it is unpacked.
    pub unpacked_bytes: u64,
}

/// Makes the initrd, or finds it made.
///
/// # Errors
///
/// No file is left that is not whole.
pub fn rehearsal(
    engine: &Engine<'_>,
    host: &str,
    system: &StorePath,
    lock: &Lock,
) -> Result<Rehearsal, DiskImageError> {
    let tree = root_tree(engine, (system, None), epoch_of(lock))?;
    let preimage = format!("nexus-rehearsal {VERSION}\nhost {host}\nsystem {system}\n");
    let digest = Sha256Digest::of(preimage.as_bytes()).to_string();
    let directory = engine.store.root().join("images");
    let path = directory.join(format!("{}-{host}.rehearsal", &digest[..32]));
    if !path.exists() {
        std::fs::create_dir_all(&directory).map_err(FileError::at("create", &directory))?;
        write(engine, system, &tree, &path)?;
    }
    let bytes = std::fs::metadata(&path).map_err(FileError::at("look at", &path))?.len();
    let taken = |entry: &Entry<Source>| match &entry.node {
        Node::File(source) => source.size().next_multiple_of(PAGE_BYTES) + PAGE_BYTES / 4,
        _ => PAGE_BYTES / 4,
    };
    let unpacked_bytes = tree.values().map(taken).sum();
    Ok(Rehearsal { path, bytes, unpacked_bytes })
}

fn write(
    engine: &Engine<'_>,
    system: &StorePath,
    tree: &ImageTree,
    target: &Path,
) -> Result<(), DiskImageError> {
    let directory = target.parent().expect("it lies in the directory of images");
    let mut temporary = tempfile::NamedTempFile::new_in(directory)
        .map_err(FileError::at("create a file in", directory))?;
    let failed = |error| FileError::at("write", target)(error);
    let own = engine.store.real_path(system).join("initrd");
    let own = std::fs::read_link(&own).map_err(FileError::at("read the link", &own))?;
    let own = engine.store.root().join(own.strip_prefix("/").unwrap_or(&own));
    let mut source = File::open(&own).map_err(FileError::at("open", &own))?;
    let bytes = std::io::copy(&mut source, &mut temporary).map_err(failed)?;
    let gap = vec![0; usize::try_from(bytes.next_multiple_of(ALIGNMENT) - bytes).expect("small")];
    temporary.write_all(&gap).map_err(failed)?;
    let total = tree.values().map(file_bytes).sum();
    let task = engine.progress.begin("pack the system for memory", Unit::Bytes, Some(total));
    let encoder = zstd::stream::write::Encoder::new(temporary.as_file(), ZSTD_LEVEL);
    let mut packed = BufWriter::with_capacity(1 << 20, encoder.map_err(failed)?);
    archive(engine, tree, &*task, &mut packed)?;
    let encoder = packed.into_inner().map_err(|error| failed(error.into_error()))?;
    encoder.finish().map_err(failed)?;
    let permissions = std::fs::Permissions::from_mode(0o644);
    let file = temporary.as_file();
    file.set_permissions(permissions).and_then(|()| file.sync_all()).map_err(failed)?;
    temporary.persist(target).map_err(|error| FileError::at("replace", target)(error.error))?;
    Ok(sync_directory(directory)?)
}

fn file_bytes(entry: &Entry<Source>) -> u64 {
    match &entry.node {
        Node::File(source) => source.size(),
        _ => 0,
    }
}

/// Writes the archive of `tree`, below the directory that stands for the root partition.
fn archive(
    engine: &Engine<'_>,
    tree: &ImageTree,
    task: &dyn Task,
    output: &mut dyn Write,
) -> Result<(), DiskImageError> {
    let failed = |error| FileError::at("write", Path::new(DIRECTORY))(error);
    for (index, (path, entry)) in tree.iter().enumerate() {
        engine.interrupt.check().map_err(ImageFileError::from)?;
        let mut place = DIRECTORY.as_bytes().to_vec();
        if !path.is_root() {
            place.push(b'/');
            place.extend_from_slice(path.as_bytes());
        }
        let (kind, bytes) = match &entry.node {
            Node::Directory => (0o040_000, 0),
            Node::Symlink(target) => (0o120_000, target.len() as u64),
            Node::File(source) => (0o100_000, source.size()),
            Node::HardLink(_) | Node::Fifo => {
                unreachable!("neither is in the store, and nothing else makes them here")
            }
        };
        let header = CpioHeader {
            number: index + 1,
            path: &place,
            mode: kind | u32::from(entry.mode),
            mtime: u32::try_from(entry.mtime).unwrap_or(u32::MAX),
            bytes: u32::try_from(bytes)
                .map_err(|_| failed(std::io::Error::from(std::io::ErrorKind::FileTooLarge)))?,
        };
        output.write_all(&header.to_bytes()).map_err(failed)?;
        match &entry.node {
            Node::Symlink(target) => output.write_all(target).map_err(failed)?,
            Node::File(Source::Bytes(bytes)) => output.write_all(bytes).map_err(failed)?,
            Node::File(Source::Store(file)) => {
                let real = super::image::path_of(&engine.store.root().join("nix/store"), file);
                let mut source = File::open(&real).map_err(FileError::at("open", &real))?;
                let found = std::io::copy(&mut source, output).map_err(failed)?;
                if found != bytes {
                    let changed = ImageFileError::Changed { path: real, found, expected: bytes };
                    return Err(changed.into());
                }
            }
            _ => {}
        }
        output.write_all(padding(bytes)).map_err(failed)?;
        task.advance(file_bytes(entry));
    }
    Ok(output.write_all(&trailer()).map_err(failed)?)
}
