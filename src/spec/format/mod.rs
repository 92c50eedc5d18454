//! Forms that a text may have to take: names, addresses, quantities; each with its rule and its source.

mod names;
mod network;
mod quantity;
mod system;

pub(crate) use quantity::seconds;

use crate::diag::printable;

/// A form of text that an option may ask for.
///
/// `name` is how `module.toml` writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Format {
    /// One line of any text.
    Line,
    /// Any text.
    Text,
    /// Printable ASCII without white space, quotes and backslashes.
    Word,
    /// A short name of something in the host file.
    Slug,
    /// The name of a machine.
    HostName,
    /// A domain.
    Domain,
    /// An IP address.
    Address,
    /// A network, by address and prefix length.
    Network,
    /// An address of an interface, with prefix length.
    InterfaceAddress,
    /// Address and port.
    Endpoint,
    /// A pattern of interface names.
    InterfacePattern,
    /// A hardware address.
    Mac,
    /// An HTTP URL.
    Url,
    /// An absolute path.
    Path,
    /// A path relative to the workspace.
    RelativePath,
    /// The name of a user or group.
    UserName,
    /// The name of a unit, with its suffix.
    UnitName,
    /// The name of a service, without suffix.
    ServiceName,
    /// The name of a Debian package.
    Package,
    /// A public SSH key.
    SshKey,
    /// Where and as whom to reach a machine over SSH.
    SshAddress,
    /// A time zone.
    TimeZone,
    /// A locale.
    Locale,
    /// A calendar event of systemd.
    Calendar,
    /// A length of time.
    Duration,
    /// A number of bytes.
    Size,
    /// Permission bits.
    Mode,
    /// The name of an environment variable.
    EnvironmentName,
    /// The name of an HTTP header.
    HeaderName,
    /// A Linux capability.
    Capability,
    /// A system call, or a set of them, for systemd's filter.
    SystemCalls,
    /// The name of a kernel parameter.
    SysctlKey,
    /// The name of a secret.
    SecretName,
    /// How a secret is generated.
    SecretKind,
    /// The name of a template of the module.
    Template,
}

/// What there is to know about a format.
#[derive(Debug, Clone, Copy)]
pub struct FormatInfo {
    /// How `module.toml` writes it.
    pub name: &'static str,
    /// With its article, for "`x` is not …".
    pub what: &'static str,
    /// What is allowed, for "expected …".
    pub expected: &'static str,
    /// A text that is taken.
    pub example: &'static str,
    takes: fn(&str) -> bool,
}

/// A text that does not have the form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is not {}", printable(.text), .format.info().what)]
pub struct FormatError {
    /// The text.
    pub text: String,
    /// The form.
    pub format: Format,
}

/// Most characters of one line.
const LINE_CHARS_MAX: usize = 4096;
/// Most bytes of a text of several lines.
const TEXT_BYTES_MAX: usize = 256 * 1024;

impl Format {
    /// Every format, in the order of the documentation.
    pub const ALL: &[Self] = &[
        Self::Line,
        Self::Text,
        Self::Word,
        Self::Slug,
        Self::HostName,
        Self::Domain,
        Self::Address,
        Self::Network,
        Self::InterfaceAddress,
        Self::Endpoint,
        Self::InterfacePattern,
        Self::Mac,
        Self::Url,
        Self::Path,
        Self::RelativePath,
        Self::UserName,
        Self::UnitName,
        Self::ServiceName,
        Self::Package,
        Self::SshKey,
        Self::SshAddress,
        Self::TimeZone,
        Self::Locale,
        Self::Calendar,
        Self::Duration,
        Self::Size,
        Self::Mode,
        Self::EnvironmentName,
        Self::HeaderName,
        Self::Capability,
        Self::SystemCalls,
        Self::SysctlKey,
        Self::SecretName,
        Self::SecretKind,
        Self::Template,
    ];

