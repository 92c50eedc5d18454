//! The way back of a system that runs from memory: a process that reboots the machine.
//!
//! It needs neither the network nor the service manager nor the disk. The loader then starts what the disk
//! has, which is what ran before.

use rustix::fd::OwnedFd;
use rustix::fs::{Access, AtFlags, OFlags, accessat};
use rustix::system::{RebootCommand, reboot};
use rustix::time::{ClockId, clock_gettime};

use super::super::STAY;
use super::files::open_at;
use super::{InitError, bare, kernel};

/// Time between two looks whether the machine stays.
const TICK_MILLISECONDS: u32 = 500;

/// Starts the process; `seconds` count from the start of the kernel.
pub(super) fn arm(seconds: u32) -> Result<(), InitError> {
    // The directory moves into the new root; held open, it is found there too.
    let run = open_at("/run", OFlags::PATH | OFlags::DIRECTORY)?;
    bare::start_process(|| watch(&run, seconds)).map_err(InitError::at("watch", "/run"))
}

/// Reboots when the time is over; returns when the machine stays.
fn watch(run: &OwnedFd, seconds: u32) {
    let name = STAY.strip_prefix("run/").expect("it lies there");
    while accessat(run, name, Access::EXISTS, AtFlags::empty()).is_err() {
        if clock_gettime(ClockId::Boottime).tv_sec >= i64::from(seconds) {
            kernel::say_critical("nobody said that this system shall stay: rebooting");
            // Root may always; when it fails there is nothing else to try than to try again.
            let _failed = reboot(RebootCommand::Restart);
        }
        kernel::sleep_milliseconds(TICK_MILLISECONDS);
    }
}
