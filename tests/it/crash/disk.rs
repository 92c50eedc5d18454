//! A disk in memory that power cuts are tried on.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

/// Bytes that are copied at once.
const CHUNK: usize = 1 << 20;

pub(crate) struct Disk {
    pub(crate) path: PathBuf,
    file: File,
    /// Which chunks have something other than zeros.
    used: Vec<bool>,
}

impl Disk {
    /// An empty one.
    pub(crate) fn new(path: PathBuf, bytes: u64) -> Self {
        let file = File::options().read(true).write(true).create_new(true).open(&path).unwrap();
        file.set_len(bytes).unwrap();
        let chunks = usize::try_from(bytes).unwrap().div_ceil(CHUNK);
        Self { path, file, used: vec![false; chunks] }
    }

    /// Puts the bytes of an image at the disk's beginning.
    pub(crate) fn load(&mut self, image: &Path) {
        let image = File::open(image).unwrap();
        let bytes = usize::try_from(image.metadata().unwrap().len()).unwrap();
        let mut buffer = vec![0; CHUNK];
        for offset in (0..bytes).step_by(CHUNK) {
            let part = &mut buffer[..CHUNK.min(bytes - offset)];
            image.read_exact_at(part, offset as u64).unwrap();
            if part.iter().any(|byte| *byte != 0) {
                self.write(offset as u64, part);
            }
        }
    }

    pub(crate) fn write(&mut self, offset: u64, bytes: &[u8]) {
        self.file.write_all_at(bytes, offset).unwrap();
        let first = usize::try_from(offset).unwrap() / CHUNK;
        let end = (usize::try_from(offset).unwrap() + bytes.len()).div_ceil(CHUNK);
        self.used[first..end].fill(true);
    }

    pub(crate) fn clear(&mut self, offset: u64, length: u64) {
        let zeros = vec![0; CHUNK];
        let mut done = 0;
        while done < length {
            let part = length.min(done + CHUNK as u64) - done;
            self.write(offset + done, &zeros[..usize::try_from(part).unwrap()]);
            done += part;
        }
    }

    /// A new one like it. A kernel that mounts it writes where it likes, so it is used for one cut alone.
    pub(crate) fn copy(&self, path: PathBuf) -> Self {
        let mut copy = Self::new(path, self.file.metadata().unwrap().len());
        let mut buffer = vec![0; CHUNK];
        for chunk in (0..self.used.len()).filter(|chunk| self.used[*chunk]) {
            let offset = (chunk * CHUNK) as u64;
            let read = self.file.read_at(&mut buffer, offset).unwrap();
            copy.file.write_all_at(&buffer[..read], offset).unwrap();
        }
        copy.used.clone_from(&self.used);
        copy
    }
}
