//! The `nexus-init` program that this program carries.

/// A static program for x86-64 Linux, built by `build.rs`.
pub const NEXUS_INIT: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/nexus-init"));

/// The program that installs secrets on a host, static.
pub const NEXUS_SECRETS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/nexus-secrets"));
