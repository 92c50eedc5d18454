//! One host's secrets: what it declares, its file, who can decrypt.

use std::path::{Path, PathBuf};

use thiserror::Error;

use super::super::report::Failure;
use super::super::session::Session;
use super::super::workspace::Workspace;
use super::super::{exit, hosts};
use super::arguments::Who;
use crate::exec::files::{FileError, read_limited};
use crate::exec::secrets::document::{
    SecretsFile, SecretsFileError, content_error, read_encrypted, read_rules,
};
use crate::exec::secrets::identities::{Found, find_identities};
use crate::secrets::{Declarations, Kind, is_secret_name};
use crate::sops::{Document, Metadata, Recipient, Rule, SecretBytes};

/// Most bytes of a host's public key.
const PUBLIC_BYTES_MAX: u64 = 64 << 10;

/// What a verb cannot work with.
#[derive(Debug, Error)]
pub(super) enum SecretsError {
    #[error("{path} does not exist yet")]
    NoFile { path: String },
    #[error("`{name}` is not a secret that `{host}` declares")]
    Undeclared { name: String, host: String },
    #[error("`{name}` has no value in {path}")]
    NoValue { name: String, path: String },
    #[error("`{name}` is not a name for a secret")]
    Name { name: String },
    #[error("nobody is named who can decrypt {path}")]
    NoRule { path: String },
    #[error("no identity was found to decrypt with")]
    NoIdentity,
    #[error("{message}")]
    Refused { message: String },
}

impl SecretsError {
    /// With the exit code of wrong files, and what to do.
    pub(super) fn fail(self, help: impl Into<String>) -> Failure {
        Failure::files(self).help(help)
    }
}

/// A host and its file of secrets.
pub(super) struct HostSecrets<'s> {
    pub(super) session: &'s Session<'s>,
    pub(super) workspace: Workspace,
    pub(super) name: String,
    pub(super) declarations: Declarations,
    pub(super) path: PathBuf,
    /// The path for messages.
    pub(super) shown: String,
    /// The path as rules in `.sops.yaml` see it.
    relative: String,
}

impl<'s> HostSecrets<'s> {
    pub(super) fn read(session: &'s Session<'s>, name: &str) -> Result<Self, Failure> {
        let workspace = session.workspace()?;
        let system = hosts::system(session, &workspace, name)?;
        let relative = system.secrets.file_for(name);
        let path = workspace.root.join(&relative);
        let shown = workspace.shown(&path);
        let declarations = system.secrets.declarations();
        Ok(Self { session, workspace, name: name.to_owned(), declarations, path, shown, relative })
    }

    /// The encrypted file; `None` when there is none yet.
    pub(super) fn encrypted(&self) -> Result<Option<(Vec<u8>, Document)>, Failure> {
        read_encrypted(&self.path).map_err(Failure::files)
    }

    /// The file in clear, or a new one by the rules of `.sops.yaml`.
    pub(super) fn open_or_create(&self, who: &Who) -> Result<SecretsFile, Failure> {
        match self.encrypted()? {
            Some(encrypted) => self.open(encrypted, who),
            None => self.create(),
        }
    }

    /// The file in clear.
    pub(super) fn open_existing(&self, who: &Who) -> Result<SecretsFile, Failure> {
        let encrypted = self.encrypted()?.ok_or_else(|| self.no_file())?;
        self.open(encrypted, who)
    }

    pub(super) fn no_file(&self) -> Failure {
        let error = SecretsError::NoFile { path: self.shown.clone() };
        error.fail(format!("`nexus-host secrets generate {}` makes it", self.name))
    }

    pub(super) fn open(
        &self,
        encrypted: (Vec<u8>, Document),
        who: &Who,
    ) -> Result<SecretsFile, Failure> {
        let has_ssh = encrypted.1.metadata.recipients().any(|key| key.starts_with("ssh-"));
        let found = self.identities(who, has_ssh)?;
        if found.identities.is_empty() {
            let looked = found.missing.join(", ");
            let help = format!("looked in {looked}; say with --identity FILE where yours is");
            return Err(SecretsError::NoIdentity.fail(help));
        }
        let opened = SecretsFile::open(&self.path, encrypted, &found.identities);
        opened.map_err(|error| {
            let tried = found.places.join(", ");
            let is_key = matches!(
                &error,
                SecretsFileError::Content { source: crate::sops::SopsError::NoIdentity { .. }, .. }
            );
            let failure = Failure::files(error);
            if is_key {
                failure.help(format!("tried {tried}; name another with --identity"))
            } else {
                failure
            }
        })
    }

    pub(super) fn identities(&self, who: &Who, ssh: bool) -> Result<Found, Failure> {
        let ask = |prompt: &str| ask_secret(prompt);
        let found = find_identities(&self.session.environment, &who.identity, ssh, &ask)
            .map_err(Failure::files)?;
        for path in &found.too_open {
            let path = path.display();
            self.session.ui.say(&format!("warning: {path} can be read by others; `chmod 600` it"));
        }
        Ok(found)
    }

    fn create(&self) -> Result<SecretsFile, Failure> {
        let (recipients, rule, only_encrypted) = self.wanted()?;
        if recipients.is_empty() {
            let help = format!(
                "`nexus-host secrets add-host {}` writes a rule, or add one to .sops.yaml",
                self.name
            );
            return Err(SecretsError::NoRule { path: self.shown.clone() }.fail(help));
        }
        let metadata = Metadata::new(rule, only_encrypted);
        SecretsFile::create(&self.path, metadata, &recipients).map_err(Failure::files)
    }

