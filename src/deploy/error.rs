//! Why a machine was not changed, or what became of it.

use thiserror::Error;

use crate::agent::error::{AgentError, EXIT_BUSY, EXIT_CHECK, EXIT_UNKNOWN};
use crate::exec::interrupt::Interrupted;
use crate::exec::store::StoreError;
use crate::ssh::SshError;

/// A failure of what was to be done on a machine.
#[derive(Debug, Error)]
pub enum DeployError {
    /// The machine cannot be reached.
    #[error(transparent)]
    Ssh(#[from] SshError),
    /// The local store has not what is to be sent.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What is to be sent cannot be read.
    #[error("cannot send what the machine lacks")]
    Sending(#[source] AgentError),
    /// No name for an attempt could be had.
    #[error("cannot name the attempt")]
    Nonce(#[source] AgentError),
    /// The agent refused or failed; its words.
    #[error("{said}")]
    Agent {
        /// What it was asked.
        command: String,
        /// Its exit code, as in docs/agent-protocol.md.
        code: i32,
        /// What it said, without `error: `.
        said: String,
        /// What it said to do instead.
        help: Option<String>,
    },
    /// There is no agent.
    #[error("the machine is not one of ours: it has no nexus-agent ({said})")]
    NoAgent {
        /// What its shell said.
        said: String,
    },
    /// An answer is not of the right form.
    #[error("the answer to `{command}` cannot be used: {problem}")]
    Reply {
        /// What was asked.
        command: String,
        /// What is wrong with it.
        problem: String,
    },
    /// Another machine answers than the last time.
    #[error("another machine answers than before: its machine-id is {found}, not {known}")]
    OtherMachine {
        /// What was remembered.
        known: String,
        /// What answers now.
        found: String,
    },
    /// A way in leads to another machine.
    #[error("{way} leads to another machine: its machine-id is {found}")]
    WayAstray {
        /// The address.
        way: String,
        /// Who answers there.
        found: String,
    },
    /// Something waits there to be confirmed already.
    #[error("generation {number} is on trial there, by {by}")]
    OnTrial {
        /// The generation.
        number: u32,
        /// Who tries it.
        by: String,
    },
    /// Nothing waits to be confirmed.
    #[error("no change of this machine waits to be confirmed")]
    NoTrial,
    /// The machine was not seen again.
    #[error("the machine has not come back within {seconds} s")]
    Lost {
        /// How long was waited.
        seconds: u64,
        /// Why it could not be seen, the last time.
        #[source]
        source: Box<DeployError>,
    },
    /// Files of this machine.
    #[error(transparent)]
    File(#[from] crate::exec::files::FileError),
    /// The user wants to stop.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
}

/// What became of the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It runs what it ran before.
    Unchanged,
    /// A check failed; it is back on what it ran before.
    CheckFailed,
    /// Nobody knows.
    Unknown,
}

impl DeployError {
    /// What the failure means for the machine.
    pub fn fate(&self) -> Fate {
        match self {
            Self::Lost { .. } => Fate::Unknown,
            Self::Agent { code, .. } if *code == i32::from(EXIT_UNKNOWN) => Fate::Unknown,
            Self::Agent { code, .. } if *code == i32::from(EXIT_CHECK) => Fate::CheckFailed,
            _ => Fate::Unchanged,
        }
    }

    /// Whether the same may succeed a moment later.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Ssh(error) => error.may_pass(),
            Self::Agent { code, .. } => *code == i32::from(EXIT_BUSY),
            _ => false,
        }
    }

    /// What to do instead.
    pub fn help(&self) -> Option<String> {
        Some(match self {
            Self::Ssh(error) => return error.help(),
            Self::Agent { help, .. } => return help.clone(),
            Self::NoAgent { .. } => "`nexus-host install` makes a stock machine one of ours; \
                 or write an image of `nexus-host build --image raw` to its disk"
                .into(),
            Self::OtherMachine { .. } => "if it was set up anew: --new-machine".into(),
            Self::OnTrial { .. } => {
                "wait until it is confirmed or has gone back; --attach follows it".into()
            }
            Self::Interrupted(_) => {
                "a change that was begun goes on without this program: unless it is confirmed, the machine \
                 goes back by itself; `deploy --attach` follows it"
                    .into()
            }
            Self::Lost { .. } => {
                "unless it is confirmed, it boots what it ran before; look at its console, and run \
                 `nexus-host status` when it is back"
                    .into()
            }
            _ => return None,
        })
    }
}
