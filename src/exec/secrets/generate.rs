//! Secrets that nobody has to think of: random texts, keys, and digests of other secrets.

use argon2::PasswordHasher as _;
use argon2::password_hash::SaltString;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use thiserror::Error;

use crate::secrets::Kind;
use crate::sops::{Secret, SecretBytes, generate_identity};

/// Work of bcrypt, as a power of two: about a quarter of a second, what OpenBSD and Caddy take.
const BCRYPT_COST: u32 = 12;
/// Bytes that bcrypt reads of a password; the rest would not count.
const BCRYPT_BYTES_MAX: usize = 72;
const LETTERS: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

/// Why a secret cannot be made.
#[derive(Debug, Error)]
pub enum GenerateError {
    /// What it is made from is not there.
    #[error("it is made from `{of}`, which has no value yet")]
    NoSource {
        /// The other secret.
        of: String,
    },
    /// bcrypt cannot take the password.
    #[error("bcrypt reads {BCRYPT_BYTES_MAX} bytes of a password and no NUL; `{of}` does not fit")]
    Password {
        /// The other secret.
        of: String,
    },
    /// The digest could not be made.
    #[error("`{of}` cannot be digested")]
    Digest {
        /// The other secret.
        of: String,
    },
}

/// Makes a secret; `other` has the values of the others.
///
/// # Errors
///
/// What it is made from is missing or does not fit.
pub fn generate(
    kind: &Kind,
    other: &dyn Fn(&str) -> Option<SecretBytes>,
    random: &mut dyn FnMut(&mut [u8]),
) -> Result<SecretBytes, GenerateError> {
    let source = |of: &str| {
        let value = other(of).filter(|value| !value.is_empty());
        value.ok_or_else(|| GenerateError::NoSource { of: of.to_owned() })
    };
    Ok(match kind {
        Kind::Hex(digits) => hexadecimal(*digits, random),
        Kind::Base64(bytes) => base64(*bytes, random),
        Kind::Alphanumeric(length) => letters(*length, random),
        Kind::Plain(text) => SecretBytes::from(text.as_str()),
        Kind::Empty => SecretBytes::default(),
        Kind::SshEd25519 => ssh_key(random),
        Kind::WireGuard => wireguard_key(random),
        Kind::Age => generate_identity().0,
        Kind::Htpasswd { user, of } => {
            let digest = bcrypt(&source(of)?, of, random)?;
            let digest = digest.text().unwrap_or_default();
            SecretBytes::from(format!("{user}:{digest}\n"))
        }
        Kind::Bcrypt(of) => bcrypt(&source(of)?, of, random)?,
        Kind::Argon2(of) => argon2_digest(&source(of)?, of, random)?,
    })
}

fn hexadecimal(digits: u32, random: &mut dyn FnMut(&mut [u8])) -> SecretBytes {
    let mut bytes = Secret::new(vec![0; digits as usize]);
    random(bytes.expose_mut());
    for byte in bytes.expose_mut() {
        *byte = b"0123456789abcdef"[usize::from(*byte & 15)];
    }
    bytes
}

fn base64(bytes: u32, random: &mut dyn FnMut(&mut [u8])) -> SecretBytes {
    let mut raw = Secret::new(vec![0; bytes as usize]);
    random(raw.expose_mut());
    SecretBytes::from(BASE64.encode(raw.expose()))
}

/// Each letter equally likely: bytes beyond the last multiple of 62 are drawn again.
fn letters(length: u32, random: &mut dyn FnMut(&mut [u8])) -> SecretBytes {
    let mut text = Secret::new(Vec::with_capacity(length as usize));
    let mut drawn = Secret::new(vec![0_u8; 64]);
    while text.expose().len() < length as usize {
        random(drawn.expose_mut());
        let missing = length as usize - text.expose().len();
        let fair = drawn.expose().iter().filter(|byte| **byte < 248).take(missing);
        let fair: Vec<u8> = fair.map(|byte| LETTERS[usize::from(byte % 62)]).collect();
        text.expose_mut().extend_from_slice(&fair);
    }
    text
}

fn wireguard_key(random: &mut dyn FnMut(&mut [u8])) -> SecretBytes {
    let mut key = Secret::new([0_u8; 32]);
    random(key.expose_mut());
    // What `wg genkey` does: the bits that X25519 fixes are fixed in the stored key.
    key.expose_mut()[0] &= 0xf8;
    key.expose_mut()[31] = (key.expose()[31] & 0x7f) | 0x40;
    SecretBytes::from(BASE64.encode(key.expose()))
}

