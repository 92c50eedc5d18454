//! Takes a machine over: from another system into this host's, which runs from memory and writes the disk.
//!
//! ```text
//! the other system   nexus-agent takeover-load    kernel and initrd into memory, verified (kexec)
//!                    nexus-agent takeover-go      clean shutdown, and then that kernel instead of a reboot
//!                    /run/initramfs/shutdown      what systemd runs last: the agent, which starts the kernel
//! this host, from    nexus-agent write-disk       the whole disk, compared with what was sent; then what
//! memory                                          this boot has of its own (keys, identity) goes there too
//! ```
//!
//! Until `write-disk` has its whole recipe and begins, nothing on the disk has changed, and the memory's own
//! timer (`nexus.return`) reboots the machine into what it ran before.

pub mod carried;
pub mod disk;
pub mod kexec;
pub mod recipe;

use std::path::Path;

use serde_json::json;

use super::command::Streams;
use super::error::AgentError;
use super::places::Places;
use crate::boot::arguments::{MEMORY, ROOT};
use crate::boot::{ROOT_LABEL, STAY};
use crate::exec::files::{FileError, read_limited, write_atomic};

/// Most bytes of the kernel's command line.
const COMMAND_LINE_BYTES_MAX: u64 = 64 << 10;

/// Writes the disk `device` by the recipe on standard input.
///
/// # Errors
///
/// Before the first byte is written: a recipe that is cut off or damaged, a device that is in use or too
/// small, a host that does not run from memory. Later the machine stays up, so that it can be tried again.
pub fn write_disk(
    places: &Places,
    device: &str,
    streams: &mut Streams<'_>,
) -> Result<(), AgentError> {
    refuse_unless_in_memory(places)?;
    let layout = recipe::read(&mut streams.input)?;
    let path = Path::new(device);
    let disk = disk::Disk::open(path, layout.size)?;
    stay(places)?;
    let mut tell = |event: &str, bytes: u64| {
        let line = json!({ "event": event, "bytes": bytes });
        writeln!(streams.output, "{line}")
            .and_then(|()| streams.output.flush())
            .map_err(AgentError::at("write to", "standard output"))
    };
    tell("begin", layout.data_bytes())?;
    disk.write(&layout, &places.store())?;
    tell("written", layout.size)?;
    disk.compare(&layout, &places.store())?;
    tell("compared", layout.size)?;
    disk.read_table_anew()?;
    drop(disk);
    let partition = disk::partition(places, path, ROOT_LABEL)?;
    let carried = carried::onto_disk(places, &partition)?;
    tell("carried", carried)?;
    tell("done", layout.size)
}

/// Disarms what would end this system by itself; from now on the disk may not be what it was.
fn stay(places: &Places) -> Result<(), AgentError> {
    let run = places.run();
    std::fs::create_dir_all(&run).map_err(FileError::at("create", &run))?;
    Ok(write_atomic(&places.at(STAY), b"")?)
}

/// A disk is never written by a host that may run from it.
fn refuse_unless_in_memory(places: &Places) -> Result<(), AgentError> {
    let line = read_limited(&places.at("proc/cmdline"), COMMAND_LINE_BYTES_MAX)?;
    let wanted = format!("{ROOT}={MEMORY}");
    if String::from_utf8_lossy(&line).split_ascii_whitespace().any(|word| word == wanted) {
        return Ok(());
    }
    Err(AgentError::Unexpected("this host runs from its disk, which is not written over".into()))
}
