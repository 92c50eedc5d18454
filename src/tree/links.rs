//! Hard links stay sound when entries go, when others take their place, and when a tree is cut.
//!
//! A hard link names the entry that has the contents. Take that entry away and the link would lead to
//! nothing, or to the file of somebody else that came to stand there. Here the first further name becomes
//! the file instead, as on a disk, where a file lives as long as one of its names.

use std::collections::{BTreeMap, BTreeSet};

use super::{Entries, Entry, Node, TreePath};

/// The further names of each file that has some, by its first name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Links(BTreeMap<TreePath, BTreeSet<TreePath>>);

impl Links {
    /// The hard links among `entries`.
    pub fn of<F>(entries: &Entries<F>) -> Self {
        let mut links = Self::default();
        for (path, entry) in entries {
            links.note(path, entry);
        }
        links
    }

    /// Takes the entry at `path` out of `entries`; of a file with further names the first becomes the file.
    ///
    /// What lies below a directory stays.
    pub fn remove<F: Clone>(
        &mut self,
        entries: &mut Entries<F>,
        path: &TreePath,
    ) -> Option<Entry<F>> {
        let entry = entries.remove(path)?;
        if let Node::HardLink(first) = &entry.node
            && let Some(names) = self.0.get_mut(first)
        {
            names.remove(path);
        }
        let mut names = self.0.remove(path).unwrap_or_default();
        if let Some(heir) = names.pop_first() {
            for name in &names {
                let link =
                    entries.get_mut(name).expect("links are noted as long as they are there");
                link.node = Node::HardLink(heir.clone());
            }
            entries.insert(heir.clone(), entry.clone());
            self.0.insert(heir, names);
        }
        Some(entry)
    }

    /// Puts `entry` at `path`, in the place of what was there.
    pub fn insert<F: Clone>(
        &mut self,
        entries: &mut Entries<F>,
        path: TreePath,
        entry: Entry<F>,
    ) -> Option<Entry<F>> {
        let before = self.remove(entries, &path);
        self.note(&path, &entry);
        entries.insert(path, entry);
        before
    }

    /// Puts all of `new` into `entries`; what is in both is that of `new`.
    ///
    /// Hard links in `new` are to files in `new`.
    pub fn extend<F: Clone>(&mut self, entries: &mut Entries<F>, new: Entries<F>) {
        // Files first: a link must not be noted for a file of the same name that is about to go.
        let is_link = |entry: &Entry<F>| matches!(entry.node, Node::HardLink(_));
        let (links, others): (Vec<_>, Vec<_>) =
            new.into_iter().partition(|(_, entry)| is_link(entry));
        for (path, entry) in others.into_iter().chain(links) {
            self.insert(entries, path, entry);
        }
    }

    fn note<F>(&mut self, path: &TreePath, entry: &Entry<F>) {
        if let Node::HardLink(first) = &entry.node {
            self.0.entry(first.clone()).or_default().insert(path.clone());
        }
    }
}

/// The part of a tree below `directory`, rooted there.
///
/// A file that has names on both sides of the cut is a file on both. A link that leads to nothing stays
/// one, for whoever writes the tree to complain about.
pub fn below<F: Clone>(entries: &Entries<F>, directory: &TreePath) -> Entries<F> {
    let mut heirs: BTreeMap<&TreePath, TreePath> = BTreeMap::new();
    let mut inside = Entries::new();
    for (path, entry) in entries {
        let Some(path) = path.strip_prefix(directory) else { continue };
        let mut entry = entry.clone();
        if let Node::HardLink(first) = &entry.node
            && let Some((first, file)) = entries.get_key_value(first)
        {
            let here = first.strip_prefix(directory).or_else(|| heirs.get(first).cloned());
            if let Some(first) = here {
                entry.node = Node::HardLink(first);
            } else {
                entry = file.clone();
                heirs.insert(first, path.clone());
            }
        }
        inside.insert(path, entry);
    }
    inside
}

#[cfg(test)]
mod tests;
