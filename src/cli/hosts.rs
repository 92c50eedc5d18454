//! Reading hosts for the verbs: host file, modules, workspace file, lock.

use std::path::Path;

use thiserror::Error;

use super::report::Failure;
use super::session::{Session, explain_workspace};
use super::workspace::Workspace;
use crate::debian::lock::{Lock, LockError};
use crate::debian::resolve::Update;
use crate::diag::Source;
use crate::eval::{System, load};
use crate::exec::files::write_atomic;
use crate::exec::init_program::NEXUS_SECRETS;
use crate::exec::locking::requests_of;
use crate::exec::secrets::document::read_encrypted;
use crate::exec::store::Store;
use crate::lower::tools::tool_requests;
use crate::secrets::value_path;

/// The optional file beside `hosts/` with what concerns all hosts.
const WORKSPACE_FILE: &str = "nexus-host.toml";

/// Reads and checks the host `name`; warnings are shown.
///
/// # Errors
///
/// All problems of the host's files.
pub(super) fn system(
    session: &Session<'_>,
    workspace: &Workspace,
    name: &str,
) -> Result<System, Failure> {
    let explain = |error| explain_workspace(error, Some(workspace));
    let text = workspace.host_text(name).map_err(explain)?;
    let shown = workspace.shown(&workspace.host_path(name));
    let shared = workspace.text_if_present(Path::new(WORKSPACE_FILE)).map_err(explain)?;
    let shared = shared.map(|text| Source::new(WORKSPACE_FILE, text));
    let modules = workspace.modules().map_err(explain)?;
    let host = Source::new(shown, text);
    let (system, warnings) =
        load(&host, shared.as_ref(), &modules).map_err(Failure::Diagnostics)?;
    session.ui.diagnostics(&warnings);
    Ok(system)
}

/// The same, with the encrypted file of its secrets; what is not encrypted is refused.
///
/// # Errors
///
/// The same; a file that is no SOPS file, and one with a declared secret in clear: it would lie in the store.
pub(super) fn system_with_secrets(
    session: &Session<'_>,
    workspace: &Workspace,
    name: &str,
) -> Result<System, Failure> {
    let mut system = system(session, workspace, name)?;
    add_secrets(session, workspace, &mut system)?;
    Ok(system)
}

fn add_secrets(
    session: &Session<'_>,
    workspace: &Workspace,
    system: &mut System,
) -> Result<(), Failure> {
    if system.secrets.is_empty() {
        return Ok(());
    }
    system.add_secrets_program(NEXUS_SECRETS);
    let name = system.name.to_string();
    let relative = system.secrets.file_for(&name);
    let path = workspace.root.join(&relative);
    let Some((bytes, document)) = read_encrypted(&path).map_err(Failure::files)? else {
        session.ui.say(&format!(
            "warning: {name} declares secrets, but {relative} does not exist: no machine can activate this \
             system; `nexus-host secrets check {name}` says what to do"
        ));
        return Ok(());
    };
    let declarations = system.secrets.declarations();
    let declared: Vec<String> = declarations
        .secrets
        .keys()
        .map(|name| value_path(document.format, name).join("/"))
        .collect();
    let clear = document.in_clear().into_iter().filter(|path| declared.contains(path));
    let clear: Vec<String> = clear.collect();
    if !clear.is_empty() {
        let help =
            "change the rule of .sops.yaml that leaves them so, then `nexus-host secrets rekey`";
        let error = SecretsInClear { path: relative, names: clear.join(", ") };
        return Err(Failure::files(error).help(help));
    }
    let extension = relative.rsplit_once('.').map_or("yaml", |(_, extension)| extension);
    system.add_ciphertext(extension, bytes);
    Ok(())
}

/// The lock of `name`, when there is one.
///
/// # Errors
///
/// All problems of the lock, by line.
pub(super) fn lock_if_present(workspace: &Workspace, name: &str) -> Result<Option<Lock>, Failure> {
    let path = workspace.lock_path(name);
    let text = workspace
        .text_if_present(&path)
        .map_err(|error| explain_workspace(error, Some(workspace)))?;
    let Some(text) = text else { return Ok(None) };
    let shown = workspace.shown(&path);
    let help =
        format!("run `nexus-host lock {name}` to make it anew, or take the committed one back");
    let parsed = text.parse::<Lock>();
    parsed
        .map(Some)
        .map_err(|source| Failure::files(LockFileError { path: shown, source }).help(help))
}

/// The lock of `name`, made when there is none, and refused when it is for something else.
pub(super) fn lock_or_make(
    session: &Session<'_>,
    workspace: &Workspace,
    store: &Store,
    system: &System,
    offline: bool,
) -> Result<Lock, Failure> {
    let name = system.name.as_str();
    let Some(lock) = lock_if_present(workspace, name)? else {
        let updates = (Update::Nothing, offline);
        let lock = super::lock::make(session, workspace, store, system, None, updates)?;
        let path = workspace.lock_path(name);
        write_atomic(&path, lock.to_text().as_bytes()).map_err(Failure::build)?;
        session.ui.say(&format!("{} written; commit it", workspace.shown(&path)));
        return Ok(lock);
    };
    let requests = requests_of(system).map_err(Failure::files)?;
    lock.matches(&requests, &tool_requests())
        .map_err(|error| Failure::files(error).help(format!("run `nexus-host lock {name}`")))?;
    Ok(lock)
}

/// A file of secrets that must not come into a store.
#[derive(Debug, Error)]
#[error("{path} has secrets in clear: {names}")]
struct SecretsInClear {
    path: String,
    names: String,
}

/// A lock that cannot be used.
#[derive(Debug, Error)]
#[error("{path} is damaged")]
struct LockFileError {
    path: String,
    #[source]
    source: LockError,
}
