//! Whether a set of versions fulfils every relation, and which of it is needed by what was asked for.

use super::catalog::Catalog;
use crate::debian::index::{IndexError, PackageId, VersionId};
use crate::debian::relation::Relation;

/// A set with at most one version of each package.
#[derive(Debug)]
pub(super) struct Chosen<'c, 'i, 'a> {
    catalog: &'c Catalog<'i, 'a>,
    versions: Vec<Option<VersionId>>,
}

impl<'c, 'i, 'a> Chosen<'c, 'i, 'a> {
    pub(super) fn new(catalog: &'c Catalog<'i, 'a>, versions: &[VersionId]) -> Self {
        let mut by_package = vec![None; catalog.index.package_count()];
        for &version in versions {
            by_package[catalog.index.package_of(version).index()] = Some(version);
        }
        Self { catalog, versions: by_package }
    }

    pub(super) fn has(&self, version: VersionId) -> bool {
        self.versions[self.catalog.index.package_of(version).index()] == Some(version)
    }

    /// The versions, by package.
    pub(super) fn versions(&self) -> impl Iterator<Item = VersionId> {
        self.versions.iter().copied().flatten()
    }

    /// Whether all `wanted` are in the set and each relation of the set holds.
    pub(super) fn holds(&self, wanted: &[VersionId]) -> Result<bool, IndexError> {
        if !wanted.iter().all(|&version| self.has(version)) {
            return Ok(false);
        }
        for version in self.versions() {
            let package = self.catalog.index.package_of(version);
            let details = self.catalog.details(version)?;
            let needs_hold = details
                .needs
                .iter()
                .all(|need| self.fulfilling(&need.alternatives).next().is_some());
            let against_holds = details.against.iter().all(|against| {
                let mut others = self.catalog.spoken_against(package, &against.relation);
                !others.any(|other| self.has(other))
            });
            if !(needs_hold && against_holds) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The part of the set that `wanted` leads to.
    ///
    /// As apt's mark and sweep, a package that is only recommended or suggested stays when it is in the
    /// set anyway.
    pub(super) fn needed(&self, wanted: &[VersionId]) -> Result<Vec<VersionId>, IndexError> {
        let mut seen = vec![false; self.versions.len()];
        let important = |&v: &VersionId| self.catalog.index.is_important(v);
        let mut open: Vec<VersionId> = wanted.to_vec();
        open.extend(self.versions().filter(important));
        while let Some(version) = open.pop() {
            let package = self.catalog.index.package_of(version);
            if std::mem::replace(&mut seen[package.index()], true) {
                continue;
            }
            for need in &self.catalog.details(version)?.needs {
                open.extend(self.fulfilling(&need.alternatives));
            }
        }
        let unseen = |seen: &[bool], version| !seen[self.catalog.index.package_of(version).index()];
        if self.versions().any(|version| unseen(&seen, version)) {
            self.follow_wishes(&mut seen)?;
        }
        Ok(self.versions().filter(|&version| !unseen(&seen, version)).collect())
    }

    fn follow_wishes(&self, seen: &mut [bool]) -> Result<(), IndexError> {
        let is_seen = |seen: &[bool], v: &VersionId| seen[self.package(*v).index()];
        let mut open: Vec<VersionId> = self.versions().filter(|v| is_seen(seen, v)).collect();
        while let Some(version) = open.pop() {
            let mut relations = self.catalog.index.wishes(version)?;
            let needs = &self.catalog.details(version)?.needs;
            relations.extend(needs.iter().map(|need| need.alternatives.clone()));
            for found in relations.iter().flat_map(|alternatives| self.fulfilling(alternatives)) {
                if !std::mem::replace(&mut seen[self.package(found).index()], true) {
                    open.push(found);
                }
            }
        }
        Ok(())
    }

    fn package(&self, version: VersionId) -> PackageId {
        self.catalog.index.package_of(version)
    }

    fn fulfilling(&self, alternatives: &[Relation<'a>]) -> impl Iterator<Item = VersionId> {
        alternatives
            .iter()
            .flat_map(|relation| self.catalog.index.covered(relation))
            .filter(|&version| self.has(version))
    }
}
