//! Secrets of a system: its own program proves that they can be had and installs them; of the values
//! nothing is seen here.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;

use super::error::AgentError;
use super::places::Places;
use super::process::{run, succeed};
use super::stage::Staged;
use super::trees::{Names, Stage};
use crate::store::StorePath;

/// The program, in systems that declare secrets.
const PROGRAM: &str = "usr/lib/nexus-host/nexus-secrets";
/// How long decrypting takes at most.
const WITHIN: Duration = Duration::from_secs(60);

/// What of the secrets changes, by name, and who uses it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct Changes {
    /// Secrets that are new, gone, or other ones than those in use.
    pub secrets: BTreeSet<String>,
    /// Units that must start anew.
    pub restart: BTreeSet<String>,
    /// Units that read them again.
    pub reload: BTreeSet<String>,
}

/// Proves that the host can decrypt all that `system` needs; nobody sees anything of it.
///
/// # Errors
///
/// [`AgentError::Secrets`] with what its program says is missing.
pub fn check_system(places: &Places, system: &StorePath) -> Result<(), AgentError> {
    let stage = Stage::new(places)?;
    let names = Names::mount(places, &stage, system)?;
    check(&Staged::new(places, &stage, system, &names)?).map(drop)
}

/// The same for a system that is staged already; tells what would change.
///
/// # Errors
///
/// [`AgentError::Secrets`] with what its program says is missing.
pub fn check(staged: &Staged) -> Result<Changes, AgentError> {
    let refused = |reason| AgentError::Secrets { path: staged.system().clone(), reason };
    check_tree(staged.directory())?.map_err(refused)
}

/// What would change with the system whose `usr` and `etc` lie below `tree`; inside, why it cannot be.
fn check_tree(tree: &Path) -> Result<Result<Changes, String>, AgentError> {
    let program = tree.join(PROGRAM);
    if !program.is_file() {
        return Ok(Ok(Changes::default()));
    }
    let words = [&program.display().to_string(), "check", &tree.display().to_string()];
    let ended = run(&words, WITHIN)?;
    if ended.success {
        return read(&ended.output).map(Ok);
    }
    let lines = ended.errors.lines().map(|line| {
        let line = line.trim();
        line.strip_prefix("error: ").or(line.strip_prefix("caused by: ")).unwrap_or(line)
    });
    let said = lines.collect::<Vec<_>>().join(": ");
    Ok(Err(if said.is_empty() { format!("its program ended with {}", ended.status) } else { said }))
}

/// Installs the secrets of the system that is in place.
///
/// # Errors
///
/// What the program says went wrong; the old secrets stay then.
pub fn install(places: &Places) -> Result<(), AgentError> {
    let program = places.at(PROGRAM);
    if !program.is_file() {
        return Ok(());
    }
    succeed(&[&program.display().to_string(), "install"], WITHIN).map(drop)
}

fn read(answer: &str) -> Result<Changes, AgentError> {
    serde_json::from_str(answer)
        .map_err(|error| AgentError::Unexpected(format!("nexus-secrets answered oddly: {error}")))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::exec::files::write_scratch;

    fn system(script: &str) -> (tempfile::TempDir, Places) {
        let directory = tempfile::tempdir().unwrap();
        let places = Places::below(directory.path());
        let program = places.at(PROGRAM);
        write_scratch(&program, format!("#!/bin/sh\n{script}\n").as_bytes()).unwrap();
        std::fs::set_permissions(program, std::fs::Permissions::from_mode(0o755)).unwrap();
        (directory, places)
    }

    #[test]
    fn the_systems_own_program_is_asked() {
        let answer = "{\"declared\":1,\"secrets\":[\"a\"],\"restart\":[\"a.service\"]}";
        let (directory, places) = system(&format!("[ $1 = install ] || echo '{answer}'"));
        let changes = check_tree(directory.path()).unwrap().unwrap();
        assert_eq!(Vec::from_iter(changes.restart), ["a.service"]);
        assert_eq!(Vec::from_iter(changes.secrets), ["a"]);
        assert!(changes.reload.is_empty());
        install(&places).unwrap();
        let (directory, places) =
            system("echo 'error: no key' >&2; echo '  caused by: not mine' >&2; exit 4");
        assert_eq!(check_tree(directory.path()).unwrap().unwrap_err(), "no key: not mine");
        assert!(install(&places).unwrap_err().to_string().contains("no key"));
        let (directory, _) = system("kill -9 $$");
        let reason = check_tree(directory.path()).unwrap().unwrap_err();
        assert_eq!(reason, "its program ended with signal 9");
        let (directory, _) = system("echo odd");
        assert!(check_tree(directory.path()).is_err());
    }

    #[test]
    fn a_system_without_secrets_needs_no_program() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(check_tree(directory.path()).unwrap(), Ok(Changes::default()));
        install(&Places::below(directory.path())).unwrap();
    }
}
