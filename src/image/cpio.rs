//! The archive that the kernel unpacks as its first file system: cpio in the "newc" form.
//!
//! Format: the kernel's `Documentation/driver-api/early-userspace/buffer-format.rst`. Owners are root,
//! times 1970, inode numbers count up: equal files give equal bytes.

/// A file or directory of the archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CpioEntry {
    /// Path without a slash in front.
    pub path: String,
    /// Type and permission bits, as in `st_mode`.
    pub mode: u32,
    /// Contents; empty for directories.
    pub contents: Vec<u8>,
}

impl CpioEntry {
    /// A directory of mode 0755.
    pub fn directory(path: &str) -> Self {
        Self { path: path.to_owned(), mode: 0o040_755, contents: Vec::new() }
    }

    /// A regular file with permission bits `mode`.
    pub fn file(path: &str, mode: u32, contents: Vec<u8>) -> Self {
        Self { path: path.to_owned(), mode: 0o100_000 | mode, contents }
    }
}

/// What a file, directory or symbolic link is, beside its contents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CpioHeader<'a> {
    /// Position in the archive, from 1 on.
    pub number: usize,
    /// Path without a slash in front.
    pub path: &'a [u8],
    /// Type and permission bits, as in `st_mode`.
    pub mode: u32,
    /// Seconds since 1970.
    pub mtime: u32,
    /// Bytes of contents; of the target, for a link.
    pub bytes: u32,
}

impl CpioHeader<'_> {
    /// What stands in front of the contents; these are followed by [`padding`].
    pub fn to_bytes(self) -> Vec<u8> {
        let number = u32::try_from(self.number).expect("no archive has so many entries");
        header([number, self.mode, self.mtime, self.bytes], self.path)
    }
}

/// Zeros behind `bytes` of contents: every part begins at a multiple of four.
pub fn padding(bytes: u64) -> &'static [u8] {
    const ZEROS: [u8; 3] = [0; 3];
    let missing = bytes.next_multiple_of(4) - bytes;
    &ZEROS[..usize::try_from(missing).expect("at most three")]
}

/// What ends an archive.
pub fn trailer() -> Vec<u8> {
    header([0; 4], b"TRAILER!!!")
}

/// The archive of `entries`, in their order: directories before what they hold.
pub fn cpio(entries: &[CpioEntry]) -> Vec<u8> {
    let mut archive = Vec::new();
    for (index, entry) in entries.iter().enumerate() {
        let CpioEntry { path, mode, contents } = entry;
        let bytes = u32::try_from(contents.len()).expect("nothing in an initrd is so large");
        let (number, path) = (index + 1, path.as_bytes());
        let header = CpioHeader { number, path, mode: *mode, mtime: 0, bytes };
        archive.extend_from_slice(&header.to_bytes());
        archive.extend_from_slice(contents);
        archive.extend_from_slice(padding(u64::from(bytes)));
    }
    archive.extend_from_slice(&trailer());
    archive
}

/// Inode number, mode, time and size, then the path.
fn header([inode, mode, mtime, bytes]: [u32; 4], path: &[u8]) -> Vec<u8> {
    let links = if mode & 0o170_000 == 0o040_000 { 2 } else { 1 };
    let path_bytes = u32::try_from(path.len() + 1).expect("a path is short");
    let fields = [inode, mode, 0, 0, links, mtime, bytes, 0, 0, 0, 0, path_bytes, 0];
    let mut header = b"070701".to_vec();
    for field in fields {
        header.extend_from_slice(format!("{field:08X}").as_bytes());
    }
    header.extend_from_slice(path);
    header.push(0);
    header.resize(header.len().next_multiple_of(4), 0);
    header
}

#[cfg(test)]
mod tests;
