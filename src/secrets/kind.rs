//! How a secret that nobody has to think of is made.

use std::fmt;
use std::str::FromStr;

use super::name::is_secret_name;

/// Most random characters or bytes.
const LENGTH_MAX: u32 = 4096;
/// Fewest random characters that cannot be guessed: 128 bits in hexadecimal digits are 32.
const BITS_MIN: u32 = 128;

/// How a secret is generated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// N random hexadecimal digits.
    Hex(u32),
    /// N random bytes in base64.
    Base64(u32),
    /// N random letters and digits.
    Alphanumeric(u32),
    /// This text.
    Plain(String),
    /// Nothing.
    Empty,
    /// A private SSH key.
    SshEd25519,
    /// A private `WireGuard` key.
    WireGuard,
    /// A private age key.
    Age,
    /// A line of an htpasswd file: user, and the bcrypt digest of another secret.
    Htpasswd {
        /// Who logs in.
        user: String,
        /// The secret that is the password.
        of: String,
    },
    /// The bcrypt digest of another secret; what `/etc/shadow` takes.
    Bcrypt(String),
    /// The argon2id digest of another secret.
    Argon2(String),
}

/// A text that is no kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a way to make a secret: {reason}")]
pub struct KindError {
    /// The text.
    pub text: String,
    /// What is expected.
    pub reason: String,
}

impl FromStr for Kind {
    type Err = KindError;

    fn from_str(text: &str) -> Result<Self, KindError> {
        let wrong = |reason: &str| KindError { text: text.to_owned(), reason: reason.to_owned() };
        let (name, argument) = match text.split_once(':') {
            Some((name, argument)) => (name, Some(argument)),
            None => (text, None),
        };
        let length = |bits: u32| {
            let number = argument.and_then(|number| number.parse::<u32>().ok());
            let least = BITS_MIN.div_ceil(bits);
            let reason = format!("expected `{name}:N` with N from {least} to {LENGTH_MAX}");
            number
                .filter(|number| (least..=LENGTH_MAX).contains(number))
                .ok_or_else(|| wrong(&reason))
        };
        let other = || {
            let named = argument.filter(|of| is_secret_name(of));
            let reason = format!("expected `{name}:SECRET`, the name of another secret");
            named.map(str::to_owned).ok_or_else(|| wrong(&reason))
        };
        match name {
            "hex" => length(4).map(Self::Hex),
            "b64" => length(8).map(Self::Base64),
            // 62 characters: 5.95 bits each.
            "alnum" => length(5).map(Self::Alphanumeric),
            "plain" => {
                let value = argument.ok_or_else(|| wrong("expected `plain:VALUE`"))?;
                Ok(Self::Plain(value.to_owned()))
            }
            "bcrypt" => other().map(Self::Bcrypt),
            "argon2" => other().map(Self::Argon2),
            "htpasswd" => {
                let both = argument.and_then(|both| both.split_once(':'));
                let good =
                    |user: &str| !user.is_empty() && user.bytes().all(|b| b.is_ascii_graphic());
                let both = both.filter(|(user, of)| good(user) && is_secret_name(of));
                let (user, of) = both.ok_or_else(|| wrong("expected `htpasswd:USER:SECRET`"))?;
                Ok(Self::Htpasswd { user: user.to_owned(), of: of.to_owned() })
            }
            "empty" | "ssh-ed25519" | "wireguard" | "age" if argument.is_some() => {
                Err(wrong("it takes nothing after the `:`"))
            }
            "empty" => Ok(Self::Empty),
            "ssh-ed25519" => Ok(Self::SshEd25519),
            "wireguard" => Ok(Self::WireGuard),
            "age" => Ok(Self::Age),
            _ => Err(wrong(
                "expected hex:N, b64:N, alnum:N, plain:VALUE, empty, ssh-ed25519, wireguard, age, \
                 htpasswd:USER:SECRET, bcrypt:SECRET or argon2:SECRET",
            )),
        }
    }
}

impl Kind {
    /// The secret that this one is made from.
    pub fn made_from(&self) -> Option<&str> {
        match self {
            Self::Htpasswd { of, .. } | Self::Bcrypt(of) | Self::Argon2(of) => Some(of),
            _ => None,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hex(length) => write!(f, "hex:{length}"),
            Self::Base64(length) => write!(f, "b64:{length}"),
            Self::Alphanumeric(length) => write!(f, "alnum:{length}"),
            Self::Plain(value) => write!(f, "plain:{value}"),
            Self::Empty => f.write_str("empty"),
            Self::SshEd25519 => f.write_str("ssh-ed25519"),
            Self::WireGuard => f.write_str("wireguard"),
            Self::Age => f.write_str("age"),
            Self::Htpasswd { user, of } => write!(f, "htpasswd:{user}:{of}"),
            Self::Bcrypt(of) => write!(f, "bcrypt:{of}"),
            Self::Argon2(of) => write!(f, "argon2:{of}"),
        }
    }
}
