//! Everything in a directory, a line each: names, kinds, permission bits, contents, times.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use nexus_host::store::Sha256Digest;

pub(crate) fn listing(root: &Path) -> String {
    let mut lines = BTreeMap::new();
    let mut directories = vec![PathBuf::new()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(root.join(&directory)).unwrap() {
            let path = directory.join(entry.unwrap().file_name());
            let place = root.join(&path);
            let metadata = fs::symlink_metadata(&place).unwrap();
            let contents = if metadata.is_dir() {
                directories.push(path.clone());
                String::new()
            } else if metadata.is_symlink() {
                let target = fs::read_link(&place).unwrap();
                Sha256Digest::of(target.as_os_str().as_bytes()).to_string()
            } else {
                Sha256Digest::of(&fs::read(&place).unwrap()).to_string()
            };
            // The manifest itself is written when the delta is; only below data/ is time part of it.
            let time = if path.starts_with("data/") { metadata.mtime() } else { 0 };
            let mode = if metadata.is_symlink() { 0 } else { metadata.mode() };
            lines.insert(path.clone(), format!("{} {mode:o} {time} {contents}\n", path.display()));
        }
    }
    lines.into_values().collect()
}

/// The lines that only one of two listings has.
pub(crate) fn differences(left: &str, right: &str) -> String {
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<BTreeSet<String>>();
    let (left, right) = (lines(left), lines(right));
    let only: Vec<&str> = left.symmetric_difference(&right).map(String::as_str).collect();
    only.join("\n")
}
