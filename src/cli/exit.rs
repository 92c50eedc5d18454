//! Exit codes: what a program that calls nexus-host may rely on.

/// Done.
pub(super) const DONE: u8 = 0;
/// The user's files are wrong: host file, module, lock.
pub(super) const FILES_WRONG: u8 = 1;
/// The command line is wrong.
pub(super) const USAGE: u8 = 2;
/// Locking, fetching or building failed; nothing half-done is left.
pub(super) const BUILD_FAILED: u8 = 3;
/// It failed; the machine runs what it ran before.
pub(super) const MACHINE_UNCHANGED: u8 = 4;
/// It failed, and the machine is not what it was, or nobody knows what it is.
pub(super) const MACHINE_UNKNOWN: u8 = 5;
/// A test or check failed.
pub(super) const CHECK_FAILED: u8 = 6;
/// A bug of nexus-host.
pub(super) const BUG: u8 = crate::failure::EXIT_BUG;
/// The user pressed Ctrl-C; what was done before stays valid (128 + SIGINT, as shells count).
pub(super) const INTERRUPTED: u8 = 130;
