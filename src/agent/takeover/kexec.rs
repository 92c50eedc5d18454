//! Another kernel, loaded beside the running one and started at the end of a clean shutdown.
//!
//! systemd's last program hands over to `/run/initramfs/shutdown` when that is there (bootup(7), "System
//! Manager Shutdown"): everything is stopped and unmounted by then. So nothing need be installed, and what
//! ran before finds its file systems clean when it comes back.

use std::ffi::CString;
use std::fs::{self, File, Permissions};
use std::io::{Read, Seek as _, Write as _};
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use rustix::system::{RebootCommand, reboot};
use sha2::{Digest as _, Sha256};

use super::super::error::AgentError;
use super::super::places::Places;
use super::super::process::succeed;
use super::carried;
use crate::exec::files::{FileError, write_scratch};
use crate::store::Sha256Digest;

/// Number of the system call. Source: `arch/x86/entry/syscalls/syscall_64.tbl` of the kernel.
const KEXEC_FILE_LOAD: i64 = 320;
/// Forgets what is loaded. Source: `KEXEC_FILE_UNLOAD` in `include/uapi/linux/kexec.h`.
const KEXEC_FILE_UNLOAD: u64 = 1;
/// Says "1" when a kernel is loaded.
const LOADED: &str = "sys/kernel/kexec_loaded";
/// Where systemd looks for the program that it runs last.
const LAST_DIRECTORY: &str = "run/initramfs";
/// By which name systemd starts it there.
pub const LAST_PROGRAM: &str = "/shutdown";
/// Most bytes of a kernel and of an initrd.
const BYTES_MAX: u64 = 4 << 30;
/// How long `systemctl` may take to begin a shutdown.
const SHUTDOWN_WITHIN: Duration = Duration::from_secs(30);

/// What comes on standard input, and how it shall be started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToLoad<'a> {
    /// Bytes of the kernel, which comes first.
    pub kernel_bytes: u64,
    /// Bytes of the initrd.
    pub initrd_bytes: u64,
    /// SHA-256 of both together.
    pub sha256: Sha256Digest,
    /// The kernel's command line.
    pub command_line: &'a str,
    /// A directory of files for the host's own place, beside those of the initrd.
    pub carry: Option<&'a Path>,
}

/// Loads a kernel and its initrd from `input`; both stay in memory, nothing is written to a disk.
///
/// # Errors
///
/// Input that is cut off or not what was announced, and whatever the kernel has against it.
pub fn load(to_load: &ToLoad<'_>, input: &mut dyn Read) -> Result<(), AgentError> {
    let mut sha256 = Sha256::new();
    let kernel = receive(c"kernel", to_load.kernel_bytes, input, &mut sha256)?;
    let mut initrd = receive(c"initrd", to_load.initrd_bytes, input, &mut sha256)?;
    if Sha256Digest::from_bytes(sha256.finalize().into()) != to_load.sha256 {
        return Err(AgentError::Damaged { what: "the kernel with its initrd".into() });
    }
    if let Some(directory) = to_load.carry {
        let bytes = initrd.stream_position().map_err(AgentError::at("look at", "the initrd"))?;
        let gap = bytes.next_multiple_of(4) - bytes;
        let archive = carried::archive(directory)?;
        initrd
            .write_all(&[0; 3][..usize::try_from(gap).expect("at most three")])
            .and_then(|()| initrd.write_all(&archive))
            .map_err(AgentError::at("add to", "the initrd"))?;
    }
    let line = CString::new(to_load.command_line)
        .map_err(|_| AgentError::Usage("a command line has no NUL".into()))?;
    let [kernel, initrd] = [&kernel, &initrd].map(|file| file.as_fd().as_raw_fd());
    kexec_file_load(kernel, initrd, &line, 0).map_err(|error| {
        // The kernel's own words for it are "out of memory" and "not supported", whatever the reason.
        AgentError::at("load", "the kernel of the new system")(error)
    })
}

