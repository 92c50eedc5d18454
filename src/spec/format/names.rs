//! Names and paths.

use super::{FormatInfo, all_of};

pub(super) const WORD: FormatInfo = FormatInfo {
    name: "word",
    what: "a single word",
    expected: "1 to 255 printable ASCII characters without white space, quotes and backslashes",
    example: "console=ttyS0",
    takes: |text| all_of(text, 255, |c| c.is_ascii_graphic() && !b"\"'`\\".contains(&c)),
};

pub(super) const SLUG: FormatInfo = FormatInfo {
    name: "slug",
    what: "a short name",
    expected: "1 to 63 of `a-z`, `0-9` and `-`, beginning with a letter or digit",
    example: "my-site",
    takes: |text| all_of(text, 63, is_label_byte) && !text.starts_with('-'),
};

/// Source: hostname(7) and RFC 1123, section 2.1; lower case because Debian's tools compare bytes.
pub(super) const HOST_NAME: FormatInfo = FormatInfo {
    name: "host-name",
    what: "a host name",
    expected: "1 to 63 of `a-z`, `0-9` and `-`, without `-` at either end",
    example: "vps1",
    takes: is_label,
};

/// Source: RFC 1035, section 2.3.4 (253 characters as text); the last label of a domain that the
/// DNS knows is never all digits (RFC 3696, section 2).
pub(super) const DOMAIN: FormatInfo = FormatInfo {
    name: "domain",
    what: "a domain",
    expected: "labels of `a-z`, `0-9` and `-` with dots between, at most 253 characters",
    example: "www.example.org",
    takes: is_domain,
};

pub(super) const PATH: FormatInfo = FormatInfo {
    name: "path",
    what: "an absolute path",
    expected: "a path that begins with `/`, without `//`, `.`, `..` and control characters",
    example: "/var/lib/app",
    takes: |text| match text.strip_prefix('/') {
        Some("") => true,
        Some(rest) => is_relative_path(rest),
        None => false,
    },
};

pub(super) const RELATIVE_PATH: FormatInfo = FormatInfo {
    name: "relative-path",
    what: "a path inside the workspace",
    expected: "a path without `/` in front, `//`, `.`, `..` and control characters",
    example: "keys/vendor.asc",
    takes: is_relative_path,
};

/// A path in the SOPS file and below `/run/secrets`.
pub(super) const SECRET_NAME: FormatInfo = FormatInfo {
    name: "secret-name",
    what: "a name of a secret",
    expected: "parts of letters, digits, `_` and `-` with `/` between, not below `sops` or `templates`",
    example: "app/token",
    takes: crate::secrets::is_secret_name,
};

pub(super) const SECRET_KIND: FormatInfo = FormatInfo {
    name: "secret-kind",
    what: "a way to make a secret",
    expected: "`hex:N`, `b64:N`, `alnum:N`, `plain:VALUE`, `empty`, `ssh-ed25519`, `wireguard`, `age`, \
               `htpasswd:USER:SECRET`, `bcrypt:SECRET` or `argon2:SECRET`",
    example: "hex:64",
    takes: |text| text.parse::<crate::secrets::Kind>().is_ok(),
};

/// Source: `NAME_REGEX` of Debian's adduser, useradd(8): 32 bytes.
pub(super) const USER_NAME: FormatInfo = FormatInfo {
    name: "user-name",
    what: "a user name",
    expected: "1 to 32 of `a-z`, `0-9`, `_` and `-`, beginning with a letter or `_`",
    example: "admin",
    takes: |text| {
        all_of(text, 32, |c| is_label_byte(c) || c == b'_')
            && text.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
    },
};

/// Source: systemd.unit(5), "Unit and unit file names"; slices and scopes cannot be written as files.
pub(super) const UNIT_NAME: FormatInfo = FormatInfo {
    name: "unit-name",
    what: "a unit name",
    expected: "a name of `A-Za-z0-9:_.@-` and a suffix such as `.service` or `.timer`",
    example: "hello.service",
    takes: is_unit_name,
};

