//! The generations of a host as a value: what may be booted, what is tried, what failed.
//!
//! Nothing here reads or writes. Every transition keeps two promises, whatever the order of calls:
//! once there is a default it is a generation that is there and not known to be bad, and a
//! generation on trial becomes the default only by [`Generations::confirm`].

mod text;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use thiserror::Error;

use crate::store::StorePath;

pub use text::{FORMAT, TextError};

/// Most generations that a host remembers; more are collected before another is registered.
pub const GENERATIONS_MAX: usize = 1000;
/// Digits of a nonce.
const NONCE_CHARS: usize = 32;
/// Most characters of a name, commit or reason that is kept.
pub const NOTE_CHARS_MAX: usize = 200;

/// Position of a system in its host's history; the first is 1, gaps are allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct GenerationNumber(u32);

/// Names one attempt to activate: 32 lower-case hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Nonce(String);

/// What is known of a generation's worth.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Registered, not tried to the end.
    New,
    /// It was the default once.
    Good,
    /// It was tried and did not prove itself.
    Bad {
        /// What was seen, one line.
        reason: String,
    },
}

/// One place in the history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Generation {
    /// The system.
    pub system: StorePath,
    /// When it was registered, in seconds since 1970.
    pub registered_seconds: u64,
    /// Who registered it.
    pub by: String,
    /// Revision of the files it was made from.
    pub commit: Option<String>,
    /// Whether it is kept whatever else is collected.
    pub pinned: bool,
    /// What is known of it.
    pub verdict: Verdict,
}

/// How deep a change of the running system goes; ordered from the least to the most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Only units that changed are touched.
    Live,
    /// All of user space starts anew, the kernel stays.
    SoftReboot,
    /// The machine starts anew.
    Reboot,
}

/// A generation that must still prove itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trial {
    /// Which one.
    pub number: GenerationNumber,
    /// The attempt.
    pub nonce: Nonce,
    /// What ran before and is gone back to.
    pub previous: GenerationNumber,
    /// How it was or will be entered.
    pub level: Level,
    /// Seconds within which it must be confirmed.
    pub window_seconds: u32,
    /// Whether somebody from outside must confirm; else the host's own checks do.
    pub outside: bool,
}

/// All generations of a host.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Generations {
    next: u32,
    entries: BTreeMap<GenerationNumber, Generation>,
    default: Option<GenerationNumber>,
    trial: Option<Trial>,
}

/// A transition that is not possible.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum GenerationError {
    /// The number is not in the history.
    #[error("there is no generation {0}")]
    Unknown(GenerationNumber),
    /// It was tried before and failed.
    #[error("generation {number} failed before: {reason}")]
    KnownBad {
        /// The generation.
        number: GenerationNumber,
        /// What was seen then.
        reason: String,
    },
    /// Another one is on trial.
    #[error("generation {number} is on trial, by {by} (attempt {nonce})")]
    OnTrial {
        /// The generation.
        number: GenerationNumber,
        /// Who registered it.
        by: String,
        /// The attempt.
        nonce: Nonce,
    },
    /// Nothing is on trial.
    #[error("no generation is on trial")]
    NoTrial,
    /// Something is on trial, but by another attempt.
    #[error("attempt {found} is not the one that waits; that is {expected}")]
    OtherAttempt {
        /// The attempt that waits.
        expected: Nonce,
        /// The attempt that was named.
        found: Nonce,
    },
    /// There is nothing good to go back to.
    #[error("no earlier generation has proved itself")]
    NothingBefore,
    /// It never proved itself, so it cannot become the default without a trial.
    #[error("generation {0} has not proved itself")]
    Unproven(GenerationNumber),
    /// The history is full of generations that must be kept.
    #[error("the host remembers {GENERATIONS_MAX} generations already")]
    Full,
}

/// Text that is not a nonce.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{text}` is not a nonce of 32 hexadecimal digits")]
pub struct ParseNonceError {
    /// The text found, cut to 80 characters.
    pub text: String,
}

impl GenerationNumber {
    /// The number of the first generation.
    pub const FIRST: Self = Self(1);

    /// Takes a number from outside; `None` for 0.
    pub fn new(number: u32) -> Option<Self> {
        (number > 0).then_some(Self(number))
    }

    /// The plain number.
    pub fn get(self) -> u32 {
        self.0
    }
}

impl Nonce {
    /// Checks a text.
    pub fn new(text: &str) -> Result<Self, ParseNonceError> {
        let digit = |c: u8| c.is_ascii_digit() || (b'a'..=b'f').contains(&c);
        if text.len() == NONCE_CHARS && text.bytes().all(digit) {
            Ok(Self(text.to_owned()))
        } else {
            Err(ParseNonceError { text: text.chars().take(80).collect() })
        }
    }

