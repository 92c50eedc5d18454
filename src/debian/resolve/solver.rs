//! The SAT solver's view of the index, for requests where apt's way ends in a contradiction.
//!
//! Each version is a solvable; each package a name, of which one version can be installed. A need is a
//! union of one-version sets in the order of preference, so the order is entirely ours; what a version
//! is against is a constraint on each package it speaks about. Packages are looked at when the solver
//! comes to them.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;

use resolvo::{
    Candidates, Condition, ConditionId, Dependencies, DependencyProvider, Interner,
    KnownDependencies, NameId, Problem, Requirement, SolvableId, Solver, SolverCache, StringId,
    UnsolvableOrCancelled, VersionSetId, VersionSetUnionId,
};

use super::catalog::Catalog;
use crate::debian::index::{IndexError, PackageId, VersionId};
use crate::debian::relation::Relation;

/// Which versions the solver may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    /// Of each package the best, and the one to try first.
    Best,
    /// Each version there is.
    All,
}

/// What the solver found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    /// These versions.
    Found(Vec<VersionId>),
    /// There is nothing to find.
    None,
    /// It did not come to an end in the rounds it was given.
    GaveUp,
}

/// Versions of one package.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct VersionSet {
    package: PackageId,
    versions: Vec<VersionId>,
}

#[derive(Debug)]
struct Provider<'c, 'i, 'a> {
    catalog: &'c Catalog<'i, 'a>,
    scope: Scope,
    /// The versions the walk chose, by package.
    wished: Vec<Option<VersionId>>,
    interned: RefCell<Interned>,
    failure: RefCell<Option<IndexError>>,
    /// Rounds of propagation; relations can be made so that no solver comes to an end.
    rounds_left: Cell<u32>,
}

#[derive(Debug, Default)]
struct Interned {
    sets: Vec<VersionSet>,
    ids: BTreeMap<VersionSet, VersionSetId>,
    unions: Vec<Vec<VersionSetId>>,
}

/// Finds versions that fulfil `wanted` (of each one item) and all relations, near to `wished`.
///
pub(super) fn solve(
    catalog: &Catalog<'_, '_>,
    scope: Scope,
    wanted: &[Vec<VersionId>],
    wished: &[VersionId],
    rounds_max: u32,
) -> Result<Answer, IndexError> {
    let mut by_package = vec![None; catalog.index.package_count()];
    for &version in wished {
        by_package[catalog.index.package_of(version).index()] = Some(version);
    }
    let provider = Provider {
        catalog,
        scope,
        wished: by_package,
        interned: RefCell::default(),
        failure: RefCell::default(),
        rounds_left: Cell::new(rounds_max),
    };
    let requirements = wanted
        .iter()
        .map(|versions| {
            let allowed = versions.iter().copied().filter(|&v| provider.is_allowed(v)).collect();
            provider.requirement(&provider.prefer(allowed), None).into()
        })
        .collect();
    let mut solver = Solver::new(provider);
    let solution = solver.solve(Problem::default().requirements(requirements));
    if let Some(error) = solver.provider().failure.take() {
        return Err(error);
    }
    Ok(match solution {
        Ok(solvables) => Answer::Found(solvables.into_iter().map(version_of).collect()),
        Err(UnsolvableOrCancelled::Unsolvable(_)) => Answer::None,
        Err(UnsolvableOrCancelled::Cancelled(_)) => Answer::GaveUp,
    })
}

fn version_of(solvable: SolvableId) -> VersionId {
    VersionId::from_raw(solvable.into_raw())
}

fn solvable_of(version: VersionId) -> SolvableId {
    SolvableId::from_raw(version.raw())
}

impl<'a> Provider<'_, '_, 'a> {
    fn is_allowed(&self, version: VersionId) -> bool {
        let package = self.catalog.index.package_of(version);
        self.scope == Scope::All
            || self.catalog.candidate(package) == version
            || self.catalog.index.best(package) == version
    }

    /// The walk's choices first, then versions to try first, else the order given.
    fn prefer(&self, mut versions: Vec<VersionId>) -> Vec<VersionId> {
        versions.sort_by_key(|&version| {
            let package = self.catalog.index.package_of(version);
            if self.wished[package.index()] == Some(version) {
                0
            } else if self.catalog.candidate(package) == version {
                1
            } else {
                2
            }
        });
        versions
    }

    fn set(&self, package: PackageId, versions: Vec<VersionId>) -> VersionSetId {
        let set = VersionSet { package, versions };
        let mut interned = self.interned.borrow_mut();
        if let Some(&id) = interned.ids.get(&set) {
            return id;
        }
        let id = VersionSetId(count(interned.sets.len()));
        interned.sets.push(set.clone());
        interned.ids.insert(set, id);
        id
    }

    /// One of `versions`; when there are none, something of `asker` that cannot be had.
    fn requirement(&self, versions: &[VersionId], asker: Option<PackageId>) -> Requirement {
        let index = self.catalog.index;
        let sets: Vec<VersionSetId> =
            versions.iter().map(|&v| self.set(index.package_of(v), vec![v])).collect();
        match sets[..] {
            [] => {
                let package = asker.or_else(|| index.packages().next());
                self.set(package.expect("an empty index has no versions to ask"), Vec::new()).into()
            }
            [set] => set.into(),
            _ => {
                let mut interned = self.interned.borrow_mut();
                let id = VersionSetUnionId(count(interned.unions.len()));
                interned.unions.push(sets);
                id.into()
            }
        }
    }