pub(super) const SERVICE_NAME: FormatInfo = FormatInfo {
    name: "service-name",
    what: "the name of a service",
    expected: "1 to 64 of `A-Za-z0-9_-`, beginning with a letter or digit, without `.service`",
    example: "hello",
    takes: |text| {
        all_of(text, 64, |c| c.is_ascii_alphanumeric() || b"_-".contains(&c))
            && text.starts_with(|c: char| c.is_ascii_alphanumeric())
    },
};

/// Source: Debian Policy 5.6.1.
pub(super) const PACKAGE: FormatInfo = FormatInfo {
    name: "package",
    what: "the name of a Debian package",
    expected: "at least 2 of `a-z`, `0-9`, `+`, `-` and `.`, beginning with a letter or digit",
    example: "python3",
    takes: |text| {
        text.len() >= 2
            && all_of(text, 128, |c| is_label_byte(c) || b"+.".contains(&c))
            && text.starts_with(|c: char| c.is_ascii_alphanumeric())
    },
};

/// Source: POSIX.1-2024, XBD 8.1.
pub(super) const ENVIRONMENT_NAME: FormatInfo = FormatInfo {
    name: "environment-name",
    what: "the name of an environment variable",
    expected: "`A-Z`, `a-z`, `0-9` and `_`, not beginning with a digit",
    example: "LISTEN_ADDRESS",
    takes: |text| {
        all_of(text, 128, |c| c.is_ascii_alphanumeric() || c == b'_')
            && !text.starts_with(|c: char| c.is_ascii_digit())
    },
};

/// Narrower than RFC 9110's `token`, which also has punctuation that configuration languages use.
pub(super) const HEADER_NAME: FormatInfo = FormatInfo {
    name: "header-name",
    what: "the name of an HTTP header",
    expected: "1 to 64 of `A-Za-z0-9-`, beginning with a letter",
    example: "X-Robots-Tag",
    takes: |text| {
        all_of(text, 64, |c| c.is_ascii_alphanumeric() || c == b'-')
            && text.starts_with(|c: char| c.is_ascii_alphabetic())
    },
};

pub(super) const TEMPLATE: FormatInfo = FormatInfo {
    name: "template",
    what: "the name of a template",
    expected: "a file of the module's folder that ends in `.tera`",
    example: "service.tera",
    takes: |text| {
        let allowed = |c: u8| c.is_ascii_alphanumeric() || b"_.-".contains(&c);
        all_of(text, 128, allowed)
            && text.strip_suffix(".tera").is_some_and(|stem| !stem.is_empty())
    },
};

/// Whether `text` is a label of a domain, without upper case and `_`.
pub(super) fn is_label(text: &str) -> bool {
    all_of(text, 63, is_label_byte) && !text.starts_with('-') && !text.ends_with('-')
}

pub(super) fn is_domain(text: &str) -> bool {
    let last = text.rsplit('.').next().unwrap_or_default();
    text.len() <= 253
        && text.split('.').all(is_label)
        && !last.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_label_byte(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-'
}

fn is_relative_path(text: &str) -> bool {
    let part_is_good = |part: &str| !part.is_empty() && part != "." && part != "..";
    text.len() <= 4094 && !text.chars().any(char::is_control) && text.split('/').all(part_is_good)
}

fn is_unit_name(text: &str) -> bool {
    const SUFFIXES: &[&str] =
        &["service", "socket", "timer", "target", "path", "mount", "automount", "swap", "slice"];
    let allowed = |c: u8| c.is_ascii_alphanumeric() || b":_.@-".contains(&c);
    match text.rsplit_once('.') {
        Some((stem, suffix)) => {
            all_of(text, 255, allowed) && !stem.is_empty() && SUFFIXES.contains(&suffix)
        }
        None => false,
    }
}
