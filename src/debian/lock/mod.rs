//! The lock of a host: every package, where it came from, and every user and group id, as TOML.
//!
//! ```text
//! # Made by `nexus-host lock`; commit this file.
//! version = 1
//! requests = [
//!     "caddy",
//! ]
//!
//! [tool_requests]                     (what is needed to make images and to test; by purpose)
//! image = ["mtools"]
//!
//! [[source]]
//! name = "trixie"
//! suite = "trixie"
//! components = ["main"]
//! date = "2026-11-20T08:14:02Z"       (of its Release file)
//! snapshot = "20261120T081402Z"       (where the snapshot archive has it; missing for third parties)
//!
//! [[package]]                         (sorted by name, then architecture)
//! name = "caddy"
//! version = "2.6.2-12"
//! architecture = "amd64"
//! source = "trixie"
//! path = "pool/main/c/caddy/caddy_2.6.2-12_amd64.deb"
//! sha256 = "…"
//! size = 11234567
//!
//! [[tool]]                            (as a package, and the purposes it serves)
//! sets = ["image"]
//!
//! [users]
//! caddy = 512
//!
//! [groups]
//! caddy = 512
//! ```

mod ids;
mod model;
mod read;
mod time;
mod write;

#[cfg(test)]
mod tests;

pub use ids::{Accounts, IdWish, Ids, IdsError, Wish, allocate_ids};
pub use model::{
    AccountName, Lock, LockMismatch, LockedSource, LockedTool, SetName, Suite, ToolRequests,
};
pub use read::{LockError, LockProblem, ProblemKind};
pub use time::Timestamp;
