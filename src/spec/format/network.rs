//! Addresses, networks, URLs.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::names::is_domain;
use super::{Format, FormatInfo, all_of};
use crate::spec::ssh_address::SshAddress;

pub(super) const ADDRESS: FormatInfo = FormatInfo {
    name: "address",
    what: "an IP address",
    expected: "an IPv4 or IPv6 address",
    example: "192.0.2.10",
    takes: |text| text.parse::<IpAddr>().is_ok(),
};

pub(super) const NETWORK: FormatInfo = FormatInfo {
    name: "network",
    what: "a network",
    expected: "an address, `/` and the prefix length, with no bit set after the prefix",
    example: "192.0.2.0/24",
    takes: |text| split_prefix(text).is_some_and(|(address, bits)| mask(address, bits) == address),
};

pub(super) const INTERFACE_ADDRESS: FormatInfo = FormatInfo {
    name: "interface-address",
    what: "an address with prefix length",
    expected: "an IPv4 or IPv6 address, `/` and the prefix length",
    example: "192.0.2.10/24",
    takes: |text| split_prefix(text).is_some(),
};

pub(super) const ENDPOINT: FormatInfo = FormatInfo {
    name: "endpoint",
    what: "an address and port",
    expected: "`ADDRESS:PORT`, or `[ADDRESS]:PORT` for IPv6",
    example: "127.0.0.1:8080",
    takes: |text| text.parse::<SocketAddr>().is_ok_and(|endpoint| endpoint.port() != 0),
};

/// Source: `dev_valid_name` of Linux (15 bytes), fnmatch patterns as in systemd.network(5).
pub(super) const INTERFACE_PATTERN: FormatInfo = FormatInfo {
    name: "interface-pattern",
    what: "a pattern of interface names",
    expected: "1 to 15 of `A-Za-z0-9_.-`, `*` and `?`",
    example: "en*",
    takes: |text| all_of(text, 15, |c| c.is_ascii_alphanumeric() || b"_.-*?".contains(&c)),
};

pub(super) const MAC: FormatInfo = FormatInfo {
    name: "mac",
    what: "a hardware address",
    expected: "six pairs of `0-9a-f` with `:` between",
    example: "52:54:00:12:34:56",
    takes: |text| {
        let pair = |part: &str| part.len() == 2 && part.bytes().all(is_lower_hex);
        text.split(':').count() == 6 && text.split(':').all(pair)
    },
};

/// The part of RFC 3986 that a mirror or a health check needs: no user, no fragment, and none of
/// the characters that configuration languages give a meaning to.
pub(super) const URL: FormatInfo = FormatInfo {
    name: "url",
    what: "a URL",
    expected: "`http://` or `https://`, a domain or address, perhaps a port and a path",
    example: "https://www.example.org/health",
    takes: is_url,
};

/// See [`SshAddress`].
pub(super) const SSH_ADDRESS: FormatInfo = FormatInfo {
    name: "ssh-address",
    what: "an address for SSH",
    expected: "`[USER@]HOST[:PORT]`; an IPv6 address with a port stands in brackets",
    example: "root@192.0.2.10",
    takes: |text| text.parse::<SshAddress>().is_ok(),
};

/// A text near to `text` that may have the form; the caller checks it.
pub(super) fn suggestion(format: Format, text: &str) -> Option<String> {
    match format {
        Format::Network => {
            let whole = text.parse::<IpAddr>().ok();
            let (address, bits) = match whole {
                Some(address) => (address, if address.is_ipv4() { 32 } else { 128 }),
                None => split_prefix(text)?,
            };
            Some(format!("{}/{bits}", mask(address, bits)))
        }
        Format::Endpoint => {
            let port = text.rsplit(':').next().unwrap_or_default();
            Some(format!("127.0.0.1:{port}"))
        }
        Format::Mac => Some(text.to_lowercase().replace('-', ":")),
        Format::Url => Some(format!("https://{text}")),
        _ => None,
    }
}

fn is_lower_hex(byte: u8) -> bool {
    byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte)
}

fn split_prefix(text: &str) -> Option<(IpAddr, u8)> {
    let (address, bits) = text.split_once('/')?;
    let address: IpAddr = address.parse().ok()?;
    let plain = bits.bytes().all(|byte| byte.is_ascii_digit()) && !bits.starts_with("00");
    let bits: u8 = bits.parse().ok().filter(|_| plain)?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    (bits <= most).then_some((address, bits))
}

fn mask(address: IpAddr, bits: u8) -> IpAddr {
    match address {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0);
            IpAddr::V4((address.to_bits() & mask).into())
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0);
            IpAddr::V6((address.to_bits() & mask).into())
        }
    }
}

fn is_url(text: &str) -> bool {
    let Some(rest) = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://")) else {
        return false;
    };
    let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let path_byte = |c: u8| c.is_ascii_alphanumeric() || b"-._~/?=&%+:@,".contains(&c);
    text.len() <= 2048 && is_authority(authority) && path.bytes().all(path_byte)
}

fn is_authority(text: &str) -> bool {
    let bracketed = text.strip_prefix('[').and_then(|rest| rest.split_once(']'));
    let (host, port) = bracketed.unwrap_or(text.split_at(text.find(':').unwrap_or(text.len())));
    let host_is_good = match bracketed {
        Some(_) => host.parse::<Ipv6Addr>().is_ok(),
        None => host.parse::<Ipv4Addr>().is_ok() || is_domain(host),
    };
    let number = port.strip_prefix(':').map(str::parse::<u16>);
    host_is_good && (port.is_empty() || number.is_some_and(|port| port.is_ok_and(|port| port != 0)))
}
