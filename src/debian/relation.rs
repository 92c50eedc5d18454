//! Relations between packages: `Depends: a (>= 1) | b:any, c [amd64]`.
//!
//! Source: Debian Policy 7.1, deb-control(5), and what dpkg and apt do beyond: `<` and `>` mean `<=` and
//! `>=`, an empty part between commas is skipped. Names and versions borrow from the text.

use std::cmp::Ordering;
use std::fmt;

use thiserror::Error;

use super::package::{Architecture, is_package_name};
use super::version::{compare_versions, is_version};

#[cfg(test)]
mod tests;

/// The most packages one field may name; the most of Debian 13 is 2 500.
pub const RELATIONS_MAX: usize = 20_000;

/// How a version must compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operator {
    /// `<<`
    Less,
    /// `<=`
    LessEqual,
    /// `=`
    Equal,
    /// `>=`
    GreaterEqual,
    /// `>>`
    Greater,
}

/// Which architecture of a package is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Qualifier<'a> {
    /// That of the package that asks.
    Own,
    /// `:any`: every one, if the package allows it.
    Any,
    /// `:amd64`
    Named(&'a str),
}

/// One package that is asked for or spoken against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Relation<'a> {
    /// The package, real or virtual.
    pub name: &'a str,
    /// The architecture.
    pub qualifier: Qualifier<'a>,
    /// The versions that are meant; all when missing.
    pub version: Option<(Operator, &'a str)>,
}

/// Packages of which one is enough, in order of preference; never empty.
pub type Alternatives<'a> = Vec<Relation<'a>>;

/// A field that is not a list of relations.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{part}` is not {expected}")]
pub struct RelationError {
    /// The part that is wrong, cut to 80 characters.
    pub part: String,
    /// What it should be, with its article.
    pub expected: &'static str,
}

impl Operator {
    /// Whether a version that compares so with the relation's is meant.
    pub fn holds(self, order: Ordering) -> bool {
        match self {
            Self::Less => order.is_lt(),
            Self::LessEqual => order.is_le(),
            Self::Equal => order.is_eq(),
            Self::GreaterEqual => order.is_ge(),
            Self::Greater => order.is_gt(),
        }
    }
}

impl Relation<'_> {
    /// Whether `version` is meant.
    pub fn covers(&self, version: &str) -> bool {
        self.version
            .is_none_or(|(operator, wanted)| operator.holds(compare_versions(version, wanted)))
    }
}

impl fmt::Display for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Less => "<<",
            Self::LessEqual => "<=",
            Self::Equal => "=",
            Self::GreaterEqual => ">=",
            Self::Greater => ">>",
        })
    }
}

impl fmt::Display for Relation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)?;
        match self.qualifier {
            Qualifier::Own => {}
            Qualifier::Any => f.write_str(":any")?,
            Qualifier::Named(name) => write!(f, ":{name}")?,
        }
        match self.version {
            Some((operator, version)) => write!(f, " ({operator} {version})"),
            None => Ok(()),
        }
    }
}

/// Alternatives as they stand in a field.
pub fn display_alternatives(alternatives: &[Relation<'_>]) -> String {
    alternatives.iter().map(Relation::to_string).collect::<Vec<_>>().join(" | ")
}

/// Reads a field of relations; those restricted to other architectures are left out.
pub fn parse_relations(
    text: &str,
    architecture: Architecture,
) -> Result<Vec<Alternatives<'_>>, RelationError> {
    let mut groups = Vec::new();
    let mut count = 0_usize;
    for part in text.split(',').map(str::trim_ascii).filter(|part| !part.is_empty()) {
        let mut group = Vec::new();
        for relation in part.split('|') {
            count += 1;
            if count > RELATIONS_MAX {
                return Err(error(part, "within the limit of 20000 relations"));
            }
            group.extend(parse_relation(relation.trim_ascii(), architecture)?);
        }
        if !group.is_empty() {
            groups.push(group);
        }
    }
    Ok(groups)
}

/// Reads a field without alternatives, such as `Conflicts` or `Provides`.
pub fn parse_list(
    text: &str,
    architecture: Architecture,
) -> Result<Vec<Relation<'_>>, RelationError> {
    parse_relations(text, architecture)?
        .into_iter()
        .map(|group| match group[..] {
            [relation] => Ok(relation),
            _ => Err(error(&display_alternatives(&group), "one package (no `|` is allowed here)")),
        })
        .collect()
}

