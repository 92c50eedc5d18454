//! Secrets of a system: its own program proves that they can be had and installs them; nothing of them
//! is seen here.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;

use super::error::AgentError;
use super::places::Places;
use super::process::succeed;

/// The program, in systems that declare secrets.
const PROGRAM: &str = "usr/lib/nexus-host/nexus-secrets";
/// How long decrypting takes at most.
const WITHIN: Duration = Duration::from_secs(60);

/// Units that use a secret that is another one now.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
pub struct Users {
    /// Those that must start anew.
    #[serde(default)]
    pub restart: BTreeSet<String>,
    /// Those that read it again.
    #[serde(default)]
    pub reload: BTreeSet<String>,
}

/// Proves, before anything is touched, that the host can decrypt all that the system below `tree` needs.
///
/// # Errors
///
/// What the program says is missing.
pub fn check(tree: &Path) -> Result<(), AgentError> {
    let program = tree.join(PROGRAM);
    if !program.is_file() {
        return Ok(());
    }
    succeed(&[&program.display().to_string(), "check", &tree.display().to_string()], WITHIN)
        .map(drop)
}

/// Installs the secrets of the system that is in place; tells who uses what changed.
///
/// # Errors
///
/// What the program says went wrong; the old secrets stay then.
pub fn install(places: &Places) -> Result<Users, AgentError> {
    let program = places.at(PROGRAM);
    if !program.is_file() {
        return Ok(Users::default());
    }
    let answer = succeed(&[&program.display().to_string(), "install"], WITHIN)?;
    serde_json::from_str(&answer)
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
        let (directory, places) =
            system("[ $1 = check ] || echo '{\"declared\":1,\"restart\":[\"a.service\"]}'");
        check(directory.path()).unwrap();
        let users = install(&places).unwrap();
        assert_eq!(Vec::from_iter(users.restart), ["a.service"]);
        assert!(users.reload.is_empty());
        let (directory, places) = system("echo 'no identity' >&2; exit 4");
        let error = check(directory.path()).unwrap_err();
        assert!(error.to_string().contains("no identity"), "{error}");
        assert!(install(&places).is_err());
    }

    #[test]
    fn a_system_without_secrets_needs_no_program() {
        let directory = tempfile::tempdir().unwrap();
        check(directory.path()).unwrap();
        assert_eq!(install(&Places::below(directory.path())).unwrap(), Users::default());
    }
}
