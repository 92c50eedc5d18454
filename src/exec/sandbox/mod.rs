//! Runs programs in namespaces of their own: read-only layers below, a scratch directory on top.
//!
//! A run is a small tree of processes. The program starts itself again (`__sandbox`), so that
//! nothing is forked from a process with threads; the copy makes the namespaces and forks the first
//! process of the new process namespace, which builds the root, starts the commands one after the
//! other and reports:
//!
//! ```text
//! nexus-host ──socket──▶ nexus-host __sandbox ──fork──▶ process 1 ──fork──▶ command
//!     ▲                                                    │ serves the recorder
//!     └────────────────── report ──────────────────────────┘
//! ```
//!
//! The socket is also the leash: when its other end goes, process 1 ends, and with it everything in
//! the namespace. The caller's id is the only one mapped, as 0, also when the caller is root, so a
//! run gives the same result for root and for a plain user, with and without subordinate ids.

mod channel;
mod child;
mod first_process;
mod forbidden;
mod parent;
mod recorder;
mod recorder_owners;
mod root;
mod running;
mod system_calls;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::interrupt::{Interrupt, Interrupted};
use super::process::ProcessError;

pub use child::child_main;
pub use forbidden::Obstacle;
pub use parent::{CAPTURED_BYTES_MAX, run, try_out};
pub use recorder_owners::{OWNER_ATTRIBUTE, Owner, Owners};
pub use running::{Running, spawn};
pub(in crate::exec) use system_calls::unshare;

/// The word that makes the program run [`child_main`]; it must be the first argument.
pub const CHILD_WORD: &str = "__sandbox";

/// Most layers of one overlay. Source: `OVL_MAX_STACK` in Linux's `fs/overlayfs/params.h`.
const LAYERS_PER_OVERLAY: usize = 500;

/// Most layers of a sandbox: each is an open file, of which Linux lets a process have 4 096.
pub const LAYERS_MAX: usize = 4_000;

/// The file tree, the network and the surroundings of commands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sandbox {
    /// Directories that together are the root, topmost first; never written to.
    pub layers: Vec<PathBuf>,
    /// Where changes go.
    pub upper: Upper,
    /// Directories and files of the machine that are seen inside, mounted in this order.
    pub binds: Vec<Bind>,
    /// Whether the machine's network is reachable; otherwise there is none, not even a loopback.
    pub network: bool,
    /// Whether the machine's `/sys` is seen, read-only.
    pub sysfs: bool,
    /// Whether the recorder pretends that owners can be changed and files synced.
    pub record_owners: bool,
    /// Owners that files have before, by path inside, so that the recorder knows rewritten ones; see
    /// [`Owners::by_path`].
    pub known_owners: BTreeMap<PathBuf, Owner>,
    /// All environment variables.
    pub environment: Vec<(OsString, OsString)>,
    /// The host name inside.
    pub hostname: String,
    /// Where commands start.
    pub working_directory: PathBuf,
}

/// Where changes to the root go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Upper {
    /// Nowhere: the root is read-only (`/tmp`, `/run` and `/dev/shm` are writable and forgotten).
    None,
    /// Into `upper/` below this directory, which stands on a disk; `work/` and `skeleton/` there
    /// are used too. Made when absent.
    Directory(PathBuf),
    /// Into memory, forgotten at the end.
    Tmpfs,
}

/// A directory or file of the machine that is seen inside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bind {
    /// On the machine.
    pub source: PathBuf,
    /// Inside, absolute.
    pub target: PathBuf,
    /// Whether it can be written to.
    pub writable: bool,
}

/// One program to run inside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    /// The program, looked up in the sandbox's `PATH` unless it has a slash, and its arguments.
    pub argv: Vec<OsString>,
    /// Variables besides those of the sandbox.
    pub environment: Vec<(OsString, OsString)>,
}

/// Where a command's input comes from and where its output goes.
#[derive(Debug, Default)]
pub struct Streams {
    /// Standard input.
    pub input: Input,
    /// Standard output.
    pub output: Output,
    /// Standard error.
    pub errors: Output,
}

/// Where standard input comes from.
#[derive(Debug, Default)]
pub enum Input {
    /// It is empty.
    #[default]
    Nothing,
    /// These bytes.
    Bytes(Vec<u8>),
    /// An open file.
    File(std::fs::File),
    /// A pipe that the caller of [`spawn`] writes to.
    Pipe,
}

/// Where standard output or standard error goes.
#[derive(Debug, Default)]
pub enum Output {
    /// It is lost.
    Nothing,
    /// Into memory; [`run`] gives it back.
    #[default]
    Capture,
    /// An open file.
    File(std::fs::File),
    /// A pipe that the caller of [`spawn`] reads from.
    Pipe,
}

/// When to stop waiting.
#[derive(Debug, Clone, Default)]
pub struct Limits {
    /// The user's wish to stop.
    pub interrupt: Interrupt,
    /// The longest time that all commands together may take.
    pub deadline: Option<Duration>,
}

