//! Fetching files from servers that behave and servers that do not.

use std::fmt::Write as _;

use expect_test::{Expect, expect};

use super::testing::{Behaviour, Recorder, Server};
use super::*;
use crate::exec::progress::Silent;

mod cache;
mod files;
mod mirrors;
mod suites;

fn options() -> FetchOptions {
    FetchOptions {
        connect_timeout: Duration::from_secs(2),
        stall_timeout: Duration::from_secs(1),
        first_delay: Duration::from_millis(1),
        ..FetchOptions::default()
    }
}

fn wanted(label: &str, bytes: &[u8], urls: Vec<Url>) -> Wanted {
    let sha256 = Sha256Digest::of(bytes);
    Wanted { urls, sha256, size: bytes.len() as u64, label: label.to_owned() }
}

/// Bytes without repetition.
fn some_bytes(length: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(length + 32);
    for counter in 0_u64.. {
        if bytes.len() >= length {
            break;
        }
        bytes.extend_from_slice(Sha256Digest::of(&counter.to_le_bytes()).as_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// An error with its causes, one a line, without the server's port.
fn chain(error: &dyn std::error::Error, server: &Server) -> String {
    let mut text = String::new();
    let mut next = Some(error);
    while let Some(error) = next {
        writeln!(text, "{error}").unwrap();
        next = error.source();
    }
    text.replace(server.url.authority(), "server")
}

/// The files below a cache, with their lengths.
fn listing(directory: &Path) -> String {
    let mut entries = Vec::new();
    let mut directories = vec![directory.to_owned()];
    while let Some(parent) = directories.pop() {
        for entry in std::fs::read_dir(&parent).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() {
                directories.push(path);
            } else {
                let name = path.strip_prefix(directory).unwrap().display().to_string();
                let short: String = name.chars().take(20).collect();
                entries.push(format!("{short}… {}", entry.metadata().unwrap().len()));
            }
        }
    }
    entries.sort();
    entries.join("\n")
}
