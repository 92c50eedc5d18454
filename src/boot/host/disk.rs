//! The root partition: found without udev, grown to the disk.

use alloc::string::{String, ToString as _};
use alloc::vec;

use rustix::fd::OwnedFd;
use rustix::fs::OFlags;
use rustix::io::Errno;

use super::super::arguments::RootDevice;
use super::super::gpt::{SECTOR_BYTES, START_SECTORS, grown};
use super::super::{ROOT_BLOCK_BYTES, ROOT_BLOCKS_PER_GROUP, ROOT_GROUPS_PER_META, ROOT_LABEL};
use super::files::{for_each_name, open_at, put_at, read, read_at, write_at};
use super::{InitError, kernel};

/// Where the kernel tells of disks and partitions.
const BLOCK_DEVICES: &str = "/sys/class/block";
/// Most bytes of a file there.
const ATTRIBUTE_BYTES_MAX: usize = 4096;
/// How long the kernel may take to see a partition again.
const REREAD_SECONDS_MAX: u32 = 10;
/// Time between two looks for a device.
const TICK_MILLISECONDS: u32 = 5;
/// Tells the kernel to read a partition table anew. Source: `BLKRRPART` in
/// `include/uapi/linux/fs.h`.
const BLKRRPART: rustix::ioctl::Opcode = 0x125f;
/// Grows a mounted ext4 to a number of blocks. Source: `EXT4_IOC_RESIZE_FS` in
/// `include/uapi/linux/ext4.h`.
const EXT4_IOC_RESIZE_FS: rustix::ioctl::Opcode = 0x4008_6610;
/// Where the superblock of ext4 begins.
const SUPERBLOCK: u64 = 1024;
/// Blocks of the groups that share a block of descriptors, which is the first one of them (`meta_bg`).
const META_GROUP_BLOCKS: u64 = ROOT_GROUPS_PER_META as u64 * ROOT_BLOCKS_PER_GROUP as u64;
/// A feature that a file system has while its journal must be replayed. Source: `EXT4_FEATURE_INCOMPAT_RECOVER`
/// in `fs/ext4/ext4.h`.
const INCOMPAT_RECOVER: u64 = 4;

/// Waits for the root partition; gives its name below `/dev`.
///
/// Of several the first by name.
pub(super) fn find_root(wanted: &RootDevice, seconds_max: u32) -> Result<String, InitError> {
    for _ in 0..=seconds_max * 1000 / TICK_MILLISECONDS {
        let mut found: Option<String> = None;
        for_each_name(BLOCK_DEVICES, |name| {
            let is_first = found.as_deref().is_none_or(|found| name < found);
            if is_first && is_root(name, wanted) {
                found = Some(name.to_string());
            }
        })?;
        if let Some(name) = found {
            return Ok(name);
        }
        kernel::sleep_milliseconds(TICK_MILLISECONDS);
    }
    Err(InitError::NoRoot(alloc::format!("{wanted:?}")))
}

fn is_root(name: &str, wanted: &RootDevice) -> bool {
    let has = |key: &str, value: &str| {
        let event = attribute(name, "uevent").unwrap_or_default();
        event.lines().any(|line| line.strip_prefix(key) == Some(value))
    };
    match wanted {
        RootDevice::PartitionLabel(label) => has("PARTNAME=", label),
        RootDevice::PartitionUuid(uuid) => has("PARTUUID=", uuid),
        RootDevice::FileSystemUuid(uuid) => {
            file_system_uuid(name).is_ok_and(|found| found == *uuid)
        }
        RootDevice::Memory => false,
    }
}

fn attribute(device: &str, name: &str) -> Result<String, InitError> {
    read(&alloc::format!("{BLOCK_DEVICES}/{device}/{name}"), ATTRIBUTE_BYTES_MAX)
}

fn file_system_uuid(name: &str) -> Result<String, InitError> {
    let superblock = superblock(name)?;
    if superblock[56..58] != [0x53, 0xef] {
        return Err(InitError::at("find ext4 on", name)(Errno::INVAL));
    }
    Ok(superblock[104..120].iter().map(|byte| alloc::format!("{byte:02x}")).collect())
}

fn superblock(name: &str) -> Result<[u8; 1024], InitError> {
    let path = device(name);
    let mut superblock = [0; 1024];
    read_at(&open_at(&path, OFlags::RDONLY)?, &mut superblock, SUPERBLOCK)
        .map_err(InitError::at("read", path))?;
    Ok(superblock)
}

fn device(name: &str) -> String {
    alloc::format!("/dev/{name}")
}

/// Sectors of a disk or partition.
fn sectors(name: &str) -> Result<u64, InitError> {
    let text = attribute(name, "size")?;
    text.trim().parse().map_err(|_| InitError::at("understand the size of", name)(Errno::INVAL))
}

