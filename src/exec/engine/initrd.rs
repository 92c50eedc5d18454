//! Step: `nexus-init` and kernel modules → the first file system of a boot.

use std::path::Path;

use super::{Engine, Inputs, StepError};
use crate::exec::files::{FileError, read_limited, write_scratch};
use crate::exec::init_program::NEXUS_INIT;
use crate::exec::store::References;
use crate::image::cpio::{CpioEntry, cpio};
use crate::lower::modules::{WANTED, load_order};
use crate::lower::recipe::Role;
use crate::store::StorePath;

/// Where packages and helpers have modules.
pub(super) const MODULES: &str = "data/usr/lib/modules";
/// Most bytes of `modules.dep` and of one module.
const MODULE_BYTES_MAX: u64 = 64 << 20;
/// Small beats fast: it is made once and read at each boot.
const ZSTD_LEVEL: i32 = 19;

/// Makes a single file.
pub(super) fn run(
    engine: &Engine<'_>,
    inputs: &Inputs<'_>,
    into: &Path,
) -> Result<References, StepError> {
    let kernel = inputs.one(Role::Package);
    let helper = inputs.one(Role::Helper);
    let version = kernel_version(engine, kernel)?;
    let dep = engine.real(helper, MODULES).join(&version).join("modules.dep");
    let dep = String::from_utf8_lossy(&read_limited(&dep, MODULE_BYTES_MAX)?).into_owned();
    let mut entries =
        vec![CpioEntry::file("init", 0o755, NEXUS_INIT.to_vec()), CpioEntry::directory("modules")];
    let modules = engine.real(kernel, MODULES).join(&version);
    for (number, path) in load_order(&dep, &WANTED)?.iter().enumerate() {
        let contents = read_limited(&modules.join(path), MODULE_BYTES_MAX)?;
        let file = path.rsplit('/').next().unwrap_or(path);
        entries.push(CpioEntry::file(&format!("modules/{number:03}-{file}"), 0o644, contents));
    }
    let archive = zstd::bulk::compress(&cpio(&entries), ZSTD_LEVEL)
        .map_err(FileError::at("compress", into))?;
    write_scratch(into, &archive)?;
    Ok(References::None)
}

/// The only directory below `usr/lib/modules` of a kernel package.
pub(super) fn kernel_version(engine: &Engine<'_>, kernel: &StorePath) -> Result<String, StepError> {
    let directory = engine.real(kernel, MODULES);
    let listed = std::fs::read_dir(&directory).map_err(FileError::at("list", &directory))?;
    let mut names: Vec<String> =
        listed.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    let missing = || StepError::Missing { what: "a kernel version".into(), path: kernel.clone() };
    names.into_iter().next().ok_or_else(missing)
}
