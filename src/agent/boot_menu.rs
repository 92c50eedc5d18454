//! What the boot loaders read, made to agree with the history of generations.
//!
//! The boot partition is mounted only while it is written, so that a power cut seldom finds it open. FAT
//! has no journal, and a rename may lose both files. So files are added under names of their own, in an
//! order in which whatever a loader finds leads to kernels that are there: kernels, then entries and
//! menus; then one sector of each loader's own file is changed, and only then what nobody needs any more
//! goes. The table of clusters is always on the disk before a name that leads into it, and a name is gone
//! before its clusters are free: else a cut would leave clusters that two files have.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use rustix::mount::{MountFlags, mount};

use super::boot_files::BootFiles;
use super::error::AgentError;
use super::places::{Places, read_store_path, shown};
use super::trees::Stage;
use crate::boot::arguments::{ROOT, SYSTEM};
use crate::boot::{ESP_LABEL, ROOT_LABEL};
use crate::exec::files::{FileError, read_limited, sync_directory};
use crate::generation::{GenerationNumber, Generations, Level, Verdict};
use crate::image::boot_entries::{BootEntry, BootFile, BootMenu, Role, esp_tree};
use crate::image::segment::Source;
use crate::store::StorePath;
use crate::tree::{Node, StoreFile, TreePath};

/// Most bytes of a kernel or an initrd.
const BOOT_FILE_BYTES_MAX: u64 = 512 << 20;
/// Left free on the boot partition, for directories and the loaders' own writes.
const SPARE_BYTES: u64 = 1 << 20;
/// Directories of which all that is ours is listed, so that the rest can go.
const OURS: [(&str, &str); 3] = [("loader/entries", "nexus-"), ("grub", "menu-"), ("nexus", "")];

/// Makes the boot partition agree with `generations`; `fresh_trial` gives a trial all its tries.
///
/// Bootable are the good generations and the one on trial; the trial is what is booted next only when
/// it is entered by a reboot.
///
/// # Errors
///
/// [`AgentError::BootSpace`] before anything is written; otherwise what could not be written, and then
/// the old default is still what is booted.
pub fn sync(
    places: &Places,
    generations: &Generations,
    fresh_trial: bool,
) -> Result<(), AgentError> {
    let mut known = BootFiles::load(places);
    let Some(menu) = menu(places, generations, &mut known)? else { return Ok(()) };
    let stage = Stage::new(places)?;
    let esp = Esp::mount(places, &stage)?;
    let wanted = wanted_files(&menu)?;
    known.keep_there(&wanted.keys().cloned().collect());
    let mut files = Vec::new();
    for (path, source) in wanted {
        let source = match menu.trial.filter(|_| !fresh_trial) {
            Some(trial) => with_tries_left(&esp.root, &path, source, trial)?,
            None => Some(source),
        };
        if let Some(source) = source
            && !same(places, &esp.root, (&path, &source), &mut known)?
        {
            files.push((Role::of(&path), path, source));
        }
    }
    files.sort_by_key(|(role, _, _)| *role);
    check_space(&esp, &files)?;
    for (role, path, source) in &files {
        let (target, bytes) = (esp.root.join(path), contents(places, source)?);
        match role {
            Role::Plain | Role::Leading => esp.add(&target, &bytes)?,
            Role::Switched => esp.switch(&target, &bytes)?,
            Role::Loader => {}
        }
        if named_by_digest(source) {
            known.note_there(path);
        }
    }
    remove_stale(&esp, &menu)?;
    known.free_bytes = Some(esp.free()?);
    known.save(places)
}

/// The boot partition, mounted.
struct Esp {
    root: PathBuf,
    device: File,
}

