//! Locking: archive indexes → packages and tools → ids of the accounts that their scripts make.

use std::collections::{BTreeMap, BTreeSet};

use thiserror::Error;

use super::debs::LockedDebs;
use super::engine::{Engine, EngineError};
use super::environment::Environment;
use super::fetch::{ArchiveError, Fetcher, VerifiedRelease};
use super::interrupt::Interrupt;
use super::progress::Progress;
use super::store::Store;
use crate::debian::accounts::Accounts as FoundAccounts;
use crate::debian::index::{IndexError, PackageIndex};
use crate::debian::lock::{
    AccountName, Accounts, IdWish, Ids, IdsError, Lock, LockedSource, LockedTool, SetName, Suite,
    Timestamp, ToolRequests, Wish, allocate_ids,
};
use crate::debian::package::{Architecture, FormError, SourceName};
use crate::debian::record::PackageRecord;
use crate::debian::resolve::{Base, Request, Requests, ResolveError, Update, resolve};
use crate::debian::source::Source;
use crate::eval::System;
use crate::lower::graph::{epoch_of, packages_graph};
use crate::lower::tools::tool_requests;
use crate::store::path::StorePathError;

/// What locking needs.
#[derive(Clone, Copy)]
#[expect(missing_debug_implementations, reason = "a fetcher has nothing to show")]
pub struct Locking<'a> {
    /// To read the archives and get packages.
    pub fetcher: &'a Fetcher<'a>,
    /// Where packages are unpacked and configured.
    pub store: &'a Store,
    /// The time now, and this program.
    pub environment: &'a Environment,
    /// Who is told.
    pub progress: &'a dyn Progress,
    /// Whether to stop.
    pub interrupt: &'a Interrupt,
    /// The archives, in order of preference.
    pub sources: &'a [Source],
}

