//! What never becomes part of a system: identity, keys, logs, caches, what is only true while building.

use crate::tree::TreePath;

/// Why something is left out; for tests and for reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Leak {
    /// Keys and identity that every host must have for itself.
    Identity,
    /// Data of a service, which begins on the host.
    Data,
    /// What a program wrote about its work.
    Log,
    /// What can be made again.
    Cache,
    /// Copies of files as they were before.
    Backup,
    /// Which units run is decided by the host's own presets.
    Enablement,
    /// What lives only as long as a machine runs, or while dpkg works.
    Runtime,
}

/// Directories whose contents are left out, but not the directories below them: those have owners
/// that packages set.
const FILES_BELOW: &[(&str, Leak)] = &[("var/cache", Leak::Cache), ("var/log", Leak::Log)];

/// Directories whose contents are left out whole.
const ALL_BELOW: &[(&str, Leak)] = &[
    ("dev", Leak::Runtime),
    ("proc", Leak::Runtime),
    ("run", Leak::Runtime),
    ("sys", Leak::Runtime),
    ("tmp", Leak::Runtime),
    ("var/tmp", Leak::Runtime),
    ("var/backups", Leak::Backup),
    ("var/lib/dpkg/updates", Leak::Runtime),
    ("var/lib/systemd/catalog", Leak::Cache),
    ("var/lib/systemd/deb-systemd-helper-enabled", Leak::Enablement),
    ("var/lib/systemd/deb-systemd-helper-masked", Leak::Enablement),
    ("var/lib/systemd/deb-systemd-user-helper-enabled", Leak::Enablement),
];

/// Single files.
const FILES: &[(&str, Leak)] = &[
    ("etc/.pwd.lock", Leak::Runtime),
    ("etc/.updated", Leak::Runtime),
    ("etc/machine-id", Leak::Identity),
    ("etc/ssl/certs/ssl-cert-snakeoil.pem", Leak::Identity),
    ("etc/ssl/private/ssl-cert-snakeoil.key", Leak::Identity),
    ("initrd.img", Leak::Runtime),
    ("initrd.img.old", Leak::Runtime),
    ("var/.updated", Leak::Runtime),
    ("var/lib/dbus/machine-id", Leak::Identity),
    ("var/lib/dpkg/lock", Leak::Runtime),
    ("var/lib/dpkg/lock-frontend", Leak::Runtime),
    ("var/lib/dpkg/triggers/Lock", Leak::Runtime),
    ("var/lib/systemd/credential.secret", Leak::Identity),
    ("var/lib/systemd/random-seed", Leak::Identity),
    ("vmlinuz", Leak::Runtime),
    ("vmlinuz.old", Leak::Runtime),
];

/// Files whose last version is kept beside them with a suffix: what they are, and the suffixes.
const BACKUPS: &[(&str, &[&str])] = &[
    ("etc/passwd", &["-", ".org"]),
    ("etc/group", &["-", ".org"]),
    ("etc/shadow", &["-", ".org"]),
    ("etc/gshadow", &["-", ".org"]),
    ("etc/subuid", &["-"]),
    ("etc/subgid", &["-"]),
    ("etc/shells", &["-"]),
    ("var/lib/dpkg/status", &["-old"]),
    ("var/lib/dpkg/available", &["-old"]),
    ("var/lib/dpkg/diversions", &["-old"]),
    ("var/lib/dpkg/statoverride", &["-old"]),
    ("var/lib/dpkg/arch", &["-old"]),
    ("var/lib/ucf/hashfile", &[".0", ".1", ".2", ".3", ".4", ".5", ".6", ".7"]),
    ("var/lib/ucf/registry", &[".0", ".1", ".2", ".3", ".4", ".5", ".6", ".7"]),
];

/// Files below `var/cache` that are no caches: what debconf knows.
const DEBCONF: &[&str] = &[
    "var/cache/debconf/config.dat",
    "var/cache/debconf/passwords.dat",
    "var/cache/debconf/templates.dat",
];

/// Whether what scripts made at `path` is left out, and why.
pub(super) fn leak(path: &TreePath, is_directory: bool, is_link: bool) -> Option<Leak> {
    let text = std::str::from_utf8(path.as_bytes()).ok()?;
    let below = |directory: &str| text.strip_prefix(directory)?.strip_prefix('/');
    let named = FILES.iter().find(|(file, _)| *file == text);
    let all = ALL_BELOW.iter().find(|(directory, _)| below(directory).is_some());
    if let Some((_, leak)) = named.or(all) {
        return Some(*leak);
    }
    if !is_directory
        && !DEBCONF.contains(&text)
        && let Some((_, leak)) = FILES_BELOW.iter().find(|(place, _)| below(place).is_some())
    {
        return Some(*leak);
    }
    let backup = |(file, suffixes): &(&str, &[&str])| {
        text.strip_prefix(file).is_some_and(|suffix| suffixes.contains(&suffix))
    };
    if BACKUPS.iter().any(backup) {
        return Some(Leak::Backup);
    }
    if text.split('/').any(|part| part == "__pycache__") {
        return Some(Leak::Cache);
    }
    by_pattern(text, is_directory, is_link)
}

fn by_pattern(text: &str, is_directory: bool, is_link: bool) -> Option<Leak> {
    let (directory, name) = text.rsplit_once('/').unwrap_or(("", text));
    if directory == "etc/ssh" && name.starts_with("ssh_host_") {
        return Some(Leak::Identity);
    }
    if is_link && is_enablement(directory) {
        return Some(Leak::Enablement);
    }
    let unit_directory = ["etc/systemd/system/", "etc/systemd/user/"];
    let dependency = [".wants", ".requires", ".upholds"];
    if is_directory
        && unit_directory.iter().any(|place| text.starts_with(place))
        && dependency.iter().any(|suffix| name.ends_with(suffix))
    {
        return Some(Leak::Enablement);
    }
    if directory == "boot" && name.starts_with("initrd.img") {
        return Some(Leak::Cache);
    }
    let cluster = |place: &str| text.strip_prefix(place).is_some_and(|rest| rest.contains('/'));
    let clusters = ["var/lib/postgresql/", "etc/postgresql/"];
    clusters.iter().any(|place| cluster(place)).then_some(Leak::Data)
}

/// Directories where a link means that a unit, or a script of old, is enabled.
fn is_enablement(directory: &str) -> bool {
    let systemd = ["etc/systemd/system", "etc/systemd/user"];
    let in_systemd = |place: &&str| {
        directory.strip_prefix(*place).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let run_level = directory.strip_prefix("etc/rc").and_then(|rest| rest.strip_suffix(".d"));
    systemd.iter().any(in_systemd) || run_level.is_some_and(|level| level.len() == 1)
}

#[cfg(test)]
mod tests;
