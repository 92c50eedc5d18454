//! Prepared files → a folder in memory, and the one link that makes them current.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, File};
use std::io::{self, Write as _};
use std::os::unix::fs::{
    DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _,
};
use std::path::{Path, PathBuf};

use rustix::fs::{Gid, Uid};
use thiserror::Error;

use super::super::name::TEMPLATES;
use super::memory::is_in_memory;
use super::prepare::{Prepared, PreparedFile};

/// Permission bits of folders: whoever knows a name may open it, nobody may list.
const FOLDER_MODE: u32 = 0o711;
/// How many folders of one generation may be there: it can be installed again.
const AGAIN_MAX: u32 = 1_000;

/// Why secrets could not be installed; the old ones are still in place.
#[derive(Debug, Error)]
pub enum InstallError {
    /// The folder is on a disk.
    #[error("{} is not in memory (tmpfs or ramfs), so no secret is written there", path.display())]
    NotInMemory {
        /// The folder.
        path: PathBuf,
    },
    /// Something with a file did not work.
    #[error("cannot {action} {}", path.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
}

/// What an installation changed.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Changed {
    /// Secrets that are new, gone or different in value, owner or mode.
    pub secrets: BTreeSet<String>,
    /// The same of rendered templates.
    pub templates: BTreeSet<String>,
    /// How many secrets the system declares.
    pub declared: usize,
    /// Units to restart.
    pub restart: BTreeSet<String>,
    /// Units to reload, none of which is to be restarted.
    pub reload: BTreeSet<String>,
    /// Whether there was nothing before: at boot no unit runs yet.
    pub first: bool,
    /// Where they lie now, below the folder of all generations.
    pub folder: PathBuf,
}

/// Writes everything into a new folder of `generations`, then points `link` there in one step.
///
/// # Errors
///
/// [`InstallError`]; the link is as it was then, and nothing half-written is left.
pub fn install(
    prepared: &Prepared,
    generations: &Path,
    link: &Path,
    generation: u64,
) -> Result<Changed, InstallError> {
    if !is_in_memory(generations) {
        return Err(InstallError::NotInMemory { path: generations.to_owned() });
    }
    let before = fs::read_link(link).ok();
    let folder = new_folder(generations, generation)?;
    let written = write_all(prepared, &folder).and_then(|()| {
        let changed = Changed { folder: folder.clone(), ..compare(prepared, before.as_deref()) };
        switch(&folder, link).map(|()| changed)
    });
    match written {
        Ok(changed) => {
            let keep = [Some(folder.as_path()), before.as_deref()];
            remove_others(generations, &keep);
            Ok(changed)
        }
        Err(error) => {
            // What failed matters more than what is left over; the next installation removes it.
            let _left = fs::remove_dir_all(&folder);
            Err(error)
        }
    }
}

/// What an installation would change of what `link` leads to; its folder is still the one before.
pub fn changes(prepared: &Prepared, link: &Path) -> Changed {
    let before = fs::read_link(link).ok();
    let changed = compare(prepared, before.as_deref());
    Changed { folder: before.unwrap_or_default(), ..changed }
}

fn new_folder(generations: &Path, generation: u64) -> Result<PathBuf, InstallError> {
    let mut last = None;
    for again in 0..AGAIN_MAX {
        let name =
            if again == 0 { generation.to_string() } else { format!("{generation}.{again}") };
        let path = generations.join(name);
        match DirBuilder::new().mode(FOLDER_MODE).create(&path) {
            Ok(()) => {
                set_mode(&path, FOLDER_MODE)?;
                return Ok(path);
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                last = Some((path, error));
            }
            Err(source) => return Err(InstallError::File { action: "create", path, source }),
        }
    }
    let (path, source) = last.expect("at least one was tried");
    Err(InstallError::File { action: "create", path, source })
}

fn write_all(prepared: &Prepared, folder: &Path) -> Result<(), InstallError> {
    for (name, file) in &prepared.files {
        let path = folder.join(name);
        let mut parents = Vec::new();
        let mut parent = path.parent();
        while let Some(here) = parent.filter(|here| *here != folder) {
            parents.push(here.to_owned());
            parent = here.parent();
        }
        for parent in parents.into_iter().rev().filter(|parent| !parent.exists()) {
            let made = DirBuilder::new().mode(FOLDER_MODE).create(&parent);
            made.map_err(at("create", &parent))?;
            set_mode(&parent, FOLDER_MODE)?;
        }
        write_file(&path, file)?;
    }
    Ok(())
}

