//! The first pass over an index: a small entry for each version, in parallel over pieces of the text.

use rayon::prelude::*;

use crate::debian::control::{ControlError, ControlProblem, Field, Paragraph, Paragraphs, line_of};
use crate::debian::package::{Architecture, MultiArch, Priority, SourceName, is_package_name};
use crate::debian::relation::{Operator, Qualifier, parse_list};
use crate::debian::version::is_version;

use super::packages::{IndexError, IndexProblem};

/// The most versions all sources together may offer; Debian 13 has 69 000.
pub const VERSIONS_MAX: usize = 1_000_000;
/// The most names all versions together may provide; Debian 13 has 69 000.
pub const PROVIDED_MAX: usize = 1_000_000;
/// Offsets are kept in 32 bits.
const INDEX_BYTES_MAX: usize = 1 << 30;
/// Large enough that handing out pieces costs nothing, small enough that two cores end together.
const PIECE_BYTES: usize = 2 << 20;

/// What the first pass keeps of a paragraph.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry<'a> {
    pub(super) name: &'a str,
    pub(super) version: &'a str,
    pub(super) start: u32,
    pub(super) end: u32,
    pub(super) source: u16,
    pub(super) architecture: Architecture,
    pub(super) multi_arch: MultiArch,
    pub(super) priority: Priority,
    pub(super) essential: bool,
    pub(super) important: bool,
}

/// A name that an entry provides.
#[derive(Debug, Clone, Copy)]
pub(super) struct ProvidedName<'a> {
    pub(super) name: &'a str,
    pub(super) version: Option<&'a str>,
    /// `Provides: name:any`.
    pub(super) any: bool,
    /// Position of the entry in [`Scan::entries`].
    pub(super) entry: u32,
}

/// All entries of some text, in its order.
#[derive(Debug, Default)]
pub(super) struct Scan<'a> {
    pub(super) entries: Vec<Entry<'a>>,
    pub(super) provided: Vec<ProvidedName<'a>>,
}

/// Reads all sources; the result does not depend on the number of threads.
pub(super) fn scan_sources<'a>(
    sources: &[(SourceName, &'a [u8])],
    architecture: Architecture,
) -> Result<Scan<'a>, IndexError> {
    let mut pieces = Vec::new();
    for (number, (name, text)) in sources.iter().enumerate() {
        let fail = |problem| IndexError { source_name: name.clone(), line: 1, problem };
        if text.len() > INDEX_BYTES_MAX {
            return Err(fail(IndexProblem::TooMany { what: "bytes", limit: INDEX_BYTES_MAX }));
        }
        let number = u16::try_from(number)
            .map_err(|_| fail(IndexProblem::TooMany { what: "sources", limit: 65_535 }))?;
        pieces.extend(split(text).into_iter().map(|range| (number, *text, range)));
    }
    let scans: Vec<Result<Scan<'a>, IndexError>> = pieces
        .into_par_iter()
        .map(|(number, text, range)| {
            scan_piece(number, text, range, architecture).map_err(|(line, problem)| {
                let source_name = sources[usize::from(number)].0.clone();
                IndexError { source_name, line, problem }
            })
        })
        .collect();
    join(scans, sources)
}

fn join<'a>(
    scans: Vec<Result<Scan<'a>, IndexError>>,
    sources: &[(SourceName, &[u8])],
) -> Result<Scan<'a>, IndexError> {
    let mut whole = Scan::default();
    for scan in scans {
        let scan = scan?;
        let base = u32::try_from(whole.entries.len()).expect("limited below");
        whole.entries.extend(scan.entries);
        whole.provided.extend(
            scan.provided.into_iter().map(|name| ProvidedName { entry: name.entry + base, ..name }),
        );
        let too_many = [
            ("versions", whole.entries.len(), VERSIONS_MAX),
            ("provided names", whole.provided.len(), PROVIDED_MAX),
        ];
        if let Some((what, _, limit)) = too_many.into_iter().find(|(_, count, max)| count > max) {
            let source_name = sources[0].0.clone();
            let problem = IndexProblem::TooMany { what, limit };
            return Err(IndexError { source_name, line: 1, problem });
        }
    }
    Ok(whole)
}

/// Ranges of about [`PIECE_BYTES`] that end where a paragraph ends.
fn split(text: &[u8]) -> Vec<std::ops::Range<usize>> {
    let mut ranges = Vec::new();
    let mut start = 0;
    while start < text.len() {
        let least = (start + PIECE_BYTES).min(text.len());
        let end = memchr::memmem::find(&text[least..], b"\n\n")
            .map_or(text.len(), |length| least + length + 2);
        ranges.push(start..end);
        start = end;
    }
    ranges
}

