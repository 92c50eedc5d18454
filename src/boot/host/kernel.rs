//! The kernel's own file systems, its log, its modules.

use alloc::ffi::CString;

use rustix::fs::{Mode, OFlags, open};
use rustix::io::Errno;
use rustix::mount::{MountFlags, mount};
use rustix::thread::{NanosleepRelativeResult, Timespec, nanosleep};

use super::InitError;
use super::files::{make_directory, names_in, open_at};

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

/// Writes a line to the kernel log; one write, so that it stays whole.
pub(super) fn say(text: &str) {
    log(6, text);
}

/// Writes a line to the kernel log that also a quiet console shows.
pub(super) fn say_critical(text: &str) {
    log(2, text);
}

fn log(level: u8, text: &str) {
    let flags = OFlags::WRONLY | OFlags::CLOEXEC;
    if let Ok(log) = open("/dev/kmsg", flags, Mode::empty()) {
        let line = alloc::format!("<{level}>nexus-init: {text}\n");
        // There is nobody else to tell.
        let _lost = rustix::io::write(&log, line.as_bytes());
    }
}

/// Waits.
pub(super) fn sleep_milliseconds(milliseconds: u32) {
    let nanoseconds = i64::from(milliseconds % 1000) * 1_000_000;
    let mut left = Timespec { tv_sec: i64::from(milliseconds / 1000), tv_nsec: nanoseconds };
    while let NanosleepRelativeResult::Interrupted(rest) = nanosleep(&left) {
        left = rest;
    }
}

/// Loads the modules of the initrd in the order of their names.
pub(super) fn load_modules() -> Result<(), InitError> {
    let Ok(names) = names_in(MODULES) else { return Ok(()) };
    for name in names {
        let path = alloc::format!("{MODULES}/{name}");
        let file = open_at(&path, OFlags::RDONLY)?;
        let flags = if name.ends_with(".ko") { 0 } else { COMPRESSED_FILE };
        match rustix::system::finit_module(&file, c"", flags) {
            // Built in, or no such hardware.
            Ok(()) | Err(Errno::EXIST | Errno::NODEV) => {}
            Err(error) => {
                let why = super::in_words(error);
                say(&alloc::format!("module {name} is not loaded: {why}"));
            }
        }
    }
    Ok(())
}
