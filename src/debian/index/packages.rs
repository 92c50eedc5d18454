//! The merged index: packages by name, versions from best to worst, providers of names.

use rayon::slice::ParallelSliceMut as _;
use thiserror::Error;

use super::scan::{Entry, scan_sources};
use super::table::NameTable;
use crate::debian::control::{ControlProblem, Paragraph};
use crate::debian::package::{Architecture, MultiArch, Priority, SourceName};
use crate::debian::relation::{Qualifier, Relation, RelationError};
use crate::debian::version::compare_versions;

/// A real package; ids follow the order of names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct PackageId(pub(super) u32);

/// A version of a package; ids follow the order of names, then go from the best version to the worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct VersionId(pub(super) u32);

/// A name that a version provides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Provided<'a> {
    /// Who provides it.
    pub by: VersionId,
    /// In which version, when one is named.
    pub version: Option<&'a str>,
    /// Whether it serves `name:any` (its provider allows all architectures, or says so itself).
    pub serves_any: bool,
    /// Whether it serves plain `name`.
    pub serves_own: bool,
}

/// The packages of several sources.
#[derive(Debug)]
pub struct PackageIndex<'a> {
    pub(super) architecture: Architecture,
    pub(super) sources: Vec<(SourceName, &'a [u8])>,
    versions: Vec<Entry<'a>>,
    /// Name, and the first version; a last row without a name ends the list.
    packages: Vec<(&'a str, u32)>,
    /// The package of each version.
    package_of: Vec<PackageId>,
    by_name: NameTable<'a, PackageId>,
    provided: NameTable<'a, Provided<'a>>,
}

/// An index that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("the package index of {source_name}, line {line}")]
pub struct IndexError {
    /// The source.
    pub source_name: SourceName,
    /// Line of its text, from 1.
    pub line: usize,
    /// What is wrong there.
    #[source]
    pub problem: IndexProblem,
}

/// What can be wrong with an index.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum IndexProblem {
    /// The text is not control data, or a field is missing or malformed.
    #[error(transparent)]
    Control(ControlProblem),
    /// A field of relations is malformed.
    #[error("in the field `{field}`: {error}")]
    Relation {
        /// The field.
        field: &'static str,
        /// What is wrong with it.
        error: RelationError,
    },
    /// A limit is passed.
    #[error("more than {limit} {what}")]
    TooMany {
        /// What there is too much of.
        what: &'static str,
        /// The limit.
        limit: usize,
    },
}

impl<'a> PackageIndex<'a> {
    /// Reads the `Packages` texts of `sources`; of packages for other architectures nothing is kept.
    ///
    /// The order of the sources matters where two offer the same version (the first is taken) and, as
    /// with the order of lines in apt's `sources.list`, for the choice among equal providers.
    ///
    /// # Errors
    ///
    /// The first malformed paragraph; nothing of a malformed index is used.
    pub fn parse(
        sources: &[(SourceName, &'a [u8])],
        architecture: Architecture,
    ) -> Result<Self, IndexError> {
        let scan = scan_sources(sources, architecture)?;
        let entries = scan.entries;
        let order = order_of(&entries);
        let id = |position: usize| u32::try_from(position).expect("at most 1 000 000 versions");
        let mut packages: Vec<(&str, u32)> = Vec::new();
        let mut versions = Vec::with_capacity(order.len());
        let mut package_of = Vec::with_capacity(order.len());
        let mut version_of_entry = vec![None; entries.len()];
        for &position in &order {
            let entry = entries[position as usize];
            if packages.last().is_none_or(|(name, _)| *name != entry.name) {
                packages.push((entry.name, id(versions.len())));
            } else if versions.last().is_some_and(|last: &Entry| last.version == entry.version) {
                continue;
            }
            version_of_entry[position as usize] = Some(VersionId(id(versions.len())));
            package_of.push(PackageId(id(packages.len() - 1)));
            versions.push(entry);
        }
        let by_name = NameTable::new((0..).zip(&packages).map(|(id, row)| (row.0, PackageId(id))));
        packages.push(("", id(versions.len())));
        let provided = NameTable::new(scan.provided.iter().filter_map(|name| {
            let by = version_of_entry[name.entry as usize]?;
            let allowed = entries[name.entry as usize].multi_arch == MultiArch::Allowed;
            let (serves_any, serves_own) = (name.any || allowed, !name.any);
            Some((name.name, Provided { by, version: name.version, serves_any, serves_own }))
        }));
        let sources = sources.to_vec();
        Ok(Self { architecture, sources, versions, packages, package_of, by_name, provided })
    }

    /// The architecture whose packages are kept.
    pub fn architecture(&self) -> Architecture {
        self.architecture
    }

    /// The real package called `name`.
    pub fn package(&self, name: &str) -> Option<PackageId> {
        self.by_name.find(name).next().copied()
    }

    /// All real packages, by name.
    pub fn packages(&self) -> impl Iterator<Item = PackageId> + use<> {
        let count = u32::try_from(self.packages.len() - 1).expect("at most 1 000 000 packages");
        (0..count).map(PackageId)
    }

    /// How many real packages there are.
    pub fn package_count(&self) -> usize {
        self.packages.len() - 1
    }

    /// How many versions there are, those offered by several sources counted once.
    pub fn version_count(&self) -> usize {
        self.versions.len()
    }

    /// A package's name.
    pub fn name(&self, package: PackageId) -> &'a str {
        self.packages[package.0 as usize].0
    }

    /// A package's versions, best first; never empty.
    pub fn versions(
        &self,
        package: PackageId,
    ) -> impl DoubleEndedIterator<Item = VersionId> + use<> {
        let row = package.0 as usize;
        (self.packages[row].1..self.packages[row + 1].1).map(VersionId)
    }

    /// The best version of a package.
    pub fn best(&self, package: PackageId) -> VersionId {
        VersionId(self.packages[package.0 as usize].1)
    }

    /// The package a version belongs to.
    pub fn package_of(&self, version: VersionId) -> PackageId {
        self.package_of[version.0 as usize]
    }

    /// A version's text.
    pub fn version(&self, version: VersionId) -> &'a str {
        self.entry(version).version
    }

