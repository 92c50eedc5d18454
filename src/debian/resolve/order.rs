//! Which of several packages that would do is tried first.
//!
//! Source: `CompareProviders` and `getAllPossibleSolutions` in `apt-pkg/depcache.cc` of apt 3.0.3, for an
//! empty system and one architecture. The old lock's packages stand for apt's installed ones.

use std::cmp::Ordering;

use super::catalog::Catalog;
use crate::debian::index::{PackageId, VersionId};
use crate::debian::relation::{Qualifier, Relation};

/// apt counts itself as important (`pkgCacheGen::ForceImportant`).
const IMPORTANT_FOR_APT: &str = "apt";

/// Versions in the order in which to try them.
///
/// Among equals the one whose name comes up last in the indexes is the first. Finding that takes a search
/// for each of the equals, so it is done only when the next one is asked for.
#[derive(Debug, Default)]
pub(super) struct Solutions {
    /// With the number of the group of equals; groups are in order.
    rows: Vec<(VersionId, usize)>,
}

impl Solutions {
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// The versions, equals in the order of their own paragraphs, last first.
    pub(super) fn versions(&self) -> impl Iterator<Item = VersionId> {
        self.rows.iter().map(|(version, _)| *version)
    }

    /// Takes the one to try next.
    pub(super) fn take_next(&mut self, catalog: &Catalog<'_, '_>) -> Option<VersionId> {
        let group = self.rows.first()?.1;
        let package = |row: usize| catalog.index.package_of(self.rows[row].0);
        let count = self.rows.iter().take_while(|(_, other)| *other == group).count();
        let mut best = 0;
        if count > 1 {
            // A package is first named by its own paragraph at the latest, and these are in order:
            // what stands further behind cannot win against a mention after its own paragraph.
            for row in 1..count {
                let mention = catalog.first_mention(package(best));
                if mention >= catalog.index.own_paragraph(package(row)) {
                    break;
                }
                if catalog.first_mention(package(row)) > mention {
                    best = row;
                }
            }
        }
        Some(self.rows.remove(best).0)
    }
}

impl<'a> Catalog<'_, 'a> {
    /// The versions that fulfil one of `alternatives` and for which `may_be` holds: kept packages first,
    /// then by alternative, then as apt compares providers.
    ///
    /// `is_settled` says which packages are not open to change any more.
    pub(super) fn solutions(
        &self,
        alternatives: &[Relation<'a>],
        is_settled: impl Fn(PackageId) -> bool,
        may_be: impl Fn(VersionId) -> bool,
    ) -> Solutions {
        let index = self.index;
        let mut rows: Vec<(VersionId, usize)> = Vec::new();
        let mut group = 0;
        for relation in alternatives {
            let mut found: Vec<VersionId> = Vec::new();
            for version in index.covered(relation) {
                let is_new = || rows.iter().all(|(known, _)| *known != version);
                if may_be(version) && !found.contains(&version) && is_new() {
                    found.push(version);
                }
            }
            let compare = |a, b| self.compare_providers(relation, &is_settled, (a, b));
            let place = |version| index.own_paragraph(index.package_of(version));
            found.sort_by(|&a, &b| {
                compare(a, b).then_with(|| place(b).cmp(&place(a))).then_with(|| a.cmp(&b))
            });
            for (position, &version) in found.iter().enumerate() {
                let is_equal = position > 0 && compare(found[position - 1], version).is_eq();
                group += usize::from(!is_equal);
                rows.push((version, group));
            }
        }
        rows.sort_by_key(|(version, _)| !self.is_kept(index.package_of(*version)));
        Solutions { rows }
    }

    /// Compares two versions that `relation` covers; the lesser is tried first. Each step compares a
    /// property of one version, so the order is consistent whatever the index says.
    fn compare_providers(
        &self,
        relation: &Relation<'_>,
        is_settled: impl Fn(PackageId) -> bool,
        (a, b): (VersionId, VersionId),
    ) -> Ordering {
        let index = self.index;
        let (package_a, package_b) = (index.package_of(a), index.package_of(b));
        let yes_first = |of: &dyn Fn(PackageId) -> bool| of(package_b).cmp(&of(package_a));
        let is_named =
            |package| relation.qualifier == Qualifier::Own && index.name(package) == relation.name;
        let is_essential = |package| index.versions(package).any(|v| index.is_essential(v));
        let is_important = |package| {
            index.versions(package).any(|v| index.is_important(v))
                || index.name(package) == IMPORTANT_FOR_APT
        };
        yes_first(&is_settled)
            .then_with(|| yes_first(&|package| self.is_kept(package)))
            .then_with(|| yes_first(&is_named))
            .then_with(|| yes_first(&is_essential))
            .then_with(|| yes_first(&is_important))
            .then_with(|| index.priority(a).cmp(&index.priority(b)))
    }
}
