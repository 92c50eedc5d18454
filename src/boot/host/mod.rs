//! `nexus-init`: the first program of the host. Finds the root, mounts the system, hands over.
//!
//! ```text
//! /disk     the root partition, or what the initrd has there (`nexus.root=memory`) → binds /nix /var /home /root /srv
//! /newroot  tmpfs, read-only at the end   → / with links bin, lib, lib64, sbin, opt
//! <system>/usr.erofs :: /nix/store        → /usr
//! <system>/etc.erofs :: /nix/store        → /etc, the machine id bound over etc/machine-id
//! ```

mod bare;
mod disk;
mod files;
mod kernel;
mod returning;
mod root;

use alloc::string::String;
use core::convert::Infallible;

use rustix::io::Errno;
use rustix::mount::MountFlags;
use thiserror::Error;

use super::arguments::{ArgumentsError, BootArguments, RootDevice};
use super::gpt::GptError;

/// How long a root device may take to appear.
const ROOT_SECONDS_MAX: u32 = 60;
/// Most bytes of the kernel's command line; the kernel itself allows 2,048 on x86.
const COMMAND_LINE_BYTES_MAX: usize = 64 << 10;

/// Why the host does not boot.
#[derive(Debug, Error)]
pub enum InitError {
    /// The command line does not say what to boot.
    #[error(transparent)]
    Arguments(#[from] ArgumentsError),
    /// A system call failed.
    #[error("cannot {action} {path}: {}", in_words(*answer))]
    Call {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: String,
        /// What the kernel said.
        answer: Errno,
    },
    /// The root partition did not appear.
    #[error("no root partition {0} after {ROOT_SECONDS_MAX} s")]
    NoRoot(String),
    /// The partition table cannot be grown.
    #[error(transparent)]
    Gpt(#[from] GptError),
}

impl InitError {
    /// For `map_err`: adds what was tried and where to the kernel's answer.
    fn at(action: &'static str, path: impl Into<String>) -> impl FnOnce(Errno) -> InitError {
        let path = path.into();
        move |answer| InitError::Call { action, path, answer }
    }
}

/// The answers that a damaged disk or system gives, in words; others by number. Source: errno(3).
fn in_words(answer: Errno) -> String {
    let words = match answer {
        Errno::NOENT => "there is no such file",
        Errno::IO => "input/output error",
        Errno::NODEV => "there is no such device or file system",
        Errno::INVAL => "invalid argument",
        Errno::NOSPC => "the disk is full",
        Errno::ROFS => "the file system is read-only",
        Errno::UCLEAN => "the file system is damaged",
        Errno::NOEXEC => "it is not a program",
        Errno::ACCESS => "permission denied",
        other => return alloc::format!("error {}", other.raw_os_error()),
    };
    words.into()
}

/// Boots the host; returns only when it cannot.
///
/// # Errors
///
/// The first step that failed; the caller says it and ends, so that the kernel panics and reboots.
pub fn boot() -> Result<Infallible, InitError> {
    kernel::mount_pseudo_file_systems()?;
    kernel::say("starting");
    let line = files::read("/proc/cmdline", COMMAND_LINE_BYTES_MAX)?;
    let arguments = BootArguments::parse(&line)?;
    if let Some(seconds) = arguments.return_seconds {
        returning::arm(seconds)?;
    }
    kernel::load_modules()?;
    match &arguments.root {
        RootDevice::Memory => root::use_memory()?,
        device => use_disk(device)?,
    }
    root::compose(&arguments.system)?;
    kernel::say("handing over");
    root::switch(&arguments.init)
}

/// Finds the root partition, lets it fill its disk, and mounts it.
fn use_disk(wanted: &RootDevice) -> Result<(), InitError> {
    let device = disk::find_root(wanted, ROOT_SECONDS_MAX)?;
    // A disk that cannot be grown is still a disk that boots.
    let device = match disk::grow_partition(&device) {
        Ok(device) => device,
        Err(error) => {
            kernel::say(&alloc::format!("the root partition stays as it is: {error}"));
            device
        }
    };
    if disk::has_changes_in_journal(&device)? {
        root::replay_journal(&device)?;
    }
    let growth = disk::prepare_growth(&device);
    root::mount_disk(&device, MountFlags::NOATIME)?;
    if let Err(error) = growth.and_then(|to| to.map_or(Ok(()), disk::grow_file_system)) {
        kernel::say(&alloc::format!("the root file system stays as it is: {error}"));
    }
    Ok(())
}

/// Says on the console and in the kernel log why the host does not boot.
pub fn say_failure(error: &InitError) {
    kernel::say_critical(&alloc::format!("{error}"));
}