    fn need(&self, asker: PackageId, alternatives: &[Relation<'a>]) -> Requirement {
        let solutions =
            self.catalog.solutions(alternatives, |_| false, |version| self.is_allowed(version));
        self.requirement(&self.prefer(solutions.versions().collect()), Some(asker))
    }

    /// For each package that `against` speaks about, the versions that are left.
    fn constraints(
        &self,
        package: PackageId,
        against: impl Iterator<Item = Relation<'a>>,
    ) -> Vec<VersionSetId> {
        let index = self.catalog.index;
        let mut excluded: BTreeMap<PackageId, BTreeSet<VersionId>> = BTreeMap::new();
        for relation in against {
            for version in self.catalog.spoken_against(package, &relation) {
                excluded.entry(index.package_of(version)).or_default().insert(version);
            }
        }
        let left = |(other, versions): (PackageId, BTreeSet<VersionId>)| {
            let rest = index.versions(other).filter(|v| !versions.contains(v)).collect();
            self.set(other, rest)
        };
        excluded.into_iter().map(left).collect()
    }
}

fn count(length: usize) -> u32 {
    u32::try_from(length).expect("fewer sets than there are bytes of index")
}

impl Interner for Provider<'_, '_, '_> {
    type NameId = NameId;
    type SolvableId = SolvableId;

    fn display_solvable(&self, solvable: SolvableId) -> impl Display + '_ {
        let version = version_of(solvable);
        let index = self.catalog.index;
        format!("{} {}", index.name(index.package_of(version)), index.version(version))
    }

    fn display_name(&self, name: NameId) -> impl Display + '_ {
        self.catalog.index.name(PackageId::from_raw(name.into_raw()))
    }

    fn display_version_set(&self, version_set: VersionSetId) -> impl Display + '_ {
        let interned = self.interned.borrow();
        let versions = &interned.sets[version_set.0 as usize].versions;
        let texts: Vec<_> = versions.iter().map(|&v| self.catalog.index.version(v)).collect();
        texts.join(", ")
    }

    fn display_string(&self, _: StringId) -> impl Display + '_ {
        ""
    }

    fn version_set_name(&self, version_set: VersionSetId) -> NameId {
        NameId::from_raw(self.interned.borrow().sets[version_set.0 as usize].package.raw())
    }

    fn solvable_name(&self, solvable: SolvableId) -> NameId {
        NameId::from_raw(self.catalog.index.package_of(version_of(solvable)).raw())
    }

    fn version_sets_in_union(
        &self,
        union: VersionSetUnionId,
    ) -> impl Iterator<Item = VersionSetId> {
        self.interned.borrow().unions[union.0 as usize].clone().into_iter()
    }

    fn resolve_condition(&self, _: ConditionId) -> Condition {
        unreachable!("no requirement is made with a condition")
    }
}

impl DependencyProvider for Provider<'_, '_, '_> {
    async fn filter_candidates(
        &self,
        candidates: &[SolvableId],
        version_set: VersionSetId,
        inverse: bool,
    ) -> Vec<SolvableId> {
        let interned = self.interned.borrow();
        let versions = &interned.sets[version_set.0 as usize].versions;
        let is_in = |solvable: &SolvableId| versions.contains(&version_of(*solvable)) != inverse;
        candidates.iter().copied().filter(is_in).collect()
    }

    async fn get_candidates(&self, name: NameId) -> Option<Candidates<SolvableId>> {
        let package = PackageId::from_raw(name.into_raw());
        let versions = self.catalog.index.versions(package);
        let candidates = versions.filter(|&v| self.is_allowed(v)).map(solvable_of).collect();
        Some(Candidates { candidates, ..Candidates::default() })
    }

    async fn sort_candidates(&self, _: &SolverCache<Self>, solvables: &mut [SolvableId]) {
        let versions = solvables.iter().map(|&solvable| version_of(solvable)).collect();
        for (slot, version) in solvables.iter_mut().zip(self.prefer(versions)) {
            *slot = solvable_of(version);
        }
    }

    async fn get_dependencies(&self, solvable: SolvableId) -> Dependencies {
        let version = version_of(solvable);
        let package = self.catalog.index.package_of(version);
        let details = match self.catalog.details(version) {
            Ok(details) => details,
            Err(error) => {
                self.failure.borrow_mut().get_or_insert(error);
                return Dependencies::Unknown(StringId(0));
            }
        };
        let needs = details.needs.iter();
        Dependencies::Known(KnownDependencies {
            requirements: needs.map(|need| self.need(package, &need.alternatives).into()).collect(),
            constrains: self
                .constraints(package, details.against.iter().map(|against| against.relation)),
        })
    }

    fn should_cancel_with_value(&self) -> Option<Box<dyn Any>> {
        let left = self.rounds_left.get();
        self.rounds_left.set(left.saturating_sub(1));
        let stop = self.failure.borrow().is_some() || left == 0;
        stop.then(|| Box::new(()) as Box<dyn Any>)
    }
}
