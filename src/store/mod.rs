//! Nix's store formats, bit for bit: digests, base-32, store paths, NAR, references.

pub mod hash;
pub mod info;
pub mod nar;
pub mod path;
pub mod references;

pub use hash::Sha256Digest;
pub use info::PathInfo;
pub use path::{StoreDir, StorePath, StorePathName};