    /// A version's `Multi-Arch`.
    pub fn multi_arch(&self, version: VersionId) -> MultiArch {
        self.entry(version).multi_arch
    }

    /// A version's `Priority`.
    pub fn priority(&self, version: VersionId) -> Priority {
        self.entry(version).priority
    }

    /// Whether a version is `Essential: yes`.
    pub fn is_essential(&self, version: VersionId) -> bool {
        self.entry(version).essential
    }

    /// Whether a version is `Important: yes` or `Protected: yes`.
    pub fn is_important(&self, version: VersionId) -> bool {
        self.entry(version).important
    }

    /// The source that offers a version.
    pub fn source(&self, version: VersionId) -> &SourceName {
        &self.sources[usize::from(self.entry(version).source)].0
    }

    /// Who provides `name`, in the order of packages.
    pub fn providers(&self, name: &str) -> impl Iterator<Item = Provided<'a>> {
        self.provided.find(name).copied()
    }

    /// All versions that `relation` covers: those of the package itself (best first), then those that
    /// provide it. A version may come twice.
    pub fn covered(&self, relation: &Relation<'a>) -> impl Iterator<Item = VersionId> {
        let relation = *relation;
        let real = self.package(relation.name).into_iter().flat_map(|id| self.versions(id));
        let real = real.filter(move |&version| match relation.qualifier {
            Qualifier::Own => relation.covers(self.version(version)),
            Qualifier::Any => {
                self.multi_arch(version) == MultiArch::Allowed
                    && relation.covers(self.version(version))
            }
            Qualifier::Named(_) => false,
        });
        let provided = self.providers(relation.name).filter(move |provided| {
            let served = match relation.qualifier {
                Qualifier::Own => provided.serves_own,
                Qualifier::Any => provided.serves_any,
                Qualifier::Named(_) => false,
            };
            served && provided.version.map_or(relation.version.is_none(), |v| relation.covers(v))
        });
        real.chain(provided.map(|provided| provided.by))
    }

    pub(super) fn entry(&self, version: VersionId) -> &Entry<'a> {
        &self.versions[version.0 as usize]
    }

    pub(super) fn paragraph(&self, version: VersionId) -> Paragraph<'a> {
        let entry = self.entry(version);
        let text = self.sources[usize::from(entry.source)].1;
        Paragraph::at(text, entry.start as usize, entry.end as usize)
    }
}

impl PackageId {
    /// Position among all packages, from 0.
    pub fn index(self) -> usize {
        self.0 as usize
    }

    pub(crate) fn from_raw(raw: u32) -> Self {
        Self(raw)
    }

    pub(crate) fn raw(self) -> u32 {
        self.0
    }
}

impl VersionId {
    /// Position among all versions, from 0.
    pub fn index(self) -> usize {
        self.0 as usize
    }

    pub(crate) fn from_raw(raw: u32) -> Self {
        Self(raw)
    }

    pub(crate) fn raw(self) -> u32 {
        self.0
    }
}

/// Positions of the entries by name, then from the best version to the worst, then by source.
fn order_of(entries: &[Entry<'_>]) -> Vec<u32> {
    // The first letters lie in the row itself: most comparisons need not look into the text.
    let first_letters = |name: &str| {
        let mut letters = [0; 16];
        letters.iter_mut().zip(name.bytes()).for_each(|(slot, byte)| *slot = byte);
        u128::from_be_bytes(letters)
    };
    let mut rows: Vec<(u128, u32)> =
        entries.iter().map(|entry| first_letters(entry.name)).zip(0..).collect();
    rows.par_sort_by(|(letters_a, a), (letters_b, b)| {
        letters_a.cmp(letters_b).then_with(|| {
            let (a, b) = (&entries[*a as usize], &entries[*b as usize]);
            a.name.cmp(b.name).then_with(|| compare_versions(b.version, a.version))
        })
    });
    rows.into_iter().map(|(_, position)| position).collect()
}
