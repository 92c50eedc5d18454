//! Which store paths the host has, whole: a text file that began in the image.
//!
//! ```text
//! nexus-registration 1
//! <digest>-<name> sha256:<NAR, hexadecimal> <NAR bytes> <references…>
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::PathBuf;

use super::error::AgentError;
use super::places::Places;
use crate::exec::files::{read_limited, write_atomic};
use crate::store::{Sha256Digest, StorePath};

/// Most bytes of the file.
const BYTES_MAX: u64 = 256 << 20;
/// The first line.
const FIRST_LINE: &str = "nexus-registration 1";

/// What is known of a store path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registered {
    /// SHA-256 of its NAR.
    pub nar_hash: Sha256Digest,
    /// Bytes of its NAR.
    pub nar_size: u64,
    /// The store paths it needs.
    pub references: BTreeSet<StorePath>,
}

/// All registered store paths.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Registry {
    paths: BTreeMap<StorePath, Registered>,
}

impl Registry {
    /// Reads the host's.
    ///
    /// # Errors
    ///
    /// When it is not there or not in its form.
    pub fn load(places: &Places) -> Result<Self, AgentError> {
        let path = file(places);
        let text = read_limited(&path, BYTES_MAX)?;
        Self::parse(&String::from_utf8_lossy(&text))
            .map_err(|line| AgentError::Registration { path, line })
    }

    /// Writes it whole, or leaves what was there.
    pub fn save(&self, places: &Places) -> Result<(), AgentError> {
        Ok(write_atomic(&file(places), self.to_text().as_bytes())?)
    }

    /// Reads the text; the number of the first bad line otherwise.
    pub fn parse(text: &str) -> Result<Self, usize> {
        let mut lines = text.lines();
        if lines.next() != Some(FIRST_LINE) {
            return Err(1);
        }
        let mut registry = Self::default();
        for (index, line) in lines.enumerate() {
            let (path, registered) = parse_line(line).ok_or(index + 2)?;
            registry.paths.insert(path, registered);
        }
        Ok(registry)
    }

    /// The text; equal registries give equal texts.
    pub fn to_text(&self) -> String {
        let mut text = format!("{FIRST_LINE}\n");
        for (path, known) in &self.paths {
            write!(text, "{path} sha256:{} {}", known.nar_hash, known.nar_size)
                .expect("a String takes all");
            for reference in &known.references {
                write!(text, " {reference}").expect("a String takes all");
            }
            text.push('\n');
        }
        text
    }

    /// All paths.
    pub fn paths(&self) -> &BTreeMap<StorePath, Registered> {
        &self.paths
    }

    /// Whether `path` is registered and its directory entry is there.
    pub fn is_valid(&self, places: &Places, path: &StorePath) -> bool {
        self.paths.contains_key(path) && places.store_path(path).symlink_metadata().is_ok()
    }

    /// Adds or replaces a path.
    pub fn insert(&mut self, path: StorePath, registered: Registered) {
        self.paths.insert(path, registered);
    }

    /// Forgets a path.
    pub fn remove(&mut self, path: &StorePath) {
        self.paths.remove(path);
    }

    /// `roots` and all they need.
    ///
    /// # Errors
    ///
    /// [`AgentError::NotHere`] for the first path that is missing.
    pub fn closure(
        &self,
        places: &Places,
        roots: impl IntoIterator<Item = StorePath>,
    ) -> Result<BTreeSet<StorePath>, AgentError> {
        let mut found = BTreeSet::new();
        let mut open: Vec<StorePath> = roots.into_iter().collect();
        while let Some(path) = open.pop() {
            if found.contains(&path) {
                continue;
            }
            if !self.is_valid(places, &path) {
                return Err(AgentError::NotHere { path });
            }
            open.extend(self.paths[&path].references.iter().cloned());
            found.insert(path);
        }
        Ok(found)
    }
}

fn file(places: &Places) -> PathBuf {
    places.memory().join("registration")
}

fn parse_line(line: &str) -> Option<(StorePath, Registered)> {
    let mut words = line.split(' ');
    let path = StorePath::from_base_name(words.next()?).ok()?;
    let nar_hash = words.next()?.strip_prefix("sha256:")?.parse().ok()?;
    let nar_size = words.next()?.parse().ok()?;
    let references: Result<_, _> = words.map(StorePath::from_base_name).collect();
    Some((path, Registered { nar_hash, nar_size, references: references.ok()? }))
}
