//! Why requests cannot be fulfilled, as facts that read as sentences.
//!
//! The proof is found by propagation: what has one way left is taken, until something has no way left.
//! Where several ways remain, each is followed in turn, to a limit.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use thiserror::Error;

use super::catalog::Catalog;
use crate::debian::index::{IndexError, PackageId, VersionId};
use crate::debian::package::PackageName;
use crate::debian::relation::{Relation, display_alternatives};
use crate::debian::version::Version;

/// How many ways are followed before the explanation says no more.
const BRANCHES_MAX: usize = 60;
/// How many packages are explained; each is one line and the recursion is no deeper than that.
const LINKS_MAX: usize = 100;
/// How deep ways within ways are followed.
const BRANCH_DEPTH_MAX: usize = 3;

/// Requests that no set of packages fulfils.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("the requested packages cannot be installed together\n{failure}{}", lines(.chain))]
pub struct Unsatisfiable {
    /// What has no way left.
    pub failure: Failure,
    /// How the packages named there came to be needed, each back to a request.
    pub chain: Vec<Link>,
}

/// A package and a version.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Named {
    /// The package.
    pub name: PackageName,
    /// The version.
    pub version: Version,
}

/// Who asks for something.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Asked {
    /// The user.
    Request {
        /// As it was written.
        request: String,
    },
    /// The system: the package is essential.
    Essential {
        /// The package.
        name: String,
    },
    /// A package.
    Need {
        /// The package that asks.
        by: Named,
        /// The field it asks in.
        field: &'static str,
        /// What it asks for, as in the field.
        relation: String,
    },
}

/// Something that has no way left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What is asked for.
    pub asked: Asked,
    /// Each way, and what stands in it; empty when there never was one.
    pub ways: Vec<(Named, Obstacle)>,
    /// When there never was a way: versions that exist but do not fit.
    pub unfit: Vec<Named>,
}

/// What stands in a way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Obstacle {
    /// A package speaks against another, and one of them is needed.
    Against {
        /// The package that speaks.
        by: Named,
        /// The field it speaks in.
        field: &'static str,
        /// What it says.
        relation: String,
        /// The package it means.
        other: Named,
    },
    /// Another version of the package is needed.
    OtherVersion {
        /// That version.
        needed: Named,
    },
    /// Something that this way needs has no way left.
    Fails(Box<Failure>),
    /// Several ways were followed, and none led anywhere; there is no short reason.
    Entangled,
}

/// How a package came to be needed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// The package.
    pub package: Named,
    /// Who asked for it.
    pub asked: Asked,
    /// The other ways to fulfil that, and what stands in them.
    pub instead_of: Vec<(Named, Obstacle)>,
}

/// One item that must be fulfilled; of requests and of the essential packages.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    pub(super) asked: Asked,
    pub(super) versions: Vec<VersionId>,
}

/// Explains why `wanted` cannot be fulfilled with the versions for which `is_allowed` holds.
pub(super) fn explain(
    catalog: &Catalog<'_, '_>,
    wanted: &[Wanted],
    is_allowed: &dyn Fn(VersionId) -> bool,
) -> Result<Unsatisfiable, IndexError> {
    let mut proof = Proof { catalog, is_allowed, branches: 0, links: BTreeMap::new() };
    let open = wanted
        .iter()
        .map(|item| Open { asked: item.asked.clone(), relations: &[], ways: item.versions.clone() })
        .collect();
    let state = State { taken: BTreeMap::new(), excluded: BTreeMap::new(), open };
    let failure = proof.fail(state, 0)?.unwrap_or_else(|| Failure {
        asked: wanted[0].asked.clone(),
        ways: Vec::new(),
        unfit: Vec::new(),
    });
    Ok(Unsatisfiable { failure, chain: proof.links.into_values().collect() })
}

/// Something to fulfil, and the versions that would.
#[derive(Debug, Clone)]
struct Open<'p, 'a> {
    asked: Asked,
    relations: &'p [Relation<'a>],
    ways: Vec<VersionId>,
}

#[derive(Debug, Clone)]
struct State<'p, 'a> {
    /// What must be there, by package.
    taken: BTreeMap<PackageId, Taken>,
    /// What cannot be there: which package speaks against it.
    excluded: BTreeMap<VersionId, (VersionId, &'static str, Relation<'a>)>,
    open: Vec<Open<'p, 'a>>,
}

/// A version that must be there, who asked first, and why nothing else would do.
#[derive(Debug, Clone)]
struct Taken {
    version: VersionId,
    asked: Asked,
    instead_of: Vec<(Named, Obstacle)>,
}

struct Proof<'p, 'i, 'a> {
    catalog: &'p Catalog<'i, 'a>,
    is_allowed: &'p dyn Fn(VersionId) -> bool,
    branches: usize,
    links: BTreeMap<Named, Link>,
}

