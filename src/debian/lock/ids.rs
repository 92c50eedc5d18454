//! Numbers for users and groups: once given, never changed, never given to another.
//!
//! A system account's number is derived from its name, so hosts agree on it as a rule, whatever else is
//! on them and in whatever order it came; a number that is taken gives way to the next free one.

use std::collections::BTreeMap;

use thiserror::Error;

use super::model::AccountName;
use crate::store::Sha256Digest;

/// Numbers of system accounts given by us. Source: Debian Policy 9.2.2, "dynamically allocated system
/// users and groups".
const SYSTEM: std::ops::RangeInclusive<u32> = 100..=999;
/// Numbers of people. Source: the same.
const PEOPLE: std::ops::RangeInclusive<u32> = 1000..=59_999;
/// 65 535 and 2³² − 1 mean "no user" to the kernel's older and newer calls.
pub(super) const NEVER: [u32; 2] = [65_535, u32::MAX];

/// Users that every Debian system has. Source: `passwd.master` of base-passwd 3.6.7 (trixie).
const STATIC_USERS: [(&str, u32); 18] = [
    ("root", 0),
    ("daemon", 1),
    ("bin", 2),
    ("sys", 3),
    ("sync", 4),
    ("games", 5),
    ("man", 6),
    ("lp", 7),
    ("mail", 8),
    ("news", 9),
    ("uucp", 10),
    ("proxy", 13),
    ("www-data", 33),
    ("backup", 34),
    ("list", 38),
    ("irc", 39),
    ("_apt", 42),
    ("nobody", 65_534),
];

/// Groups that every Debian system has. Source: `group.master` of base-passwd 3.6.7 (trixie).
const STATIC_GROUPS: [(&str, u32); 38] = [
    ("root", 0),
    ("daemon", 1),
    ("bin", 2),
    ("sys", 3),
    ("adm", 4),
    ("tty", 5),
    ("disk", 6),
    ("lp", 7),
    ("mail", 8),
    ("news", 9),
    ("uucp", 10),
    ("man", 12),
    ("proxy", 13),
    ("kmem", 15),
    ("dialout", 20),
    ("fax", 21),
    ("voice", 22),
    ("cdrom", 24),
    ("floppy", 25),
    ("tape", 26),
    ("sudo", 27),
    ("audio", 29),
    ("dip", 30),
    ("www-data", 33),
    ("backup", 34),
    ("operator", 37),
    ("list", 38),
    ("irc", 39),
    ("src", 40),
    ("shadow", 42),
    ("utmp", 43),
    ("video", 44),
    ("sasl", 45),
    ("plugdev", 46),
    ("staff", 50),
    ("games", 60),
    ("users", 100),
    ("nogroup", 65_534),
];

/// Numbers of users and groups by name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ids {
    /// Users.
    pub users: BTreeMap<AccountName, u32>,
    /// Groups.
    pub groups: BTreeMap<AccountName, u32>,
}

/// Which databases a name is wanted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Accounts {
    /// `passwd`.
    User,
    /// `group`.
    Group,
    /// Both, with the same number when one is free in both.
    Both,
}

/// Which number is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wish {
    /// One of a system account.
    System,
    /// One of a person.
    Person,
    /// This one if it is free, else one of a system account.
    Prefer(u32),
    /// This one or none.
    Exactly(u32),
}

/// A name that needs a number.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct IdWish {
    /// The name.
    pub name: AccountName,
    /// Where it is needed.
    pub accounts: Accounts,
    /// Which number.
    pub wish: Wish,
}

/// A number that cannot be given.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum IdsError {
    /// The name has another number, and files on the host may carry it.
    #[error("`{name}` has the id {locked} in the lock and cannot change to {wanted}")]
    Changed {
        /// The name.
        name: AccountName,
        /// Its number.
        locked: u32,
        /// The number asked for.
        wanted: u32,
    },
    /// Another name has the number.
    #[error("the id {wanted} of `{name}` already belongs to `{owner}`")]
    Taken {
        /// The name.
        name: AccountName,
        /// The number asked for.
        wanted: u32,
        /// Who has it.
        owner: String,
    },
    /// The number cannot be an id.
    #[error("{wanted} cannot be the id of `{name}`")]
    Impossible {
        /// The name.
        name: AccountName,
        /// The number asked for.
        wanted: u32,
    },
    /// All numbers are taken.
    #[error("no id is left for `{name}`")]
    Exhausted {
        /// The name.
        name: AccountName,
    },
}

