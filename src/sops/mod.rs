//! SOPS documents: YAML, JSON, dotenv and binary files whose values are encrypted, with age keys.
//!
//! A document is a tree whose keys stand in clear and whose values are `ENC[…]`, each bound to its
//! path; `sops.age` holds the data key for each recipient, and `sops.mac` authenticates all values in
//! their order. Interoperates with `sops` 3.13; its behaviour, not its text, is what is followed here.
//! Nothing here reads the clock, files or the system's randomness, except that the age library draws
//! its ephemeral keys itself.

mod cipher;
mod creation;
mod document;
mod dotenv;
mod error;
mod format;
mod json;
mod keys;
mod metadata;
mod rule;
mod secret;
mod timestamp;
mod tree;
mod yaml;

pub use cipher::DataKey;
pub use creation::{CreationRule, CreationRules};
pub use document::{Document, Nonces, Opened, Random};
pub use error::{MacProblem, SopsError, ValueProblem};
pub use format::{DOCUMENT_BYTES_MAX, Format};
pub use keys::{AskPassphrase, Identities, Recipient, generate_identity};
pub use metadata::Metadata;
pub use rule::Rule;
pub use secret::{Secret, SecretBytes};
pub use timestamp::from_unix_seconds;
pub use tree::{Comment, DEPTH_MAX, Item, NODES_MAX, Node, find, leaf_paths, remove, set};

#[cfg(test)]
mod tests;
