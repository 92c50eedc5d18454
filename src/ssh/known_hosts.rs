//! `known_hosts`: which keys are known for which machines. Form: sshd(8), "`SSH_KNOWN_HOSTS` FILE FORMAT".

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use hmac::{Hmac, Mac as _};
use sha1::Sha1;
use sha2::{Digest as _, Sha256};

/// The port that is not written.
const USUAL_PORT: u16 = 22;

/// A public key of a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostKey {
    blob: Vec<u8>,
}

impl HostKey {
    /// From its bytes as they go over the line (RFC 4253, section 6.6).
    pub fn from_blob(blob: &[u8]) -> Self {
        Self { blob: blob.to_owned() }
    }

    /// From `ssh-ed25519 AAAA… comment`.
    pub fn from_text(text: &str) -> Option<Self> {
        let mut words = text.split_ascii_whitespace();
        let (kind, blob) = (words.next()?, words.next()?);
        let key = Self { blob: STANDARD.decode(blob).ok()? };
        (key.kind() == kind).then_some(key)
    }

    /// Its type, such as `ssh-ed25519`; `?` when its bytes are none.
    pub fn kind(&self) -> &str {
        let name = || {
            let (length, rest) = self.blob.split_first_chunk::<4>()?;
            let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
            std::str::from_utf8(rest.get(..length)?).ok()
        };
        name().filter(|name| name.bytes().all(|c| c.is_ascii_graphic())).unwrap_or("?")
    }

    /// As `ssh-keygen -l` shows it: `SHA256:…`.
    pub fn fingerprint(&self) -> String {
        format!("SHA256:{}", STANDARD_NO_PAD.encode(Sha256::digest(&self.blob)))
    }
}

impl fmt::Display for HostKey {
    /// As a line of a public key file, without comment.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind(), STANDARD.encode(&self.blob))
    }
}

/// Keys of known machines, and where each stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KnownHosts {
    entries: Vec<Entry>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    names: String,
    revoked: bool,
    key: HostKey,
    stands: String,
}

/// What is known about a key that a machine showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is the machine's.
    Known,
    /// Nothing is known about the machine.
    Unknown,
    /// The machine has another one, which stands at the place named.
    Other(String),
}

impl KnownHosts {
    /// Adds the lines of a file; lines that are none are passed over, as `ssh` does.
    pub fn read(&mut self, text: &str, file: &str) {
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            let (marker, rest) = match line.strip_prefix('@') {
                None => ("", line),
                Some(line) => line.split_once(char::is_whitespace).unwrap_or((line, "")),
            };
            // A certificate authority is not a machine's key.
            if line.is_empty() || line.starts_with('#') || !matches!(marker, "" | "revoked") {
                continue;
            }
            let Some((names, key)) = rest.trim_start().split_once(char::is_whitespace) else {
                continue;
            };
            let Some(key) = HostKey::from_text(key) else { continue };
            let stands = format!("{file}, line {}", index + 1);
            let revoked = marker == "revoked";
            self.entries.push(Entry { names: names.to_owned(), revoked, key, stands });
        }
    }

    /// What is known about `key` of the machine `host` at `port`.
    pub fn judge(&self, host: &str, port: u16, key: &HostKey) -> Verdict {
        let name = name_of(host, port);
        let entries = || self.entries.iter().filter(|entry| matches(&entry.names, &name));
        if let Some(revoked) = entries().find(|entry| entry.revoked && entry.key == *key) {
            return Verdict::Other(format!("revoked in {}", revoked.stands));
        }
        let valid = || entries().filter(|entry| !entry.revoked);
        if valid().any(|entry| entry.key == *key) {
            return Verdict::Known;
        }
        match valid().next() {
            None => Verdict::Unknown,
            Some(other) => Verdict::Other(other.stands.clone()),
        }
    }

    /// Types of the keys that are known for a machine, so that it is asked for one of these.
    pub fn kinds(&self, host: &str, port: u16) -> Vec<&str> {
        let name = name_of(host, port);
        let known = self.entries.iter().filter(|e| !e.revoked && matches(&e.names, &name));
        let mut kinds: Vec<&str> = known.map(|entry| entry.key.kind()).collect();
        kinds.sort_unstable();
        kinds.dedup();
        kinds
    }
}

/// How a machine is written: the port only when it is not the usual one.
pub(super) fn name_of(host: &str, port: u16) -> String {
    let host = host.to_lowercase();
    if port == USUAL_PORT { host } else { format!("[{host}]:{port}") }
}

fn matches(names: &str, name: &str) -> bool {
    if names.starts_with("|1|") {
        return matches_hash(names, name);
    }
    let mut found = false;
    for pattern in names.split(',') {
        let (negated, pattern) = match pattern.strip_prefix('!') {
            Some(pattern) => (true, pattern),
            None => (false, pattern),
        };
        if matches_pattern(&pattern.to_lowercase(), name) {
            if negated {
                return false;
            }
            found = true;
        }
    }
    found
}

fn matches_hash(names: &str, name: &str) -> bool {
    let mut parts = names.split('|').skip(2);
    let decoded = |part: Option<&str>| part.and_then(|part| STANDARD.decode(part).ok());
    let (Some(salt), Some(hash)) = (decoded(parts.next()), decoded(parts.next())) else {
        return false;
    };
    let Ok(mut hmac) = Hmac::<Sha1>::new_from_slice(&salt) else { return false };
    hmac.update(name.as_bytes());
    hmac.verify_slice(&hash).is_ok()
}

/// `*` stands for any text, `?` for one character; at most as many steps as both lengths multiplied.
pub(super) fn matches_pattern(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut p, mut t) = (0, 0);
    let mut star = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(c) if *c == b'?' || *c == text[t] => {
                p += 1;
                t += 1;
            }
            _ => {
                let Some((at, from)) = star else { return false };
                star = Some((at, from + 1));
                p = at + 1;
                t = from + 1;
            }
        }
    }
    pattern[p..].iter().all(|c| *c == b'*')
}
