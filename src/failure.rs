//! A program that fails, in words: an error with its causes, and a bug of our own.

use std::any::Any;
use std::error::Error;
use std::fmt;
use std::panic::PanicHookInfo;
use std::sync::atomic::{AtomicBool, Ordering};

/// Exit code of a program that ran into a bug of its own. Source: `EX_SOFTWARE` of sysexits.h.
pub const EXIT_BUG: u8 = 70;

/// What to do about a bug.
pub const REPORT: &str =
    "this is not your fault: please report it, with these lines and what you ran";

/// The texts of an error and of what caused it, outermost first, none twice in a row.
pub fn causes(error: &dyn Error) -> Vec<String> {
    let mut causes = vec![error.to_string()];
    let inner = std::iter::successors(error.source(), |error| (*error).source());
    causes.extend(inner.map(ToString::to_string));
    causes.dedup();
    causes
}

/// What a program says about a failure: `error: …`, `  caused by: …` for each further cause, `help: …`.
pub fn in_words(causes: &[String], help: Option<&str>) -> String {
    let cause = |(index, cause): (usize, &String)| {
        let begin = if index == 0 { "error" } else { "  caused by" };
        format!("{begin}: {cause}")
    };
    let causes = causes.iter().enumerate().map(cause);
    causes.chain(help.map(|help| format!("help: {help}"))).collect::<Vec<_>>().join("\n")
}

/// A panic: something is not as this program believes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bug {
    /// Which of our programs.
    pub program: &'static str,
    /// What it says, such as `index out of bounds: …`.
    pub message: String,
    /// `file:line:column` in our source, when known.
    pub place: String,
    /// The thread's name, when it has one.
    pub thread: String,
}

impl Bug {
    fn of_panic(program: &'static str, panic: &PanicHookInfo<'_>) -> Self {
        let message = text_of(panic.payload()).unwrap_or("it gives no reason").to_owned();
        let place = panic.location().map_or("an unknown place".to_owned(), ToString::to_string);
        let thread = std::thread::current().name().unwrap_or("without a name").to_owned();
        Self { program, message, place, thread }
    }

    /// The bug as a chain of causes, for [`in_words`].
    pub fn causes(&self) -> Vec<String> {
        vec![self.to_string(), self.message.clone()]
    }
}

/// The text that `panic!` was given: of its own or a constant.
fn text_of(payload: &(dyn Any + Send)) -> Option<&str> {
    let constant = payload.downcast_ref::<&str>().copied();
    constant.or_else(|| payload.downcast_ref::<String>().map(String::as_str))
}

impl fmt::Display for Bug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { program, place, thread, .. } = self;
        let version = env!("CARGO_PKG_VERSION");
        write!(f, "{program} {version} has a bug at {place} (thread {thread})")
    }
}

/// From now on the first panic of any thread is told and ends the process with [`EXIT_BUG`].
///
/// At once, because other threads may wait for the one that is lost. What is on the disk is always fit
/// for that: a power cut would do the same.
pub fn exit_on_bug(program: &'static str, tell: impl Fn(&Bug) + Send + Sync + 'static) {
    let told = AtomicBool::new(false);
    std::panic::set_hook(Box::new(move |panic| {
        // Of two threads that panic at the same time, the second waits for the end that the first brings.
        while told.swap(true, Ordering::SeqCst) {
            std::thread::park();
        }
        tell(&Bug::of_panic(program, panic));
        #[expect(clippy::exit, reason = "nothing of this process can be trusted any more")]
        std::process::exit(EXIT_BUG.into());
    }));
}

#[cfg(test)]
mod tests {
    use super::*;
    use thiserror::Error;

    #[derive(Debug, Error)]
    #[error("inner")]
    struct Inner;

    #[derive(Debug, Error)]
    enum Outer {
        #[error("outer")]
        Own(#[source] Inner),
        #[error(transparent)]
        Same(#[from] Box<Outer>),
    }

    #[test]
    fn causes_stand_below_each_other() {
        let error = Outer::Same(Box::new(Outer::Own(Inner)));
        assert_eq!(causes(&error), ["outer", "inner"]);
        let told = in_words(&causes(&error), Some("do it"));
        assert_eq!(told, "error: outer\n  caused by: inner\nhelp: do it");
        assert_eq!(in_words(&causes(&Inner), None), "error: inner");
    }
}
