//! Control data ("deb822"): paragraphs of `Name: value` lines, read in place.
//!
//! ```text
//! Package: caddy            (a field; the name ends at the first colon)
//! Description: web server
//!  with automatic HTTPS     (a line that begins with a blank continues the value)
//!                           (an empty line ends the paragraph)
//! ```
//!
//! Source: deb822(5) of dpkg 1.22. Comments and signatures are not part of the formats read here
//! (indexes, `Release`, `control` of a package). Nothing is copied: every value borrows from the text.

use memchr::memchr;
use memchr::memmem::Finder;
use thiserror::Error;

#[cfg(test)]
mod tests;

/// The longest value that is looked at as text; the longest of Debian 13 has 47 000 bytes.
pub const VALUE_BYTES_MAX: usize = 1 << 20;

/// The paragraphs of a text, in order.
#[derive(Debug, Clone)]
pub struct Paragraphs<'a> {
    text: &'a [u8],
    position: usize,
    gap: Finder<'static>,
}

/// One paragraph: a run of lines without an empty one.
#[derive(Debug, Clone, Copy)]
pub struct Paragraph<'a> {
    text: &'a [u8],
    start: usize,
    end: usize,
}

/// The fields of a paragraph, in order.
#[derive(Debug, Clone)]
pub struct Fields<'a> {
    paragraph: Paragraph<'a>,
    position: usize,
}

/// One field.
#[derive(Debug, Clone, Copy)]
pub struct Field<'a> {
    /// The part before the colon, as written; names are compared without regard to case by dpkg, but
    /// archives write them in one way, and so they are compared exactly here.
    pub name: &'a [u8],
    /// The raw value, continuation lines included, without the blanks around it.
    pub value: &'a [u8],
    text: &'a [u8],
}

/// Text that is not control data.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("line {line}: {problem}")]
pub struct ControlError {
    /// Line in the whole text, from 1.
    pub line: usize,
    /// What is wrong there.
    pub problem: ControlProblem,
}

/// What can be wrong with control data.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ControlProblem {
    /// A line is neither a field nor a continuation.
    #[error("expected `Name: value`")]
    NoField,
    /// The first line of a paragraph begins with a blank.
    #[error("a continuation line without a field before it")]
    StrayContinuation,
    /// A value is not UTF-8.
    #[error("the value of `{field}` is not UTF-8")]
    NotUtf8 {
        /// The field.
        field: String,
    },
    /// A value is longer than [`VALUE_BYTES_MAX`].
    #[error("the value of `{field}` has {bytes} bytes, more than {VALUE_BYTES_MAX}")]
    TooLong {
        /// The field.
        field: String,
        /// Bytes found.
        bytes: usize,
    },
    /// A field that must be there is not.
    #[error("no field `{field}` in this paragraph")]
    Missing {
        /// The field.
        field: &'static str,
    },
    /// A field that may stand once stands twice.
    #[error("`{field}` stands twice in this paragraph")]
    Twice {
        /// The field.
        field: &'static str,
    },
    /// A value does not have the form of its field.
    #[error("`{value}` is not {expected}")]
    Value {
        /// The value, cut to 80 characters.
        value: String,
        /// What it should be, with its article.
        expected: &'static str,
    },
}

impl<'a> Paragraphs<'a> {
    /// The paragraphs of `text`.
    pub fn new(text: &'a [u8]) -> Self {
        Self { text, position: 0, gap: Finder::new(b"\n\n") }
    }
}

impl<'a> Iterator for Paragraphs<'a> {
    type Item = Paragraph<'a>;

    fn next(&mut self) -> Option<Paragraph<'a>> {
        while self.text.get(self.position) == Some(&b'\n') {
            self.position += 1;
        }
        let start = self.position;
        if start >= self.text.len() {
            return None;
        }
        let end =
            self.gap.find(&self.text[start..]).map_or(self.text.len(), |length| start + length + 1);
        self.position = end;
        Some(Paragraph { text: self.text, start, end })
    }
}

impl<'a> Paragraph<'a> {
    /// The paragraph of `text` that was found at `start..end` before.
    pub fn at(text: &'a [u8], start: usize, end: usize) -> Self {
        let end = end.min(text.len());
        Self { text, start: start.min(end), end }
    }

