//! Steps that run a package's own tool over the unpacked packages and keep the files it writes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::initrd::MODULES;
use super::{Engine, Inputs, StepError, layers};
use crate::exec::files::{FileError, write_scratch};
use crate::exec::sandbox::{Command, Limits, Sandbox, Streams, Upper, run};
use crate::exec::store::References;
use crate::lower::recipe::Role;
use crate::tree::{Entry, FileBeside, Manifest, Node, TreePath};

/// A kernel's modules → the indexes that `modprobe` reads.
pub(super) fn depmod(
    engine: &Engine<'_>,
    inputs: &Inputs<'_>,
    epoch: u64,
    into: &Path,
) -> Result<References, StepError> {
    let version = kernel_version(engine, inputs)?;
    let command = Command::new(["depmod".to_owned(), "-a".to_owned(), version]);
    keep_written(engine, inputs, command, epoch, into)
}

/// udev's data → the binary hardware database below `/usr`.
pub(super) fn hwdb(
    engine: &Engine<'_>,
    inputs: &Inputs<'_>,
    epoch: u64,
    into: &Path,
) -> Result<References, StepError> {
    let command = Command::new(["systemd-hwdb", "--usr", "update"]);
    keep_written(engine, inputs, command, epoch, into)
}

/// The version of the only kernel among the packages.
fn kernel_version(engine: &Engine<'_>, inputs: &Inputs<'_>) -> Result<String, StepError> {
    let with_modules = |path: &&crate::store::StorePath| engine.real(path, MODULES).is_dir();
    let kernel = inputs.of(Role::Package).find(with_modules);
    let kernel = kernel.unwrap_or_else(|| inputs.one(Role::Package));
    super::initrd::kernel_version(engine, kernel)
}

/// Runs `command` on all packages and moves what it wrote to `into`.
fn keep_written(
    engine: &Engine<'_>,
    inputs: &Inputs<'_>,
    command: Command,
    epoch: u64,
    into: &Path,
) -> Result<References, StepError> {
    let scratch = into.with_extension("scratch");
    let mut sandbox = Sandbox::for_tool(package_layers(engine, inputs)?);
    sandbox.upper = Upper::Directory(scratch.clone());
    let limits = Limits { interrupt: engine.interrupt.clone(), deadline: None };
    let commands = [command];
    run(engine.environment, &sandbox, &commands, Streams::default(), &limits)?
        .checked(&commands)?;
    let mut manifest = Manifest::default();
    take_files(&scratch.join("upper"), &TreePath::root(), into, epoch, &mut manifest)?;
    write_scratch(&into.join("manifest"), manifest.to_text().as_bytes())?;
    Ok(References::None)
}

/// The packages' files as layers of a sandbox, topmost first.
pub(super) fn package_layers(
    engine: &Engine<'_>,
    inputs: &Inputs<'_>,
) -> Result<Vec<PathBuf>, StepError> {
    let layers = layers::read(engine, inputs.of(Role::Package))?;
    Ok(layers.iter().rev().map(|layer| engine.real(&layer.path, "data")).collect())
}

/// Moves the regular files below `from` to `into/data`; directories follow from their paths.
fn take_files(
    from: &Path,
    at: &TreePath,
    into: &Path,
    epoch: u64,
    manifest: &mut Manifest,
) -> Result<(), StepError> {
    let listed = std::fs::read_dir(from).map_err(FileError::at("list", from))?;
    for item in listed {
        let item = item.map_err(FileError::at("list", from))?;
        let name = TreePath::new(item.file_name().into_encoded_bytes());
        let path = at.join(&name.expect("a directory entry is a path"));
        let kind = item.file_type().map_err(FileError::at("look at", &item.path()))?;
        if kind.is_dir() {
            take_files(&item.path(), &path, into, epoch, manifest)?;
        } else if kind.is_file() {
            let target = into.join("data").join(path.to_path());
            let parent = target.parent().expect("it lies below data");
            std::fs::create_dir_all(parent).map_err(FileError::at("create", parent))?;
            std::fs::rename(item.path(), &target).map_err(FileError::at("move", &target))?;
            let size = std::fs::metadata(&target).map_err(FileError::at("look at", &target))?.len();
            manifest.entries.insert(path, file_entry(size, epoch));
        }
    }
    Ok(())
}

fn file_entry(size: u64, epoch: u64) -> Entry<FileBeside> {
    let node = Node::File(FileBeside { size });
    Entry { mode: 0o644, uid: 0, gid: 0, mtime: epoch, xattrs: BTreeMap::new(), node }
}
