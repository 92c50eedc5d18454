//! Addresses of repositories and their files: `http`, `https` and `file`, parsed once, shown without credentials.

use std::ffi::OsString;
use std::fmt;
use std::os::unix::ffi::OsStringExt as _;
use std::path::PathBuf;
use std::str::FromStr;

use thiserror::Error;

/// The longest address taken; longer ones come from an attack or a mistake.
const URL_BYTES_MAX: usize = 4096;

/// An absolute address.
///
/// Shape: `scheme://[user:password@]host[:port]/path[?query]`; `file` has neither credentials nor
/// host. The path is kept percent-encoded, as it goes over the wire. Equality and order include
/// the credentials; `Display` and `Debug` never show them.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Url {
    scheme: Scheme,
    /// `user:password`, percent-encoded.
    credentials: Option<String>,
    /// Host with port; empty for `file`.
    authority: String,
    /// Starts with `/`; may end with a query if it came from a redirect.
    path: String,
}

/// How an address is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scheme {
    /// Over the network in the clear.
    Http,
    /// Over the network, encrypted.
    Https,
    /// A file of this machine.
    File,
}

/// Text that is not an address we can use.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum UrlError {
    /// The scheme is unknown or there is none.
    #[error("`{text}` does not start with `https://`, `http://` or `file:///`")]
    Scheme {
        /// What was found, shortened.
        text: String,
    },
    /// Host, port or credentials are malformed.
    #[error("`{text}` has no valid host")]
    Host {
        /// The address without its credentials, shortened.
        text: String,
    },
    /// A character that an address cannot hold, or a query where none belongs.
    #[error("`{text}` holds {what}")]
    Character {
        /// The address without its credentials, shortened.
        text: String,
        /// What is wrong, such as `a space or control character`.
        what: &'static str,
    },
    /// A redirect that gives up encryption, or reaches for a file of this machine.
    #[error("`{text}` must not follow on {from}")]
    Redirect {
        /// Where it leads, without credentials, shortened.
        text: String,
        /// The scheme that it comes from.
        from: &'static str,
    },
    /// A path inside a repository that leaves it.
    #[error("`{path}` is not a path inside a repository")]
    Path {
        /// The path, shortened.
        path: String,
    },
}

impl Scheme {
    /// `http`, `https` or `file`.
    pub fn name(self) -> &'static str {
        match self {
            Scheme::Http => "http",
            Scheme::Https => "https",
            Scheme::File => "file",
        }
    }
}

impl Url {
    /// How the address is reached.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// Host with port, empty for `file`.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// The host without port; an IPv6 address keeps its brackets.
    pub fn host(&self) -> &str {
        match self.authority.rfind(':') {
            Some(colon) if !self.authority[colon..].contains(']') => &self.authority[..colon],
            _ => &self.authority,
        }
    }

    /// User and password with their percent-encoding undone.
    pub fn credentials(&self) -> Option<(Vec<u8>, Vec<u8>)> {
        let text = self.credentials.as_deref()?;
        let (user, password) = text.split_once(':').unwrap_or((text, ""));
        Some((percent_decoded(user), percent_decoded(password)))
    }

    /// The whole address, without credentials.
    pub fn request_text(&self) -> String {
        format!("{}://{}{}", self.scheme.name(), self.authority, self.path)
    }

    /// The last segment of the path, for reading; empty for the root.
    pub fn last_segment(&self) -> &str {
        self.path.trim_end_matches('/').rsplit('/').next().unwrap_or("")
    }

    /// The file of this machine that a `file` address names.
    pub fn local_path(&self) -> Option<PathBuf> {
        let path = || PathBuf::from(OsString::from_vec(percent_decoded(&self.path)));
        (self.scheme == Scheme::File).then(path)
    }

    /// The address of `relative`, a path below this one as an index or Release file writes it.
    ///
    /// `.` segments are dropped. Bytes that some servers misread are percent-encoded, `+` among
    /// them, as apt does.
    ///
    /// # Errors
    ///
    /// [`UrlError::Path`] when it is empty, absolute, leaves the repository or holds control characters.
    pub fn join(&self, relative: &str) -> Result<Self, UrlError> {
        let fail = || UrlError::Path { path: shortened(relative) };
        let bad = relative.starts_with('/') || relative.chars().any(char::is_control);
        if bad || relative.len() > URL_BYTES_MAX {
            return Err(fail());
        }
        let mut url = self.clone();
        url.path.truncate(url.path.trim_end_matches('/').len());
        let before = url.path.len();
        for segment in relative.split('/').filter(|segment| !matches!(*segment, "" | ".")) {
            if segment == ".." {
                return Err(fail());
            }
            url.path.push('/');
            percent_encode(segment, &mut url.path);
        }
        if url.path.len() == before { Err(fail()) } else { Ok(url) }
    }

    /// The same address with `suffix` at the end of its last segment: `…/debian` → `…/debian-security`.
    #[must_use]
    pub fn with_suffix(&self, suffix: &str) -> Self {
        let mut url = self.clone();
        url.path.truncate(url.path.trim_end_matches('/').len());
        percent_encode(suffix, &mut url.path);
        url
    }

