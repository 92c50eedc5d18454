//! Which kernel modules an initrd needs, and in which order they are loaded.

use std::collections::{BTreeMap, BTreeSet};

use thiserror::Error;

/// What may stand between the kernel and the root file system: disks of virtual and real machines, and
/// the file systems of a host. What a kernel has built in is not in its `modules.dep`.
pub const WANTED: [&str; 19] = [
    "virtio_pci",
    "virtio_blk",
    "virtio_scsi",
    "sd_mod",
    "ahci",
    "ata_piix",
    "nvme",
    "xen_blkfront",
    "hv_storvsc",
    "vmw_pvscsi",
    "mptspi",
    "mpt3sas",
    "megaraid_sas",
    "sdhci_pci",
    "usb_storage",
    "uas",
    "ext4",
    "erofs",
    "overlay",
];

/// A `modules.dep` that does not say what it should.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("modules.dep says that {module} needs {needed}, which it does not list")]
pub struct ModulesError {
    /// Path of the module.
    pub module: String,
    /// Path of what it needs.
    pub needed: String,
}

/// Paths of the modules to load, relative to the directory of `modules.dep`, in order of loading.
///
/// Format: modules.dep(5); the needed stand behind the colon, the last of them is loaded first.
///
/// # Errors
///
/// A module that needs another which is not listed.
pub fn load_order(modules_dep: &str, wanted: &[&str]) -> Result<Vec<String>, ModulesError> {
    let lines = modules_dep.lines().filter_map(|line| line.split_once(':'));
    let needs: BTreeMap<&str, Vec<&str>> =
        lines.map(|(path, needed)| (path, needed.split_whitespace().collect())).collect();
    let by_name: BTreeMap<String, &str> = needs.keys().map(|path| (name_of(path), *path)).collect();
    let mut order = Vec::new();
    let mut seen = BTreeSet::new();
    for path in wanted.iter().filter_map(|name| by_name.get(*name)) {
        for needed in needs[path].iter().rev().chain([path]) {
            if !needs.contains_key(needed) {
                let (module, needed) = ((*path).to_owned(), (*needed).to_owned());
                return Err(ModulesError { module, needed });
            }
            if seen.insert(*needed) {
                order.push((*needed).to_owned());
            }
        }
    }
    Ok(order)
}

/// `virtio_blk` of `kernel/drivers/block/virtio-blk.ko.xz`.
fn name_of(path: &str) -> String {
    let file = path.rsplit('/').next().unwrap_or(path);
    file.split('.').next().unwrap_or(file).replace('-', "_")
}

#[cfg(test)]
mod tests;