impl Esp {
    fn mount(places: &Places, stage: &Stage) -> Result<Self, AgentError> {
        let root = stage.place("esp")?;
        let path = esp_device(places)?;
        let options = c"umask=0077,shortname=mixed,errors=remount-ro";
        // Names reach the disk at once, so that what happens to clusters comes later.
        let flags =
            MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC | MountFlags::DIRSYNC;
        mount(&path, &root, "vfat", flags, Some(options))
            .map_err(AgentError::at("mount", &path))?;
        let device = File::open(&path).map_err(FileError::at("open", &path))?;
        Ok(Self { root, device })
    }

    fn free(&self) -> Result<u64, AgentError> {
        let space = rustix::fs::statvfs(&self.root)
            .map_err(AgentError::at("look at the space of", &self.root))?;
        Ok(space.f_bavail * space.f_frsize)
    }

    /// Writes a new file; what a cut left of it is written anew.
    fn add(&self, target: &Path, bytes: &[u8]) -> Result<(), AgentError> {
        let directory = target.parent().expect("every file lies in a directory");
        fs::create_dir_all(directory).map_err(FileError::at("create", directory))?;
        let mut file = File::create(target).map_err(FileError::at("create", target))?;
        file.write_all(bytes)
            // The table of clusters first; only the file's own sync writes where it begins.
            .and_then(|()| self.device.sync_all())
            .and_then(|()| file.sync_all())
            .map_err(FileError::at("write", target))?;
        Ok(())
    }

    /// Changes a file in its place.
    fn switch(&self, target: &Path, bytes: &[u8]) -> Result<(), AgentError> {
        if !target.exists() {
            return self.add(target, bytes);
        }
        let file = File::options().write(true).open(target);
        let file = file.map_err(FileError::at("open", target))?;
        file.write_all_at(bytes, 0)
            .and_then(|()| file.set_len(bytes.len() as u64))
            .and_then(|()| file.sync_all())
            .map_err(FileError::at("write", target))?;
        Ok(())
    }

    /// Removes a file: its name, and when that is gone for sure its clusters.
    fn remove(&self, target: &Path) -> Result<(), AgentError> {
        let directory = target.parent().expect("every file lies in a directory");
        // As long as it is open, its clusters are not free; a directory's sync would write that, too.
        let open = File::open(target).map_err(FileError::at("open", target))?;
        fs::remove_file(target).map_err(FileError::at("remove", target))?;
        sync_directory(directory)?;
        drop(open);
        Ok(self.device.sync_all().map_err(FileError::at("sync", directory))?)
    }
}

/// The partition that the firmware reads, by its name in the partition table.
fn esp_device(places: &Places) -> Result<PathBuf, AgentError> {
    let directory = places.at("sys/class/block");
    let entries = fs::read_dir(&directory).map_err(FileError::at("list", &directory))?;
    let mut names: Vec<_> = entries.flatten().map(|entry| entry.file_name()).collect();
    names.sort();
    let name = names.into_iter().find(|name| {
        let event = fs::read_to_string(directory.join(name).join("uevent")).unwrap_or_default();
        event.lines().any(|line| line.strip_prefix("PARTNAME=") == Some(ESP_LABEL))
    });
    let missing = || AgentError::Unexpected(format!("no partition is called {ESP_LABEL}"));
    Ok(places.at("dev").join(name.ok_or_else(missing)?))
}

/// What is to be booted; `None` when no generation has a kernel.
fn menu(
    places: &Places,
    generations: &Generations,
    known: &mut BootFiles,
) -> Result<Option<BootMenu>, AgentError> {
    let on_trial = generations.trial().map(|trial| trial.number);
    let mut entries = BTreeMap::new();
    for (number, generation) in generations.entries() {
        let bootable = generation.verdict == Verdict::Good || on_trial == Some(*number);
        if bootable && let Some(entry) = entry(places, *number, &generation.system, known)? {
            entries.insert(number.get(), entry);
        }
    }
    let default = generations.default().map_or(0, GenerationNumber::get);
    if !entries.contains_key(&default) {
        return Ok(None);
    }
    let by_reboot = generations.trial().filter(|trial| trial.level == Level::Reboot);
    let trial = by_reboot.map(|trial| trial.number.get()).filter(|n| entries.contains_key(n));
    // The loader itself stays as the image brought it.
    Ok(Some(BootMenu { entries, default, trial, systemd_boot: Source::Bytes(Vec::new()) }))
}

