//! What the boot loaders would start, read from the boot partition as they read it.
//!
//! systemd-boot: sd-boot(7) and the UAPI "Boot Loader Specification": entries with tries left, or without
//! counting, come first, then the higher version; the first that the pattern of the default matches is
//! started. GRUB: the entry that the script of `grub.cfg` chooses from `grubenv`, in the menu named there.

use std::collections::BTreeMap;

use nexus_host::boot::arguments::BootArguments;
use nexus_host::store::Sha256Digest;

use super::fat::Files;

/// A generation and the system that its kernel is told to mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Choice {
    pub(crate) number: u32,
    pub(crate) system: String,
}

pub(crate) fn systemd_boot(esp: &Files) -> Result<Choice, String> {
    let configuration = text(esp, "loader/loader.conf")?;
    let pattern = configuration.lines().find_map(|line| line.strip_prefix("default "));
    let pattern = pattern.ok_or("loader.conf names no default")?;
    let mut entries = Vec::new();
    let names = esp.keys().filter_map(|path| path.strip_prefix("loader/entries/"));
    for name in names {
        let Some((number, tries)) = parse_name(name) else { continue };
        entries.push((tries == Some(0), std::cmp::Reverse(number), name));
    }
    entries.sort();
    let matches = |name: &str| match pattern.split_once('*') {
        Some((before, after)) => name.starts_with(before) && name.ends_with(after),
        None => without_tries(name) == pattern || name == pattern,
    };
    // An entry that cannot be read is none, for the loader too.
    let mut readable = entries.iter().filter_map(|(_, number, name)| {
        let entry = text(esp, &format!("loader/entries/{name}")).ok()?;
        let fields: BTreeMap<_, _> =
            entry.lines().filter_map(|line| line.split_once(' ')).collect();
        let (linux, initrd) = (fields.get("linux")?.to_string(), fields.get("initrd")?.to_string());
        Some((number.0, name, [linux, initrd], fields.get("options")?.to_string()))
    });
    let chosen = readable.find(|(_, name, _, _)| matches(name));
    let (number, _, files, options) = chosen.ok_or(format!("nothing matches {pattern}"))?;
    check(esp, number, &files, &options)
}

pub(crate) fn grub(esp: &Files) -> Result<Choice, String> {
    let environment = text(esp, "grub/grubenv")?;
    if environment.len() != 1024 || !environment.starts_with("# GRUB Environment Block\n") {
        return Err("grubenv is damaged".to_owned());
    }
    let variables: BTreeMap<_, _> =
        environment.lines().filter_map(|line| line.split_once('=')).collect();
    let tries = variables.get("nexus_tries").and_then(|tries| tries.parse::<u32>().ok());
    let on_trial = tries.filter(|tries| *tries > 0).and(variables.get("nexus_trial"));
    let chosen = on_trial.or(variables.get("nexus_default")).ok_or("grubenv has no default")?;
    let menu = variables.get("nexus_menu").ok_or("grubenv names no menu")?;
    let menu = text(esp, &format!("grub/menu-{menu}.cfg"))?;
    let start = format!("--id nexus-{chosen} {{\n");
    let block = menu.split_once(&start).ok_or(format!("the menu has no generation {chosen}"))?.1;
    let block = block.split_once("\n}").ok_or("the menu ends within an entry")?.0;
    let line = |word: &str| {
        let found = block.lines().find_map(|line| line.trim().strip_prefix(word));
        found.map(|line| line.trim().to_owned()).ok_or(format!("no {word} in {block}"))
    };
    let linux = line("linux ")?;
    let (kernel, options) = linux.split_once(' ').ok_or("no arguments")?;
    let number = chosen.parse().map_err(|_| format!("{chosen} is no generation"))?;
    check(esp, number, &[kernel.to_owned(), line("initrd ")?], options)
}

/// Kernel and initrd are whole, and the command line names a system.
fn check(esp: &Files, number: u32, files: &[String; 2], options: &str) -> Result<Choice, String> {
    for file in files {
        let digest = file.rsplit('-').next().unwrap_or_default();
        let bytes = esp.get(&file[1..]).ok_or(format!("there is no {file}"))?;
        if !Sha256Digest::of(bytes).to_string().starts_with(digest) || digest.len() != 32 {
            return Err(format!("{file} is damaged"));
        }
    }
    let arguments = BootArguments::parse(options).map_err(|error| error.to_string())?;
    Ok(Choice { number, system: arguments.system })
}

/// The generation and the tries left of `nexus-N[+LEFT[-DONE]].conf`.
fn parse_name(name: &str) -> Option<(u32, Option<u32>)> {
    let inner = name.strip_prefix("nexus-")?.strip_suffix(".conf")?;
    let Some((number, tries)) = inner.split_once('+') else {
        return Some((inner.parse().ok()?, None));
    };
    Some((number.parse().ok()?, Some(tries.split('-').next()?.parse().ok()?)))
}

fn without_tries(name: &str) -> String {
    parse_name(name).map_or_else(|| name.to_owned(), |(number, _)| format!("nexus-{number}.conf"))
}

fn text(esp: &Files, path: &str) -> Result<String, String> {
    let bytes = esp.get(path).ok_or(format!("there is no {path}"))?;
    String::from_utf8(bytes.clone()).map_err(|_| format!("{path} is damaged"))
}
