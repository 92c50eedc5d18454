//! The store on disk: immutable trees under names that prove them, and the registry that knows them.
//!
//! ```text
//! DIR/nix/store/<digest>-<name>        what is stored; valid only when registered
//! DIR/nix/var/nix/db/db.sqlite         the registry, in Nix's own schema 10, with tables of ours
//! DIR/nix/var/nix/db/schema            the text `10`
//! DIR/nix/var/nix/gcroots/nexus-host/  links to what must be kept
//! DIR/nix/var/nexus-host/scratch/      trees being built; one directory each, locked by its process
//! DIR/nix/var/nexus-host/add.lock      held from the first rename of a batch to its registration
//! DIR/nix/var/nexus-host/use.lock      shared by all who use the store, exclusive for collecting garbage
//! DIR/nix/var/nexus-host/reserve       space that lets garbage be collected on a full disk
//! ```
//!
//! **Adding.** A tree is built in a scratch directory, digested, renamed to its name and registered,
//! a whole batch in one transaction. Killed in between, the unregistered directory is garbage: the
//! next one to build it puts its own in that place. Two processes may build the same at once; the
//! second to come finds it valid and drops its own.
//!
//! **Power cuts.** Waiting for the disk takes about as long as digesting (0.6 s for 1.4 GB, tried), so
//! nobody waits: a path is registered together with the identifier of the running boot, and the first
//! [`Store::open`] after a reboot digests such paths again and forgets what did not reach the disk
//! whole. [`Store::sync`] makes that needless for all that is registered before it.

mod add;
mod collect;
mod dump;
mod error;
mod lock;
mod open;
mod queries;
mod realisations;
mod registry;
mod roots;
mod scratch;
mod transfer;
mod verify;

pub use add::{Built, References, ToAdd};
pub use collect::Collected;
pub use error::StoreError;
pub use open::Store;
pub use realisations::Realisation;
pub use scratch::Scratch;
pub use verify::{Changed, Found, VerifyReport};

#[cfg(test)]
mod tests;
