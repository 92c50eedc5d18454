//! Mirrors of Debian: their choice, and the machine's own as its apt sources name it.
//!
//! Source: `sources.list(5)` of apt, one-line and deb822 style.

use super::url::{Scheme, Url};

/// The public default for Debian; the security archive is its sibling `debian-security`.
pub const DEFAULT_MIRROR: &str = "https://mirrors.kernel.org/debian";
/// What the sibling that holds the security archive adds to a mirror's address.
const SECURITY_SUFFIX: &str = "-security";

/// Suites that Debian's own archive has, without `-updates` and the like.
const DEBIAN_SUITES: [&str; 12] = [
    "oldoldstable",
    "oldstable",
    "stable",
    "testing",
    "unstable",
    "sid",
    "buster",
    "bullseye",
    "bookworm",
    "trixie",
    "forky",
    "duke",
];

/// Where Debian is fetched from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mirrors {
    /// The archive with `dists/trixie` and `dists/trixie-updates`.
    pub debian: Url,
    /// The archive with `dists/trixie-security`.
    pub security: Url,
}

/// A text that apt reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AptText<'a> {
    /// A `.list` file: one source a line.
    List(&'a str),
    /// A `.sources` file: one source a paragraph.
    Sources(&'a str),
}

/// A `deb` entry of apt's sources.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Entry {
    uris: Vec<String>,
    suites: Vec<String>,
    components: Vec<String>,
    signed_by: Option<String>,
}

impl Mirrors {
    /// The mirror at `debian` and its sibling for security.
    pub fn siblings(debian: Url) -> Self {
        let security = debian.with_suffix(SECURITY_SUFFIX);
        Self { debian, security }
    }

    /// The public default.
    pub fn public() -> Self {
        Self::siblings(DEFAULT_MIRROR.parse().expect("a test parses the default mirror"))
    }

    /// The mirrors that a machine's apt uses for Debian; `None` when it has none, as on Ubuntu.
    ///
    /// `texts` are in apt's order: `sources.list`, then `sources.list.d` by name; the first entry
    /// that fits counts. An entry fits when it has component `main` of a suite of Debian, an address
    /// that ends in `debian` or is the security archive's, and no key but Debian's; so the
    /// repositories of third parties for Debian do not. Without an entry for security, the sibling
    /// of the mirror is taken.
    pub fn of_machine(texts: &[AptText<'_>]) -> Option<Self> {
        let entries: Vec<Entry> = texts.iter().flat_map(AptText::entries).collect();
        let first = |fits: fn(&Url, &str) -> bool| entries.iter().find_map(|entry| entry.uri(fits));
        let debian = first(is_main_archive)?;
        let security = first(is_security_archive);
        Some(match security {
            Some(security) => Self { debian, security },
            None => Self::siblings(debian),
        })
    }
}

impl AptText<'_> {
    fn entries(&self) -> Vec<Entry> {
        match self {
            AptText::List(text) => text.lines().filter_map(entry_of_line).collect(),
            AptText::Sources(text) => {
                let text = text.replace("\r\n", "\n");
                text.split("\n\n").flat_map(paragraphs).filter_map(|p| entry_of(&p)).collect()
            }
        }
    }
}

impl Entry {
    /// The first address for which `fits(address, suite)` holds.
    fn uri(&self, fits: fn(&Url, &str) -> bool) -> Option<Url> {
        let has_main = self.components.iter().any(|component| component == "main");
        let keys = self.signed_by.as_deref().unwrap_or("debian-archive");
        if !has_main || !keys.contains("debian-archive") {
            return None;
        }
        let uris = self.uris.iter().filter_map(|uri| uri.parse().ok());
        uris.into_iter().find(|uri| self.suites.iter().any(|suite| fits(uri, suite)))
    }
}

fn is_main_archive(uri: &Url, suite: &str) -> bool {
    DEBIAN_SUITES.contains(&suite) && uri.last_segment() == "debian"
}

/// `trixie-security`, and `buster/updates` as it was called before.
fn is_security_archive(uri: &Url, suite: &str) -> bool {
    let base = suite.strip_suffix("-security").or_else(|| suite.strip_suffix("/updates"));
    let is_known = base.is_some_and(|base| DEBIAN_SUITES.contains(&base));
    let is_host = uri.scheme() != Scheme::File && uri.host() == "security.debian.org";
    is_known && (uri.last_segment() == "debian-security" || is_host)
}

/// `deb [option=value …] uri suite component…`
fn entry_of_line(line: &str) -> Option<Entry> {
    let line = line.split('#').next().unwrap_or("").trim();
    let rest = line.strip_prefix("deb")?;
    let rest = rest.strip_prefix([' ', '\t', '['].as_slice()).map(|_| rest.trim_start())?;
    let (options, rest) = match rest.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?,
        None => ("", rest),
    };
    let signed_by = options.split_ascii_whitespace().find_map(|option| {
        option.split_once('=').filter(|(name, _)| name.eq_ignore_ascii_case("signed-by"))
    });
    let mut words = rest.split_ascii_whitespace().map(str::to_owned);
    Some(Entry {
        uris: vec![words.next()?],
        suites: vec![words.next()?],
        components: words.collect(),
        signed_by: signed_by.map(|(_, value)| value.to_owned()),
    })
}

/// A paragraph may still begin with an empty line of blanks; comments are dropped.
fn paragraphs(text: &str) -> Vec<Vec<&str>> {
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    let parts = lines.split(|line| line.trim().is_empty());
    parts.filter(|part| !part.is_empty()).map(<[&str]>::to_vec).collect()
}

fn entry_of(lines: &[&str]) -> Option<Entry> {
    let mut entry = Entry::default();
    let (mut is_deb, mut is_enabled) = (false, true);
    let mut field = String::new();
    for line in lines {
        let value = if line.starts_with([' ', '\t']) {
            line.trim()
        } else {
            let (name, value) = line.split_once(':')?;
            field = name.trim().to_ascii_lowercase();
            value.trim()
        };
        let words = || value.split_ascii_whitespace().map(str::to_owned);
        match field.as_str() {
            "types" => is_deb |= words().any(|word| word == "deb"),
            "enabled" => is_enabled = !matches!(value, "no" | "false" | "0" | "off" | "without"),
            "uris" => entry.uris.extend(words()),
            "suites" => entry.suites.extend(words()),
            "components" => entry.components.extend(words()),
            // An embedded key has many lines; the first is enough to know that it is none of Debian's files.
            "signed-by" if entry.signed_by.is_none() => entry.signed_by = Some(value.to_owned()),
            _ => {}
        }
    }
    (is_deb && is_enabled).then_some(entry)
}

#[cfg(test)]
mod tests;