/// Reads `bytes` bytes into a file in memory.
fn receive(
    name: &std::ffi::CStr,
    bytes: u64,
    input: &mut dyn Read,
    sha256: &mut Sha256,
) -> Result<File, AgentError> {
    let failed = |source| AgentError::at("receive", name.to_string_lossy().as_ref())(source);
    if bytes > BYTES_MAX {
        return Err(AgentError::Usage(format!("{bytes} bytes are too many")));
    }
    let flags = rustix::fs::MemfdFlags::CLOEXEC;
    let mut file =
        File::from(rustix::fs::memfd_create(name, flags).map_err(|error| failed(error.into()))?);
    let mut buffer = vec![0; 1 << 20];
    let mut left = bytes;
    while left > 0 {
        let step = usize::try_from(left.min(buffer.len() as u64)).expect("a buffer");
        match input.read(&mut buffer[..step]) {
            Ok(0) => return Err(failed(std::io::ErrorKind::UnexpectedEof.into())),
            Ok(count) => {
                sha256.update(&buffer[..count]);
                file.write_all(&buffer[..count]).map_err(failed)?;
                left -= count as u64;
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(failed(error)),
        }
    }
    Ok(file)
}

/// Begins the shutdown at whose end the loaded kernel starts.
///
/// # Errors
///
/// When none is loaded, or the shutdown does not begin; then this system runs on.
pub fn go(places: &Places) -> Result<(), AgentError> {
    let loaded = places.at(LOADED);
    let text = fs::read_to_string(&loaded).map_err(FileError::at("read", &loaded))?;
    if text.trim() != "1" {
        return Err(AgentError::Unexpected("no kernel is loaded".into()));
    }
    let directory = places.at(LAST_DIRECTORY);
    fs::create_dir_all(&directory).map_err(FileError::at("create", &directory))?;
    // A file system of its own: Debian's /run runs no programs.
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    mount("nexus-takeover", &directory, "tmpfs", flags, Some(c"mode=0700,size=32M"))
        .map_err(AgentError::at("mount", &directory))?;
    let begin = || {
        let own = Path::new("/proc/self/exe");
        let program = fs::read(own).map_err(FileError::at("read", own))?;
        let last = directory.join("shutdown");
        write_scratch(&last, &program)?;
        fs::set_permissions(&last, Permissions::from_mode(0o700))
            .map_err(FileError::at("set the mode of", &last))?;
        succeed(&["systemctl", "--no-block", "reboot"], SHUTDOWN_WITHIN).map(drop)
    };
    begin().inspect_err(|_| {
        // The error is told; a mount that stays would only run this program at the next shutdown.
        let _kept = unmount(&directory, UnmountFlags::DETACH);
    })
}

/// Forgets the loaded kernel; this system runs on as if nothing had been.
///
/// # Errors
///
/// When the kernel refuses.
pub fn forget(places: &Places) -> Result<(), AgentError> {
    let _none = unmount(places.at(LAST_DIRECTORY), UnmountFlags::DETACH);
    kexec_file_load(-1, -1, c"", KEXEC_FILE_UNLOAD).map_err(AgentError::at("forget", "the kernel"))
}

/// The last program of the old system: `verb` is what systemd was asked for.
///
/// Starts the loaded kernel; when there is none or it does not start, the machine reboots, and so its disk
/// is booted again.
pub fn last_program(verb: &str) -> AgentError {
    rustix::fs::sync();
    leave_old_root();
    rustix::fs::sync();
    let command = match verb {
        "poweroff" => RebootCommand::PowerOff,
        "halt" => RebootCommand::Halt,
        _ => RebootCommand::Kexec,
    };
    let answer = reboot(command);
    let _unheard = answer.map_err(|error| {
        let line = format!("<2>nexus-agent: the new kernel does not start: {error}\n");
        fs::OpenOptions::new().write(true).open("/dev/kmsg")?.write_all(line.as_bytes())
    });
    match reboot(RebootCommand::Restart) {
        Ok(()) => AgentError::Unexpected("the machine does not reboot".into()),
        Err(error) => AgentError::at("reboot", "the machine")(error),
    }
}

/// Unmounts what is left of the old root; systemd has made it read-only before.
fn leave_old_root() {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let points = mounts.lines().filter_map(|line| line.split(' ').nth(4));
    let mut points: Vec<&str> = points.filter(|point| point.starts_with("/oldroot")).collect();
    points.reverse();
    for point in points {
        // Read-only is clean too.
        let _busy = unmount(point, UnmountFlags::empty());
    }
}

#[expect(unsafe_code, reason = "rustix has no kexec_file_load")]
fn kexec_file_load(
    kernel: i32,
    initrd: i32,
    line: &std::ffi::CStr,
    flags: u64,
) -> Result<(), Errno> {
    let answer: i64;
    // SAFETY: the call reads the command line, which lives until it returns, and changes the registers
    // named and nothing in our memory.
    unsafe {
        std::arch::asm!("syscall", inlateout("rax") KEXEC_FILE_LOAD => answer,
            in("rdi") i64::from(kernel), in("rsi") i64::from(initrd),
            in("rdx") line.to_bytes_with_nul().len(), in("r10") line.as_ptr(), in("r8") flags,
            lateout("rcx") _, lateout("r11") _, options(nostack));
    }
    if answer == 0 {
        return Ok(());
    }
    Err(Errno::from_raw_os_error(i32::try_from(-answer).unwrap_or(i32::MAX)))
}

#[cfg(test)]
mod tests;
