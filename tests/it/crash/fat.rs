//! The files of a FAT32 file system, if it is such that writing to it spoils nothing: no cluster belongs to two
//! names, and none that a name leads to is free. Clusters that belong to nobody are no harm.
//!
//! Format: Microsoft's "FAT: General Overview of On-Disk Format", 1.03; numbers little-endian. Bits 3 and 4
//! of byte 12, as Windows NT and Linux have it: the name, or its extension, is shown in small letters.

use std::collections::BTreeMap;

const ENTRY_BYTES: usize = 32;
const DIRECTORY: u8 = 0x10;
const LABEL: u8 = 0x08;
const LONG_NAME: u8 = 0x0f;
const SMALL_NAME: u8 = 0x08;
const SMALL_EXTENSION: u8 = 0x10;
/// From here on a number in the table ends a file.
const END: u32 = 0x0fff_fff8;

struct Fat<'a> {
    bytes: &'a [u8],
    cluster_bytes: usize,
    table_at: usize,
    data_at: usize,
    owners: BTreeMap<u32, String>,
    files: Files,
}

/// Contents by path, such as `grub/grubenv`.
pub(crate) type Files = BTreeMap<String, Vec<u8>>;

/// Reads all of it; the first thing that is wrong otherwise.
pub(crate) fn read(bytes: &[u8]) -> Result<Files, String> {
    let sector = usize::from(u16_at(bytes, 11));
    let (reserved, tables) = (usize::from(u16_at(bytes, 14)), usize::from(bytes[16]));
    let table_sectors = u32_at(bytes, 36) as usize;
    let mut fat = Fat {
        bytes,
        cluster_bytes: sector * usize::from(bytes[13]),
        table_at: reserved * sector,
        data_at: (reserved + tables * table_sectors) * sector,
        owners: BTreeMap::new(),
        files: Files::new(),
    };
    fat.directory("", u32_at(bytes, 44))?;
    Ok(fat.files)
}

impl Fat<'_> {
    fn directory(&mut self, path: &str, first: u32) -> Result<(), String> {
        let clusters = self.chain(path, first, None)?;
        let bytes = self.bytes_of(&clusters);
        let mut long = Vec::new();
        for entry in bytes.chunks(ENTRY_BYTES).take_while(|entry| entry[0] != 0) {
            let (deleted, attributes) = (entry[0] == 0xe5, entry[11]);
            if !deleted && attributes == LONG_NAME {
                long.push(entry);
                continue;
            }
            let long = std::mem::take(&mut long);
            if deleted || attributes & LABEL != 0 || entry[0] == b'.' {
                continue;
            }
            let name = long_name(&long).unwrap_or_else(|| short_name(entry));
            let name = if path.is_empty() { name } else { format!("{path}/{name}") };
            let first = u32::from(u16_at(entry, 20)) << 16 | u32::from(u16_at(entry, 26));
            let size = u32_at(entry, 28) as usize;
            if attributes & DIRECTORY != 0 {
                self.directory(&name, first)?;
            } else if first != 0 {
                let clusters = self.chain(&name, first, Some(size))?;
                let mut contents = self.bytes_of(&clusters);
                contents.truncate(size);
                self.files.insert(name, contents);
            } else if size != 0 {
                return Err(format!("{name} has bytes and no clusters"));
            }
        }
        Ok(())
    }

    fn bytes_of(&self, clusters: &[u32]) -> Vec<u8> {
        let at = |cluster: &u32| self.data_at + (*cluster as usize - 2) * self.cluster_bytes;
        let parts: Vec<&[u8]> =
            clusters.iter().map(|c| &self.bytes[at(c)..at(c) + self.cluster_bytes]).collect();
        parts.concat()
    }

    /// The clusters of a file, each of which is now its own.
    fn chain(&mut self, name: &str, first: u32, size: Option<usize>) -> Result<Vec<u32>, String> {
        let (mut clusters, mut next) = (Vec::new(), first);
        while next < END {
            if let Some(owner) = self.owners.insert(next, name.to_owned()) {
                return Err(format!("{owner} and {name} share cluster {next}"));
            }
            clusters.push(next);
            next = u32_at(self.bytes, self.table_at + next as usize * 4) & 0x0fff_ffff;
            if next < 2 {
                return Err(format!("{name} leads to a free cluster"));
            }
        }
        if size.is_some_and(|size| size > clusters.len() * self.cluster_bytes) {
            return Err(format!("{name} has too few clusters"));
        }
        Ok(clusters)
    }
}

/// The name that the entries in front of a file's own spell, last part first.
fn long_name(entries: &[&[u8]]) -> Option<String> {
    let places = [1..11, 14..26, 28..32];
    let mut units = Vec::new();
    for entry in entries.iter().rev() {
        for place in places.clone() {
            units.extend(entry[place].chunks(2).map(|unit| u16_at(unit, 0)));
        }
    }
    let end = units.iter().position(|unit| *unit == 0).unwrap_or(units.len());
    (end > 0).then(|| String::from_utf16_lossy(&units[..end]))
}

fn short_name(entry: &[u8]) -> String {
    let part = |bytes: &[u8], small: bool| {
        let text = String::from_utf8_lossy(bytes).trim_end().to_owned();
        if small { text.to_ascii_lowercase() } else { text }
    };
    let name = part(&entry[..8], entry[12] & SMALL_NAME != 0);
    let extension = part(&entry[8..11], entry[12] & SMALL_EXTENSION != 0);
    if extension.is_empty() { name } else { format!("{name}.{extension}") }
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}
