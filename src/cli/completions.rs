//! `completions`: the completion script of a shell.

use clap::CommandFactory as _;

use super::arguments::{Arguments, Completions};
use super::session::Session;

pub(super) fn run(session: &Session<'_>, arguments: &Completions) {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut Arguments::command(), "nexus-host", &mut script);
    session.ui.result(String::from_utf8_lossy(&script).trim_end());
}
