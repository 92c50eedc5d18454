//! The command-line program; everything is in the library.

use std::process::ExitCode;

use nexus_host::cli;
use nexus_host::exec::environment::Environment;
use nexus_host::exec::sandbox;

fn main() -> ExitCode {
    let words: Vec<_> = std::env::args_os().collect();
    cli::watch_for_bugs(&words);
    if words.get(1).is_some_and(|word| word == sandbox::CHILD_WORD) {
        return ExitCode::from(sandbox::child_main());
    }
    match Environment::of_process() {
        Ok(environment) => cli::run(words, environment),
        Err(error) => cli::no_environment(&error),
    }
}
