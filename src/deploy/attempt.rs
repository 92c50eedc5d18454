//! One change of one machine: activated on trial, proved over new connections, confirmed, or gone again.
//!
//! What happened is read from the events of the activation; what is true is read from the machine's status. So a
//! connection may break at any moment, also for a boot, and the attempt goes on over the next one.

use std::cell::Cell;
use std::time::{Duration, Instant};

use super::agent::{Agent, Ways};
use super::error::DeployError;
use super::outside::{Outcome, OutsideCheck};
use super::reply::{Event, Status, TrialReply};
use crate::agent::error::EXIT_UNCHANGED;
use crate::exec::interrupt::Interrupt;
use crate::failure::causes;
use crate::generation::Nonce;
use crate::ssh::Transport;
use crate::store::{StoreDir, StorePath};

/// How long a machine may take to come back from a boot, or from an activation that cut the connection.
const BACK_WITHIN: Duration = Duration::from_secs(900);
/// How often a machine that is away is tried again.
const AGAIN: Duration = Duration::from_millis(500);
/// How long the machine itself needs at most to go back, once its window is over.
const RETURN_WITHIN: Duration = Duration::from_secs(300);

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Activation {
    /// The system; a rollback leaves the choice to the machine when there is none.
    pub system: Option<StorePath>,
    /// The generation to go back to, for a rollback.
    pub back_to: Option<u32>,
    /// Seconds within which it must be confirmed.
    pub window_seconds: u32,
    /// The least level: `auto`, `live`, `soft-reboot`, `reboot`, or `boot` to prepare the next boot only.
    pub level: String,
    /// The generation that must run now.
    pub expect: Option<u32>,
    /// Who asks.
    pub by: String,
    /// Revision of the files.
    pub commit: Option<String>,
    /// Also when this system failed before.
    pub again: bool,
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// It is the default now.
    Kept {
        /// Its number.
        number: u32,
    },
    /// The machine runs what it ran before.
    Returned {
        /// Why.
        reason: String,
        /// The agent's exit code for it.
        code: u8,
    },
    /// The next boot will try it.
    Prepared {
        /// Its number.
        number: u32,
    },
}

/// Is told what happens.
pub trait Listener {
    /// The machine says something about the activation.
    fn event(&self, event: &Event);
    /// A sentence about this side: a way in that was tried, a check that was made.
    fn note(&self, text: &str);
}

/// One attempt.
pub struct Attempt<'a> {
    ways: &'a Ways,
    nonce: Nonce,
    checks: &'a [OutsideCheck],
    interrupt: &'a Interrupt,
    listener: &'a dyn Listener,
    /// The generation that is tried, once it is known.
    number: Cell<Option<u32>>,
}

impl std::fmt::Debug for Attempt<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Attempt").field("nonce", &self.nonce).finish_non_exhaustive()
    }
}

/// Where an attempt is.
enum Stage {
    /// The machine works on it; its log goes on at this byte.
    Working { from: u64 },
    /// It waits to be confirmed, at the latest then.
    Waiting { until: Instant },
    /// It boots.
    Booting,
    /// It has ended.
    Over(End),
}

impl<'a> Attempt<'a> {
    /// An attempt called `nonce`: every one of `ways` must lead to the machine, `checks` are made from here.
    pub fn new(
        ways: &'a Ways,
        nonce: Nonce,
        checks: &'a [OutsideCheck],
        interrupt: &'a Interrupt,
        listener: &'a dyn Listener,
    ) -> Self {
        Self { ways, nonce, checks, interrupt, listener, number: Cell::new(None) }
    }

    /// Activates, over `agent`, and stays with it until the end.
    ///
    /// # Errors
    ///
    /// What kept it from being begun, or [`DeployError::Lost`] when the machine was not seen again.
    pub fn run(&self, agent: &mut Agent, wanted: &Activation) -> Result<End, DeployError> {
        let words = self.words(wanted);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let mut from = 0;
        let followed = agent.follow(&words, &mut |event| {
            from = event.next;
            self.hear(event);
        });
        let prepared_only = wanted.level == "boot";
        let stage = match followed {
            Ok(last) => Self::after(last.as_ref(), from),
            Err(error) if error.may_pass() && from > 0 => Stage::Working { from },
            // Nothing was heard, so it may or may not have been begun: the machine knows.
            Err(error) if error.may_pass() => match self.seen_again()?.1.trial {
                Some(trial) if trial.nonce == self.nonce.as_str() => Stage::Working { from: 0 },
                _ => return Err(error),
            },
            Err(error) => return Err(error),
        };
        self.until_the_end(stage, prepared_only)
    }

    /// Goes on with an attempt that was begun by somebody else, or by a client that is gone.
    ///
    /// # Errors
    ///
    /// As [`Attempt::run`].
    pub fn attach(&self) -> Result<End, DeployError> {
        self.until_the_end(Stage::Working { from: 0 }, false)
    }

