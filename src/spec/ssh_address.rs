//! Where and as whom to reach a machine over SSH: `[USER@]HOST[:PORT]`.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// Most characters of an address.
const CHARS_MAX: usize = 320;

/// A machine, as `ssh` is told it; what is not said is left to the user's configuration of SSH.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SshAddress {
    user: Option<String>,
    host: String,
    port: Option<u16>,
}

/// A text that is no address.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{}` is not an address for SSH", crate::diag::printable(text))]
pub struct SshAddressError {
    /// The text.
    pub text: String,
}

impl SshAddress {
    /// The same machine, as `user` at `port`.
    #[must_use]
    pub fn with(&self, user: Option<String>, port: u16) -> Self {
        Self { user, host: self.host.clone(), port: Some(port) }
    }

    /// The user, when said.
    pub fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// A name, an alias of `~/.ssh/config`, or an IP address without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port, when said.
    pub fn port(&self) -> Option<u16> {
        self.port
    }
}

impl FromStr for SshAddress {
    type Err = SshAddressError;

    /// Nothing that a program could take for an option or a shell for more than a word gets through.
    fn from_str(text: &str) -> Result<Self, SshAddressError> {
        let wrong = || SshAddressError { text: text.chars().take(CHARS_MAX).collect() };
        if text.len() > CHARS_MAX {
            return Err(wrong());
        }
        let (user, place) = match text.rsplit_once('@') {
            Some((user, place)) if is_user(user) => (Some(user.to_owned()), place),
            Some(_) => return Err(wrong()),
            None => (None, text),
        };
        let (host, port) = split_port(place).ok_or_else(wrong)?;
        let port = port.map(|port| port.parse().ok().filter(|port| *port != 0).ok_or_else(wrong));
        Ok(Self { user, host: host.to_owned(), port: port.transpose()? })
    }
}

impl fmt::Display for SshAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(user) = &self.user {
            write!(f, "{user}@")?;
        }
        match (self.host.contains(':'), self.port) {
            (true, Some(port)) => write!(f, "[{}]:{port}", self.host),
            (false, Some(port)) => write!(f, "{}:{port}", self.host),
            (true, None) => write!(f, "[{}]", self.host),
            (false, None) => f.write_str(&self.host),
        }
    }
}

fn is_user(text: &str) -> bool {
    let allowed = |c: u8| c.is_ascii_alphanumeric() || b"._-".contains(&c);
    (1..=64).contains(&text.len()) && !text.starts_with('-') && text.bytes().all(allowed)
}

/// Host and port of `host`, `host:port`, `[address]`, `[address]:port` or a bare IPv6 address.
fn split_port(text: &str) -> Option<(&str, Option<&str>)> {
    if let Some(rest) = text.strip_prefix('[') {
        let (address, after) = rest.split_once(']')?;
        let port = if after.is_empty() { None } else { Some(after.strip_prefix(':')?) };
        return is_ipv6(address).then_some((address, port));
    }
    if is_ipv6(text) {
        return Some((text, None));
    }
    let (host, port) = match text.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (text, None),
    };
    let allowed = |c: u8| c.is_ascii_alphanumeric() || b"._-".contains(&c);
    let good = (1..=253).contains(&host.len())
        && !host.starts_with(['-', '.'])
        && host.bytes().all(allowed);
    good.then_some((host, port))
}

fn is_ipv6(text: &str) -> bool {
    let (address, zone) = text.split_once('%').unwrap_or((text, "eth0"));
    let plain = |c: u8| c.is_ascii_alphanumeric() || b"._-".contains(&c);
    address.parse::<core::net::Ipv6Addr>().is_ok()
        && (1..=15).contains(&zone.len())
        && zone.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, user: Option<&str>, host: &str, port: Option<u16>) {
        let address: SshAddress = text.parse().unwrap();
        assert_eq!((address.user(), address.host(), address.port()), (user, host, port));
        assert_eq!(address.to_string().parse::<SshAddress>().unwrap(), address);
    }

    #[test]
    fn addresses_are_read_and_shown() {
        check("web1", None, "web1", None);
        check("root@192.0.2.1", Some("root"), "192.0.2.1", None);
        check("admin@example.org:2222", Some("admin"), "example.org", Some(2222));
        check("root@[2001:db8::1]:22", Some("root"), "2001:db8::1", Some(22));
        check("2001:db8::1", None, "2001:db8::1", None);
        check("fe80::1%eth0", None, "fe80::1%eth0", None);
    }

    #[test]
    fn nothing_else_gets_through() {
        for text in [
            "",
            "@",
            "root@",
            "-oProxyCommand=x",
            "root@-x",
            "a b",
            "a;b",
            "a:0",
            "a:65536",
            "a:",
            "[::1",
            "[::1]x",
            "[a]",
            "-x@host",
            "a@b@c",
            "$(x)",
            "a/b",
            "host\n",
            "x@[::1%]",
        ] {
            assert!(text.parse::<SshAddress>().is_err(), "{text:?}");
        }
        assert!("a".repeat(400).parse::<SshAddress>().is_err());
    }
}
