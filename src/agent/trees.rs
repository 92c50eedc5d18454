//! Systems as mounts: which one is in place, and whether a file is the same in two of them.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_change, unmount,
};

use super::error::AgentError;
use super::places::Places;
use crate::exec::files::{FileError, read_limited, write_atomic};
use crate::store::StorePath;

/// What the parts of a system are called, both as `<part>.erofs` and as a directory of `/`.
pub const PARTS: [&str; 2] = ["usr", "etc"];
/// Begins the source of mounts that this program made; the system's name follows.
pub(super) const SOURCE_PREFIX: &str = "nexus:";
/// Says where the data of a file lies. Source: `trusted.overlay.redirect` in the kernel's
/// `Documentation/filesystems/overlayfs.rst`, "Data-only lower layers".
const REDIRECT: &str = "trusted.overlay.redirect";
/// Most links that are followed to find a file; the kernel's own limit.
const LINKS_MAX: usize = 40;
/// Bytes that are compared at once.
const COMPARE_BYTES: usize = 64 << 10;
/// Most bytes of the table of mounts.
const MOUNTS_BYTES_MAX: u64 = 16 << 20;

/// A directory of our own with mounts that nobody else sees; all is gone when it is dropped.
#[derive(Debug)]
pub struct Stage {
    directory: PathBuf,
}

impl Stage {
    /// Makes an empty one.
    ///
    /// # Errors
    ///
    /// Without the right to mount.
    pub fn new(places: &Places) -> Result<Self, AgentError> {
        let name = format!("stage-{}", rustix::process::getpid().as_raw_nonzero());
        let directory = places.run().join(name);
        fs::create_dir_all(&directory).map_err(FileError::at("create", &directory))?;
        mount("nexus-stage", &directory, "tmpfs", MountFlags::NODEV, Some(c"mode=0700"))
            .map_err(AgentError::at("mount", &directory))?;
        let stage = Self { directory };
        // Else each mount in here would appear in every service's view of the files.
        mount_change(&stage.directory, MountPropagationFlags::PRIVATE)
            .map_err(AgentError::at("make private", &stage.directory))?;
        Ok(stage)
    }

    /// Makes a directory in it.
    pub(super) fn place(&self, name: &str) -> Result<PathBuf, AgentError> {
        let path = self.directory.join(name);
        fs::create_dir_all(&path).map_err(FileError::at("create", &path))?;
        Ok(path)
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        // A stage that stays costs some memory until the next boot.
        let _kept = unmount(&self.directory, UnmountFlags::DETACH);
        let _kept = fs::remove_dir(&self.directory);
    }
}

/// The names of a system: its images, mounted without their contents.
#[derive(Debug)]
pub struct Names {
    parts: [PathBuf; 2],
    store: PathBuf,
}

impl Names {
    /// Mounts them on `stage`.
    ///
    /// # Errors
    ///
    /// [`AgentError::NoSystem`] when the path is none.
    pub fn mount(places: &Places, stage: &Stage, system: &StorePath) -> Result<Self, AgentError> {
        let mut parts = Vec::new();
        for part in PARTS {
            let image = places.store_path(system).join(format!("{part}.erofs"));
            if !image.is_file() {
                let problem = format!("it has no {part}.erofs");
                return Err(AgentError::NoSystem { path: system.clone(), problem });
            }
            let target = stage.place(&format!("names/{system}/{part}"))?;
            mount(&image, &target, "erofs", MountFlags::RDONLY, None)
                .map_err(AgentError::at("mount", &image))?;
            parts.push(target);
        }
        let parts = parts.try_into().expect("there are two parts");
        Ok(Self { parts, store: places.store() })
    }

    /// Where the names of `usr` and `etc` are mounted.
    pub(super) fn parts(&self) -> &[PathBuf; 2] {
        &self.parts
    }

    /// The place of an absolute path in the mounts; `None` for what is not of the system.
    fn place(&self, path: &str) -> Option<PathBuf> {
        let path = with_merged_usr(path);
        let (index, rest) = PARTS
            .iter()
            .enumerate()
            .find_map(|(index, part)| Some((index, path.strip_prefix('/')?.strip_prefix(part)?)))?;
        match rest.strip_prefix('/') {
            Some(inner) => Some(self.parts[index].join(inner)),
            None => rest.is_empty().then(|| self.parts[index].clone()),
        }
    }

