//! Why the agent did not do what it was asked, what became of the host, and what to do instead.

use std::path::PathBuf;

use thiserror::Error;

use crate::exec::files::FileError;
use crate::exec::process::ProcessError;
use crate::generation::{GenerationError, ParseNonceError, TextError};
use crate::store::StorePath;
use crate::store::path::StorePathError;

/// Done.
pub const EXIT_DONE: u8 = 0;
/// The command line or the input is wrong; nothing was done.
pub const EXIT_USAGE: u8 = 2;
/// It failed; the host runs what it ran before.
pub const EXIT_UNCHANGED: u8 = 4;
/// It failed and the host could not be brought back whole.
pub const EXIT_UNKNOWN: u8 = 5;
/// A health check failed.
pub const EXIT_CHECK: u8 = 6;
/// Somebody else changes the host right now.
pub const EXIT_BUSY: u8 = 7;

/// A failure of the agent.
#[derive(Debug, Error)]
pub enum AgentError {
    /// The command line is wrong.
    #[error("{0}")]
    Usage(String),
    /// Text that should be a store path.
    #[error(transparent)]
    StorePath(#[from] StorePathError),
    /// Text that should name an attempt.
    #[error(transparent)]
    Nonce(#[from] ParseNonceError),
    /// A file could not be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// A program failed.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// A program took too long.
    #[error("`{command}` did not end within {seconds} s")]
    Deadline {
        /// The command line, for reading.
        command: String,
        /// How long was waited.
        seconds: u64,
    },
    /// The kernel refused.
    #[error("cannot {action} {}", path.display())]
    Call {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: std::io::Error,
    },
    /// The history does not allow it.
    #[error(transparent)]
    Generation(#[from] GenerationError),
    /// The history cannot be read.
    #[error("{} cannot be used", path.display())]
    State {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: TextError,
    },
    /// The registration cannot be read.
    #[error("line {line} of {} is not a registration", path.display())]
    Registration {
        /// The file.
        path: PathBuf,
        /// One-based.
        line: usize,
    },
    /// Somebody else is at it.
    #[error("the host is being changed: {holder}")]
    Busy {
        /// Who, as he wrote it down.
        holder: String,
    },
    /// systemd refuses.
    #[error("systemd does not do `{method}`: {said}")]
    Systemd {
        /// What it was asked.
        method: &'static str,
        /// What it said.
        said: String,
    },
    /// A store path is not there.
    #[error("{} is not on this host", super::places::shown(path))]
    NotHere {
        /// The path.
        path: StorePath,
    },
    /// Another generation runs than was expected.
    #[error("generation {found} runs, not {expected}")]
    NotExpected {
        /// What the caller planned against.
        expected: u32,
        /// What runs.
        found: u32,
    },
    /// The stream of an import is not one.
    #[error("line {line} of the import: {problem}")]
    Import {
        /// One-based line of the conversation.
        line: u64,
        /// What is wrong.
        problem: String,
    },
    /// The stream that describes a disk does not.
    #[error("line {line} of the disk's recipe: {problem}")]
    Recipe {
        /// One-based line, contents not counted.
        line: u64,
        /// What is wrong.
        problem: String,
    },
    /// A disk gives back something else than was written.
    #[error("{} differs at byte {offset} from what was written", disk.display())]
    DiskDiffers {
        /// The disk.
        disk: PathBuf,
        /// The first such byte.
        offset: u64,
    },
    /// Contents that arrived are not what was announced.
    #[error("{what} has arrived with other contents than announced")]
    Damaged {
        /// Digest of a content, or a store path.
        what: String,
    },
    /// A system lacks a part.
    #[error("{} is not a system: {problem}", super::places::shown(path))]
    NoSystem {
        /// The store path.
        path: StorePath,
        /// What is missing.
        problem: String,
    },
    /// The disk has no room for what is to come.
    #[error("the disk has {free} bytes free, {needed} are needed")]
    Space {
        /// Bytes needed.
        needed: u64,
        /// Bytes free.
        free: u64,
    },
    /// The boot partition has no room.
    #[error("the boot partition has {free} bytes free, {needed} are needed")]
    BootSpace {
        /// Bytes needed.
        needed: u64,
        /// Bytes free.
        free: u64,
    },
    /// The files of the boot loaders cannot be made.
    #[error(transparent)]
    Menu(#[from] crate::image::boot_entries::BootMenuError),
    /// The system declares secrets that this host cannot have.
    #[error("this host cannot have the secrets of {}: {reason}", super::places::shown(path))]
    Secrets {
        /// The system.
        path: StorePath,
        /// What its own program said.
        reason: String,
    },
    /// Something on the host is not as this program left it.
    #[error("{0}")]
    Unexpected(String),
}

impl AgentError {
    /// For `map_err`: adds what was tried and where to the kernel's answer.
    pub fn at<E: Into<std::io::Error>>(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(E) -> Self {
        let path = path.into();
        move |source| Self::Call { action, path, source: source.into() }
    }

    /// The exit code of a command that ends with this; nothing was changed by then.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_)
            | Self::StorePath(_)
            | Self::Nonce(_)
            | Self::Import { .. }
            | Self::Recipe { .. } => EXIT_USAGE,
            Self::DiskDiffers { .. } => EXIT_UNKNOWN,
            Self::Busy { .. } => EXIT_BUSY,
            _ => EXIT_UNCHANGED,
        }
    }

    /// What to do instead.
    pub fn help(&self) -> Option<&'static str> {
        Some(match self {
            Self::Usage(_) => "`nexus-agent help` lists the commands",
            Self::Busy { .. } => "wait, or look at it with `nexus-agent attach NONCE`",
            Self::NotHere { .. } => "send it with `nexus-agent import` first",
            Self::NotExpected { .. } => "plan again against what runs now",
            Self::Generation(GenerationError::KnownBad { .. }) => "`--again` tries it all the same",
            Self::Generation(GenerationError::OnTrial { .. }) => {
                "confirm it, or end the trial with `nexus-agent rollback`"
            }
            Self::Generation(GenerationError::Full) => "`nexus-agent gc` forgets old ones",
            Self::Space { .. } => "`nexus-agent gc` removes what old generations needed",
            Self::BootSpace { .. } => "`nexus-agent gc` removes kernels of old generations",
            Self::Secrets { .. } => {
                "encrypt them for this host with `nexus-host secrets rekey HOST`, build and deploy again"
            }
            Self::Damaged { .. } => "send it again; what arrived was removed",
            Self::State { .. } => {
                "the file is written whole or not at all, so something else wrote to it; \
                 put it aside and the booted system becomes generation 1 again"
            }
            _ => return None,
        })
    }
}
