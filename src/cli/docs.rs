//! `docs`: the reference of all options of host files.

use super::report::Failure;
use super::session::Session;
use crate::diag::Problems;
use crate::spec::{Modules, options_page};

pub(super) fn run(session: &Session<'_>) -> Result<(), Failure> {
    let modules = match session.workspace() {
        Ok(workspace) => workspace.modules().map_err(Failure::files)?,
        Err(_) => std::collections::BTreeMap::new(),
    };
    let mut problems = Problems::default();
    let modules = Modules::load(&modules, &mut problems);
    if problems.has_errors() {
        return Err(Failure::Diagnostics(problems.into_sorted()));
    }
    session.ui.result(options_page(&modules).trim_end());
    Ok(())
}
