//! The part of `~/.ssh/config` that the built-in client follows. Form: `ssh_config(5)`.
//!
//! What it does not follow is found out, so that the user's own `ssh` can be used instead.

use std::path::{Path, PathBuf};

use super::known_hosts::matches_pattern;

/// What the user's configuration says about one machine.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct HostConfig {
    /// The real name or address.
    pub(super) host_name: Option<String>,
    /// As whom to log in.
    pub(super) user: Option<String>,
    /// The port.
    pub(super) port: Option<u16>,
    /// Keys to log in with, in order.
    pub(super) identity_files: Vec<PathBuf>,
    /// Whether keys of the agent that are not among them are left alone.
    pub(super) identities_only: bool,
    /// Files of known hosts, when not the usual ones.
    pub(super) known_hosts: Vec<PathBuf>,
    /// The first keyword that only `ssh` itself can follow.
    pub(super) beyond: Option<String>,
}

/// Keywords that change nothing that matters here, or that the built-in client does anyway.
const HARMLESS: [&str; 32] = [
    "addkeystoagent",
    "addressfamily",
    "batchmode",
    "checkhostip",
    "compression",
    "connectionattempts",
    "connecttimeout",
    "controlmaster",
    "controlpath",
    "controlpersist",
    "enableescapecommandline",
    "escapechar",
    "exitonforwardfailure",
    "forwardagent",
    "forwardx11",
    "forwardx11timeout",
    "forwardx11trusted",
    "globalknownhostsfile",
    "hashknownhosts",
    "identityagent",
    "ipqos",
    "kbdinteractiveauthentication",
    "loglevel",
    "numberofpasswordprompts",
    "passwordauthentication",
    "requesttty",
    "sendenv",
    "serveralivecountmax",
    "serveraliveinterval",
    "setenv",
    "tcpkeepalive",
    "visualhostkey",
];

/// Reads what `text` says about the machine that the user calls `alias`; the first word on a thing counts.
pub(super) fn read(text: &str, alias: &str, home: &Path) -> HostConfig {
    let mut config = HostConfig::default();
    let mut applies = true;
    for line in text.lines() {
        let Some((keyword, rest)) = keyword_and_rest(line) else { continue };
        let words = words(rest);
        match keyword.as_str() {
            "host" => applies = is_meant(&words, alias),
            // Whether it applies is for `ssh` to find out.
            "match" => {
                applies = false;
                config.needs(&keyword);
            }
            _ if applies => config.take(&keyword, &words, home),
            _ => {}
        }
    }
    if let Some(name) = &mut config.host_name {
        *name = name.replace("%h", alias).replace("%%", "%");
    }
    config
}

impl HostConfig {
    fn needs(&mut self, keyword: &str) {
        self.beyond.get_or_insert_with(|| keyword.to_owned());
    }

    fn take(&mut self, keyword: &str, words: &[String], home: &Path) {
        let Some(first) = words.first() else { return };
        match keyword {
            "hostname" => {
                self.host_name.get_or_insert_with(|| first.clone());
            }
            "user" => {
                self.user.get_or_insert_with(|| first.clone());
            }
            "port" => match first.parse() {
                Ok(port) => drop(self.port.get_or_insert(port)),
                Err(_) => self.needs(keyword),
            },
            "identityfile" => match expand(first, home) {
                Some(path) => self.identity_files.push(path),
                None => self.needs(keyword),
            },
            "userknownhostsfile" if self.known_hosts.is_empty() => {
                for word in words {
                    match expand(word, home) {
                        Some(path) => self.known_hosts.push(path),
                        None => self.needs(keyword),
                    }
                }
            }
            "identitiesonly" => self.identities_only |= first.eq_ignore_ascii_case("yes"),
            // Looser than the built-in client is; that one stays strict.
            "stricthostkeychecking" | "userknownhostsfile" | "preferredauthentications" => {}
            "pubkeyauthentication" if first.eq_ignore_ascii_case("yes") => {}
            _ if HARMLESS.contains(&keyword) => {}
            _ => self.needs(keyword),
        }
    }
}

/// `Keyword value` or `Keyword = value`; keywords do not depend on case.
fn keyword_and_rest(line: &str) -> Option<(String, &str)> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return None;
    }
    let end = line.find(|c: char| c.is_whitespace() || c == '=').unwrap_or(line.len());
    let rest = line[end..].trim_start();
    let rest = rest.strip_prefix('=').unwrap_or(rest);
    Some((line[..end].to_lowercase(), rest.trim()))
}

/// Words, with double quotes around those that have spaces.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let (word, after) = match rest.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').unwrap_or((quoted, "")),
            None => rest.split_at(rest.find(char::is_whitespace).unwrap_or(rest.len())),
        };
        words.push(word.to_owned());
        rest = after.trim_start();
    }
    words
}

fn is_meant(patterns: &[String], alias: &str) -> bool {
    let alias = alias.to_lowercase();
    let matches = |pattern: &str| matches_pattern(&pattern.to_lowercase(), &alias);
    let denied = patterns.iter().filter_map(|p| p.strip_prefix('!')).any(matches);
    !denied && patterns.iter().filter(|p| !p.starts_with('!')).any(|p| matches(p))
}

/// A path with `~` or `%d` for the home directory; `None` with any other `%`.
fn expand(word: &str, home: &Path) -> Option<PathBuf> {
    let rest = word.strip_prefix("~/").or_else(|| word.strip_prefix("%d/"));
    let path = match rest {
        Some(rest) => home.join(rest),
        None if word.starts_with('/') => PathBuf::from(word),
        None => home.join(".ssh").join(word),
    };
    (!word.contains('~') || rest.is_some())
        .then_some(path)
        .filter(|_| !rest.unwrap_or(word).contains('%'))
}
