//! Verifies the archive's `OpenPGP` signatures: `InRelease`, and `Release` with `Release.gpg`.
//!
//! Only the bytes that were hashed come back, so nothing unsigned can be read by mistake.
//!
//! # Which files pass
//!
//! apt's rule (`methods/gpgv.cc`), which allows a file to be signed by old and new keys at once:
//!
//! 1. A signature by a key of the ring that does not match the bytes: refused, whatever the other
//!    signatures say.
//! 2. At least one signature by a key of the ring that matches and that the policy below accepts:
//!    passed.
//! 3. Else refused, for the most telling reason. Signatures by unknown keys, by expired or revoked
//!    keys, with weak hashes, and expired signatures neither help nor harm.
//!
//! # Policy
//!
//! The `pgp` crate does the arithmetic and has no opinion; ours is in `signature/policy.rs`: hash of at least
//! 256 bits in signatures and in the ring's own bindings (apt of trixie refuses SHA-1 there since
//! 2026-02), RSA of at least 2048 bits or an elliptic curve, key marked for signing, key and subkey
//! bound, neither expired nor revoked at `now`, signature not from the future and not older than its key.

use pgp::crypto::hash::HashAlgorithm;
use pgp::packet::{
    Packet, PacketParser, Signature, SignatureType, SignatureVersion, SubpacketData,
};
use thiserror::Error;

use super::armor::{self, ArmorError};
use super::date::date_in_words;
use super::keys::{KeyRing, fingerprint_text};
use policy::{Candidate, KeyFault};

mod policy;

/// The largest `Release` or `InRelease` taken; trixie's has 140 kB.
pub const RELEASE_BYTES_MAX: usize = 16 << 20;
/// The largest signature taken; trixie's has 2 kB.
pub const SIGNATURE_BYTES_MAX: usize = 256 << 10;
/// The most signatures looked at in one file; Debian makes three.
const SIGNATURES_MAX: usize = 64;
/// How far clocks may disagree.
pub(super) const CLOCK_SKEW_SECONDS: u64 = 86_400;

/// Bytes that a key of the ring vouches for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    text: Vec<u8>,
    signers: Vec<String>,
}

/// A file that is not validly signed. Keys are upper-case fingerprints, or key ids of 16 digits.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SignatureError {
    /// No signature at all; also what a web page in place of the file gives.
    #[error("the file carries no OpenPGP signature")]
    NotSigned,
    /// Larger than any such file.
    #[error("the file or its signature is too large to be one")]
    TooLarge,
    /// Signed text that is malformed or ambiguous.
    #[error("the signed file is malformed")]
    Malformed(#[source] ArmorError),
    /// No key of the ring made any of the signatures.
    #[error("the file is signed by keys that are not known for this source: {}", .keys.join(", "))]
    UnknownKey {
        /// The keys that claim to have signed.
        keys: Vec<String>,
    },
    /// The bytes are not those that were signed.
    #[error("the signature by key {key} does not match: the file or the signature was altered")]
    Altered {
        /// The key.
        key: String,
    },
    /// A revoked key.
    #[error("the file is signed by key {key}, which its owner has revoked")]
    RevokedKey {
        /// The key.
        key: String,
    },
    /// A key after its end.
    #[error("the file is signed by key {key}, which expired on {}", date_in_words(*.expired_seconds))]
    ExpiredKey {
        /// The key.
        key: String,
        /// When, in seconds since 1970.
        expired_seconds: u64,
    },
    /// A signature after its end.
    #[error("the signature by key {key} expired on {}", date_in_words(*.expired_seconds))]
    ExpiredSignature {
        /// The key.
        key: String,
        /// When, in seconds since 1970.
        expired_seconds: u64,
    },
    /// A signature or key from tomorrow: a wrong clock here or there.
    #[error("the signature by key {key} is from the future ({}); is the clock right?", date_in_words(*.made_seconds))]
    FromTheFuture {
        /// The key.
        key: String,
        /// When, in seconds since 1970.
        made_seconds: u64,
    },
    /// A signature with a hash that can be forged.
    #[error("the signature by key {key} uses {hash}, which is too weak to be trusted")]
    WeakHash {
        /// The key.
        key: String,
        /// Its name, such as `SHA1`.
        hash: String,
    },
    /// A key that must not sign files.
    #[error("the file is signed by key {key}, {fault}")]
    UnfitKey {
        /// The key.
        key: String,
        /// Why.
        fault: &'static str,
    },
    /// A signature of a kind that we cannot judge.
    #[error("the signature by key {key} is of an unknown kind")]
    Unsupported {
        /// The key.
        key: String,
    },
}