    fn words(&self, wanted: &Activation) -> Vec<String> {
        let mut words: Vec<String> = match &wanted.system {
            Some(system) => vec!["activate".into(), StoreDir::default().join(system)],
            None => vec!["rollback".into()],
        };
        words.extend(wanted.back_to.map(|number| number.to_string()));
        let nonce = self.nonce.as_str();
        let window = wanted.window_seconds.to_string();
        let pairs = [
            ("nonce", Some(nonce)),
            ("window", Some(window.as_str())),
            ("level", Some(wanted.level.as_str())),
            ("by", Some(wanted.by.as_str())),
            ("commit", wanted.commit.as_deref()),
        ];
        words.push("--trial".into());
        for (name, value) in pairs {
            words.extend(value.map(|value| format!("--{name}={value}")));
        }
        words.extend(wanted.expect.map(|number| format!("--expect={number}")));
        if wanted.again {
            words.push("--again".into());
        }
        words
    }

    fn until_the_end(&self, mut stage: Stage, prepared_only: bool) -> Result<End, DeployError> {
        loop {
            self.interrupt.check()?;
            stage = match stage {
                Stage::Over(end) => return Ok(end),
                Stage::Booting if prepared_only => {
                    return Ok(End::Prepared { number: self.number.get().unwrap_or(0) });
                }
                Stage::Booting => self.wait_for_boot()?,
                Stage::Working { from } => self.follow_on(from)?,
                Stage::Waiting { until } => self.prove(until)?,
            };
        }
    }

    /// What the last event of a log means.
    fn after(last: Option<&Event>, from: u64) -> Stage {
        let Some(event) = last else { return Stage::Working { from } };
        let number = |field: &str| event.number(field).and_then(|number| number.try_into().ok());
        match event.name.as_str() {
            "awaiting" => {
                let seconds = event.number("seconds").unwrap_or(0).min(3600);
                Stage::Waiting { until: Instant::now() + Duration::from_secs(seconds) }
            }
            "rebooting" | "stuck" => Stage::Booting,
            "kept" => Stage::Over(End::Kept { number: number("number").unwrap_or(0) }),
            "returned" => {
                let code = event
                    .number("exit")
                    .and_then(|code| code.try_into().ok())
                    .unwrap_or(EXIT_UNCHANGED);
                Stage::Over(End::Returned { reason: event.text("reason").to_owned(), code })
            }
            _ => Stage::Working { from },
        }
    }

    /// Follows the log from where it was left; when it is gone, the status says what became of the attempt.
    fn follow_on(&self, from: u64) -> Result<Stage, DeployError> {
        let (mut agent, _) = self.seen_again()?;
        let mut next = from;
        let at = from.to_string();
        let words = ["attach", self.nonce.as_str(), "--from", &at];
        let followed = agent.follow(&words, &mut |event| {
            next = event.next;
            self.hear(event);
        });
        match followed {
            Ok(last) if last.is_some() => Ok(Self::after(last.as_ref(), next)),
            Err(error) if error.may_pass() => Ok(Stage::Working { from: next }),
            _ => {
                let (_, status) = self.seen_again()?;
                let stage = self.judge(&status);
                if matches!(stage, Stage::Working { .. }) {
                    std::thread::sleep(AGAIN);
                }
                Ok(stage)
            }
        }
    }

    /// What the machine's status says about the attempt.
    fn judge(&self, status: &Status) -> Stage {
        if let Some(trial) = self.ours(status) {
            let runs = status.running_number() == Some(trial.number);
            return match (runs, status.busy.is_some()) {
                (true, false) => {
                    Stage::Waiting { until: Instant::now() + Duration::from_secs(3600) }
                }
                _ => Stage::Working { from: 0 },
            };
        }
        let Some(number) = self.number.get() else { return Stage::Working { from: 0 } };
        if status.default == Some(number) && status.running_number() == Some(number) {
            return Stage::Over(End::Kept { number });
        }
        let reason = status.generation(number).and_then(|entry| entry.reason.clone());
        let reason = reason.unwrap_or_else(|| "the trial was ended on the machine".into());
        Stage::Over(End::Returned { reason, code: EXIT_UNCHANGED })
    }

