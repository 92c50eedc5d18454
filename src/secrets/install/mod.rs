//! Secrets on the host: all decrypted before anything changes, written into memory, switched at once.
//!
//! ```text
//! /run/secrets            → /run/secrets.d/12     one link; renamed over, so readers see old or new
//! /run/secrets.d                                  ramfs: never swapped, never on a disk
//!   12/app/token          0400 app app
//!   12/templates/app.env  rendered
//!   11/                   the generation before, for programs that have not restarted yet
//! ```
//!
//! [`prepare`] is also the check before a deployment: it reads and decides everything and touches
//! nothing. [`install`] then can only fail for want of memory, and leaves the old secrets if it does.

mod accounts;
mod activate;
mod boot;
mod memory;
mod prepare;
mod shadow;
mod write;

pub use accounts::Accounts;
pub use activate::{ActivateError, Places, activate, check_generation, find_identities};
pub use boot::{BootError, bind_shadow, install_secrets};
pub use memory::{is_in_memory, keep_out_of_dumps, mount_memory};
pub use prepare::{Account, PrepareError, Prepared, PreparedFile, prepare};
pub use shadow::{ShadowError, shadow_with_hashes};
pub use write::{Changed, InstallError, changes, install};

#[cfg(test)]
mod tests;
