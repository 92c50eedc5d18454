//! A Debian root → what an immutable host has of it: `/usr`, `/etc`, and a factory for the rest.
//!
//! | in the packages | on the host |
//! |---|---|
//! | `usr/…`, `etc/…` | the same |
//! | `var/lib/dpkg/…` | `usr/lib/sysimage/dpkg/…`, and a link, so that `dpkg -l` answers |
//! | `var/…`, `root/…`, `srv/…`, `home/…` | below `usr/share/factory/`; tmpfiles copies what is missing at boot |
//! | `opt/…` | `usr/lib/opt/…`; `/opt` is a link |
//! | `boot/…` | not there: the boot loader reads the ESP |
//! | `dev`, `proc`, `run`, `sys`, `tmp`, and the links `bin`, `lib`, … | made by `nexus-init` |

use std::fmt::Write as _;

use crate::tree::{Entry, Node, StoreFile, Tree, TreePath};

/// Where the tmpfiles configuration of the factory lies.
const FACTORY_CONFIGURATION: &str = "usr/lib/tmpfiles.d/nexus-factory.conf";
/// Where the copies are that tmpfiles takes. Source: tmpfiles.d(5), type `C`.
const FACTORY: &str = "usr/share/factory";
/// Where the package database lies on the host.
const DPKG_DATABASE: &str = "usr/lib/sysimage/dpkg";

/// The part of a host that its packages alone decide.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Base {
    /// Entries below `usr` and `etc`.
    pub tree: Tree,
    /// Text of the tmpfiles configuration that fills `/var` and the other places that persist.
    pub factory_configuration: String,
}

impl Base {
    /// Where [`Base::factory_configuration`] goes.
    pub fn factory_configuration_path() -> TreePath {
        path(FACTORY_CONFIGURATION)
    }
}

/// Splits a complete Debian root.
pub fn base_of(root: &Tree) -> Base {
    let mut base = Base {
        tree: Tree::new(),
        factory_configuration: "# Places that persist, filled from the packages at boot.\n".into(),
    };
    for (at, entry) in root {
        match place(at) {
            Place::Host(target) => {
                base.tree.insert(target, moved(entry));
            }
            Place::Factory => {
                if let Some(target) = factory_entry(at, entry, &mut base.factory_configuration) {
                    base.tree.insert(target, moved(entry));
                }
            }
            Place::Nowhere => {}
        }
    }
    let link = "L /var/lib/dpkg - - - - ../../usr/lib/sysimage/dpkg\n";
    base.factory_configuration.push_str(link);
    base
}

/// Where an entry of the Debian root goes.
enum Place {
    Host(TreePath),
    Factory,
    Nowhere,
}

fn place(at: &TreePath) -> Place {
    let below = |prefix: &str| at.strip_prefix(&path(prefix));
    if let Some(rest) = below("var/lib/dpkg") {
        return Place::Host(path(DPKG_DATABASE).join(&rest));
    }
    if let Some(rest) = below("opt") {
        return Place::Host(path("usr/lib/opt").join(&rest));
    }
    let first = at.as_bytes().split(|&byte| byte == b'/').next().unwrap_or_default();
    match first {
        b"usr" | b"etc" => Place::Host(at.clone()),
        b"var" | b"root" | b"srv" | b"home" if first.len() < at.as_bytes().len() => Place::Factory,
        _ => Place::Nowhere,
    }
}

/// The entry at its new place: targets of hard links move along.
fn moved(entry: &Entry<StoreFile>) -> Entry<StoreFile> {
    let mut entry = entry.clone();
    if let Node::HardLink(first) = &entry.node {
        let target = match place(first) {
            Place::Host(target) => target,
            Place::Factory | Place::Nowhere => path(FACTORY).join(first),
        };
        entry.node = Node::HardLink(target);
    }
    entry
}

/// Writes the tmpfiles line of an entry; returns where a copy must lie, for files.
fn factory_entry(at: &TreePath, entry: &Entry<StoreFile>, lines: &mut String) -> Option<TreePath> {
    let name = quoted(at);
    let Entry { mode, uid, gid, .. } = entry;
    match &entry.node {
        Node::Directory => {
            writeln!(lines, "d {name} {mode:04o} {uid} {gid} -").expect("a String takes all");
            None
        }
        Node::Symlink(target) => {
            let target = String::from_utf8_lossy(target).replace('%', "%%");
            writeln!(lines, "L {name} - - - - {target}").expect("a String takes all");
            None
        }
        Node::Fifo => {
            writeln!(lines, "p {name} {mode:04o} {uid} {gid} -").expect("a String takes all");
            None
        }
        Node::File(_) | Node::HardLink(_) => {
            let copy = path(FACTORY).join(at);
            let source = String::from_utf8_lossy(copy.as_bytes()).replace('%', "%%");
            writeln!(lines, "C {name} {mode:04o} {uid} {gid} - /{source}")
                .expect("a String takes all");
            Some(copy)
        }
    }
}

/// A path as a field of tmpfiles.d(5): in double quotes, C escapes, specifiers doubled.
fn quoted(at: &TreePath) -> String {
    let mut text = String::from("\"/");
    for &byte in at.as_bytes() {
        match byte {
            b'%' => text.push_str("%%"),
            b'"' | b'\\' => {
                text.push('\\');
                text.push(char::from(byte));
            }
            b'!'..=b'~' => text.push(char::from(byte)),
            _ => write!(text, "\\x{byte:02x}").expect("a String takes all"),
        }
    }
    text.push('"');
    text
}

fn path(text: &str) -> TreePath {
    TreePath::new(text).expect("the constant is a path")
}

#[cfg(test)]
mod tests;
