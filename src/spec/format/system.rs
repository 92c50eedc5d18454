//! What Debian's base system and the kernel give names to: zones, locales, keys, capabilities.

use super::{FormatInfo, all_of};

/// The zones of Debian 13's `tzdata` (2026c-0+deb13u1), without `Factory`, one a line, sorted.
const ZONES: &str = include_str!("zones.txt");

/// Source: sshd(8), "Authorized keys file format"; the blob begins with its own type (RFC 4253,
/// section 6.6). Options in front of the type are not taken.
pub(super) const SSH_KEY: FormatInfo = FormatInfo {
    name: "ssh-key",
    what: "a public SSH key",
    expected: "a line of a `.pub` file: type, key in base 64, perhaps a comment",
    example: "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f me@laptop",
    takes: is_ssh_key,
};

pub(super) const TIME_ZONE: FormatInfo = FormatInfo {
    name: "time-zone",
    what: "a time zone",
    expected: "`UTC` or `Area/City` as Debian's tzdata has it",
    example: "Europe/Berlin",
    takes: is_zone,
};

/// Source: `/usr/share/i18n/SUPPORTED` of Debian 13, its UTF-8 part; other encodings are not offered.
pub(super) const LOCALE: FormatInfo = FormatInfo {
    name: "locale",
    what: "a locale",
    expected: "`C.UTF-8` or `ll_CC.UTF-8`",
    example: "de_DE.UTF-8",
    takes: is_locale,
};

/// Source: capabilities(7); the names are many and grow, so only the shape is checked.
pub(super) const CAPABILITY: FormatInfo = FormatInfo {
    name: "capability",
    what: "a capability",
    expected: "`CAP_` and upper-case words",
    example: "CAP_NET_BIND_SERVICE",
    takes: |text| {
        all_of(text, 40, |c| c.is_ascii_uppercase() || c == b'_')
            && text.strip_prefix("CAP_").is_some_and(|rest| !rest.is_empty())
    },
};

/// Source: systemd.exec(5), `SystemCallFilter=`.
pub(super) const SYSTEM_CALLS: FormatInfo = FormatInfo {
    name: "system-calls",
    what: "a system call or a set of them",
    expected: "the name of a system call, or `@set`",
    example: "@system-service",
    takes: |text| {
        let name = text.strip_prefix('@').unwrap_or(text);
        all_of(name, 64, |c| c.is_ascii_lowercase() || c.is_ascii_digit() || b"_-".contains(&c))
    },
};

/// Source: sysctl.d(5): parts with `.` or `/` between.
pub(super) const SYSCTL_KEY: FormatInfo = FormatInfo {
    name: "sysctl-key",
    what: "a kernel parameter",
    expected: "parts of `A-Za-z0-9_-` with `.` or `/` between",
    example: "net.ipv4.ip_forward",
    takes: |text| {
        let part =
            |part: &str| all_of(part, 64, |c| c.is_ascii_alphanumeric() || b"_-".contains(&c));
        text.len() <= 255 && text.contains(['.', '/']) && text.split(['.', '/']).all(part)
    },
};

/// Types that sshd of Debian 13 accepts by default. Source: `sshd_config(5)`,
/// `PubkeyAcceptedAlgorithms`, without certificates.
const KEY_TYPES: &[&str] = &[
    "ssh-ed25519",
    "sk-ssh-ed25519@openssh.com",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ecdsa-sha2-nistp256@openssh.com",
    "ssh-rsa",
];

pub(super) fn is_zone(text: &str) -> bool {
    ZONES.lines().any(|zone| zone == text)
}

/// The zone with this spelling error, or the one zone of this city.
pub(super) fn zone_suggestion(text: &str) -> Option<String> {
    let city = text.rsplit('/').next().unwrap_or_default().replace(' ', "_").to_lowercase();
    let of_city = |zone: &&str| zone.to_lowercase().rsplit('/').next() == Some(city.as_str());
    let by_city = ZONES.lines().find(of_city);
    by_city.or_else(|| crate::diag::closest(text, ZONES.lines())).map(str::to_owned)
}

