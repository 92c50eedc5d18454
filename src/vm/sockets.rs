//! Unix sockets by which QEMU calls us: no race, no polling for a file, names relative to its directory.

use std::fs::File;
use std::os::fd::AsRawFd as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::error::Problem;
use crate::exec::interrupt::Interrupt;

/// A socket that QEMU connects to once.
#[derive(Debug)]
pub(super) struct Door {
    listener: UnixListener,
    /// Kept open, because the socket's short path goes through its descriptor.
    _directory: File,
}

impl Door {
    /// Makes the socket `name` in `directory`.
    ///
    /// A socket's path has at most 107 bytes (`sun_path` in unix(7)), which a directory of the user can
    /// exceed; the path is therefore spelled through `/proc/self/fd`.
    pub(super) fn open(directory: &Path, name: &str) -> std::io::Result<Self> {
        let handle = File::open(directory)?;
        let short = PathBuf::from(format!("/proc/self/fd/{}", handle.as_raw_fd())).join(name);
        let listener = UnixListener::bind(short)?;
        Ok(Self { listener, _directory: handle })
    }

    /// Waits for the one caller; `ended` says whether QEMU is gone.
    pub(super) fn accept(
        &self,
        what: &'static str,
        within: Duration,
        interrupt: &Interrupt,
        mut ended: impl FnMut() -> Option<Problem>,
    ) -> Result<UnixStream, Problem> {
        let fail = |source| Problem::Channel { action: what, source };
        let deadline = Instant::now() + within;
        self.listener.set_nonblocking(true).map_err(fail)?;
        loop {
            match self.listener.accept() {
                Ok((stream, _)) => {
                    stream.set_nonblocking(false).map_err(fail)?;
                    return Ok(stream);
                }
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(fail(error)),
            }
            if interrupt.is_set() {
                return Err(Problem::Interrupted);
            }
            if let Some(problem) = ended() {
                return Err(problem);
            }
            if Instant::now() >= deadline {
                return Err(fail(std::io::ErrorKind::TimedOut.into()));
            }
            wait_readable(&self.listener, Duration::from_millis(100)).map_err(fail)?;
        }
    }
}

/// Sleeps until `handle` has something to read, at most `within`.
fn wait_readable(handle: &UnixListener, within: Duration) -> std::io::Result<()> {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let timeout = Timespec { tv_sec: 0, tv_nsec: i64::from(within.subsec_nanos()) };
    match poll(&mut [PollFd::new(handle, PollFlags::IN)], Some(&timeout)) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
