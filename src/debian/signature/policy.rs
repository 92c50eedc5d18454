//! What a key of the ring may do at a moment: the opinion that the `pgp` crate leaves to us.
//!
//! Statements about a key count only when the primary key itself made them, with a strong hash, and
//! they are neither expired nor from the future; the newest counts. As in `GnuPG`, flags and expiry in
//! a signature directly on the primary key come before those on a user id. Revocations count
//! whatever their age, reason and hash: a doubt about a key is resolved against it.

use pgp::composed::{SignedPublicKey, SignedPublicSubKey};
use pgp::crypto::hash::HashAlgorithm;
use pgp::packet::{KeyFlags, Signature, SignatureType, SubpacketData};
use pgp::ser::Serialize as _;
use pgp::types::{Fingerprint, KeyDetails as _, PublicParams, Tag};

use super::CLOCK_SKEW_SECONDS;
use crate::debian::keys::KeyRing;

/// Bytes of an RSA key with a modulus of 2048 bits and the shortest exponent: two lengths of two
/// bytes, 256 and 1.
const RSA_2048_BYTES: usize = 2 + 256 + 2 + 1;

/// A key of the ring that a signature names: a primary key, or one of its subkeys.
#[derive(Debug, Clone, Copy)]
pub(super) struct Candidate<'a> {
    certificate: &'a SignedPublicKey,
    subkey: Option<&'a SignedPublicSubKey>,
}

/// Why a key's signature does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KeyFault {
    /// It, or its primary key, is revoked.
    Revoked,
    /// It, or its primary key, is past its end.
    Expired {
        /// When, in seconds since 1970.
        expired_seconds: u64,
    },
    /// Another reason, a relative clause such as `which …`.
    Unfit(&'static str),
}

/// What the ring says about a key.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Standing {
    expires_seconds: Option<u64>,
    may_sign: bool,
}

impl<'a> Candidate<'a> {
    /// The keys of `ring` that `signature` names by fingerprint or, lacking one, by key id.
    pub(super) fn issuers(signature: &Signature, ring: &'a KeyRing) -> Vec<Self> {
        let fingerprints = signature.issuer_fingerprint();
        let ids = signature.issuer_key_id();
        let is_named = |candidate: &Candidate<'_>| {
            if fingerprints.is_empty() {
                ids.contains(&&candidate.key_id())
            } else {
                fingerprints.contains(&&candidate.fingerprint())
            }
        };
        let keys_of = |certificate: &'a SignedPublicKey| {
            let subkeys = certificate.public_subkeys.iter().map(Some);
            std::iter::once(None).chain(subkeys).map(|subkey| Candidate { certificate, subkey })
        };
        ring.certificates.iter().flat_map(keys_of).filter(is_named).collect()
    }

    pub(super) fn fingerprint(&self) -> Fingerprint {
        match self.subkey {
            Some(subkey) => subkey.fingerprint(),
            None => self.certificate.primary_key.fingerprint(),
        }
    }

    fn key_id(&self) -> pgp::types::KeyId {
        match self.subkey {
            Some(subkey) => subkey.legacy_key_id(),
            None => self.certificate.primary_key.legacy_key_id(),
        }
    }

    /// Whether this key made `signature` over `data`; nothing but arithmetic.
    pub(super) fn made(&self, signature: &Signature, data: &[u8]) -> bool {
        match self.subkey {
            Some(subkey) => signature.verify(&subkey.key, data).is_ok(),
            None => signature.verify(&self.certificate.primary_key, data).is_ok(),
        }
    }

    /// Why a signature by this key does not count at `now`.
    pub(super) fn fault(&self, signature: &Signature, now: u64) -> Option<KeyFault> {
        let (created, parameters) = match self.subkey {
            Some(subkey) => (subkey.created_at(), subkey.public_params()),
            None => (self.certificate.created_at(), self.certificate.public_params()),
        };
        if self.is_revoked() {
            return Some(KeyFault::Revoked);
        }
        if !is_strong_key(parameters) {
            return Some(KeyFault::Unfit("which is of a kind or length that is too weak"));
        }
        let unbound = Some(KeyFault::Unfit("which does not vouch for itself with a strong hash"));
        let Some(primary) = primary_standing(self.certificate, now) else { return unbound };
        let own = match self.subkey {
            Some(subkey) => match subkey_standing(self.certificate, subkey, now) {
                Some(standing) => standing,
                None => return unbound,
            },
            None => primary.clone(),
        };
        let ends = [primary.expires_seconds, own.expires_seconds];
        if let Some(expired_seconds) = ends.into_iter().flatten().filter(|end| *end <= now).min() {
            return Some(KeyFault::Expired { expired_seconds });
        }
        if signature.created().is_none_or(|made| made < created) {
            return Some(KeyFault::Unfit("which is younger than the signature"));
        }
        (!own.may_sign).then_some(KeyFault::Unfit("which is not meant for signing"))
    }

    fn is_revoked(&self) -> bool {
        let primary = &self.certificate.primary_key;
        let mut revocations = self.certificate.details.revocation_signatures.iter();
        let primary_is_revoked =
            revocations.any(|revocation| revocation.verify_key(primary).is_ok());
        let subkey_is_revoked = self.subkey.is_some_and(|subkey| {
            subkey.signatures.iter().any(|signature| {
                signature.typ() == Some(SignatureType::SubkeyRevocation)
                    && signature.verify_subkey_binding(primary, &subkey.key).is_ok()
            })
        });
        primary_is_revoked || subkey_is_revoked
    }
}

