//! Why a machine cannot be reached over SSH.

use std::path::PathBuf;

use thiserror::Error;

use super::known_hosts::HostKey;
use crate::exec::interrupt::Interrupted;

/// A failure of a connection.
#[derive(Debug, Error)]
pub enum SshError {
    /// The name has no address.
    #[error("cannot find the address of {host}")]
    Resolve {
        /// The name.
        host: String,
        /// What the resolver said.
        #[source]
        source: std::io::Error,
    },
    /// Nobody answers there.
    #[error("cannot connect to {address}")]
    Connect {
        /// Host and port.
        address: String,
        /// What the kernel said.
        #[source]
        source: std::io::Error,
    },
    /// The two sides did not agree on how to talk.
    #[error("{address} does not talk SSH with us")]
    Handshake {
        /// Host and port.
        address: String,
        /// What libssh2 said.
        #[source]
        source: ssh2::Error,
    },
    /// Nothing is known about this machine's key.
    #[error("the host key of {address} is not known: {} {}", key.kind(), key.fingerprint())]
    UnknownKey {
        /// Host and port.
        address: String,
        /// The key it showed.
        key: HostKey,
    },
    /// Another key is known.
    #[error(
        "the host key of {address} is not the one that is known: it shows {} {}", key.kind(), key.fingerprint()
    )]
    ChangedKey {
        /// Host and port.
        address: String,
        /// The key it showed.
        key: HostKey,
        /// Where the other key stands.
        known_in: String,
    },
    /// The machine takes none of our keys.
    #[error("{address} lets {user} in with none of: {}", tried.join(", "))]
    Denied {
        /// Host and port.
        address: String,
        /// The user.
        user: String,
        /// What was tried, in words.
        tried: Vec<String>,
    },
    /// There is nothing to log in with.
    #[error("there is no SSH key to log in with: neither an agent nor {}", places.join(", "))]
    NoKey {
        /// Where keys were looked for.
        places: Vec<String>,
    },
    /// The user's configuration asks for what only the `ssh` program can do.
    #[error("`{keyword}` in {} needs the program `ssh`, which is not installed", file.display())]
    NeedsProgram {
        /// The keyword.
        keyword: String,
        /// The file.
        file: PathBuf,
    },
    /// The `ssh` program could not connect; its words.
    #[error("`ssh` cannot connect to {address}: {said}")]
    Program {
        /// The machine.
        address: String,
        /// The last lines that it wrote.
        said: String,
    },
    /// The `ssh` program could not be started.
    #[error("cannot start {}", program.display())]
    Start {
        /// The program.
        program: PathBuf,
        /// What the kernel said.
        #[source]
        source: std::io::Error,
    },
    /// A file of the user could not be read or written.
    #[error(transparent)]
    File(#[from] crate::exec::files::FileError),
    /// The connection broke.
    #[error("the connection broke")]
    Broken(#[source] std::io::Error),
    /// A command wrote more than can be right.
    #[error("the machine answers with more than {limit} bytes")]
    TooMuch {
        /// Bytes that were expected at most.
        limit: u64,
    },
    /// The user wants to stop.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
}

impl SshError {
    /// A connection that broke; also the way by which a wish to stop comes out of reading.
    pub(crate) fn broken(error: std::io::Error) -> Self {
        if error
            .get_ref()
            .is_some_and(<dyn std::error::Error + Send + Sync + 'static>::is::<Interrupted>)
        {
            return Self::Interrupted(Interrupted);
        }
        Self::Broken(error)
    }

    /// Whether the same may succeed a moment later: the machine is away or the line broke.
    pub fn may_pass(&self) -> bool {
        matches!(
            self,
            Self::Resolve { .. }
                | Self::Connect { .. }
                | Self::Handshake { .. }
                | Self::Program { .. }
                | Self::Broken(_)
        )
    }

    /// What to do instead.
    pub fn help(&self) -> Option<String> {
        Some(match self {
            Self::UnknownKey { key, .. } => format!(
                "compare it with what the machine shows on its console (`ssh-keygen -lf`), then use --accept-new, \
                 or write into the host file: [deploy] host_keys = [\"{key}\"]"
            ),
            Self::ChangedKey { known_in, .. } => format!(
                "somebody may be in between, or the machine was set up anew; only then remove the old key ({known_in})"
            ),
            Self::Denied { .. } => {
                "add the key to `ssh_keys` of a user of the host, or name another user or key: \
                 --ssh USER@HOST, --ssh-key FILE"
                    .into()
            }
            Self::NoKey { .. } => {
                "start an agent (`ssh-add`), or name a key: --ssh-key FILE".into()
            }
            Self::NeedsProgram { .. } => "install openssh-client".into(),
            _ => return None,
        })
    }
}
