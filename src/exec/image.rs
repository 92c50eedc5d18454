//! Images on disk: segments become a sparse file, in parallel, whole or not at all.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::{FileExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use thiserror::Error;

use super::files::{FileError, sync_directory};
use super::interrupt::{Interrupt, Interrupted};
use super::progress::Task;
use crate::image::segment::{Data, Layout, Segment};
use crate::store::StorePath;
use crate::tree::{Entry, Node, StoreFile, Tree, TreePath, TreePathError};

/// Files up to this size go through a buffer; larger ones are copied inside the kernel.
const BUFFER_BYTES: usize = 128 << 10;
/// Bytes between two looks at whether to stop.
const STEP_BYTES: u64 = 8 << 20;

/// An image that was not written, or a store path that cannot be put into one.
#[derive(Debug, Error)]
pub enum ImageFileError {
    /// A file could not be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// A file in the store is not what the layout was made for.
    #[error("{} has {found} bytes instead of {expected}", path.display())]
    Changed {
        /// The file.
        path: PathBuf,
        /// Bytes it has.
        found: u64,
        /// Bytes it had.
        expected: u64,
    },
    /// A store path holds a device, a socket or a pipe.
    #[error("{} is neither file, directory nor symbolic link", path.display())]
    Kind {
        /// What was found.
        path: PathBuf,
    },
    /// A name in a store path is too long for a tree.
    #[error(transparent)]
    Path(#[from] TreePathError),
    /// The user has asked to stop.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
}

/// Writes `layout` to a file with these permission bits, which is replaced once everything is on the disk.
///
/// `store` is the directory that holds the store paths. What no segment covers stays a hole. `task` counts
/// bytes of contents.
///
/// # Errors
///
/// Whatever the first thread met; then no temporary file is left and an old `target` is untouched.
pub fn write(
    (target, mode): (&Path, u32),
    layout: &Layout,
    store: &Path,
    interrupt: &Interrupt,
    task: &dyn Task,
) -> Result<(), ImageFileError> {
    let named = target.parent().filter(|parent| !parent.as_os_str().is_empty());
    let directory = named.unwrap_or(Path::new("."));
    let temporary = tempfile::NamedTempFile::new_in(directory)
        .map_err(FileError::at("create a file in", directory))?;
    let writer = Writer { image: temporary.as_file(), target, store, interrupt };
    let permissions = std::fs::Permissions::from_mode(mode);
    writer
        .image
        .set_permissions(permissions)
        .and_then(|()| writer.image.set_len(layout.size))
        .map_err(FileError::at("write", target))?;
    layout.segments.par_iter().try_for_each_init(
        || vec![0; BUFFER_BYTES],
        |buffer, segment| {
            writer.write(segment, buffer)?;
            task.advance(segment.data.length());
            Ok::<(), ImageFileError>(())
        },
    )?;
    interrupt.check()?;
    writer.image.sync_all().map_err(FileError::at("write", target))?;
    temporary.persist(target).map_err(|error| FileError::at("replace", target)(error.error))?;
    Ok(sync_directory(directory)?)
}

struct Writer<'a> {
    image: &'a File,
    target: &'a Path,
    store: &'a Path,
    interrupt: &'a Interrupt,
}

