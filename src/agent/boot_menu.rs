//! What the boot loaders read, made to agree with the history of generations.
//!
//! The boot partition is mounted only while it is written, so that a power cut seldom finds it open. FAT
//! has no journal: each file is written under another name, synced and renamed, in an order in which
//! whatever a loader finds leads to kernels that are there: kernels, then entries and menus, then the
//! default, and only then what nobody needs any more goes.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use rustix::mount::{MountFlags, mount};

use super::error::AgentError;
use super::places::{Places, read_store_path, shown};
use super::trees::Stage;
use crate::boot::arguments::{ROOT, SYSTEM};
use crate::boot::{ESP_LABEL, ROOT_LABEL};
use crate::exec::files::{FileError, read_limited};
use crate::generation::{GenerationNumber, Generations, Level, Verdict};
use crate::image::boot_entries::{BootEntry, BootFile, BootMenu, esp_tree};
use crate::image::segment::Source;
use crate::store::{Sha256Digest, StorePath};
use crate::tree::{Node, StoreFile, TreePath};

/// Most bytes of a kernel or an initrd.
const BOOT_FILE_BYTES_MAX: u64 = 512 << 20;
/// Left free on the boot partition, for directories and the loaders' own writes.
const SPARE_BYTES: u64 = 1 << 20;
/// Directories of which all that is ours is listed, so that the rest can go.
const OURS: [(&str, &str); 2] = [("loader/entries", "nexus-"), ("nexus", "")];

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
    let stage = Stage::new(places)?;
    let esp = mount_esp(places, &stage)?;
    let Some(menu) = menu(places, generations)? else { return Ok(()) };
    let wanted = wanted_files(&menu)?;
    let mut files = BTreeMap::new();
    for (path, source) in wanted {
        if keeps_its_tries(&esp, &path, &menu, fresh_trial)? {
            continue;
        }
        let target = esp.join(&path);
        if !same(places, &target, &source)? {
            files.insert(path, source);
        }
    }
    check_space(&esp, &files)?;
    for rank in 0..3 {
        for (path, source) in files.iter().filter(|(path, _)| order(path) == rank) {
            write(places, &esp.join(path), source)?;
        }
    }
    remove_stale(&esp, &menu)?;
    let root = File::open(&esp).map_err(FileError::at("open", &esp))?;
    rustix::fs::syncfs(&root).map_err(AgentError::at("sync", &esp))
}

/// Bytes free on the boot partition.
pub fn free_bytes(places: &Places) -> Result<u64, AgentError> {
    let stage = Stage::new(places)?;
    free(&mount_esp(places, &stage)?)
}

