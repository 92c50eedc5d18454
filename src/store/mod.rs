//! Nix's store formats, bit for bit: digests, base-32, store paths, NAR, references.

pub mod hash;
pub mod path;

pub use hash::Sha256Digest;
pub use path::{StoreDir, StorePath, StorePathName};
