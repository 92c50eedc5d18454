//! Files: atomic writes, and errors that name the path and what was tried.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// Something with a file did not work.
#[derive(Debug, Error)]
#[error("cannot {action} {}", path.display())]
pub struct FileError {
    /// What was tried, such as `write`.
    pub action: &'static str,
    /// The file.
    pub path: PathBuf,
    /// What the kernel said.
    #[source]
    pub source: std::io::Error,
}

impl FileError {
    /// For `map_err`: adds what was tried and where to the kernel's answer.
    pub fn at(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> FileError {
        let path = path.to_owned();
        move |source| FileError { action, path, source }
    }

    /// Whether the disk or the quota is full.
    pub fn is_disk_full(&self) -> bool {
        matches!(
            self.source.kind(),
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded
        )
    }
}

/// Puts `bytes` at `path` so that a reader, or a power cut, sees the old file or the new one whole.
///
/// # Errors
///
/// The step that failed; then the old file is still there and no temporary file is left.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    let directory = directory_of(path);
    let mut temporary = tempfile::NamedTempFile::new_in(directory)
        .map_err(FileError::at("create a file in", directory))?;
    temporary.write_all(bytes).map_err(FileError::at("write", path))?;
    set_mode(temporary.as_file(), 0o644).map_err(FileError::at("set the mode of", path))?;
    temporary.as_file().sync_all().map_err(FileError::at("sync", path))?;
    temporary.persist(path).map_err(|error| FileError::at("replace", path)(error.error))?;
    sync_directory(directory)
}

/// Writes a new file in a scratch directory, its folders made; the store syncs it when it is added.
pub fn write_scratch(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    let directory = directory_of(path);
    std::fs::create_dir_all(directory).map_err(FileError::at("create", directory))?;
    let mut file = File::create_new(path).map_err(FileError::at("create", path))?;
    file.write_all(bytes).map_err(FileError::at("write", path))
}

/// Makes the names in `directory` durable.
pub fn sync_directory(directory: &Path) -> Result<(), FileError> {
    File::open(directory)
        .and_then(|handle| handle.sync_all())
        .map_err(FileError::at("sync", directory))
}

/// Room for the contents of a file that says nothing about its size.
const ROOM_BYTES: usize = 4096;

/// Reads a whole file of at most `limit` bytes.
///
/// # Errors
///
/// A longer file is an error of kind `FileTooLarge`.
pub fn read_limited(path: &Path, limit: u64) -> Result<Vec<u8>, FileError> {
    use std::io::Read as _;
    let file = File::open(path).map_err(FileError::at("open", path))?;
    // With room for all of it, and a byte to see the end, it is read in one go; the kernel's own files say no size.
    let size = file.metadata().map_or(0, |metadata| metadata.len()).min(limit) + 1;
    let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(0).max(ROOM_BYTES));
    file.take(limit + 1).read_to_end(&mut bytes).map_err(FileError::at("read", path))?;
    if bytes.len() as u64 > limit {
        return Err(FileError::at("read", path)(std::io::ErrorKind::FileTooLarge.into()));
    }
    Ok(bytes)
}

/// The directory that holds `path`; for a bare name, which has the empty parent, the current one.
fn directory_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn set_mode(file: &File, mode: u32) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    file.set_permissions(std::fs::Permissions::from_mode(mode))
}

#[cfg(test)]
mod tests;