impl Verified {
    /// The signed bytes; for `InRelease` without armor, escapes and white space at line ends.
    pub fn text(&self) -> &[u8] {
        &self.text
    }

    /// Fingerprints of the keys, or subkeys, whose signatures passed; at least one.
    pub fn signers(&self) -> &[String] {
        &self.signers
    }
}

/// Verifies a clear-signed file such as `InRelease` at `now`, seconds since 1970.
///
/// # Errors
///
/// Why the file must not be used; see the module's rule.
pub fn verify_inline(
    document: &[u8],
    ring: &KeyRing,
    now: u64,
) -> Result<Verified, SignatureError> {
    if document.len() > RELEASE_BYTES_MAX {
        return Err(SignatureError::TooLarge);
    }
    let parts = armor::split_clear_signed(document).map_err(not_signed_or_malformed)?;
    let signers = verify(&parts.packets, &parts.hashed, ring, now)?;
    Ok(Verified { text: parts.text, signers })
}

/// Verifies `document` by a detached signature, armored or binary, such as `Release` by `Release.gpg`.
///
/// # Errors
///
/// Why the file must not be used; see the module's rule.
pub fn verify_detached(
    document: &[u8],
    signature: &[u8],
    ring: &KeyRing,
    now: u64,
) -> Result<Verified, SignatureError> {
    if document.len() > RELEASE_BYTES_MAX {
        return Err(SignatureError::TooLarge);
    }
    let packets = armor::signature_packets(signature).map_err(not_signed_or_malformed)?;
    let signers = verify(&packets, document, ring, now)?;
    Ok(Verified { text: document.to_vec(), signers })
}

fn not_signed_or_malformed(error: ArmorError) -> SignatureError {
    match error {
        ArmorError::NoBegin => SignatureError::NotSigned,
        other => SignatureError::Malformed(other),
    }
}

/// Applies the module's rule; returns the signers whose signatures passed.
fn verify(
    packets: &[u8],
    data: &[u8],
    ring: &KeyRing,
    now: u64,
) -> Result<Vec<String>, SignatureError> {
    if packets.len() > SIGNATURE_BYTES_MAX {
        return Err(SignatureError::TooLarge);
    }
    let mut signers = Vec::new();
    let mut refusal = SignatureError::NotSigned;
    let mut unknown = Vec::new();
    for packet in PacketParser::new(packets).take(SIGNATURES_MAX) {
        let verdict = match packet {
            Ok(Packet::Signature(signature)) => judge(&signature, data, ring, now),
            _ => Err(SignatureError::Unsupported { key: "unknown".to_owned() }),
        };
        match verdict {
            Ok(signer) => signers.push(signer),
            Err(SignatureError::UnknownKey { keys }) => unknown.extend(keys),
            Err(error) if rank(&error) > rank(&refusal) => refusal = error,
            Err(_) => {}
        }
    }
    let is_altered = matches!(refusal, SignatureError::Altered { .. });
    if !signers.is_empty() && !is_altered {
        return Ok(signers);
    }
    unknown.truncate(SIGNATURES_MAX);
    let stranger = SignatureError::UnknownKey { keys: unknown };
    let has_strangers =
        matches!(&stranger, SignatureError::UnknownKey { keys } if !keys.is_empty());
    Err(if has_strangers && rank(&stranger) > rank(&refusal) { stranger } else { refusal })
}

