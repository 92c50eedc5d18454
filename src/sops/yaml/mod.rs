//! YAML with its comments, as SOPS reads and writes it: one document, maps with text keys.

mod read;
mod resolve;
mod write;

pub(super) use read::parse;
pub(super) use write::write;
