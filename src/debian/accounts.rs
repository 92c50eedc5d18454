//! Users and groups: `/etc/passwd`, `/etc/group` and their shadows as values.
//!
//! Packages create accounts while they are configured and take the next free numbers, so numbers
//! depend on what else is installed. They are pinned in the lock: [`Accounts::pinned`] gives new
//! names a number, and [`Renumbering`] takes numbers of one run to those of the lock.
//!
//! Formats: passwd(5), group(5), shadow(5), gshadow(5).

use std::collections::{BTreeMap, BTreeSet};

use thiserror::Error;

use super::lock::{AccountName, Ids};

/// The numbers that Debian gives to system accounts on demand, from the highest down. Source: Debian
/// Policy 9.2.2 and `FIRST_SYSTEM_UID`/`LAST_SYSTEM_UID` of adduser.
pub const DYNAMIC_IDS: std::ops::RangeInclusive<u32> = 100..=999;

/// A user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Number.
    pub uid: u32,
    /// Number of the main group.
    pub gid: u32,
    /// Full name and more, comma-separated.
    pub gecos: String,
    /// Home directory.
    pub home: String,
    /// Login shell.
    pub shell: String,
    /// The fields of `/etc/shadow` after the name, as they stand there, if the user has a line.
    pub shadow: Option<String>,
}

/// A group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Number.
    pub gid: u32,
    /// Names of users that are members besides those whose main group it is.
    pub members: BTreeSet<String>,
    /// The fields of `/etc/gshadow` after the name, as they stand there, if the group has a line.
    pub shadow: Option<String>,
}

/// All users and groups, by name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Accounts {
    /// Users by name.
    pub users: BTreeMap<AccountName, User>,
    /// Groups by name.
    pub groups: BTreeMap<AccountName, Group>,
}

/// The four files, as bytes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AccountFiles {
    /// `/etc/passwd`.
    pub passwd: Vec<u8>,
    /// `/etc/group`.
    pub group: Vec<u8>,
    /// `/etc/shadow`.
    pub shadow: Vec<u8>,
    /// `/etc/gshadow`.
    pub gshadow: Vec<u8>,
}

/// A line of an account file that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("line {line} of /etc/{file} is not an account")]
pub struct AccountError {
    /// `passwd`, `group`, `shadow` or `gshadow`.
    pub file: &'static str,
    /// The line's number; the first is 1.
    pub line: usize,
}

/// No number is left for a name.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("no number from 100 to 999 is free for `{name}`")]
pub struct NoIdLeftError {
    /// The user or group.
    pub name: AccountName,
}

impl Accounts {
    /// Reads the four files; the shadows of accounts that are not there are left out.
    pub fn parse(files: &AccountFiles) -> Result<Self, AccountError> {
        let mut accounts = Self::default();
        for (line, fields) in lines("passwd", &files.passwd, 7)? {
            let error = AccountError { file: "passwd", line };
            let number = |text: &str| text.parse().map_err(|_| error.clone());
            let name = fields[0].parse().map_err(|_| error.clone())?;
            let user = User {
                uid: number(&fields[2])?,
                gid: number(&fields[3])?,
                gecos: fields[4].clone(),
                home: fields[5].clone(),
                shell: fields[6].clone(),
                shadow: None,
            };
            accounts.users.entry(name).or_insert(user);
        }
        for (line, fields) in lines("group", &files.group, 4)? {
            let error = || AccountError { file: "group", line };
            let name = fields[0].parse().map_err(|_| error())?;
            let gid = fields[2].parse().map_err(|_| error())?;
            let group = Group { gid, members: names(&fields[3]), shadow: None };
            accounts.groups.entry(name).or_insert(group);
        }
        for (_, fields) in lines("shadow", &files.shadow, 9)? {
            if let Some(user) = accounts.users.get_mut(fields[0].as_str()) {
                user.shadow = Some(fields[1..].join(":"));
            }
        }
        for (_, fields) in lines("gshadow", &files.gshadow, 4)? {
            if let Some(group) = accounts.groups.get_mut(fields[0].as_str()) {
                group.shadow = Some(fields[1..].join(":"));
            }
        }
        Ok(accounts)
    }

    /// The four files, sorted by number and then by name.
    ///
    /// Passwords are in the shadows only; an account without a line there gets none.
    pub fn to_files(&self) -> AccountFiles {
        let mut users: Vec<(&AccountName, &User)> = self.users.iter().collect();
        users.sort_by_key(|(name, user)| (user.uid, *name));
        let mut groups: Vec<(&AccountName, &Group)> = self.groups.iter().collect();
        groups.sort_by_key(|(name, group)| (group.gid, *name));
        let mut files = AccountFiles::default();
        for (name, user) in users {
            let User { uid, gid, gecos, home, shell, shadow } = user;
            let line = format!("{name}:x:{uid}:{gid}:{gecos}:{home}:{shell}\n");
            files.passwd.extend_from_slice(line.as_bytes());
            if let Some(shadow) = shadow {
                files.shadow.extend_from_slice(format!("{name}:{shadow}\n").as_bytes());
            }
        }
        for (name, group) in groups {
            let members = group.members.iter().map(String::as_str).collect::<Vec<_>>().join(",");
            let line = format!("{name}:x:{}:{members}\n", group.gid);
            files.group.extend_from_slice(line.as_bytes());
            if let Some(shadow) = &group.shadow {
                files.gshadow.extend_from_slice(format!("{name}:{shadow}\n").as_bytes());
            }
        }
        files
    }