    /// Where the paragraph stands in the whole text.
    pub fn range(&self) -> std::ops::Range<usize> {
        self.start..self.end
    }

    /// The fields, in order; after an error there are no more.
    pub fn fields(&self) -> Fields<'a> {
        Fields { paragraph: *self, position: self.start }
    }

    /// The first field named `name`.
    pub fn field(&self, name: &str) -> Result<Option<Field<'a>>, ControlError> {
        self.fields()
            .find(|field| field.as_ref().map_or(true, |field| field.name == name.as_bytes()))
            .transpose()
    }

    /// The value of the first field named `name`.
    pub fn text(&self, name: &str) -> Result<Option<&'a str>, ControlError> {
        self.field(name)?.map(|field| field.as_text()).transpose()
    }

    /// The value of a field that must be there.
    pub fn required(&self, name: &'static str) -> Result<&'a str, ControlError> {
        self.text(name)?.ok_or_else(|| self.error(ControlProblem::Missing { field: name }))
    }

    /// An error on the first line of this paragraph.
    pub fn error(&self, problem: ControlProblem) -> ControlError {
        ControlError { line: line_of(self.text, self.start), problem }
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<Field<'a>, ControlError>;

    fn next(&mut self) -> Option<Self::Item> {
        let Paragraph { text, end, .. } = self.paragraph;
        let start = self.position;
        if start >= end {
            return None;
        }
        let mut line_end = end_of_line(text, start, end);
        self.position = line_end + 1;
        while self.position < end && is_blank(text[self.position]) {
            line_end = end_of_line(text, self.position, end);
            self.position = line_end + 1;
        }
        let whole = &text[start..line_end];
        let colon = whole.iter().position(|&byte| byte == b':' || !byte.is_ascii_graphic());
        let Some(colon) = colon.filter(|&colon| colon > 0 && whole[colon] == b':') else {
            self.position = end;
            return Some(Err(self.not_a_field(start)));
        };
        let value = whole[colon + 1..].trim_ascii();
        Some(Ok(Field { name: &whole[..colon], value, text }))
    }
}

impl Fields<'_> {
    #[cold]
    fn not_a_field(&self, start: usize) -> ControlError {
        let text = self.paragraph.text;
        let problem = if is_blank(text[start]) {
            ControlProblem::StrayContinuation
        } else {
            ControlProblem::NoField
        };
        ControlError { line: line_of(text, start), problem }
    }
}

impl<'a> Field<'a> {
    /// The value as text.
    pub fn as_text(&self) -> Result<&'a str, ControlError> {
        let field = || String::from_utf8_lossy(self.name).into_owned();
        if self.value.len() > VALUE_BYTES_MAX {
            let bytes = self.value.len();
            return Err(self.error(ControlProblem::TooLong { field: field(), bytes }));
        }
        std::str::from_utf8(self.value)
            .map_err(|_| self.error(ControlProblem::NotUtf8 { field: field() }))
    }

    /// An error about this field's value, which is not `expected` (with its article).
    pub fn not(&self, expected: &'static str) -> ControlError {
        let value = String::from_utf8_lossy(self.value).chars().take(80).collect();
        self.error(ControlProblem::Value { value, expected })
    }

    /// An error on the line of this field.
    pub fn error(&self, problem: ControlProblem) -> ControlError {
        ControlError { line: line_of(self.text, self.offset()), problem }
    }

    /// Where the field's name stands in the whole text.
    pub fn offset(&self) -> usize {
        self.name.as_ptr().addr() - self.text.as_ptr().addr()
    }
}

/// The line, from 1, that holds the byte at `offset`.
pub fn line_of(text: &[u8], offset: usize) -> usize {
    memchr::memchr_iter(b'\n', &text[..offset.min(text.len())]).count() + 1
}

fn is_blank(byte: u8) -> bool {
    byte == b' ' || byte == b'\t'
}

fn end_of_line(text: &[u8], start: usize, end: usize) -> usize {
    memchr(b'\n', &text[start..end]).map_or(end, |length| start + length)
}
