//! Plain values, and whether they stand where they must not.

use std::path::{Path, PathBuf};

use nexus_host::sops::{Document, Format, Identities, Node, SecretBytes, find, leaf_paths};

/// Every value of an encrypted YAML document in clear, by its path; and the identity itself, which
/// opens all of them.
pub(crate) fn plain_values(document: &Path, identity: &Path) -> Vec<(String, Vec<u8>)> {
    let mut identities = Identities::default();
    let text = SecretBytes::new(std::fs::read(identity).unwrap());
    identities.read(&text, "identity", &|_| None).unwrap();
    let bytes = std::fs::read(document).unwrap();
    let document = Document::parse(Format::Yaml, &bytes).unwrap();
    let key = document.metadata.data_key(&identities).unwrap();
    let items = document.open(&key).unwrap().items;
    let value = |path: String| {
        let parts: Vec<&str> = path.split('/').collect();
        let value = find(&items, &parts).and_then(Node::file_bytes).unwrap().expose().clone();
        (path, value)
    };
    let mut values: Vec<(String, Vec<u8>)> = leaf_paths(&items).into_iter().map(value).collect();
    values.push(("identity".to_owned(), key_of(text.text().unwrap()).as_bytes().to_vec()));
    values
}

/// The line of an identity file that is the key.
fn key_of(text: &str) -> &str {
    text.lines().map(str::trim).find(|line| line.starts_with("AGE-SECRET-KEY-")).unwrap()
}

/// The name of the first of `values` that stands in `bytes`.
pub(crate) fn held<'v>(bytes: &[u8], values: &'v [(String, Vec<u8>)]) -> Option<&'v str> {
    let found = values.iter().find(|(_, value)| memchr::memmem::find(bytes, value).is_some());
    found.map(|(name, _)| name.as_str())
}

/// Files below `folders` that hold one of `values`, each with its name; and how many were read.
pub(crate) fn files_that_hold(
    folders: &[PathBuf],
    values: &[(String, Vec<u8>)],
) -> (Vec<(PathBuf, String)>, usize) {
    let (mut found, mut count) = (Vec::new(), 0);
    let mut waiting = folders.to_vec();
    while let Some(path) = waiting.pop() {
        // What another test removes meanwhile holds nothing.
        let Ok(kind) = std::fs::symlink_metadata(&path).map(|data| data.file_type()) else {
            continue;
        };
        if kind.is_dir() {
            let entries = std::fs::read_dir(&path).into_iter().flatten().flatten();
            waiting.extend(entries.map(|entry| entry.path()));
        } else if kind.is_file() {
            count += 1;
            let Ok(bytes) = std::fs::read(&path) else { continue };
            if let Some(name) = held(&bytes, values) {
                found.push((path, name.to_owned()));
            }
        }
    }
    (found, count)
}
