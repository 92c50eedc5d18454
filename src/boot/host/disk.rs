//! The root partition: found without udev, grown to the disk.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::super::ROOT_LABEL;
use super::super::arguments::RootDevice;
use super::super::gpt::{ENTRY_SECTORS, SECTOR_BYTES, grown};
use super::{InitError, kernel};

/// Tells the kernel to read a partition table anew. Source: `BLKRRPART` in
/// `include/uapi/linux/fs.h`.
const BLKRRPART: rustix::ioctl::Opcode = 0x125f;
/// Grows a mounted ext4 to a number of blocks. Source: `EXT4_IOC_RESIZE_FS` in
/// `include/uapi/linux/ext4.h`.
const EXT4_IOC_RESIZE_FS: rustix::ioctl::Opcode = 0x4008_6610;
/// Where the superblock of ext4 begins.
const SUPERBLOCK: u64 = 1024;
/// Bytes of a block of our file systems.
const BLOCK_BYTES: u64 = 4096;

/// Waits for the root partition; gives its name below `/dev`.
pub(super) fn find_root(wanted: &RootDevice, deadline: Duration) -> Result<String, InitError> {
    let start = Instant::now();
    loop {
        if let Some(name) = block_devices().into_iter().find(|name| is_root(name, wanted)) {
            return Ok(name);
        }
        if start.elapsed() > deadline {
            return Err(InitError::NoRoot(format!("{wanted:?}")));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn block_devices() -> Vec<String> {
    let listed = fs::read_dir("/sys/class/block").into_iter().flatten().flatten();
    let mut names: Vec<String> =
        listed.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    names
}

fn is_root(name: &str, wanted: &RootDevice) -> bool {
    let event = fs::read_to_string(format!("/sys/class/block/{name}/uevent")).unwrap_or_default();
    let has = |line: &str| event.lines().any(|found| found == line);
    match wanted {
        RootDevice::PartitionLabel(label) => has(&format!("PARTNAME={label}")),
        RootDevice::PartitionUuid(uuid) => has(&format!("PARTUUID={uuid}")),
        RootDevice::FileSystemUuid(uuid) => {
            file_system_uuid(name).is_ok_and(|found| found == *uuid)
        }
    }
}

fn file_system_uuid(name: &str) -> io::Result<String> {
    let mut superblock = [0; 256];
    File::open(device(name))?.read_exact_at(&mut superblock, SUPERBLOCK)?;
    if superblock[56..58] != [0x53, 0xef] {
        return Err(io::ErrorKind::InvalidData.into());
    }
    Ok(superblock[104..120].iter().map(|byte| format!("{byte:02x}")).collect())
}

fn device(name: &str) -> PathBuf {
    Path::new("/dev").join(name)
}

/// Sectors of a disk or partition.
fn sectors(name: &str) -> Result<u64, InitError> {
    let path = format!("/sys/class/block/{name}/size");
    let text = fs::read_to_string(&path).map_err(InitError::at("read", &path))?;
    text.trim().parse().map_err(|_| {
        let invalid = io::Error::from(io::ErrorKind::InvalidData);
        InitError::at("understand", &path)(invalid)
    })
}

/// Moves the end of the root partition to the end of its disk, when there is room.
///
/// Gives the partition's name, which may be another when the kernel has read the table anew.
pub(super) fn grow_partition(partition: &str) -> Result<String, InitError> {
    let Some(disk) = disk_of(partition) else { return Ok(partition.to_owned()) };
    let path = device(&disk);
    let file =
        File::options().read(true).write(true).open(&path).map_err(InitError::at("open", &path))?;
    let table_bytes = SECTOR_BYTES * (1 + usize::try_from(ENTRY_SECTORS).expect("it is small"));
    let mut table = vec![0; table_bytes];
    file.read_exact_at(&mut table, SECTOR_BYTES as u64).map_err(InitError::at("read", &path))?;
    let Some(new) = grown(&table, sectors(&disk)?, ROOT_LABEL)? else {
        return Ok(partition.to_owned());
    };
    let write = |bytes: &[u8], sector: u64| {
        file.write_all_at(bytes, sector * SECTOR_BYTES as u64).and_then(|()| file.sync_all())
    };
    write(&new.backup, new.backup_sector).map_err(InitError::at("write", &path))?;
    write(&new.primary, 1).map_err(InitError::at("write", &path))?;
    read_table_anew(&file).map_err(InitError::at("read the partitions of", &path))?;
    kernel::say(&format!("the root partition now fills {disk}"));
    find_root(&RootDevice::PartitionLabel(ROOT_LABEL.to_owned()), Duration::from_secs(10))
}

/// The disk that a partition is on: its directory in sysfs lies in the disk's.
fn disk_of(partition: &str) -> Option<String> {
    let path = fs::canonicalize(format!("/sys/class/block/{partition}")).ok()?;
    path.join("partition").exists().then_some(())?;
    path.parent()?.file_name()?.to_str().map(str::to_owned)
}

#[expect(unsafe_code, reason = "rustix has no safe name for this request")]
fn read_table_anew(disk: &File) -> rustix::io::Result<()> {
    // SAFETY: BLKRRPART takes no argument and touches no memory of ours.
    unsafe { rustix::ioctl::ioctl(disk, rustix::ioctl::NoArg::<BLKRRPART>::new()) }
}

/// Grows the mounted root file system to its partition, when there is room.
pub(super) fn grow_file_system(partition: &str) -> Result<(), InitError> {
    let path = device(partition);
    let mut superblock = [0; 1024];
    File::open(&path)
        .and_then(|file| file.read_exact_at(&mut superblock, SUPERBLOCK))
        .map_err(InitError::at("read", &path))?;
    let number = |at: usize| {
        u64::from(u32::from_le_bytes(superblock[at..at + 4].try_into().expect("four bytes")))
    };
    let has_blocks = number(4) | number(0x150) << 32;
    let fits_blocks = sectors(partition)? * SECTOR_BYTES as u64 / BLOCK_BYTES;
    // The kernel cannot add less than a part of a block group; a few blocks are not worth a warning.
    if fits_blocks <= has_blocks + 1024 {
        return Ok(());
    }
    let mounted =
        File::open(super::root::DISK).map_err(InitError::at("open", super::root::DISK))?;
    resize(&mounted, fits_blocks).map_err(InitError::at("grow", super::root::DISK))?;
    kernel::say(&format!("the root file system now has {fits_blocks} blocks"));
    Ok(())
}

#[expect(unsafe_code, reason = "rustix has no safe name for this request")]
fn resize(mounted: &File, blocks: u64) -> rustix::io::Result<()> {
    // SAFETY: EXT4_IOC_RESIZE_FS reads one 64-bit number, which `Setter` passes by reference.
    unsafe {
        let request = rustix::ioctl::Setter::<EXT4_IOC_RESIZE_FS, u64>::new(blocks);
        rustix::ioctl::ioctl(mounted, request)
    }
}
