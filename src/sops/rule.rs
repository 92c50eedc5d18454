//! Which values of a document are encrypted, and the walk over all of them.

use regex::{Regex, RegexBuilder};

use super::error::SopsError;
use super::tree::{Item, Node};

/// Keys of rules, as metadata and `.sops.yaml` write them.
pub(super) const RULE_KEYS: [&str; 6] = [
    "unencrypted_suffix",
    "encrypted_suffix",
    "unencrypted_regex",
    "encrypted_regex",
    "unencrypted_comment_regex",
    "encrypted_comment_regex",
];
/// Most bytes of a compiled regular expression.
const REGEX_BYTES_MAX: usize = 1 << 20;
const REGEX_TEXT_MAX: usize = 4096;

/// Which values are encrypted; a document has one rule.
#[derive(Debug, Clone)]
pub enum Rule {
    /// All but those with a key on their path that ends so.
    UnencryptedSuffix(String),
    /// Only those with a key on their path that ends so.
    EncryptedSuffix(String),
    /// All but those with a key on their path that matches.
    UnencryptedRegex(Regex),
    /// Only those with a key on their path that matches.
    EncryptedRegex(Regex),
    /// All but those with a comment above them (or above what they lie in) that matches.
    UnencryptedCommentRegex(Regex),
    /// Only those with a comment above them (or above what they lie in) that matches.
    EncryptedCommentRegex(Regex),
}

impl Default for Rule {
    fn default() -> Self {
        Self::UnencryptedSuffix("_unencrypted".to_owned())
    }
}

impl Rule {
    /// The rule that is written as `key = value`.
    ///
    /// # Errors
    ///
    /// [`SopsError::Rule`], naming `place`, for an unknown key or a regular expression that is none.
    pub fn parse(key: &str, value: &str, place: &str) -> Result<Self, SopsError> {
        let wrong = |reason: String| SopsError::Rule { place: format!("{place}{key}"), reason };
        let regex = || regex(value).map_err(wrong);
        match key {
            "unencrypted_suffix" => Ok(Self::UnencryptedSuffix(value.to_owned())),
            "encrypted_suffix" => Ok(Self::EncryptedSuffix(value.to_owned())),
            "unencrypted_regex" => regex().map(Self::UnencryptedRegex),
            "encrypted_regex" => regex().map(Self::EncryptedRegex),
            "unencrypted_comment_regex" => regex().map(Self::UnencryptedCommentRegex),
            "encrypted_comment_regex" => regex().map(Self::EncryptedCommentRegex),
            _ => Err(wrong("is not a rule".to_owned())),
        }
    }

    /// Its key and value, as metadata writes them.
    pub fn written(&self) -> (&'static str, &str) {
        match self {
            Self::UnencryptedSuffix(suffix) => ("unencrypted_suffix", suffix),
            Self::EncryptedSuffix(suffix) => ("encrypted_suffix", suffix),
            Self::UnencryptedRegex(regex) => ("unencrypted_regex", regex.as_str()),
            Self::EncryptedRegex(regex) => ("encrypted_regex", regex.as_str()),
            Self::UnencryptedCommentRegex(regex) => ("unencrypted_comment_regex", regex.as_str()),
            Self::EncryptedCommentRegex(regex) => ("encrypted_comment_regex", regex.as_str()),
        }
    }

    /// Whether a leaf is encrypted; `comments` are those above it and above each map or list it lies in.
    fn encrypts(&self, path: &[String], comments: &[Vec<String>], is_comment: bool) -> bool {
        let any_key = |test: &dyn Fn(&String) -> bool| path.iter().any(test);
        match self {
            Self::UnencryptedSuffix(suffix) => !any_key(&|key| key.ends_with(suffix.as_str())),
            Self::EncryptedSuffix(suffix) => any_key(&|key| key.ends_with(suffix.as_str())),
            Self::UnencryptedRegex(regex) => !any_key(&|key| regex.is_match(key)),
            Self::EncryptedRegex(regex) => any_key(&|key| regex.is_match(key)),
            Self::UnencryptedCommentRegex(regex) => {
                !comments.iter().flatten().any(|comment| regex.is_match(comment))
            }
            Self::EncryptedCommentRegex(regex) => {
                // The comment that asks for encryption must stay readable itself.
                let own = usize::from(is_comment);
                let last = comments.len().saturating_sub(1);
                comments.iter().enumerate().any(|(index, level)| {
                    let count = level.len() - if index == last { own.min(level.len()) } else { 0 };
                    level[..count].iter().any(|comment| regex.is_match(comment))
                })
            }
        }
    }
}