    /// Who shall be able to decrypt: those of the rule, and the host; and how.
    pub(super) fn wanted(&self) -> Result<(Vec<Recipient>, Rule, bool), Failure> {
        let rules = read_rules(&self.workspace.root).map_err(Failure::files)?;
        let rule = rules.as_ref().and_then(|rules| rules.for_path(&self.relative));
        let mut recipients = rule.map(|rule| rule.recipients.clone()).unwrap_or_default();
        if let Some(host) = self.host_recipient()?
            && !recipients.contains(&host)
        {
            recipients.push(host);
        }
        let encrypts = rule.map(|rule| rule.rule.clone()).unwrap_or_default();
        Ok((recipients, encrypts, rule.is_some_and(|rule| rule.mac_only_encrypted)))
    }

    /// Where the host's public key lies.
    pub(super) fn public_path(&self) -> PathBuf {
        public_path(&self.workspace, &self.name)
    }

    /// The host's public key; `None` when it has none yet.
    pub(super) fn host_recipient(&self) -> Result<Option<Recipient>, Failure> {
        recipient_of(&self.workspace, &self.name)
    }

    /// Refuses names that are none, and those that the host does not declare.
    pub(super) fn check_name(&self, name: &str, undeclared: bool) -> Result<(), Failure> {
        if !is_secret_name(name) {
            let help =
                "a name has parts of letters, digits, _ and -, with / between, such as app/token";
            return Err(SecretsError::Name { name: name.to_owned() }.fail(help));
        }
        if undeclared || self.declarations.secrets.contains_key(name) {
            return Ok(());
        }
        let known = self.declarations.secrets.keys().map(String::as_str);
        let near = crate::diag::did_you_mean(name, known);
        let help = near.unwrap_or_else(|| {
            format!(
                "declare it below [secrets.values] in hosts/{}.toml, or say --undeclared",
                self.name
            )
        });
        let host = self.name.clone();
        Err(SecretsError::Undeclared { name: name.to_owned(), host }.fail(help))
    }

    /// Lines about the units that a deploy restarts or reloads when `secrets` changed.
    pub(super) fn consequences<'n>(
        &self,
        secrets: impl Iterator<Item = &'n String>,
    ) -> (Vec<String>, Vec<String>) {
        let (mut restart, mut reload) = (Vec::new(), Vec::new());
        for name in secrets {
            let (restarts, reloads) = self.declarations.users_of(name);
            restart.extend(restarts.into_iter().map(str::to_owned));
            reload.extend(reloads.into_iter().map(str::to_owned));
        }
        restart.sort();
        restart.dedup();
        reload.retain(|unit| !restart.contains(unit));
        reload.sort();
        reload.dedup();
        (restart, reload)
    }
}

fn public_path(workspace: &Workspace, host: &str) -> PathBuf {
    workspace.root.join("secrets.sops").join(format!("{host}.pub"))
}

/// The public key of a host; `None` when it has none yet.
pub(in crate::cli) fn recipient_of(
    workspace: &Workspace,
    host: &str,
) -> Result<Option<Recipient>, Failure> {
    let path = public_path(workspace, host);
    if !path.exists() {
        return Ok(None);
    }
    let bytes = read_limited(&path, PUBLIC_BYTES_MAX).map_err(Failure::files)?;
    let text = String::from_utf8_lossy(&bytes);
    let mut lines = text.lines().map(str::trim);
    let line = lines.find(|line| !line.is_empty() && !line.starts_with('#'));
    let recipient = Recipient::parse(line.unwrap_or_default());
    recipient.map(Some).map_err(|error| Failure::files(content_error(&path)(error)))
}

/// Says which digests no longer fit the secrets that were changed by hand.
pub(super) fn say_stale<'n>(
    session: &Session<'_>,
    host: &HostSecrets<'_>,
    changed: impl Iterator<Item = &'n String>,
) {
    for of in changed {
        for (name, declared) in &host.declarations.secrets {
            let kind = declared.generate.as_deref().and_then(|kind| kind.parse::<Kind>().ok());
            if kind.as_ref().and_then(Kind::made_from) == Some(of.as_str()) {
                session.ui.say(&format!(
                    "{name} is made from {of}: nexus-host secrets rotate {} {name}",
                    host.name
                ));
            }
        }
    }
}

/// Says on standard error what a deploy will do.
pub(super) fn say_consequences(session: &Session<'_>, restart: &[String], reload: &[String]) {
    for (what, units) in [("restarts", restart), ("reloads", reload)] {
        if !units.is_empty() {
            session.ui.say(&format!("the next deploy {what} {}", units.join(", ")));
        }
    }
}

/// Asks on the terminal without showing what is typed.
pub(super) fn ask_secret(prompt: &str) -> Option<SecretBytes> {
    rpassword::prompt_password(prompt).ok().map(SecretBytes::from)
}

/// A failed write of `path`, for files that are not encrypted.
pub(super) fn write_failure(error: FileError) -> Failure {
    Failure::with_code(exit::BUILD_FAILED, error)
}

/// The folder of `path`, made if need be.
pub(super) fn make_folder_of(path: &Path) -> Result<(), Failure> {
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder).map_err(|e| write_failure(FileError::at("create", folder)(e)))
}
