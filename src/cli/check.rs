//! `check`: read host files and say what is wrong with them.

use super::arguments::Check;
use super::hosts;
use super::report::Failure;
use super::session::{Session, explain_workspace};

pub(super) fn run(session: &Session<'_>, arguments: &Check) -> Result<(), Failure> {
    let workspace = session.workspace()?;
    let names = workspace
        .select(&arguments.hosts)
        .map_err(|error| explain_workspace(error, Some(&workspace)))?;
    let mut problems = Vec::new();
    for name in &names {
        match hosts::system(session, &workspace, name) {
            Ok(_) => session.ui.say(&format!("{name}: good")),
            Err(Failure::Diagnostics(found)) => problems.extend(found),
            Err(failure) => return Err(failure),
        }
    }
    if !problems.is_empty() {
        return Err(Failure::Diagnostics(problems));
    }
    if session.json {
        session.ui.json(&serde_json::json!({ "hosts": names, "problems": [] }));
    }
    Ok(())
}
