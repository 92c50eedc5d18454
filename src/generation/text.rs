//! The form of [`Generations`] on disk: one small JSON document that says its version.
//!
//! ```json
//! {"format": 1, "next": 3, "default": 1,
//!  "generations": [{"number": 1, "system": "<digest>-<name>", "registered": 0, "by": "image",
//!                   "commit": null, "pinned": false, "verdict": "good", "reason": null}],
//!  "trial": {"number": 2, "nonce": "…", "previous": 1, "level": "live", "window": 30, "outside": true}}
//! ```
//!
//! A reader takes nothing that the transitions could not have made: a default that is missing or bad,
//! or a trial of nothing, is damage and not a state.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{
    GENERATIONS_MAX, Generation, GenerationNumber, Generations, Level, Nonce, ParseNonceError,
    Trial, Verdict,
};
use crate::store::StorePath;
use crate::store::path::StorePathError;

/// Version of the format: raised when a field changes its meaning.
pub const FORMAT: u32 = 1;

/// A text that is not a state of generations.
#[derive(Debug, Error)]
pub enum TextError {
    /// Not JSON, or with fields that are missing or unknown.
    #[error("the state of generations is not valid JSON of our form")]
    Json(#[source] serde_json::Error),
    /// Written by a later version.
    #[error("the state of generations has format {found}; this program knows {FORMAT}")]
    Format {
        /// The version found.
        found: u32,
    },
    /// A system that is not a store path.
    #[error(transparent)]
    System(#[from] StorePathError),
    /// An attempt without a proper name.
    #[error(transparent)]
    Nonce(#[from] ParseNonceError),
    /// It contradicts itself.
    #[error("the state of generations contradicts itself: {0}")]
    Contradiction(&'static str),
}

#[derive(Serialize, Deserialize)]
struct FormatOnly {
    format: u32,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawState {
    format: u32,
    next: u32,
    default: Option<u32>,
    generations: Vec<RawGeneration>,
    trial: Option<RawTrial>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawGeneration {
    number: u32,
    system: String,
    registered: u64,
    by: String,
    commit: Option<String>,
    pinned: bool,
    verdict: String,
    reason: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTrial {
    number: u32,
    nonce: String,
    previous: u32,
    level: String,
    window: u32,
    outside: bool,
}

impl Generations {
    /// The text; equal states give equal texts.
    pub fn to_text(&self) -> String {
        let generations = self.entries.iter().map(|(number, entry)| {
            let (verdict, reason) = match &entry.verdict {
                Verdict::New => ("new", None),
                Verdict::Good => ("good", None),
                Verdict::Bad { reason } => ("bad", Some(reason.clone())),
            };
            RawGeneration {
                number: number.get(),
                system: entry.system.to_string(),
                registered: entry.registered_seconds,
                by: entry.by.clone(),
                commit: entry.commit.clone(),
                pinned: entry.pinned,
                verdict: verdict.to_owned(),
                reason,
            }
        });
        let trial = self.trial.as_ref().map(|trial| RawTrial {
            number: trial.number.get(),
            nonce: trial.nonce.to_string(),
            previous: trial.previous.get(),
            level: trial.level.to_string(),
            window: trial.window_seconds,
            outside: trial.outside,
        });
        let raw = RawState {
            format: FORMAT,
            next: self.next,
            default: self.default.map(GenerationNumber::get),
            generations: generations.collect(),
            trial,
        };
        serde_json::to_string_pretty(&raw).expect("plain data can be written") + "\n"
    }

    /// Reads the text.
    ///
    /// # Errors
    ///
    /// Whatever [`Generations::to_text`] would not have written.
    pub fn parse(text: &[u8]) -> Result<Self, TextError> {
        // The version first: a later one may have other fields.
        let version: FormatOnly = serde_json::from_slice(text).map_err(TextError::Json)?;
        if version.format != FORMAT {
            return Err(TextError::Format { found: version.format });
        }
        let raw: RawState = serde_json::from_slice(text).map_err(TextError::Json)?;
        let mut entries = BTreeMap::new();
        for generation in raw.generations {
            let number = number(generation.number)?;
            if generation.number >= raw.next {
                return Err(TextError::Contradiction("a generation is newer than the next"));
            }
            if entries.insert(number, read_generation(generation)?).is_some() {
                return Err(TextError::Contradiction("a generation is there twice"));
            }
        }
        if entries.len() > GENERATIONS_MAX {
            return Err(TextError::Contradiction("there are too many generations"));
        }
        let default = raw.default.map(number).transpose()?;
        let trial = raw.trial.map(read_trial).transpose()?;
        let state = Self { next: raw.next, entries, default, trial };
        state.check().map_err(TextError::Contradiction)?;
        Ok(state)
    }

    /// What must hold between the parts.
    pub(super) fn check(&self) -> Result<(), &'static str> {
        if let Some(default) = self.default {
            match self.entries.get(&default).map(|entry| &entry.verdict) {
                Some(Verdict::Good) => {}
                Some(_) => return Err("the default has not proved itself"),
                None => return Err("the default is not among the generations"),
            }
        }
        if let Some(trial) = &self.trial {
            match self.entries.get(&trial.number) {
                Some(entry) if !entry.verdict.is_bad() => {}
                Some(_) => return Err("what is on trial has failed before"),
                None => return Err("what is on trial is not among the generations"),
            }
            if !self.entries.contains_key(&trial.previous) {
                return Err("what ran before the trial is not among the generations");
            }
        }
        Ok(())
    }
}

fn number(number: u32) -> Result<GenerationNumber, TextError> {
    GenerationNumber::new(number).ok_or(TextError::Contradiction("a generation has number 0"))
}

fn read_generation(raw: RawGeneration) -> Result<Generation, TextError> {
    let verdict = match (raw.verdict.as_str(), raw.reason) {
        ("new", None) => Verdict::New,
        ("good", None) => Verdict::Good,
        ("bad", Some(reason)) => Verdict::Bad { reason },
        _ => return Err(TextError::Contradiction("a verdict is none")),
    };
    Ok(Generation {
        system: StorePath::from_base_name(&raw.system)?,
        registered_seconds: raw.registered,
        by: raw.by,
        commit: raw.commit,
        pinned: raw.pinned,
        verdict,
    })
}

fn read_trial(raw: RawTrial) -> Result<Trial, TextError> {
    let level = Level::from_word(&raw.level);
    Ok(Trial {
        number: number(raw.number)?,
        nonce: Nonce::new(&raw.nonce)?,
        previous: number(raw.previous)?,
        level: level.ok_or(TextError::Contradiction("a trial has no level"))?,
        window_seconds: raw.window,
        outside: raw.outside,
    })
}
