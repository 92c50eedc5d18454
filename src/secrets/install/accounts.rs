//! Names of users and groups → ids, from the files of a system.

use std::collections::BTreeMap;

/// Ids by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Accounts {
    /// Users.
    pub users: BTreeMap<String, u32>,
    /// Groups.
    pub groups: BTreeMap<String, u32>,
}

impl Accounts {
    /// Reads the texts of `/etc/passwd` and `/etc/group`; lines that are none are passed over.
    ///
    /// Root is always there.
    pub fn parse(passwd: &str, group: &str) -> Self {
        Self { users: ids(passwd), groups: ids(group) }
    }
}

/// In both files the name is the first field and the id the third.
fn ids(text: &str) -> BTreeMap<String, u32> {
    let line = |line: &str| {
        let mut fields = line.split(':');
        let name = fields.next().filter(|name| !name.is_empty())?;
        Some((name.to_owned(), fields.nth(1)?.parse().ok()?))
    };
    let mut ids: BTreeMap<String, u32> = text.lines().filter_map(line).collect();
    ids.insert("root".to_owned(), 0);
    ids
}
