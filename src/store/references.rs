//! Finding references: which of the known store paths do contents name?
//!
//! As in Nix, a reference is the 32-character digest of a known path anywhere in the NAR; the name
//! after it does not count. Contents that are compressed or encrypted hide theirs.

use std::collections::BTreeSet;
use std::fmt;

use nix_archive::nar::{ReferencePattern, ReferenceScanner};

use super::StorePath;

/// The store paths to look for, made ready once for many scans.
#[derive(Clone)]
pub struct Candidates {
    paths: Vec<StorePath>,
    pattern: ReferencePattern,
}

/// One scan over a stream of bytes; remembers what may continue in the next piece.
pub struct Scanner<'a> {
    paths: &'a [StorePath],
    scanner: ReferenceScanner,
}

impl Candidates {
    /// Prepares to look for `paths`.
    pub fn new(paths: &BTreeSet<StorePath>) -> Self {
        let paths: Vec<StorePath> = paths.iter().cloned().collect();
        let pattern = ReferencePattern::new(paths.iter().map(StorePath::digest_text))
            .expect("the digest of a store path is 32 base-32 characters");
        Self { paths, pattern }
    }

    /// Begins a scan.
    pub fn scanner(&self) -> Scanner<'_> {
        Scanner { paths: &self.paths, scanner: self.pattern.scanner() }
    }

    /// The candidates that `bytes` name.
    pub fn named_in(&self, bytes: &[u8]) -> BTreeSet<StorePath> {
        let mut scanner = self.scanner();
        scanner.feed(bytes);
        scanner.found()
    }
}

impl Scanner<'_> {
    /// Takes the next piece of the stream; pieces may end anywhere, also within a reference.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.scanner.scan(bytes);
    }

    /// The candidates seen so far.
    pub fn found(&self) -> BTreeSet<StorePath> {
        self.scanner.matches().map(|index| self.paths[index].clone()).collect()
    }
}

impl fmt::Debug for Candidates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Candidates").field(&self.paths).finish()
    }
}

impl fmt::Debug for Scanner<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scanner").field("found", &self.found()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
