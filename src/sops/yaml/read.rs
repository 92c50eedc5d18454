//! YAML text → entries with their comments.

use base64::Engine as _;
use granit_parser::{Event, Parser, Placement, ScalarStyle, Span, StructureStyle, Tag};

use super::super::error::SopsError;
use super::super::format::check_unique;
use super::super::secret::SecretBytes;
use super::super::tree::{Comment, DEPTH_MAX, Item, Node};
use super::resolve::resolve;

/// Most comment lines that follow one another.
const COMMENTS_MAX: usize = 10_000;

/// Reads one document, a map.
pub(in super::super) fn parse(bytes: &[u8]) -> Result<Vec<Item>, SopsError> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let line = bytes[..error.valid_up_to()].split(|byte| *byte == b'\n').count();
        SopsError::Syntax { format: "YAML", line, reason: "it is not UTF-8".to_owned() }
    })?;
    let options = granit_parser::options! {
        disallow_directives: true,
        emit_unresolved_aliases: true,
        max_buffered_comment_events: COMMENTS_MAX,
        flow_nesting_limit: DEPTH_MAX + 1,
        block_nesting_limit: DEPTH_MAX + 1,
    };
    let parser = Parser::new_from_str_with_options(text, options);
    let mut reader = Reader { parser, ahead: None, pending: Vec::new() };
    reader.document()
}

/// A comment that waits for the map it belongs to.
struct Waiting {
    comment: Comment,
    column: usize,
}

struct Reader<'t> {
    parser: Parser<'t, granit_parser::StrInput<'t>>,
    ahead: Option<(Event<'t>, Span)>,
    pending: Vec<Waiting>,
}

impl<'t> Reader<'t> {
    fn document(&mut self) -> Result<Vec<Item>, SopsError> {
        let mut items = None;
        loop {
            let (event, span) = self.next()?;
            match event {
                Event::StreamStart | Event::DocumentEnd => {}
                Event::StreamEnd => break,
                Event::DocumentStart(..) if items.is_none() => {
                    items = Some(Vec::new());
                    if let Some((Event::DocumentEnd, _)) = self.peek()? {
                        continue;
                    }
                    items = Some(self.top()?);
                }
                _ => {
                    let instead = "put each document into a file of its own";
                    return Err(unsupported(&span, "a second document", instead));
                }
            }
        }
        let mut items = items.unwrap_or_default();
        items.extend(self.above().map(Item::Comment));
        Ok(items)
    }

    /// The value of the document.
    fn top(&mut self) -> Result<Vec<Item>, SopsError> {
        let (event, span) = self.next()?;
        let line = span.start.line();
        match self.node(event, &span, 1)? {
            Node::Map(items) => Ok(items),
            Node::Null => Ok(Vec::new()),
            _ => Err(SopsError::Unsupported {
                line,
                found: "a value that is no map",
                instead: "put it below a key",
            }),
        }
    }

    /// The next event that is no comment; comments wait in `pending`.
    fn next(&mut self) -> Result<(Event<'t>, Span), SopsError> {
        if let Some(event) = self.ahead.take() {
            return Ok(event);
        }
        loop {
            let Some(next) = self.parser.next() else {
                let reason = "it ends too early".to_owned();
                return Err(SopsError::Syntax { format: "YAML", line: 1, reason });
            };
            let (event, span) = next.map_err(|error| SopsError::Syntax {
                format: "YAML",
                line: error.marker().line(),
                reason: without_values(&error.info()),
            })?;
            match event {
                Event::Comment(text, placement) => {
                    let inline = placement == Placement::Right;
                    let comment = Comment { text: text.as_ref().into(), inline };
                    self.pending.push(Waiting { comment, column: span.start.col() });
                }
                Event::Alias(_) | Event::UnresolvedAlias(_) => {
                    let instead = "write the value out";
                    return Err(unsupported(&span, "an alias", instead));
                }
                other => return Ok((other, span)),
            }
        }
    }

    fn peek(&mut self) -> Result<Option<&(Event<'t>, Span)>, SopsError> {
        if self.ahead.is_none() {
            self.ahead = Some(self.next()?);
        }
        Ok(self.ahead.as_ref())
    }

    fn node(&mut self, event: Event<'t>, span: &Span, depth: usize) -> Result<Node, SopsError> {
        if depth > DEPTH_MAX {
            return Err(SopsError::TooLarge { what: "levels", limit: DEPTH_MAX });
        }
        match event {
            Event::Scalar(text, style, _, tag) => scalar(&text, style, tag.as_deref(), span),
            Event::MappingStart(style, _, tag) => {
                check_tag(tag.as_deref(), "map", span)?;
                self.map(style, span, depth).map(Node::Map)
            }
            Event::SequenceStart(style, _, tag) => {
                check_tag(tag.as_deref(), "seq", span)?;
                self.list(style, span, depth).map(Node::List)
            }
            _ => Err(unsupported(span, "something that is no value", "write a value")),
        }
    }

