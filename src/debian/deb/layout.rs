//! Where each entry of a data archive belongs, and whether it may.

use std::collections::{BTreeMap, BTreeSet};

use super::{EntryFault, Limits};
use crate::debian::tar::{Kind, RawEntry};
use crate::tree::manifest::{XATTR_NAME_BYTES_MAX, XATTR_VALUE_BYTES_MAX};
use crate::tree::path::PATH_BYTES_MAX;
use crate::tree::{Entries, Entry, FileBeside, Manifest, Node, TreePath};

/// Most bytes of one component: `NAME_MAX` of `linux/limits.h`.
const COMPONENT_BYTES_MAX: usize = 255;
/// Directories of the root that are links into `/usr` on a merged system (Debian's `base-files`,
/// `usrmerge`).
const MERGED: [&[u8]; 6] = [b"bin", b"sbin", b"lib", b"lib64", b"lib32", b"libx32"];

/// The entries seen so far.
pub(super) struct Layout<'l> {
    limits: &'l Limits,
    entries: Entries<FileBeside>,
    /// Directories that no entry has described yet.
    implied: BTreeSet<TreePath>,
    names_bytes: usize,
}

/// What is to be made for an entry.
pub(super) struct Placed {
    /// Directories to make before, parents first.
    pub(super) parents: Vec<TreePath>,
    /// The place.
    pub(super) path: TreePath,
    /// The entry there; `None` when it is already made.
    pub(super) entry: Option<Entry<FileBeside>>,
}

impl<'l> Layout<'l> {
    /// A package without files.
    pub(super) fn new(limits: &'l Limits) -> Self {
        let entries = Entries::from([(TreePath::root(), Entry::default_directory())]);
        let implied = [TreePath::root()].into();
        Self { limits, entries, implied, names_bytes: 0 }
    }

    /// Takes the next entry of the archive.
    pub(super) fn place(&mut self, raw: RawEntry) -> Result<Placed, EntryFault> {
        let original = checked_path(&raw.name)?;
        let path = merge_usr(original, &raw)?;
        let entry = self.entry(raw)?;
        let parents = self.missing_parents(&path)?;
        let entry = self.insert(&path, entry)?;
        Ok(Placed { parents, path, entry })
    }

    /// All entries; each hard link points at the first name of its file in byte order.
    pub(super) fn finish(self) -> Manifest {
        let mut entries = self.entries;
        let mut names: BTreeMap<TreePath, TreePath> = BTreeMap::new();
        for (path, entry) in &entries {
            if let Node::HardLink(file) = &entry.node {
                names.entry(file.clone()).or_insert_with(|| path.clone());
            }
        }
        names.retain(|file, first| *first < *file);
        for (file, first) in &names {
            let entry = entries.remove(file).expect("hard links point at files");
            entries.insert(first.clone(), entry);
            entries.insert(file.clone(), hard_link(&entries[first], first));
        }
        for entry in entries.values_mut() {
            if let Node::HardLink(file) = &mut entry.node
                && let Some(first) = names.get(file)
            {
                file.clone_from(first);
            }
        }
        Manifest { entries, removed: BTreeSet::new() }
    }

    /// The entry as it stands in the manifest.
    fn entry(&self, raw: RawEntry) -> Result<Entry<FileBeside>, EntryFault> {
        if raw.size != 0 && raw.kind != Kind::File {
            return Err(EntryFault::Contents);
        }
        let owner = |id: u64| match u32::try_from(id) {
            Ok(id) if id != u32::MAX => Ok(id),
            _ => Err(EntryFault::Owner(id)),
        };
        let (uid, gid) = (owner(raw.uid)?, owner(raw.gid)?);
        let node = match raw.kind {
            Kind::Directory => Node::Directory,
            Kind::File => Node::File(FileBeside { size: raw.size }),
            Kind::Symlink => Node::Symlink(checked_target(raw.link)?),
            Kind::Fifo => Node::Fifo,
            Kind::HardLink => {
                let first = self.first_name(&raw.link)?;
                return Ok(hard_link(&self.entries[&first], &first));
            }
            Kind::CharacterDevice => return Err(EntryFault::Kind("a character device".into())),
            Kind::BlockDevice => return Err(EntryFault::Kind("a block device".into())),
            Kind::Other(byte) => {
                let letter = char::from(byte).escape_default();
                return Err(EntryFault::Kind(format!("an entry of type `{letter}`")));
            }
        };
        let impossible = |(name, value): (&Vec<u8>, &Vec<u8>)| {
            name.is_empty()
                || name.contains(&0)
                || name.len() > XATTR_NAME_BYTES_MAX
                || value.len() > XATTR_VALUE_BYTES_MAX
        };
        if raw.xattrs.iter().any(impossible) {
            return Err(EntryFault::Attribute);
        }
        Ok(Entry { mode: raw.mode, uid, gid, mtime: raw.mtime, xattrs: raw.xattrs, node })
    }

    /// The file that a hard link names, by its own first name.
    fn first_name(&self, link: &[u8]) -> Result<TreePath, EntryFault> {
        let outside = |fault| match fault {
            EntryFault::Outside => EntryFault::HardLinkOutside(shown(link)),
            _ => EntryFault::Target,
        };
        let named = checked_path(link).and_then(into_usr).map_err(outside)?;
        match self.entries.get(&named).map(|entry| &entry.node) {
            Some(Node::File(_)) => Ok(named),
            Some(Node::HardLink(first)) => Ok(first.clone()),
            _ => Err(EntryFault::HardLink(named)),
        }
    }

