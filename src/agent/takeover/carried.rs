//! What a host has of its own: brought into memory with the initrd, and from there onto its new disk.
//!
//! Keys and identities go this way alone: they are in no image and in no store.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

use super::super::error::AgentError;
use super::super::places::Places;
use super::super::trees::Stage;
use crate::exec::files::{FileError, read_limited, sync_directory};
use crate::image::cpio::{CpioHeader, padding, trailer};

/// The host's own place, from the root of its disk.
const PLACE: &str = "var/lib/nexus-host";
/// Most bytes of one file, of which there are few: keys and ids.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// Most files and directories.
const ENTRIES_MAX: usize = 1000;

/// A file or directory to carry.
struct Item {
    /// Below the place, without a slash in front; empty for the place itself.
    name: Vec<u8>,
    mode: u32,
    /// `None` for a directory.
    contents: Option<Vec<u8>>,
}

/// An archive for the end of an initrd, with the files of `directory` at the host's own place; all belong
/// to root.
///
/// # Errors
///
/// What cannot be read, and anything that is neither a small file nor a directory.
pub fn archive(directory: &Path) -> Result<Vec<u8>, AgentError> {
    let mut archive = Vec::new();
    let mut number = 0;
    let mut add = |path: &[u8], mode: u32, contents: &[u8]| {
        number += 1;
        let bytes = u32::try_from(contents.len()).expect("files are small");
        let header = CpioHeader { number, path, mode, mtime: 0, bytes };
        archive.extend_from_slice(&header.to_bytes());
        archive.extend_from_slice(contents);
        archive.extend_from_slice(padding(u64::from(bytes)));
    };
    let place = format!("disk/{PLACE}");
    for (at, _) in place.match_indices('/') {
        add(&place.as_bytes()[..at], 0o040_755, b"");
    }
    for item in items(directory)? {
        let path = match item.name.as_slice() {
            b"" => place.clone().into_bytes(),
            name => [place.as_bytes(), b"/", name].concat(),
        };
        match item.contents {
            None => add(&path, 0o040_000 | item.mode, b""),
            Some(contents) => add(&path, 0o100_000 | item.mode, &contents),
        }
    }
    archive.extend_from_slice(&trailer());
    Ok(archive)
}

/// Copies the host's own place from memory to the root file system on `partition`; answers the bytes.
///
/// # Errors
///
/// What cannot be read or written.
pub fn onto_disk(places: &Places, partition: &Path) -> Result<u64, AgentError> {
    let stage = Stage::new(places)?;
    let target = stage.place("disk")?;
    mount(partition, &target, "ext4", MountFlags::NODEV | MountFlags::NOSUID, None)
        .map_err(AgentError::at("mount", partition))?;
    let copied = copy(&places.at(PLACE), &target.join(PLACE));
    let root = File::open(&target).map_err(FileError::at("open", &target))?;
    rustix::fs::syncfs(&root).map_err(AgentError::at("sync", partition))?;
    drop(root);
    unmount(&target, UnmountFlags::empty()).map_err(AgentError::at("unmount", partition))?;
    copied
}

/// Copies what [`items`] finds; directories and files keep their modes and belong to root.
fn copy(source: &Path, target: &Path) -> Result<u64, AgentError> {
    let mut bytes = 0;
    for item in items(source)? {
        let path = target.join(std::ffi::OsStr::from_bytes(&item.name));
        let Some(contents) = item.contents else {
            let mut builder = fs::DirBuilder::new();
            builder.recursive(true).mode(item.mode);
            builder.create(&path).map_err(FileError::at("create", &path))?;
            continue;
        };
        let mut options = fs::OpenOptions::new();
        let file = options.write(true).create_new(true).mode(item.mode).open(&path);
        let mut file = file.map_err(FileError::at("create", &path))?;
        file.write_all(&contents)
            .and_then(|()| file.sync_all())
            .map_err(FileError::at("write", &path))?;
        bytes += contents.len() as u64;
    }
    sync_directory(target)?;
    Ok(bytes)
}

/// Everything in `directory`, itself first, directories before what they hold, names sorted.
fn items(directory: &Path) -> Result<Vec<Item>, AgentError> {
    let mut items = Vec::new();
    walk(directory, b"", &mut items)?;
    Ok(items)
}

fn walk(path: &Path, name: &[u8], items: &mut Vec<Item>) -> Result<(), AgentError> {
    let refused = |problem: &str| {
        Err(AgentError::Unexpected(format!("{} is not carried over: {problem}", path.display())))
    };
    if items.len() == ENTRIES_MAX {
        return refused("there is too much");
    }
    let metadata = path.symlink_metadata().map_err(FileError::at("look at", path))?;
    let mode = metadata.mode() & 0o777;
    if metadata.is_file() {
        let contents = read_limited(path, FILE_BYTES_MAX)?;
        items.push(Item { name: name.to_vec(), mode, contents: Some(contents) });
        return Ok(());
    }
    if !metadata.is_dir() {
        return refused("it is neither file nor directory");
    }
    items.push(Item { name: name.to_vec(), mode, contents: None });
    let listed = fs::read_dir(path).map_err(FileError::at("list", path))?;
    let mut children = Vec::new();
    for entry in listed {
        children.push(entry.map_err(FileError::at("list", path))?.file_name());
    }
    children.sort();
    for child in children {
        let below = if name.is_empty() { Vec::new() } else { [name, b"/"].concat() };
        walk(&path.join(&child), &[&below[..], child.as_bytes()].concat(), items)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
