//! What became of each machine, for people, for programs, and as an exit code.

use serde_json::{Value, json};

use super::show::Change;
use crate::cli::exit;
use crate::cli::report::Failure;
use crate::cli::session::Session;
use crate::deploy::plain;

/// What became of a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It ran that system already.
    Same { number: Option<u32> },
    /// It keeps the new system.
    Kept { number: u32 },
    /// The next boot tries the new system.
    Prepared { number: u32 },
    /// It runs what it ran before.
    Returned { reason: String, code: u8 },
    /// It was changed, and taken back because another host failed.
    Reverted,
    /// Only looked at.
    DryRun,
    /// The answer was no.
    Declined,
    /// Another one failed before it was its turn.
    NotReached,
    /// An error, shown already.
    Failed { causes: Vec<String>, code: u8 },
}

/// A machine and what became of it.
#[derive(Debug)]
pub(super) struct Told {
    host: String,
    change: Option<Value>,
    pub(super) outcome: Outcome,
}

impl Outcome {
    pub(super) fn is_failure(&self) -> bool {
        self.code() != exit::DONE
    }

    /// The outcome that an error means; it is shown at once.
    pub(super) fn failed(session: &Session<'_>, failure: Failure) -> Self {
        let code = failure.code();
        failure.show(session.ui, false);
        Self::Failed { causes: failure.causes(), code }
    }

    fn code(&self) -> u8 {
        match self {
            Self::Same { .. } | Self::Kept { .. } | Self::Prepared { .. } | Self::DryRun => {
                exit::DONE
            }
            Self::Returned { code, .. } | Self::Failed { code, .. } => *code,
            Self::Reverted | Self::Declined | Self::NotReached => exit::MACHINE_UNCHANGED,
        }
    }

    fn word(&self) -> &'static str {
        match self {
            Self::Same { .. } => "same",
            Self::Kept { .. } => "kept",
            Self::Prepared { .. } => "prepared",
            Self::Returned { .. } => "returned",
            Self::Reverted => "reverted",
            Self::DryRun => "dry-run",
            Self::Declined => "declined",
            Self::NotReached => "not-reached",
            Self::Failed { .. } => "failed",
        }
    }

    fn to_text(&self) -> String {
        match self {
            Self::Same { number: Some(number) } => format!("generation {number} runs it already"),
            Self::Same { number: None } => "it runs already".into(),
            Self::Kept { number } => format!("generation {number} is kept"),
            Self::Prepared { number } => format!("generation {number} is tried at the next boot"),
            Self::Returned { reason, .. } => format!("back on what ran before: {}", plain(reason)),
            Self::Reverted => "taken back, because another host failed".into(),
            Self::DryRun => "not changed, only looked at".into(),
            Self::Declined => "not changed".into(),
            Self::NotReached => "not changed, because another host failed".into(),
            Self::Failed { causes, .. } => causes.join(": "),
        }
    }
}

impl Told {
    pub(super) fn of(change: &Change, outcome: Outcome) -> Self {
        Self { host: change.host.clone(), change: Some(change.to_json()), outcome }
    }

    pub(super) fn without_change(host: &str, outcome: Outcome) -> Self {
        Self { host: host.to_owned(), change: None, outcome }
    }

    pub(super) fn failed(session: &Session<'_>, host: &str, failure: Failure) -> Self {
        Self::without_change(host, Outcome::failed(session, failure))
    }

    pub(super) fn is_failure(&self) -> bool {
        self.outcome.is_failure()
    }

    fn to_json(&self) -> Value {
        let mut value = json!({ "host": self.host, "outcome": self.outcome.word() });
        match &self.outcome {
            Outcome::Kept { number } | Outcome::Prepared { number } => {
                value["generation"] = json!(number);
            }
            Outcome::Same { number } => value["generation"] = json!(number),
            Outcome::Returned { reason, .. } => value["reason"] = json!(reason),
            Outcome::Failed { causes, .. } => value["error"] = json!(causes),
            _ => {}
        }
        if let Some(change) = &self.change {
            value["change"] = change.clone();
        }
        value
    }
}

/// Shows what became of all; the exit code is that of the worst.
pub(super) fn finish(session: &Session<'_>, told: Vec<Told>) -> Result<(), Failure> {
    if session.json {
        let hosts: Vec<Value> = told.iter().map(Told::to_json).collect();
        session.ui.json(&json!({ "hosts": hosts }));
    } else {
        for one in &told {
            session.ui.result(&format!("{}: {}", one.host, one.outcome.to_text()));
        }
    }
    session.interrupt.check().map_err(Failure::build)?;
    // Not to know is worst; then a failed check, then a machine that stayed as it was.
    let rank = |code: &u8| match *code {
        exit::MACHINE_UNKNOWN => 3,
        exit::DONE => 0,
        exit::MACHINE_UNCHANGED => 1,
        _ => 2,
    };
    match told.iter().map(|one| one.outcome.code()).max_by_key(rank).unwrap_or(exit::DONE) {
        exit::DONE => Ok(()),
        code => Err(Failure::Shown(code)),
    }
}
