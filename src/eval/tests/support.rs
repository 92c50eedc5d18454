//! Hosts and modules for the tests, and what they become as text.

use std::fmt::Write as _;

use super::*;
use crate::health::Check;

/// The least host, to which tests add sections.
pub(super) const LEAST: &str = "[host]\nname = \"a\"\nrelease = \"trixie\"\n";

/// A public key that nobody has the other half of.
pub(super) const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f k";

/// Evaluates a host file with modules of a test's own.
pub(super) fn evaluate(
    text: &str,
    modules: &[(&str, &[(&str, &str)])],
) -> Result<(System, String), String> {
    let name = if text.contains("\"vps1\"") { "vps1" } else { "a" };
    let host = Source::new(format!("hosts/{name}.toml"), text);
    let mut user = UserModules::new();
    for (name, files) in modules {
        let files = files.iter().map(|(file, text)| ((*file).to_owned(), (*text).to_owned()));
        user.insert((*name).to_owned(), files.collect::<ModuleFiles>());
    }
    match load(&host, None, &user) {
        Ok((system, warnings)) => Ok((system, render(&warnings, Look::Plain))),
        Err(problems) => Err(render(&problems, Look::Plain)),
    }
}

/// What a host file becomes: packages, units, ports, … and the files' names.
#[track_caller]
pub(super) fn check_host(text: &str, expected: &Expect) {
    match evaluate(text, &[]) {
        Ok((system, warnings)) => expected.assert_eq(&(warnings + &summary(&system))),
        Err(problems) => panic!("{problems}"),
    }
}

/// The problems of a host file.
#[track_caller]
pub(super) fn check_problems(text: &str, expected: &Expect) {
    match evaluate(text, &[]) {
        Ok((system, _)) => panic!("no problem found:\n{}", summary(&system)),
        Err(problems) => expected.assert_eq(&problems),
    }
}

/// The text of one generated file.
#[track_caller]
pub(super) fn check_file(text: &str, path: &str, expected: &Expect) {
    match evaluate(text, &[]) {
        Ok((system, _)) => expected.assert_eq(&file(&system, path)),
        Err(problems) => panic!("{problems}"),
    }
}

pub(super) fn file(system: &System, path: &str) -> String {
    let key = crate::tree::TreePath::new(path).unwrap();
    match system.files.get(&key).map(|file| &file.value) {
        Some(File::Regular { content, .. }) => String::from_utf8(content.clone()).unwrap(),
        Some(File::Link { target }) => format!("-> {target}"),
        None => panic!("no {path} among:\n{}", summary(system)),
    }
}

pub(super) fn summary(system: &System) -> String {
    let mut out = String::new();
    let packages: Vec<_> = system.packages.keys().map(ToString::to_string).collect();
    writeln!(out, "packages: {}", packages.join(" ")).unwrap();
    for (name, user) in &system.users {
        writeln!(out, "user {name}: {:?} {}", user.value.groups, user.value.home).unwrap();
    }
    for Traced { value: port, .. } in &system.ports {
        let address = port.address.map_or("*".to_owned(), |address| address.to_string());
        let open = if port.open { "open" } else { "closed" };
        let service = port.service.as_ref().map(ToString::to_string).unwrap_or_default();
        let protocol = format!("{:?}", port.protocol).to_lowercase();
        writeln!(
            out,
            "port {protocol} {address} {} {open} {:?} {service}",
            port.port, port.sources
        )
        .unwrap();
    }
    for (domain, route) in &system.routes {
        writeln!(out, "route {domain} -> {} {:?}", route.value.to, route.value.tls).unwrap();
    }
    for (name, check) in &system.checks {
        let Check { probe, vantage, within_seconds, .. } = &check.value;
        writeln!(out, "check {name}: {probe:?} {vantage:?} {within_seconds} s").unwrap();
    }
    for (path, file) in &system.files {
        match &file.value {
            File::Link { target } => writeln!(out, "{path} -> {target}").unwrap(),
            File::Regular { mode, owner, group, .. } => {
                writeln!(out, "{path} {mode:04o} {owner}:{group}").unwrap();
            }
        }
    }
    out
}

/// A `module.toml` with one section.
pub(super) fn manifest(name: &str, section: &str) -> String {
    format!(
        "[module]\nname = \"{name}\"\nsummary = \"A test.\"\n[sections.{name}]\ndoc = \"It.\"\n{section}"
    )
}
