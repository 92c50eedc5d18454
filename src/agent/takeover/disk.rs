//! A whole disk: written from a recipe and the store, then read back and compared.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt as _, FileTypeExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::io::Errno;

use super::super::error::AgentError;
use super::super::places::Places;
use crate::exec::files::FileError;
use crate::image::segment::{Data, Layout};
use crate::tree::StoreFile;

/// Bytes copied or compared at once.
const BUFFER_BYTES: usize = 1 << 20;
/// Zeros are left to the kernel from so many bytes on.
const ZEROED_BY_KERNEL_BYTES: u64 = 64 << 10;
/// What the kernel zeroes begins and ends at a multiple of a page of its cache.
const PAGE_BYTES: u64 = 4096;
/// What is written and compared between pieces.
static ZEROS: [u8; 64 << 10] = [0; 64 << 10];
/// How long the kernel may take to show a partition.
const PARTITION_WITHIN: Duration = Duration::from_secs(20);
/// Zeroes a part of a block device. Source: `BLKZEROOUT` in `include/uapi/linux/fs.h`.
const BLKZEROOUT: rustix::ioctl::Opcode = 0x127f;
/// Forgets what is cached of a block device. Source: `BLKFLSBUF` there.
const BLKFLSBUF: rustix::ioctl::Opcode = 0x1261;
/// Tells the kernel to read a partition table anew. Source: `BLKRRPART` there.
const BLKRRPART: rustix::ioctl::Opcode = 0x125f;

/// A disk that nobody else has in use.
#[derive(Debug)]
pub struct Disk {
    file: File,
    path: PathBuf,
}

impl Disk {
    /// Opens a disk of at least `bytes`; nothing of it may be mounted.
    ///
    /// # Errors
    ///
    /// When it is in use, too small, or no block device.
    pub fn open(path: &Path, bytes: u64) -> Result<Self, AgentError> {
        let kind = std::fs::metadata(path).map_err(FileError::at("look at", path))?.file_type();
        if !kind.is_block_device() {
            let what = format!("{} is not a disk", path.display());
            return Err(AgentError::Unexpected(what));
        }
        Self::open_any(path, bytes)
    }

    fn open_any(path: &Path, bytes: u64) -> Result<Self, AgentError> {
        let exclusive = i32::try_from(rustix::fs::OFlags::EXCL.bits()).expect("the flag is small");
        let file = OpenOptions::new().read(true).write(true).custom_flags(exclusive).open(path);
        let file = file.map_err(FileError::at("open", path))?;
        let found = rustix::fs::seek(&file, rustix::fs::SeekFrom::End(0))
            .map_err(AgentError::at("look at", path))?;
        if found < bytes {
            return Err(AgentError::Space { needed: bytes, free: found });
        }
        Ok(Self { file, path: path.to_owned() })
    }

    /// Writes what `layout` says, zeros between its pieces, and waits until the disk has it.
    ///
    /// # Errors
    ///
    /// What could not be read or written; the disk is then neither old nor new.
    pub fn write(&self, layout: &Layout, store: &Path) -> Result<(), AgentError> {
        let mut buffer = vec![0; BUFFER_BYTES];
        let mut end = 0;
        for segment in &layout.segments {
            self.zero(end, segment.offset)?;
            end = segment.offset + segment.data.length();
            pieces(&segment.data, store, &mut buffer, |bytes, at| {
                self.put(bytes, segment.offset + at)
            })?;
        }
        self.zero(end, layout.size)?;
        Ok(self.file.sync_all().map_err(FileError::at("sync", &self.path))?)
    }

    fn put(&self, bytes: &[u8], offset: u64) -> Result<(), AgentError> {
        Ok(self.file.write_all_at(bytes, offset).map_err(FileError::at("write", &self.path))?)
    }

    /// Zeroes from `start` to `end`.
    fn zero(&self, start: u64, end: u64) -> Result<(), AgentError> {
        let first = start.next_multiple_of(PAGE_BYTES);
        let last = end / PAGE_BYTES * PAGE_BYTES;
        let zeroed = last >= first + ZEROED_BY_KERNEL_BYTES && self.zero_by_kernel(first, last)?;
        if zeroed {
            self.put_zeros(start, first)?;
            return self.put_zeros(last, end);
        }
        self.put_zeros(start, end)
    }

    fn put_zeros(&self, start: u64, end: u64) -> Result<(), AgentError> {
        let mut at = start;
        while at < end {
            let step = (end - at).min(ZEROS.len() as u64);
            self.put(&ZEROS[..usize::try_from(step).expect("at most 64 KiB")], at)?;
            at += step;
        }
        Ok(())
    }

    /// Whether the kernel did it; a file that is no block device it leaves to us.
    fn zero_by_kernel(&self, start: u64, end: u64) -> Result<bool, AgentError> {
        match ioctl_with_range(&self.file, [start, end - start]) {
            Ok(()) => Ok(true),
            Err(Errno::NOTTY) => Ok(false),
            Err(error) => Err(AgentError::at("zero a part of", &self.path)(error)),
        }
    }

    /// Reads everything back from the disk, past the kernel's cache, and compares.
    ///
    /// # Errors
    ///
    /// [`AgentError::DiskDiffers`] at the first byte that is not what was written.
    pub fn compare(&self, layout: &Layout, store: &Path) -> Result<(), AgentError> {
        self.forget_cached()?;
        let (mut wanted, mut found) = (vec![0; BUFFER_BYTES], vec![0; BUFFER_BYTES]);
        let mut end = 0;
        for segment in &layout.segments {
            self.compare_zeros(end, segment.offset, &mut found)?;
            end = segment.offset + segment.data.length();
            pieces(&segment.data, store, &mut wanted, |bytes, at| {
                self.compare_bytes(bytes, segment.offset + at, &mut found)
            })?;
        }
        self.compare_zeros(end, layout.size, &mut found)
    }

