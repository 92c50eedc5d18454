//! What a package is called, where it is built for, where its file lies: checked values.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

#[cfg(test)]
mod tests;

/// The longest package name that is accepted; the longest of Debian 13 has 79 bytes.
pub const NAME_BYTES_MAX: usize = 200;
/// The longest path below an archive that is accepted; the longest of Debian 13 has 186 bytes.
pub const PATH_BYTES_MAX: usize = 1024;

/// Text that does not have the form it should have.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{text}` is not {expected}")]
pub struct FormError {
    /// The text found, cut to 80 characters.
    pub text: String,
    /// What it should be, with its article.
    pub expected: &'static str,
}

impl FormError {
    pub(crate) fn new(text: &str, expected: &'static str) -> Self {
        Self { text: text.chars().take(80).collect(), expected }
    }
}

macro_rules! checked_text {
    ($(#[$meta:meta])* $name:ident, $expected:literal, $holds:path) => {
        $(#[$meta])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Box<str>);

        impl $name {
            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::debian::package::FormError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                if $holds(text) { Ok(Self(text.into())) } else { Err($crate::debian::package::FormError::new(text, $expected)) }
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0)
            }
        }
    };
}

pub(crate) use checked_text;

checked_text!(
    /// The name of a package, real or virtual: letters, digits, `+`, `-` and `.`, a letter or digit first.
    ///
    /// Policy 5.6.1 asks for lower case and two characters; dpkg (`pkg_name_is_illegal`) and third-party
    /// archives do not, and so neither is asked here.
    PackageName,
    "a package name",
    is_package_name
);

checked_text!(
    /// The name of a package source, such as `trixie-security`: 1 to 64 of `a-z`, `0-9`, `.`, `_` and
    /// `-`, a letter or digit first.
    SourceName,
    "a source name (1 to 64 of `a-z`, `0-9`, `.`, `_` and `-`)",
    is_source_name
);

checked_text!(
    /// A path below an archive's root, such as `pool/main/c/caddy/caddy_2.6.2_amd64.deb`: printable
    /// ASCII without `"`, `\`, `%`, `?` and `#`, no empty, `.` or `..` component.
    PoolPath,
    "a path below an archive (printable ASCII, no `..`, no empty component)",
    is_pool_path
);

impl PoolPath {
    /// The last component: the file's name.
    pub fn file_name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
    }
}

/// An architecture of Debian 13, or `all`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Architecture {
    /// Runs on each architecture.
    All,
    /// 64-bit x86.
    Amd64,
    /// 64-bit Arm.
    Arm64,
    /// 32-bit Arm, hard float.
    Armhf,
    /// 32-bit x86.
    I386,
    /// 64-bit PowerPC, little-endian.
    Ppc64el,
    /// 64-bit RISC-V.
    Riscv64,
    /// IBM Z.
    S390x,
}

impl Architecture {
    const NAMES: [(Architecture, &'static str); 8] = [
        (Self::All, "all"),
        (Self::Amd64, "amd64"),
        (Self::Arm64, "arm64"),
        (Self::Armhf, "armhf"),
        (Self::I386, "i386"),
        (Self::Ppc64el, "ppc64el"),
        (Self::Riscv64, "riscv64"),
        (Self::S390x, "s390x"),
    ];

    /// Debian's name.
    pub fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(one, _)| *one == self).map_or("all", |(_, name)| name)
    }

    /// Whether `pattern` of an architecture restriction (`linux-any`, `any-amd64`, `amd64`) covers this
    /// one. Source: deb-src-control(5), dpkg-architecture(1), "Debian wildcard".
    pub fn matches(self, pattern: &str) -> bool {
        let name = self.name();
        let cpu = match self {
            Self::Armhf => "arm",
            _ => name,
        };
        pattern == "any"
            || pattern == name
            || pattern == "linux-any"
            || pattern.strip_prefix("any-").is_some_and(|of| of == cpu)
            || pattern.strip_prefix("linux-").is_some_and(|of| of == cpu)
    }
}

impl FromStr for Architecture {
    type Err = FormError;

    fn from_str(text: &str) -> Result<Self, FormError> {
        Self::NAMES
            .iter()
            .find(|(_, name)| *name == text)
            .map(|(architecture, _)| *architecture)
            .ok_or_else(|| FormError::new(text, "an architecture of Debian 13"))
    }
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How a package may serve packages of other architectures. Source: deb-control(5), "Multi-Arch".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MultiArch {
    /// Only its own.
    #[default]
    No,
    /// It can stand beside itself of another architecture.
    Same,
    /// It serves all architectures.
    Foreign,
    /// It serves all architectures for those that ask with `:any`.
    Allowed,
}

/// How much a system needs a package. Source: Debian Policy 2.5. Ordered from the most needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Priority {
    /// The field is missing; apt sorts that first.
    Unstated,
    /// Nothing works without it.
    Required,
    /// Expected on every Unix.
    Important,
    /// The usual text-mode system.
    Standard,
    /// All the rest.
    Optional,
    /// Deprecated; apt also puts unknown words here.
    Extra,
}

impl MultiArch {
    /// The value of the field; unknown words count as `no`, as in apt.
    pub fn from_field(value: &[u8]) -> Self {
        match value {
            b"same" => Self::Same,
            b"foreign" => Self::Foreign,
            b"allowed" => Self::Allowed,
            _ => Self::No,
        }
    }
}

impl Priority {
    /// The value of the field.
    pub fn from_field(value: &[u8]) -> Self {
        match value {
            b"required" => Self::Required,
            b"important" => Self::Important,
            b"standard" => Self::Standard,
            b"optional" => Self::Optional,
            _ => Self::Extra,
        }
    }
}

/// Whether `text` is a package name; see [`PackageName`].
pub fn is_package_name(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
    text.len() <= NAME_BYTES_MAX
        && text.as_bytes().first().is_some_and(u8::is_ascii_alphanumeric)
        && text.bytes().all(allowed)
}

fn is_source_name(text: &str) -> bool {
    let letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    text.len() <= 64
        && text.bytes().next().is_some_and(letter)
        && text.bytes().all(|byte| letter(byte) || b"._-".contains(&byte))
}

fn is_pool_path(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_graphic() && !b"\"\\%?#".contains(&byte);
    text.len() <= PATH_BYTES_MAX
        && text.bytes().all(allowed)
        && text.split('/').all(|part| !matches!(part, "" | "." | ".."))
}
