//! The root for a soft reboot: systemd takes what is mounted on `/run/nextroot` as its next `/`.
//!
//! It is made as `nexus-init` makes it at a boot: a small file system in memory with links, the system's
//! `usr` and `etc`, and what persists.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use rustix::fd::AsFd as _;
use rustix::fs::CWD;
use rustix::mount::{
    MountFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags, mount, mount_bind, mount_remount,
    move_mount, open_tree, unmount,
};

use super::error::AgentError;
use super::observation::facts;
use super::places::Places;
use super::stage::Staged;
use super::trees::PARTS;
use crate::boot::{PERSISTENT, SKELETON_DIRECTORIES, SKELETON_LINKS};
use crate::exec::files::FileError;

/// Where systemd looks for it. Source: systemd-soft-reboot.service(8).
const NEXT_ROOT: &str = "run/nextroot";

/// Makes the next root of `staged`; one that was there is replaced.
///
/// # Errors
///
/// The mount that failed; then nothing is left that a soft reboot would take.
pub fn prepare(places: &Places, staged: &Staged) -> Result<(), AgentError> {
    let root = places.at(NEXT_ROOT);
    // None is there unless an earlier attempt ended between this and its reboot.
    let _none = unmount(&root, UnmountFlags::DETACH);
    fs::create_dir_all(&root).map_err(FileError::at("create", &root))?;
    let options = c"mode=0755,size=16M,nr_inodes=16k";
    mount("nexus-root", &root, "tmpfs", MountFlags::empty(), Some(options))
        .map_err(AgentError::at("mount", &root))?;
    let made = fill(places, staged, &root);
    if made.is_err() {
        let _gone = unmount(&root, UnmountFlags::DETACH);
    }
    made
}

fn fill(places: &Places, staged: &Staged, root: &Path) -> Result<(), AgentError> {
    let persistent = PERSISTENT.iter().map(|(name, mode)| (*name, *mode));
    for (name, mode) in SKELETON_DIRECTORIES.iter().copied().chain(persistent) {
        let path = root.join(name);
        fs::create_dir_all(&path).map_err(FileError::at("create", &path))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(mode))
            .map_err(FileError::at("set the mode of", &path))?;
    }
    for (name, target) in SKELETON_LINKS {
        let path = root.join(name);
        symlink(target, &path).map_err(FileError::at("make the link", &path))?;
    }
    for (name, _) in PERSISTENT {
        let target = root.join(name);
        mount_bind(places.at(name), &target).map_err(AgentError::at("bind", &target))?;
    }
    for point in facts(places, staged.system()).mount_points {
        let inside = point.starts_with('/') && !point.split('/').any(|part| part == "..");
        if inside {
            let path = root.join(point.trim_start_matches('/'));
            fs::create_dir_all(&path).map_err(FileError::at("create", &path))?;
        }
    }
    for part in PARTS {
        let source = staged.directory().join(part);
        let flags = OpenTreeFlags::OPEN_TREE_CLONE
            | OpenTreeFlags::OPEN_TREE_CLOEXEC
            | OpenTreeFlags::AT_RECURSIVE;
        let tree = open_tree(CWD, &source, flags)
            .map_err(AgentError::at("copy the mounts of", &source))?;
        let target = root.join(part);
        move_mount(tree.as_fd(), "", CWD, &target, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
            .map_err(AgentError::at("mount", &target))?;
    }
    mount_remount(root, MountFlags::RDONLY | MountFlags::NOATIME, c"")
        .map_err(AgentError::at("make read-only", root))
}
