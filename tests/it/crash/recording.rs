//! The writes of a disk in their order, as QEMU's `blklogwrites` records them.
//!
//! ```text
//! sector 0     magic, version 1, number of entries (u64 each), bytes of a sector (u32)
//! each entry   a sector with: first sector, number of sectors, flags, bytes of data (u64 each)
//!              then the data, unless it is a discard
//! ```
//!
//! Format: that of the kernel's `drivers/md/dm-log-writes.c`; numbers little-endian. The number of entries
//! is brought up to date only now and then, so the end of the file counts.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

const MAGIC: u64 = 0x006a_7366_7773_6872;
const FLUSH: u64 = 1;
const DISCARD: u64 = 4;
/// Bytes of a sector of the recording.
const SECTOR: u64 = 512;

/// One thing that the machine asked of its disk; offsets and lengths in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Request {
    /// Data that lie in the recording at `from`.
    Write { offset: u64, length: u64, from: u64 },
    /// What lay there is no longer needed.
    Discard { offset: u64, length: u64 },
    /// Everything that was written before is to be on the disk when this is answered.
    Flush,
}

pub(crate) struct Recording {
    file: File,
    /// Each request with the length of the recording after it.
    pub(crate) requests: Vec<(Request, u64)>,
}

impl Recording {
    pub(crate) fn read(path: &Path) -> Self {
        let file = File::open(path).unwrap();
        let end = file.metadata().unwrap().len();
        let head: [u64; 4] = numbers(&file, 0);
        assert_eq!((head[0], head[1], head[3] & 0xffff_ffff), (MAGIC, 1, SECTOR), "{head:x?}");
        let mut requests = Vec::new();
        let mut place = SECTOR;
        while place + SECTOR <= end {
            let [sector, sectors, flags, _] = numbers(&file, place);
            let (offset, length) = (sector * SECTOR, sectors * SECTOR);
            let from = place + SECTOR;
            let request = match flags {
                FLUSH => Request::Flush,
                DISCARD => Request::Discard { offset, length },
                0 if length > 0 && from + length <= end => Request::Write { offset, length, from },
                // QEMU was killed while it wrote this.
                0 => break,
                other => {
                    panic!("flags {other} at {place}: not in the format, or not expected of QEMU")
                }
            };
            place = if matches!(request, Request::Write { .. }) { from + length } else { from };
            requests.push((request, place));
        }
        Self { file, requests }
    }

    /// `length` bytes of data from `from` on.
    pub(crate) fn data(&self, from: u64, length: u64) -> Vec<u8> {
        let mut data = vec![0; usize::try_from(length).unwrap()];
        self.file.read_exact_at(&mut data, from).unwrap();
        data
    }
}

fn numbers(file: &File, at: u64) -> [u64; 4] {
    let mut bytes = [0; 32];
    file.read_exact_at(&mut bytes, at).unwrap();
    let (words, _) = bytes.as_chunks::<8>();
    [0, 1, 2, 3].map(|index: usize| u64::from_le_bytes(words[index]))
}