fn entry(
    places: &Places,
    number: GenerationNumber,
    system: &StorePath,
    known: &mut BootFiles,
) -> Result<Option<BootEntry>, AgentError> {
    let directory = places.store_path(system);
    let (Some(kernel), Some(initrd)) = (
        boot_file(places, &directory.join("kernel"), known)?,
        boot_file(places, &directory.join("initrd"), known)?,
    ) else {
        return Ok(None);
    };
    let params = read_limited(&directory.join("params"), 1 << 16)?;
    let params = String::from_utf8_lossy(&params).trim().to_owned();
    let host = system.name().strip_prefix("system-").unwrap_or(system.name());
    let options = format!("{params} {ROOT}=PARTLABEL={ROOT_LABEL} {SYSTEM}={}", shown(system));
    Ok(Some(BootEntry {
        number: number.get(),
        title: format!("{host} (generation {number})"),
        kernel,
        initrd,
        options: options.trim_start().to_owned(),
    }))
}

/// The file in the store that a link of a system leads to.
fn boot_file(
    places: &Places,
    link: &Path,
    known: &mut BootFiles,
) -> Result<Option<BootFile>, AgentError> {
    let Ok(target) = fs::read_link(link) else { return Ok(None) };
    let target = target.to_string_lossy().into_owned();
    let rest = target.strip_prefix("/nix/store/").unwrap_or(&target);
    let (base, inner) = rest.split_once('/').unwrap_or((rest, ""));
    let path = read_store_path(base)?;
    let inner = TreePath::new(inner).map_err(|error| AgentError::Unexpected(error.to_string()))?;
    let mut file = StoreFile { size: 0, path, inner };
    let read = || read_limited(&real(places, &file), BOOT_FILE_BYTES_MAX);
    let (digest, size) = known.digest(rest, read)?;
    file.size = size;
    Ok(Some(BootFile { digest, source: Source::Store(file) }))
}

fn real(places: &Places, file: &StoreFile) -> PathBuf {
    let path = places.store_path(&file.path);
    if file.inner.is_root() { path } else { path.join(file.inner.to_path()) }
}

/// All files but the loaders' own, by path.
fn wanted_files(menu: &BootMenu) -> Result<BTreeMap<String, Source>, AgentError> {
    let tree = esp_tree(menu, 0)?;
    let files = tree.into_iter().filter_map(|(path, entry)| match entry.node {
        Node::File(source) => Some((path.to_string(), source)),
        _ => None,
    });
    Ok(files.filter(|(path, _)| Role::of(path) != Role::Loader).collect())
}

/// What a file is to hold when the trial at hand does not begin anew; `None` when it stays as it is.
///
/// The loaders count tries down: systemd-boot in the name of the entry, GRUB in `grubenv`.
fn with_tries_left(
    esp: &Path,
    path: &str,
    source: Source,
    trial: u32,
) -> Result<Option<Source>, AgentError> {
    if path.starts_with(&format!("loader/entries/nexus-{trial}+")) {
        let counts = entries_of(esp)?.iter().any(|name| generation_of(name) == Some(trial));
        return Ok((!counts).then_some(source));
    }
    let Source::Bytes(bytes) = &source else { return Ok(Some(source)) };
    if path != "grub/grubenv" {
        return Ok(Some(source));
    }
    let old = read_limited(&esp.join(path), 1 << 16).unwrap_or_default();
    let old = String::from_utf8_lossy(&old).into_owned();
    if !old.lines().any(|line| line == format!("nexus_trial={trial}")) {
        return Ok(Some(source));
    }
    let tries =
        |text: &str| text.lines().find(|l| l.starts_with("nexus_tries=")).map(str::to_owned);
    let new = String::from_utf8_lossy(bytes).into_owned();
    match (tries(&new), tries(&old)) {
        (Some(all), Some(left)) if all.len() == left.len() => {
            Ok(Some(Source::Bytes(new.replacen(&all, &left, 1).into_bytes())))
        }
        _ => Ok(Some(source)),
    }
}