/// Whether a hash is out of reach of forgers: at least 256 bits, and no known attack.
pub(super) fn is_strong(hash: HashAlgorithm) -> bool {
    matches!(
        hash,
        HashAlgorithm::Sha256
            | HashAlgorithm::Sha384
            | HashAlgorithm::Sha512
            | HashAlgorithm::Sha3_256
            | HashAlgorithm::Sha3_512
    )
}

/// When a signature ends, in seconds since 1970; an end of zero seconds means none.
pub(super) fn end_of(signature: &Signature) -> Option<u64> {
    let lifetime = signature.signature_expiration_time()?.as_secs();
    let made = signature.created()?.as_secs();
    (lifetime > 0).then(|| u64::from(made) + u64::from(lifetime))
}

fn is_strong_key(parameters: &PublicParams) -> bool {
    match parameters {
        PublicParams::RSA(key) => key.write_len() >= RSA_2048_BYTES,
        PublicParams::ECDSA(_)
        | PublicParams::EdDSALegacy(_)
        | PublicParams::Ed25519(_)
        | PublicParams::Ed448(_) => true,
        _ => false,
    }
}

/// What the primary key says of itself; `None` when it says nothing that counts.
fn primary_standing(certificate: &SignedPublicKey, now: u64) -> Option<Standing> {
    let primary = &certificate.primary_key;
    let direct = newest(certificate.details.direct_signatures.iter().filter(|signature| {
        signature.typ() == Some(SignatureType::Key)
            && counts(signature, now)
            && signature.verify_key(primary).is_ok()
    }));
    let by_user = certificate.details.users.iter().filter_map(|user| {
        let statement = newest(user.signatures.iter().filter(|signature| {
            counts(signature, now)
                && signature.verify_certification(primary, Tag::UserId, &user.id).is_ok()
        }))?;
        (statement.typ() != Some(SignatureType::CertRevocation)).then_some(statement)
    });
    let statements: Vec<&Signature> = direct.into_iter().chain(newest(by_user)).collect();
    if statements.is_empty() {
        return None;
    }
    let created = u64::from(certificate.created_at().as_secs());
    let flags = statements.iter().find_map(|statement| flags_of(statement));
    let lifetime = statements.iter().find_map(|statement| statement.key_expiration_time());
    Some(Standing {
        expires_seconds: end_of_key(created, lifetime),
        // A key without flags is from before flags, and may do all that it can.
        may_sign: flags.is_none_or(KeyFlags::sign),
    })
}

/// What the primary key says of a subkey, with the subkey's own consent to sign for it.
fn subkey_standing(
    certificate: &SignedPublicKey,
    subkey: &SignedPublicSubKey,
    now: u64,
) -> Option<Standing> {
    let primary = &certificate.primary_key;
    let binding = newest(subkey.signatures.iter().filter(|signature| {
        signature.typ() == Some(SignatureType::SubkeyBinding)
            && counts(signature, now)
            && signature.verify_subkey_binding(primary, &subkey.key).is_ok()
    }))?;
    let consents = || {
        binding.embedded_signature().is_some_and(|consent| {
            counts(consent, now) && consent.verify_primary_key_binding(&subkey.key, primary).is_ok()
        })
    };
    let created = u64::from(subkey.created_at().as_secs());
    Some(Standing {
        expires_seconds: end_of_key(created, binding.key_expiration_time()),
        may_sign: flags_of(binding).is_some_and(KeyFlags::sign) && consents(),
    })
}

/// Whether a statement is in force: strong hash, made, and not ended.
fn counts(statement: &Signature, now: u64) -> bool {
    let is_strong = statement.hash_alg().is_some_and(is_strong);
    let latest = now.saturating_add(CLOCK_SKEW_SECONDS);
    let is_made = statement.created().is_some_and(|made| u64::from(made.as_secs()) <= latest);
    is_strong && is_made && end_of(statement).is_none_or(|end| end > now)
}

fn newest<'a>(statements: impl Iterator<Item = &'a Signature>) -> Option<&'a Signature> {
    statements.max_by_key(|statement| statement.created())
}

fn flags_of(statement: &Signature) -> Option<&KeyFlags> {
    statement.config()?.hashed_subpackets().find_map(|part| match &part.data {
        SubpacketData::KeyFlags(flags) => Some(flags),
        _ => None,
    })
}

fn end_of_key(created: u64, lifetime: Option<pgp::types::Duration>) -> Option<u64> {
    let lifetime = lifetime?.as_secs();
    (lifetime > 0).then(|| created + u64::from(lifetime))
}
