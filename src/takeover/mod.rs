//! Carries out the plan of a takeover, through a root shell on the machine, whatever carries that shell.
//!
//! ```text
//! old system                     host in memory                  host on its disk
//!  send agent, keys, host  ──►    meet over a new connection ──►  reboot, meet, check
//!  kexec at clean shutdown        write the disk, compare
//!        ▲                               │
//!        └── nobody met it in time ──────┘   the disk is as it was, so the firmware boots the old system
//! ```
//!
//! What is said to the machine's end is told at `agent::takeover`.

mod over_ssh;
mod run;
mod talk;

use std::io::Read;
use std::time::Duration;

use thiserror::Error;

pub use over_ssh::OverSsh;
pub use run::{Cargo, Event, Installed, MachineState, Takeover, TakeoverError, take_over};
pub use talk::{StepError, ask_facts};

/// A root shell on a machine.
pub trait Shell {
    /// Runs a command of a POSIX shell, with `input` on its standard input.
    ///
    /// # Errors
    ///
    /// When the connection breaks or no end comes in time; a command that fails is an [`Answer`].
    fn run(
        &mut self,
        command: &str,
        input: &mut dyn Read,
        within: Duration,
    ) -> Result<Answer, ShellError>;
}

/// What a command left behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Its exit status.
    pub status: i32,
    /// Its standard output.
    pub output: Vec<u8>,
    /// Its standard error.
    pub errors: String,
}

/// No shell, or one that broke.
#[derive(Debug, Error)]
#[error("{action}")]
pub struct ShellError {
    /// What was tried, such as `cannot connect to 192.0.2.1`.
    pub action: String,
    /// Why it did not work.
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// Ways to the machine, before and after it has changed.
pub trait Ways {
    /// A shell on the machine as it is found; waits until there is one.
    ///
    /// # Errors
    ///
    /// When there is none in time.
    fn old(&mut self, within: Duration) -> Result<Box<dyn Shell + '_>, ShellError>;

    /// A shell on the new host, over a connection of its own; waits until there is one.
    ///
    /// `host_key` is the public SSH key that it must prove to have, `None` when it is known otherwise.
    ///
    /// # Errors
    ///
    /// When there is none in time.
    fn new_host(
        &mut self,
        host_key: Option<&str>,
        within: Duration,
    ) -> Result<Box<dyn Shell + '_>, ShellError>;
}