type Located = (usize, IndexProblem);

fn scan_piece(
    source: u16,
    text: &[u8],
    range: std::ops::Range<usize>,
    architecture: Architecture,
) -> Result<Scan<'_>, Located> {
    let mut scan = Scan::default();
    for paragraph in Paragraphs::new(&text[range.clone()]) {
        let inner = paragraph.range();
        let paragraph = Paragraph::at(text, inner.start + range.start, inner.end + range.start);
        let Some((entry, provides)) = scan_paragraph(source, paragraph, architecture)? else {
            continue;
        };
        if let Some(field) = provides {
            add_provided(&mut scan, field, text, architecture)?;
        }
        scan.entries.push(entry);
    }
    Ok(scan)
}

/// `None` for a package of another architecture, be it one we know or not.
fn scan_paragraph(
    source: u16,
    paragraph: Paragraph<'_>,
    wanted: Architecture,
) -> Result<Option<(Entry<'_>, Option<Field<'_>>)>, Located> {
    let fail = |error: ControlError| (error.line, IndexProblem::Control(error.problem));
    let [mut name, mut version, mut architecture, mut provides] = [None; 4];
    let offset = |at: usize| u32::try_from(at).expect("sources are limited to 1 GiB");
    let mut entry = Entry {
        name: "",
        version: "",
        start: offset(paragraph.range().start),
        end: offset(paragraph.range().end),
        source,
        architecture: Architecture::All,
        multi_arch: MultiArch::No,
        priority: Priority::Unstated,
        essential: false,
        important: false,
    };
    for field in paragraph.fields() {
        let field = field.map_err(fail)?;
        // Half of the lines of an index are passed over by their first letter.
        if !matches!(field.name[0], b'P' | b'V' | b'A' | b'E' | b'I' | b'M') {
            continue;
        }
        match field.name {
            b"Package" => once(&mut name, field, "Package").map_err(fail)?,
            b"Version" => once(&mut version, field, "Version").map_err(fail)?,
            b"Architecture" => once(&mut architecture, field, "Architecture").map_err(fail)?,
            b"Provides" => once(&mut provides, field, "Provides").map_err(fail)?,
            b"Essential" => entry.essential = field.value == b"yes",
            b"Important" | b"Protected" => entry.important |= field.value == b"yes",
            b"Multi-Arch" => entry.multi_arch = MultiArch::from_field(field.value),
            b"Priority" => entry.priority = Priority::from_field(field.value),
            _ => {}
        }
    }
    let missing = |field| fail(paragraph.error(ControlProblem::Missing { field }));
    let name = name.ok_or_else(|| missing("Package"))?;
    let version = version.ok_or_else(|| missing("Version"))?;
    let architecture = architecture.ok_or_else(|| missing("Architecture"))?;
    entry.name = name.as_text().map_err(fail)?;
    if !is_package_name(entry.name) {
        return Err(fail(name.not("a package name")));
    }
    entry.version = version.as_text().map_err(fail)?;
    if !is_version(entry.version.as_bytes()) {
        return Err(fail(version.not("a Debian version")));
    }
    let built_for = architecture.as_text().map_err(fail)?.parse::<Architecture>();
    Ok(built_for.ok().filter(|one| [wanted, Architecture::All].contains(one)).map(|architecture| {
        entry.architecture = architecture;
        (entry, provides)
    }))
}

fn once<'a>(
    slot: &mut Option<Field<'a>>,
    field: Field<'a>,
    name: &'static str,
) -> Result<(), ControlError> {
    if slot.replace(field).is_some() {
        return Err(field.error(ControlProblem::Twice { field: name }));
    }
    Ok(())
}

fn add_provided<'a>(
    scan: &mut Scan<'a>,
    field: Field<'a>,
    text: &[u8],
    architecture: Architecture,
) -> Result<(), Located> {
    let fail = |error: ControlError| (error.line, IndexProblem::Control(error.problem));
    let names = parse_list(field.as_text().map_err(fail)?, architecture).map_err(|error| {
        (line_of(text, field.offset()), IndexProblem::Relation { field: "Provides", error })
    })?;
    let entry = u32::try_from(scan.entries.len()).expect("a piece has at most 2³⁰ bytes");
    for name in names {
        // Only `=` says what is provided; apt leaves out the rest with a warning.
        let version = match name.version {
            None => None,
            Some((Operator::Equal, version)) => Some(version),
            Some(_) => continue,
        };
        let any = match name.qualifier {
            Qualifier::Own => false,
            Qualifier::Any => true,
            Qualifier::Named(_) => continue,
        };
        scan.provided.push(ProvidedName { name: name.name, version, any, entry });
    }
    Ok(())
}
