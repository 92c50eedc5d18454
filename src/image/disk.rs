//! A whole disk that boots on BIOS and UEFI: partition table, GRUB, ESP, root file system.
//!
//! ```text
//! 0        partition table, boot.img
//! 1 MiB    nexus-bios   core.img of GRUB
//! 2 MiB    nexus-esp    FAT32: both loaders' menus, kernels, initrds
//! then     nexus-root   ext4, grows with the disk
//! end      1 MiB for the other copy of the partition table
//! ```

use thiserror::Error;

use crate::boot::{ESP_LABEL, ROOT_LABEL};

use super::ext4::{self, Ext4Error};
use super::fat::{self, FatError};
use super::gpt::{self, BACKUP_BYTES, Partition};
use super::grub::{self, BootCode, GrubError};
use super::identity::{Guid, uuid};
use super::plan::DiskPlan;
use super::segment::{Data, ImageTree, Layout, Segment};

const MIB: u64 = 1 << 20;
/// Name of the partition that holds GRUB's core.
const BIOS_LABEL: &str = "nexus-bios";
/// Where that partition begins, and its size.
const BIOS_START: u64 = MIB;
const BIOS_BYTES: u64 = MIB;
/// Where the ESP begins.
const ESP_START: u64 = BIOS_START + BIOS_BYTES;
/// Partition types: "BIOS boot" of GRUB's manual, "EFI system" of UEFI 2.10, and "root, x86-64" of the UAPI
/// group's Discoverable Partitions Specification.
const TYPE_BIOS: Guid =
    Guid::new(0x2168_6148, 0x6449, 0x6e6f, [0x74, 0x4e, 0x65, 0x65, 0x64, 0x45, 0x46, 0x49]);
const TYPE_ESP: Guid =
    Guid::new(0xc12a_7328, 0xf81f, 0x11d2, [0xba, 0x4b, 0x00, 0xa0, 0xc9, 0x3e, 0xc9, 0x3b]);
const TYPE_ROOT: Guid =
    Guid::new(0x4f68_bce3, 0xe8cd, 0x4db1, [0x96, 0xe7, 0xfb, 0xca, 0xf9, 0x84, 0xb7, 0x09]);

/// What goes onto a disk.
#[derive(Debug, Clone, Copy)]
pub struct DiskContents<'a> {
    /// The host; all identifiers derive from its name.
    pub host: &'a str,
    /// Seconds since 1970 that the file systems were made.
    pub epoch: u64,
    /// GRUB's boot.img and core.img.
    pub grub: (&'a [u8], &'a [u8]),
    /// Files of the ESP.
    pub esp: &'a ImageTree,
    /// Files of the root partition.
    pub root: &'a ImageTree,
}

/// Contents that do not make a disk.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DiskError {
    /// The loader for machines with a BIOS.
    #[error("GRUB cannot be installed")]
    Grub(#[from] GrubError),
    /// The partition that firmware reads.
    #[error("the EFI system partition cannot be made")]
    Esp(#[from] FatError),
    /// The root partition.
    #[error("the root file system cannot be made")]
    Root(#[from] Ext4Error),
}

/// The disk with `contents`, of the sizes of `plan`; the same arguments give the same disk.
///
/// # Errors
///
/// [`DiskError`] when a part cannot be made, such as an ESP too small for its kernels.
pub fn layout(plan: &DiskPlan, contents: &DiskContents<'_>) -> Result<Layout, DiskError> {
    let (host, esp_bytes) = (contents.host, plan.esp.bytes());
    let root_start = ESP_START + esp_bytes;
    let root_bytes = root_bytes(plan, contents.root, root_start)?;
    let disk_bytes = root_start + root_bytes + BACKUP_BYTES;
    let partition = |name, kind, start, size| Partition {
        name,
        kind,
        id: Guid::derived(host, name),
        start,
        size,
    };
    let partitions = [
        partition(BIOS_LABEL, TYPE_BIOS, BIOS_START, BIOS_BYTES),
        partition(ESP_LABEL, TYPE_ESP, ESP_START, esp_bytes),
        partition(ROOT_LABEL, TYPE_ROOT, root_start, root_bytes),
    ];
    let BootCode { mbr, core } =
        grub::boot_code(contents.grub.0, contents.grub.1.to_vec(), BIOS_START, BIOS_BYTES)?;
    let mut segments = gpt::table(disk_bytes, Guid::derived(host, "disk"), &partitions, &mbr);
    segments.push(Segment { offset: BIOS_START, data: Data::Bytes(core) });
    segments.extend(esp(contents, esp_bytes)?.shifted(ESP_START));
    segments.extend(root(contents, root_bytes)?.shifted(root_start));
    Ok(Layout::new(disk_bytes, segments))
}

/// Bytes of the root partition: what the contents need, or what a larger disk leaves.
fn root_bytes(plan: &DiskPlan, root: &ImageTree, start: u64) -> Result<u64, DiskError> {
    let needed = ext4::size_for(root, plan.root_free.bytes())?;
    let rest = plan.disk.map_or(0, |disk| disk.bytes().saturating_sub(start + BACKUP_BYTES));
    Ok(needed.max(rest))
}

fn esp(contents: &DiskContents<'_>, size: u64) -> Result<Layout, DiskError> {
    let [a, b, c, d, ..] = uuid(contents.host, ESP_LABEL);
    let volume_id = u32::from_be_bytes([a, b, c, d]);
    let parameters = fat::Parameters { size, label: *b"NEXUS-ESP  ", volume_id };
    Ok(fat::layout(contents.esp, &parameters)?)
}

fn root(contents: &DiskContents<'_>, size: u64) -> Result<Layout, DiskError> {
    let parameters = ext4::Parameters {
        uuid: uuid(contents.host, ROOT_LABEL),
        hash_seed: uuid(contents.host, "nexus-root hash seed"),
        label: ROOT_LABEL.to_owned(),
        size,
        epoch: contents.epoch,
    };
    Ok(ext4::layout(contents.root, &parameters)?)
}

#[cfg(test)]
mod tests;