/// A regular expression within limits.
pub(super) fn regex(text: &str) -> Result<Regex, String> {
    if text.len() > REGEX_TEXT_MAX {
        return Err(format!("is longer than {REGEX_TEXT_MAX} characters"));
    }
    let built = RegexBuilder::new(text).size_limit(REGEX_BYTES_MAX).build();
    built.map_err(|_| format!("`{text}` is not a regular expression that can be used"))
}

/// A leaf on a walk.
pub(super) struct Leaf<'t> {
    /// The leaf, also a comment; may be replaced.
    pub(super) node: &'t mut Node,
    /// Keys down to it, without positions in lists.
    pub(super) path: &'t [String],
    /// Whether the rule has it encrypted.
    pub(super) encrypted: bool,
    /// Whether it stands in a list.
    pub(super) in_list: bool,
}

/// What a walk does with each leaf.
pub(super) type Visit<'v> = &'v mut dyn FnMut(Leaf<'_>) -> Result<(), SopsError>;

/// Visits every leaf and comment in document order; nothing (null) is passed over.
pub(super) fn walk(items: &mut [Item], rule: &Rule, visit: Visit<'_>) -> Result<(), SopsError> {
    let mut walk = Walk { rule, path: Vec::new(), comments: Vec::new() };
    walk.map(items, visit)
}

struct Walk<'r> {
    rule: &'r Rule,
    path: Vec<String>,
    comments: Vec<Vec<String>>,
}

impl Walk<'_> {
    fn map(&mut self, items: &mut [Item], visit: Visit<'_>) -> Result<(), SopsError> {
        self.comments.push(Vec::new());
        for item in items {
            match item {
                Item::Comment(comment) => {
                    self.note(comment.text.text());
                    let mut node = Node::Comment(comment.clone());
                    self.leaf(&mut node, false, visit)?;
                    if let Node::Comment(after) = node {
                        *comment = after;
                    }
                }
                Item::Entry { key, value } => {
                    self.path.push(key.clone());
                    self.node(value, false, visit)?;
                    self.path.pop();
                    self.forget();
                }
            }
        }
        self.comments.pop();
        Ok(())
    }

    fn list(&mut self, nodes: &mut [Node], visit: Visit<'_>) -> Result<(), SopsError> {
        self.comments.push(Vec::new());
        for node in nodes {
            if let Node::Comment(comment) = node {
                self.note(comment.text.text());
                self.leaf(node, true, visit)?;
            } else {
                self.node(node, true, visit)?;
                self.forget();
            }
        }
        self.comments.pop();
        Ok(())
    }

    fn node(&mut self, node: &mut Node, in_list: bool, visit: Visit<'_>) -> Result<(), SopsError> {
        match node {
            Node::Null => Ok(()),
            Node::Map(items) => self.map(items, visit),
            Node::List(nodes) => self.list(nodes, visit),
            leaf => self.leaf(leaf, in_list, visit),
        }
    }

    fn leaf(&mut self, node: &mut Node, in_list: bool, visit: Visit<'_>) -> Result<(), SopsError> {
        let is_comment = matches!(node, Node::Comment(_));
        let encrypted = self.rule.encrypts(&self.path, &self.comments, is_comment);
        visit(Leaf { node, path: &self.path, encrypted, in_list })
    }

    fn note(&mut self, text: Option<&str>) {
        if let Some(level) = self.comments.last_mut() {
            level.push(text.unwrap_or_default().to_owned());
        }
    }

    fn forget(&mut self) {
        if let Some(level) = self.comments.last_mut() {
            level.clear();
        }
    }
}