/// How telling a refusal is; the highest one is shown.
fn rank(error: &SignatureError) -> u8 {
    match error {
        SignatureError::Altered { .. } => 9,
        SignatureError::RevokedKey { .. } => 8,
        SignatureError::ExpiredKey { .. } => 7,
        SignatureError::ExpiredSignature { .. } => 6,
        SignatureError::FromTheFuture { .. } => 5,
        SignatureError::WeakHash { .. } => 4,
        SignatureError::UnfitKey { .. } => 3,
        SignatureError::UnknownKey { .. } => 2,
        SignatureError::Unsupported { .. } => 1,
        SignatureError::NotSigned | SignatureError::TooLarge | SignatureError::Malformed(_) => 0,
    }
}

/// Judges one signature; returns the fingerprint of the key that made it.
fn judge(
    signature: &Signature,
    data: &[u8],
    ring: &KeyRing,
    now: u64,
) -> Result<String, SignatureError> {
    let claimed = claimed_issuer(signature);
    let unsupported = || SignatureError::Unsupported { key: claimed.clone() };
    let is_version_known =
        matches!(signature.version(), SignatureVersion::V4 | SignatureVersion::V6);
    let kind = signature.typ().filter(|_| is_version_known).ok_or_else(unsupported)?;
    if !matches!(kind, SignatureType::Text | SignatureType::Binary) || has_critical_note(signature)
    {
        return Err(unsupported());
    }
    let candidates = Candidate::issuers(signature, ring);
    if candidates.is_empty() {
        return Err(SignatureError::UnknownKey { keys: vec![claimed] });
    }
    let key = fingerprint_text(&candidates[0].fingerprint());
    check_hash(signature, &key)?;
    let signer = candidates.iter().find(|candidate| candidate.made(signature, data));
    let Some(signer) = signer else {
        return Err(SignatureError::Altered { key });
    };
    let key = fingerprint_text(&signer.fingerprint());
    check_times(signature, &key, now)?;
    match signer.fault(signature, now) {
        None => Ok(key),
        Some(KeyFault::Revoked) => Err(SignatureError::RevokedKey { key }),
        Some(KeyFault::Expired { expired_seconds }) => {
            Err(SignatureError::ExpiredKey { key, expired_seconds })
        }
        Some(KeyFault::Unfit(fault)) => Err(SignatureError::UnfitKey { key, fault }),
    }
}

/// Only the owner of the key could have hashed with it; so before anything else.
fn check_hash(signature: &Signature, key: &str) -> Result<(), SignatureError> {
    match signature.hash_alg() {
        Some(hash) if policy::is_strong(hash) => Ok(()),
        Some(HashAlgorithm::Other(_)) | None => {
            Err(SignatureError::Unsupported { key: key.to_owned() })
        }
        Some(hash) => Err(SignatureError::WeakHash { key: key.to_owned(), hash: hash.to_string() }),
    }
}

fn check_times(signature: &Signature, key: &str, now: u64) -> Result<(), SignatureError> {
    let key = key.to_owned();
    let Some(made) = signature.created() else {
        return Err(SignatureError::Unsupported { key });
    };
    let made_seconds = u64::from(made.as_secs());
    if made_seconds > now.saturating_add(CLOCK_SKEW_SECONDS) {
        return Err(SignatureError::FromTheFuture { key, made_seconds });
    }
    match policy::end_of(signature) {
        Some(expired_seconds) if expired_seconds <= now => {
            Err(SignatureError::ExpiredSignature { key, expired_seconds })
        }
        _ => Ok(()),
    }
}

/// A critical notation asks to be refused by whoever does not know it; we know none.
fn has_critical_note(signature: &Signature) -> bool {
    signature.config().is_none_or(|config| {
        config
            .hashed_subpackets()
            .any(|part| part.is_critical && matches!(part.data, SubpacketData::Notation(_)))
    })
}

/// Who the signature says made it: fingerprint, else key id.
fn claimed_issuer(signature: &Signature) -> String {
    let fingerprints = signature.config().map(|config| config.issuer_fingerprint());
    if let Some(fingerprint) = fingerprints.as_deref().and_then(<[_]>::first) {
        return fingerprint_text(fingerprint);
    }
    let ids = signature.config().map(|config| config.issuer_key_id());
    match ids.as_deref().and_then(<[_]>::first) {
        Some(id) => id.to_string().to_ascii_uppercase(),
        None => "unknown".to_owned(),
    }
}

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
