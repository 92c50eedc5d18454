//! Failures: what is shown, and which exit code they mean.

use std::error::Error;

use super::advice::{advice, chain};
use super::exit;
use super::ui::Ui;
use crate::diag::{Diagnostic, to_json};
use crate::exec::interrupt::Interrupted;
use crate::failure::{causes, in_words};

/// Why a verb ended without success.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Problems in the user's files, each with its place.
    Diagnostics(Vec<Diagnostic>),
    /// Anything else.
    Error { code: u8, error: Box<dyn Error + Send + Sync>, help: Option<String> },
    /// Shown already, such as a report of failed checks.
    Shown(u8),
}

impl Failure {
    /// An error in the user's files.
    pub(crate) fn files(error: impl Error + Send + Sync + 'static) -> Self {
        Self::with_code(exit::FILES_WRONG, error)
    }

    /// A failed lock, fetch or build.
    pub(crate) fn build(error: impl Error + Send + Sync + 'static) -> Self {
        Self::with_code(exit::BUILD_FAILED, error)
    }

    /// An error with its exit code; an interrupt anywhere in its chain means [`exit::INTERRUPTED`].
    pub(crate) fn with_code(code: u8, error: impl Error + Send + Sync + 'static) -> Self {
        let error: Box<dyn Error + Send + Sync> = Box::new(error);
        let interrupted = chain(error.as_ref()).any(<dyn Error + 'static>::is::<Interrupted>);
        let code = if interrupted { exit::INTERRUPTED } else { code };
        let help = advice(error.as_ref());
        Self::Error { code, error, help }
    }

    /// Adds what to do about it.
    pub(crate) fn help(mut self, text: impl Into<String>) -> Self {
        if let Self::Error { help, .. } = &mut self {
            *help = Some(text.into());
        }
        self
    }

    /// The same after Ctrl-C: nothing is to be done about it.
    pub(crate) fn interrupted(self) -> Self {
        match self {
            Self::Error { error, .. } => Self::Error { code: exit::INTERRUPTED, error, help: None },
            Self::Shown(_) => Self::Shown(exit::INTERRUPTED),
            Self::Diagnostics(_) => self,
        }
    }

    /// The exit code.
    pub(crate) fn code(&self) -> u8 {
        match self {
            Self::Diagnostics(_) => exit::FILES_WRONG,
            Self::Error { code, .. } | Self::Shown(code) => *code,
        }
    }

    /// What happened and why, a sentence each, the nearest first.
    pub(crate) fn causes(&self) -> Vec<String> {
        match self {
            Self::Error { error, .. } => causes(error.as_ref()),
            Self::Diagnostics(problems) => {
                problems.iter().map(|problem| problem.message.clone()).collect()
            }
            Self::Shown(_) => Vec::new(),
        }
    }

    /// Shows the failure: words on standard error, or one JSON document on standard output.
    pub(crate) fn show(&self, ui: &Ui, json: bool) {
        match self {
            Self::Shown(_) => {}
            Self::Diagnostics(diagnostics) if json => {
                ui.json(&serde_json::json!({ "problems": to_json(diagnostics) }));
            }
            Self::Diagnostics(diagnostics) => ui.diagnostics(diagnostics),
            Self::Error { code, help, .. } => {
                let causes = self.causes();
                if json {
                    ui.json(&serde_json::json!({ "error": causes, "help": help, "exit": code }));
                }
                ui.problem(&in_words(&causes, help.as_deref()));
            }
        }
    }
}
