//! What can go wrong while fetching, as facts.

use std::path::PathBuf;

use thiserror::Error;

use crate::debian::url::Url;
use crate::exec::files::FileError;
use crate::exec::interrupt::Interrupted;
use crate::lower::sources::PackageUrlError;
use crate::store::Sha256Digest;

/// Files that could not be fetched.
#[derive(Debug, Error)]
pub enum FetchError {
    /// The user has asked to stop; what was fetched so far is kept and continued next time.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
    /// No space in the cache.
    #[error("no space is left for fetched files in {}", .directory.display())]
    DiskFull {
        /// The cache.
        directory: PathBuf,
        /// What the kernel said.
        #[source]
        source: FileError,
    },
    /// Another problem with a file of the cache.
    #[error("the cache of fetched files cannot be used")]
    Cache(#[source] FileError),
    /// Not in the cache, and the network must not be used.
    #[error("{label} is not in the cache, and the network must not be used{}", more(*.others))]
    Offline {
        /// What is missing.
        label: String,
        /// How many other files are missing too.
        others: usize,
    },
    /// A file without any address.
    #[error("there is no address for {label}")]
    NoAddress {
        /// The file.
        label: String,
    },
    /// A package of a lock that has no address.
    #[error(transparent)]
    Package(#[from] PackageUrlError),
    /// No address gave the file.
    #[error(transparent)]
    Transfer(Box<TransferFailure>),
}

/// A file that no address gave.
#[derive(Debug, PartialEq, Eq, Error)]
#[error("cannot fetch {label} from {url}{}", also(.others))]
pub struct TransferFailure {
    /// The file.
    pub label: String,
    /// The address with the most telling failure.
    pub url: Url,
    /// The other addresses that were tried, and why they failed.
    pub others: Vec<(Url, TransferError)>,
    /// Why.
    #[source]
    pub source: TransferError,
}

/// Why one address did not give a file.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TransferError {
    /// Other bytes than expected.
    #[error("its bytes are wrong: expected SHA-256 {expected}, found {found}")]
    WrongDigest {
        /// What the lock or the index says.
        expected: Sha256Digest,
        /// What came.
        found: Sha256Digest,
    },
    /// Another length than expected.
    #[error("its length is wrong: expected {expected_bytes} bytes, found {}", found(*.found_bytes))]
    WrongSize {
        /// What the lock or the index says.
        expected_bytes: u64,
        /// What came, or was announced; `None` when more came than expected.
        found_bytes: Option<u64>,
    },
    /// Longer than any such file.
    #[error("it is longer than {limit_bytes} bytes")]
    TooLarge {
        /// The limit.
        limit_bytes: u64,
    },
    /// Not there.
    #[error("it is not there (status {status})")]
    NotFound {
        /// 404 or 410; for a local file 404.
        status: u16,
    },
    /// Another refusal.
    #[error("the server answered with status {status}")]
    Status {
        /// The HTTP status.
        status: u16,
        /// How long to wait before the next try, if the server said.
        retry_after_seconds: Option<u64>,
    },
    /// The name has no address.
    #[error("no address is known for {host}: no network, or no such name")]
    NoSuchHost {
        /// The name.
        host: String,
    },
    /// No way there.
    #[error("{host} cannot be reached: no network, or no route")]
    NoNetwork {
        /// The name.
        host: String,
    },
    /// Nobody listens.
    #[error("{host} refuses the connection")]
    Refused {
        /// The name.
        host: String,
    },
    /// No connection in time.
    #[error("{host} does not accept a connection within {seconds} s")]
    ConnectTimeout {
        /// The name.
        host: String,
        /// The limit.
        seconds: u64,
    },
    /// Silence.
    #[error("the server sent nothing for {seconds} s")]
    Stalled {
        /// The limit.
        seconds: u64,
    },
    /// The connection ended early.
    #[error("the connection broke off")]
    BrokenOff,
    /// A part was sent that was not asked for.
    #[error("the server sent another part of the file than asked for")]
    WrongPart,
    /// No trust in the other end.
    #[error("no encrypted connection to {host}: {detail}")]
    Tls {
        /// The name.
        host: String,
        /// What the library says, such as a certificate that expired.
        detail: String,
    },
    /// The proxy does not help.
    #[error("the proxy does not connect: {detail}")]
    Proxy {
        /// What it says.
        detail: String,
    },
    /// A redirect that leads nowhere.
    #[error("the server redirects {detail}")]
    Redirect {
        /// Where, or how often.
        detail: String,
    },
    /// Not HTTP.
    #[error("the answer is not understood: {detail}")]
    BadAnswer {
        /// What the library says.
        detail: String,
    },
    /// A file of this machine that cannot be read.
    #[error("the file cannot be read: {detail}")]
    Unreadable {
        /// What the kernel says.
        detail: String,
    },
}

impl TransferError {
    /// How often to try in all: more than once only when another try may end otherwise.
    pub(super) fn tries_max(&self) -> u32 {
        match self {
            TransferError::Stalled { .. }
            | TransferError::BrokenOff
            | TransferError::WrongPart
            | TransferError::Status { status: 408 | 429 | 500 | 502 | 503 | 504, .. } => 4,
            TransferError::NoSuchHost { .. } | TransferError::ConnectTimeout { .. } => 2,
            _ => 1,
        }
    }

    /// Whether nothing else will come from the same host either.
    pub(super) fn is_of_host(&self) -> bool {
        matches!(
            self,
            TransferError::NoSuchHost { .. }
                | TransferError::NoNetwork { .. }
                | TransferError::Refused { .. }
                | TransferError::ConnectTimeout { .. }
        )
    }

    /// How telling it is; the highest one is shown first.
    fn rank(&self) -> u8 {
        match self {
            TransferError::WrongDigest { .. } => 5,
            TransferError::WrongSize { .. } | TransferError::TooLarge { .. } => 4,
            TransferError::Tls { .. } | TransferError::Proxy { .. } => 3,
            TransferError::NotFound { .. } => 1,
            _ => 2,
        }
    }
}

impl FetchError {
    /// Tells a full disk from other problems with the cache in `directory`.
    pub(super) fn of_cache(directory: &std::path::Path) -> impl FnOnce(FileError) -> Self {
        let directory = directory.to_owned();
        move |source| {
            if source.is_disk_full() {
                FetchError::DiskFull { directory, source }
            } else {
                FetchError::Cache(source)
            }
        }
    }

    /// The error for a file that none of the addresses gave; `failures` is in the order of tries.
    pub(super) fn of_failures(label: &str, mut failures: Vec<(Url, TransferError)>) -> Self {
        let label = label.to_owned();
        // The first among equals: the mirror before the snapshot archive.
        let most_telling = (0..failures.len()).rev().max_by_key(|&index| failures[index].1.rank());
        let Some(index) = most_telling else { return FetchError::NoAddress { label } };
        let (url, source) = failures.remove(index);
        FetchError::Transfer(Box::new(TransferFailure { label, url, others: failures, source }))
    }
}

fn found(bytes: Option<u64>) -> String {
    bytes.map_or_else(|| "more".to_owned(), |bytes| bytes.to_string())
}

fn more(others: usize) -> String {
    if others == 0 { String::new() } else { format!(" (so are {others} other files)") }
}

fn also(others: &[(Url, TransferError)]) -> String {
    let one = |(url, error): &(Url, TransferError)| format!("; nor from {url} ({error})");
    others.iter().map(one).collect::<Vec<_>>().concat()
}
