//! Reads units of a system from its tree: files, drop-ins, links that want and require.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use super::trees::{joined, with_merged_usr};
use crate::exec::files::read_limited;
use crate::switch::{SystemUnits, UNIT_BYTES_MAX, UnitFile, stem, suffix, template_of};

/// Where units of a system lie; the first that has one counts. Source: systemd.unit(5), "Unit File
/// Load Path", without the places in `/run` that are no part of a system.
const FOLDERS: &[&str] =
    &["/etc/systemd/system", "/usr/local/lib/systemd/system", "/usr/lib/systemd/system"];
/// Where generators put units that follow from files such as `/etc/fstab`.
const GENERATED: &[&str] =
    &["/run/systemd/generator.early", "/run/systemd/generator", "/run/systemd/generator.late"];
/// Where the link of a masked unit leads.
const NOWHERE: &str = "/dev/null";
/// Most links that are followed to find a file.
const LINKS_MAX: usize = 40;

/// A system's tree: a directory whose `usr` and `etc` are the system's.
#[derive(Debug, Clone)]
pub struct Tree {
    root: PathBuf,
    /// With what lies in each: most places that may have something have nothing.
    folders: Vec<(&'static str, BTreeSet<String>)>,
}

impl Tree {
    /// The tree at `root`, `/` for what runs.
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self::with(root.into(), FOLDERS)
    }

    /// The units that generators made, in the running system at `root`.
    pub fn generated(root: impl Into<PathBuf>) -> Self {
        Self::with(root.into(), GENERATED)
    }

    fn with(root: PathBuf, folders: &[&'static str]) -> Self {
        let mut tree = Self { root, folders: Vec::new() };
        let names = |folder: &str| names_in(&tree.place(folder)).into_iter().collect();
        tree.folders = folders.iter().map(|folder| (*folder, names(folder))).collect();
        tree
    }

    /// Reads `names` and everything that is wanted by a link.
    ///
    /// What cannot be read is as good as missing: systemd sees it no better.
    pub fn units(&self, names: &BTreeSet<String>) -> SystemUnits {
        let wanted = self.wanted();
        let all: BTreeSet<&String> = names.iter().chain(wanted.keys()).collect();
        let files: BTreeMap<String, UnitFile> = all
            .into_iter()
            .map(|name| (name.clone(), self.unit(name)))
            .filter(|(_, file)| *file != UnitFile::Missing)
            .collect();
        SystemUnits { files, wanted }
    }

    /// Units by the links in `*.wants`, `*.requires` and `*.upholds`.
    pub(super) fn wanted(&self) -> BTreeMap<String, BTreeSet<String>> {
        let mut wanted: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (folder, names) in &self.folders {
            for folder_name in names {
                let Some((by, "wants" | "requires" | "upholds")) = folder_name.rsplit_once('.')
                else {
                    continue;
                };
                for name in names_in(&self.place(&format!("{folder}/{folder_name}"))) {
                    // A link to nowhere in particular takes a want of the packages back.
                    if !self.is_masked(&format!("{folder}/{folder_name}/{name}")) {
                        wanted.entry(name).or_default().insert(by.to_owned());
                    }
                }
            }
        }
        wanted
    }

    /// One unit with its drop-ins.
    fn unit(&self, name: &str) -> UnitFile {
        if name.contains('/') || name.starts_with('.') {
            return UnitFile::Missing;
        }
        let template = template_of(name);
        let candidates = std::iter::once(name).chain(template.as_deref());
        let found = candidates.into_iter().find_map(|name| {
            let (folder, _) = self.folders.iter().find(|(_, names)| names.contains(name))?;
            Some(format!("{folder}/{name}"))
        });
        let Some(place) = found else { return UnitFile::Missing };
        let text = match self.read(&place) {
            Some(text) if !text.is_empty() => text,
            Some(_) => return UnitFile::Masked,
            None => return UnitFile::Missing,
        };
        UnitFile::Present { text, dropins: self.dropins(name, template.as_deref()) }
    }

    /// Drop-ins by file name; those of the unit itself before those of its kind.
    fn dropins(&self, name: &str, template: Option<&str>) -> BTreeMap<String, String> {
        let mut dropins = BTreeMap::new();
        // Read from the weakest to the strongest: a later one of the same name replaces.
        for (folder, names) in self.folders.iter().rev() {
            for kind in weakest_first(name, template) {
                let kind = format!("{kind}.d");
                if !names.contains(&kind) {
                    continue;
                }
                let folder = format!("{folder}/{kind}");
                for file in names_in(&self.place(&folder)) {
                    let conf = Path::new(&file).extension().is_some_and(|e| e == "conf");
                    let place = format!("{folder}/{file}");
                    if !conf {
                        continue;
                    }
                    dropins.insert(file, self.read(&place).unwrap_or_default());
                }
            }
        }
        dropins
    }

    /// Whether a file is empty or a link to `/dev/null`.
    fn is_masked(&self, path: &str) -> bool {
        let place = self.place(path);
        match fs::read_link(&place) {
            Ok(target) => target == Path::new(NOWHERE),
            Err(_) => place.symlink_metadata().is_ok_and(|m| m.is_file() && m.len() == 0),
        }
    }

    /// The contents of a file, links followed inside the tree; none when they end at `/dev/null`.
    fn read(&self, path: &str) -> Option<String> {
        let mut path = path.to_owned();
        for _ in 0..LINKS_MAX {
            let place = self.place(&path);
            let Ok(target) = fs::read_link(&place) else {
                let bytes = read_limited(&place, UNIT_BYTES_MAX).ok()?;
                return Some(String::from_utf8_lossy(&bytes).into_owned());
            };
            if target == Path::new(NOWHERE) {
                return Some(String::new());
            }
            path = joined(&path, target.to_str()?);
        }
        None
    }

    fn place(&self, path: &str) -> PathBuf {
        self.root.join(with_merged_usr(path).trim_start_matches('/'))
    }
}

/// Folders of drop-ins: `service`, `a-`, `a-b-`, the template, the unit.
fn weakest_first(name: &str, template: Option<&str>) -> Vec<String> {
    let kind = suffix(name);
    let mut folders = vec![kind.to_owned()];
    let stem = stem(name);
    let dashes = stem.match_indices('-').map(|(at, _)| &stem[..=at]);
    folders.extend(dashes.map(|prefix| format!("{prefix}.{kind}")));
    folders.extend(template.map(str::to_owned));
    folders.push(name.to_owned());
    folders
}

fn names_in(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut names: Vec<String> =
        entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    names
}

#[cfg(test)]
mod tests;