    /// The digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Generations {
    /// The history of a host that has just been made from an image: one generation, proved by booting.
    pub fn of_image(system: StorePath, registered_seconds: u64) -> Self {
        let first = Generation {
            system,
            registered_seconds,
            by: "image".into(),
            commit: None,
            pinned: false,
            verdict: Verdict::Good,
        };
        Self {
            next: 2,
            entries: BTreeMap::from([(GenerationNumber::FIRST, first)]),
            default: Some(GenerationNumber::FIRST),
            trial: None,
        }
    }

    /// All generations by number.
    pub fn entries(&self) -> &BTreeMap<GenerationNumber, Generation> {
        &self.entries
    }

    /// The one that is booted without asking.
    pub fn default(&self) -> Option<GenerationNumber> {
        self.default
    }

    /// The one that must still prove itself.
    pub fn trial(&self) -> Option<&Trial> {
        self.trial.as_ref()
    }

    /// The generation `number`.
    pub fn get(&self, number: GenerationNumber) -> Result<&Generation, GenerationError> {
        self.entries.get(&number).ok_or(GenerationError::Unknown(number))
    }

    /// The newest generation of `system`; one that is not bad before one that is.
    pub fn find(&self, system: &StorePath) -> Option<GenerationNumber> {
        let of_system = || self.entries.iter().rev().filter(|(_, entry)| entry.system == *system);
        let good = of_system().find(|(_, entry)| !entry.verdict.is_bad());
        good.or_else(|| of_system().next()).map(|(number, _)| *number)
    }

    /// Enters a system into the history; one that is there already keeps its number and its verdict.
    ///
    /// # Errors
    ///
    /// [`GenerationError::Full`]; collect first.
    pub fn register(&mut self, new: Generation) -> Result<GenerationNumber, GenerationError> {
        if let Some(number) = self.find(&new.system) {
            return Ok(number);
        }
        if self.entries.len() >= GENERATIONS_MAX || self.next == u32::MAX {
            return Err(GenerationError::Full);
        }
        let number = GenerationNumber(self.next.max(1));
        self.next = number.0 + 1;
        let generation = Generation {
            by: note(&new.by),
            commit: new.commit.as_deref().map(note),
            verdict: Verdict::New,
            ..new
        };
        self.entries.insert(number, generation);
        Ok(number)
    }

    /// Puts a generation on trial; the default stays.
    ///
    /// With `again`, also one that failed before.
    ///
    /// # Errors
    ///
    /// When it or `trial.previous` is unknown, known to be bad, or another one is on trial.
    pub fn try_out(&mut self, trial: Trial, again: bool) -> Result<(), GenerationError> {
        self.get(trial.previous)?;
        let number = trial.number;
        if let Some(running) = &self.trial {
            return Err(self.on_trial(running));
        }
        let entry = self.entries.get_mut(&number).ok_or(GenerationError::Unknown(number))?;
        if let Verdict::Bad { reason } = &entry.verdict {
            if !again {
                return Err(GenerationError::KnownBad { number, reason: reason.clone() });
            }
            entry.verdict = Verdict::New;
        }
        self.trial = Some(trial);
        Ok(())
    }

    fn on_trial(&self, trial: &Trial) -> GenerationError {
        let by = self.entries.get(&trial.number).map(|entry| entry.by.clone()).unwrap_or_default();
        GenerationError::OnTrial { number: trial.number, by, nonce: trial.nonce.clone() }
    }

    /// Keeps what is on trial: it becomes the default. Answers its number.
    ///
    /// # Errors
    ///
    /// When nothing is on trial, or by another attempt than `nonce`.
    pub fn confirm(&mut self, nonce: &Nonce) -> Result<GenerationNumber, GenerationError> {
        let trial = self.trial_of(nonce)?;
        let number = trial.number;
        self.entry_mut(number)?.verdict = Verdict::Good;
        self.default = Some(number);
        self.trial = None;
        Ok(number)
    }

    /// Ends the trial of `nonce` as failed; answers what is to run instead.
    ///
    /// A generation that was good before (tried again after a rollback, say) is not called bad: it
    /// is then the circumstances that changed.
    ///
    /// # Errors
    ///
    /// When nothing is on trial, or by another attempt than `nonce`.
    pub fn fail(
        &mut self,
        nonce: &Nonce,
        reason: &str,
    ) -> Result<GenerationNumber, GenerationError> {
        let Trial { number, previous, .. } = self.trial_of(nonce)?.clone();
        let entry = self.entry_mut(number)?;
        if entry.verdict != Verdict::Good {
            entry.verdict = Verdict::Bad { reason: note(reason) };
        }
        self.trial = None;
        Ok(previous)
    }

