//! Entries with their comments → YAML text, four spaces a level as SOPS writes it.

use super::super::error::SopsError;
use super::super::tree::{Comment, Item, Node};
use super::resolve::resolve;

const INDENT: usize = 4;
/// Longest key that stands without quotes.
const KEY_PLAIN_MAX: usize = 120;
/// Longest key that YAML reads without a `?` in front, with room for quotes and escapes.
const KEY_CHARS_MAX: usize = 160;

/// Writes one document.
pub(in super::super) fn write(items: &[Item]) -> Result<String, SopsError> {
    let mut writer = Writer { text: String::new(), path: Vec::new() };
    if items.iter().any(|item| matches!(item, Item::Entry { .. })) {
        writer.map(items, 0, false)?;
    } else {
        writer.comments_only(items);
    }
    Ok(writer.text)
}

struct Writer {
    text: String,
    path: Vec<String>,
}

impl Writer {
    /// A document without entries: its comments, and an empty map so that it stays one.
    fn comments_only(&mut self, items: &[Item]) {
        for item in items {
            if let Item::Comment(comment) = item {
                self.comment(comment, 0);
            }
        }
        self.text.push_str("{}\n");
    }

    /// Entries at `indent`; the first begins on the current line when `begun`.
    fn map(&mut self, items: &[Item], indent: usize, begun: bool) -> Result<(), SopsError> {
        let mut begun = begun;
        let mut inline: Vec<&Comment> = Vec::new();
        let mut last_is_comment = false;
        for item in items {
            match item {
                Item::Comment(comment) if comment.inline => inline.push(comment),
                Item::Comment(comment) => {
                    self.own_line(&mut begun);
                    self.comment(comment, indent);
                    last_is_comment = true;
                }
                Item::Entry { key, value } => {
                    if !std::mem::take(&mut begun) {
                        self.indent(indent);
                    }
                    self.path.push(key.clone());
                    if key.chars().count() > KEY_CHARS_MAX {
                        return Err(self.unwritable("its key is longer than 160 characters"));
                    }
                    self.text.push_str(&quoted_if_needed(key, true));
                    self.text.push(':');
                    self.value(value, indent, &mut inline)?;
                    self.path.pop();
                    last_is_comment = false;
                }
            }
        }
        self.trailing(&inline, indent, last_is_comment);
        Ok(())
    }

    fn list(&mut self, nodes: &[Node], indent: usize, begun: bool) -> Result<(), SopsError> {
        let mut begun = begun;
        let mut inline: Vec<&Comment> = Vec::new();
        let mut last_is_comment = false;
        for (position, node) in nodes.iter().enumerate() {
            match node {
                Node::Comment(comment) if comment.inline => inline.push(comment),
                Node::Comment(comment) => {
                    self.own_line(&mut begun);
                    self.comment(comment, indent);
                    last_is_comment = true;
                }
                node => {
                    if !std::mem::take(&mut begun) {
                        self.indent(indent);
                    }
                    self.text.push('-');
                    self.path.push(position.to_string());
                    self.item(node, indent, &mut inline)?;
                    self.path.pop();
                    last_is_comment = false;
                }
            }
        }
        self.trailing(&inline, indent, last_is_comment);
        Ok(())
    }

    /// What stands after `key:`.
    fn value(
        &mut self,
        node: &Node,
        indent: usize,
        inline: &mut Vec<&Comment>,
    ) -> Result<(), SopsError> {
        match node {
            Node::Map(items) if has_entries(items) => {
                self.line_end(inline);
                self.map(items, indent + INDENT, false)
            }
            Node::List(nodes) if has_items(nodes) => {
                self.line_end(inline);
                self.list(nodes, indent + INDENT, false)
            }
            leaf => self.leaf(leaf, indent, inline),
        }
    }

    /// What stands after `-`.
    fn item(
        &mut self,
        node: &Node,
        indent: usize,
        inline: &mut Vec<&Comment>,
    ) -> Result<(), SopsError> {
        match node {
            Node::Map(items) if has_entries(items) => {
                self.text.push(' ');
                self.map(items, indent + 2, true)
            }
            Node::List(nodes) if has_items(nodes) => {
                self.text.push(' ');
                self.list(nodes, indent + 2, true)
            }
            leaf => self.leaf(leaf, indent, inline),
        }
    }

    fn leaf(
        &mut self,
        node: &Node,
        indent: usize,
        inline: &mut Vec<&Comment>,
    ) -> Result<(), SopsError> {
        self.text.push(' ');
        let text = match node {
            Node::Map(_) => "{}".to_owned(),
            Node::List(_) => "[]".to_owned(),
            Node::Null | Node::Comment(_) => "null".to_owned(),
            Node::Bool(yes) => yes.to_string(),
            Node::Int(number) => number.to_string(),
            Node::Float(number) => float(*number),
            Node::Time(text) => text.clone(),
            Node::Text(text) => {
                let text = text.text().ok_or_else(|| self.unwritable("it is not UTF-8"))?;
                match block(text, indent + INDENT) {
                    Some((header, block)) => {
                        self.text.push_str(header);
                        self.line_end(inline);
                        self.text.push_str(&block);
                        return Ok(());
                    }
                    None => quoted_if_needed(text, false),
                }
            }
        };
        self.text.push_str(&text);
        self.line_end(inline);
        Ok(())
    }

