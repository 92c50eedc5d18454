//! Where a person's identities lie, in the order in which `sops` looks.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::super::environment::Environment;
use super::super::files::{FileError, read_limited};
use crate::sops::{AskPassphrase, Identities, SecretBytes, SopsError};

/// Most bytes of a file with identities.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Why identities could not be read.
#[derive(Debug, Error)]
pub enum IdentitiesError {
    /// A file cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// A file or variable holds something else.
    #[error(transparent)]
    Content(#[from] SopsError),
}

/// Identities, and where they come from.
#[derive(Debug, Default)]
pub struct Found {
    /// The identities.
    pub identities: Identities,
    /// Files and variables that were read.
    pub places: Vec<String>,
    /// Files among them that others than their owner may read.
    pub too_open: Vec<PathBuf>,
    /// Places that were looked at in vain, for messages.
    pub missing: Vec<String>,
}

/// Reads the identities in `told` and, when there are none, those of the usual places.
///
/// The usual places are `SOPS_AGE_KEY`, `SOPS_AGE_KEY_FILE`, `SOPS_AGE_SSH_PRIVATE_KEY_FILE` and
/// `~/.config/sops/age/keys.txt`; with `ssh` also `~/.ssh/id_ed25519`, which may ask for a passphrase.
///
/// # Errors
///
/// A file that is named but cannot be read, and anything that is no identity.
pub fn find_identities(
    environment: &Environment,
    told: &[PathBuf],
    ssh: bool,
    ask: AskPassphrase<'_>,
) -> Result<Found, IdentitiesError> {
    let mut found = Found::default();
    for path in told {
        found.read_file(&environment.working_directory.join(path), ask)?;
    }
    if !told.is_empty() {
        return Ok(found);
    }
    if let Some(text) = environment.text("SOPS_AGE_KEY") {
        found.identities.read(&SecretBytes::from(text), "SOPS_AGE_KEY", ask)?;
        found.places.push("SOPS_AGE_KEY".to_owned());
    } else {
        found.missing.push("SOPS_AGE_KEY".to_owned());
    }
    for variable in ["SOPS_AGE_KEY_FILE", "SOPS_AGE_SSH_PRIVATE_KEY_FILE"] {
        match environment.variable(variable) {
            Some(path) => found.read_file(&environment.working_directory.join(path), ask)?,
            None => found.missing.push(variable.to_owned()),
        }
    }
    let home = environment.variable("HOME").map(PathBuf::from);
    let config = environment.variable("XDG_CONFIG_HOME").map(PathBuf::from);
    let config = config.or_else(|| home.as_ref().map(|home| home.join(".config")));
    if let Some(config) = config {
        found.read_if_there(&config.join("sops/age/keys.txt"), ask)?;
    }
    if let Some(home) = home.filter(|_| ssh && found.identities.is_empty()) {
        found.read_if_there(&home.join(".ssh/id_ed25519"), ask)?;
    }
    Ok(found)
}

impl Found {
    fn read_if_there(
        &mut self,
        path: &Path,
        ask: AskPassphrase<'_>,
    ) -> Result<(), IdentitiesError> {
        if path.exists() {
            return self.read_file(path, ask);
        }
        self.missing.push(path.display().to_string());
        Ok(())
    }

    fn read_file(&mut self, path: &Path, ask: AskPassphrase<'_>) -> Result<(), IdentitiesError> {
        let text = SecretBytes::new(read_limited(path, FILE_BYTES_MAX)?);
        let place = path.display().to_string();
        self.identities.read(&text, &place, ask)?;
        self.places.push(place);
        let open = std::fs::metadata(path).is_ok_and(|data| data.permissions().mode() & 0o077 != 0);
        if open {
            self.too_open.push(path.to_owned());
        }
        Ok(())
    }
}