/// Moves the end of the root partition to the end of its disk, when there is room.
///
/// Gives the partition's name, which may be another when the kernel has read the table anew.
pub(super) fn grow_partition(partition: &str) -> Result<String, InitError> {
    let Some(disk) = disk_of(partition) else { return Ok(partition.into()) };
    let path = device(&disk);
    let file = open_at(&path, OFlags::RDWR)?;
    let mut start = vec![0; SECTOR_BYTES * usize::try_from(START_SECTORS).expect("it is small")];
    read_at(&file, &mut start, 0).map_err(InitError::at("read", path.as_str()))?;
    let Some(new) = grown(&start, sectors(&disk)?, ROOT_LABEL)? else {
        return Ok(partition.into());
    };
    let backup_at = new.backup_sector * SECTOR_BYTES as u64;
    write_at(&file, &new.backup, backup_at).map_err(InitError::at("write", path.as_str()))?;
    write_at(&file, &new.block, 0).map_err(InitError::at("write", path.as_str()))?;
    read_table_anew(&file).map_err(InitError::at("read the partitions of", path.as_str()))?;
    kernel::say(&alloc::format!("the root partition now fills {disk}"));
    find_root(&RootDevice::PartitionLabel(ROOT_LABEL.into()), REREAD_SECONDS_MAX)
}

/// The disk that a partition is on: its directory in sysfs lies in the disk's.
fn disk_of(partition: &str) -> Option<String> {
    attribute(partition, "partition").ok()?;
    let link = alloc::format!("{BLOCK_DEVICES}/{partition}");
    let target = rustix::fs::readlink(link, vec![0; 256]).ok()?;
    let target = target.to_str().ok()?;
    target.rsplit('/').nth(1).map(Into::into)
}

#[expect(unsafe_code, reason = "rustix has no safe name for this request")]
fn read_table_anew(disk: &OwnedFd) -> rustix::io::Result<()> {
    // SAFETY: BLKRRPART takes no argument and touches no memory of ours.
    unsafe { rustix::ioctl::ioctl(disk, rustix::ioctl::NoArg::<BLKRRPART>::new()) }
}

/// Whether the journal of the root file system has changes that are not yet where they belong.
pub(super) fn has_changes_in_journal(partition: &str) -> Result<bool, InitError> {
    Ok(number(&superblock(partition)?, 0x60) & INCOMPAT_RECOVER != 0)
}

/// A field of 32 bits of a superblock.
fn number(superblock: &[u8; 1024], at: usize) -> u64 {
    u64::from(u32::from_le_bytes(superblock[at..at + 4].try_into().expect("four bytes")))
}

/// Prepares the root file system, which is not mounted, to be grown; answers to how many blocks, when there is room.
///
/// When the power fails while it grows, its superblock may count groups whose descriptors are still in the journal.
/// The kernel looks at these before it replays the journal: zeros it takes, what an earlier system left on the
/// disk it does not, so the blocks that will have them are cleared. Source: `ext4_check_descriptors` in
/// `fs/ext4/super.c` of Linux 6.12.
pub(super) fn prepare_growth(partition: &str) -> Result<Option<u64>, InitError> {
    let superblock = superblock(partition)?;
    let has_blocks = number(&superblock, 4) | number(&superblock, 0x150) << 32;
    let fits_blocks = sectors(partition)? * SECTOR_BYTES as u64 / ROOT_BLOCK_BYTES as u64;
    // The kernel cannot add less than a part of a block group; a few blocks are not worth a warning.
    if fits_blocks <= has_blocks + 1024 {
        return Ok(None);
    }
    let path = device(partition);
    let file = open_at(&path, OFlags::RDWR)?;
    let new = has_blocks.div_ceil(META_GROUP_BLOCKS)..fits_blocks.div_ceil(META_GROUP_BLOCKS);
    let mut offsets = new.map(|group| group * META_GROUP_BLOCKS * ROOT_BLOCK_BYTES as u64);
    offsets
        .try_for_each(|offset| put_at(&file, &[0; ROOT_BLOCK_BYTES], offset))
        .and_then(|()| rustix::fs::fsync(&file))
        .map_err(InitError::at("write", path))?;
    Ok(Some(fits_blocks))
}

/// Grows the mounted root file system to so many blocks.
pub(super) fn grow_file_system(blocks: u64) -> Result<(), InitError> {
    let mounted = open_at(super::root::DISK, OFlags::RDONLY)?;
    resize(&mounted, blocks).map_err(InitError::at("grow", super::root::DISK))?;
    kernel::say(&alloc::format!("the root file system now has {blocks} blocks"));
    Ok(())
}

#[expect(unsafe_code, reason = "rustix has no safe name for this request")]
fn resize(mounted: &OwnedFd, blocks: u64) -> rustix::io::Result<()> {
    // SAFETY: EXT4_IOC_RESIZE_FS reads one 64-bit number, which `Setter` passes by reference.
    unsafe {
        let request = rustix::ioctl::Setter::<EXT4_IOC_RESIZE_FS, u64>::new(blocks);
        rustix::ioctl::ioctl(mounted, request)
    }
}
