//! `build`: make a host's system, or a disk image of it.

use std::path::PathBuf;

use super::arguments::Build;
use super::image::{self, Wanted};
use super::report::Failure;
use super::session::Session;
use super::with_engine::with_engine;
use super::workspace::Workspace;
use super::{hosts, identity_image};
use crate::debian::lock::Lock;
use crate::eval::System;
use crate::exec::disk::PrivateImage;
use crate::exec::init_program::{NEXUS_AGENT, NEXUS_INIT};
use crate::exec::store::Store;
use crate::lower::graph::{HostPrograms, host_graph, image_graph};
use crate::secrets::install::keep_out_of_dumps;
use crate::store::{Sha256Digest, StorePath};

/// A host whose system is in the store.
pub(super) struct Built {
    pub(super) system: System,
    pub(super) lock: Lock,
    pub(super) path: StorePath,
}

pub(super) fn run(session: &Session<'_>, arguments: &Build) -> Result<(), Failure> {
    let workspace = session.workspace()?;
    let store = session.store()?;
    if let Some(out) = &arguments.out {
        identity_image::check_target(session, &store, arguments, out)?;
    }
    let mut results = Vec::new();
    for name in &arguments.hosts {
        let how = How { offline: arguments.offline, for_image: arguments.image.is_some() };
        let built = build(session, &workspace, &store, name, how)?;
        let image = make_image(session, &workspace, &store, &built, arguments)?;
        let path = store.directory().join(&built.path);
        let shown = image.as_ref().map_or(path.clone(), |image| image.display().to_string());
        if !session.json {
            session.ui.result(&shown);
        }
        results.push(serde_json::json!({
            "host": name,
            "system": path,
            "real_path": store.real_path(&built.path),
            "image": image,
            "packages": built.lock.packages.len(),
        }));
    }
    if session.json {
        session.ui.json(&serde_json::json!({ "hosts": results }));
    }
    Ok(())
}

/// The image that is asked for; `None` when none is.
fn make_image(
    session: &Session<'_>,
    workspace: &Workspace,
    store: &Store,
    built: &Built,
    arguments: &Build,
) -> Result<Option<PathBuf>, Failure> {
    let Some(format) = arguments.image else { return Ok(None) };
    let wanted = Wanted { format, offline: arguments.offline, private: None };
    let (Some(told), Some(out)) = (&arguments.identity, &arguments.out) else {
        return image::make(session, workspace, store, built, wanted).map(Some);
    };
    // Nothing that needs a sandbox is left to do, and a process that cannot be looked into gets none.
    keep_out_of_dumps();
    let identity =
        identity_image::read(session, workspace, &built.system, told.last().map(PathBuf::as_path))?;
    let target = session.environment.working_directory.join(out);
    let private = PrivateImage { target: &target, identity: &identity };
    let wanted = Wanted { private: Some(private), ..wanted };
    let image = image::make(session, workspace, store, built, wanted)?;
    session.ui.say(&format!(
        "{} holds the identity of {}: give it to that machine only, and remove it then",
        image.display(),
        built.system.name
    ));
    Ok(Some(image))
}

/// How a host is built.
#[derive(Clone, Copy)]
pub(super) struct How {
    /// Without the network.
    pub(super) offline: bool,
    /// What makes images is made too, at the same time.
    pub(super) for_image: bool,
}

/// Makes the system of the host `name`.
pub(super) fn build(
    session: &Session<'_>,
    workspace: &Workspace,
    store: &Store,
    name: &str,
    how: How,
) -> Result<Built, Failure> {
    let system = hosts::system_with_secrets(session, workspace, name)?;
    build_system(session, workspace, store, system, how)
}

/// Makes `system`, whatever secrets it has.
pub(super) fn build_system(
    session: &Session<'_>,
    workspace: &Workspace,
    store: &Store,
    system: System,
    How { offline, for_image }: How,
) -> Result<Built, Failure> {
    let lock = hosts::lock_or_make(session, workspace, store, &system, offline)?;
    let init = Sha256Digest::of(NEXUS_INIT);
    let programs = HostPrograms { init, agent: Sha256Digest::of(NEXUS_AGENT) };
    let mut graph = host_graph(&system, &lock, programs).map_err(Failure::build)?;
    if for_image {
        graph.graph.append(image_graph(&lock).map_err(Failure::build)?.graph);
    }
    let outputs = with_engine(session, workspace, store, (&system, &lock, offline), |engine| {
        engine.realise(&graph.graph).map_err(Failure::build)
    })?;
    let path = outputs[graph.system.index()].clone();
    store.add_root(&root_name(system.name.as_str()), &path).map_err(Failure::build)?;
    Ok(Built { system, lock, path })
}

/// The root that keeps the last build of a host.
pub(super) fn root_name(host: &str) -> String {
    format!("host-{host}")
}
