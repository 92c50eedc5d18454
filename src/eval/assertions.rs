//! What must hold of a merged system, whatever the modules.

use core::net::IpAddr;
use std::collections::BTreeSet;

use super::merge::conflict;
use super::system::{File, Port, System, Traced};
use super::unit_text::unit_problem;
use crate::diag::{Code, Diagnostic, Problems};
use crate::spec::UserName;

/// Groups that Debian's base-passwd 3.6.7 makes, and those of Debian 13's `systemd` and `udev`.
const BASE_GROUPS: &[&str] = &[
    "adm",
    "audio",
    "backup",
    "bin",
    "cdrom",
    "clock",
    "daemon",
    "dialout",
    "dip",
    "disk",
    "fax",
    "floppy",
    "games",
    "input",
    "irc",
    "kmem",
    "kvm",
    "list",
    "lp",
    "mail",
    "man",
    "news",
    "nogroup",
    "operator",
    "plugdev",
    "proxy",
    "render",
    "root",
    "sasl",
    "sgx",
    "shadow",
    "src",
    "staff",
    "sudo",
    "sys",
    "systemd-journal",
    "systemd-network",
    "tape",
    "tty",
    "users",
    "utmp",
    "uucp",
    "video",
    "voice",
    "www-data",
];
/// Users that base-passwd 3.6.7 makes.
const BASE_USERS: &[&str] = &[
    "_apt", "backup", "bin", "daemon", "games", "irc", "list", "lp", "mail", "man", "news",
    "nobody", "proxy", "root", "sync", "sys", "uucp", "www-data",
];
/// Files that are made from the lock and at boot.
const RESERVED_PATHS: &[&str] = &[
    "etc/passwd",
    "etc/shadow",
    "etc/group",
    "etc/gshadow",
    "etc/subuid",
    "etc/subgid",
    "etc/machine-id",
];

impl System {
    /// Notes everything that does not hold.
    pub(super) fn check(&self, problems: &mut Problems) {
        self.check_ports(problems);
        self.check_groups(problems);
        self.check_files(problems);
        self.check_owners(problems);
        self.check_units(problems);
        self.check_secrets(problems);
    }

    fn check_ports(&self, problems: &mut Problems) {
        for (index, port) in self.ports.iter().enumerate() {
            let before = self.ports[..index].iter();
            if let Some(other) = before.clone().find(|other| collide(&other.value, &port.value)) {
                let Port { port: number, protocol, .. } = port.value;
                let protocol = format!("{protocol:?}").to_lowercase();
                let who = |port: &Traced<Port>| {
                    port.value.service.as_ref().map(ToString::to_string).unwrap_or_default()
                };
                let message = format!(
                    "`{}` and `{}` both listen on {protocol} port {number}",
                    who(other),
                    who(port)
                );
                let (first, second) = (&other.origins[0], &port.origins[0]);
                problems.push(conflict(Code::PortTwice, message, first, second));
            }
        }
    }

    fn check_groups(&self, problems: &mut Problems) {
        let known = self.group_names();
        for (name, user) in &self.users {
            let groups = user.value.groups.iter().chain(&user.value.group);
            for group in groups.filter(|group| !known.contains(group.as_str())) {
                let message = format!("the group `{group}` of the user `{name}` does not exist");
                let place = user.place().clone();
                let problem =
                    Diagnostic::error(Code::UnknownGroup, message, place, "no such group");
                let near = crate::diag::did_you_mean(group.as_str(), known.iter().copied());
                let help = near.unwrap_or_else(|| format!("Add `[groups.{group}]`."));
                problems.push(problem.with_help(help));
            }
        }
    }

    fn check_files(&self, problems: &mut Problems) {
        for (path, file) in &self.files {
            let shown = path.to_string();
            if RESERVED_PATHS.contains(&shown.as_str()) {
                let message = format!("`/{shown}` is made by nexus-host itself");
                let place = file.place().clone();
                let reason = "expected another path";
                problems.push(Diagnostic::error(Code::PathNotAllowed, message, place, reason));
            }
            let mut above = path.parent();
            while let Some(parent) = above {
                if let Some(other) = self.files.get(&parent) {
                    let message =
                        format!("`/{parent}` is a file, so `/{shown}` cannot be below it");
                    let (first, second) = (&other.origins[0], &file.origins[0]);
                    problems.push(conflict(Code::Conflict, message, first, second));
                }
                above = parent.parent();
            }
        }
    }

    /// Whether a user of this name exists.
    pub(super) fn has_user(&self, name: &UserName) -> bool {
        self.users.contains_key(name) || BASE_USERS.contains(&name.as_str())
    }

    fn check_owners(&self, problems: &mut Problems) {
        let groups = self.group_names();
        for (path, file) in &self.files {
            let File::Regular { owner, group, .. } = &file.value else { continue };
            let user_exists = self.has_user(owner);
            let missing = [(user_exists, owner), (groups.contains(group.as_str()), group)];
            for (_, name) in missing.iter().filter(|(exists, _)| !exists) {
                let message = format!("`/{path}` belongs to `{name}`, which nothing declares");
                let place = file.place().clone();
                problems.push(Diagnostic::error(Code::UnknownOwner, message, place, "unknown"));
            }
        }
    }

    fn check_units(&self, problems: &mut Problems) {
        for (name, unit) in &self.units {
            let texts = unit.value.text.iter().chain(unit.value.dropins.values());
            for reason in texts.filter_map(|text| unit_problem(text)) {
                let message = format!("systemd would refuse the unit `{name}`");
                let place = unit.place().clone();
                problems.push(Diagnostic::error(Code::UnitText, message, place, reason));
            }
        }
        let starts = self.packages.keys().any(|name| name.as_str().starts_with("systemd"));
        if let Some((name, unit)) = self.units.first_key_value().filter(|_| !starts) {
            let message = format!("nothing starts the unit `{name}`");
            let place = unit.place().clone();
            let reason = "the host has no kernel and no systemd";
            let problem = Diagnostic::warning(Code::NothingStarts, message, place, reason);
            problems.push(problem.with_help("Add `kernel = \"cloud\"` below `[host]`."));
        }
    }

    /// Groups that exist: Debian's base, declared ones, and each user's own.
    fn group_names(&self) -> BTreeSet<&str> {
        let own = self.users.iter().filter(|(_, user)| user.value.group.is_none());
        let own = own.map(|(name, _)| name.as_str());
        let declared = self.groups.keys().map(UserName::as_str);
        BASE_GROUPS.iter().copied().chain(declared).chain(own).collect()
    }
}

/// Whether two different services would both bind the same socket.
fn collide(a: &Port, b: &Port) -> bool {
    let overlap = match (a.address, b.address) {
        (Some(a), Some(b)) => a == b || covers(a, b) || covers(b, a),
        _ => true,
    };
    let same_socket = a.port == b.port && a.protocol == b.protocol && overlap;
    same_socket && a.service.is_some() && b.service.is_some() && a.service != b.service
}

/// Whether listening on `wide` takes the port on `narrow` too; `::` takes IPv4 as well, unless told
/// otherwise.
fn covers(wide: IpAddr, narrow: IpAddr) -> bool {
    match wide {
        IpAddr::V4(wide) => wide.is_unspecified() && narrow.is_ipv4(),
        IpAddr::V6(wide) => wide.is_unspecified(),
    }
}
