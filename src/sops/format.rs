//! The file formats of SOPS: which is which, and what they have in common.

use std::str::FromStr;

use super::error::SopsError;
use super::tree::{DEPTH_MAX, Item, NODES_MAX, Node};
use super::{dotenv, json, yaml};

/// Most bytes of a document.
pub const DOCUMENT_BYTES_MAX: usize = 16 << 20;
/// The key of the metadata.
const RESERVED: &str = "sops";
/// The only key of a binary document.
const BINARY_KEY: &str = "data";

/// Format of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// YAML, one document.
    Yaml,
    /// JSON.
    Json,
    /// Lines `KEY=value`.
    Dotenv,
    /// Any bytes, as one secret; JSON when encrypted.
    Binary,
}

impl FromStr for Format {
    type Err = SopsError;

    /// By the name that `sops --input-type` takes.
    fn from_str(name: &str) -> Result<Self, SopsError> {
        match name {
            "yaml" | "yml" => Ok(Self::Yaml),
            "json" => Ok(Self::Json),
            "dotenv" | "env" => Ok(Self::Dotenv),
            "binary" => Ok(Self::Binary),
            _ => Err(SopsError::Format { name: name.to_owned() }),
        }
    }
}

impl Format {
    /// The format of a file by the end of its name, as SOPS chooses; others are binary.
    ///
    /// # Errors
    ///
    /// [`SopsError::Format`] for INI.
    pub fn of_path(path: &str) -> Result<Self, SopsError> {
        let name = path.rsplit('/').next().unwrap_or(path);
        match name.rsplit_once('.').map(|(_, extension)| extension) {
            Some("yaml" | "yml") => Ok(Self::Yaml),
            Some("json") => Ok(Self::Json),
            Some("env") => Ok(Self::Dotenv),
            Some("ini") => Err(SopsError::Format { name: "ini".to_owned() }),
            _ => Ok(Self::Binary),
        }
    }

    /// Reads a plain document.
    ///
    /// # Errors
    ///
    /// What is wrong with its form; [`SopsError::ReservedKey`] when it is encrypted.
    pub fn parse_plain(self, bytes: &[u8]) -> Result<Vec<Item>, SopsError> {
        check_bytes(bytes)?;
        let items = match self {
            Self::Yaml => yaml::parse(bytes)?,
            Self::Json => json::parse(bytes)?,
            Self::Dotenv => dotenv::parse(bytes)?,
            Self::Binary => {
                let data = super::SecretBytes::new(bytes.to_vec());
                return Ok(vec![Item::entry(BINARY_KEY, Node::Text(data))]);
            }
        };
        check_size(&items)?;
        self.check_reserved(&items)?;
        Ok(items)
    }

    /// Writes a plain document.
    ///
    /// # Errors
    ///
    /// [`SopsError::Unwritable`], naming the value.
    pub fn write_plain(self, items: &[Item]) -> Result<Vec<u8>, SopsError> {
        match self {
            Self::Yaml => yaml::write(items).map(String::into_bytes),
            Self::Json => json::write(items).map(String::into_bytes),
            Self::Dotenv => dotenv::write(items).map(String::into_bytes),
            Self::Binary => match super::tree::find(items, &[BINARY_KEY]) {
                Some(Node::Text(data)) => Ok(data.expose().clone()),
                _ => Err(SopsError::Unwritable {
                    path: BINARY_KEY.to_owned(),
                    format: "binary",
                    reason: "a binary document is one text under `data`",
                }),
            },
        }
    }

    /// The entries and the metadata of an encrypted document.
    pub(super) fn parse_encrypted(self, bytes: &[u8]) -> Result<(Vec<Item>, Vec<Item>), SopsError> {
        check_bytes(bytes)?;
        if self == Self::Dotenv {
            let (items, metadata) = dotenv::split_metadata(dotenv::parse(bytes)?)?;
            check_size(&items)?;
            return Ok((items, metadata));
        }
        let mut items = match self {
            Self::Yaml => yaml::parse(bytes)?,
            _ => json::parse(bytes)?,
        };
        check_size(&items)?;
        let is_metadata = |item: &Item| matches!(item, Item::Entry { key, .. } if key == RESERVED);
        let index = items.iter().position(is_metadata).ok_or(SopsError::NoMetadata)?;
        match items.remove(index) {
            Item::Entry { value: Node::Map(metadata), .. } => Ok((items, metadata)),
            _ => Err(SopsError::NotAMap { path: RESERVED.to_owned() }),
        }
    }

    pub(super) fn write_encrypted(
        self,
        items: &[Item],
        metadata: &[Item],
    ) -> Result<Vec<u8>, SopsError> {
        let mut all = items.to_vec();
        match self {
            Self::Dotenv => all.extend(dotenv::flatten_metadata(metadata)),
            _ => all.push(Item::entry(RESERVED, Node::Map(metadata.to_vec()))),
        }
        match self {
            Self::Yaml => yaml::write(&all).map(String::into_bytes),
            Self::Json | Self::Binary => json::write(&all).map(String::into_bytes),
            Self::Dotenv => dotenv::write(&all).map(String::into_bytes),
        }
    }

    /// Refuses a plain document that uses the metadata's key.
    pub(super) fn check_reserved(self, items: &[Item]) -> Result<(), SopsError> {
        let reserved = |key: &str| match self {
            Self::Dotenv => key.starts_with(dotenv::PREFIX),
            _ => key == RESERVED,
        };
        let taken = |item: &Item| matches!(item, Item::Entry { key, .. } if reserved(key));
        if items.iter().any(taken) { Err(SopsError::ReservedKey) } else { Ok(()) }
    }
}

fn check_bytes(bytes: &[u8]) -> Result<(), SopsError> {
    if bytes.len() <= DOCUMENT_BYTES_MAX {
        return Ok(());
    }
    Err(SopsError::TooLarge { what: "bytes", limit: DOCUMENT_BYTES_MAX })
}

fn check_size(items: &[Item]) -> Result<(), SopsError> {
    let count = count_items(items, 1)?;
    if count <= NODES_MAX {
        return Ok(());
    }
    Err(SopsError::TooLarge { what: "entries", limit: NODES_MAX })
}

fn count_items(items: &[Item], depth: usize) -> Result<usize, SopsError> {
    let mut count = items.len();
    for item in items {
        if let Item::Entry { value, .. } = item {
            count += count_node(value, depth)?;
        }
    }
    Ok(count)
}

fn count_node(node: &Node, depth: usize) -> Result<usize, SopsError> {
    if depth > DEPTH_MAX {
        return Err(SopsError::TooLarge { what: "levels", limit: DEPTH_MAX });
    }
    match node {
        Node::Map(items) => count_items(items, depth + 1),
        Node::List(nodes) => nodes
            .iter()
            .try_fold(nodes.len(), |count, node| Ok(count + count_node(node, depth + 1)?)),
        _ => Ok(0),
    }
}

/// A map's entries, refusing keys that are there twice.
pub(super) fn check_unique(items: &[Item]) -> Result<(), SopsError> {
    let mut seen = std::collections::BTreeSet::new();
    for item in items {
        if let Item::Entry { key, .. } = item
            && !seen.insert(key)
        {
            return Err(SopsError::DuplicateKey { path: key.clone() });
        }
    }
    Ok(())
}
