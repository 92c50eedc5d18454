//! The command line: one file per verb; the only part of the program that prints.

mod advice;
mod arguments;
mod bug;
mod build;
mod check;
mod completions;
mod deploy;
mod docs;
mod exit;
mod fresh_secrets;
mod hosts;
mod identity_image;
mod image;
mod init;
mod install;
mod keep;
mod lock;
mod man;
mod report;
mod secrets;
mod session;
mod store;
mod test;
mod ui;
mod why;
mod with_engine;
mod workspace;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser as _;

use arguments::{Arguments, Verb};
pub use bug::watch_for_bugs;
use report::Failure;
use session::Session;

use crate::exec::environment::Environment;

/// Runs the program with the command line `words`, the program's name first.
pub fn run(words: Vec<OsString>, environment: Environment) -> ExitCode {
    let arguments = match Arguments::try_parse_from(words) {
        Ok(arguments) => arguments,
        Err(answer) => {
            let code = if answer.use_stderr() { exit::USAGE } else { exit::DONE };
            let _gone = answer.print();
            return ExitCode::from(code);
        }
    };
    let json = arguments.global.json;
    let ui = ui::Ui::new(arguments.global.quiet, environment.variable("NO_COLOR").is_some());
    let ended = Session::start(&arguments.global, environment, &ui).and_then(|session| {
        let ended = dispatch(&session, arguments.verb);
        // Whatever failed then, failed because of it: a program in the sandbox that was ended, say.
        ended.map_err(|e| if session.interrupt.is_set() { e.interrupted() } else { e })
    });
    match ended {
        Ok(()) => ExitCode::from(exit::DONE),
        Err(failure) => {
            failure.show(&ui, json);
            ExitCode::from(failure.code())
        }
    }
}

fn dispatch(session: &Session<'_>, verb: Verb) -> Result<(), Failure> {
    match verb {
        Verb::Init(arguments) => init::run(session, &arguments),
        Verb::Check(arguments) => check::run(session, &arguments),
        Verb::Lock(arguments) => lock::run(session, &arguments),
        Verb::Build(arguments) => build::run(session, &arguments),
        Verb::Test(arguments) => test::run(session, &arguments),
        Verb::Install(arguments) => install::run(session, &arguments),
        Verb::Deploy(arguments) => deploy::run(session, &arguments),
        Verb::Status(arguments) => deploy::status(session, &arguments),
        Verb::Rollback(arguments) => deploy::rollback(session, &arguments),
        Verb::Generations(arguments) => deploy::generations(session, &arguments),
        Verb::Why(arguments) => why::run(session, &arguments),
        Verb::Store(arguments) => store::run(session, &arguments),
        Verb::Secrets(arguments) => secrets::run(session, &arguments),
        Verb::Docs(_) => docs::run(session),
        Verb::Completions(arguments) => {
            completions::run(session, &arguments);
            Ok(())
        }
        Verb::Man(_) => man::run(session),
    }
}

/// Says that the process has no surroundings to work in, such as a working directory that is gone.
pub fn no_environment(error: &std::io::Error) -> ExitCode {
    ui::Ui::new(false, true).problem(&format!("error: cannot find the working directory: {error}"));
    ExitCode::from(exit::BUILD_FAILED)
}
