//! TOML with places: every syntax error at once, within limits.

use std::ops::Range;
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};
use toml_parser::lexer::TokenKind;

use crate::diag::{Code, Diagnostic, Place, Problems, Source};

/// Most bytes of a host file, module file or template.
pub const FILE_BYTES_MAX: usize = 1 << 20;
/// Most parts of a dotted key.
const KEY_PARTS_MAX: usize = 16;
/// Deepest nesting of arrays and inline tables.
const NESTING_MAX: usize = 16;

/// A key of a table, with its place.
pub(crate) type Key<'a> = Spanned<DeString<'a>>;
/// A value of a table, with its place.
pub(crate) type Raw<'a> = Spanned<DeValue<'a>>;

/// Reads a text; what could be read comes back together with all the errors.
///
/// `None` when the text is too large or nests too deep to be read at all.
pub(crate) fn parse<'a>(source: &'a Arc<Source>, problems: &mut Problems) -> Option<DeTable<'a>> {
    if let Err(problem) = check_size(source).and_then(|()| check_depth(source)) {
        problems.push(*problem);
        return None;
    }
    let (table, errors) = DeTable::parse_recoverable(&source.text);
    for error in errors {
        let span = visible(source, error.span().unwrap_or(0..0));
        problems.push(syntax_problem(error.message(), Place::new(source, span)));
    }
    Some(table.into_inner())
}

/// The parser's message, in our words where its own mislead.
fn syntax_problem(found: &str, place: Place) -> Diagnostic {
    let error = |message: &str, reason| Diagnostic::error(Code::Syntax, message, place, reason);
    if found.starts_with("string values must be quoted") {
        let problem = error("this is not a value", "expected a value on this line");
        problem.with_help("Text stands in quotes: `key = \"text\"`.")
    } else if found.starts_with("duplicate key") {
        error("this is set twice", "the second one")
    } else if found.starts_with("invalid basic string, expected `\"`") {
        error("a text in quotes does not end", "expected `\"` before the end of the line")
    } else {
        error(found, "expected TOML here")
    }
}

/// Whether `source` is small enough.
pub(crate) fn check_size(source: &Arc<Source>) -> Result<(), Box<Diagnostic>> {
    if source.text.len() <= FILE_BYTES_MAX {
        return Ok(());
    }
    let message = format!("the file has {} bytes", source.text.len());
    // Only the start is shown; the renderer need not carry the rest.
    let head: String = source.text.chars().take(200).collect();
    let place = Place::start_of(&Source::new(source.path.clone(), head));
    let problem = Diagnostic::error(Code::FileTooLarge, message, place, "expected at most 1 MiB");
    Err(Box::new(problem))
}

/// Bounds recursion before a tree exists: the parser and the tree's own `drop` recurse.
fn check_depth(source: &Arc<Source>) -> Result<(), Box<Diagnostic>> {
    let (mut dots, mut open) = (0_usize, 0_usize);
    for token in toml_parser::Source::new(&source.text).lex() {
        match token.kind() {
            TokenKind::Dot => dots += 1,
            TokenKind::Equals | TokenKind::Comma | TokenKind::Newline => dots = 0,
            TokenKind::LeftSquareBracket | TokenKind::LeftCurlyBracket => {
                (dots, open) = (0, open + 1);
            }
            TokenKind::RightSquareBracket | TokenKind::RightCurlyBracket => {
                (dots, open) = (0, open.saturating_sub(1));
            }
            _ => {}
        }
        if dots >= KEY_PARTS_MAX || open > NESTING_MAX {
            let place = Place::new(source, token.span().start()..token.span().end());
            let message = "nested too deep";
            let reason = format!("more than {KEY_PARTS_MAX} levels here");
            return Err(Box::new(Diagnostic::error(Code::TooDeep, message, place, reason)));
        }
    }
    Ok(())
}

/// Moves an empty span at a line's end onto something that can be underlined.
fn visible(source: &Source, span: Range<usize>) -> Range<usize> {
    let end = source.text.trim_end().len();
    if span.start >= end && !source.text.is_empty() { end.saturating_sub(1)..end } else { span }
}
