//! One lock and one bell per machine: threads report what they saw, waits look until it is there.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::console::ConsoleText;
use super::error::{MachineError, Problem};
use crate::exec::interrupt::Interrupt;

/// How often a wait looks at the interrupt, which rings no bell.
const INTERRUPT_LOOK: Duration = Duration::from_millis(200);

/// How long a machine may go on writing after a fatal line, so that the report has the whole story.
const TROUBLE_GRACE: Duration = Duration::from_millis(700);

/// What the threads of a machine have seen so far.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// The serial console.
    pub console: ConsoleText,
    /// Lines of the root shell that nobody has taken yet.
    pub shell_lines: VecDeque<String>,
    /// How QEMU ended and what it wrote, once it has.
    pub ended: Option<(String, String)>,
    /// A fatal line of the console, and when it was seen.
    pub trouble: Option<(Instant, &'static str, String)>,
    /// Whether QEMU is meant to end, so that its end fails no wait.
    pub end_is_wanted: bool,
}

/// The shared state of one machine; clones share it.
#[derive(Debug, Clone, Default)]
pub(super) struct Watch(Arc<(Mutex<Seen>, Condvar)>);

impl Watch {
    /// Changes what was seen and rings the bell.
    pub(super) fn tell<T>(&self, change: impl FnOnce(&mut Seen) -> T) -> T {
        let answer = change(&mut self.lock());
        self.0.1.notify_all();
        answer
    }

    /// Looks at what was seen, without waiting.
    pub(super) fn look<T>(&self, look: impl FnOnce(&Seen) -> T) -> T {
        look(&self.lock())
    }

    /// Waits until `find` finds something.
    ///
    /// # Errors
    ///
    /// [`Problem::Timeout`] with `awaited`, or earlier when the machine cannot get there any more.
    pub(super) fn wait<T>(
        &self,
        awaited: &str,
        within: Duration,
        interrupt: &Interrupt,
        mut find: impl FnMut(&mut Seen) -> Option<T>,
    ) -> Result<T, Problem> {
        let deadline = Instant::now() + within;
        let mut seen = self.lock();
        loop {
            if let Some(found) = find(&mut seen) {
                return Ok(found);
            }
            if let Some(problem) = hopeless(&seen, interrupt) {
                return Err(problem);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let awaited = awaited.to_owned();
                return Err(Problem::Timeout { awaited, seconds: within.as_secs() });
            }
            let slice = left.min(INTERRUPT_LOOK);
            seen = self.0.1.wait_timeout(seen, slice).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        // A thread that panicked while it appended to a text has left the text usable.
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why no wait can succeed any more.
fn hopeless(seen: &Seen, interrupt: &Interrupt) -> Option<Problem> {
    if interrupt.is_set() {
        return Some(Problem::Interrupted);
    }
    if let Some((status, output)) = seen.ended.clone()
        && !seen.end_is_wanted
    {
        return Some(Problem::Ended { status, output });
    }
    let (since, kind, line) = seen.trouble.as_ref()?;
    (since.elapsed() >= TROUBLE_GRACE).then(|| Problem::Trouble { kind, line: line.clone() })
}

/// What every part of a machine needs to wait and to report.
#[derive(Debug, Clone)]
pub(super) struct Context {
    /// The machine's name.
    pub machine: String,
    /// The file with the raw serial console.
    pub log: PathBuf,
    /// What was seen since QEMU started.
    pub watch: Watch,
    /// Whether the user wants to stop.
    pub interrupt: Interrupt,
}

impl Context {
    /// [`Watch::wait`], with the machine's last words in the error.
    pub(super) fn wait<T>(
        &self,
        awaited: &str,
        within: Duration,
        find: impl FnMut(&mut Seen) -> Option<T>,
    ) -> Result<T, MachineError> {
        self.watch
            .wait(awaited, within, &self.interrupt, find)
            .map_err(|problem| self.fail(problem))
    }

    /// Lets time pass, unless the machine breaks meanwhile.
    pub(super) fn pause(&self, pause: Duration) -> Result<(), MachineError> {
        match self.watch.wait("end of a pause", pause, &self.interrupt, |_| None::<()>) {
            Ok(()) | Err(Problem::Timeout { .. }) => Ok(()),
            Err(problem) => Err(self.fail(problem)),
        }
    }

    /// Adds what the machine last said to a problem.
    pub(super) fn fail(&self, problem: Problem) -> MachineError {
        MachineError {
            machine: self.machine.clone(),
            problem: Box::new(problem),
            console_tail: self.watch.look(|seen| seen.console.tail()),
            log: self.log.clone(),
        }
    }
}
