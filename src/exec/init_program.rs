//! The programs of hosts that this program carries.

/// The first program of a host: static, for x86-64 Linux, built by `build.rs`.
pub const NEXUS_INIT: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/nexus-init"));

/// The program that changes a host from within; built the same way.
pub const NEXUS_AGENT: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/nexus-agent"));

/// The program that installs secrets on a host, static.
pub const NEXUS_SECRETS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/nexus-secrets"));
