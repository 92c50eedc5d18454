//! A panic of this program: told as a bug to report, and an exit code of its own.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::ffi::OsString;

use serde_json::json;

use super::exit;
use super::ui::Ui;
use crate::failure::{Bug, REPORT, exit_on_bug, in_words};

/// From now on a panic of any thread ends the program with code 70; `words` are its command line.
///
/// They are looked at as they are, because reading them may be what fails.
pub fn watch_for_bugs(words: &[OsString]) {
    let json = words.iter().any(|word| word == "--json");
    exit_on_bug("nexus-host", move |bug| tell(bug, json));
}

fn tell(bug: &Bug, json: bool) {
    // A new one: whatever panicked may hold the other's lock.
    let ui = Ui::new(true, true);
    let causes = bug.causes();
    let trace = Backtrace::capture();
    if trace.status() == BacktraceStatus::Captured {
        ui.problem(&trace.to_string());
    }
    ui.problem(&in_words(&causes, Some(REPORT)));
    if json {
        ui.json(&json!({ "error": causes, "help": REPORT, "exit": exit::BUG }));
    }
}

#[cfg(test)]
mod tests {
    use std::process::Output;

    use super::*;
    use crate::exec::environment::Environment;
    use crate::exec::process::command;

    /// Says in the copy of this test program how it shall panic.
    const HOW: &str = "NEXUS_HOST_TEST_PANIC";

    /// The part of [`outcome`] that runs in a process of its own; without its variable it has nothing to do.
    #[test]
    fn panics_when_told() {
        let environment = Environment::of_process().unwrap();
        let Some(how) = environment.text(HOW) else { return };
        let words: Vec<OsString> = how.split(' ').map(OsString::from).collect();
        watch_for_bugs(&words);
        let panic = || -> usize { how.parse().expect("a number of tests") };
        if how.starts_with("pool") {
            // More work than one thread, so that the panic is on another than this one.
            let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
            pool.install(|| rayon::join(panic, panic));
        } else if how.starts_with("waiting") {
            let (sender, receiver) = std::sync::mpsc::channel();
            std::thread::scope(|scope| {
                let thread = std::thread::Builder::new().name("lost".to_owned());
                thread.spawn_scoped(scope, panic).unwrap();
                // Nobody sends: without the exit this would be for ever.
                receiver.recv().unwrap();
                sender.send(()).unwrap();
            });
        }
        panic();
    }

    fn outcome(how: &str) -> Output {
        let program = Environment::of_process().unwrap().program;
        command(program.as_os_str())
            .args(["--exact", "cli::bug::tests::panics_when_told", "--nocapture"])
            .env(HOW, how)
            .output()
            .unwrap()
    }

    #[test]
    fn a_panic_of_any_thread_is_told_as_a_bug() {
        for (how, thread) in
            [("main", "cli::bug::tests::panics_when_told"), ("pool", ""), ("waiting", "lost")]
        {
            let output = outcome(how);
            let told = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(70), "{told}");
            let version = env!("CARGO_PKG_VERSION");
            for part in [
                format!("error: nexus-host {version} has a bug at src/cli/bug.rs:"),
                format!("(thread {thread}"),
                "  caused by: a number of tests: ParseIntError".to_owned(),
                format!("help: {REPORT}"),
            ] {
                assert!(told.contains(&part), "no {part:?} in: {told}");
            }
        }
    }

    #[test]
    fn with_json_a_panic_is_a_document_too() {
        let output = outcome("pool --json");
        assert_eq!(output.status.code(), Some(70));
        let told = String::from_utf8(output.stdout).unwrap();
        // Before it stands what the test program says.
        let document = &told[told.find('{').unwrap()..];
        let told: serde_json::Value = serde_json::from_str(document).unwrap();
        assert_eq!((&told["exit"], &told["help"]), (&json!(70), &json!(REPORT)));
        assert!(told["error"][1].as_str().unwrap().starts_with("a number of tests"));
    }
}
