//! The upper layer on the disk: looked at, then reduced to what the delta holds.

use std::collections::BTreeMap;
use std::fs::{File, Metadata, Permissions};
use std::io::{Read as _, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use rustix::fs::{AtFlags, Timespec, Timestamps};

use super::decide::{Found, Kind};
use crate::exec::configure::ConfigureError;
use crate::exec::configure::layers::Layers;
use crate::exec::files::FileError;
use crate::exec::sandbox::{OWNER_ATTRIBUTE, Owner};
use crate::tree::{Manifest, Node, TreePath};

/// Marks a directory that hides what is below it in lower layers; overlayfs(5), `userxattr`.
const OPAQUE_ATTRIBUTE: &str = "user.overlay.opaque";

const CAPABILITY_ATTRIBUTE: &str = "security.capability";

/// Bytes compared at a time.
const CHUNK_BYTES: usize = 128 << 10;

/// Everything below `root`, by path; the root is not included.
///
/// What its owner may not read is made readable on the way.
pub(super) fn scan(
    root: &Path,
    layers: &Layers,
) -> Result<BTreeMap<TreePath, Found>, ConfigureError> {
    let mut found = BTreeMap::new();
    let mut directories = vec![TreePath::root()];
    while let Some(directory) = directories.pop() {
        let place = root.join(directory.to_path());
        let listed = std::fs::read_dir(&place).map_err(FileError::at("list", &place))?;
        for entry in listed {
            let entry = entry.map_err(FileError::at("list", &place))?;
            let path = directory.join(&TreePath::new(entry.file_name().as_bytes())?);
            let thing = look(&entry.path(), &path, layers)?;
            if matches!(thing.kind, Kind::Directory { .. }) {
                directories.push(path.clone());
            }
            found.insert(path, thing);
        }
    }
    Ok(found)
}

/// Removes from `root` what `manifest` does not hold; gives the rest the store's modes and time.
pub(super) fn keep_only(
    root: &Path,
    found: &BTreeMap<TreePath, Found>,
    manifest: &Manifest,
) -> Result<(), FileError> {
    // Backwards, so that what is in a directory comes before it.
    for (path, thing) in found.iter().rev() {
        let place = root.join(path.to_path());
        let entry = manifest.entries.get(path);
        if matches!(thing.kind, Kind::Directory { .. }) {
            if entry.is_none() && std::fs::remove_dir(&place).is_ok() {
                continue;
            }
            set_mode(&place, u32::from(thing.mode) & 0o777 | 0o700)?;
            remove_attributes(&place)?;
        } else if entry.is_none_or(|entry| matches!(entry.node, Node::Fifo)) {
            std::fs::remove_file(&place).map_err(FileError::at("remove", &place))?;
            continue;
        } else if !matches!(thing.kind, Kind::Symlink { .. }) {
            // Who is not root may take attributes only from a file that he may write to.
            set_mode(&place, 0o600)?;
            remove_attributes(&place)?;
            set_mode(&place, u32::from(thing.mode) & 0o777 | 0o400)?;
        }
        set_time(&place)?;
    }
    set_mode(root, 0o755)?;
    remove_attributes(root)?;
    set_time(root)
}

/// Replaces the contents of a file of the delta.
pub(super) fn rewrite(path: &Path, contents: &[u8]) -> Result<(), FileError> {
    let mode = std::fs::symlink_metadata(path).map_err(FileError::at("look at", path))?.mode();
    set_mode(path, 0o600)?;
    let mut file = File::create(path).map_err(FileError::at("open", path))?;
    file.write_all(contents).map_err(FileError::at("write", path))?;
    set_mode(path, mode & 0o777)?;
    set_time(path)
}

/// Removes a directory with all that is in it, also what its owner may not list; one that is not
/// there is no error.
pub(crate) fn remove_tree(path: &Path) -> Result<(), FileError> {
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(FileError::at("look at", path)(error)),
        Ok(metadata) if !metadata.is_dir() => {
            return std::fs::remove_file(path).map_err(FileError::at("remove", path));
        }
        Ok(_) => set_mode(path, 0o700)?,
    }
    for entry in std::fs::read_dir(path).map_err(FileError::at("list", path))? {
        let entry = entry.map_err(FileError::at("list", path))?;
        remove_tree(&entry.path())?;
    }
    std::fs::remove_dir(path).map_err(FileError::at("remove", path))
}

fn look(place: &Path, path: &TreePath, layers: &Layers) -> Result<Found, FileError> {
    let metadata = std::fs::symlink_metadata(place).map_err(FileError::at("look at", place))?;
    let mode = u16::try_from(metadata.mode() & 0o7777).expect("twelve bits");
    let kind = kind(place, path, &metadata, layers)?;
    let (mut owner, mut capability) = (None, None);
    if matches!(kind, Kind::Directory { .. } | Kind::File { .. }) {
        owner = attribute(place, OWNER_ATTRIBUTE)?.as_deref().and_then(parse_owner);
        capability = attribute(place, CAPABILITY_ATTRIBUTE)?.map(without_namespace);
    }
    Ok(Found { kind, mode, inode: metadata.ino(), owner, capability })
}