    /// Ends the trial of `nonce` without a verdict, when it never began.
    ///
    /// # Errors
    ///
    /// As [`Generations::fail`].
    pub fn withdraw(&mut self, nonce: &Nonce) -> Result<(), GenerationError> {
        self.trial_of(nonce)?;
        self.trial = None;
        Ok(())
    }

    /// The good generation that a rollback goes to: `to`, or the newest before the default.
    ///
    /// # Errors
    ///
    /// When there is none, or `to` never proved itself.
    pub fn rollback_target(
        &self,
        to: Option<GenerationNumber>,
    ) -> Result<GenerationNumber, GenerationError> {
        if let Some(number) = to {
            return match self.get(number)?.verdict {
                Verdict::Good => Ok(number),
                _ => Err(GenerationError::Unproven(number)),
            };
        }
        let default = self.default.ok_or(GenerationError::NothingBefore)?;
        let mut before = self.entries.range(..default).rev();
        let good = before.find(|(_, entry)| entry.verdict == Verdict::Good);
        good.map(|(number, _)| *number).ok_or(GenerationError::NothingBefore)
    }

    /// Makes a generation that proved itself before the default, without a trial.
    ///
    /// # Errors
    ///
    /// When it is unknown or never proved itself, or another one is on trial.
    pub fn set_default(&mut self, number: GenerationNumber) -> Result<(), GenerationError> {
        if let Some(trial) = &self.trial {
            return Err(self.on_trial(trial));
        }
        self.default = Some(self.rollback_target(Some(number))?);
        Ok(())
    }

    /// Keeps a generation from being collected, or lets go of it.
    ///
    /// # Errors
    ///
    /// When it is unknown.
    pub fn set_pinned(
        &mut self,
        number: GenerationNumber,
        pinned: bool,
    ) -> Result<(), GenerationError> {
        self.entry_mut(number)?.pinned = pinned;
        Ok(())
    }

    /// Forgets generations: kept are the default, what is on trial and what ran before it, the
    /// pinned, those whose system is `in_use`, and the newest `keep` good ones.
    ///
    /// A bad one newer than the default is kept too, so that it is not tried again unchanged.
    /// Answers the forgotten.
    pub fn collect(
        &mut self,
        keep: usize,
        in_use: &BTreeSet<StorePath>,
    ) -> BTreeMap<GenerationNumber, Generation> {
        let good = self.entries.iter().rev().filter(|(_, entry)| entry.verdict == Verdict::Good);
        let mut kept: BTreeSet<GenerationNumber> =
            good.take(keep).map(|(number, _)| *number).collect();
        kept.extend(self.default);
        kept.extend(self.trial.iter().flat_map(|trial| [trial.number, trial.previous]));
        let newer = |number: GenerationNumber| Some(number) > self.default;
        let stays = |number: &GenerationNumber, entry: &Generation| {
            entry.pinned
                || in_use.contains(&entry.system)
                || kept.contains(number)
                || (newer(*number) && entry.verdict.is_bad())
        };
        let (stay, go) = std::mem::take(&mut self.entries)
            .into_iter()
            .partition(|(number, entry)| stays(number, entry));
        self.entries = stay;
        go
    }

    /// The trial, when `nonce` is its attempt.
    ///
    /// # Errors
    ///
    /// When nothing is on trial, or by another attempt.
    pub fn trial_of(&self, nonce: &Nonce) -> Result<&Trial, GenerationError> {
        let trial = self.trial.as_ref().ok_or(GenerationError::NoTrial)?;
        if trial.nonce == *nonce {
            return Ok(trial);
        }
        let (expected, found) = (trial.nonce.clone(), nonce.clone());
        Err(GenerationError::OtherAttempt { expected, found })
    }

    fn entry_mut(&mut self, number: GenerationNumber) -> Result<&mut Generation, GenerationError> {
        self.entries.get_mut(&number).ok_or(GenerationError::Unknown(number))
    }
}

impl Verdict {
    /// Whether it failed.
    pub fn is_bad(&self) -> bool {
        matches!(self, Self::Bad { .. })
    }
}

impl Level {
    /// The word for it in plans, events and the state.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::SoftReboot => "soft-reboot",
            Self::Reboot => "reboot",
        }
    }

    /// The level of a word.
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Live, Self::SoftReboot, Self::Reboot].into_iter().find(|l| l.as_str() == word)
    }
}

/// One printable line of bounded length.
fn note(text: &str) -> String {
    let printable = |c: char| if c.is_control() { ' ' } else { c };
    text.chars().take(NOTE_CHARS_MAX).map(printable).collect()
}

impl fmt::Display for GenerationNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Display for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests;
