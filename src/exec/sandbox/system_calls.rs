//! The system calls that neither the standard library nor rustix offers as safe functions.

use std::ffi::CString;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use rustix::process::Pid;
use rustix::thread::UnshareFlags;

/// Forks; `None` in the new process.
///
/// For processes with one thread: in the copy of a process with more, locks may be held by threads
/// that are not there.
pub(super) fn fork() -> io::Result<Option<Pid>> {
    #[expect(unsafe_code, reason = "rustix and the standard library have no fork")]
    // SAFETY: the sandbox's processes have a single thread: `child_main` runs before anything else
    // in a fresh program and starts none. So the copy is as whole as the original.
    let result = unsafe { libc::fork() };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(Pid::from_raw(result))
}

/// Moves the process into new namespaces.
pub(in crate::exec) fn unshare(namespaces: UnshareFlags) -> io::Result<()> {
    #[expect(unsafe_code, reason = "unsafe for the sake of file descriptor tables")]
    // SAFETY: the danger is a descriptor table that is no longer shared between threads; FILES is
    // not among the flags, and there is one thread.
    let result = unsafe { rustix::thread::unshare_unsafe(namespaces - UnshareFlags::FILES) };
    Ok(result?)
}

/// Marks every descriptor from `first` on to be closed when a program is started.
pub(super) fn close_on_exec_from(first: u32) -> io::Result<()> {
    let flags = libc::c_int::try_from(libc::CLOSE_RANGE_CLOEXEC).expect("the flag is 4");
    #[expect(unsafe_code, reason = "rustix has no close_range")]
    // SAFETY: only the close-on-exec flag of descriptors changes; none is closed under its owner.
    let result = unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, flags) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Makes the mount at `target` and those below it read-only.
pub(super) fn make_read_only(target: &Path) -> io::Result<()> {
    let target = CString::new(target.as_os_str().as_bytes())?;
    let attributes = libc::mount_attr {
        attr_set: libc::MOUNT_ATTR_RDONLY,
        attr_clr: 0,
        propagation: 0,
        userns_fd: 0,
    };
    #[expect(unsafe_code, reason = "rustix has no mount_setattr")]
    // SAFETY: the path is NUL-terminated, the structure is initialised, its size is given, and both
    // outlive the call, which only reads them.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            libc::AT_FDCWD,
            target.as_ptr(),
            libc::AT_RECURSIVE,
            &raw const attributes,
            size_of::<libc::mount_attr>(),
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Kills every other process of the process namespace; for its process 1 only.
pub(super) fn kill_all_others() {
    #[expect(unsafe_code, reason = "rustix has no kill with -1")]
    // SAFETY: no memory is touched. As process 1 of a process namespace, -1 means the others in it.
    unsafe {
        libc::kill(-1, libc::SIGKILL);
    }
}

/// Ends the process at once, without running anything that was to run at its end.
pub(super) fn exit_now(code: i32) -> ! {
    #[expect(unsafe_code, reason = "the standard library's exit runs handlers of the original")]
    // SAFETY: ends the process; no destructor that another process depends on is skipped.
    unsafe {
        libc::_exit(code)
    }
}
