//! nexus-host: one TOML file in, a reproducible immutable Debian host out.
//!
//! Data flows one way, from text to effects; a module uses only modules above it in this list
//! (`tests/it/tidy.rs` checks it):
//!
//! | module | from → to | effects |
//! |---|---|---|
//! | `failure` | an error with its causes, or a bug of ours → words | ends the process |
//! | `calendar` | days since 1970 ↔ year, month, day | none |
//! | `diag` | problems with their place in the user's text | none |
//! | `store` | Nix's formats: hashes, store paths, NAR, references | none |
//! | `tree` | a file tree as a value: owners, modes, contents by reference | none |
//! | `boot` | partition names, kernel arguments, what `nexus-init` and images agree on | none |
//! | `generation` | what a host may boot, tries, and knows to be bad | none |
//! | `switch` | old units, new units, what runs → what to stop, reload, restart, start | none |
//! | `health` | health checks as values; what certificates, mounts and clocks say | none |
//! | `sops` | encrypted documents: YAML, JSON, dotenv, binary; age keys | none |
//! | `secrets` | what a system declares about its secrets; their installation on the host | on the host |
//! | `debian` | archive indexes, signatures, relations, lock, `.deb` reading | none |
//! | `spec` | host files and modules → checked values | none |
//! | `eval` | checked values + templates → `System` | none |
//! | `lower` | `System` + lock → recipes and generated files | none |
//! | `image` | trees → bytes: EROFS, ext4, cpio, GPT | none |
//! | `install` | facts about a machine, what a host needs → findings, steps of a takeover | none |
//! | `exec` | the edge: store on disk, network, sandbox, processes | all of them |
//! | `agent` | `nexus-agent`, the program on the host: imports, activates, goes back | through `exec` |
//! | `ssh` | commands on other machines: libssh2, or the user's own `ssh` | network |
//! | `deploy` | what to do with which hosts in which order; the other end of the agent's conversation | through `ssh` |
//! | `takeover` | carries out the plan of a takeover, through a shell on the machine | through the shell |
//! | `vm` | test machines in QEMU | through `exec` |
//! | `cli` | one file per verb; the only printing | printing |

#![cfg_attr(not(any(feature = "builder", feature = "agent", feature = "secrets")), no_std)]

extern crate alloc;

#[cfg(any(feature = "builder", feature = "agent"))]
pub mod agent;
#[cfg(any(feature = "builder", feature = "agent", not(feature = "secrets")))]
pub mod boot;
#[cfg(any(feature = "builder", feature = "agent"))]
pub mod calendar;
#[cfg(any(feature = "builder", feature = "agent", feature = "secrets"))]
pub mod failure;
#[cfg(any(feature = "builder", feature = "agent"))]
pub mod generation;
#[cfg(any(feature = "builder", feature = "agent"))]
pub mod health;
#[cfg(any(feature = "builder", feature = "agent"))]
pub mod store;
#[cfg(any(feature = "builder", feature = "agent"))]
pub mod switch;
#[cfg(any(feature = "builder", feature = "agent"))]
pub mod tree;

/// The part of the edge that `nexus-agent` needs.
#[cfg(all(feature = "agent", not(feature = "builder")))]
pub mod exec {
    pub mod files;
    pub mod process;
}
/// The part of images that `nexus-agent` needs: what boot loaders read.
#[cfg(all(feature = "agent", not(feature = "builder")))]
pub mod image {
    pub mod boot_entries;
    pub mod cpio;
    pub mod inodes;
    pub mod segment;
}

#[cfg(feature = "builder")]
pub mod cli;
#[cfg(feature = "builder")]
pub mod debian;
#[cfg(feature = "builder")]
pub mod deploy;
#[cfg(feature = "builder")]
pub mod diag;
#[cfg(feature = "builder")]
pub mod eval;
#[cfg(feature = "builder")]
pub mod exec;
#[cfg(feature = "builder")]
pub mod image;
#[cfg(feature = "builder")]
pub mod install;
#[cfg(feature = "builder")]
pub mod lower;
#[cfg(feature = "secrets")]
pub mod secrets;
#[cfg(feature = "secrets")]
pub mod sops;
#[cfg(feature = "builder")]
pub mod spec;
#[cfg(feature = "builder")]
pub mod ssh;
#[cfg(feature = "builder")]
pub mod takeover;
#[cfg(feature = "builder")]
pub mod vm;
