//! Where a package is first named in the indexes: apt's last word among equal providers.
//!
//! apt numbers packages as it meets their names while it reads the indexes: the paragraph's own name,
//! then the names in its relations in the order [`FIELDS`]; of two providers that are equal otherwise
//! it takes the one with the higher number. Source: `CompareProviders` in `apt-pkg/depcache.cc`,
//! `NewVersion` in `apt-pkg/deb/deblistparser.cc` of apt 3.0.3. Numbering all packages as apt does
//! would cost more than all the rest of reading, and ties are few: so a name is searched for when asked.

use super::packages::{PackageId, PackageIndex};
use crate::debian::control::Paragraph;

/// A place in the indexes; places compare in apt's order of reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mention {
    source: usize,
    paragraph: usize,
    field: usize,
    offset: usize,
}

/// Fields that name packages, in the order apt reads them.
const FIELDS: [&[u8]; 10] = [
    b"Package",
    b"Pre-Depends",
    b"Depends",
    b"Conflicts",
    b"Breaks",
    b"Recommends",
    b"Suggests",
    b"Replaces",
    b"Enhances",
    b"Provides",
];

impl PackageIndex<'_> {
    /// Where the first paragraph of `package` itself begins: it is named there at the latest.
    pub fn own_paragraph(&self, package: PackageId) -> Mention {
        let places = self.versions(package).map(|version| {
            let entry = self.entry(version);
            (usize::from(entry.source), entry.start as usize)
        });
        let (source, paragraph) = places.min().expect("a package has a version");
        Mention { source, paragraph, field: 0, offset: 0 }
    }

    /// Where `package` is first named.
    pub fn first_mention(&self, package: PackageId) -> Mention {
        let name = self.name(package).as_bytes();
        let finder = memchr::memmem::Finder::new(name);
        let found = self.sources.iter().enumerate().find_map(|(source, (_, text))| {
            let mut from = 0;
            while let Some(hit) = finder.find(&text[from..]) {
                let (start, end) = (from + hit, from + hit + name.len());
                from = end;
                // Most hits are parts of other words.
                if !is_whole_name(text, start, end) {
                    continue;
                }
                let paragraph = paragraph_around(text, start);
                if let Some((field, offset)) = first_in(paragraph, name) {
                    let paragraph = paragraph.range().start;
                    return Some(Mention { source, paragraph, field, offset });
                }
                from = paragraph.range().end.max(end);
            }
            None
        });
        found.unwrap_or_else(|| self.own_paragraph(package))
    }
}

fn paragraph_around(text: &[u8], position: usize) -> Paragraph<'_> {
    let gap = memchr::memmem::rfind(&text[..position], b"\n\n").map_or(0, |gap| gap + 2);
    // Only the first paragraph can have an empty line before it that no other one precedes.
    let start = gap + text[gap..position].iter().take_while(|&&byte| byte == b'\n').count();
    let end = memchr::memmem::find(&text[position..], b"\n\n")
        .map_or(text.len(), |length| position + length + 1);
    Paragraph::at(text, start, end)
}

/// The first of [`FIELDS`] that names `name`, and where in it.
fn first_in(paragraph: Paragraph<'_>, name: &[u8]) -> Option<(usize, usize)> {
    paragraph
        .fields()
        .map_while(Result::ok)
        .filter_map(|field| {
            let rank = FIELDS.iter().position(|known| *known == field.name)?;
            Some((rank, position_of_name(field.value, name)?))
        })
        .min()
}

/// Where `name` stands as a whole name in a list of relations.
fn position_of_name(relations: &[u8], name: &[u8]) -> Option<usize> {
    memchr::memmem::find_iter(relations, name)
        .find(|&start| is_whole_name(relations, start, start + name.len()))
}

/// Whether `start..end` is all of a name in a list of relations; `name:any` is another name.
fn is_whole_name(text: &[u8], start: usize, end: usize) -> bool {
    let after = &text[end..];
    let ends = match after.first() {
        None => true,
        Some(b':') => !after.starts_with(b":any"),
        Some(byte) => !byte.is_ascii_alphanumeric() && !b"+-.".contains(byte),
    };
    let before = start.checked_sub(1).map(|last| text[last]);
    let touches = before.is_some_and(|byte| byte.is_ascii_graphic() && !b",|:".contains(&byte));
    // In the text of a field a blank may only follow a comma, a bar or the name of the field.
    let separated = || {
        let before = text[..start].trim_ascii_end();
        before.last().is_none_or(|byte| b",|:".contains(byte))
    };
    ends && !touches && separated()
}
