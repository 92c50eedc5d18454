//! Health checks as values: declared by a host, written into its `manifest.json`, tried by the agent.

mod certificate;
mod clock;
mod mounts;

use core::net::IpAddr;

use serde::{Deserialize, Serialize};

pub use certificate::{CertificateError, first_expiry};
pub use clock::{Clock, UNSYNCHRONISED};
pub use mounts::is_mount_point;

/// What must hold on the running machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// What it is called; unique on a host.
    pub name: String,
    /// What is looked at.
    pub probe: Probe,
    /// From where.
    pub vantage: Vantage,
    /// Seconds after boot or activation within which it must hold.
    pub within_seconds: u32,
    /// Whether a test machine must hold it too, which has neither the world's names nor its time.
    #[serde(default = "yes")]
    pub in_test: bool,
}

/// Manifests of systems that were built before the field was there.
fn yes() -> bool {
    true
}

/// From where a check looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Vantage {
    /// On the machine itself.
    Inside,
    /// From another machine.
    Outside,
}

/// What a check looks at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "kind")]
pub enum Probe {
    /// A unit is active.
    Unit {
        /// The unit's full name.
        unit: String,
    },
    /// A TCP connection is accepted.
    Tcp {
        /// The address; `None` is any address of the host.
        address: Option<IpAddr>,
        /// The port.
        port: u16,
    },
    /// An HTTP request is answered.
    Http {
        /// The URL; its host name is the `Host` header, the connection goes to the machine.
        url: String,
        /// The status expected.
        status: u16,
        /// Text that the answer holds.
        contains: Option<String>,
    },
    /// A command succeeds.
    Command {
        /// Program and arguments.
        exec: Vec<String>,
    },
    /// A name has an address.
    Dns {
        /// The name.
        domain: String,
        /// One of its addresses; `None` is any.
        address: Option<IpAddr>,
    },
    /// Something is mounted at a path.
    Mount {
        /// The absolute path.
        path: String,
    },
    /// The file system of a path has room for those who are not root.
    Disk {
        /// The absolute path.
        path: String,
        /// Bytes that must be free.
        free_bytes: u64,
        /// Of all bytes, how many hundredths must be free.
        free_percent: u8,
    },
    /// The kernel's clock is synchronised.
    Clock {
        /// Most seconds that it may be off by its own estimate; `None` is whatever the kernel accepts.
        seconds: Option<u32>,
    },
    /// The certificates in a file are valid for some time yet.
    Certificate {
        /// The absolute path of a PEM or DER file.
        path: String,
        /// Days that are left at least to the one that ends first.
        days: u32,
    },
}

#[cfg(test)]
mod tests;
