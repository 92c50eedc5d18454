//! Test machines in QEMU: start, console, network from outside, checks, reports.
//!
//! The image under test is the deployed one, byte for byte: QEMU writes to an overlay, and the root shell
//! that checks use is a unit handed over by the firmware tables ([`shell`]). Everything that is asked
//! "from outside" goes through [`network`], a small host in this process at the other end of the cable.

pub mod base64;
pub mod checks;
pub mod console;
mod cpu;
pub mod error;
pub mod expectations;
pub mod kvm;
pub mod launch;
pub mod machine;
pub mod network;
pub mod overlay;
pub mod pinned;
pub mod promises;
pub mod qemu;
pub mod qmp;
pub mod report;
mod session;
pub mod shell;
mod sockets;
mod watch;

pub use checks::run_checks;
pub use error::{MachineError, Problem};
pub use expectations::Expectations;
pub use launch::{Launch, MachinesOwn};
pub use machine::{Machine, MachineOptions};
pub use network::Network;
pub use report::Report;