impl<'p, 'a> Proof<'p, '_, 'a> {
    /// The failure that `state` leads to; `None` when the limits are reached first.
    fn fail(
        &mut self,
        mut state: State<'p, 'a>,
        depth: usize,
    ) -> Result<Option<Failure>, IndexError> {
        loop {
            let mut narrowest: Option<(usize, Vec<VersionId>)> = None;
            let mut moved = false;
            let mut position = 0;
            while position < state.open.len() {
                let left = self.ways_left(&state, position)?;
                match left {
                    None => {
                        state.open.swap_remove(position);
                        continue;
                    }
                    Some(ways) if ways.is_empty() => {
                        return self.failure(&state, position).map(Some);
                    }
                    Some(ways) if ways.len() == 1 => {
                        self.take(&mut state, ways[0], position)?;
                        moved = true;
                    }
                    Some(ways) => {
                        if narrowest.as_ref().is_none_or(|(_, best)| ways.len() < best.len()) {
                            narrowest = Some((position, ways));
                        }
                    }
                }
                position += 1;
            }
            if moved {
                continue;
            }
            return match narrowest {
                Some((position, ways)) => self.branch(&state, position, &ways, depth),
                None => Ok(None),
            };
        }
    }

    /// The ways in which an item can still be fulfilled; `None` when it is.
    fn ways_left(
        &self,
        state: &State<'p, 'a>,
        position: usize,
    ) -> Result<Option<Vec<VersionId>>, IndexError> {
        let ways = &state.open[position].ways;
        let is_taken = |version: &VersionId| {
            let package = self.catalog.index.package_of(*version);
            state.taken.get(&package).is_some_and(|taken| taken.version == *version)
        };
        if ways.iter().any(is_taken) {
            return Ok(None);
        }
        let mut left = Vec::new();
        for &version in ways {
            if self.obstacle(state, version)?.is_none() {
                left.push(version);
            }
        }
        Ok(Some(left))
    }

    fn obstacle(
        &self,
        state: &State<'p, 'a>,
        version: VersionId,
    ) -> Result<Option<Obstacle>, IndexError> {
        let index = self.catalog.index;
        let package = index.package_of(version);
        if let Some(taken) = state.taken.get(&package).filter(|taken| taken.version != version) {
            return Ok(Some(Obstacle::OtherVersion { needed: self.named(taken.version) }));
        }
        let against = |by, field, relation: &Relation<'_>, other| Obstacle::Against {
            by: self.named(by),
            field,
            relation: relation.to_string(),
            other: self.named(other),
        };
        if let Some((by, field, relation)) = state.excluded.get(&version) {
            return Ok(Some(against(*by, field, relation, version)));
        }
        for one in &self.catalog.details(version)?.against {
            let mut others = self.catalog.spoken_against(package, &one.relation);
            let taken = |other: &VersionId| {
                let taken = state.taken.get(&index.package_of(*other));
                taken.is_some_and(|taken| taken.version == *other)
            };
            if let Some(other) = others.find(taken) {
                return Ok(Some(against(version, one.field, &one.relation, other)));
            }
        }
        Ok(None)
    }

    /// Takes one of the ways of the item at `position`.
    fn take(
        &self,
        state: &mut State<'p, 'a>,
        version: VersionId,
        position: usize,
    ) -> Result<(), IndexError> {
        let index = self.catalog.index;
        let package = index.package_of(version);
        if state.taken.contains_key(&package) {
            return Ok(());
        }
        let Open { asked, ways, .. } = state.open[position].clone();
        let mut instead_of = Vec::new();
        for other in ways.into_iter().filter(|&other| index.package_of(other) != package) {
            let obstacle = self.obstacle(state, other)?;
            instead_of.extend(obstacle.map(|obstacle| (self.named(other), obstacle)));
        }
        state.taken.insert(package, Taken { version, asked, instead_of });
        let details = self.catalog.details(version)?;
        for against in &details.against {
            for other in self.catalog.spoken_against(package, &against.relation) {
                let entry = state.excluded.entry(other);
                entry.or_insert((version, against.field, against.relation));
            }
        }
        for need in &details.needs {
            let asked = Asked::Need {
                by: self.named(version),
                field: need.field,
                relation: display_alternatives(&need.alternatives),
            };
            let ways = need.alternatives.iter().flat_map(|relation| index.covered(relation));
            let ways: BTreeSet<_> = ways.filter(|&version| (self.is_allowed)(version)).collect();
            let ways = ways.into_iter().collect();
            state.open.push(Open { asked, relations: &need.alternatives, ways });
        }
        Ok(())
    }

    fn branch(
        &mut self,
        state: &State<'p, 'a>,
        position: usize,
        ways: &[VersionId],
        depth: usize,
    ) -> Result<Option<Failure>, IndexError> {
        let asked = state.open[position].asked.clone();
        let mut failure = Failure { asked: asked.clone(), ways: Vec::new(), unfit: Vec::new() };
        for &version in &state.open[position].ways {
            let obstacle = if !ways.contains(&version) {
                self.obstacle(state, version)?.unwrap_or(Obstacle::Entangled)
            } else if depth >= BRANCH_DEPTH_MAX || self.branches >= BRANCHES_MAX {
                Obstacle::Entangled
            } else {
                self.branches += 1;
                let mut inner = state.clone();
                self.take(&mut inner, version, position)?;
                let inner = self.fail(inner, depth + 1)?;
                inner.map_or(Obstacle::Entangled, |inner| Obstacle::Fails(Box::new(inner)))
            };
            self.link_obstacle(state, &obstacle);
            failure.ways.push((self.named(version), obstacle));
        }
        self.link_asker(state, &asked);
        Ok(Some(failure))
    }

    fn failure(&mut self, state: &State<'p, 'a>, position: usize) -> Result<Failure, IndexError> {
        let open = &state.open[position];
        let mut failure =
            Failure { asked: open.asked.clone(), ways: Vec::new(), unfit: Vec::new() };
        for &version in &open.ways {
            let obstacle = self.obstacle(state, version)?.unwrap_or(Obstacle::Entangled);
            self.link_obstacle(state, &obstacle);
            failure.ways.push((self.named(version), obstacle));
        }
        if open.ways.is_empty() {
            let index = self.catalog.index;
            let packages = open.relations.iter().filter_map(|r| index.package(r.name));
            let unfit = packages.flat_map(|package| index.versions(package));
            failure.unfit = unfit.map(|version| self.named(version)).collect();
        }
        self.link_asker(state, &open.asked);
        Ok(failure)
    }

    fn link_obstacle(&mut self, state: &State<'p, 'a>, obstacle: &Obstacle) {
        match obstacle {
            Obstacle::Against { by, other, .. } => {
                self.link(state, by);
                self.link(state, other);
            }
            Obstacle::OtherVersion { needed } => self.link(state, needed),
            Obstacle::Fails(_) | Obstacle::Entangled => {}
        }
    }

    fn link_asker(&mut self, state: &State<'p, 'a>, asked: &Asked) {
        if let Asked::Need { by, .. } = asked {
            self.link(state, by);
        }
    }

    /// Adds how `package` came to be needed, back to requests.
    fn link(&mut self, state: &State<'p, 'a>, package: &Named) {
        let index = self.catalog.index;
        let id = index.package(package.name.as_str());
        let Some(taken) = id.and_then(|id| state.taken.get(&id)) else { return };
        if self.links.contains_key(package) || self.links.len() >= LINKS_MAX {
            return;
        }
        let (asked, instead_of) = (taken.asked.clone(), taken.instead_of.clone());
        let link = Link { package: package.clone(), asked, instead_of };
        self.links.insert(package.clone(), link);
        self.link_asker(state, &taken.asked);
        for (_, obstacle) in &taken.instead_of {
            self.link_obstacle(state, obstacle);
        }
    }

    fn named(&self, version: VersionId) -> Named {
        let index = self.catalog.index;
        Named {
            name: index.name(index.package_of(version)).parse().expect("checked on reading"),
            version: index.version(version).parse().expect("checked on reading"),
        }
    }
}

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, self.version)
    }
}

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Request { request } => write!(f, "`{request}` is requested"),
            Self::Essential { name } => write!(f, "`{name}` is essential"),
            Self::Need { by, field, relation } => {
                write!(f, "{by} needs `{relation}` ({field})")
            }
        }
    }
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is there because {}", self.package, self.asked)?;
        for (named, obstacle) in &self.instead_of {
            write!(f, "; not {named}: {obstacle}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Against { by, field, relation, other } => {
                let verb = if *field == "Breaks" { "breaks" } else { "conflicts with" };
                write!(f, "{by} {verb} `{relation}`, which covers {other}")
            }
            Self::OtherVersion { needed } => write!(f, "{needed} is needed instead"),
            Self::Fails(failure) => write!(f, "{}", failure.asked),
            Self::Entangled => f.write_str("no combination of what it needs works"),
        }
    }
}

impl Failure {
    fn write(&self, f: &mut fmt::Formatter<'_>, indent: usize) -> fmt::Result {
        if self.ways.is_empty() {
            let unfit: Vec<String> = self.unfit.iter().map(Named::to_string).collect();
            return if unfit.is_empty() {
                write!(f, "{:indent$}no package has or provides that name", "")
            } else {
                write!(f, "{:indent$}there is only {}", "", unfit.join(", "))
            };
        }
        for (position, (named, obstacle)) in self.ways.iter().enumerate() {
            let newline = if position == 0 { "" } else { "\n" };
            write!(f, "{newline}{:indent$}not {named}: {obstacle}", "")?;
            if let Obstacle::Fails(inner) = obstacle {
                f.write_str("\n")?;
                inner.write(f, indent + 2)?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "  {}", self.asked)?;
        self.write(f, 4)
    }
}

fn lines(chain: &[Link]) -> String {
    chain.iter().fold(String::new(), |text, link| text + "\n  " + &link.to_string())
}
