//! The steps of a resolution.

use thiserror::Error;

use super::catalog::Catalog;
use super::check::Chosen;
use super::explain::{Asked, Unsatisfiable, Wanted, explain};
use super::request::{Request, RequestProblem, Requests};
use super::solver::{Answer, Scope, solve};
use super::walk::walk;
use crate::debian::index::{IndexError, PackageIndex, VersionId};
use crate::debian::record::PackageRecord;

/// How many rounds the solver gets; GNOME and KDE together take 6 000.
const ROUNDS_MAX: u32 = 30_000;

/// A set of packages that fulfils requests; sorted by name, one version of each.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PackageSet {
    /// The packages.
    pub packages: Vec<PackageRecord>,
}

/// Requests that gave no set of packages.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ResolveError {
    /// Some requests name nothing that can be had; all of them are listed.
    #[error("{}", one_a_line(.problems))]
    Requests {
        /// In the order of the requests; never empty.
        problems: Vec<RequestProblem>,
    },
    /// No set of packages fulfils all requests.
    #[error(transparent)]
    Unsatisfiable(Box<Unsatisfiable>),
    /// The solver gave up.
    #[error("the relations of the requested packages are too entangled to be solved")]
    TooEntangled,
    /// A paragraph that was needed is malformed.
    #[error("a package cannot be looked at")]
    Index(#[from] IndexError),
}

/// Finds the packages that fulfil `requests`: those `apt-get install --no-install-recommends` would
/// install on an empty system, the essential ones among the requests when [`Base::Essential`] is asked.
///
/// The same arguments give the same set. Versions older than the best are taken only when a request
/// or the old lock names them, or when a request names a version and nothing else works.
///
/// # Errors
///
/// Unknown names, all at once; else why there is no such set.
///
/// [`Base::Essential`]: super::Base::Essential
pub fn resolve(
    index: &PackageIndex<'_>,
    requests: &Requests<'_>,
) -> Result<PackageSet, ResolveError> {
    resolve_within(index, requests, ROUNDS_MAX)
}

/// As [`resolve`], with so many rounds for the solver.
pub(super) fn resolve_within(
    index: &PackageIndex<'_>,
    requests: &Requests<'_>,
    rounds_max: u32,
) -> Result<PackageSet, ResolveError> {
    let mut catalog = Catalog::new(index, requests);
    let wanted = wanted(&mut catalog, requests)?;
    let first: Vec<VersionId> = wanted.iter().map(|item| first_choice(&catalog, item)).collect();
    let walked = walk(&catalog, &first)?;
    let mut chosen = Chosen::new(&catalog, &walked);
    let mut roots = first;
    if !chosen.holds(&roots)? {
        let solved = solve_or_explain(&catalog, (&wanted, requests), &walked, rounds_max)?;
        chosen = Chosen::new(&catalog, &solved);
        let is_chosen = |item: &Wanted| item.versions.iter().copied().find(|&v| chosen.has(v));
        roots = wanted.iter().filter_map(is_chosen).collect();
        assert!(chosen.holds(&roots)?, "the solver's answer fulfils each relation it was given");
    }
    let packages: Result<Vec<_>, _> =
        chosen.needed(&roots)?.into_iter().map(|version| index.record(version)).collect();
    Ok(PackageSet { packages: packages? })
}

fn wanted(
    catalog: &mut Catalog<'_, '_>,
    requests: &Requests<'_>,
) -> Result<Vec<Wanted>, ResolveError> {
    let mut wanted = Vec::new();
    let mut problems = Vec::new();
    if requests.base == super::Base::Essential {
        wanted.extend(essential(catalog));
    }
    for request in requests.packages {
        match catalog.find(request) {
            Ok(versions) => {
                if request.version.is_some() {
                    catalog.set_candidate(versions[0]);
                }
                wanted.push(Wanted { asked: asked(request), versions });
            }
            Err(problem) => problems.push(problem),
        }
    }
    if problems.is_empty() { Ok(wanted) } else { Err(ResolveError::Requests { problems }) }
}

fn essential(catalog: &Catalog<'_, '_>) -> Vec<Wanted> {
    let index = catalog.index;
    index
        .packages()
        .filter(|&package| index.is_essential(catalog.candidate(package)))
        .map(|package| Wanted {
            asked: Asked::Essential { name: index.name(package).to_owned() },
            versions: index.versions(package).collect(),
        })
        .collect()
}

fn asked(request: &Request) -> Asked {
    Asked::Request { request: request.to_string() }
}

/// The version to try first, else the best.
fn first_choice(catalog: &Catalog<'_, '_>, item: &Wanted) -> VersionId {
    let is_candidate =
        |version: &&VersionId| catalog.candidate(catalog.index.package_of(**version)) == **version;
    *item.versions.iter().find(is_candidate).unwrap_or(&item.versions[0])
}

fn solve_or_explain(
    catalog: &Catalog<'_, '_>,
    (wanted, requests): (&[Wanted], &Requests<'_>),
    walked: &[VersionId],
    rounds_max: u32,
) -> Result<Vec<VersionId>, ResolveError> {
    let versions: Vec<Vec<VersionId>> = wanted.iter().map(|item| item.versions.clone()).collect();
    let names_a_version = requests.packages.iter().any(|request| request.version.is_some());
    let scopes: &[Scope] =
        if names_a_version { &[Scope::Best, Scope::All] } else { &[Scope::Best] };
    for &scope in scopes {
        match solve(catalog, scope, &versions, walked, rounds_max)? {
            Answer::Found(solved) => return Ok(solved),
            Answer::None => {}
            Answer::GaveUp => return Err(ResolveError::TooEntangled),
        }
    }
    let index = catalog.index;
    let is_allowed = |version: VersionId| {
        let package = index.package_of(version);
        names_a_version || catalog.candidate(package) == version || index.best(package) == version
    };
    let allowed: Vec<Wanted> = wanted
        .iter()
        .map(|item| Wanted {
            asked: item.asked.clone(),
            versions: item.versions.iter().copied().filter(|&v| is_allowed(v)).collect(),
        })
        .collect();
    let unsatisfiable = explain(catalog, &allowed, &is_allowed)?;
    Err(ResolveError::Unsatisfiable(Box::new(unsatisfiable)))
}

fn one_a_line(problems: &[RequestProblem]) -> String {
    problems.iter().map(RequestProblem::to_string).collect::<Vec<_>>().join("\n")
}
