//! Checked values and templates → `System`, what the machine shall be.
//!
//! Two stages and no fixpoint: first every module contributes from its own options alone
//! (`contribute.toml.tera`), then those that consume see all that was contributed
//! (`consume.toml.tera`). What comes out is merged, checked as a whole, and completed with the files
//! that follow from it.

mod assertions;
mod context;
mod fragment;
mod generated;
mod item;
mod load;
mod merge;
mod quote;
mod secrets;
mod system;
mod template;
mod unit_text;

pub use load::{fragment_items, load};
pub use secrets::{SecretDemand, SecretTemplate, Secrets};
pub use system::{
    Debian, Deploy, DeployPolicy, File, Group, Interface, Kernel, Mount, Origin, PackageSource,
    Port, Protocol, Route, System, Tls, Tmpfile, Traced, Unit, User,
};

#[cfg(test)]
mod tests;
