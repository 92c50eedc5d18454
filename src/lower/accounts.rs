//! Accounts of a host: what the packages made, and those of the host file.

use std::collections::BTreeSet;

use thiserror::Error;

use super::recipe::HostAccount;
use crate::debian::accounts::{Accounts, Group, User};
use crate::debian::lock::Ids;

/// Seconds of a day; shadow(5) counts days.
const DAY_SECONDS: u64 = 86_400;

/// Why an account cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum HostAccountError {
    /// The lock has no id for it.
    #[error("the lock has no id for account `{name}`")]
    NoId {
        /// The account.
        name: String,
    },
    /// A group that nobody makes.
    #[error(
        "account `{account}` is to be in group `{group}`, which neither a package nor the host file makes"
    )]
    NoGroup {
        /// The account.
        account: String,
        /// The group.
        group: String,
    },
}

/// Adds the host's `groups` and `accounts` to what the packages made. Nobody has a password.
///
/// An account that a package made already keeps its shadow line and gets the host file's home and shell.
///
/// # Errors
///
/// An account or group without a pinned id, or an account in a group that nobody makes.
pub fn host_accounts(
    packages: &Accounts,
    groups: &[String],
    accounts: &[HostAccount],
    ids: &Ids,
    epoch: u64,
) -> Result<Accounts, HostAccountError> {
    let mut all = packages.clone();
    for name in groups {
        add_group(&mut all, name, ids)?;
    }
    for account in accounts {
        add_user(&mut all, account, ids, epoch)?;
    }
    for account in accounts {
        for name in &account.groups {
            let lost =
                || HostAccountError::NoGroup { account: account.name.clone(), group: name.clone() };
            let group = all.groups.get_mut(name.as_str()).ok_or_else(lost)?;
            group.members.insert(account.name.clone());
        }
    }
    Ok(all)
}

fn add_group(all: &mut Accounts, name: &str, ids: &Ids) -> Result<u32, HostAccountError> {
    if let Some(group) = all.groups.get(name) {
        return Ok(group.gid);
    }
    let no_id = || HostAccountError::NoId { name: name.to_owned() };
    let (name, gid) = ids.groups.get_key_value(name).ok_or_else(no_id)?;
    let shadow = Some("!::".to_owned());
    all.groups.insert(name.clone(), Group { gid: *gid, members: BTreeSet::new(), shadow });
    Ok(*gid)
}

fn add_user(
    all: &mut Accounts,
    account: &HostAccount,
    ids: &Ids,
    epoch: u64,
) -> Result<(), HostAccountError> {
    let HostAccount { name, comment, home, shell, group, .. } = account;
    let no_id = || HostAccountError::NoId { name: name.clone() };
    let (key, uid) = ids.users.get_key_value(name.as_str()).ok_or_else(no_id)?;
    let gid = add_group(all, group.as_deref().unwrap_or(name), ids)?;
    let known = all.users.get(key).and_then(|user| user.shadow.clone());
    let day = epoch / DAY_SECONDS;
    let shadow = known.or_else(|| Some(format!("*:{day}:0:99999:7:::")));
    let (gecos, home, shell) = (comment.clone(), home.clone(), shell.clone());
    all.users.insert(key.clone(), User { uid: *uid, gid, gecos, home, shell, shadow });
    Ok(())
}

#[cfg(test)]
mod tests;