    fn map(
        &mut self,
        style: StructureStyle,
        start: &Span,
        depth: usize,
    ) -> Result<Vec<Item>, SopsError> {
        let column = column_of(style, start);
        let mut items = Vec::new();
        loop {
            let (event, span) = self.next()?;
            if matches!(event, Event::MappingEnd) {
                items.extend(self.trailing(column).map(Item::Comment));
                check_unique(&items)?;
                return Ok(items);
            }
            items.extend(self.above().map(Item::Comment));
            let Event::Scalar(key, style, _, tag) = event else {
                return Err(unsupported(&span, "a key that is no text", "put it in quotes"));
            };
            let Some(key) =
                scalar(&key, style, tag.as_deref(), &span)?.as_text().map(str::to_owned)
            else {
                return Err(unsupported(&span, "a key that is no text", "put it in quotes"));
            };
            let (event, span) = self.next()?;
            let is_scalar = matches!(event, Event::Scalar(..));
            let value = self.node(event, &span, depth + 1)?;
            if is_scalar {
                // Looking ahead brings in the comment at the end of the value's line.
                self.peek()?;
                items.extend(self.beside().map(Item::Comment));
            }
            items.push(Item::Entry { key, value });
        }
    }

    fn list(
        &mut self,
        style: StructureStyle,
        start: &Span,
        depth: usize,
    ) -> Result<Vec<Node>, SopsError> {
        let column = column_of(style, start);
        let mut nodes = Vec::new();
        loop {
            let (event, span) = self.next()?;
            if matches!(event, Event::SequenceEnd) {
                nodes.extend(self.trailing(column).map(Node::Comment));
                return Ok(nodes);
            }
            nodes.extend(self.above().map(Node::Comment));
            let is_scalar = matches!(event, Event::Scalar(..));
            let value = self.node(event, &span, depth + 1)?;
            if is_scalar {
                self.peek()?;
                nodes.extend(self.beside().map(Node::Comment));
            }
            nodes.push(value);
        }
    }

    /// Comments above what comes next.
    fn above(&mut self) -> std::vec::IntoIter<Comment> {
        self.first(self.pending.len(), false)
    }

    /// Comments on the line of a scalar just read; the reader is one event ahead.
    fn beside(&mut self) -> std::vec::IntoIter<Comment> {
        let count = self.pending.iter().take_while(|waiting| waiting.comment.inline).count();
        self.first(count, true)
    }

    /// Comments that stand below the last entry of a map or list that begins in `column`.
    fn trailing(&mut self, column: usize) -> std::vec::IntoIter<Comment> {
        let inside = |waiting: &&Waiting| waiting.comment.inline || waiting.column >= column;
        let count = self.pending.iter().take_while(inside).count();
        self.first(count, false)
    }

    fn first(&mut self, count: usize, inline: bool) -> std::vec::IntoIter<Comment> {
        let comment = |waiting: Waiting| Comment { inline, ..waiting.comment };
        let taken: Vec<_> = self.pending.drain(..count).map(comment).collect();
        taken.into_iter()
    }
}

/// In `{ }` and `[ ]` all comments belong inside.
fn column_of(style: StructureStyle, start: &Span) -> usize {
    if style == StructureStyle::Flow { 0 } else { start.start.col() }
}

fn scalar(
    text: &str,
    style: ScalarStyle,
    tag: Option<&Tag>,
    span: &Span,
) -> Result<Node, SopsError> {
    let Some(tag) = tag else {
        let plain = style == ScalarStyle::Plain;
        // SOPS cannot hold them, and as a float they would lose digits.
        if plain && text.parse::<u64>().is_ok() && text.parse::<i64>().is_err() {
            return Err(unsupported(span, "a number beyond 64 bits", "put it in quotes"));
        }
        return Ok(if plain { resolve(text) } else { Node::text(text) });
    };
    let core = tag.handle().starts_with("tag:yaml.org,2002:");
    let node = match (core || tag.handle() == "!", tag.suffix()) {
        (true, "str" | "") => Some(Node::text(text)),
        (true, "int" | "float" | "bool" | "null" | "timestamp") if core => {
            let node = resolve(text);
            let matches = matches!(
                (tag.suffix(), &node),
                ("int", Node::Int(_))
                    | ("float", Node::Float(_))
                    | ("bool", Node::Bool(_))
                    | ("null", Node::Null)
                    | ("timestamp", Node::Time(_))
            );
            match (tag.suffix(), node) {
                #[expect(clippy::cast_precision_loss, reason = "`!!float 1` asks for it")]
                ("float", Node::Int(number)) => Some(Node::Float(number as f64)),
                (_, node) => matches.then_some(node),
            }
        }
        (true, "binary") if core => {
            let compact: String = text.split_whitespace().collect();
            let bytes = base64::engine::general_purpose::STANDARD.decode(compact).ok();
            bytes.map(|bytes| Node::Text(SecretBytes::new(bytes)))
        }
        _ => None,
    };
    node.ok_or_else(|| unsupported(span, "a tag that does not fit its value", "leave the tag away"))
}

fn check_tag(tag: Option<&Tag>, expected: &str, span: &Span) -> Result<(), SopsError> {
    match tag {
        Some(tag) if tag.suffix() != expected => {
            Err(unsupported(span, "a tag that does not fit its value", "leave the tag away"))
        }
        _ => Ok(()),
    }
}

fn unsupported(span: &Span, found: &'static str, instead: &'static str) -> SopsError {
    SopsError::Unsupported { line: span.start.line(), found, instead }
}

/// The parser's words, if they cannot hold a piece of the text.
fn without_values(info: &str) -> String {
    let safe = |c: char| c.is_ascii_alphanumeric() || " -,.'".contains(c);
    if info.len() <= 120 && info.chars().all(safe) {
        info.to_owned()
    } else {
        "it does not follow the grammar here".to_owned()
    }
}