    /// Adds the directories above `path` that are not there.
    fn missing_parents(&mut self, path: &TreePath) -> Result<Vec<TreePath>, EntryFault> {
        let mut missing = Vec::new();
        let mut above = path.parent();
        while let Some(parent) = above {
            match self.entries.get(&parent) {
                Some(entry) if entry.is_directory() => break,
                Some(_) => return Err(EntryFault::Below(parent)),
                None => {}
            }
            above = parent.parent();
            self.count(parent.as_bytes().len())?;
            missing.push(parent);
        }
        missing.reverse();
        for parent in &missing {
            self.entries.insert(parent.clone(), Entry::default_directory());
            self.implied.insert(parent.clone());
        }
        Ok(missing)
    }

    /// Puts the entry at its place; `None` for a directory that was there.
    fn insert(
        &mut self,
        path: &TreePath,
        entry: Entry<FileBeside>,
    ) -> Result<Option<Entry<FileBeside>>, EntryFault> {
        let Some(there) = self.entries.get_mut(path) else {
            let attributes = entry.xattrs.iter().map(|(name, value)| name.len() + value.len());
            let target = match &entry.node {
                Node::Symlink(target) => target.len(),
                Node::HardLink(first) => first.as_bytes().len(),
                _ => 0,
            };
            self.count(path.as_bytes().len() + target + attributes.sum::<usize>())?;
            self.entries.insert(path.clone(), entry.clone());
            return Ok(Some(entry));
        };
        if !there.is_directory() || !entry.is_directory() {
            return Err(EntryFault::Twice(path.clone()));
        }
        let known = !self.implied.remove(path);
        let owned = |entry: &Entry<_>| (entry.mode, entry.uid, entry.gid);
        if known && (owned(there) != owned(&entry) || there.xattrs != entry.xattrs) {
            return Err(EntryFault::Attributes(path.clone()));
        }
        if !known {
            *there = entry;
        }
        Ok(None)
    }

    fn count(&mut self, names_bytes: usize) -> Result<(), EntryFault> {
        self.names_bytes += names_bytes;
        if self.entries.len() >= self.limits.entries {
            return Err(EntryFault::TooMany(format!("{} entries", self.limits.entries)));
        }
        if self.names_bytes > self.limits.names_bytes {
            let limit = self.limits.names_bytes;
            return Err(EntryFault::TooMany(format!("{limit} bytes of names and attributes")));
        }
        Ok(())
    }
}

/// Reads a name as tar writers give it: `./usr/bin/x`, `usr/bin/`, `./`.
pub(super) fn checked_path(name: &[u8]) -> Result<TreePath, EntryFault> {
    if name.starts_with(b"/") || name.split(|&c| c == b'/').any(|part| part == b"..") {
        return Err(EntryFault::Outside);
    }
    if name.is_empty() {
        return Err(EntryFault::Name);
    }
    let mut rest = name;
    while let Some(tail) = rest.strip_prefix(b"./") {
        rest = tail;
    }
    let rest = rest.strip_suffix(b"/").unwrap_or(rest);
    let rest = if rest == b"." { b"" } else { rest };
    if rest.split(|&c| c == b'/').any(|part| part.len() > COMPONENT_BYTES_MAX) {
        return Err(EntryFault::Name);
    }
    TreePath::new(rest).map_err(|_| EntryFault::Name)
}

/// Moves what lies in `bin`, `lib` … to `usr`; the links of the root by that name stay.
fn merge_usr(path: TreePath, raw: &RawEntry) -> Result<TreePath, EntryFault> {
    if !MERGED.contains(&path.as_bytes()) || raw.kind == Kind::Directory {
        return into_usr(path);
    }
    let target = raw.link.strip_prefix(b"/").unwrap_or(&raw.link);
    let target = target.strip_suffix(b"/").unwrap_or(target);
    if raw.kind == Kind::Symlink && target.strip_prefix(b"usr/") == Some(path.as_bytes()) {
        Ok(path)
    } else {
        Err(EntryFault::Merged(path.to_string()))
    }
}

fn into_usr(path: TreePath) -> Result<TreePath, EntryFault> {
    let top = path.as_bytes().split(|&c| c == b'/').next().unwrap_or_default();
    if !MERGED.contains(&top) {
        return Ok(path);
    }
    TreePath::new([b"usr/", path.as_bytes()].concat()).map_err(|_| EntryFault::Name)
}

fn checked_target(target: Vec<u8>) -> Result<Vec<u8>, EntryFault> {
    let good = !target.is_empty() && target.len() <= PATH_BYTES_MAX && !target.contains(&0);
    if good { Ok(target) } else { Err(EntryFault::Target) }
}

fn hard_link(file: &Entry<FileBeside>, first: &TreePath) -> Entry<FileBeside> {
    let Entry { mode, uid, gid, mtime, .. } = *file;
    Entry { mode, uid, gid, mtime, xattrs: BTreeMap::new(), node: Node::HardLink(first.clone()) }
}

/// A name for a message: printable, and cut to 250 characters.
pub(super) fn shown(name: &[u8]) -> String {
    let printable = |c: char| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c };
    String::from_utf8_lossy(name).chars().take(250).map(printable).collect()
}