    fn line_end(&mut self, inline: &mut Vec<&Comment>) {
        let words: Vec<_> = inline.drain(..).map(comment_line).collect();
        if !words.is_empty() {
            self.text.push_str(&format!(" #{}", words.join(" #")));
        }
        self.text.push('\n');
    }

    /// Comments below the last entry; the empty line keeps them from the entry that follows outside.
    fn trailing(&mut self, inline: &[&Comment], indent: usize, last_is_comment: bool) {
        for comment in inline {
            self.comment(comment, indent);
        }
        if indent > 0 && (last_is_comment || !inline.is_empty()) {
            self.text.push('\n');
        }
    }

    fn comment(&mut self, comment: &Comment, indent: usize) {
        self.indent(indent);
        self.text.push('#');
        self.text.push_str(&comment_line(comment));
        self.text.push('\n');
    }

    /// Ends a line that has only a `-`.
    fn own_line(&mut self, begun: &mut bool) {
        if std::mem::take(begun) {
            self.text.truncate(self.text.trim_end_matches(' ').len());
            self.text.push('\n');
        }
    }

    fn indent(&mut self, indent: usize) {
        self.text.extend(std::iter::repeat_n(' ', indent));
    }

    fn unwritable(&self, reason: &'static str) -> SopsError {
        SopsError::Unwritable { path: self.path.join("/"), format: "YAML", reason }
    }
}

fn has_entries(items: &[Item]) -> bool {
    items.iter().any(|item| matches!(item, Item::Entry { .. }))
}

fn has_items(nodes: &[Node]) -> bool {
    nodes.iter().any(|node| !matches!(node, Node::Comment(_)))
}

/// A comment stays on one line whatever is in it.
fn comment_line(comment: &Comment) -> String {
    let text = comment.text.text().unwrap_or_default();
    text.chars().map(|c| if c == '\t' || !c.is_control() { c } else { ' ' }).collect()
}

fn float(number: f64) -> String {
    match number {
        _ if number.is_nan() => ".nan".to_owned(),
        _ if number == f64::INFINITY => ".inf".to_owned(),
        _ if number == f64::NEG_INFINITY => "-.inf".to_owned(),
        // `{:?}` keeps `.0`, without which it would read back as a whole number.
        _ => format!("{number:?}"),
    }
}

/// A text of several lines as a literal block: its header, and its lines at `indent`.
fn block(text: &str, indent: usize) -> Option<(&'static str, String)> {
    let body = text.trim_end_matches('\n');
    let printable = |c: char| c == '\n' || (!c.is_control() && !is_odd(c));
    let plain = body.contains('\n') || text.ends_with('\n');
    let begins_well = !body.is_empty() && !body.starts_with([' ', '\n', '\t']);
    if !plain || !begins_well || !text.chars().all(printable) {
        return None;
    }
    let header = match text.len() - body.len() {
        0 => "|-",
        1 => "|",
        _ => "|+",
    };
    let mut lines = String::new();
    for line in text.strip_suffix('\n').unwrap_or(text).split('\n') {
        if !line.is_empty() {
            lines.extend(std::iter::repeat_n(' ', indent));
            lines.push_str(line);
        }
        lines.push('\n');
    }
    Some((header, lines))
}

/// `text` as a plain scalar if it reads back as the same text, else in double quotes.
fn quoted_if_needed(text: &str, is_key: bool) -> String {
    let first_good =
        |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '/' | '.' | '+' | '(' | '$' | '^');
    let rest_good = |c: char| !c.is_control() && !is_odd(c);
    let good = text.starts_with(first_good)
        && text.chars().all(rest_good)
        && !text.contains(": ")
        && !text.contains(" #")
        && !text.ends_with([':', ' '])
        && (!is_key || text.len() <= KEY_PLAIN_MAX)
        && resolve(text) == Node::text(text)
        && !is_old_word(text);
    if good { text.to_owned() } else { double_quoted(text) }
}

/// Words and numbers that YAML 1.1 readers take for something else.
fn is_old_word(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    let number = |c: char| c.is_ascii_digit() || "+-.,:_eE".contains(c);
    matches!(lower.as_str(), "y" | "n" | "yes" | "no" | "on" | "off" | "=" | "<<")
        || (text.chars().all(number) && text.contains(|c: char| c.is_ascii_digit()))
}

/// Characters that look like nothing or break lines.
fn is_odd(c: char) -> bool {
    matches!(
        c,
        '\u{85}' | '\u{a0}' | '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}'
    )
}

fn double_quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            c if c.is_control() || is_odd(c) => {
                let code = u32::from(c);
                quoted.push_str(&format!("\\u{code:04x}"));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}
