//! Puts a system in place of another, beneath what runs.
//!
//! ```text
//! <system>/usr.erofs :: /nix/store   mounted beneath /usr, then the old one is taken away from on top
//! <system>/etc.erofs :: /nix/store   the same, with the machine id bound over etc/machine-id
//! ```
//!
//! A path is looked up in the old tree until the old mount is detached and in the new one from then on;
//! there is no moment without either. What was opened before stays open.

use std::path::Path;

use rustix::fd::{AsFd as _, OwnedFd};
use rustix::fs::CWD;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MoveMountFlags, OpenTreeFlags,
    UnmountFlags, fsconfig_create, fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen,
    mount_bind, mount_remount, move_mount, open_tree, unmount,
};

use super::error::AgentError;
use super::places::Places;
use super::trees::{InPlace, KnownTrees, Names, PARTS, SOURCE_PREFIX, Stage};
use crate::boot::MACHINE_ID;
use crate::store::StorePath;

/// A system whose trees are ready, seen by nobody but us.
#[derive(Debug)]
pub struct Staged {
    system: StorePath,
    directory: std::path::PathBuf,
}

impl Staged {
    /// Mounts the trees of `system` on `stage`; `names` are its names.
    ///
    /// # Errors
    ///
    /// When the kernel cannot mount them.
    pub fn new(
        places: &Places,
        stage: &Stage,
        system: &StorePath,
        names: &Names,
    ) -> Result<Self, AgentError> {
        let directory = stage.place(&format!("trees/{system}"))?;
        for (part, names) in PARTS.iter().zip(names.parts()) {
            let target = stage.place(&format!("trees/{system}/{part}"))?;
            let tree = overlay(places, system, names)?;
            move_mount(tree.as_fd(), "", CWD, &target, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
                .map_err(AgentError::at("mount", &target))?;
        }
        let machine_id = directory.join("etc/machine-id");
        let source = places.at(MACHINE_ID);
        mount_bind(&source, &machine_id).map_err(AgentError::at("bind", &machine_id))?;
        mount_remount(&machine_id, MountFlags::BIND | MountFlags::RDONLY, c"")
            .map_err(AgentError::at("make read-only", &machine_id))?;
        Ok(Self { system: system.clone(), directory })
    }

    /// Which system it is.
    pub fn system(&self) -> &StorePath {
        &self.system
    }

    /// A directory whose `usr` and `etc` are the system's.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Takes the place of what is mounted on `/usr` and `/etc`; a part that is of this system already
    /// stays.
    ///
    /// # Errors
    ///
    /// The part that could not be put in place; those before it are.
    pub fn put_in_place(
        &self,
        places: &Places,
        in_place: &InPlace,
        known: &mut KnownTrees,
        booted: &StorePath,
    ) -> Result<(), AgentError> {
        known.note(in_place);
        for part in PARTS {
            if in_place.parts.get(part).is_some_and(|(_, system)| *system == self.system) {
                continue;
            }
            let target = places.at(part);
            let flags = OpenTreeFlags::OPEN_TREE_CLONE
                | OpenTreeFlags::OPEN_TREE_CLOEXEC
                | OpenTreeFlags::AT_RECURSIVE;
            let tree = open_tree(CWD, self.directory.join(part), flags)
                .map_err(AgentError::at("copy the mounts of", self.directory.join(part)))?;
            let beneath =
                MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_BENEATH;
            move_mount(tree.as_fd(), "", CWD, &target, beneath)
                .map_err(AgentError::at("mount beneath", &target))?;
            unmount(&target, UnmountFlags::DETACH)
                .map_err(AgentError::at("detach the old tree of", &target))?;
        }
        known.note(&InPlace::look(places, booted)?);
        known.save(places)
    }
}

/// An overlay of names over the store, not mounted anywhere yet.
fn overlay(places: &Places, system: &StorePath, names: &Path) -> Result<OwnedFd, AgentError> {
    let failed = || AgentError::at("make an overlay of", names);
    let fs = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC).map_err(failed())?;
    let layers = format!("{}::{}", names.display(), places.store().display());
    let source = format!("{SOURCE_PREFIX}{system}");
    let options = [
        ("source", source.as_str()),
        ("metacopy", "on"),
        ("redirect_dir", "on"),
        ("lowerdir", &layers),
    ];
    for (key, value) in options {
        fsconfig_set_string(fs.as_fd(), key, value).map_err(failed())?;
    }
    fsconfig_set_flag(fs.as_fd(), "ro").map_err(failed())?;
    fsconfig_create(fs.as_fd()).map_err(failed())?;
    fsmount(fs.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::MOUNT_ATTR_RDONLY)
        .map_err(failed())
}