    fn compare_zeros(&self, start: u64, end: u64, found: &mut [u8]) -> Result<(), AgentError> {
        let mut at = start;
        while at < end {
            let step = (end - at).min(ZEROS.len() as u64);
            let zeros = &ZEROS[..usize::try_from(step).expect("at most 64 KiB")];
            self.compare_bytes(zeros, at, found)?;
            at += step;
        }
        Ok(())
    }

    fn compare_bytes(&self, wanted: &[u8], at: u64, found: &mut [u8]) -> Result<(), AgentError> {
        let found = &mut found[..wanted.len()];
        self.file.read_exact_at(found, at).map_err(FileError::at("read", &self.path))?;
        if wanted == found {
            return Ok(());
        }
        let differs = wanted.iter().zip(found.iter()).position(|(wanted, found)| wanted != found);
        let offset = at + differs.unwrap_or(0) as u64;
        Err(AgentError::DiskDiffers { disk: self.path.clone(), offset })
    }

    fn forget_cached(&self) -> Result<(), AgentError> {
        match ioctl_plain::<BLKFLSBUF>(&self.file) {
            Ok(()) | Err(Errno::NOTTY) => Ok(()),
            Err(error) => Err(AgentError::at("forget what is cached of", &self.path)(error)),
        }
    }

    /// Lets the kernel see the new partitions.
    ///
    /// # Errors
    ///
    /// When one of the old ones is in use.
    pub fn read_table_anew(&self) -> Result<(), AgentError> {
        ioctl_plain::<BLKRRPART>(&self.file)
            .map_err(AgentError::at("read the partitions of", &self.path))
    }
}

/// Calls `each` with the bytes of a segment and where they begin in it, in order.
fn pieces(
    data: &Data,
    store: &Path,
    buffer: &mut [u8],
    mut each: impl FnMut(&[u8], u64) -> Result<(), AgentError>,
) -> Result<(), AgentError> {
    let (file, start, length) = match data {
        Data::Bytes(bytes) => {
            let step = buffer.len();
            let mut parts = bytes.chunks(step).enumerate();
            return parts.try_for_each(|(n, part)| each(part, (n * step) as u64));
        }
        Data::File { file, start, length } => (file, *start, *length),
    };
    let path = place(store, file);
    let opened = OpenOptions::new()
        .read(true)
        .custom_flags(i32::try_from(rustix::fs::OFlags::NOFOLLOW.bits()).expect("it is small"))
        .open(&path);
    let opened = opened.map_err(FileError::at("open", &path))?;
    let mut done = 0;
    while done < length {
        let step = usize::try_from((length - done).min(buffer.len() as u64)).expect("a buffer");
        let part = &mut buffer[..step];
        opened.read_exact_at(part, start + done).map_err(FileError::at("read", &path))?;
        each(part, done)?;
        done += step as u64;
    }
    Ok(())
}

fn place(store: &Path, file: &StoreFile) -> PathBuf {
    let path = store.join(file.path.as_str());
    if file.inner.is_root() { path } else { path.join(file.inner.to_path()) }
}

/// The partition called `label` of `disk`, once the kernel shows it.
///
/// # Errors
///
/// When it does not appear.
pub fn partition(places: &Places, disk: &Path, label: &str) -> Result<PathBuf, AgentError> {
    let name = disk.file_name().unwrap_or_default();
    let directory = places.at("sys/class/block").join(name);
    let deadline = Instant::now() + PARTITION_WITHIN;
    let wanted = format!("PARTNAME={label}");
    loop {
        let entries = std::fs::read_dir(&directory).map_err(FileError::at("list", &directory))?;
        let is_it = |entry: &std::fs::DirEntry| {
            let event = std::fs::read_to_string(entry.path().join("uevent")).unwrap_or_default();
            event.lines().any(|line| line == wanted)
        };
        let found =
            entries.flatten().find(is_it).map(|entry| places.at("dev").join(entry.file_name()));
        if let Some(device) = found.filter(|device| device.exists()) {
            return Ok(device);
        }
        if Instant::now() >= deadline {
            let what = format!("no partition {label} appears on {}", disk.display());
            return Err(AgentError::Unexpected(what));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[expect(unsafe_code, reason = "rustix has no safe name for these requests")]
fn ioctl_plain<const REQUEST: rustix::ioctl::Opcode>(disk: &File) -> rustix::io::Result<()> {
    // SAFETY: BLKFLSBUF and BLKRRPART take no argument and touch no memory of ours.
    unsafe { rustix::ioctl::ioctl(disk, rustix::ioctl::NoArg::<REQUEST>::new()) }
}

#[expect(unsafe_code, reason = "rustix has no safe name for this request")]
fn ioctl_with_range(disk: &File, range: [u64; 2]) -> rustix::io::Result<()> {
    // SAFETY: BLKZEROOUT reads two 64-bit numbers, which `Setter` passes by reference.
    unsafe {
        let request = rustix::ioctl::Setter::<BLKZEROOUT, [u64; 2]>::new(range);
        rustix::ioctl::ioctl(disk, request)
    }
}

#[cfg(test)]
mod tests;
