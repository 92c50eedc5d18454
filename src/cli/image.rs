//! Disk images for `build --image` and `test`.

use std::path::{Path, PathBuf};

use super::arguments::ImageFormat;
use super::build::Built;
use super::report::Failure;
use super::session::{Session, explain_workspace};
use super::with_engine::with_engine;
use super::workspace::Workspace;
use crate::exec::disk::{DiskImageError, DiskRequest, Form, PrivateImage, disk_image, disk_layout};
use crate::exec::rehearsal::{Rehearsal, rehearsal};
use crate::exec::store::Store;
use crate::image::plan::DiskPlan;
use crate::image::segment::Layout;

/// The plan of every host that has none of its own, and what it says when the workspace has none.
const DEFAULT_PLAN: &str = include_str!("../../images/default.toml");

/// How an image is made.
#[derive(Clone, Copy)]
pub(super) struct Wanted<'a> {
    /// Its form.
    pub(super) format: ImageFormat,
    /// Without the network.
    pub(super) offline: bool,
    /// With the host's identity.
    pub(super) private: Option<PrivateImage<'a>>,
}

/// Makes a disk image of a host that was built.
pub(super) fn make(
    session: &Session<'_>,
    workspace: &Workspace,
    store: &Store,
    built: &Built,
    Wanted { format, offline, private }: Wanted<'_>,
) -> Result<PathBuf, Failure> {
    let host = built.system.name.as_str();
    let plan = plan(workspace, host)?;
    let form = match format {
        ImageFormat::Raw => Form::Raw,
        ImageFormat::Qcow2 => Form::Qcow2,
    };
    let (system, lock) = (&built.path, &built.lock);
    let request = DiskRequest { host, system, lock, plan: &plan, form, private };
    with_engine(session, workspace, store, (&built.system, lock, offline), |engine| {
        disk_image(engine, &request).map_err(explain)
    })
}

/// What a machine is taken over with.
pub(super) struct Parts {
    /// The initrd that is the whole host.
    pub(super) rehearsal: Rehearsal,
    /// Its disk.
    pub(super) layout: Layout,
}

/// Makes what a machine is taken over with; `offline` forbids the network.
pub(super) fn make_parts(
    session: &Session<'_>,
    workspace: &Workspace,
    store: &Store,
    built: &Built,
    offline: bool,
) -> Result<Parts, Failure> {
    let host = built.system.name.as_str();
    let plan = plan(workspace, host)?;
    let (system, lock) = (&built.path, &built.lock);
    let request = DiskRequest { host, system, lock, plan: &plan, form: Form::Raw, private: None };
    with_engine(session, workspace, store, (&built.system, lock, offline), |engine| {
        let layout = disk_layout(engine, &request).map_err(explain)?;
        Ok(Parts { rehearsal: rehearsal(engine, host, system, lock).map_err(explain)?, layout })
    })
}

/// The plan of `images/HOST.toml`, else of `images/default.toml`, else the built-in one.
fn plan(workspace: &Workspace, host: &str) -> Result<DiskPlan, Failure> {
    for name in [host, "default"] {
        let path = Path::new("images").join(format!("{name}.toml"));
        let text = workspace
            .text_if_present(&path)
            .map_err(|error| explain_workspace(error, Some(workspace)))?;
        if let Some(text) = text {
            return DiskPlan::parse(&text).map_err(|error| {
                Failure::files(error).help(format!("look at {}", path.display()))
            });
        }
    }
    Ok(DiskPlan::parse(DEFAULT_PLAN).expect("a test reads the built-in plan"))
}

fn explain(error: DiskImageError) -> Failure {
    let no_kernel = matches!(error, DiskImageError::NoKernel { .. });
    let failure = if no_kernel { Failure::files(error) } else { Failure::build(error) };
    if no_kernel {
        failure.help("write `kernel = \"cloud\"` (or \"generic\") below [host]")
    } else {
        failure
    }
}