    /// The numbers as they are.
    pub fn ids(&self) -> Ids {
        Ids {
            users: self.users.iter().map(|(name, user)| (name.clone(), user.uid)).collect(),
            groups: self.groups.iter().map(|(name, group)| (name.clone(), group.gid)).collect(),
        }
    }

    /// Numbers for all accounts: those of `pinned` stay, new names get their own number when no one
    /// has it, else the highest free one below 1000.
    ///
    /// Names of `pinned` that are not here any more keep their number, so that it is not given away
    /// while files on a host still have it.
    ///
    /// # Errors
    ///
    /// All 900 numbers are taken.
    pub fn pinned(&self, pinned: &Ids) -> Result<Ids, NoIdLeftError> {
        let found = self.ids();
        Ok(Ids {
            users: merge(&pinned.users, &found.users)?,
            groups: merge(&pinned.groups, &found.groups)?,
        })
    }

    /// The same accounts with the numbers of `ids`, where it has the name.
    #[must_use]
    pub fn renumbered(&self, ids: &Ids) -> Self {
        let renumbering = Renumbering::new(&self.ids(), ids);
        let mut accounts = self.clone();
        for user in accounts.users.values_mut() {
            user.uid = renumbering.uid(user.uid);
            user.gid = renumbering.gid(user.gid);
        }
        for group in accounts.groups.values_mut() {
            group.gid = renumbering.gid(group.gid);
        }
        accounts
    }
}

impl Accounts {
    /// The same accounts, their passwords last changed on the given day since 1970.
    #[must_use]
    pub fn with_change_day(&self, day: u64) -> Self {
        let mut accounts = self.clone();
        for user in accounts.users.values_mut() {
            let Some(shadow) = &mut user.shadow else { continue };
            let mut fields: Vec<&str> = shadow.split(':').collect();
            let day = day.to_string();
            if fields.get(1).is_some_and(|field| !field.is_empty()) {
                fields[1] = &day;
            }
            *shadow = fields.join(":");
        }
        accounts
    }
}

/// From the numbers of one run to those of the lock, by name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Renumbering {
    users: BTreeMap<u32, u32>,
    groups: BTreeMap<u32, u32>,
}

impl Renumbering {
    /// What takes the numbers in `from` to those that `to` has for the same names.
    ///
    /// Of two names with one number, the first in byte order decides.
    pub fn new(from: &Ids, to: &Ids) -> Self {
        let map = |from: &BTreeMap<AccountName, u32>, to: &BTreeMap<AccountName, u32>| {
            let pairs = from.iter().rev();
            pairs.filter_map(|(name, number)| Some((*number, *to.get(name)?))).collect()
        };
        Self { users: map(&from.users, &to.users), groups: map(&from.groups, &to.groups) }
    }

    /// The user's number afterwards; one without a name stays.
    pub fn uid(&self, uid: u32) -> u32 {
        self.users.get(&uid).copied().unwrap_or(uid)
    }

    /// The group's number afterwards; one without a name stays.
    pub fn gid(&self, gid: u32) -> u32 {
        self.groups.get(&gid).copied().unwrap_or(gid)
    }
}

fn merge(
    pinned: &BTreeMap<AccountName, u32>,
    found: &BTreeMap<AccountName, u32>,
) -> Result<BTreeMap<AccountName, u32>, NoIdLeftError> {
    let mut merged = pinned.clone();
    let mut taken: BTreeSet<u32> = pinned.values().copied().collect();
    // Fixed numbers, below 100, before those that were given on demand.
    let mut new: Vec<(&AccountName, u32)> =
        found.iter().map(|(name, number)| (name, *number)).collect();
    new.retain(|(name, _)| !pinned.contains_key(*name));
    new.sort_by_key(|(name, number)| (DYNAMIC_IDS.contains(number), *name));
    // Numbers that found accounts have are taken too, or a later one would lose its own.
    let wished: BTreeSet<u32> = new.iter().map(|(_, number)| *number).collect();
    for (name, number) in new {
        let free = |id: &u32| !taken.contains(id) && !wished.contains(id);
        let number = if taken.contains(&number) {
            let highest = DYNAMIC_IDS.rev().find(free);
            highest.ok_or_else(|| NoIdLeftError { name: name.clone() })?
        } else {
            number
        };
        taken.insert(number);
        merged.insert(name.clone(), number);
    }
    Ok(merged)
}

/// Lines with their number and at least `count` fields; empty lines are passed over.
fn lines(
    file: &'static str,
    bytes: &[u8],
    count: usize,
) -> Result<Vec<(usize, Vec<String>)>, AccountError> {
    let mut result = Vec::new();
    for (index, line) in bytes.split(|&byte| byte == b'\n').enumerate() {
        let error = || AccountError { file, line: index + 1 };
        let line = std::str::from_utf8(line).map_err(|_| error())?;
        if line.is_empty() {
            continue;
        }
        let fields: Vec<String> = line.split(':').map(str::to_owned).collect();
        if fields.len() != count || fields[0].is_empty() {
            return Err(error());
        }
        result.push((index + 1, fields));
    }
    Ok(result)
}

fn names(field: &str) -> BTreeSet<String> {
    field.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests;
