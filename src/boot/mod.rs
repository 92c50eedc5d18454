//! What the image, the boot loader and `nexus-init` agree on; and `nexus-init` itself.
//!
//! Built without the `builder` feature too, for the program in the initrd. `host` is the part that
//! changes the world; the rest is values.

pub mod arguments;
pub mod gpt;
#[cfg(not(any(feature = "builder", feature = "agent")))]
pub mod host;

/// Name of the GPT partition that holds the root file system.
pub const ROOT_LABEL: &str = "nexus-root";
/// Bytes of a block of the root file system.
pub const ROOT_BLOCK_BYTES: usize = 4096;
/// Blocks of a block group of it: one bitmap block describes this many.
pub const ROOT_BLOCKS_PER_GROUP: u32 = 32768;
/// Block groups whose descriptors share a block, the first one of theirs.
pub const ROOT_GROUPS_PER_META: u32 = 64;
/// Name of the GPT partition that the firmware reads.
pub const ESP_LABEL: &str = "nexus-esp";
/// Where the store lies on the host.
pub const STORE_DIRECTORY: &str = "/nix/store";
/// Directory of the root partition whose subdirectories appear in `/`.
pub const PERSISTENT: [(&str, u32); 5] =
    [("nix", 0o755), ("var", 0o755), ("home", 0o755), ("root", 0o700), ("srv", 0o755)];
/// Where the machine id is kept; systemd sees it at `/etc/machine-id`.
pub const MACHINE_ID: &str = "var/lib/nexus-host/machine-id";
/// A system that runs from memory stays, and does not reboot by itself, once this file is there.
pub const STAY: &str = "run/nexus-host/stay";
/// Optional file of a system: directories to make in `/`, one a line, for further mounts.
pub const MOUNT_POINTS: &str = "mount-points";
/// Directories of `/` and their modes.
pub const SKELETON_DIRECTORIES: [(&str, u32); 11] = [
    ("boot", 0o755),
    ("dev", 0o755),
    ("efi", 0o755),
    ("etc", 0o755),
    ("media", 0o755),
    ("mnt", 0o755),
    ("proc", 0o555),
    ("run", 0o755),
    ("sys", 0o555),
    ("tmp", 0o1777),
    ("usr", 0o755),
];
/// Links of `/`: Debian's merged `/usr`, and `/opt`, which packages may fill.
pub const SKELETON_LINKS: [(&str, &str); 5] = [
    ("bin", "usr/bin"),
    ("lib", "usr/lib"),
    ("lib64", "usr/lib64"),
    ("sbin", "usr/sbin"),
    ("opt", "usr/lib/opt"),
];