    /// What is on trial there, when it is this attempt.
    fn ours<'s>(&self, status: &'s Status) -> Option<&'s TrialReply> {
        let ours = status.trial.as_ref().filter(|trial| trial.nonce == self.nonce.as_str());
        if let Some(trial) = ours {
            self.number.set(Some(trial.number));
        }
        ours
    }

    fn hear(&self, event: &Event) {
        if event.name == "begin" {
            let number = event.number("number").and_then(|number| number.try_into().ok());
            self.number.set(number.or(self.number.get()));
        }
        self.listener.event(event);
    }

    /// Waits until the machine has been booted: into the trial, or back.
    fn wait_for_boot(&self) -> Result<Stage, DeployError> {
        let deadline = Instant::now() + BACK_WITHIN;
        loop {
            let (_, status) = self.seen_again_by(deadline)?;
            match self.ours(&status) {
                None => return Ok(self.judge(&status)),
                Some(trial) if status.running_number() == Some(trial.number) => {
                    self.listener.note("the machine is back, with the new system");
                    return Ok(Stage::Waiting {
                        until: Instant::now() + Duration::from_secs(3600),
                    });
                }
                // It has not gone down yet.
                Some(_) => std::thread::sleep(AGAIN),
            }
        }
    }

    /// Proves that the machine can be reached and is healthy, over new connections; then confirms.
    fn prove(&self, until: Instant) -> Result<Stage, DeployError> {
        let mut said = String::new();
        while Instant::now() < until {
            self.interrupt.check()?;
            match self.prove_once(until) {
                Ok(Proof::Ended(stage)) => return Ok(stage),
                Ok(Proof::NotYet(problem)) => self.tell_once(&mut said, problem),
                Err(DeployError::Interrupted(stop)) => return Err(stop.into()),
                // A login that is refused is just what a trial is to find out.
                Err(error) => self.tell_once(&mut said, causes(&error).join(": ")),
            }
            std::thread::sleep(AGAIN);
        }
        // Not in time, or kept without our hearing of it: the machine knows.
        let deadline = Instant::now() + RETURN_WITHIN;
        loop {
            let (_, status) = self.seen_again_by(deadline)?;
            let stage = self.judge(&status);
            if matches!(stage, Stage::Over(_)) {
                return Ok(stage);
            }
            if Instant::now() >= deadline {
                return Ok(Stage::Working { from: 0 });
            }
            std::thread::sleep(AGAIN);
        }
    }

    fn tell_once(&self, said: &mut String, problem: String) {
        if *said != problem {
            self.listener.note(&problem);
            *said = problem;
        }
    }

    fn prove_once(&self, until: Instant) -> Result<Proof, DeployError> {
        let mut machine = None;
        let mut last = None;
        let looks = std::thread::scope(|scope| {
            let looks: Vec<_> =
                self.ways.all().map(|way| (way, scope.spawn(move || look(way)))).collect();
            let join = |(way, look): (_, std::thread::ScopedJoinHandle<'_, _>)| {
                (way, look.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            };
            looks.into_iter().map(join).collect::<Vec<(&dyn Transport, _)>>()
        });
        for (way, look) in looks {
            let (agent, status) = look?;
            let found = status.machine_id.clone().unwrap_or_default();
            let known = machine.get_or_insert_with(|| found.clone());
            if *known != found {
                return Err(DeployError::WayAstray { way: way.shown(), found });
            }
            match self.judge(&status) {
                Stage::Waiting { .. } => {}
                Stage::Over(end) => return Ok(Proof::Ended(Stage::Over(end))),
                _ => return Ok(Proof::NotYet("the machine still works on it".into())),
            }
            self.listener.note(&format!("reached over {}", way.shown()));
            last = Some(agent);
        }
        if let Some(problem) = self.check_from_outside(until)? {
            return Ok(Proof::NotYet(problem));
        }
        let mut agent = match last {
            Some(agent) => agent,
            None => Agent::connect(self.ways.first())?,
        };
        agent.confirm(&self.nonce)?;
        let number = self.number.get().unwrap_or(0);
        Ok(Proof::Ended(Stage::Over(End::Kept { number })))
    }

    /// The first check that fails, in words.
    fn check_from_outside(&self, until: Instant) -> Result<Option<String>, DeployError> {
        for check in self.checks {
            match check.make(self.ways.first().host(), until, self.interrupt)? {
                Outcome::Passed => self.listener.note(&format!("check `{}` passed", check.name())),
                Outcome::LeftOut(why) => {
                    self.listener.note(&format!("check `{}` left out: {why}", check.name()));
                }
                Outcome::Failed(seen) => {
                    return Ok(Some(format!("check `{}` failed: {seen}", check.name())));
                }
            }
        }
        Ok(None)
    }

    /// A new login over any way, however long the machine is away.
    fn seen_again(&self) -> Result<(Agent, Status), DeployError> {
        self.seen_again_by(Instant::now() + BACK_WITHIN)
    }

    fn seen_again_by(&self, deadline: Instant) -> Result<(Agent, Status), DeployError> {
        let begun = Instant::now();
        loop {
            let mut last = None;
            for way in self.ways.all() {
                self.interrupt.check()?;
                match look(way) {
                    Ok(seen) => return Ok(seen),
                    Err(DeployError::Interrupted(stop)) => return Err(stop.into()),
                    // Whatever it is, the way back may still mend it.
                    Err(error) => last = Some(error),
                }
            }
            if Instant::now() >= deadline {
                let seconds = begun.elapsed().as_secs();
                let source = last.unwrap_or(DeployError::NoTrial);
                return Err(DeployError::Lost { seconds, source: Box::new(source) });
            }
            std::thread::sleep(AGAIN);
        }
    }
}

/// What a try to prove came to.
enum Proof {
    Ended(Stage),
    NotYet(String),
}

fn look(way: &dyn Transport) -> Result<(Agent, Status), DeployError> {
    let mut agent = Agent::connect(way)?;
    let status = agent.status()?;
    Ok((agent, status))
}
