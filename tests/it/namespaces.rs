//! Programs in namespaces of their own, to take the network, the disk or namespaces away from them.

use std::ffi::CStr;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use nexus_host::exec::environment::Environment;
use rustix::fs::{Mode, OFlags};
use rustix::mount::MountFlags;
use rustix::thread::UnshareFlags;

use crate::support::{Ran, plain_command};

/// Tells a test that it is the run in namespaces.
const INSIDE: &str = "NEXUS_HOST_TEST_INSIDE";

/// Lets `command` start in a new user namespace as its root, and in the others that are named.
pub(crate) fn in_namespaces(command: &mut Command, others: UnshareFlags) {
    let uid = format!("0 {} 1", rustix::process::geteuid().as_raw());
    let gid = format!("0 {} 1", rustix::process::getegid().as_raw());
    let enter = move || {
        unshare(UnshareFlags::NEWUSER)?;
        put(c"/proc/self/setgroups", "deny")?;
        put(c"/proc/self/uid_map", &uid)?;
        put(c"/proc/self/gid_map", &gid)?;
        unshare(others)
    };
    before_start(command, enter);
}

/// Lets `command` start on what looks like a machine that forbids user namespaces.
pub(crate) fn without_namespaces(command: &mut Command) {
    in_namespaces(command, UnshareFlags::empty());
    before_start(command, || put(c"/proc/sys/user/max_user_namespaces", "0"));
}

/// Runs the test `name` again with mounts of its own; `true` in that run.
#[track_caller]
pub(crate) fn has_own_mounts(name: &str) -> bool {
    is_again(name, |command| in_namespaces(command, UnshareFlags::NEWNS))
}

/// Runs the test `name` again where user namespaces are forbidden; `true` in that run.
#[track_caller]
pub(crate) fn has_no_namespaces(name: &str) -> bool {
    is_again(name, without_namespaces)
}

#[track_caller]
fn is_again(name: &str, confine: impl FnOnce(&mut Command)) -> bool {
    let environment = Environment::of_process().unwrap();
    if environment.variable(INSIDE).is_some() {
        return true;
    }
    let mut command = plain_command(&environment.program);
    command.args(["--exact", name, "--nocapture"]).env(INSIDE, "1").stdin(Stdio::null());
    confine(&mut command);
    let ran = Ran::of(command).expect(0);
    assert!(ran.stdout.contains("1 passed"), "no test is called {name}: {}", ran.stdout);
    false
}

/// A file system in memory at `directory`, which can be made smaller and larger; unmounted when dropped.
pub(crate) struct Disk<'p> {
    directory: &'p Path,
}

impl<'p> Disk<'p> {
    /// Mounts one of `bytes`.
    pub(crate) fn mount(directory: &'p Path, bytes: u64) -> Self {
        let options = std::ffi::CString::new(format!("size={bytes},mode=0755")).unwrap();
        let flags = MountFlags::empty();
        rustix::mount::mount("tmpfs", directory, "tmpfs", flags, Some(&*options)).unwrap();
        Self { directory }
    }

    /// Leaves room for `bytes` more than there are.
    pub(crate) fn leave(&self, bytes: u64) {
        // What is written meanwhile may need more than was counted.
        let fits = |_| self.resize(self.used() + bytes).is_ok();
        assert!((0..1000).any(fits), "the disk cannot be made smaller");
    }

    pub(crate) fn resize(&self, bytes: u64) -> io::Result<()> {
        let options = std::ffi::CString::new(format!("size={bytes}")).unwrap();
        Ok(rustix::mount::mount_remount(self.directory, MountFlags::empty(), &*options)?)
    }

    fn used(&self) -> u64 {
        let stat = rustix::fs::statvfs(self.directory).unwrap();
        (stat.f_blocks - stat.f_bfree) * stat.f_frsize
    }
}

impl Drop for Disk<'_> {
    fn drop(&mut self) {
        let _ = rustix::mount::unmount(self.directory, rustix::mount::UnmountFlags::DETACH);
    }
}

fn before_start(
    command: &mut Command,
    act: impl FnMut() -> io::Result<()> + Send + Sync + 'static,
) {
    #[expect(unsafe_code, reason = "only the new process may change its namespaces")]
    // SAFETY: between fork and exec only system calls may be made. `act` makes nothing else: its
    // texts were made before, and rustix calls the kernel directly.
    unsafe {
        command.pre_exec(act);
    }
}

fn unshare(namespaces: UnshareFlags) -> io::Result<()> {
    #[expect(unsafe_code, reason = "unsafe for the sake of file descriptor tables")]
    // SAFETY: the forked process has one thread, and FILES is never among the flags.
    let result = unsafe { rustix::thread::unshare_unsafe(namespaces - UnshareFlags::FILES) };
    Ok(result?)
}

/// The kernel takes these files' contents only in one piece.
fn put(path: &CStr, text: &str) -> io::Result<()> {
    let file = rustix::fs::open(path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
    rustix::io::write(&file, text.as_bytes())?;
    Ok(())
}
