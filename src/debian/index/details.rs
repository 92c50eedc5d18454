//! What a resolver and a lock ask of one version; read from its paragraph when asked for.

use super::packages::{IndexError, IndexProblem, PackageIndex, VersionId};
use crate::debian::control::{ControlError, ControlProblem, Field, line_of};
use crate::debian::package::PoolPath;
use crate::debian::record::{DEB_BYTES_MAX, PackageRecord};
use crate::debian::relation::{Alternatives, Relation, parse_list, parse_relations};

/// The relations of a version that decide what can be installed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Details<'a> {
    /// `Pre-Depends`, then `Depends`.
    pub needs: Vec<Need<'a>>,
    /// `Conflicts`, then `Breaks`.
    pub against: Vec<Against<'a>>,
}

/// One thing a version cannot be without.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Need<'a> {
    /// The field that says so: `Pre-Depends` or `Depends`.
    pub field: &'static str,
    /// One of these is enough.
    pub alternatives: Alternatives<'a>,
}

/// One thing a version cannot be together with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Against<'a> {
    /// The field that says so: `Conflicts` or `Breaks`.
    pub field: &'static str,
    /// What is meant.
    pub relation: Relation<'a>,
}

impl<'a> PackageIndex<'a> {
    /// The relations that decide what can be installed with `version`.
    pub fn details(&self, version: VersionId) -> Result<Details<'a>, IndexError> {
        let paragraph = self.paragraph(version);
        let [mut pre_depends, mut depends, mut conflicts, mut breaks] = [None; 4];
        for field in paragraph.fields() {
            let field = field.map_err(|error| self.control_error(version, error))?;
            match field.name {
                b"Pre-Depends" => pre_depends = Some(field),
                b"Depends" => depends = Some(field),
                b"Conflicts" => conflicts = Some(field),
                b"Breaks" => breaks = Some(field),
                _ => {}
            }
        }
        let mut details = Details::default();
        for (field, name) in [(pre_depends, "Pre-Depends"), (depends, "Depends")] {
            details.needs.extend(
                self.relations(version, field, name)?
                    .into_iter()
                    .map(|alternatives| Need { field: name, alternatives }),
            );
        }
        for (field, name) in [(conflicts, "Conflicts"), (breaks, "Breaks")] {
            let Some(field) = field else { continue };
            let text = field.as_text().map_err(|error| self.control_error(version, error))?;
            let relations = parse_list(text, self.architecture)
                .map_err(|error| self.relation_error(version, field, name, error))?;
            details
                .against
                .extend(relations.into_iter().map(|relation| Against { field: name, relation }));
        }
        Ok(details)
    }

    /// What `version` would like to have: `Recommends`, then `Suggests`.
    pub fn wishes(&self, version: VersionId) -> Result<Vec<Alternatives<'a>>, IndexError> {
        let paragraph = self.paragraph(version);
        let mut wishes = Vec::new();
        for name in ["Recommends", "Suggests"] {
            let field =
                paragraph.field(name).map_err(|error| self.control_error(version, error))?;
            wishes.extend(self.relations(version, field, name)?);
        }
        Ok(wishes)
    }

    /// What a lock keeps of `version`.
    pub fn record(&self, version: VersionId) -> Result<PackageRecord, IndexError> {
        let paragraph = self.paragraph(version);
        let entry = self.entry(version);
        let fail = |error| self.control_error(version, error);
        let required = |name: &'static str| {
            let missing = || paragraph.error(ControlProblem::Missing { field: name });
            paragraph.field(name).and_then(|field| field.ok_or_else(missing)).map_err(fail)
        };
        let (filename, size, sha256) =
            (required("Filename")?, required("Size")?, required("SHA256")?);
        let size_number = size.as_text().ok().and_then(|text| text.parse().ok());
        Ok(PackageRecord {
            name: entry.name.parse().expect("names were checked on reading"),
            architecture: entry.architecture,
            version: entry.version.parse().expect("versions were checked on reading"),
            source: self.source(version).clone(),
            path: pool_path(filename).map_err(fail)?,
            sha256: sha256
                .as_text()
                .map_err(fail)?
                .parse()
                .map_err(|_| fail(sha256.not("a SHA-256 digest of 64 hexadecimal digits")))?,
            size: size_number
                .filter(|bytes| (1..=DEB_BYTES_MAX).contains(bytes))
                .ok_or_else(|| fail(size.not("a size from 1 byte to 4 GiB")))?,
        })
    }

    fn relations(
        &self,
        version: VersionId,
        field: Option<Field<'a>>,
        name: &'static str,
    ) -> Result<Vec<Alternatives<'a>>, IndexError> {
        let Some(field) = field else { return Ok(Vec::new()) };
        let text = field.as_text().map_err(|error| self.control_error(version, error))?;
        parse_relations(text, self.architecture)
            .map_err(|error| self.relation_error(version, field, name, error))
    }

    fn control_error(&self, version: VersionId, error: ControlError) -> IndexError {
        let source_name = self.source(version).clone();
        IndexError { source_name, line: error.line, problem: IndexProblem::Control(error.problem) }
    }

    fn relation_error(
        &self,
        version: VersionId,
        field: Field<'_>,
        name: &'static str,
        error: crate::debian::relation::RelationError,
    ) -> IndexError {
        let text = self.sources[usize::from(self.entry(version).source)].1;
        IndexError {
            source_name: self.source(version).clone(),
            line: line_of(text, field.offset()),
            problem: IndexProblem::Relation { field: name, error },
        }
    }
}

/// Flat archives write `./name.deb`.
fn pool_path(field: Field<'_>) -> Result<PoolPath, ControlError> {
    let text = field.as_text()?;
    text.strip_prefix("./")
        .unwrap_or(text)
        .parse()
        .map_err(|_| field.not("a path below the archive's root"))
}
