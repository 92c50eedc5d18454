//! apt's way to a set of packages: mark the requests, then let each mark what it needs.
//!
//! Source: `pkgDepCache::MarkInstall` and what it calls in `apt-pkg/depcache.cc` of apt 3.0.3, and
//! `TryToInstall` in `apt-private/private-install.cc`, reduced to an empty system: nothing is
//! installed, so nothing is upgraded or removed, and one architecture.

use super::catalog::Catalog;
use super::order::Solutions;
use crate::debian::index::{Against, IndexError, Need, PackageId, VersionId};

/// apt gives up at 3000; a chain of Debian 13 is at most 120 long, and the stack of a thread is finite.
const DEPTH_MAX: usize = 400;

/// What the walk thinks of a package. Names are apt's, so that its source can be read beside this.
#[derive(Debug, Clone, Copy)]
struct Mark {
    /// The version that may be installed.
    candidate: Option<VersionId>,
    /// The version that is to be installed.
    install: Option<VersionId>,
    /// apt's mode "install".
    installing: bool,
    /// Not open to change.
    protected: bool,
}

#[derive(Debug)]
struct Walk<'c, 'i, 'a> {
    catalog: &'c Catalog<'i, 'a>,
    marks: Vec<Mark>,
}

/// Whether a step succeeded.
type Step = Result<bool, IndexError>;

/// Marks `wanted` and what it needs; the result may be incomplete or contradict itself.
pub(super) fn walk(
    catalog: &Catalog<'_, '_>,
    wanted: &[VersionId],
) -> Result<Vec<VersionId>, IndexError> {
    let marks = catalog
        .index
        .packages()
        .map(|package| Mark {
            candidate: Some(catalog.candidate(package)),
            install: None,
            installing: false,
            protected: false,
        })
        .collect();
    let mut walk = Walk { catalog, marks };
    let packages: Vec<PackageId> =
        wanted.iter().map(|&version| catalog.index.package_of(version)).collect();
    for &package in &packages {
        walk.mark(package).protected = true;
        walk.settle(package);
    }
    for &package in &packages {
        walk.mark_install(package, 0)?;
    }
    Ok(walk.marks.iter().filter_map(|mark| mark.install).collect())
}

impl<'a> Walk<'_, '_, 'a> {
    fn mark(&mut self, package: PackageId) -> &mut Mark {
        &mut self.marks[package.index()]
    }

    fn state(&self, package: PackageId) -> &Mark {
        &self.marks[package.index()]
    }

    fn settle(&mut self, package: PackageId) {
        let mark = self.mark(package);
        if !(mark.protected && mark.install.is_some() && mark.install == mark.candidate) {
            mark.installing = true;
            mark.install = mark.candidate;
        }
    }

    fn is_to_be_installed(&self, version: VersionId) -> bool {
        self.state(self.catalog.index.package_of(version)).install == Some(version)
    }

    fn is_candidate(&self, version: VersionId) -> bool {
        self.state(self.catalog.index.package_of(version)).candidate == Some(version)
    }

    fn is_fulfilled(&self, need: &Need<'a>) -> bool {
        let mut versions = need.alternatives.iter().flat_map(|r| self.catalog.index.covered(r));
        versions.any(|version| self.is_to_be_installed(version))
    }

    /// apt's `MarkInstall` with automatic installation; the requests themselves come with depth 0.
    fn mark_install(&mut self, package: PackageId, depth: usize) -> Step {
        let from_user = depth == 0;
        let mark = *self.state(package);
        if depth > DEPTH_MAX || (!from_user && !mark.installing && mark.protected) {
            return Ok(false);
        }
        let Some(version) = mark.candidate else { return Ok(false) };
        if !mark.protected && mark.installing && self.is_whole(mark.install)? {
            return Ok(true);
        }
        let catalog = self.catalog;
        let details = catalog.details(version)?;
        if !self.can_be_fulfilled(package, &details.needs) {
            return Ok(false);
        }
        let (protected, fail_early) = (mark.protected, !mark.protected && !from_user);
        let (needs, against) = self.open_relations(package, &details.needs, &details.against);
        let lenient = protected || from_user;
        let mut holds = self.give_way(package, &against, protected, lenient);
        if !holds && fail_early {
            return Ok(false);
        }
        self.settle(package);
        self.mark(package).protected = true;
        let needs_hold = self.install_needs(&needs, protected, lenient, depth)?;
        self.mark(package).protected = protected;
        holds &= needs_hold;
        if !needs_hold && fail_early {
            let mark = self.mark(package);
            (mark.install, mark.candidate, mark.installing) = (None, None, false);
        }
        Ok(holds)
    }

    /// apt's `MarkInstall` without automatic installation.
    fn mark_alone(&mut self, package: PackageId) -> bool {
        let mark = *self.state(package);
        let may = mark.candidate.is_some() && (mark.installing || !mark.protected);
        if may {
            self.settle(package);
        }
        may
    }

