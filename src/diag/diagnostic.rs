//! One problem, and the collection of all of them.

use super::{Code, Place};

/// Most problems that are reported at once; a last one says how many more there are.
pub const DIAGNOSTICS_MAX: usize = 100;

/// A problem in the user's text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// Its class, documented in `docs/errors.md`.
    pub code: Code,
    /// Whether it stops the work.
    pub severity: Severity,
    /// What is wrong, as a fragment: lower case, no full stop.
    pub message: String,
    /// Where, and what was expected there.
    pub primary: Label,
    /// Other places that belong to it, such as the other side of a conflict.
    pub secondary: Vec<Label>,
    /// A sentence that says what to write instead.
    pub help: Option<String>,
}

/// A place and what is to be said about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    /// Where.
    pub place: Place,
    /// A fragment shown beside the underlining; may be empty.
    pub text: String,
}

/// Whether a problem stops the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// It does.
    Error,
    /// It does not.
    Warning,
}

/// Problems found so far, in any order.
#[derive(Debug, Default)]
pub struct Problems {
    found: Vec<Diagnostic>,
}

impl Label {
    /// A place and a fragment about it.
    pub fn new(place: Place, text: impl Into<String>) -> Self {
        Self { place, text: text.into() }
    }
}

impl Diagnostic {
    /// A problem that stops the work; `reason` stands beside the underlining.
    pub fn error(
        code: Code,
        message: impl Into<String>,
        place: Place,
        reason: impl Into<String>,
    ) -> Self {
        Self {
            code,
            severity: Severity::Error,
            message: message.into(),
            primary: Label::new(place, reason),
            secondary: Vec::new(),
            help: None,
        }
    }

    /// A problem that is only reported.
    pub fn warning(
        code: Code,
        message: impl Into<String>,
        place: Place,
        reason: impl Into<String>,
    ) -> Self {
        Self { severity: Severity::Warning, ..Self::error(code, message, place, reason) }
    }

    /// The same with one more place.
    #[must_use]
    pub fn with_label(mut self, place: Place, text: impl Into<String>) -> Self {
        self.secondary.push(Label::new(place, text));
        self
    }

    /// The same with a sentence that says what to write instead.
    #[must_use]
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// The same with the sentence, if there is one.
    #[must_use]
    pub fn with_help_if(mut self, help: Option<String>) -> Self {
        self.help = help.or(self.help);
        self
    }
}

impl Problems {
    /// Notes one more.
    pub fn push(&mut self, problem: Diagnostic) {
        self.found.push(problem);
    }

    /// Notes the error of `result`, and gives its value.
    pub fn keep<T>(&mut self, result: Result<T, Box<Diagnostic>>) -> Option<T> {
        result.map_err(|problem| self.push(*problem)).ok()
    }

    /// Whether one of them stops the work.
    pub fn has_errors(&self) -> bool {
        self.found.iter().any(|problem| problem.severity == Severity::Error)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.found.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// All of them: each once, by file and position, at most [`DIAGNOSTICS_MAX`] and one that
    /// counts the rest.
    pub fn into_sorted(self) -> Vec<Diagnostic> {
        let mut all = self.found;
        all.sort_by(|a, b| order(a).cmp(&order(b)));
        all.dedup();
        if all.len() > DIAGNOSTICS_MAX {
            let more = all.len() - DIAGNOSTICS_MAX;
            let place = all[DIAGNOSTICS_MAX].primary.place.clone();
            // Errors among the rest must keep counting as errors.
            let severity = all.iter().map(|problem| problem.severity).min();
            all.truncate(DIAGNOSTICS_MAX);
            let message = format!("{more} more problems are not shown");
            let mut last = Diagnostic::error(Code::TooMany, message, place, "the next is here");
            last.severity = severity.unwrap_or(Severity::Error);
            all.push(last);
        }
        all
    }
}

type Order<'a> = (&'a str, usize, usize, Code, &'a str);

fn order(problem: &Diagnostic) -> Order<'_> {
    let place = &problem.primary.place;
    let (start, end) = (place.span.start, place.span.end);
    (&place.source.path, start, end, problem.code, &problem.message)
}
