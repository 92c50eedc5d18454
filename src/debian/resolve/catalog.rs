//! The index as one resolution sees it: relations read once, versions to try first, packages to keep.

use std::cell::{OnceCell, RefCell};
use std::collections::BTreeMap;

use super::request::{Request, RequestProblem, Requests};
use crate::debian::index::{Details, IndexError, Mention, PackageId, PackageIndex, VersionId};
use crate::debian::package::PackageName;
use crate::debian::relation::{Operator, Qualifier, Relation};

/// How alike two names must be to be suggested, by Jaro-Winkler.
const SIMILARITY_MIN: f64 = 0.85;
const SIMILAR_MAX: usize = 3;

#[derive(Debug)]
pub(super) struct Catalog<'i, 'a> {
    pub(super) index: &'i PackageIndex<'a>,
    details: Vec<OnceCell<Box<Details<'a>>>>,
    /// The version to try first, by package.
    candidates: Vec<VersionId>,
    /// Whether the package is in the old lock and its version to be kept, by package.
    kept: Vec<bool>,
    mentions: RefCell<BTreeMap<PackageId, Mention>>,
}

impl<'i, 'a> Catalog<'i, 'a> {
    pub(super) fn new(index: &'i PackageIndex<'a>, requests: &Requests<'_>) -> Self {
        let mut catalog = Self {
            index,
            details: std::iter::repeat_with(OnceCell::new).take(index.version_count()).collect(),
            candidates: index.packages().map(|package| index.best(package)).collect(),
            kept: vec![false; index.package_count()],
            mentions: RefCell::default(),
        };
        for record in requests.locked.iter().filter(|record| requests.holds(&record.name)) {
            let Some(package) = index.package(record.name.as_str()) else { continue };
            let version = index.versions(package).find(|&version| {
                index.version(version) == record.version.as_str()
                    && index.record(version).is_ok_and(|found| found.sha256 == record.sha256)
            });
            if let Some(version) = version {
                catalog.candidates[package.index()] = version;
                catalog.kept[package.index()] = true;
            }
        }
        catalog
    }

    /// The version of `package` to try first.
    pub(super) fn candidate(&self, package: PackageId) -> VersionId {
        self.candidates[package.index()]
    }

    /// Makes `version` the one of its package to try first.
    pub(super) fn set_candidate(&mut self, version: VersionId) {
        self.candidates[self.index.package_of(version).index()] = version;
    }

    /// Whether the old lock has `package` and its version is to be kept.
    pub(super) fn is_kept(&self, package: PackageId) -> bool {
        self.kept[package.index()]
    }

    pub(super) fn details(&self, version: VersionId) -> Result<&Details<'a>, IndexError> {
        let cell = &self.details[version.index()];
        if cell.get().is_none() {
            let details = Box::new(self.index.details(version)?);
            // Nobody else can have filled it since: this type is not shared between threads.
            let _ = cell.set(details);
        }
        Ok(cell.get().expect("filled above"))
    }

    pub(super) fn first_mention(&self, package: PackageId) -> Mention {
        *self
            .mentions
            .borrow_mut()
            .entry(package)
            .or_insert_with(|| self.index.first_mention(package))
    }

    /// The versions that `relation` of a package `by` speaks against; never one of the package itself.
    pub(super) fn spoken_against(
        &self,
        by: PackageId,
        relation: &Relation<'a>,
    ) -> impl Iterator<Item = VersionId> {
        self.index.covered(relation).filter(move |&version| self.index.package_of(version) != by)
    }

    /// The versions that fulfil `request`, best first.
    pub(super) fn find(&self, request: &Request) -> Result<Vec<VersionId>, RequestProblem> {
        let index = self.index;
        let name = request.name.as_str();
        let Some(package) = index.package(name) else {
            return self.find_provider(request);
        };
        let Some(version) = &request.version else {
            return Ok(index.versions(package).collect());
        };
        let found: Vec<_> =
            index.versions(package).filter(|&v| index.version(v) == version.as_str()).collect();
        if found.is_empty() {
            let parse = |version| index.version(version).parse().expect("checked on reading");
            let available = index.versions(package).map(parse).collect();
            let (request, version) = (request.clone(), version.clone());
            return Err(RequestProblem::NoVersion { request, version, available });
        }
        Ok(found)
    }

    /// As apt: a virtual package may be asked for when one package alone provides it.
    fn find_provider(&self, request: &Request) -> Result<Vec<VersionId>, RequestProblem> {
        let name = request.name.as_str();
        let version = request.version.as_ref().map(|v| (Operator::Equal, v.as_str()));
        let relation = Relation { name, qualifier: Qualifier::Own, version };
        let mut providers: Vec<PackageId> =
            self.providers_of(&relation).map(|version| self.index.package_of(version)).collect();
        providers.sort_unstable();
        providers.dedup();
        let parse = |&id: &PackageId| self.index.name(id).parse().expect("checked on reading");
        match providers[..] {
            [] => {
                let similar = self.similar(name).iter().map(parse).collect();
                Err(RequestProblem::Unknown { request: request.clone(), similar })
            }
            [_] => Ok(self.providers_of(&relation).collect()),
            _ => {
                let providers: Vec<PackageName> = providers.iter().map(parse).collect();
                Err(RequestProblem::Virtual { request: request.clone(), providers })
            }
        }
    }

    fn providers_of(&self, relation: &Relation<'_>) -> impl Iterator<Item = VersionId> {
        let wanted = relation.version;
        self.index
            .providers(relation.name)
            .filter(move |provided| {
                provided.serves_own
                    && wanted.is_none_or(|(_, version)| provided.version == Some(version))
            })
            .map(|provided| provided.by)
            .filter(|&version| self.candidate(self.index.package_of(version)) == version)
            .collect::<Vec<_>>()
            .into_iter()
    }

    fn similar(&self, name: &str) -> Vec<PackageId> {
        let mut rated: Vec<(f64, PackageId)> = self
            .index
            .packages()
            .map(|package| (strsim::jaro_winkler(name, self.index.name(package)), package))
            .filter(|(rating, _)| *rating >= SIMILARITY_MIN)
            .collect();
        rated.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        rated.into_iter().take(SIMILAR_MAX).map(|(_, package)| package).collect()
    }
}
