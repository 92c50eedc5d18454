//! The host's file tree: a skeleton in memory, the system over the store, what persists from disk.

use alloc::ffi::CString;
use alloc::format;
use alloc::string::String;
use core::convert::Infallible;

use rustix::mount::{
    MountFlags, UnmountFlags, mount, mount_bind, mount_move, mount_remount, unmount,
};

use super::super::{MACHINE_ID, MOUNT_POINTS, PERSISTENT, SKELETON_DIRECTORIES, SKELETON_LINKS};
use super::files::{exists, is_directory, make_directory, make_directory_with, read, write};
use super::{InitError, bare::execute, files, kernel};

/// Where the root partition is mounted while booting.
pub(super) const DISK: &str = "/disk";
/// Where the host's `/` is put together.
const NEW_ROOT: &str = "/newroot";
/// Most bytes of the list of mount points.
const MOUNT_POINTS_BYTES_MAX: usize = 1 << 20;

pub(super) fn mount_disk(device: &str, flags: MountFlags) -> Result<(), InitError> {
    make_directory(DISK)?;
    let source = format!("/dev/{device}");
    mount(&source, DISK, "ext4", flags, None).map_err(InitError::at("mount", source))
}

/// Lets the kernel bring the root file system in order whose power was cut.
///
/// When that was while it grew, the kernel mounts it only to be read, but replays its journal all the same.
pub(super) fn replay_journal(device: &str) -> Result<(), InitError> {
    mount_disk(device, MountFlags::RDONLY)?;
    unmount(DISK, UnmountFlags::empty()).map_err(InitError::at("unmount", DISK))
}

/// Takes for the root partition what the initrd has at its place.
///
/// The first file system must be a ramfs (`rootfstype=ramfs`): EROFS reads its images from no tmpfs.
pub(super) fn use_memory() -> Result<(), InitError> {
    mount_bind(DISK, DISK).map_err(InitError::at("bind", DISK))
}

/// Puts the host's `/` together from the system `name` of the store.
pub(super) fn compose(name: &str) -> Result<(), InitError> {
    make_directory(NEW_ROOT)?;
    let options = c"mode=0755,size=16M,nr_inodes=16k";
    mount("nexus-root", NEW_ROOT, "tmpfs", MountFlags::empty(), Some(options))
        .map_err(InitError::at("mount", NEW_ROOT))?;
    make_skeleton()?;
    for (persistent, mode) in PERSISTENT {
        bind_persistent(persistent, mode)?;
    }
    let system = format!("{DISK}/nix/store/{name}");
    make_mount_points(&system)?;
    for part in ["usr", "etc"] {
        mount_part(&system, part)?;
    }
    bind_machine_id()?;
    mount_remount(NEW_ROOT, MountFlags::RDONLY | MountFlags::NOATIME, c"")
        .map_err(InitError::at("make read-only", NEW_ROOT))
}

fn make_skeleton() -> Result<(), InitError> {
    for (name, mode) in SKELETON_DIRECTORIES {
        make_directory_with(&format!("{NEW_ROOT}/{name}"), mode)?;
    }
    for (name, target) in SKELETON_LINKS {
        let path = format!("{NEW_ROOT}/{name}");
        rustix::fs::symlink(target, &path).map_err(InitError::at("link", &path))?;
    }
    Ok(())
}

fn bind_persistent(name: &str, mode: u32) -> Result<(), InitError> {
    let source = format!("{DISK}/{name}");
    if !is_directory(&source) {
        make_directory_with(&source, mode)?;
    }
    let target = format!("{NEW_ROOT}/{name}");
    make_directory(&target)?;
    mount_bind(&source, &target).map_err(InitError::at("bind", target))
}

