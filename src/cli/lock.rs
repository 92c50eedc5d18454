//! `lock`: pin every package and id of a host.

use std::collections::BTreeSet;

use super::arguments::Lock as Arguments;
use super::exit;
use super::hosts;
use super::report::Failure;
use super::session::{Session, explain_workspace};
use super::workspace::Workspace;
use crate::debian::lock::Lock;
use crate::debian::package::PackageName;
use crate::debian::resolve::Update;
use crate::eval::System;
use crate::exec::fetch::FetchOptions;
use crate::exec::files::write_atomic;
use crate::exec::locking::{Locking, lock_host};
use crate::exec::sources::sources;
use crate::exec::store::Store;

pub(super) fn run(session: &Session<'_>, arguments: &Arguments) -> Result<(), Failure> {
    let workspace = session.workspace()?;
    let names = workspace
        .select(&arguments.hosts)
        .map_err(|error| explain_workspace(error, Some(&workspace)))?;
    let asked = arguments.update.as_deref();
    let listed = named_packages(asked.unwrap_or_default())?;
    let update = match asked {
        None => Update::Nothing,
        Some([]) => Update::All,
        Some(_) => Update::Only(&listed),
    };
    let store = session.store()?;
    let mut locked = Vec::new();
    for name in &names {
        let system = hosts::system(session, &workspace, name)?;
        let old = hosts::lock_if_present(&workspace, name)?;
        let lock =
            make(session, &workspace, &store, &system, old.as_ref(), (update, arguments.offline))?;
        let path = workspace.lock_path(name);
        let text = lock.to_text();
        let changed = old.is_none_or(|old| old.to_text() != text);
        if changed {
            write_atomic(&path, text.as_bytes()).map_err(Failure::build)?;
        }
        let state = if changed { "written" } else { "unchanged" };
        let packages = lock.packages.len();
        session.ui.say(&format!("{}: {state}, {packages} packages", workspace.shown(&path)));
        locked.push((name, path, changed, packages));
    }
    if session.json {
        let object =
            |(name, path, changed, packages): &(&String, std::path::PathBuf, bool, usize)| {
                serde_json::json!({
                    "host": name, "lock": path, "changed": changed, "packages": packages,
                })
            };
        let hosts: Vec<serde_json::Value> = locked.iter().map(object).collect();
        session.ui.json(&serde_json::json!({ "hosts": hosts }));
    } else {
        for (_, path, ..) in &locked {
            session.ui.result(&path.display().to_string());
        }
    }
    Ok(())
}

/// Makes a lock for `system`; nothing is written.
pub(super) fn make(
    session: &Session<'_>,
    workspace: &Workspace,
    store: &Store,
    system: &System,
    old: Option<&Lock>,
    (update, offline): (Update<'_>, bool),
) -> Result<Lock, Failure> {
    let options = FetchOptions { offline, ..FetchOptions::default() };
    let fetcher = session.fetcher(options)?;
    let sources = sources(system, &session.environment, &workspace.root).map_err(Failure::files)?;
    let locking = Locking {
        fetcher: &fetcher,
        store,
        environment: &session.environment,
        progress: session.ui,
        interrupt: &session.interrupt,
        sources: &sources,
    };
    lock_host(&locking, system, old, update).map_err(Failure::build)
}

fn named_packages(names: &[String]) -> Result<BTreeSet<PackageName>, Failure> {
    let parse = |name: &String| name.parse::<PackageName>();
    names
        .iter()
        .map(parse)
        .collect::<Result<_, _>>()
        .map_err(|e| Failure::with_code(exit::USAGE, e))
}
