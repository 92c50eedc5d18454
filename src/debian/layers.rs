//! Whose file wins where two packages of a set bring the same path.
//!
//! dpkg lets a package overwrite another's file when it says `Replaces` for the other's name and version,
//! and keeps its file also when the other is unpacked later. So as layers, bottom up: what is replaced,
//! then what replaces it. Source: deb-control(5), "Replaces"; `does_replace` in `src/main/depcon.c` and
//! `src/main/archives.c` of dpkg 1.22; only real names count there.

use std::collections::{BTreeMap, BTreeSet};

use thiserror::Error;

use super::control::{ControlError, Paragraph, Paragraphs};
use super::package::{Architecture, FormError, MultiArch, PackageName};
use super::relation::{Operator, Qualifier, RelationError, parse_list};
use super::version::{Version, VersionError};

#[cfg(test)]
mod tests;

/// What the `control` file of an unpacked package says about layers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackageMeta {
    /// The package.
    pub name: PackageName,
    /// Its version.
    pub version: Version,
    /// The architecture it was built for.
    pub architecture: Architecture,
    /// How it serves other architectures.
    pub multi_arch: MultiArch,
    /// Whether it is `Essential: yes`.
    pub essential: bool,
    /// The packages it may overwrite.
    pub replaces: Vec<Replaced>,
}

/// Packages that may be overwritten.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replaced {
    /// The package.
    pub name: PackageName,
    /// The versions that are meant; all when missing.
    pub version: Option<(Operator, Version)>,
}

/// A `control` file that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum MetaError {
    /// It has no paragraph.
    #[error("the control file is empty")]
    Empty,
    /// It is not control data, or a field is missing.
    #[error("the control file is malformed")]
    Control(#[from] ControlError),
    /// A name or architecture is malformed.
    #[error("a field of the control file is malformed")]
    Form(#[from] FormError),
    /// The version is malformed.
    #[error("the version in the control file is malformed")]
    Version(#[from] VersionError),
    /// `Replaces` is malformed.
    #[error("the field `Replaces` of the control file is malformed")]
    Relation(#[from] RelationError),
}

impl PackageMeta {
    /// Reads the `control` file of a package.
    pub fn parse(control: &[u8]) -> Result<Self, MetaError> {
        let paragraph = Paragraphs::new(control).next().ok_or(MetaError::Empty)?;
        let architecture: Architecture = paragraph.required("Architecture")?.parse()?;
        let multi_arch = paragraph
            .field("Multi-Arch")?
            .map_or(MultiArch::No, |field| MultiArch::from_field(field.value));
        Ok(Self {
            name: paragraph.required("Package")?.parse()?,
            version: paragraph.required("Version")?.parse()?,
            architecture,
            multi_arch,
            essential: paragraph.text("Essential")? == Some("yes"),
            replaces: replaces(paragraph, architecture)?,
        })
    }

    /// Whether it may overwrite files of `other`.
    pub fn replaces(&self, other: &PackageMeta) -> bool {
        let covers = |replaced: &Replaced| {
            let version = replaced.version.as_ref();
            replaced.name == other.name
                && version.is_none_or(|(operator, v)| operator.holds(other.version.compare(v)))
        };
        self.name != other.name && self.replaces.iter().any(covers)
    }
}

fn replaces(
    paragraph: Paragraph<'_>,
    architecture: Architecture,
) -> Result<Vec<Replaced>, MetaError> {
    let text = paragraph.text("Replaces")?.unwrap_or_default();
    let mut replaces = Vec::new();
    for relation in parse_list(text, architecture)? {
        if matches!(relation.qualifier, Qualifier::Named(_)) {
            continue;
        }
        let version = match relation.version {
            Some((operator, version)) => Some((operator, version.parse()?)),
            None => None,
        };
        replaces.push(Replaced { name: relation.name.parse()?, version });
    }
    Ok(replaces)
}

/// The order of `packages` as layers, bottom first, as positions in the slice.
///
/// A package that replaces another of the set lies above it; apart from that the order is by name, with
/// `base-files` before all others, because the attributes of directories are its to say.
/// Packages that replace each other in a ring (dpkg: the one unpacked last wins) are also taken by name.
pub fn layer_order(packages: &[PackageMeta]) -> Vec<usize> {
    let mut by_name: Vec<usize> = (0..packages.len()).collect();
    by_name.sort_by_key(|&position| {
        let package = &packages[position];
        (package.name.as_str() != "base-files", &package.name, package.architecture)
    });
    let positions: BTreeMap<&PackageName, usize> =
        by_name.iter().rev().map(|&position| (&packages[position].name, position)).collect();
    let mut rank = vec![0; packages.len()];
    for (place, &position) in by_name.iter().enumerate() {
        rank[position] = place;
    }
    // By rank: how many lie below and are not placed yet, and which lie above.
    let mut below_count = vec![0_usize; packages.len()];
    let mut above: Vec<Vec<usize>> = vec![Vec::new(); packages.len()];
    for (position, package) in packages.iter().enumerate() {
        let known = package.replaces.iter().filter_map(|one| positions.get(&one.name).copied());
        let below: BTreeSet<usize> =
            known.filter(|&other| package.replaces(&packages[other])).collect();
        below_count[rank[position]] = below.len();
        for other in below {
            above[rank[other]].push(rank[position]);
        }
    }
    let mut left: BTreeSet<usize> = (0..packages.len()).collect();
    let mut ready: BTreeSet<usize> =
        left.iter().copied().filter(|&place| below_count[place] == 0).collect();
    let mut order = Vec::with_capacity(packages.len());
    while let Some(place) = ready.pop_first().or_else(|| left.first().copied()) {
        left.remove(&place);
        order.push(by_name[place]);
        for &other in &above[place] {
            below_count[other] -= 1;
            if below_count[other] == 0 && left.contains(&other) {
                ready.insert(other);
            }
        }
    }
    order
}
