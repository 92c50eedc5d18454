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

/// The archive of `entries`, in their order: directories before what they hold.
pub fn cpio(entries: &[CpioEntry]) -> Vec<u8> {
    let mut archive = Vec::new();
    for (index, entry) in entries.iter().enumerate() {
        add(&mut archive, index + 1, entry);
    }
    let end = CpioEntry { path: "TRAILER!!!".into(), mode: 0, contents: Vec::new() };
    add(&mut archive, 0, &end);
    archive
}

fn add(archive: &mut Vec<u8>, inode: usize, entry: &CpioEntry) {
    let links = if entry.mode & 0o170_000 == 0o040_000 { 2 } else { 1 };
    let fields = [
        inode,
        usize::try_from(entry.mode).expect("a mode fits"),
        0,
        0,
        links,
        0,
        entry.contents.len(),
        0,
        0,
        0,
        0,
        entry.path.len() + 1,
        0,
    ];
    archive.extend_from_slice(b"070701");
    for field in fields {
        archive.extend_from_slice(format!("{field:08X}").as_bytes());
    }
    archive.extend_from_slice(entry.path.as_bytes());
    archive.push(0);
    pad(archive);
    archive.extend_from_slice(&entry.contents);
    pad(archive);
}

/// Every part begins at a multiple of four.
fn pad(archive: &mut Vec<u8>) {
    archive.resize(archive.len().next_multiple_of(4), 0);
}

#[cfg(test)]
mod tests;