    /// Where a path leads when links at its end are followed inside the system.
    fn resolve(&self, path: &str) -> End {
        let mut path = path.to_owned();
        for _ in 0..LINKS_MAX {
            let Some(place) = self.place(&path) else { return End::Outside(path) };
            let Some((place, found)) = find(place) else { return End::Nothing };
            if !found.is_symlink() {
                return End::At((place, found));
            }
            let target = fs::read_link(&place).unwrap_or_default();
            path = joined(&path, &target.to_string_lossy());
        }
        End::Nothing
    }
}

/// Whether a file, or anything in a directory, is another one in `new` than in `old`.
///
/// Contents at the same place in the store are the same without reading them; others are read, because
/// all files of a host lie in one store path, which is another one whenever a single file changes.
pub fn differs(old: &Names, new: &Names, path: &str) -> bool {
    match (old.resolve(path), new.resolve(path)) {
        (End::At(was), End::At(is)) => found_differ(&new.store, &was, &is),
        (End::Outside(was), End::Outside(is)) => was != is,
        (End::Nothing, End::Nothing) => false,
        _ => true,
    }
}

/// A place in a tree, and what is there.
type Found = (PathBuf, fs::Metadata);

/// Where a path leads.
enum End {
    /// To a file or directory of the system.
    At(Found),
    /// To this path, which is not of the system.
    Outside(String),
    /// Nowhere: it is missing, or a circle of links.
    Nothing,
}

fn find(place: PathBuf) -> Option<Found> {
    let found = place.symlink_metadata().ok()?;
    Some((place, found))
}

fn found_differ(store: &Path, (old, was): &Found, (new, is): &Found) -> bool {
    let owner = |m: &fs::Metadata| (m.mode(), m.uid(), m.gid());
    if owner(was) != owner(is) {
        return true;
    }
    if was.is_symlink() {
        return fs::read_link(old).ok() != fs::read_link(new).ok();
    }
    if !was.is_dir() {
        return was.len() != is.len() || contents_differ(store, redirect(old), redirect(new));
    }
    let names = |directory: &Path| {
        let entries = fs::read_dir(directory).into_iter().flatten().flatten();
        entries.map(|entry| entry.file_name()).collect::<std::collections::BTreeSet<_>>()
    };
    let (old_names, new_names) = (names(old), names(new));
    let differ = |name| match (find(old.join(name)), find(new.join(name))) {
        (Some(was), Some(is)) => found_differ(store, &was, &is),
        (None, None) => false,
        _ => true,
    };
    old_names != new_names || old_names.iter().any(differ)
}

/// Compares what two places in the store hold; what cannot be read counts as different.
fn contents_differ(store: &Path, old: Option<Vec<u8>>, new: Option<Vec<u8>>) -> bool {
    if old == new {
        return false;
    }
    let open = |place: Option<Vec<u8>>| {
        let place = place?;
        let inner = OsStr::from_bytes(place.strip_prefix(b"/")?);
        Some(BufReader::with_capacity(COMPARE_BYTES, File::open(store.join(inner)).ok()?))
    };
    let (Some(mut old), Some(mut new)) = (open(old), open(new)) else { return true };
    loop {
        let (Ok(was), Ok(is)) = (old.fill_buf(), new.fill_buf()) else { return true };
        let count = was.len().min(is.len());
        if was[..count] != is[..count] || (count == 0 && was.len() != is.len()) {
            return true;
        }
        if count == 0 {
            return false;
        }
        old.consume(count);
        new.consume(count);
    }
}

fn redirect(path: &Path) -> Option<Vec<u8>> {
    let mut value = vec![0; 8192];
    let length = rustix::fs::lgetxattr(path, REDIRECT, &mut value[..]).ok()?;
    value.truncate(length);
    Some(value)
}

/// `/bin/x` and its like are in `/usr`.
pub(super) fn with_merged_usr(path: &str) -> String {
    let first = path.split('/').nth(1).unwrap_or_default();
    if ["bin", "sbin", "lib", "lib64"].contains(&first) {
        format!("/usr{path}")
    } else {
        path.to_owned()
    }
}

