//! Which files of the system a unit reads: a change of one of them concerns the unit.
//!
//! systemd knows only unit files. Debian's units have the same text when a program or a configuration
//! file changes, so what they read must be known: words of their command lines that are paths, files
//! that their settings name, what `X-Restart-Triggers` and `X-Reload-Triggers` list, `/etc/<name>`,
//! and for the services of systemd itself the folders of their manual pages.

use std::collections::BTreeMap;

use super::compare::Difference;
use super::unit_file::{Unit, stem, suffix};

/// Keys of `[Service]` whose values are command lines.
const COMMANDS: [&str; 8] = [
    "ExecStart",
    "ExecStartPre",
    "ExecStartPost",
    "ExecCondition",
    "ExecReload",
    "ExecStop",
    "ExecStopPost",
    "ExecReloadPost",
];
/// Keys of `[Service]` that name files, perhaps with more after a colon.
const FILES: [&str; 7] = [
    "EnvironmentFile",
    "LoadCredential",
    "LoadCredentialEncrypted",
    "BindPaths",
    "BindReadOnlyPaths",
    "WorkingDirectory",
    "RootDirectory",
];
/// Folders that hold the files of many: naming one does not mean to read all of it.
const SHARED: [&str; 8] = [
    "/etc/ssl",
    "/etc/ssl/certs",
    "/etc/systemd",
    "/etc/systemd/system",
    "/usr/lib/systemd",
    "/usr/lib/systemd/system",
    "/usr/share/doc",
    "/usr/lib/x86_64-linux-gnu",
];
/// Services whose configuration is found by convention, what they read, and whether reading it again
/// is enough. Source: FILES and "Configuration Directories" in their manual pages, systemd 257.
const KNOWN: &[(&str, &[&str], Difference)] = &[
    ("ssh.service", &["/etc/ssh"], Difference::Reload),
    ("dbus.service", &["/etc/dbus-1", "/usr/share/dbus-1"], Difference::Reload),
    (
        "systemd-networkd.service",
        &["/etc/systemd/network", "/usr/lib/systemd/network"],
        Difference::Reload,
    ),
    (
        "systemd-networkd.service",
        &["/etc/systemd/networkd.conf", "/etc/systemd/networkd.conf.d"],
        Difference::Restart,
    ),
    (
        "systemd-resolved.service",
        &["/etc/systemd/resolved.conf", "/etc/systemd/resolved.conf.d"],
        Difference::Reload,
    ),
    (
        "systemd-timesyncd.service",
        &["/etc/systemd/timesyncd.conf", "/etc/systemd/timesyncd.conf.d"],
        Difference::Restart,
    ),
    (
        "systemd-journald.service",
        &["/etc/systemd/journald.conf", "/etc/systemd/journald.conf.d"],
        Difference::Restart,
    ),
    (
        "systemd-logind.service",
        &["/etc/systemd/logind.conf", "/etc/systemd/logind.conf.d"],
        Difference::Reload,
    ),
    (
        "systemd-udevd.service",
        &["/etc/udev", "/usr/lib/udev/rules.d", "/usr/lib/udev/hwdb.bin"],
        Difference::Reload,
    ),
    (
        "systemd-sysctl.service",
        &["/etc/sysctl.d", "/etc/sysctl.conf", "/usr/lib/sysctl.d"],
        Difference::Restart,
    ),
    (
        "systemd-modules-load.service",
        &["/etc/modules-load.d", "/usr/lib/modules-load.d"],
        Difference::Restart,
    ),
];

/// Absolute paths below `/etc` and `/usr` that the unit reads, with what a change of each asks for.
///
/// A path may be a folder: then everything below it counts. A reload is asked for only of units that
/// can reload.
pub fn reads(name: &str, unit: &Unit) -> BTreeMap<String, Difference> {
    let mut found = BTreeMap::new();
    let can_reload = can_reload(unit);
    let mut add = |path: &str, wanted: Difference| {
        let path = path.trim_end_matches('/');
        let wanted = if can_reload { wanted } else { Difference::Restart };
        if is_of_the_system(path) {
            let known = found.entry(path.to_owned()).or_insert(wanted);
            *known = (*known).max(wanted);
        }
    };
    for (_, paths, wanted) in KNOWN.iter().filter(|(known, _, _)| *known == name) {
        paths.iter().for_each(|path| add(path, *wanted));
    }
    for (key, wanted) in
        [("X-Restart-Triggers", Difference::Restart), ("X-Reload-Triggers", Difference::Reload)]
    {
        unit.words("Unit", key).for_each(|path| add(path, wanted));
    }
    if suffix(name) == "service" {
        for key in COMMANDS {
            // Configuration is read again on reload, a program is not.
            for path in unit.values("Service", key).iter().flat_map(|line| paths_in(line)) {
                let configuration = path.starts_with("/etc/");
                add(path, if configuration { Difference::Reload } else { Difference::Restart });
            }
        }
        for key in FILES {
            let first = |word: &&str| !word.is_empty();
            for word in unit.words("Service", key) {
                let parts = word.trim_start_matches('-').split(':').filter(first);
                parts.for_each(|part| add(part, Difference::Restart));
            }
        }
        let plain = stem(name).split('@').next().unwrap_or_default();
        add(&format!("/etc/{plain}"), Difference::Reload);
        add(&format!("/etc/{plain}.conf"), Difference::Reload);
    }
    found
}

/// Whether the service can be told to read its configuration again.
pub(super) fn can_reload(unit: &Unit) -> bool {
    let notifies =
        unit.values("Service", "Type").last().is_some_and(|kind| kind == "notify-reload");
    notifies || !unit.values("Service", "ExecReload").is_empty()
}

/// Words of a command line that are absolute paths, also behind `--option=`.
fn paths_in(line: &str) -> impl Iterator<Item = &str> {
    line.split_ascii_whitespace().filter_map(|word| {
        let word = word.trim_start_matches(['-', '@', ':', '+', '!', '|', '"', '\'']);
        let word = word.trim_end_matches(['"', '\'', ';']);
        let word = if word.starts_with('/') { word } else { word.split_once('=')?.1 };
        word.starts_with('/').then_some(word)
    })
}

/// Whether a path lies in the system and is not a folder of everybody's files.
fn is_of_the_system(path: &str) -> bool {
    let parts: Vec<&str> = path.split('/').skip(1).collect();
    let deep_enough = match parts.first() {
        // Beside `/etc` the links of `/` into a merged `/usr`.
        Some(&("etc" | "bin" | "sbin" | "lib" | "lib64")) => parts.len() >= 2,
        Some(&"usr") => parts.len() >= 3,
        _ => false,
    };
    let clean = parts.iter().all(|part| !part.is_empty() && *part != "." && *part != "..");
    deep_enough && clean && !SHARED.contains(&path) && !path.contains('%')
}