/// `de_DE`, `de-DE.utf8` → `de_DE.UTF-8`.
pub(super) fn locale_suggestion(text: &str) -> Option<String> {
    let name = text.split('.').next().unwrap_or_default().replace('-', "_");
    let (language, country) = name.split_once('_')?;
    Some(format!("{}_{}.UTF-8", language.to_lowercase(), country.to_uppercase()))
}

fn is_locale(text: &str) -> bool {
    let Some((name, encoding)) = text.split_once('.') else {
        return false;
    };
    let (encoding, modifier) = encoding.split_once('@').unwrap_or((encoding, "euro"));
    let lower = |c: u8| c.is_ascii_lowercase();
    let name_is_good = match name.split_once('_') {
        Some((language, country)) => {
            (2..=3).contains(&language.len())
                && all_of(language, 3, lower)
                && country.len() == 2
                && all_of(country, 2, |c| c.is_ascii_uppercase())
        }
        None => ["C", "eo", "syr", "tok"].contains(&name),
    };
    name_is_good && encoding == "UTF-8" && all_of(modifier, 16, lower)
}

fn is_ssh_key(text: &str) -> bool {
    let mut words = text.splitn(3, ' ');
    let (Some(kind), Some(base64)) = (words.next(), words.next()) else {
        return false;
    };
    let comment = words.next().unwrap_or_default();
    let comment_is_good = comment.len() <= 512 && !comment.chars().any(char::is_control);
    let blob = decode_base64(base64).unwrap_or_default();
    KEY_TYPES.contains(&kind) && comment_is_good && blob_is_of(kind, &blob)
}

/// Whether `blob` consists of length-prefixed fields, the first of which is `kind`, and has the
/// size of its kind.
fn blob_is_of(kind: &str, blob: &[u8]) -> bool {
    let mut fields = Vec::new();
    let mut rest = blob;
    while let Some((length, after)) = rest.split_first_chunk::<4>() {
        let Ok(length) = usize::try_from(u32::from_be_bytes(*length)) else { return false };
        let Some((field, after)) = after.split_at_checked(length) else { return false };
        fields.push(field);
        rest = after;
    }
    let whole = rest.is_empty() && fields.first() == Some(&kind.as_bytes());
    let size = |index: usize| fields.get(index).map_or(0, |field| field.len());
    match kind {
        "ssh-ed25519" => whole && fields.len() == 2 && size(1) == 32,
        "sk-ssh-ed25519@openssh.com" => whole && fields.len() == 3 && size(1) == 32,
        // Exponent and modulus; 2048 bits is what Debian's sshd asks for (RequiredRSASize is less).
        "ssh-rsa" => whole && fields.len() == 3 && (256..=2049).contains(&size(2)),
        _ => whole && fields.len() >= 3 && size(2) >= 65,
    }
}

/// Decodes base 64 with padding (RFC 4648, section 4).
fn decode_base64(text: &str) -> Option<Vec<u8>> {
    if text.is_empty() || text.len() > 8192 || !text.len().is_multiple_of(4) {
        return None;
    }
    let digits = text.strip_suffix("==").or_else(|| text.strip_suffix('=')).unwrap_or(text);
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    for group in digits.as_bytes().chunks(4) {
        let mut buffer = 0;
        for digit in group {
            buffer = buffer << 6 | sextet(*digit)?;
        }
        let missing = 4 - group.len();
        let [_, decoded @ ..] = (buffer << (6 * missing)).to_be_bytes();
        bytes.extend_from_slice(&decoded[..3_usize.saturating_sub(missing)]);
    }
    Some(bytes)
}

fn sextet(digit: u8) -> Option<u32> {
    let value = match digit {
        b'A'..=b'Z' => digit - b'A',
        b'a'..=b'z' => digit - b'a' + 26,
        b'0'..=b'9' => digit - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    };
    Some(value.into())
}
