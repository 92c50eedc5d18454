//! The engine of one host: its archives, its lock's packages, the store.

use super::report::Failure;
use super::session::Session;
use super::workspace::Workspace;
use crate::debian::lock::Lock;
use crate::eval::System;
use crate::exec::debs::LockedDebs;
use crate::exec::engine::Engine;
use crate::exec::fetch::FetchOptions;
use crate::exec::sources::sources;
use crate::exec::store::Store;

/// Lets `work` make things of what a host's lock pins; `offline` forbids the network.
pub(super) fn with_engine<T>(
    session: &Session<'_>,
    workspace: &Workspace,
    store: &Store,
    (system, lock, offline): (&System, &Lock, bool),
    work: impl FnOnce(&Engine<'_>) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let sources = sources(system, &session.environment, &workspace.root).map_err(Failure::files)?;
    let fetcher = session.fetcher(FetchOptions { offline, ..FetchOptions::default() })?;
    let debs = LockedDebs::new(&fetcher, lock, &sources);
    work(&Engine {
        store,
        environment: &session.environment,
        debs: &debs,
        progress: session.ui,
        interrupt: &session.interrupt,
    })
}
