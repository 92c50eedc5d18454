//! Names in a FAT directory: eight and three capitals, and the long ones that stand in front of them.

use std::collections::BTreeSet;

use super::super::bytes::{put, put_u16};

/// Bytes of a directory entry.
pub(super) const ENTRY_BYTES: usize = 32;
/// UTF-16 units of a long name in one entry.
const UNITS: usize = 13;
/// Where they stand.
const UNITS_AT: [usize; UNITS] = [1, 3, 5, 7, 9, 14, 16, 18, 20, 22, 24, 28, 30];
/// Characters that no long name may have.
const FORBIDDEN: &str = "\"*/:<>?\\|\u{7f}";
/// Characters besides capitals and digits that short names may have.
const SHORT_SIGNS: &[u8] = b"$%'-_@~`!(){}^#&";

/// A name as a directory stores it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct StoredName {
    /// The short name, padded with spaces.
    pub(super) short: [u8; 11],
    /// The long name in UTF-16; empty when the short one says it all.
    long: Vec<u16>,
}

/// Names given out in one directory.
#[derive(Debug, Default)]
pub(super) struct NamesTaken {
    short: BTreeSet<[u8; 11]>,
    folded: BTreeSet<String>,
}

impl NamesTaken {
    /// The stored form of `name`; `None` when FAT cannot have it, or it has it in other capitals.
    pub(super) fn store(&mut self, name: &[u8]) -> Option<StoredName> {
        let text = std::str::from_utf8(name).ok()?;
        let good = |c: char| c >= ' ' && !FORBIDDEN.contains(c);
        if text.is_empty()
            || !text.chars().all(good)
            || text.ends_with(['.', ' '])
            || text.starts_with(' ')
        {
            return None;
        }
        let units: Vec<u16> = text.encode_utf16().collect();
        if units.len() > 255 || !self.folded.insert(text.to_uppercase()) {
            return None;
        }
        if let Some(short) = exact_short_name(text).filter(|short| self.short.insert(*short)) {
            return Some(StoredName { short, long: Vec::new() });
        }
        let short = exact_short_name(&text.to_ascii_uppercase())
            .into_iter()
            .chain((1..=999_999).map(|number| numbered_short_name(text, number)))
            .find(|short| self.short.insert(*short))?;
        Some(StoredName { short, long: units })
    }
}

impl StoredName {
    /// Entries that the name takes, its own included.
    pub(super) fn entries(&self) -> usize {
        1 + self.long.len().div_ceil(UNITS)
    }

    /// The entries of the long name, which come in front of the file's own, last part first.
    pub(super) fn long_entries(&self) -> Vec<u8> {
        let checksum =
            self.short.iter().fold(0_u8, |sum, byte| sum.rotate_right(1).wrapping_add(*byte));
        let parts: Vec<&[u16]> = self.long.chunks(UNITS).collect();
        let mut entries = Vec::new();
        for (index, part) in parts.iter().enumerate().rev() {
            let mut entry = [0; ENTRY_BYTES];
            let number = u8::try_from(index + 1).expect("at most 20 parts");
            let is_last = index + 1 == parts.len();
            entry[0] = if is_last { number | 0x40 } else { number };
            // The attributes of no real file.
            entry[11] = 0x0f;
            entry[13] = checksum;
            for (position, at) in UNITS_AT.into_iter().enumerate() {
                // The name, a zero, then ones.
                let unit = match part.get(position) {
                    Some(unit) => *unit,
                    None if position == part.len() => 0,
                    None => 0xffff,
                };
                put_u16(&mut entry, at, unit);
            }
            entries.extend_from_slice(&entry);
        }
        entries
    }
}

fn is_short_character(byte: u8) -> bool {
    byte.is_ascii_uppercase() || byte.is_ascii_digit() || SHORT_SIGNS.contains(&byte)
}

/// The short name when it is the name itself.
fn exact_short_name(text: &str) -> Option<[u8; 11]> {
    let (base, extension) = text.split_once('.').unwrap_or((text, ""));
    let dot_needs_more = text.contains('.') && extension.is_empty();
    let fits = (1..=8).contains(&base.len()) && extension.len() <= 3 && !dot_needs_more;
    let plain = base.bytes().chain(extension.bytes()).all(is_short_character);
    (fits && plain).then(|| padded(base.as_bytes(), extension.as_bytes()))
}

/// A short name that says little: what remains of the name, `~`, a number.
fn numbered_short_name(text: &str, number: u32) -> [u8; 11] {
    let (base, extension) = text.rsplit_once('.').unwrap_or((text, ""));
    let shorten = |part: &str, length: usize| -> Vec<u8> {
        let kept = part.bytes().filter(|byte| *byte != b'.' && *byte != b' ');
        let to_short = |byte: u8| {
            let upper = byte.to_ascii_uppercase();
            if is_short_character(upper) { upper } else { b'_' }
        };
        kept.map(to_short).take(length).collect()
    };
    let tail = format!("~{number}");
    let mut base = shorten(base, 8 - tail.len());
    base.extend_from_slice(tail.as_bytes());
    padded(&base, &shorten(extension, 3))
}

fn padded(base: &[u8], extension: &[u8]) -> [u8; 11] {
    let mut short = [b' '; 11];
    put(&mut short, 0, base);
    put(&mut short, 8, extension);
    short
}
