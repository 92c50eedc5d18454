//! What dpkg's output says about the script that failed.
//!
//! ```text
//! Setting up broken (1.0) ...
//! what the script wrote
//! dpkg: error processing package broken (--configure):
//!  installed broken package post-installation script subprocess returned error exit status 3
//! dpkg: too many errors, stopping
//! ```
//!
//! Source: `print_error_perpackage` in dpkg's `src/main/errors.c` and `maintscript_exec` in
//! `src/main/script.c`; dpkg's messages are untranslated in the locale `C.UTF-8`.

/// A script that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failed {
    pub(super) package: String,
    pub(super) script: String,
    pub(super) status: String,
}

const ERROR: &str = "dpkg: error processing package ";

/// dpkg's names of scripts, and the files'.
const SCRIPTS: &[(&str, &str)] = &[
    ("pre-installation script", "preinst"),
    ("post-installation script", "postinst"),
    ("pre-removal script", "prerm"),
    ("post-removal script", "postrm"),
];

/// Finds the first script that failed.
pub(super) fn find(log: &str) -> Option<Failed> {
    let mut lines = log.lines();
    let header = lines.find_map(|line| line.strip_prefix(ERROR))?;
    let package = header.split(' ').next()?.to_owned();
    let reason = lines.next()?.trim();
    let (_, script) = SCRIPTS.iter().find(|(words, _)| reason.contains(words))?;
    let (_, status) = reason.split_once(" subprocess ")?;
    let status = status.strip_prefix("returned error ").unwrap_or(status);
    Some(Failed { package, script: (*script).to_owned(), status: status.to_owned() })
}

/// What the script that failed wrote: the lines between dpkg's own.
pub(super) fn output_of(log: &str) -> &str {
    let end = log.find(ERROR).unwrap_or(log.len());
    let before = &log[..end];
    let start = before.rfind("\nSetting up ").map_or(0, |position| position + 1);
    let script = &before[start..];
    let named = script.starts_with("Setting up ");
    if named { script.split_once('\n').map_or("", |(_, rest)| rest) } else { script }
}

#[cfg(test)]
mod tests;
