//! `build --identity`: the identity that goes into an image, and the place where such an image may lie.

use std::path::{Path, PathBuf};

use thiserror::Error;

use super::arguments::Build;
use super::report::Failure;
use super::secrets::recipient_of;
use super::session::Session;
use super::workspace::Workspace;
use crate::eval::System;
use crate::exec::files::read_limited;
use crate::exec::secrets::document::{content_error, read_encrypted};
use crate::exec::store::Store;
use crate::sops::{Identities, SecretBytes};

/// Most bytes of an identity file.
const IDENTITY_BYTES_MAX: u64 = 64 << 10;

/// Why there is no image with an identity.
#[derive(Debug, Error)]
enum IdentityImageError {
    #[error("an image with an identity is for one host, and {count} are named")]
    SeveralHosts { count: usize },
    #[error("{} is in the store, where everybody may read", path.display())]
    InStore { path: PathBuf },
    #[error("{} is there and is no file", path.display())]
    NoFile { path: PathBuf },
    #[error("{} is not the identity of {host}, whose public key is {expected}", path.display())]
    NotItsOwn { path: PathBuf, host: String, expected: String },
    #[error("{host} has no identity")]
    NoIdentity { host: String },
    #[error("{host} has no encrypted secrets that an identity would open")]
    NoSecrets { host: String },
}

/// Refuses places where an image with an identity must not lie, before anything is built.
pub(super) fn check_target(
    session: &Session<'_>,
    store: &Store,
    arguments: &Build,
    out: &Path,
) -> Result<(), Failure> {
    let count = arguments.hosts.len();
    if count != 1 {
        let error = IdentityImageError::SeveralHosts { count };
        return Err(Failure::files(error).help("build one after the other"));
    }
    let target = session.environment.working_directory.join(out);
    let folder = target.parent().unwrap_or(Path::new("/"));
    // A folder that is not there is told when the image is written.
    let real = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    let root = store.root().canonicalize().unwrap_or_else(|_| store.root().to_owned());
    if real.starts_with(root) {
        let error = IdentityImageError::InStore { path: target };
        return Err(Failure::files(error).help("name another place with --out"));
    }
    if target.symlink_metadata().is_ok_and(|found| !found.is_file()) {
        let error = IdentityImageError::NoFile { path: target };
        return Err(Failure::files(error).help("name a new file, and write it to a disk with `dd`"));
    }
    Ok(())
}

/// Reads the host's identity, which must open the host's secrets.
pub(super) fn read(
    session: &Session<'_>,
    workspace: &Workspace,
    system: &System,
    told: Option<&Path>,
) -> Result<SecretBytes, Failure> {
    let host = system.name.as_str();
    let path = if let Some(told) = told {
        session.environment.working_directory.join(told)
    } else {
        let data = session.environment.data_directory().map_err(Failure::files)?;
        data.join("identities").join(format!("{host}.txt"))
    };
    let bytes = read_limited(&path, IDENTITY_BYTES_MAX).map_err(|error| {
        let help = format!(
            "`nexus-host secrets add-host {host}` makes one; say where it is with --identity=FILE"
        );
        Failure::files(error).help(help)
    })?;
    let identity = SecretBytes::new(bytes);
    let mut identities = Identities::default();
    // The host has nobody whom it could ask for a passphrase.
    let read = identities.read(&identity, &path.display().to_string(), &|_| None);
    read.map_err(Failure::files)?;
    let add = format!("nexus-host secrets add-host {host}");
    let own = recipient_of(workspace, host)?.ok_or_else(|| {
        let error = IdentityImageError::NoIdentity { host: host.to_owned() };
        Failure::files(error).help(&add)
    })?;
    // The key of a person opens the secrets too, and must not come to a machine.
    if identities.recipients() != [own.as_str()] {
        let (host, expected) = (host.to_owned(), own.as_str().to_owned());
        let error = IdentityImageError::NotItsOwn { path, host, expected };
        return Err(Failure::files(error).help("name the file that `secrets add-host` wrote"));
    }
    let relative = system.secrets.file_for(host);
    let encrypted = workspace.root.join(&relative);
    let Some((_, document)) = read_encrypted(&encrypted).map_err(Failure::files)? else {
        let error = IdentityImageError::NoSecrets { host: host.to_owned() };
        return Err(Failure::files(error).help(format!("nexus-host secrets generate {host}")));
    };
    let opens = document.metadata.data_key(&identities).map(drop);
    let wrong = content_error(&encrypted);
    opens.map_err(|error| {
        let help = format!(
            "if {} is the identity of {host}, `nexus-host secrets rekey {host}` encrypts for it",
            path.display()
        );
        Failure::files(wrong(error)).help(help)
    })?;
    Ok(identity)
}
