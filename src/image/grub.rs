//! GRUB for machines with a BIOS: which parts are needed, and where they find each other on the disk.
//!
//! ```text
//! sector 0      boot.img, 440 bytes: loads one sector, whose number it holds at byte 92
//! BIOS-boot     core.img: its first sector (diskboot.img) loads the others, listed in its last 12 bytes,
//! partition     { first sector u64, count u16, segment u16 }; then the compressed kernel and modules
//! ESP           /grub/grub.cfg and /grub/grubenv, found by the prefix in core.img
//! ```
//!
//! Source: `grub-core/boot/i386/pc/{boot,diskboot}.S`, `include/grub/offsets.h` and `util/setup.c` of GRUB 2.12.

use std::ffi::OsString;
use std::path::Path;

use thiserror::Error;

use super::bytes::{low16, low32, put, put_u64};
use super::gpt::BOOT_CODE_BYTES;

/// Modules in core.img: to read the ESP, to follow `grub.cfg`, to start Linux.
pub const MODULES: [&str; 13] = [
    "biosdisk",
    "part_gpt",
    "fat",
    "normal",
    "configfile",
    "linux",
    "loadenv",
    "test",
    "echo",
    "serial",
    "terminal",
    "reboot",
    "sleep",
];
/// Where the ESP is, seen from core.img: on the disk it was started from, as second partition.
pub const PREFIX: &str = "(,gpt2)/grub";
/// Where the images and modules lie in Debian's `grub-pc-bin`.
pub const DIRECTORY: &str = "usr/lib/grub/i386-pc";
/// In boot.img: the first sector to load, the drive, and the check that the BIOS named a hard disk.
const KERNEL_SECTOR_AT: usize = 0x5c;
const DRIVE_AT: usize = 0x64;
const DRIVE_CHECK_AT: usize = 0x66;
/// In diskboot.img: the one entry of its list.
const LIST_AT: usize = 512 - 12;
/// The segment at which the rest of core.img is loaded.
const SEGMENT: u16 = 0x820;

/// What starts GRUB, made for one place on the disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BootCode {
    /// The first 440 bytes of the disk.
    pub mbr: Vec<u8>,
    /// Contents of the BIOS-boot partition.
    pub core: Vec<u8>,
}

/// Files that are not what GRUB installs.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum GrubError {
    /// boot.img is not one sector of the shape that we know.
    #[error("boot.img is not a boot sector of GRUB")]
    Boot,
    /// core.img does not list its own sectors where we know the list to be.
    #[error("core.img does not begin like one of GRUB for a BIOS disk")]
    List,
    /// core.img is shorter than two sectors or longer than the partition for it.
    #[error("core.img has {bytes} bytes, expected 1024 to {max}")]
    Core {
        /// Bytes found.
        bytes: usize,
        /// Bytes of the BIOS-boot partition.
        max: u64,
    },
}

/// The command that makes core.img at `output`, in a root that has `grub-common` and `grub-pc-bin`.
pub fn mkimage_command(output: &Path) -> Vec<OsString> {
    let directory = format!("/{DIRECTORY}");
    let fixed = ["/usr/bin/grub-mkimage", "-O", "i386-pc", "-d", &directory, "-p", PREFIX, "-o"];
    fixed
        .into_iter()
        .map(OsString::from)
        .chain([output.into()])
        .chain(MODULES.map(OsString::from))
        .collect()
}

/// Makes boot.img and core.img find each other when core.img begins at byte `start` of the disk.
///
/// # Errors
///
/// [`GrubError`] when a file cannot be one of GRUB's, or does not fit into `room` bytes.
pub fn boot_code(
    boot: &[u8],
    mut core: Vec<u8>,
    start: u64,
    room: u64,
) -> Result<BootCode, GrubError> {
    if !is_boot_image(boot) {
        return Err(GrubError::Boot);
    }
    let bytes = core.len();
    if bytes < 1024 || bytes as u64 > room {
        return Err(GrubError::Core { bytes, max: room });
    }
    let sector = start / super::gpt::SECTOR_BYTES;
    let others = low16(low32(bytes.div_ceil(512) as u64 - 1));
    let list = [others.to_le_bytes(), SEGMENT.to_le_bytes()].concat();
    if core[LIST_AT + 8..LIST_AT + 12] != list {
        return Err(GrubError::List);
    }
    let mut mbr = boot[..BOOT_CODE_BYTES].to_vec();
    put_u64(&mut mbr, KERNEL_SECTOR_AT, sector);
    // The drive is the one that the BIOS names; some say 0 for a disk, so the check becomes a no-operation.
    put(&mut mbr, DRIVE_CHECK_AT, &[0x90, 0x90]);
    put_u64(&mut core, LIST_AT, sector + 1);
    Ok(BootCode { mbr, core })
}

/// Whether the places that we change hold what GRUB 2.06 to 2.12 put there: sector 1, any drive, a jump.
fn is_boot_image(boot: &[u8]) -> bool {
    boot.len() == 512
        && boot[510..] == [0x55, 0xaa]
        && boot[KERNEL_SECTOR_AT..KERNEL_SECTOR_AT + 8] == 1_u64.to_le_bytes()
        && boot[DRIVE_AT] == 0xff
        && boot[DRIVE_CHECK_AT..DRIVE_CHECK_AT + 2] == [0xeb, 5]
}

#[cfg(test)]
mod tests;