impl Writer<'_> {
    fn write(&self, segment: &Segment, buffer: &mut [u8]) -> Result<(), ImageFileError> {
        self.interrupt.check()?;
        match &segment.data {
            Data::Bytes(bytes) => self.write_bytes(bytes, segment.offset),
            Data::File { file, start, length } => {
                let path = path_of(self.store, file);
                let source = File::open(&path).map_err(FileError::at("open", &path))?;
                let found = source.metadata().map_err(FileError::at("read", &path))?.len();
                if found != file.size {
                    return Err(ImageFileError::Changed { path, found, expected: file.size });
                }
                let source = Opened { file: source, path };
                match usize::try_from(*length).ok().and_then(|length| buffer.get_mut(..length)) {
                    Some(buffer) => self.copy_buffered(&source, buffer, *start, segment.offset),
                    None => self.copy_in_kernel(&source, *start, *length, segment.offset),
                }
            }
        }
    }

    fn write_bytes(&self, bytes: &[u8], offset: u64) -> Result<(), ImageFileError> {
        Ok(self.image.write_all_at(bytes, offset).map_err(FileError::at("write", self.target))?)
    }

    /// Copies as many bytes as `buffer` has.
    fn copy_buffered(
        &self,
        source: &Opened,
        buffer: &mut [u8],
        from: u64,
        to: u64,
    ) -> Result<(), ImageFileError> {
        let read = source.file.read_exact_at(buffer, from);
        read.map_err(FileError::at("read", &source.path))?;
        self.write_bytes(buffer, to)
    }

    /// Copies with `copy_file_range`, or through a buffer where the file systems cannot do that.
    fn copy_in_kernel(
        &self,
        source: &Opened,
        start: u64,
        length: u64,
        offset: u64,
    ) -> Result<(), ImageFileError> {
        use rustix::io::Errno;
        let mut done = 0;
        while done < length {
            self.interrupt.check()?;
            let (mut from, mut to) = (start + done, offset + done);
            let step = usize::try_from((length - done).min(STEP_BYTES)).expect("at most 8 MiB");
            let copied = rustix::fs::copy_file_range(
                &source.file,
                Some(&mut from),
                self.image,
                Some(&mut to),
                step,
            );
            match copied {
                Ok(0) | Err(Errno::XDEV | Errno::INVAL | Errno::OPNOTSUPP | Errno::NOSYS) => {
                    let mut buffer = vec![0; step];
                    self.copy_buffered(source, &mut buffer, start + done, offset + done)?;
                    done += step as u64;
                }
                Ok(copied) => done += copied as u64,
                Err(errno) => return Err(FileError::at("write", self.target)(errno.into()).into()),
            }
        }
        Ok(())
    }
}

/// A file of the store.
struct Opened {
    file: File,
    path: PathBuf,
}

pub(super) fn path_of(store: &Path, file: &StoreFile) -> PathBuf {
    let path = store.join(file.path.as_str());
    if file.inner.is_root() { path } else { path.join(file.inner.to_path()) }
}

/// The store paths `paths`, which lie in the directory `store`, as a tree below `nix/store`.
///
/// Owners, modes and times are those that Nix gives to every store path: root, 0444 or 0555, 1970-01-01
/// and one second. Files with several names count as several files, because a store path that came over
/// the network has no hard links and the image must not depend on that.
pub fn store_tree(store: &Path, paths: &[StorePath]) -> Result<Tree, ImageFileError> {
    let trees: Result<Vec<Tree>, ImageFileError> = paths
        .par_iter()
        .map(|path| {
            let mut tree = Tree::new();
            let at = TreePath::new(format!("nix/store/{path}"))?;
            walk(&mut tree, &store.join(path.as_str()), &at, &FileInStore::top(path))?;
            Ok(tree)
        })
        .collect();
    Ok(trees?.into_iter().flatten().collect())
}

/// A place in a store path.
struct FileInStore<'a> {
    path: &'a StorePath,
    inner: TreePath,
}

impl<'a> FileInStore<'a> {
    fn top(path: &'a StorePath) -> Self {
        Self { path, inner: TreePath::root() }
    }
}

fn walk(
    tree: &mut Tree,
    disk: &Path,
    at: &TreePath,
    place: &FileInStore<'_>,
) -> Result<(), ImageFileError> {
    let metadata = std::fs::symlink_metadata(disk).map_err(FileError::at("read", disk))?;
    let kind = metadata.file_type();
    let (mode, node) = if kind.is_dir() {
        for child in std::fs::read_dir(disk).map_err(FileError::at("read", disk))? {
            let name = child.map_err(FileError::at("read", disk))?.file_name();
            let name_in_tree = TreePath::new(name.as_bytes())?;
            let child = FileInStore { path: place.path, inner: place.inner.join(&name_in_tree) };
            walk(tree, &disk.join(&name), &at.join(&name_in_tree), &child)?;
        }
        (0o555, Node::Directory)
    } else if kind.is_symlink() {
        let target = std::fs::read_link(disk).map_err(FileError::at("read", disk))?;
        (0o777, Node::Symlink(target.into_os_string().into_vec()))
    } else if kind.is_file() {
        let (size, path, inner) = (metadata.len(), place.path.clone(), place.inner.clone());
        let executable = metadata.permissions().mode() & 0o100 != 0;
        (if executable { 0o555 } else { 0o444 }, Node::File(StoreFile { size, path, inner }))
    } else {
        return Err(ImageFileError::Kind { path: disk.to_owned() });
    };
    let entry = Entry { mode, uid: 0, gid: 0, mtime: 1, xattrs: BTreeMap::new(), node };
    tree.insert(at.clone(), entry);
    Ok(())
}

#[cfg(test)]
mod tests;