/// The generation of an entry's file name, with or without counted tries.
fn generation_of(name: &str) -> Option<u32> {
    let inner = name.strip_prefix("nexus-")?.strip_suffix(".conf")?;
    inner.split('+').next()?.parse().ok()
}

fn entries_of(esp: &Path) -> Result<Vec<String>, AgentError> {
    let directory = esp.join("loader/entries");
    let entries = fs::read_dir(&directory).map_err(FileError::at("list", &directory))?;
    Ok(entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect())
}

/// Kernels and initrds are, so under one name they never change.
fn named_by_digest(source: &Source) -> bool {
    matches!(source, Source::Store(_))
}

/// Whether the file `path` of the boot partition is `source` already.
fn same(
    places: &Places,
    esp: &Path,
    (path, source): (&str, &Source),
    known: &mut BootFiles,
) -> Result<bool, AgentError> {
    let target = esp.join(path);
    let Ok(metadata) = target.metadata() else { return Ok(false) };
    if metadata.len() != source.size() {
        return Ok(false);
    }
    if named_by_digest(source) && known.is_there(path) {
        return Ok(true);
    }
    let same = read_limited(&target, BOOT_FILE_BYTES_MAX)? == contents(places, source)?;
    if same && named_by_digest(source) {
        known.note_there(path);
    }
    Ok(same)
}

fn contents(places: &Places, source: &Source) -> Result<Vec<u8>, AgentError> {
    match source {
        Source::Bytes(bytes) => Ok(bytes.clone()),
        Source::Store(file) => Ok(read_limited(&real(places, file), BOOT_FILE_BYTES_MAX)?),
    }
}

fn check_space(esp: &Esp, files: &[(Role, String, Source)]) -> Result<(), AgentError> {
    let added = files.iter().filter(|(role, _, _)| *role != Role::Switched);
    let needed: u64 = added.map(|(_, _, source)| source.size()).sum();
    let free = esp.free()?;
    if needed > 0 && needed + SPARE_BYTES > free {
        return Err(AgentError::BootSpace { needed: needed + SPARE_BYTES, free });
    }
    Ok(())
}

/// Removes entries and kernels that the menu does not have.
fn remove_stale(esp: &Esp, menu: &BootMenu) -> Result<(), AgentError> {
    let wanted: BTreeSet<String> = wanted_files(menu)?.into_keys().collect();
    // With all its tries there, an entry of the trial that has fewer is an old one.
    let all_tries = wanted.iter().any(|path| path.contains('+') && esp.root.join(path).exists());
    for (directory, prefix) in OURS {
        let place = esp.root.join(directory);
        for entry in fs::read_dir(&place).into_iter().flatten().flatten() {
            let Ok(name) = entry.file_name().into_string() else { continue };
            let path = format!("{directory}/{name}");
            let counts = name.contains('+') && generation_of(&name) == menu.trial;
            let stale = !counts || all_tries;
            // Of a long name a cut may leave the short form, in capitals.
            let ours = name.to_ascii_lowercase().starts_with(prefix);
            if ours && !wanted.contains(&path) && stale {
                esp.remove(&entry.path())?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_told_by_their_generation() {
        for (name, number) in [
            ("nexus-3.conf", Some(3)),
            ("nexus-3+2-1.conf", Some(3)),
            ("nexus-3+3.conf", Some(3)),
            ("nexus-x.conf", None),
            ("debian-3.conf", None),
        ] {
            assert_eq!(generation_of(name), number, "{name}");
        }
    }
}
