//! What is known of the boot partition since the boot: which kernels and initrds were read, so that each is read once,
//! because they are by far the most bytes that a change of the boot menu has to do with; and how much is free.
//!
//! ```text
//! digest <sha256> <bytes> <place>    a file of the store, below /nix/store; it never changes
//! free <bytes>                       of the boot partition, when it was written last
//! there <path>                       a file of the boot partition that was compared or written, named by its digest
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use super::error::AgentError;
use super::places::Places;
use crate::exec::files::{read_limited, write_atomic};
use crate::store::Sha256Digest;

/// Most bytes of the list: some hundred bytes for each generation.
const BYTES_MAX: u64 = 4 << 20;

/// What was read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct BootFiles {
    /// By place below the store.
    digests: BTreeMap<String, (Sha256Digest, u64)>,
    there: BTreeSet<String>,
    /// Bytes free on the boot partition; nobody else writes to it.
    pub(super) free_bytes: Option<u64>,
}

impl BootFiles {
    /// What was noted since the boot.
    pub(super) fn load(places: &Places) -> Self {
        let text = read_limited(&file(places), BYTES_MAX).unwrap_or_default();
        let mut known = Self::default();
        for line in String::from_utf8_lossy(&text).lines() {
            // A line that cannot be read costs only time.
            let _odd = known.note(line);
        }
        known
    }

    fn note(&mut self, line: &str) -> Option<()> {
        let (kind, rest) = line.split_once(' ')?;
        if kind == "there" {
            self.there.insert(rest.to_owned());
            return Some(());
        }
        if kind == "free" {
            self.free_bytes = Some(rest.parse().ok()?);
            return Some(());
        }
        let mut words = rest.splitn(3, ' ');
        let read = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        self.digests.insert(words.next()?.to_owned(), read);
        Some(())
    }

    /// Notes it until the next boot.
    pub(super) fn save(&self, places: &Places) -> Result<(), AgentError> {
        let digest = |(place, (digest, bytes)): (&String, &(Sha256Digest, u64))| {
            format!("digest {digest} {bytes} {place}\n")
        };
        let there = self.there.iter().map(|path| format!("there {path}\n"));
        let free = self.free_bytes.map(|bytes| format!("free {bytes}\n"));
        let text: String = self.digests.iter().map(digest).chain(there).chain(free).collect();
        Ok(write_atomic(&file(places), text.as_bytes())?)
    }

    /// Digest and bytes of the file at `place` below the store.
    ///
    /// # Errors
    ///
    /// Those of `read`, which gives the contents when they are not known.
    pub(super) fn digest<E>(
        &mut self,
        place: &str,
        read: impl FnOnce() -> Result<Vec<u8>, E>,
    ) -> Result<(Sha256Digest, u64), E> {
        if let Some(known) = self.digests.get(place) {
            return Ok(*known);
        }
        let bytes = read()?;
        let found = (Sha256Digest::of(&bytes), bytes.len() as u64);
        self.digests.insert(place.to_owned(), found);
        Ok(found)
    }

    /// Whether a file of the boot partition is known to be as its name says.
    pub(super) fn is_there(&self, path: &str) -> bool {
        self.there.contains(path)
    }

    /// Notes that it is.
    pub(super) fn note_there(&mut self, path: &str) {
        self.there.insert(path.to_owned());
    }

    /// Forgets all files of the boot partition but `paths`.
    pub(super) fn keep_there(&mut self, paths: &BTreeSet<String>) {
        self.there.retain(|path| paths.contains(path));
    }
}

fn file(places: &Places) -> PathBuf {
    places.run().join("boot-files")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_read_is_not_read_again() {
        let directory = tempfile::tempdir().unwrap();
        let places = Places::below(directory.path());
        std::fs::create_dir_all(places.run()).unwrap();
        let mut known = BootFiles::load(&places);
        assert_eq!(known, BootFiles::default());
        let first = known.digest("x-linux/boot/a b", || Ok::<_, ()>(b"abc".to_vec())).unwrap();
        assert_eq!(first, (Sha256Digest::of(b"abc"), 3));
        assert_eq!(known.digest("y", || Err("unreadable")), Err("unreadable"));
        known.note_there("nexus/linux-1");
        known.note_there("nexus/linux-2");
        known.keep_there(&BTreeSet::from(["nexus/linux-2".to_owned()]));
        known.free_bytes = Some(5);
        known.save(&places).unwrap();
        let mut again = BootFiles::load(&places);
        assert_eq!(again, known);
        assert_eq!(again.digest("x-linux/boot/a b", || Err(())), Ok(first));
        assert!(again.is_there("nexus/linux-2") && !again.is_there("nexus/linux-1"));
        write_atomic(&file(&places), b"odd\ndigest x\ndigest 1 2 3\nfree x\n").unwrap();
        assert_eq!(BootFiles::load(&places), BootFiles::default());
    }
}