fn mount_esp(places: &Places, stage: &Stage) -> Result<PathBuf, AgentError> {
    let target = stage.place("esp")?;
    let device = esp_device(places)?;
    let options = c"umask=0077,shortname=mixed,errors=remount-ro";
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    mount(&device, &target, "vfat", flags, Some(options))
        .map_err(AgentError::at("mount", &device))?;
    Ok(target)
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
fn menu(places: &Places, generations: &Generations) -> Result<Option<BootMenu>, AgentError> {
    let on_trial = generations.trial().map(|trial| trial.number);
    let mut entries = BTreeMap::new();
    for (number, generation) in generations.entries() {
        let bootable = generation.verdict == Verdict::Good || on_trial == Some(*number);
        if bootable && let Some(entry) = entry(places, *number, &generation.system)? {
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
) -> Result<Option<BootEntry>, AgentError> {
    let directory = places.store_path(system);
    let (Some(kernel), Some(initrd)) = (
        boot_file(places, &directory.join("kernel"))?,
        boot_file(places, &directory.join("initrd"))?,
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
fn boot_file(places: &Places, link: &Path) -> Result<Option<BootFile>, AgentError> {
    let Ok(target) = fs::read_link(link) else { return Ok(None) };
    let target = target.to_string_lossy().into_owned();
    let rest = target.strip_prefix("/nix/store/").unwrap_or(&target);
    let (base, inner) = rest.split_once('/').unwrap_or((rest, ""));
    let path = read_store_path(base)?;
    let inner = TreePath::new(inner).map_err(|error| AgentError::Unexpected(error.to_string()))?;
    let mut file = StoreFile { size: 0, path, inner };
    let bytes = read_limited(&real(places, &file), BOOT_FILE_BYTES_MAX)?;
    file.size = bytes.len() as u64;
    Ok(Some(BootFile { digest: Sha256Digest::of(&bytes), source: Source::Store(file) }))
}

fn real(places: &Places, file: &StoreFile) -> PathBuf {
    let path = places.store_path(&file.path);
    if file.inner.is_root() { path } else { path.join(file.inner.to_path()) }
}

/// All files but the loader's own, by path.
fn wanted_files(menu: &BootMenu) -> Result<BTreeMap<String, Source>, AgentError> {
    let tree = esp_tree(menu, 0)?;
    let files = tree.into_iter().filter_map(|(path, entry)| match entry.node {
        Node::File(source) => Some((path.to_string(), source)),
        _ => None,
    });
    Ok(files.filter(|(path, _)| !path.starts_with("EFI/")).collect())
}

/// Whether a file counts the tries of the trial at hand and must not begin anew.
fn keeps_its_tries(
    esp: &Path,
    path: &str,
    menu: &BootMenu,
    fresh_trial: bool,
) -> Result<bool, AgentError> {
    let Some(trial) = menu.trial.filter(|_| !fresh_trial) else { return Ok(false) };
    if path.starts_with(&format!("loader/entries/nexus-{trial}+")) {
        return Ok(entries_of(esp)?.iter().any(|name| generation_of(name) == Some(trial)));
    }
    if path == "grub/grubenv" {
        let text = read_limited(&esp.join(path), 1 << 16).unwrap_or_default();
        let text = String::from_utf8_lossy(&text).into_owned();
        return Ok(text.lines().any(|line| line == format!("nexus_trial={trial}")));
    }
    Ok(false)
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

/// Kernels, then what leads to them, then which one is the default.
fn order(path: &str) -> u8 {
    match path {
        "loader/loader.conf" | "grub/grubenv" => 2,
        _ if path.starts_with("nexus/") => 0,
        _ => 1,
    }
}

fn same(places: &Places, target: &Path, source: &Source) -> Result<bool, AgentError> {
    let Ok(metadata) = target.metadata() else { return Ok(false) };
    if metadata.len() != source.size() {
        return Ok(false);
    }
    let is = read_limited(target, BOOT_FILE_BYTES_MAX)?;
    Ok(is == contents(places, source)?)
}

fn contents(places: &Places, source: &Source) -> Result<Vec<u8>, AgentError> {
    match source {
        Source::Bytes(bytes) => Ok(bytes.clone()),
        Source::Store(file) => Ok(read_limited(&real(places, file), BOOT_FILE_BYTES_MAX)?),
    }
}

fn free(esp: &Path) -> Result<u64, AgentError> {
    let space = rustix::fs::statvfs(esp).map_err(AgentError::at("look at the space of", esp))?;
    Ok(space.f_bavail * space.f_frsize)
}

fn check_space(esp: &Path, files: &BTreeMap<String, Source>) -> Result<(), AgentError> {
    if files.is_empty() {
        return Ok(());
    }
    // The old file stays until the new one is whole, so every byte is needed twice.
    let needed = files.values().map(Source::size).sum::<u64>() + SPARE_BYTES;
    let free = free(esp)?;
    if needed > free { Err(AgentError::BootSpace { needed, free }) } else { Ok(()) }
}

fn write(places: &Places, target: &Path, source: &Source) -> Result<(), AgentError> {
    let directory = target.parent().expect("every file lies in a directory");
    fs::create_dir_all(directory).map_err(FileError::at("create", directory))?;
    let new = directory.join("nexus.new");
    let mut file = File::create(&new).map_err(FileError::at("create", &new))?;
    file.write_all(&contents(places, source)?)
        .and_then(|()| file.sync_all())
        .map_err(FileError::at("write", &new))?;
    drop(file);
    fs::rename(&new, target).map_err(FileError::at("replace", target))?;
    let directory_file = File::open(directory).map_err(FileError::at("open", directory))?;
    Ok(directory_file.sync_all().map_err(FileError::at("sync", directory))?)
}

/// Removes entries and kernels that the menu does not have.
fn remove_stale(esp: &Path, menu: &BootMenu) -> Result<(), AgentError> {
    let wanted: BTreeSet<String> = wanted_files(menu)?.into_keys().collect();
    // With all its tries there, an entry of the trial that has fewer is an old one.
    let all_tries = wanted.iter().any(|path| path.contains('+') && esp.join(path).exists());
    for (directory, prefix) in OURS {
        let place = esp.join(directory);
        for entry in fs::read_dir(&place).into_iter().flatten().flatten() {
            let Ok(name) = entry.file_name().into_string() else { continue };
            let path = format!("{directory}/{name}");
            let counts = name.contains('+') && generation_of(&name) == menu.trial;
            let stale = !counts || all_tries;
            if name.starts_with(prefix) && !wanted.contains(&path) && stale {
                fs::remove_file(entry.path()).map_err(FileError::at("remove", &entry.path()))?;
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

    #[test]
    fn the_default_is_written_last() {
        let mut paths =
            ["grub/grubenv", "loader/entries/nexus-1.conf", "nexus/linux-x", "grub/grub.cfg"];
        paths.sort_by_key(|path| order(path));
        assert_eq!(
            paths,
            ["nexus/linux-x", "loader/entries/nexus-1.conf", "grub/grub.cfg", "grub/grubenv"]
        );
    }
}
