//! A `.deb`, read as it streams by: what may be in it is checked here, making files is the sink's.
//!
//! ```text
//! debian-binary     "2.0\n"
//! control.tar[.gz|.xz|.zst]     regular files at the top: control, postinst, md5sums, …
//! data.tar[.gz|.xz|.zst]        the package's files
//! ```
//!
//! in this order; members whose name begins with `_` may stand between and after and mean nothing.
//! Source: deb(5). Archives are taken for hostile: a name handed to the sink lies inside the package,
//! its parents were handed over before as directories, and no name comes twice.

mod decode;
mod error;
mod layout;
mod read;

use crate::tree::TreePath;

pub use error::{DebError, EntryFault, ShapeFault};
pub use read::read_deb;

/// How much a package may be. The defaults are far above Debian's largest packages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Most bytes of the uncompressed data archive.
    pub data_bytes: u64,
    /// Most bytes of the uncompressed control archive.
    pub control_bytes: u64,
    /// An archive may unpack to this many times its compressed size, or to 64 MiB when that is more.
    pub ratio: u64,
    /// Most entries, directories that had to be added included.
    pub entries: usize,
    /// Most bytes of all names, link targets and extended attributes together.
    pub names_bytes: usize,
    /// Most bytes of memory that a decompressor may use.
    pub memory_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            data_bytes: 32 << 30,
            control_bytes: 64 << 20,
            // xz and zstd reach some thousands on zeros; gzip ends at 1 032.
            ratio: 500,
            entries: 500_000,
            names_bytes: 64 << 20,
            // `xz -9` and `zstd --ultra -22` need 65 and 128 MiB; several blocks at once need more.
            memory_bytes: 256 << 20,
        }
    }
}

/// Receives the files of a package, in an order in which they can be made.
///
/// Paths are checked and merged-`/usr` (`lib/x` has become `usr/lib/x`). After `control_file` and `file`
/// come the contents in pieces, then `end_of_file`.
pub trait Sink {
    /// Why the sink cannot go on.
    type Error: std::error::Error + 'static;

    /// A file of the control archive; `name` has one component.
    fn control_file(&mut self, name: &TreePath, mode: u16) -> Result<(), Self::Error>;

    /// A directory, never the root; its attributes may change until the end, see the manifest.
    fn directory(&mut self, path: &TreePath) -> Result<(), Self::Error>;

    /// A regular file of the data archive, with `size` bytes of contents.
    fn file(&mut self, path: &TreePath, mode: u16, size: u64) -> Result<(), Self::Error>;

    /// The next piece of the contents of the file begun last.
    fn contents(&mut self, bytes: &[u8]) -> Result<(), Self::Error>;

    /// The contents are complete.
    fn end_of_file(&mut self) -> Result<(), Self::Error>;

    /// A symbolic link; the target is any bytes without a NUL.
    fn symlink(&mut self, path: &TreePath, target: &[u8]) -> Result<(), Self::Error>;

    /// Another name for the file `first`, which was handed over before.
    fn hard_link(&mut self, path: &TreePath, first: &TreePath) -> Result<(), Self::Error>;
}

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
