//! The functions of the fuzz targets, over some thousand changed seeds; see `fuzz/README.md`.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../../fuzz/entries.rs"]
mod entries;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

/// Changed inputs for each seed.
const ROUNDS: u64 = 2000;
/// Bytes that mean something in many formats.
const TELLING: &[u8] = b"\0\x01\x7f\x80\xff\n /.0123567x%-";

#[test]
fn no_changed_package_makes_the_reader_panic() {
    run("deb", entries::deb);
}

#[test]
fn no_changed_manifest_makes_the_reader_panic() {
    run("manifest", entries::manifest);
}

#[test]
fn no_changed_sops_document_makes_the_reader_panic() {
    run("sops", entries::sops);
}

#[test]
fn no_changed_nar_makes_the_reader_panic() {
    run("nar", entries::nar);
}

#[track_caller]
fn run(name: &str, read: fn(&[u8])) {
    for seed in seeds(name) {
        let bytes = fs::read(&seed).unwrap();
        read(&bytes);
        for round in 0..ROUNDS {
            let mut random = Random(round.wrapping_mul(0x9e37_79b9_7f4a_7c15) + 1);
            let changed = random.changed(&bytes);
            if catch_unwind(AssertUnwindSafe(|| read(&changed))).is_err() {
                let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("crash-{name}"));
                nexus_host::exec::files::write_atomic(&path, &changed).unwrap();
                panic!("round {round} of {} panics, see {}", seed.display(), path.display());
            }
        }
    }
}

fn seeds(name: &str) -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(name);
    let entries = fs::read_dir(directory).unwrap();
    let mut seeds: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    seeds.sort();
    assert!(!seeds.is_empty());
    seeds
}

/// Numbers that look random and are the same in every run (xorshift64*).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, limit: usize) -> usize {
        let limit = u64::try_from(limit.max(1)).unwrap();
        usize::try_from((self.next() >> 11) % limit).unwrap()
    }

    fn byte(&mut self) -> u8 {
        match self.below(2) {
            0 => TELLING[self.below(TELLING.len())],
            _ => self.next().to_be_bytes()[0],
        }
    }

    /// `bytes` with one to four changes; the checksums of tar headers are mostly made right again.
    fn changed(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut changed = bytes.to_vec();
        for _ in 0..=self.below(4) {
            self.change(&mut changed);
        }
        if self.below(4) > 0 {
            seal_tar_headers(&mut changed);
        }
        changed
    }

    fn change(&mut self, bytes: &mut Vec<u8>) {
        let at = self.below(bytes.len());
        let end = (at + self.below(600)).min(bytes.len());
        match self.below(10) {
            0 => bytes.truncate(at),
            1 => drop(bytes.drain(at..end)),
            2 => {
                let copy = bytes[at..end].to_vec();
                let to = self.below(bytes.len());
                bytes.splice(to..to, copy);
            }
            3 => bytes.insert(at, self.byte()),
            4 => bytes[at..end].fill(0),
            _ => {
                // Long runs of zeros teach nothing: most changes are made where there is something.
                let near = bytes[at..].iter().position(|&byte| byte != 0).unwrap_or_default();
                let byte = self.byte();
                if let Some(place) = bytes.get_mut(at + near) {
                    *place = byte;
                }
            }
        }
    }
}

fn seal_tar_headers(bytes: &mut [u8]) {
    for magic in 257..bytes.len().saturating_sub(255) {
        if bytes[magic..].starts_with(b"ustar") {
            let block = &mut bytes[magic - 257..magic + 255];
            block[148..156].fill(b' ');
            let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
            block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        }
    }
}
