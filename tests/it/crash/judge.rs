//! Whether a host comes up from a disk whose power was cut, and as what.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use nexus_host::agent::places::{Places, read_store_path, shown};
use nexus_host::agent::registry::Registry;
use nexus_host::agent::{state, verify};
use nexus_host::boot::{ESP_LABEL, ROOT_LABEL};
use nexus_host::store::StorePath;

use super::fat;
use super::loaders::{self, Choice};
use crate::support::{Ran, plain_command};

/// How thoroughly the store is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Depth {
    /// Every registered path is digested.
    All,
    /// What the image brought is only looked for.
    New,
}

/// Where the two partitions lie on the disk: first byte and bytes.
struct Partitions {
    esp: (u64, u64),
    root: (u64, u64),
}

impl Partitions {
    fn read(disk: &Path) -> Result<Self, String> {
        let table = gpt::GptConfig::new().writable(false).open(disk);
        let table = table.map_err(|error| format!("partition table: {error}"))?;
        let find = |label: &str| {
            let partition = table.partitions().values().find(|p| p.name == label).unwrap();
            let size = gpt::disk::LogicalBlockSize::Lb512;
            (partition.bytes_start(size).unwrap(), partition.bytes_len(size).unwrap())
        };
        Ok(Self { esp: find(ESP_LABEL), root: find(ROOT_LABEL) })
    }
}

/// Where disks are judged.
pub(crate) struct Judge {
    pub(crate) directory: PathBuf,
    /// Paths that were whole when the machine was new.
    pub(crate) of_image: BTreeMap<StorePath, u64>,
}

impl Judge {
    /// What both loaders start, in the order BIOS, UEFI; or what is damaged.
    pub(crate) fn judge(&self, disk: &Path, depth: Depth) -> Result<[Choice; 2], String> {
        let partitions = Partitions::read(disk)?;
        let esp = fat::read(&bytes_of(disk, partitions.esp))?;
        let choices = [loaders::grub(&esp)?, loaders::systemd_boot(&esp)?];
        let root = Mounted::root(disk, partitions.root, &self.directory)?;
        let places = Places::below(&root.target);
        let registry = Registry::load(&places).map_err(|error| error.to_string())?;
        self.check_store(&places, &registry, depth)?;
        for choice in &choices {
            let system = read_store_path(&choice.system).map_err(|error| error.to_string())?;
            registry
                .closure(&places, [system])
                .map_err(|error| format!("generation {} is not whole: {error}", choice.number))?;
        }
        check_history(&places, &choices)?;
        Ok(choices)
    }

    /// The paths of a machine that is new, with their number of entries.
    pub(crate) fn paths_of_image(&self, disk: &Path) -> BTreeMap<StorePath, u64> {
        let partitions = Partitions::read(disk).unwrap();
        let root = Mounted::root(disk, partitions.root, &self.directory).unwrap();
        let places = Places::below(&root.target);
        let registry = Registry::load(&places).unwrap();
        let count = |path: &StorePath| (path.clone(), entries(&places.store_path(path)));
        registry.paths().keys().map(count).collect()
    }

    fn check_store(
        &self,
        places: &Places,
        registry: &Registry,
        depth: Depth,
    ) -> Result<(), String> {
        for (path, known) in registry.paths() {
            let real = places.store_path(path);
            if let (Depth::New, Some(count)) = (depth, self.of_image.get(path)) {
                if entries(&real) != *count {
                    return Err(format!("{} has lost files", shown(path)));
                }
                continue;
            }
            if !verify::is_whole(places, path, known) {
                return Err(format!("{} is registered, but not whole", shown(path)));
            }
        }
        Ok(())
    }
}

fn bytes_of(disk: &Path, (offset, bytes): (u64, u64)) -> Vec<u8> {
    let mut all = vec![0; usize::try_from(bytes).unwrap()];
    fs::File::open(disk).unwrap().read_exact_at(&mut all, offset).unwrap();
    all
}

/// The history can be read, and has what is booted.
fn check_history(places: &Places, choices: &[Choice; 2]) -> Result<(), String> {
    let generations = state::load(places).map_err(|error| error.to_string())?;
    for choice in choices {
        let known = generations.entries().iter().any(|(number, entry)| {
            number.get() == choice.number && choice.system.ends_with(entry.system.as_str())
        });
        if !known {
            return Err(format!("the history does not have generation {choice:?}"));
        }
    }
    Ok(())
}

fn entries(path: &Path) -> u64 {
    let Ok(metadata) = path.symlink_metadata() else { return 0 };
    if !metadata.is_dir() {
        return 1;
    }
    1 + fs::read_dir(path).unwrap().map(|entry| entries(&entry.unwrap().path())).sum::<u64>()
}

/// A file system that is mounted as long as the value lives.
pub(crate) struct Mounted {
    pub(crate) target: PathBuf,
}

impl Mounted {
    /// The root file system, as a boot mounts it: its journal is replayed first, and for that it is mounted to be read.
    fn root(disk: &Path, place: (u64, u64), directory: &Path) -> Result<Self, String> {
        let target = directory.to_owned();
        fs::create_dir_all(&target).unwrap();
        let mut command = plain_command("losetup");
        let [offset, limit] = [place.0, place.1].map(|bytes| bytes.to_string());
        command.args(["--find", "--show", "--offset", &offset, "--sizelimit", &limit]).arg(disk);
        let device = Ran::of(command).expect(0).stdout.trim().to_owned();
        let mount = |how| {
            let mut command = plain_command("mount");
            command.args(["-t", "ext4", "-o", how, &device]).arg(&target);
            let ran = Ran::of(command);
            if ran.code != Some(0) {
                return Err(ran.stderr);
            }
            Ok(Self { target: target.clone() })
        };
        let mounted = mount("ro").map(drop).and_then(|()| mount("rw"));
        // It goes when nothing is mounted from it any more.
        let mut command = plain_command("losetup");
        command.arg("--detach").arg(device);
        Ran::of(command).expect(0);
        mounted
    }

    /// A file system in memory.
    pub(crate) fn memory(target: &Path) -> Self {
        fs::create_dir_all(target).unwrap();
        let mut command = plain_command("mount");
        command.args(["-t", "tmpfs", "-o", "size=12g", "tmpfs"]).arg(target);
        Ran::of(command).expect(0);
        Self { target: target.to_owned() }
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let mut command = plain_command("umount");
        command.arg(&self.target);
        Ran::of(command).expect(0);
    }
}