/// The public half of a `WireGuard` key; `None` when it is none.
pub fn wireguard_public(key: &SecretBytes) -> Option<String> {
    let bytes: [u8; 32] = BASE64.decode(key.expose().trim_ascii()).ok()?.try_into().ok()?;
    let secret = x25519_dalek::StaticSecret::from(bytes);
    Some(BASE64.encode(x25519_dalek::PublicKey::from(&secret).as_bytes()))
}

/// A private key in OpenSSH's own format, without passphrase.
///
/// Source: `PROTOCOL.key` of OpenSSH: magic, cipher and kdf `none`, one public key, then the private part
/// padded to 8 bytes with 1, 2, 3…
fn ssh_key(random: &mut dyn FnMut(&mut [u8])) -> SecretBytes {
    let mut seed = Secret::new([0_u8; 32]);
    random(seed.expose_mut());
    let mut check = [0_u8; 4];
    random(&mut check);
    let key = ed25519_dalek::SigningKey::from_bytes(seed.expose());
    let public = key.verifying_key();
    let mut public_blob = Vec::new();
    put(&mut public_blob, b"ssh-ed25519");
    put(&mut public_blob, public.as_bytes());
    let mut private = Secret::new(Vec::with_capacity(256));
    let blob = private.expose_mut();
    blob.extend_from_slice(&check);
    blob.extend_from_slice(&check);
    blob.extend_from_slice(&public_blob);
    put(blob, Secret::new(key.to_keypair_bytes()).expose());
    put(blob, b"");
    let padding = (8 - blob.len() % 8) % 8;
    blob.extend((1..=padding).map(|byte| u8::try_from(byte).unwrap_or_default()));
    let mut all = Secret::new(Vec::with_capacity(512));
    let out = all.expose_mut();
    out.extend_from_slice(b"openssh-key-v1\0");
    for part in [&b"none"[..], b"none", b""] {
        put(out, part);
    }
    out.extend_from_slice(&1_u32.to_be_bytes());
    put(out, &public_blob);
    put(out, private.expose());
    let text = Secret::new(BASE64.encode(all.expose()));
    let mut lines = Secret::new(Vec::with_capacity(1024));
    lines.expose_mut().extend_from_slice(b"-----BEGIN OPENSSH PRIVATE KEY-----\n");
    for line in text.expose().as_bytes().chunks(70) {
        lines.expose_mut().extend_from_slice(line);
        lines.expose_mut().push(b'\n');
    }
    lines.expose_mut().extend_from_slice(b"-----END OPENSSH PRIVATE KEY-----\n");
    lines
}

/// A string of the SSH protocol: its length in four bytes, then its bytes.
fn put(out: &mut Vec<u8>, part: &[u8]) {
    let length = u32::try_from(part.len()).expect("parts of a key are short");
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(part);
}

fn bcrypt(
    password: &SecretBytes,
    of: &str,
    random: &mut dyn FnMut(&mut [u8]),
) -> Result<SecretBytes, GenerateError> {
    if password.expose().len() > BCRYPT_BYTES_MAX || password.expose().contains(&0) {
        return Err(GenerateError::Password { of: of.to_owned() });
    }
    let mut salt = [0_u8; 16];
    random(&mut salt);
    let parts = bcrypt::hash_with_salt(password.expose(), BCRYPT_COST, salt)
        .map_err(|_| GenerateError::Password { of: of.to_owned() })?;
    Ok(SecretBytes::from(parts.format_for_version(bcrypt::Version::TwoB)))
}

fn argon2_digest(
    password: &SecretBytes,
    of: &str,
    random: &mut dyn FnMut(&mut [u8]),
) -> Result<SecretBytes, GenerateError> {
    let wrong = || GenerateError::Digest { of: of.to_owned() };
    let mut salt = [0_u8; 16];
    random(&mut salt);
    let salt = SaltString::encode_b64(&salt).map_err(|_| wrong())?;
    let digest = argon2::Argon2::default();
    let digest = digest.hash_password(password.expose(), &salt).map_err(|_| wrong())?;
    Ok(SecretBytes::from(digest.to_string()))
}

#[cfg(test)]
mod tests;