    /// Whether everything that `version` needs is to be installed.
    fn is_whole(&self, version: Option<VersionId>) -> Step {
        let Some(version) = version else { return Ok(true) };
        let details = self.catalog.details(version)?;
        let package = self.catalog.index.package_of(version);
        Ok(details.needs.iter().all(|need| self.is_fulfilled(need))
            && !details.against.iter().any(|against| self.is_met(package, against)))
    }

    /// Whether something that `package` is against is to be installed.
    fn is_met(&self, package: PackageId, against: &Against<'a>) -> bool {
        self.catalog
            .spoken_against(package, &against.relation)
            .any(|version| self.is_to_be_installed(version))
    }

    /// apt's `IsInstallOkDependenciesSatisfiableByCandidates`.
    fn can_be_fulfilled(&mut self, package: PackageId, needs: &[Need<'a>]) -> bool {
        let index = self.catalog.index;
        let fulfilled = needs.iter().all(|need| {
            let mut versions = need.alternatives.iter().flat_map(|r| index.covered(r));
            versions.any(|version| self.is_to_be_installed(version) || self.is_candidate(version))
        });
        let mark = self.mark(package);
        if !fulfilled && !mark.protected {
            (mark.candidate, mark.installing) = (None, false);
        }
        fulfilled
    }

    /// The relations that do not hold yet; all of them for a package that is not open to change, because
    /// then what it needs is not either.
    fn open_relations<'d>(
        &self,
        package: PackageId,
        needs: &'d [Need<'a>],
        against: &'d [Against<'a>],
    ) -> (Vec<&'d Need<'a>>, Vec<&'d Against<'a>>) {
        let all = self.state(package).protected;
        let needs = needs.iter().filter(|need| all || !self.is_fulfilled(need)).collect();
        let against = against.iter().filter(|one| all || self.is_met(package, one)).collect();
        (needs, against)
    }

    /// apt's `RemoveConflictsIfNotUpgradeable`: what `package` is against must not be installed.
    fn give_way(
        &mut self,
        package: PackageId,
        against: &[&Against<'a>],
        protected: bool,
        lenient: bool,
    ) -> bool {
        let mut holds = true;
        for against in against {
            let versions: Vec<VersionId> = self
                .catalog
                .spoken_against(package, &against.relation)
                .filter(|&version| self.is_candidate(version))
                .collect();
            for version in versions {
                let other = self.catalog.index.package_of(version);
                let mark = self.mark(other);
                if mark.candidate != Some(version) {
                    continue;
                }
                if mark.installing && mark.protected {
                    holds = false;
                    if !lenient {
                        return false;
                    }
                    continue;
                }
                if mark.installing {
                    (mark.installing, mark.install) = (false, None);
                }
                if protected {
                    mark.candidate = mark.install;
                    mark.protected = true;
                }
            }
        }
        holds
    }

    /// apt's `InstallDependencies`.
    fn install_needs(
        &mut self,
        needs: &[&Need<'a>],
        protected: bool,
        lenient: bool,
        depth: usize,
    ) -> Step {
        let mut holds = true;
        for need in needs {
            let fulfilled = self.is_fulfilled(need);
            if fulfilled && !protected {
                continue;
            }
            let solutions = self.solutions(need);
            let found = if fulfilled {
                self.protect_only_solution(&solutions, depth)?
            } else {
                self.install_one(solutions, protected, depth)?
            };
            holds &= found;
            if !found && !lenient {
                break;
            }
        }
        Ok(holds)
    }

    /// The candidates that would fulfil `need`, in the order to try them.
    fn solutions(&self, need: &Need<'a>) -> Solutions {
        let index = self.catalog.index;
        self.catalog.solutions(
            &need.alternatives,
            |package| self.state(package).protected,
            |version| {
                let mark = self.state(index.package_of(version));
                mark.candidate == Some(version) && (mark.installing || !mark.protected)
            },
        )
    }

    /// What alone fulfils a need of a package that is not open to change is not open to change either.
    fn protect_only_solution(&mut self, solutions: &Solutions, depth: usize) -> Step {
        let only = solutions.versions().next().filter(|_| solutions.len() == 1);
        let Some(only) = only else { return Ok(true) };
        let package = self.catalog.index.package_of(only);
        if self.state(package).protected {
            return Ok(true);
        }
        self.mark(package).protected = true;
        self.mark_install(package, depth + 1)
    }

    fn install_one(&mut self, mut solutions: Solutions, protected: bool, depth: usize) -> Step {
        let is_only = solutions.len() == 1;
        while let Some(version) = solutions.take_next(self.catalog) {
            let package = self.catalog.index.package_of(version);
            if self.state(package).candidate != Some(version) {
                continue;
            }
            if protected && is_only {
                if !self.mark_alone(package) {
                    continue;
                }
                self.mark(package).protected = true;
            }
            if self.mark_install(package, depth + 1)? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
