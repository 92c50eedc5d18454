//! The kernel's own file systems, its log, its modules.

use std::ffi::CString;
use std::fs::File;
use std::io::Write as _;
use std::path::PathBuf;

use rustix::mount::{MountFlags, mount};

use super::InitError;

/// Where the initrd has the modules, named in the order of loading.
const MODULES: &str = "/modules";
/// Lets the kernel decompress a module. Source: `MODULE_INIT_COMPRESSED_FILE` in
/// `include/uapi/linux/module.h`.
const COMPRESSED_FILE: i32 = 4;

pub(super) fn mount_pseudo_file_systems() -> Result<(), InitError> {
    let wanted = [
        ("proc", "/proc", MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC, ""),
        ("sysfs", "/sys", MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC, ""),
        ("devtmpfs", "/dev", MountFlags::NOSUID, "mode=0755"),
        ("tmpfs", "/run", MountFlags::NOSUID | MountFlags::NODEV, "mode=0755,size=20%"),
    ];
    for (kind, target, flags, options) in wanted {
        make_directory(target)?;
        let options = CString::new(options).expect("the options are constants");
        mount(kind, target, kind, flags, Some(options.as_c_str()))
            .map_err(InitError::at("mount", target))?;
    }
    Ok(())
}

/// Makes a directory and those above it.
pub(super) fn make_directory(path: &str) -> Result<(), InitError> {
    std::fs::create_dir_all(path).map_err(InitError::at("create", path))
}

/// Writes a line to the kernel log; one write, so that it stays whole.
pub(super) fn say(text: &str) {
    log(6, text);
}

/// Writes a line to the kernel log that also a quiet console shows.
pub(super) fn say_critical(text: &str) {
    log(2, text);
}

fn log(level: u8, text: &str) {
    if let Ok(mut log) = File::options().write(true).open("/dev/kmsg") {
        // There is nobody else to tell.
        let _lost = log.write_all(format!("<{level}>nexus-init: {text}\n").as_bytes());
    }
}

/// Loads the modules of the initrd in the order of their names.
pub(super) fn load_modules() -> Result<(), InitError> {
    let Ok(listed) = std::fs::read_dir(MODULES) else { return Ok(()) };
    let mut paths: Vec<PathBuf> = listed.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths {
        let file = File::open(&path).map_err(InitError::at("open", &path))?;
        let compressed = path.extension().is_some_and(|extension| extension != "ko");
        let flags = if compressed { COMPRESSED_FILE } else { 0 };
        match rustix::system::finit_module(&file, c"", flags) {
            // Built in, or no such hardware.
            Ok(()) | Err(rustix::io::Errno::EXIST | rustix::io::Errno::NODEV) => {}
            Err(error) => say(&format!("module {} is not loaded: {error}", path.display())),
        }
    }
    Ok(())
}
