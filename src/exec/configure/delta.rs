//! From the overlay's upper layer to the delta: what differs from the packages, and nothing that leaks.

mod decide;
pub(super) mod disk;

use super::layers::Layers;
use super::{ConfigureError, Configured, Request};
use crate::debian::accounts::{AccountFiles, Accounts, Renumbering};
use crate::exec::files::{FileError, read_limited, write_atomic};
use crate::exec::sandbox::Owners;
use crate::tree::{FileBeside, Manifest, Node, TreePath};

/// Most bytes of an account file.
const ACCOUNT_BYTES_MAX: u64 = 16 << 20;

/// Turns the upper layer into `delta/` below the scratch directory, which then holds nothing else.
pub(super) fn collect(
    request: &Request,
    layers: &Layers,
    owners: &Owners,
) -> Result<Configured, ConfigureError> {
    let mut manifest = keep(request, layers, owners)?;
    let before = read_accounts(request)?;
    let ids = before.pinned(&request.ids)?;
    renumber(&mut manifest, &Renumbering::new(&before.ids(), &ids));
    let day = request.epoch_seconds / SECONDS_PER_DAY;
    let accounts = before.renumbered(&ids).with_change_day(day);
    let directory = request.scratch.join(DELTA);
    write_accounts(&directory.join("data"), &accounts, &mut manifest)?;
    finish(request, &manifest)?;
    Ok(Configured { directory, manifest, accounts, ids })
}

/// Makes `delta/data` of the upper layer; gives the manifest that describes it.
pub(super) fn keep(
    request: &Request,
    layers: &Layers,
    owners: &Owners,
) -> Result<Manifest, ConfigureError> {
    let directory = request.scratch.join(DELTA);
    let data = directory.join("data");
    std::fs::create_dir(&directory).map_err(FileError::at("make", &directory))?;
    let upper = request.scratch.join("upper");
    std::fs::rename(&upper, &data).map_err(FileError::at("rename", &upper))?;
    let found = disk::scan(&data, layers)?;
    let manifest = decide::decide(&found, layers, owners, request.epoch_seconds);
    disk::keep_only(&data, &found, &manifest)?;
    Ok(manifest)
}

/// Writes `delta/manifest` and removes what else is in the scratch directory.
pub(super) fn finish(request: &Request, manifest: &Manifest) -> Result<(), ConfigureError> {
    let path = request.scratch.join(DELTA).join("manifest");
    write_atomic(&path, manifest.to_text().as_bytes())?;
    for name in ["replacements", "work", "skeleton"] {
        disk::remove_tree(&request.scratch.join(name))?;
    }
    Ok(())
}

/// The name of the result in the scratch directory.
pub(super) const DELTA: &str = "delta";

const SECONDS_PER_DAY: u64 = 86_400;

/// The account files and their modes; groups are those of Debian's base-passwd.
const ACCOUNT_FILES: [&str; 4] = ["etc/passwd", "etc/group", "etc/shadow", "etc/gshadow"];

fn read_accounts(request: &Request) -> Result<Accounts, ConfigureError> {
    let data = request.scratch.join("delta/data");
    let [passwd, group, shadow, gshadow] = ACCOUNT_FILES.map(|name| {
        let path = data.join(name);
        // Shadows are there only with the package passwd.
        if path.exists() { read_limited(&path, ACCOUNT_BYTES_MAX) } else { Ok(Vec::new()) }
    });
    let files = AccountFiles { passwd: passwd?, group: group?, shadow: shadow?, gshadow: gshadow? };
    Ok(Accounts::parse(&files)?)
}

/// Writes the accounts in their one order, whatever order packages were configured in.
fn write_accounts(
    data: &std::path::Path,
    accounts: &Accounts,
    manifest: &mut Manifest,
) -> Result<(), ConfigureError> {
    let files = accounts.to_files();
    let contents = [files.passwd, files.group, files.shadow, files.gshadow];
    for (name, bytes) in ACCOUNT_FILES.iter().zip(contents) {
        let path = TreePath::new(*name)?;
        if let Some(entry) = manifest.entries.get_mut(&path) {
            entry.node = Node::File(FileBeside { size: bytes.len() as u64 });
            disk::rewrite(&data.join(name), &bytes)?;
        }
    }
    Ok(())
}

fn renumber(manifest: &mut Manifest, renumbering: &Renumbering) {
    for entry in manifest.entries.values_mut() {
        entry.uid = renumbering.uid(entry.uid);
        entry.gid = renumbering.gid(entry.gid);
    }
}