    /// Where a server's `Location` header leads: an absolute address, `//host/path`, or a path.
    ///
    /// Credentials do not travel along.
    ///
    /// # Errors
    ///
    /// The address is malformed, names a file of this machine, or goes from `https` to `http`.
    pub fn redirected(&self, location: &str) -> Result<Self, UrlError> {
        let location = location.split('#').next().unwrap_or("");
        let target = if location.starts_with("//") {
            Self::parse(&format!("{}:{location}", self.scheme.name()))?
        } else if location.starts_with('/') {
            Self::parse(&format!("{}://{}{location}", self.scheme.name(), self.authority))?
        } else if location.contains("://") {
            Self::parse(location)?
        } else {
            let directory = self.path.rsplit_once('/').map_or("", |(directory, _)| directory);
            let authority = &self.authority;
            Self::parse(&format!("{}://{authority}{directory}/{location}", self.scheme.name()))?
        };
        let downgrade = self.scheme == Scheme::Https && target.scheme == Scheme::Http;
        if downgrade || target.scheme == Scheme::File {
            let text = shortened(&target.request_text());
            return Err(UrlError::Redirect { text, from: self.scheme.name() });
        }
        Ok(Self { credentials: None, ..target })
    }

    fn parse(text: &str) -> Result<Self, UrlError> {
        let (scheme, rest) = [Scheme::Https, Scheme::Http, Scheme::File]
            .into_iter()
            .find_map(|scheme| {
                let rest = strip_prefix_ignoring_case(text, scheme.name())?;
                Some((scheme, rest.strip_prefix("://").or_else(|| local_form(scheme, rest))?))
            })
            .ok_or_else(|| UrlError::Scheme { text: shortened(&without_credentials(text)) })?;
        let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        let (credentials, authority) = match authority.rsplit_once('@') {
            Some((credentials, authority)) => (Some(credentials.to_owned()), authority),
            None => (None, authority),
        };
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        let url = Self { scheme, credentials, authority: authority.to_ascii_lowercase(), path };
        url.check_characters()?;
        url.check_authority()?;
        Ok(url)
    }

    fn check_characters(&self) -> Result<(), UrlError> {
        let text = self.request_text();
        let credentials = self.credentials.as_deref().unwrap_or("");
        let what = if text.len() + credentials.len() > URL_BYTES_MAX {
            "more than 4096 bytes"
        } else if !text.bytes().chain(credentials.bytes()).all(|byte| byte.is_ascii_graphic()) {
            "a space, a control character or one that is not ASCII"
        } else if text.contains('#') {
            "a `#`"
        } else {
            return Ok(());
        };
        Err(UrlError::Character { text: shortened(&text), what })
    }

    fn check_authority(&self) -> Result<(), UrlError> {
        let host = self.host();
        let port = self.authority[host.len()..].strip_prefix(':');
        let port_is_valid = port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0));
        let name = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
        let address = |c: char| c.is_ascii_hexdigit() || ":.".contains(c);
        let host_is_valid = match host.strip_prefix('[') {
            Some(v6) => v6.strip_suffix(']').is_some_and(|v6| v6.chars().all(address)),
            None => host.chars().all(name),
        };
        let is_local = self.scheme == Scheme::File;
        let is_right = if is_local {
            self.authority.is_empty() && self.credentials.is_none()
        } else {
            !host.is_empty() && host_is_valid && port_is_valid
        };
        if is_right {
            Ok(())
        } else {
            Err(UrlError::Host { text: shortened(&self.request_text()) })
        }
    }
}

impl FromStr for Url {
    type Err = UrlError;

    /// Reads the address of a repository; a query is refused, because paths are put behind it.
    fn from_str(text: &str) -> Result<Self, UrlError> {
        let url = Self::parse(text)?;
        if url.path.contains('?') {
            let text = shortened(&url.request_text());
            return Err(UrlError::Character { text, what: "a `?`" });
        }
        Ok(url)
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.request_text())
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Url({self})")
    }
}

/// apt also writes `file:/path`.
fn local_form(scheme: Scheme, rest: &str) -> Option<&str> {
    (scheme == Scheme::File).then(|| rest.strip_prefix(':'))?.filter(|rest| rest.starts_with('/'))
}

fn strip_prefix_ignoring_case<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let head = text.get(..prefix.len())?;
    head.eq_ignore_ascii_case(prefix).then(|| &text[prefix.len()..])
}

/// Text that failed to parse may still hold a password.
fn without_credentials(text: &str) -> String {
    match text.rsplit_once('@') {
        Some((_, rest)) => format!("…@{rest}"),
        None => text.to_owned(),
    }
}

fn shortened(text: &str) -> String {
    const CHARACTERS_MAX: usize = 120;
    let mut short: String = text.chars().take(CHARACTERS_MAX).map(visible).collect();
    if text.chars().nth(CHARACTERS_MAX).is_some() {
        short.push('…');
    }
    short
}

/// Control characters would let an address rewrite the terminal.
fn visible(c: char) -> char {
    if c.is_control() { '\u{fffd}' } else { c }
}

fn percent_encode(segment: &str, path: &mut String) {
    use fmt::Write as _;
    for byte in segment.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~:@!$&'()*,;=".contains(&byte) {
            path.push(char::from(byte));
        } else {
            write!(path, "%{byte:02X}").expect("writing to a String cannot fail");
        }
    }
}

fn percent_decoded(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut position = 0;
    while let Some(&byte) = bytes.get(position) {
        let digits = text.get(position + 1..position + 3).filter(|_| byte == b'%');
        let escaped = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        decoded.push(escaped.unwrap_or(byte));
        position += if escaped.is_some() { 3 } else { 1 };
    }
    decoded
}

#[cfg(test)]
mod tests;