/// Why a host could not be locked.
#[derive(Debug, Error)]
pub enum LockingError {
    /// An archive could not be read or believed.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// An index is malformed.
    #[error("a package index cannot be read")]
    Index(#[from] IndexError),
    /// The packages cannot be had together.
    #[error("the packages of `{host}` cannot be had together")]
    Resolve {
        /// The host.
        host: String,
        /// Why.
        #[source]
        source: ResolveError,
    },
    /// The packages that make images and run tests cannot be had.
    #[error("the tools for `{set}` cannot be had")]
    Tools {
        /// What they are for.
        set: String,
        /// Why.
        #[source]
        source: ResolveError,
    },
    /// Packages could not be fetched, unpacked or configured.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The accounts that packages made cannot be read.
    #[error("the accounts that packages made cannot be read")]
    Accounts(#[from] Box<super::engine::StepError>),
    /// The store did not take something.
    #[error(transparent)]
    Store(#[from] super::store::StoreError),
    /// An id cannot be given.
    #[error(transparent)]
    Ids(#[from] IdsError),
    /// A name that cannot stand in a lock.
    #[error(transparent)]
    Name(#[from] FormError),
    /// A package that cannot be named in the store.
    #[error(transparent)]
    StorePath(#[from] StorePathError),
}

/// Locks `system`; what `old` has stays where it can, except what `update` names.
///
/// # Errors
///
/// Nothing is written; `old` is still good.
pub fn lock_host(
    locking: &Locking<'_>,
    system: &System,
    old: Option<&Lock>,
    update: Update<'_>,
) -> Result<Lock, LockingError> {
    let empty = Lock::default();
    let old = old.unwrap_or(&empty);
    let mut lock = solve(locking, system, old, update)?;
    let unchanged = lock.packages == old.packages && lock.tools == old.tools;
    if unchanged && !old.sources.is_empty() {
        lock.sources.clone_from(&old.sources);
    }
    lock.ids = find_ids(locking, system, &lock, &old.ids)?;
    Ok(lock)
}

/// Locks the tools `requests` alone, for no host; what `old` has stays where it can.
///
/// # Errors
///
/// Nothing is written; `old` is still good.
pub fn lock_tools(
    locking: &Locking<'_>,
    requests: ToolRequests,
    old: &Lock,
    update: Update<'_>,
) -> Result<Lock, LockingError> {
    let archives = read_archives(locking, "amd64")?;
    let index = archives.index()?;
    let tools = solve_tools(&index, &requests, old, update)?;
    Ok(Lock { tool_requests: requests, sources: archives.sources, tools, ..Lock::default() })
}

/// Packages, tools and sources; no ids yet.
fn solve(
    locking: &Locking<'_>,
    system: &System,
    old: &Lock,
    update: Update<'_>,
) -> Result<Lock, LockingError> {
    let archives = read_archives(locking, &system.architecture)?;
    let index = archives.index()?;
    let requests = requests_of(system)?;
    let question =
        Requests { packages: &requests, base: Base::Essential, locked: &old.packages, update };
    let failed = |source| LockingError::Resolve { host: system.name.to_string(), source };
    let packages = resolve(&index, &question).map_err(failed)?.packages;
    let tool_requests = tool_requests();
    let tools = solve_tools(&index, &tool_requests, old, update)?;
    let sources = archives.sources;
    Ok(Lock { requests, tool_requests, sources, packages, tools, ids: Ids::default() })
}

/// What the archives have now.
struct Archives {
    texts: Vec<(SourceName, Vec<u8>)>,
    sources: Vec<LockedSource>,
}

impl Archives {
    fn index(&self) -> Result<PackageIndex<'_>, IndexError> {
        let borrowed: Vec<(SourceName, &[u8])> =
            self.texts.iter().map(|(name, text)| (name.clone(), &text[..])).collect();
        PackageIndex::parse(&borrowed, Architecture::Amd64)
    }
}

fn read_archives(locking: &Locking<'_>, architecture: &str) -> Result<Archives, LockingError> {
    let releases = locking.fetcher.releases(locking.sources, locking.environment.now_seconds)?;
    let mut texts: Vec<(SourceName, Vec<u8>)> = Vec::new();
    for index in locking.fetcher.indexes(&releases, architecture)? {
        texts.push((index.source.parse()?, index.text));
    }
    let locked =
        |verified: &VerifiedRelease| locked_source(&verified.source, verified.release.date_seconds);
    let sources = releases.iter().map(locked).collect::<Result<_, _>>()?;
    Ok(Archives { texts, sources })
}

/// What a host asks for, as requests to the resolver.
pub fn requests_of(system: &System) -> Result<BTreeSet<Request>, FormError> {
    let request = |name: crate::spec::PackageName| {
        let name = name.as_str().parse()?;
        Ok(Request { name, version: None })
    };
    system.requests().into_iter().map(request).collect()
}

fn solve_tools(
    index: &PackageIndex<'_>,
    requests: &ToolRequests,
    old: &Lock,
    update: Update<'_>,
) -> Result<Vec<LockedTool>, LockingError> {
    let mut sets_of: BTreeMap<PackageRecord, BTreeSet<SetName>> = BTreeMap::new();
    let locked: Vec<PackageRecord> = old.tools.iter().map(|tool| tool.package.clone()).collect();
    for (set, requests) in requests {
        let question =
            Requests { packages: requests, base: Base::Nothing, locked: &locked, update };
        let failed = |source| LockingError::Tools { set: set.to_string(), source };
        for package in resolve(index, &question).map_err(failed)?.packages {
            sets_of.entry(package).or_default().insert(set.clone());
        }
    }
    Ok(sets_of.into_iter().map(|(package, sets)| LockedTool { package, sets }).collect())
}

fn locked_source(source: &Source, date_seconds: u64) -> Result<LockedSource, LockingError> {
    let unlikely = || FormError { text: date_seconds.to_string(), expected: "a date" };
    let date = Timestamp::from_seconds(date_seconds).ok_or_else(unlikely)?;
    let components = source.suite.components().iter().map(|name| name.parse::<Suite>());
    Ok(LockedSource {
        name: source.name.parse::<SourceName>()?,
        suite: source.suite.text().trim_end_matches('/').parse()?,
        components: components.collect::<Result<_, _>>()?,
        date,
        snapshot: source.snapshot_archive.is_some().then_some(date),
    })
}

/// Runs the maintainer scripts to see which accounts they make, and gives every account its id.
///
/// The ids that the scripts' result has are the ids of the lock, so the result is remembered for the
/// build as well.
fn find_ids(
    locking: &Locking<'_>,
    system: &System,
    lock: &Lock,
    old: &Ids,
) -> Result<Ids, LockingError> {
    let debs = LockedDebs::new(locking.fetcher, lock, locking.sources);
    let engine = Engine {
        store: locking.store,
        environment: locking.environment,
        debs: &debs,
        progress: locking.progress,
        interrupt: locking.interrupt,
    };
    let epoch = epoch_of(lock);
    let first = packages_graph(&lock.packages, old, epoch)?;
    let outputs = engine.realise(&first.graph)?;
    let delta = &outputs[first.delta.index()];
    let found = engine.package_accounts(delta).map_err(Box::new)?;
    let ids = allocate_ids(old, &wishes(&found, system)?)?;
    if has_same_numbers(&found, &ids) {
        let second = packages_graph(&lock.packages, &ids, epoch)?;
        engine.remember(&second.graph, second.delta, &outputs, delta)?;
    }
    Ok(ids)
}

/// Whether the accounts found have the numbers of `ids`, so that nothing need be renumbered.
fn has_same_numbers(found: &FoundAccounts, ids: &Ids) -> bool {
    let users = found.users.iter().all(|(name, user)| ids.users.get(name) == Some(&user.uid));
    let groups = found.groups.iter().all(|(name, group)| ids.groups.get(name) == Some(&group.gid));
    users && groups
}

fn wishes(found: &FoundAccounts, system: &System) -> Result<Vec<IdWish>, FormError> {
    let mut wishes = Vec::new();
    let mut add = |name: AccountName, accounts, wish| {
        wishes.push(IdWish { name, accounts, wish });
    };
    for (name, user) in &found.users {
        add(name.clone(), Accounts::User, Wish::Prefer(user.uid));
    }
    for (name, group) in &found.groups {
        add(name.clone(), Accounts::Group, Wish::Prefer(group.gid));
    }
    let wish = |id: Option<u32>, system: bool| match (id, system) {
        (Some(id), _) => Wish::Exactly(id),
        (None, true) => Wish::System,
        (None, false) => Wish::Person,
    };
    for (name, group) in &system.groups {
        if !found.groups.contains_key(name.as_str()) {
            let wish = wish(group.value.gid, group.value.system);
            add(name.as_str().parse()?, Accounts::Group, wish);
        }
    }
    for (name, user) in &system.users {
        if found.users.contains_key(name.as_str()) {
            continue;
        }
        let own_group = user.value.group.is_none() && !found.groups.contains_key(name.as_str());
        let accounts = if own_group { Accounts::Both } else { Accounts::User };
        add(name.as_str().parse()?, accounts, wish(user.value.uid, user.value.system));
    }
    Ok(wishes)
}
