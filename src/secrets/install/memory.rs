//! Memory: file systems that live in it, and keeping a process' own out of dumps.

use std::io;
use std::path::Path;

use rustix::mount::MountFlags;
use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};

/// Magic numbers of file systems in memory. Source: statfs(2).
const MAGIC_NUMBERS: [i128; 2] = [0x0102_1994, 0x8584_58f6];

/// Whether files in `folder` live in memory: a tmpfs or ramfs.
pub fn is_in_memory(folder: &Path) -> bool {
    // The field is signed or not, and of 32 or 64 bits, by architecture and C library.
    let is_one = |found: i128| MAGIC_NUMBERS.contains(&(found & 0xffff_ffff));
    rustix::fs::statfs(folder).is_ok_and(|found| is_one(i128::from(found.f_type)))
}

/// Mounts a ramfs, which is never swapped out, on `folder`, made if need be; nothing is done when one is
/// there already.
///
/// # Errors
///
/// What the kernel said.
pub fn mount_memory(folder: &Path) -> io::Result<()> {
    std::fs::create_dir_all(folder)?;
    if is_mount_point(folder)? && is_in_memory(folder) {
        return Ok(());
    }
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    rustix::mount::mount("ramfs", folder, "ramfs", flags, Some(c"mode=0711"))?;
    Ok(())
}

/// Keeps the memory of this process, and of what it starts, out of core dumps and debuggers.
///
/// A limit alone is not enough: a kernel that pipes dumps into a program (`core_pattern`, core(5)) pays no
/// heed to it.
pub fn keep_out_of_dumps() {
    // Both only ever tighten; where they are refused, the process works all the same.
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    let _refused = setrlimit(Resource::Core, none);
    let _refused = set_dumpable_behavior(DumpableBehavior::NotDumpable);
}

/// Whether `folder` is the root of a mount.
fn is_mount_point(folder: &Path) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt as _;
    let parent = folder.parent().unwrap_or(folder);
    Ok(std::fs::metadata(folder)?.dev() != std::fs::metadata(parent)?.dev())
}
