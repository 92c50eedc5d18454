//! The only printing: results on standard output, everything else on standard error.

use std::io::{IsTerminal as _, Write as _};
use std::sync::Mutex;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::diag::{Diagnostic, Look, render};
use crate::exec::progress::{Progress, Task, Unit};

/// Where words go in this run.
#[derive(Debug)]
pub(crate) struct Ui {
    quiet: bool,
    /// Whether standard error shows colours.
    colours: bool,
    /// Bars when standard error is a terminal, lines otherwise.
    bars: Option<MultiProgress>,
    /// Keeps lines of several threads whole.
    lines: Mutex<()>,
}

impl Ui {
    pub(crate) fn new(quiet: bool, no_colour: bool) -> Self {
        let terminal = std::io::stderr().is_terminal();
        let bars = (!quiet && terminal).then(MultiProgress::new);
        Self { quiet, colours: terminal && !no_colour, bars, lines: Mutex::new(()) }
    }

    /// Prints a result on standard output. A reader that has gone away is not an error.
    #[expect(clippy::unused_self, reason = "whoever prints holds the one value that may")]
    pub(crate) fn result(&self, text: &str) {
        let mut out = std::io::stdout().lock();
        let _gone = writeln!(out, "{text}").and_then(|()| out.flush());
    }

    /// Prints bytes on standard output as they are.
    #[expect(clippy::unused_self, reason = "whoever prints holds the one value that may")]
    pub(crate) fn bytes(&self, bytes: &[u8]) {
        let mut out = std::io::stdout().lock();
        let _gone = out.write_all(bytes).and_then(|()| out.flush());
    }

    /// Prints a JSON document on standard output.
    pub(crate) fn json(&self, value: &serde_json::Value) {
        self.result(&serde_json::to_string_pretty(value).expect("a JSON value can be written"));
    }

    /// Says something on standard error unless asked to be quiet.
    pub(crate) fn say(&self, text: &str) {
        if !self.quiet {
            self.problem(text);
        }
    }

    /// Says something on standard error, always.
    pub(crate) fn problem(&self, text: &str) {
        if let Some(bars) = &self.bars {
            bars.suspend(|| write_line(text));
        } else {
            let _whole = self.lines.lock();
            write_line(text);
        }
    }

    /// Shows problems of the user's files, and how many there are.
    pub(crate) fn diagnostics(&self, problems: &[Diagnostic]) {
        if problems.is_empty() {
            return;
        }
        let look = if self.colours { Look::Coloured } else { Look::Plain };
        let count = problems.len();
        self.problem(&format!(
            "{}\n{count} problem{}",
            render(problems, look).trim_end(),
            if count == 1 { "" } else { "s" }
        ));
    }
}

fn write_line(text: &str) {
    let _gone = writeln!(std::io::stderr().lock(), "{}", text.trim_end_matches('\n'));
}

impl Progress for Ui {
    fn begin(&self, label: &str, unit: Unit, total: Option<u64>) -> Box<dyn Task> {
        if let Some(bars) = &self.bars {
            return Box::new(Bar::new(bars, label, unit, total));
        }
        self.say(&start_line(label, unit, total));
        Box::new(crate::exec::progress::Silent)
    }

    fn note(&self, text: &str) {
        self.say(text);
    }
}

fn start_line(label: &str, unit: Unit, total: Option<u64>) -> String {
    match (unit, total) {
        (Unit::Bytes, Some(total)) => format!("{label} ({})", indicatif::BinaryBytes(total)),
        (Unit::Things, Some(total)) => format!("{label} ({total})"),
        (_, None) => label.to_owned(),
    }
}

/// A bar that goes away when its work ends.
struct Bar(ProgressBar);

impl Bar {
    fn new(bars: &MultiProgress, label: &str, unit: Unit, total: Option<u64>) -> Self {
        let counts = match (unit, total) {
            (Unit::Bytes, Some(_)) => {
                "[{bar:24}] {binary_bytes}/{binary_total_bytes} {binary_bytes_per_sec} {eta}"
            }
            (Unit::Bytes, None) => "{binary_bytes}",
            (Unit::Things, Some(_)) => "[{bar:24}] {pos}/{len}",
            (Unit::Things, None) => "",
        };
        let template = format!("{{spinner}} {{prefix:22}} {counts} {{wide_msg}}");
        let style = ProgressStyle::with_template(&template).expect("the template is a constant");
        let bar = bars.add(total.map_or_else(ProgressBar::new_spinner, ProgressBar::new));
        bar.set_style(style.progress_chars("=> "));
        bar.set_prefix(label.to_owned());
        bar.enable_steady_tick(std::time::Duration::from_millis(120));
        Self(bar)
    }
}

impl Task for Bar {
    fn advance(&self, amount: u64) {
        self.0.inc(amount);
    }

    fn at(&self, what: &str) {
        self.0.set_message(what.to_owned());
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