    /// The format that `module.toml` writes as `name`.
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|format| format.info().name == name)
    }

    /// Its name, rule and example.
    pub const fn info(self) -> FormatInfo {
        match self {
            Self::Line => LINE,
            Self::Text => TEXT,
            Self::Word => names::WORD,
            Self::Slug => names::SLUG,
            Self::HostName => names::HOST_NAME,
            Self::Domain => names::DOMAIN,
            Self::Address => network::ADDRESS,
            Self::Network => network::NETWORK,
            Self::InterfaceAddress => network::INTERFACE_ADDRESS,
            Self::Endpoint => network::ENDPOINT,
            Self::InterfacePattern => network::INTERFACE_PATTERN,
            Self::Mac => network::MAC,
            Self::Url => network::URL,
            Self::Path => names::PATH,
            Self::RelativePath => names::RELATIVE_PATH,
            Self::UserName => names::USER_NAME,
            Self::UnitName => names::UNIT_NAME,
            Self::ServiceName => names::SERVICE_NAME,
            Self::Package => names::PACKAGE,
            Self::SshKey => system::SSH_KEY,
            Self::SshAddress => network::SSH_ADDRESS,
            Self::TimeZone => system::TIME_ZONE,
            Self::Locale => system::LOCALE,
            Self::Calendar => quantity::CALENDAR,
            Self::Duration => quantity::DURATION,
            Self::Size => quantity::SIZE,
            Self::Mode => quantity::MODE,
            Self::EnvironmentName => names::ENVIRONMENT_NAME,
            Self::HeaderName => names::HEADER_NAME,
            Self::Capability => system::CAPABILITY,
            Self::SystemCalls => system::SYSTEM_CALLS,
            Self::SysctlKey => system::SYSCTL_KEY,
            Self::SecretName => names::SECRET_NAME,
            Self::SecretKind => names::SECRET_KIND,
            Self::Template => names::TEMPLATE,
        }
    }

    /// Checks `text`.
    pub fn check(self, text: &str) -> Result<(), FormatError> {
        if (self.info().takes)(text) {
            Ok(())
        } else {
            Err(FormatError { text: text.to_owned(), format: self })
        }
    }

    /// The number that a checked `text` stands for: bytes of a size, bits of a mode.
    pub fn number(self, text: &str) -> Option<i64> {
        match self {
            Self::Size => quantity::bytes(text),
            Self::Mode => quantity::mode_bits(text),
            _ => None,
        }
    }
}

impl FormatError {
    /// A text near to the one found that has the form, if one is easily made.
    pub fn suggestion(&self) -> Option<String> {
        if self.text.len() > LINE_CHARS_MAX {
            return None;
        }
        let takes = self.format.info().takes;
        let plain = self.text.trim().to_owned();
        let lower = plain.to_lowercase();
        let dashed = lower.replace(['_', ' ', '.'], "-").trim_matches('-').to_owned();
        let own = match self.format {
            Format::Size => quantity::size_suggestion(&plain),
            Format::Duration => quantity::duration_suggestion(&plain),
            Format::Network | Format::Endpoint | Format::Mac | Format::Url => {
                network::suggestion(self.format, &plain)
            }
            Format::TimeZone => system::zone_suggestion(&plain),
            Format::Locale => system::locale_suggestion(&plain),
            Format::Path => Some(format!("/{}", plain.trim_matches('/'))),
            Format::UnitName => Some(format!("{plain}.service")),
            Format::Mode => Some(format!("0{plain}")),
            Format::Capability => Some(format!("CAP_{}", plain.to_uppercase())),
            _ => None,
        };
        own.into_iter().chain([plain, lower, dashed]).find(|text| takes(text))
    }
}

const LINE: FormatInfo = FormatInfo {
    name: "line",
    what: "one line of text",
    expected: "at most 4096 characters, without line breaks and control characters",
    example: "any text",
    takes: |text| text.chars().count() <= LINE_CHARS_MAX && !text.chars().any(char::is_control),
};

const TEXT: FormatInfo = FormatInfo {
    name: "text",
    what: "a text",
    expected: "at most 256 KiB, without control characters other than line breaks and tabs",
    example: "any text",
    takes: |text| {
        let allowed = |char: char| !char.is_control() || char == '\n' || char == '\t';
        text.len() <= TEXT_BYTES_MAX && text.chars().all(allowed)
    },
};

/// Whether `text` has 1 to `max` bytes, all of which `allowed` takes.
fn all_of(text: &str, max: usize, allowed: fn(u8) -> bool) -> bool {
    (1..=max).contains(&text.len()) && text.bytes().all(allowed)
}

#[cfg(test)]
mod tests;
