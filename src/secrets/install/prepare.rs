//! Ciphertext and declarations → the files that will be written; nothing is touched.

use std::collections::BTreeMap;

use thiserror::Error;

use super::super::declaration::{Declarations, DeclarationsError};
use super::super::lookup::{missing, values};
use super::super::name::TEMPLATES;
use super::super::template::{TemplateError, render_template};
use super::accounts::Accounts;
use crate::sops::{Document, Format, Identities, SecretBytes, SopsError};

/// Why the secrets of a system cannot be installed on this host.
#[derive(Debug, Error)]
pub enum PrepareError {
    /// The declarations are wrong.
    #[error("the system's declarations of secrets cannot be used")]
    Declarations(#[source] DeclarationsError),
    /// The ciphertext cannot be decrypted.
    #[error("the secrets of the system cannot be decrypted on this host")]
    Ciphertext(#[source] SopsError),
    /// Secrets have no value.
    #[error("these secrets have no value: {names}")]
    Missing {
        /// Their names, separated by commas.
        names: String,
    },
    /// An owner does not exist on the host.
    #[error("`{name}` belongs to the {what} `{owner}`, which this system does not have")]
    Owner {
        /// The secret or template.
        name: String,
        /// `user` or `group`.
        what: &'static str,
        /// The account.
        owner: String,
    },
    /// A template cannot be rendered.
    #[error("the template `{name}` cannot be rendered")]
    Template {
        /// The template.
        name: String,
        /// Why.
        #[source]
        source: TemplateError,
    },
}

/// Everything that will be installed.
#[derive(Debug)]
pub struct Prepared {
    /// Files by their path below the run directory.
    pub files: BTreeMap<String, PreparedFile>,
    /// Password hashes by user.
    pub password_hashes: BTreeMap<String, SecretBytes>,
    /// What was declared.
    pub declarations: Declarations,
}

/// A file that will be installed.
#[derive(Debug, PartialEq)]
pub struct PreparedFile {
    /// Its contents.
    pub content: SecretBytes,
    /// Who owns it.
    pub account: Account,
    /// Its permission bits.
    pub mode: u32,
}

/// Owner and group by id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Account {
    /// The user's id.
    pub uid: u32,
    /// The group's id.
    pub gid: u32,
}

/// Decrypts every secret, renders every template and finds every owner.
///
/// # Errors
///
/// The first thing for which the system's secrets cannot be installed here; nothing has changed then.
pub fn prepare(
    (format, ciphertext): (Format, &[u8]),
    declarations: Declarations,
    identities: &Identities,
    accounts: &Accounts,
) -> Result<Prepared, PrepareError> {
    declarations.check().map_err(PrepareError::Declarations)?;
    let document = Document::parse(format, ciphertext).map_err(PrepareError::Ciphertext)?;
    let key = document.metadata.data_key(identities).map_err(PrepareError::Ciphertext)?;
    let opened = document.open(&key).map_err(PrepareError::Ciphertext)?;
    let absent = missing(&opened.items, format, &declarations);
    if !absent.is_empty() {
        return Err(PrepareError::Missing { names: absent.join(", ") });
    }
    let secrets = values(&opened.items, format, &declarations);
    let mut files = BTreeMap::new();
    for (name, declared) in &declarations.secrets {
        let account = account(name, (&declared.owner, &declared.group), accounts)?;
        let content = secrets.get(name).cloned().unwrap_or_default();
        files.insert(name.clone(), PreparedFile { content, account, mode: declared.mode & 0o777 });
    }
    for (name, declared) in &declarations.templates {
        let account = account(name, (&declared.owner, &declared.group), accounts)?;
        let wrong = |source| PrepareError::Template { name: name.clone(), source };
        let content = render_template(&declared.text, &secrets).map_err(wrong)?;
        let file = PreparedFile { content, account, mode: declared.mode & 0o777 };
        files.insert(format!("{TEMPLATES}/{name}"), file);
    }
    let hashes = declarations.password_hashes.iter();
    let hashes = hashes.filter_map(|(user, name)| Some((user.clone(), secrets.get(name)?.clone())));
    let password_hashes = hashes.collect();
    Ok(Prepared { files, password_hashes, declarations })
}

fn account(
    name: &str,
    (owner, group): (&str, &str),
    accounts: &Accounts,
) -> Result<Account, PrepareError> {
    let unknown = |what, owner: &str| PrepareError::Owner {
        name: name.to_owned(),
        what,
        owner: owner.to_owned(),
    };
    let uid = accounts.users.get(owner).ok_or_else(|| unknown("user", owner))?;
    let gid = accounts.groups.get(group).ok_or_else(|| unknown("group", group))?;
    Ok(Account { uid: *uid, gid: *gid })
}