fn kind(
    place: &Path,
    path: &TreePath,
    metadata: &Metadata,
    layers: &Layers,
) -> Result<Kind, FileError> {
    let file_type = metadata.file_type();
    if file_type.is_dir() {
        if metadata.mode() & 0o700 != 0o700 {
            set_mode(place, metadata.mode() & 0o777 | 0o700)?;
        }
        let opaque = attribute(place, OPAQUE_ATTRIBUTE)?;
        return Ok(Kind::Directory { is_opaque: opaque.as_deref() == Some(b"y") });
    }
    if file_type.is_symlink() {
        let target = std::fs::read_link(place).map_err(FileError::at("read", place))?;
        return Ok(Kind::Symlink { target: target.as_os_str().as_bytes().to_vec() });
    }
    if file_type.is_file() {
        if metadata.mode() & 0o400 == 0 {
            set_mode(place, metadata.mode() & 0o777 | 0o400)?;
        }
        let size = metadata.len();
        let same = |below: &std::path::PathBuf| {
            std::fs::symlink_metadata(below)
                .is_ok_and(|below| below.is_file() && below.len() == size)
        };
        let is_same = match layers.file(path).filter(same) {
            Some(below) => has_same_bytes(place, &below)?,
            None => false,
        };
        return Ok(Kind::File { size, is_same });
    }
    if file_type.is_fifo() {
        return Ok(Kind::Fifo);
    }
    let is_whiteout = file_type.is_char_device() && metadata.rdev() == 0;
    Ok(if is_whiteout { Kind::Whiteout } else { Kind::Other })
}

fn has_same_bytes(left: &Path, right: &Path) -> Result<bool, FileError> {
    let open = |path: &Path| File::open(path).map_err(FileError::at("open", path));
    let (mut left_file, mut right_file) = (open(left)?, open(right)?);
    let mut left_bytes = vec![0; CHUNK_BYTES];
    let mut right_bytes = vec![0; CHUNK_BYTES];
    loop {
        let count = left_file.read(&mut left_bytes).map_err(FileError::at("read", left))?;
        if count == 0 {
            return Ok(true);
        }
        right_file.read_exact(&mut right_bytes[..count]).map_err(FileError::at("read", right))?;
        if left_bytes[..count] != right_bytes[..count] {
            return Ok(false);
        }
    }
}

fn parse_owner(text: &[u8]) -> Option<Owner> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// The attribute as root of the machine would have set it: version 2, without the id of the
/// namespace's root. Source: `struct vfs_ns_cap_data` in `include/uapi/linux/capability.h`.
fn without_namespace(mut value: Vec<u8>) -> Vec<u8> {
    const VERSION_BYTE: usize = 3;
    const VERSION_2_BYTES: usize = 20;
    if value.len() > VERSION_2_BYTES && value[VERSION_BYTE] == 3 {
        value.truncate(VERSION_2_BYTES);
        value[VERSION_BYTE] = 2;
    }
    value
}

fn attribute(path: &Path, name: &str) -> Result<Option<Vec<u8>>, FileError> {
    let mut value = [0; 256];
    match rustix::fs::lgetxattr(path, name, &mut value[..]) {
        Ok(count) => Ok(Some(value[..count].to_vec())),
        Err(rustix::io::Errno::NODATA | rustix::io::Errno::OPNOTSUPP) => Ok(None),
        Err(error) => Err(FileError::at("read an attribute of", path)(error.into())),
    }
}

/// Attributes are in the manifest; on the disk they would only be in the way.
fn remove_attributes(path: &Path) -> Result<(), FileError> {
    let fail =
        |errno: rustix::io::Errno| FileError::at("remove an attribute of", path)(errno.into());
    let mut names = [0; 4096];
    let count = match rustix::fs::llistxattr(path, &mut names[..]) {
        Ok(0) | Err(rustix::io::Errno::OPNOTSUPP) => return Ok(()),
        Ok(count) => count,
        Err(error) => return Err(fail(error)),
    };
    let names = names[..count].split(|&byte| byte == 0).filter(|name| name.starts_with(b"user."));
    for name in names {
        rustix::fs::lremovexattr(path, name).map_err(fail)?;
    }
    Ok(())
}

fn set_mode(path: &Path, mode: u32) -> Result<(), FileError> {
    std::fs::set_permissions(path, Permissions::from_mode(mode))
        .map_err(FileError::at("set the mode of", path))
}

/// One second after 1970, as everything in a store has.
fn set_time(path: &Path) -> Result<(), FileError> {
    let one = Timespec { tv_sec: 1, tv_nsec: 0 };
    let times = Timestamps { last_access: one, last_modification: one };
    rustix::fs::utimensat(rustix::fs::CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW)
        .map_err(|errno| FileError::at("set the time of", path)(errno.into()))
}