/// The target of a link at `path`, absolute, without `.` and `..`.
pub(super) fn joined(path: &str, target: &str) -> String {
    let start =
        if target.starts_with('/') { "" } else { path.rsplit_once('/').map_or("", |p| p.0) };
    let mut parts: Vec<&str> = Vec::new();
    for part in start.split('/').chain(target.split('/')) {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

/// One mount of `/proc/self/mountinfo`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Mount {
    device: String,
    point: String,
    source: String,
}

/// What is mounted on `/usr` and `/etc`, and which system each is of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InPlace {
    /// By part: device number of the mount as in `/proc/PID/maps`, and the system.
    pub parts: BTreeMap<String, (String, StorePath)>,
}

impl InPlace {
    /// Looks at the mounts.
    ///
    /// # Errors
    ///
    /// When a part is not mounted by us or by `nexus-init`.
    pub fn look(places: &Places, booted: &StorePath) -> Result<Self, AgentError> {
        let path = places.at("proc/self/mountinfo");
        let text = read_limited(&path, MOUNTS_BYTES_MAX)?;
        let mounts: Vec<Mount> =
            String::from_utf8_lossy(&text).lines().filter_map(parse_mount).collect();
        let mut parts = BTreeMap::new();
        for part in PARTS {
            // Of several at one place, the last is on top.
            let top = mounts.iter().rev().find(|mount| mount.point == format!("/{part}"));
            let top = top.ok_or_else(|| {
                AgentError::Unexpected(format!(
                    "nothing is mounted on /{part}: this is no host of ours"
                ))
            })?;
            let system = match top.source.strip_prefix(SOURCE_PREFIX) {
                Some(name) => StorePath::from_base_name(name)?,
                None => booted.clone(),
            };
            parts.insert(part.to_owned(), (top.device.clone(), system));
        }
        Ok(Self { parts })
    }

    /// The system of both parts; `None` when a switch stopped between them.
    pub fn system(&self) -> Option<&StorePath> {
        let mut systems = self.parts.values().map(|(_, system)| system);
        let first = systems.next()?;
        systems.all(|system| system == first).then_some(first)
    }
}

fn parse_mount(line: &str) -> Option<Mount> {
    let (before, after) = line.split_once(" - ")?;
    let before: Vec<&str> = before.split(' ').collect();
    Some(Mount {
        device: (*before.get(2)?).to_owned(),
        point: (*before.get(4)?).to_owned(),
        source: after.split(' ').nth(1)?.to_owned(),
    })
}

/// Which mounts belong to which system, since boot: processes may still run from any of them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KnownTrees {
    by_device: BTreeMap<(String, String), StorePath>,
}

impl KnownTrees {
    /// Reads what was noted; nothing on a host that has not been switched since boot.
    pub fn load(places: &Places) -> Self {
        let text = read_limited(&places.run().join("trees"), 1 << 20).unwrap_or_default();
        let mut known = Self::default();
        for line in String::from_utf8_lossy(&text).lines() {
            if let [part, device, system] = line.split(' ').collect::<Vec<_>>()[..]
                && let Ok(system) = StorePath::from_base_name(system)
            {
                known.by_device.insert((part.to_owned(), device.to_owned()), system);
            }
        }
        known
    }

    /// Notes what is in place.
    pub fn note(&mut self, in_place: &InPlace) {
        for (part, (device, system)) in &in_place.parts {
            self.by_device.insert((part.clone(), device.clone()), system.clone());
        }
    }

    /// Writes it down until the next boot.
    pub fn save(&self, places: &Places) -> Result<(), AgentError> {
        let line = |((part, device), system): (&(String, String), &StorePath)| {
            format!("{part} {device} {system}\n")
        };
        let text: String = self.by_device.iter().map(line).collect();
        let directory = places.run();
        fs::create_dir_all(&directory).map_err(FileError::at("create", &directory))?;
        Ok(write_atomic(&directory.join("trees"), text.as_bytes())?)
    }

    /// The part and system that a mount's device number belongs to.
    pub fn of_device(&self, device: &str) -> Option<(&str, &StorePath)> {
        let found = self.by_device.iter().find(|((_, known), _)| known == device);
        found.map(|((part, _), system)| (part.as_str(), system))
    }

    /// All systems that were in place since boot.
    pub fn systems(&self) -> impl Iterator<Item = &StorePath> {
        self.by_device.values()
    }
}

#[cfg(test)]
mod tests;