/// How the commands ended.
#[derive(Debug)]
pub struct Ran {
    /// Zero-based position of the command that ran last: the last one, or the first that failed.
    pub last: usize,
    /// How it ended.
    pub status: std::process::ExitStatus,
    /// What was captured of standard output.
    pub output: Vec<u8>,
    /// What was captured of standard error.
    pub errors: Vec<u8>,
    /// Owners that were set, as far as they do not stand at the files themselves.
    pub owners: Owners,
}

/// A sandbox that was not made, or commands that did not come to their end.
#[derive(Debug, Error)]
pub enum SandboxError {
    /// The machine does not let this user make user namespaces.
    #[error("user namespaces are forbidden here: {obstacle}")]
    Forbidden {
        /// What forbids them.
        obstacle: Obstacle,
    },
    /// There are more layers than can be mounted.
    #[error("{found} layers are more than the {most} that can be stacked")]
    TooManyLayers {
        /// How many were asked for.
        found: usize,
        /// How many are possible.
        most: usize,
    },
    /// The program could not start itself, or could not tell the copy what to do.
    #[error("cannot start the sandbox")]
    Start(#[source] std::io::Error),
    /// A step of making the namespaces and the root failed.
    #[error("cannot {step}{}", path_after_space(.path.as_ref()))]
    Setup {
        /// What was tried, such as `mount the overlay`.
        step: String,
        /// Where, when the step has a place.
        path: Option<PathBuf>,
        /// What the kernel said.
        #[source]
        source: std::io::Error,
    },
    /// A command could not be started inside.
    #[error("cannot start `{command}` in the sandbox")]
    Command {
        /// The command line, for reading.
        command: String,
        /// What the kernel said.
        #[source]
        source: std::io::Error,
    },
    /// A command failed; only from [`Ran::checked`].
    #[error("a program in the sandbox failed")]
    Failed(#[source] ProcessError),
    /// The commands took too long and were ended.
    #[error("`{command}` and what ran before it took longer than {} s", .deadline.as_secs())]
    Deadline {
        /// The last command line, for reading.
        command: String,
        /// The time they had.
        deadline: Duration,
    },
    /// More output than may be captured.
    #[error("a program in the sandbox wrote more than {most} bytes")]
    OutputTooLong {
        /// How many bytes are captured at most.
        most: u64,
    },
    /// The user asked to stop; everything inside was ended.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
    /// The sandbox ended without a report, for example killed for want of memory.
    #[error("the sandbox ended without a report ({status})")]
    Died {
        /// How its outermost process ended, in words.
        status: String,
    },
}

impl Sandbox {
    /// A sandbox for a tool: read-only `layers` (topmost first), no network, nothing recorded.
    pub fn for_tool(layers: Vec<PathBuf>) -> Self {
        Self {
            layers,
            upper: Upper::None,
            binds: Vec::new(),
            network: false,
            sysfs: false,
            record_owners: false,
            known_owners: BTreeMap::new(),
            environment: fixed_environment(),
            hostname: "nexus-host".to_owned(),
            working_directory: PathBuf::from("/"),
        }
    }

    /// The same with `source` seen at `target`.
    #[must_use]
    pub fn with_bind(mut self, source: PathBuf, target: &str, writable: bool) -> Self {
        self.binds.push(Bind { source, target: PathBuf::from(target), writable });
        self
    }
}

impl Command {
    /// A command without variables of its own.
    pub fn new<Words>(argv: Words) -> Self
    where
        Words: IntoIterator,
        Words::Item: Into<OsString>,
    {
        Self { argv: argv.into_iter().map(Into::into).collect(), environment: Vec::new() }
    }
}

impl Ran {
    /// Itself when the last command ended with exit code 0.
    ///
    /// # Errors
    ///
    /// [`SandboxError::Failed`] with the last lines that were captured of both streams.
    pub fn checked(self, commands: &[Command]) -> Result<Self, SandboxError> {
        if self.status.success() {
            return Ok(self);
        }
        let words = commands.get(self.last).map_or(&[][..], |command| &command.argv);
        let mut output = last_lines(&self.output);
        output.push_str(&last_lines(&self.errors));
        Err(SandboxError::Failed(ProcessError::Failed {
            command: super::process::words_for_reading(words),
            status: super::process::status_in_words(self.status),
            output: output.trim_end().to_owned(),
        }))
    }
}

/// The variables that tools get: a fixed path, UTF-8 without a language, UTC.
pub fn fixed_environment() -> Vec<(OsString, OsString)> {
    let pair = |name: &str, value: &str| (OsString::from(name), OsString::from(value));
    vec![
        pair("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
        pair("HOME", "/root"),
        pair("LC_ALL", "C.UTF-8"),
        pair("TZ", "UTC"),
        pair("TERM", "dumb"),
    ]
}

/// The last twenty lines of `bytes`, at most 4 KiB, each with its line feed.
pub fn last_lines(bytes: &[u8]) -> String {
    let start = bytes.len().saturating_sub(4096);
    let text = String::from_utf8_lossy(&bytes[start..]);
    let lines: Vec<&str> = text.lines().collect();
    let first = lines.len().saturating_sub(20);
    lines[first..].iter().fold(String::new(), |text, line| text + line + "\n")
}

fn path_after_space(path: Option<&PathBuf>) -> String {
    path.map_or_else(String::new, |path| format!(" {}", path.display()))
}
