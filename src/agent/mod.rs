//! `nexus-agent`: what changes a host from within. Its conversation is told in `docs/agent-protocol.md`.
//!
//! ```text
//! /nix/var/nexus-host/generations.json     the history (crate::generation); the truth about defaults
//! /nix/var/nexus-host/registration         store paths that are whole, with digests and references
//! /nix/var/nexus-host/incoming/            contents that arrived, by digest; also unfinished ones
//! /nix/var/nix/profiles/system-N-link      links of the generations, for people and for Nix
//! /run/nexus-host/lock                     held while the host changes; its text says by whom
//! /run/nexus-host/trees                    which mounts belong to which system, since boot
//! /run/nexus-host/boot-files               kernels and initrds that were read and compared since boot
//! /run/nexus-host/differences              paths of systems that were compared since boot
//! /run/nexus-host/agent                    the agent that armed a return; it outlives the switch
//! /run/nexus-host/attempts/<nonce>.log     events of an activation, a line each
//! ```
//!
//! Everything durable is written to a temporary file, synced and renamed, and its directory synced. An
//! agent may be killed anywhere: what it was doing is found out from the state, the mounts and the
//! service manager, never from memory.

pub mod activation;
mod boot_files;
pub mod boot_menu;
mod bus;
pub mod collect;
pub mod command;
pub mod confirmation;
mod differences;
pub mod drift;
pub mod error;
pub mod events;
pub mod health;
pub mod import;
pub mod lock;
pub mod manifest;
pub mod next_root;
pub mod observation;
pub mod patch;
pub mod places;
pub mod process;
pub mod protocol;
pub mod registry;
pub mod returning;
pub mod secrets;
pub mod sending;
pub mod serve;
pub mod service_manager;
pub mod stage;
pub mod state;
pub mod status;
pub mod takeover;
mod touched;
pub mod trees;
pub mod unit_files;
pub mod verify;
