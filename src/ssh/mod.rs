//! Commands on other machines over SSH: one trait, two ways to carry it out.
//!
//! [`Builtin`] is libssh2 and needs nothing installed; [`Program`] is the user's own `ssh`, for configurations
//! that libssh2 cannot follow (a jump host, hardware keys, post-quantum key exchange). [`choose`] decides.
//!
//! A [`Connection`] is one TCP connection of its own, never a share of another one: a new login that succeeds
//! proves that a login succeeds.

mod builtin;
mod config;
mod error;
mod known_hosts;
mod program;
mod select;
#[cfg(test)]
mod tests;

use std::io::{Read, Write};
use std::time::{Duration, Instant};

pub use builtin::Builtin;
pub use error::SshError;
pub use known_hosts::{HostKey, KnownHosts};
pub use program::Program;
pub use select::{Options, Target, choose};

/// Makes connections to one machine.
pub trait Transport: Send + Sync {
    /// Logs in over a new TCP connection.
    ///
    /// # Errors
    ///
    /// What kept it from being made; nothing has been run on the machine.
    fn connect(&self) -> Result<Box<dyn Connection>, SshError>;

    /// The machine, as the user would call it: `admin@192.0.2.10:22`.
    fn shown(&self) -> String;

    /// The host part alone, where other services of the machine answer, too.
    fn host(&self) -> &str;
}

/// A login that lasts; commands run one after the other.
pub trait Connection: Send {
    /// Starts a command line for the login shell of the machine.
    ///
    /// # Errors
    ///
    /// When the connection is broken.
    fn start(&mut self, command: &str) -> Result<Box<dyn Remote>, SshError>;
}

/// A command that runs on the machine: written to is its standard input, read its standard output.
///
/// It breaks when its connection is dropped.
///
/// Reading waits as long as the connection lives, ten minutes at most, and ends with an error of kind
/// `Interrupted` when the user wants to stop.
pub trait Remote: Read + Write + Send {
    /// Tells the command that no more input comes.
    ///
    /// # Errors
    ///
    /// When the connection is broken.
    fn close_input(&mut self) -> Result<(), SshError>;

    /// Ends reading with an error of kind `TimedOut` when the command has not ended within this time from now;
    /// `None` takes an earlier limit back.
    fn limit(&mut self, within: Option<Duration>);

    /// Waits for the end; what it still writes to standard output is dropped.
    ///
    /// # Errors
    ///
    /// When the connection breaks before the command has ended.
    fn finish(self: Box<Self>) -> Result<Ended, SshError>;
}

/// How a command on the machine ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// Its exit status; 128 and more for signals, as shells count.
    pub status: i32,
    /// What it wrote to standard error, the last 64 KiB.
    pub errors: String,
}

/// How long a command may say nothing, before the connection counts as broken although it does not look so.
const SILENCE: Duration = Duration::from_secs(600);
/// When a wait ends that begins now, for a command that may last until `deadline`.
fn patience(deadline: Option<Instant>) -> Instant {
    let silence = Instant::now() + SILENCE;
    deadline.map_or(silence, |deadline| deadline.min(silence))
}

/// Most bytes that are kept of standard error.
const ERRORS_BYTES_MAX: usize = 64 << 10;
