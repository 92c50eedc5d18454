//! Texts with a name, and places in them.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// A text and the name it goes by in messages (`hosts/vps1.toml`).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Source {
    /// The name, as the user would type it.
    pub path: String,
    /// The whole text.
    pub text: String,
}

/// A piece of a text.
#[derive(Clone, PartialEq, Eq)]
pub struct Place {
    /// The text.
    pub source: Arc<Source>,
    /// Bytes from and to; may be empty, never past the end of the text.
    pub span: Range<usize>,
}

/// Line and column, both from 1; the column counts characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Line, from 1.
    pub line: usize,
    /// Character in the line, from 1.
    pub column: usize,
}

impl Source {
    /// A shared text.
    pub fn new(path: impl Into<String>, text: impl Into<String>) -> Arc<Self> {
        Arc::new(Self { path: path.into(), text: text.into() })
    }

    /// Where the byte `offset` lies; past the end means the end.
    pub fn position(&self, offset: usize) -> Position {
        let before = &self.text[..self.floor_boundary(offset)];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Position {
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
        }
    }

    /// The byte offset of the character at `position`; past a line's end means its end.
    pub fn offset(&self, position: Position) -> usize {
        let mut start = 0;
        for _ in 1..position.line {
            match self.text[start..].find('\n') {
                Some(newline) => start += newline + 1,
                None => return self.text.len(),
            }
        }
        let line = self.text[start..].split('\n').next().unwrap_or_default();
        let inside = line.char_indices().nth(position.column.saturating_sub(1));
        start + inside.map_or(line.len(), |(offset, _)| offset)
    }

    /// The largest character boundary that is not after `offset`.
    fn floor_boundary(&self, offset: usize) -> usize {
        let mut offset = offset.min(self.text.len());
        while !self.text.is_char_boundary(offset) {
            offset -= 1;
        }
        offset
    }
}

impl Place {
    /// A piece of `source`; ends are moved to character boundaries inside the text.
    pub fn new(source: &Arc<Source>, span: Range<usize>) -> Self {
        let start = source.floor_boundary(span.start);
        let end = source.floor_boundary(span.end).max(start);
        Self { source: Arc::clone(source), span: start..end }
    }

    /// The first line of `source`, for problems of the file as a whole.
    pub fn start_of(source: &Arc<Source>) -> Self {
        Self::new(source, 0..0)
    }

    /// Line and column of its first character.
    pub fn position(&self) -> Position {
        self.source.position(self.span.start)
    }

    /// The text at this place.
    pub fn text(&self) -> &str {
        &self.source.text[self.span.clone()]
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Position { line, column } = self.position();
        write!(f, "{}:{line}:{column}", self.source.path)
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Source({}, {} bytes)", self.path, self.text.len())
    }
}

/// Text from outside for a message: control characters escaped, cut to 60 characters.
pub fn printable(text: &str) -> String {
    const CHARS_MAX: usize = 60;
    let mut out = String::new();
    for (count, char) in text.chars().enumerate() {
        if count == CHARS_MAX {
            out.push('…');
            break;
        }
        if char.is_control() || is_direction_mark(char) {
            out.extend(char.escape_default());
        } else {
            out.push(char);
        }
    }
    out
}

/// Characters that reorder what a terminal shows. Source: Unicode Annex 9, "Explicit Directional".
fn is_direction_mark(char: char) -> bool {
    matches!(char, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}
