//! `/etc/shadow` with password hashes that come from secrets.

use std::collections::BTreeMap;

use thiserror::Error;

use crate::sops::{Secret, SecretBytes};

/// Why a password hash cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ShadowError {
    /// The value is no hash of crypt(5).
    #[error(
        "the password hash of `{user}` is none: expected `$…`, such as `generate = \"bcrypt:…\"` makes"
    )]
    NoHash {
        /// The user.
        user: String,
    },
    /// The user has no line.
    #[error("`{user}` has no line in the system's shadow file")]
    NoUser {
        /// The user.
        user: String,
    },
}

/// The shadow file `base` with the passwords of some users replaced.
///
/// # Errors
///
/// A value that is no hash (so a plain password never gets there), and a user without a line.
pub fn shadow_with_hashes(
    base: &str,
    hashes: &BTreeMap<String, SecretBytes>,
) -> Result<SecretBytes, ShadowError> {
    let mut text = Secret::new(Vec::with_capacity(base.len() + hashes.len() * 128));
    let mut found = 0;
    for line in base.lines() {
        let (user, rest) = line.split_once(':').unwrap_or((line, ""));
        let out = text.expose_mut();
        if let Some(hash) = hashes.get(user) {
            let after = rest.split_once(':').map_or("", |(_, after)| after);
            out.extend_from_slice(format!("{user}:").as_bytes());
            out.extend_from_slice(crypt_hash(user, hash)?);
            out.extend_from_slice(format!(":{after}\n").as_bytes());
            found += 1;
        } else {
            out.extend_from_slice(line.as_bytes());
            out.push(b'\n');
        }
    }
    if found < hashes.len() {
        let has = |user: &str| base.lines().any(|line| line.split(':').next() == Some(user));
        let missing = hashes.keys().find(|user| !has(user)).cloned().unwrap_or_default();
        return Err(ShadowError::NoUser { user: missing });
    }
    Ok(text)
}

/// Source: crypt(5): `$id$…` of printable characters without `:`, `;`, `*`, `!` and `\`.
fn crypt_hash<'h>(user: &str, hash: &'h SecretBytes) -> Result<&'h [u8], ShadowError> {
    let bytes = hash.expose().trim_ascii_end();
    let allowed = |byte: &u8| byte.is_ascii_graphic() && !b":;*!\\".contains(byte);
    let parts = bytes.split(|byte| *byte == b'$').count();
    if bytes.starts_with(b"$") && parts >= 4 && bytes.len() >= 20 && bytes.iter().all(allowed) {
        return Ok(bytes);
    }
    Err(ShadowError::NoHash { user: user.to_owned() })
}