fn parse_relation(
    text: &str,
    architecture: Architecture,
) -> Result<Option<Relation<'_>>, RelationError> {
    let name_end = text.find([' ', '\t', '\n', '(', '[', '<', ':']).unwrap_or(text.len());
    let (name, rest) = text.split_at(name_end);
    if !is_package_name(name) {
        return Err(error(text, "a relation such as `name (>= 1.0)`"));
    }
    let (qualifier, rest) = parse_qualifier(rest, architecture)?;
    let (version, rest) = parse_version(rest.trim_ascii_start())?;
    let (here, rest) = parse_architectures(rest.trim_ascii_start(), architecture)?;
    let (wanted, rest) = parse_profiles(rest.trim_ascii_start())?;
    if !rest.is_empty() {
        return Err(error(rest, "the end of a relation"));
    }
    Ok((here && wanted).then_some(Relation { name, qualifier, version }))
}

fn parse_qualifier(
    text: &str,
    architecture: Architecture,
) -> Result<(Qualifier<'_>, &str), RelationError> {
    let Some(text) = text.strip_prefix(':') else {
        return Ok((Qualifier::Own, text));
    };
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '-').unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    let qualifier = match name {
        "" => return Err(error(text, "an architecture after `:`")),
        "any" => Qualifier::Any,
        "native" => Qualifier::Own,
        _ if name == architecture.name() => Qualifier::Own,
        _ => Qualifier::Named(name),
    };
    Ok((qualifier, rest))
}

type Constraint<'a> = Option<(Operator, &'a str)>;

fn parse_version(text: &str) -> Result<(Constraint<'_>, &str), RelationError> {
    let Some(inner) = text.strip_prefix('(') else {
        return Ok((None, text));
    };
    let (inner, rest) = inner.split_once(')').ok_or_else(|| error(text, "closed by `)`"))?;
    let inner = inner.trim_ascii();
    let (operator, version) =
        inner.split_at(inner.find(|c| !"<>=".contains(c)).unwrap_or(inner.len()));
    let operator = match operator {
        "<<" => Operator::Less,
        "<=" | "<" => Operator::LessEqual,
        "=" | "" => Operator::Equal,
        ">=" | ">" => Operator::GreaterEqual,
        ">>" => Operator::Greater,
        _ => return Err(error(operator, "one of `<<`, `<=`, `=`, `>=`, `>>`")),
    };
    let version = version.trim_ascii();
    if !is_version(version.as_bytes()) {
        return Err(error(version, "a Debian version"));
    }
    Ok((Some((operator, version)), rest))
}

/// `[amd64 arm64]` names where the relation holds, `[!i386]` where it does not.
fn parse_architectures(
    text: &str,
    architecture: Architecture,
) -> Result<(bool, &str), RelationError> {
    let Some(inner) = text.strip_prefix('[') else {
        return Ok((true, text));
    };
    let (inner, rest) = inner.split_once(']').ok_or_else(|| error(text, "closed by `]`"))?;
    let mut negative = false;
    let mut named = false;
    for pattern in inner.split_ascii_whitespace() {
        let name = pattern.strip_prefix('!');
        negative |= name.is_some();
        named |= architecture.matches(name.unwrap_or(pattern));
    }
    Ok((named != negative, rest))
}

/// `<!nocheck> <cross>`: build profiles; none is active, so a list holds when all its terms are negative.
fn parse_profiles(mut text: &str) -> Result<(bool, &str), RelationError> {
    let mut lists = 0_usize;
    let mut holds = false;
    while let Some(inner) = text.strip_prefix('<') {
        let (inner, rest) = inner.split_once('>').ok_or_else(|| error(text, "closed by `>`"))?;
        holds |= inner.split_ascii_whitespace().all(|term| term.starts_with('!'));
        lists += 1;
        text = rest.trim_ascii_start();
    }
    Ok((holds || lists == 0, text))
}

fn error(part: &str, expected: &'static str) -> RelationError {
    RelationError { part: part.chars().take(80).collect(), expected }
}