/// The file belongs to its owner before anything is in it.
fn write_file(path: &Path, file: &PreparedFile) -> Result<(), InstallError> {
    let mut options = File::options();
    let mut open =
        options.write(true).create_new(true).mode(0o600).open(path).map_err(at("create", path))?;
    let (uid, gid) = (Uid::from_raw(file.account.uid), Gid::from_raw(file.account.gid));
    rustix::fs::fchown(&open, Some(uid), Some(gid))
        .map_err(|error| at("give away", path)(error.into()))?;
    open.write_all(file.content.expose()).map_err(at("write", path))?;
    let mode = fs::Permissions::from_mode(file.mode);
    open.set_permissions(mode).map_err(at("set the mode of", path))
}

fn set_mode(path: &Path, mode: u32) -> Result<(), InstallError> {
    let mode = fs::Permissions::from_mode(mode);
    fs::set_permissions(path, mode).map_err(at("set the mode of", path))
}

/// What differs between the folder before and the new files.
fn compare(prepared: &Prepared, before: Option<&Path>) -> Changed {
    let mut changed = Changed {
        first: before.is_none(),
        declared: prepared.declarations.secrets.len(),
        ..Changed::default()
    };
    let old_names = before.map(names_below).unwrap_or_default();
    let new_names = prepared.files.keys().cloned().collect::<BTreeSet<_>>();
    for name in old_names.union(&new_names) {
        let same = match (before, prepared.files.get(name)) {
            (Some(before), Some(file)) => is_same(&before.join(name), file),
            _ => false,
        };
        // What begins with a dot is made from secrets that are compared themselves.
        if same || name.starts_with('.') {
            continue;
        }
        match name.strip_prefix(TEMPLATES).and_then(|rest| rest.strip_prefix('/')) {
            Some(template) => drop(changed.templates.insert(template.to_owned())),
            None => drop(changed.secrets.insert(name.clone())),
        }
    }
    let declarations = &prepared.declarations;
    let secrets = changed.secrets.iter().filter_map(|name| declarations.secrets.get(name));
    let secrets = secrets.map(|declared| (&declared.units, declared.reload));
    let templates = changed.templates.iter().filter_map(|name| declarations.templates.get(name));
    let templates = templates.map(|declared| (&declared.units, declared.reload));
    for (units, reload) in secrets.chain(templates) {
        let set = if reload { &mut changed.reload } else { &mut changed.restart };
        set.extend(units.iter().cloned());
    }
    changed.reload.retain(|unit| !changed.restart.contains(unit));
    changed
}

fn is_same(path: &Path, file: &PreparedFile) -> bool {
    let Ok(data) = fs::symlink_metadata(path) else { return false };
    let as_before = data.uid() == file.account.uid
        && data.gid() == file.account.gid
        && data.mode() & 0o7777 == file.mode;
    as_before && fs::read(path).is_ok_and(|old| old == *file.content.expose())
}

/// Paths of all files below `folder`, relative to it.
fn names_below(folder: &Path) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut waiting = vec![folder.to_owned()];
    while let Some(here) = waiting.pop() {
        for entry in fs::read_dir(&here).into_iter().flatten().flatten() {
            let path = entry.path();
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                waiting.push(path);
            } else if let Some(name) = path.strip_prefix(folder).ok().and_then(Path::to_str) {
                names.insert(name.to_owned());
            }
        }
    }
    names
}

/// Points `link` at `folder` by renaming a new link over it.
fn switch(folder: &Path, link: &Path) -> Result<(), InstallError> {
    let mut name = link.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let new = link.with_file_name(name);
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(at("remove", &new)(error));
        }
        _ => {}
    }
    std::os::unix::fs::symlink(folder, &new).map_err(at("create", &new))?;
    fs::rename(&new, link).map_err(at("replace", link))
}

/// Removes folders that no program can be expected to read any more.
fn remove_others(generations: &Path, keep: &[Option<&Path>]) {
    for entry in fs::read_dir(generations).into_iter().flatten().flatten() {
        let path = entry.path();
        if !keep.contains(&Some(path.as_path())) {
            // It is memory: what cannot be removed is gone with the next boot.
            let _left = fs::remove_dir_all(&path);
        }
    }
}

fn at(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> InstallError {
    let path = path.to_owned();
    move |source| InstallError::File { action, path, source }
}