/// Directories that the host's mounts need; names that leave the new root are refused.
fn make_mount_points(system: &str) -> Result<(), InitError> {
    let path = format!("{system}/{MOUNT_POINTS}");
    if !exists(&path) {
        return Ok(());
    }
    let list = read(&path, MOUNT_POINTS_BYTES_MAX)?;
    let inside = |line: &&str| line.starts_with('/') && !line.split('/').any(|part| part == "..");
    for point in list.lines().filter(inside) {
        make_directory(&format!("{NEW_ROOT}{point}"))?;
    }
    Ok(())
}

/// Mounts `<system>/<part>.erofs` over the store as `/<part>`.
fn mount_part(system: &str, part: &str) -> Result<(), InitError> {
    let image = format!("{system}/{part}.erofs");
    let names = format!("/run/nexus-names-{part}");
    make_directory(&names)?;
    mount(&image, &names, "erofs", MountFlags::RDONLY, None)
        .map_err(InitError::at("mount", image))?;
    let options = format!("metacopy=on,redirect_dir=on,lowerdir={names}::{DISK}/nix/store");
    let options = CString::new(options).expect("paths of ours have no NUL");
    let target = format!("{NEW_ROOT}/{part}");
    mount("nexus-system", &target, "overlay", MountFlags::RDONLY, Some(options.as_c_str()))
        .map_err(InitError::at("mount", target))?;
    // The overlay holds the image; its name is not needed any more.
    unmount(&names, UnmountFlags::DETACH).map_err(InitError::at("detach", &names))?;
    rustix::fs::rmdir(&names).map_err(InitError::at("remove", names))
}

/// Makes the machine's id at its first boot and puts it where systemd looks.
fn bind_machine_id() -> Result<(), InitError> {
    let path = format!("{DISK}/{MACHINE_ID}");
    let known = read(&path, 64).is_ok_and(|text| text.trim_end().len() == 32);
    if !known {
        make_machine_id(&path)?;
        kernel::say("made a machine id");
    }
    let target = format!("{NEW_ROOT}/etc/machine-id");
    mount_bind(&path, &target).map_err(InitError::at("bind", &target))?;
    mount_remount(&target, MountFlags::BIND | MountFlags::RDONLY, c"")
        .map_err(InitError::at("make read-only", &target))
}

/// Writes a random id in the form of a version 4 UUID, as machine-id(5) asks; old file or new, whole.
fn make_machine_id(path: &str) -> Result<(), InitError> {
    let mut id = [0; 16];
    rustix::rand::getrandom(&mut id, rustix::rand::GetRandomFlags::empty())
        .map_err(InitError::at("get random bytes for", path))?;
    id[6] = id[6] & 0x0f | 0x40;
    id[8] = id[8] & 0x3f | 0x80;
    let text: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
    let (directory, _) = path.rsplit_once('/').expect("the path is below the disk");
    make_directory(directory)?;
    write(path, format!("{text}\n").as_bytes(), 0o444)
}

/// Makes the new root `/` and becomes `init`.
pub(super) fn switch(init: &str) -> Result<Infallible, InitError> {
    for (source, name) in [("/proc", "proc"), ("/sys", "sys"), ("/dev", "dev"), ("/run", "run")] {
        let target = format!("{NEW_ROOT}/{name}");
        mount_move(source, &target).map_err(InitError::at("move", target))?;
    }
    unmount(DISK, UnmountFlags::DETACH).map_err(InitError::at("detach", DISK))?;
    // The initrd's memory is given back; what cannot be removed does no harm.
    let _kept = files::remove_directory("/modules");
    let _kept = rustix::fs::unlink("/init");
    rustix::process::chdir(NEW_ROOT).map_err(InitError::at("enter", NEW_ROOT))?;
    mount_move(".", "/").map_err(InitError::at("move", NEW_ROOT))?;
    rustix::process::chroot(".").map_err(InitError::at("make root", NEW_ROOT))?;
    rustix::process::chdir("/").map_err(InitError::at("enter", "/"))?;
    let program = CString::new(init).expect("a command line has no NUL");
    Err(InitError::at("start", init)(execute(&program)))
}