/// Adds numbers for `wishes` to `old`; the order of the wishes does not matter.
///
/// What `old` has stays, also when nobody wishes for it any more: files on the host may carry the
/// number. Debian's static names get their static numbers. Exact wishes are served before others.
pub fn allocate_ids(old: &Ids, wishes: &[IdWish]) -> Result<Ids, IdsError> {
    let mut ids = old.clone();
    let mut wishes = wishes.to_vec();
    let urgency = |wish: &IdWish| match wish.wish {
        Wish::Exactly(_) => 0,
        Wish::Prefer(_) => 1,
        Wish::System | Wish::Person => 2,
    };
    wishes.sort_by(|a, b| urgency(a).cmp(&urgency(b)).then_with(|| a.cmp(b)));
    for wish in &wishes {
        ids.serve(wish)?;
    }
    Ok(ids)
}

impl Ids {
    fn serve(&mut self, wish: &IdWish) -> Result<(), IdsError> {
        let name = &wish.name;
        let (as_user, as_group) =
            (wish.accounts != Accounts::Group, wish.accounts != Accounts::User);
        let known = |ids: &BTreeMap<_, u32>, fixed: &[(&str, u32)]| {
            let fixed = fixed.iter().find(|(known, _)| *known == name.as_str()).map(|row| row.1);
            ids.get(name).copied().or(fixed)
        };
        let user = known(&self.users, &STATIC_USERS).filter(|_| as_user);
        let group = known(&self.groups, &STATIC_GROUPS).filter(|_| as_group);
        if let Wish::Exactly(wanted) = wish.wish {
            let differs = |id: &u32| *id != wanted;
            if let Some(locked) = user.filter(differs).or(group.filter(differs)) {
                return Err(IdsError::Changed { name: name.clone(), locked, wanted });
            }
        }
        let needs = (as_user && user.is_none(), as_group && group.is_none());
        let chosen = match (needs, self.choose(wish, user.or(group), needs)) {
            ((false, false), _) => None,
            (_, chosen) => Some(chosen?),
        };
        if as_user && let Some(id) = user.or(chosen) {
            self.users.insert(name.clone(), id);
        }
        if as_group && let Some(id) = group.or(chosen) {
            self.groups.insert(name.clone(), id);
        }
        Ok(())
    }

    /// A number that is free where it is needed; that of the same name's other account when it is.
    fn choose(
        &self,
        wish: &IdWish,
        sibling: Option<u32>,
        needs: (bool, bool),
    ) -> Result<u32, IdsError> {
        let name = &wish.name;
        let owner = |id: u32| {
            let user = needs.0.then(|| owner_of(&self.users, &STATIC_USERS, id)).flatten();
            user.or_else(|| needs.1.then(|| owner_of(&self.groups, &STATIC_GROUPS, id)).flatten())
        };
        let is_free = |id: &u32| owner(*id).is_none() && !NEVER.contains(id);
        if let Wish::Exactly(wanted) = wish.wish {
            return match owner(wanted) {
                _ if NEVER.contains(&wanted) => {
                    Err(IdsError::Impossible { name: name.clone(), wanted })
                }
                Some(owner) => Err(IdsError::Taken { name: name.clone(), wanted, owner }),
                None => Ok(wanted),
            };
        }
        let preferred = match wish.wish {
            Wish::Prefer(id) => Some(id),
            _ => None,
        };
        let exhausted = || IdsError::Exhausted { name: name.clone() };
        sibling
            .filter(is_free)
            .or_else(|| preferred.filter(is_free))
            .or_else(|| match wish.wish {
                Wish::Person => PEOPLE.clone().find(is_free),
                _ => system_ids(name).find(is_free),
            })
            .ok_or_else(exhausted)
    }
}

fn owner_of(
    ids: &BTreeMap<AccountName, u32>,
    fixed: &[(&str, u32)],
    wanted: u32,
) -> Option<String> {
    let given = ids.iter().find(|(_, id)| **id == wanted).map(|(name, _)| name.to_string());
    given.or_else(|| fixed.iter().find(|(_, id)| *id == wanted).map(|(name, _)| (*name).to_owned()))
}

/// All system numbers, from the one that the name's digest points at.
fn system_ids(name: &AccountName) -> impl Iterator<Item = u32> {
    let digest = Sha256Digest::of(name.as_str().as_bytes());
    let first = digest.as_bytes()[..4].iter().fold(0, |sum, &byte| sum << 8 | u32::from(byte));
    let count = SYSTEM.end() - SYSTEM.start() + 1;
    (0..count).map(move |step| SYSTEM.start() + (first % count + step) % count)
}
