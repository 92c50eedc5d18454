//! Key rings: certificates read from bytes, and the Debian archive's own, embedded.
//!
//! The files under `src/debian/keys/` are those of package `debian-archive-keyring` 2025.1 of trixie
//! (`usr/share/keyrings/debian-archive-<name>.pgp` in the `.deb` with SHA-256
//! `9ea7778e443144ca490668737a8ab22dd3e748bb99e805e22ec055abeb3c7fac`, an entry of the index that
//! these same keys sign), byte for byte. Certificates and the subkeys that sign:
//!
//! | file | primary key | signing subkey |
//! |---|---|---|
//! | `trixie-automatic` | `04B54C3CDCA79751B16BC6B5225629DF75B188BD` | `B8E5F13176D2A7A75220028078DBA3BC47EF2265` |
//! | `trixie-security-automatic` | `5E04A1E3223A19A20706E20F9904613D4CCE68C6` | `89C87ACEA5DD6B8E6A7068808E9F831205B4BA95` |
//! | `trixie-stable` | `41587F7DB8C774BCCF131416762F67A0B2C39DE4` | the primary key |
//! | `bookworm-automatic` | `B8B80B5B623EAB6AD8775C45B7C5D7D6350947F8` | `4CB50190207B4758A3F73A796ED0E7B82643E131` |
//! | `bookworm-security-automatic` | `05AB90340C0C5E797F44A8C8254CF3B5AEC0A8F0` | `B0CAB9266E8C3929798B3EEEBDE6D2B9216EC7A8` |
//! | `bookworm-stable` | `4D64FEC119C2029067D6E791F8D2585B8783D481` | the primary key |
//!
//! The same fingerprints stand on <https://ftp-master.debian.org/keys.html>. A test compares them.

use std::fmt;

use pgp::composed::{Deserializable as _, SignedPublicKey};
use pgp::types::KeyDetails as _;
use thiserror::Error;

use super::armor::{self, ArmorError};

/// The archive's keys, trixie's first.
const DEBIAN_KEYS: [&[u8]; 6] = [
    include_bytes!("keys/trixie-automatic.gpg"),
    include_bytes!("keys/trixie-security-automatic.gpg"),
    include_bytes!("keys/trixie-stable.gpg"),
    include_bytes!("keys/bookworm-automatic.gpg"),
    include_bytes!("keys/bookworm-security-automatic.gpg"),
    include_bytes!("keys/bookworm-stable.gpg"),
];

/// The largest key file taken.
const KEY_FILE_BYTES_MAX: usize = 1 << 20;
/// The most certificates in one ring.
const CERTIFICATES_MAX: usize = 256;

/// Certificates whose owners may sign a source; at least one.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyRing {
    pub(super) certificates: Vec<SignedPublicKey>,
}

/// Bytes that are no key ring.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum KeyRingError {
    /// Neither armored nor binary `OpenPGP` data.
    #[error("this is not an OpenPGP public key file")]
    Armor(#[source] ArmorError),
    /// The packets hold no usable certificate.
    #[error("the key file holds no readable public key{}", .detail.as_ref().map(|d| format!(": {d}")).unwrap_or_default())]
    NoKey {
        /// What the first unreadable certificate stumbled over.
        detail: Option<String>,
    },
    /// Larger than any ring in use.
    #[error("the key file is larger than 1 MiB or holds more than 256 keys")]
    TooLarge,
}

impl KeyRing {
    /// Reads a key file, armored or binary. Unreadable certificates are passed over.
    ///
    /// # Errors
    ///
    /// When no certificate is left.
    pub fn parse(bytes: &[u8]) -> Result<Self, KeyRingError> {
        if bytes.len() > KEY_FILE_BYTES_MAX {
            return Err(KeyRingError::TooLarge);
        }
        let packets = armor::key_packets(bytes).map_err(KeyRingError::Armor)?;
        let mut certificates = Vec::new();
        let mut detail = None;
        let parsed = SignedPublicKey::from_bytes_many(packets.as_slice());
        for certificate in parsed.into_iter().flatten().take(KEY_FILE_BYTES_MAX) {
            match certificate {
                Ok(certificate) => certificates.push(certificate),
                Err(error) => detail = detail.or_else(|| Some(error.to_string())),
            }
            if certificates.len() > CERTIFICATES_MAX {
                return Err(KeyRingError::TooLarge);
            }
        }
        if certificates.is_empty() {
            return Err(KeyRingError::NoKey { detail });
        }
        Ok(Self { certificates })
    }

    /// The keys that sign Debian's archive: trixie's and bookworm's, main archive and security.
    ///
    /// Debian signs each release with the keys of the release before as well, so both are needed.
    pub fn debian() -> Self {
        let read = |bytes: &[u8]| Self::parse(bytes).expect("a test reads every embedded key");
        let certificates = DEBIAN_KEYS.into_iter().flat_map(|bytes| read(bytes).certificates);
        Self { certificates: certificates.collect() }
    }

    /// The fingerprints of the primary keys, upper-case hexadecimal, in the order of the file.
    pub fn fingerprints(&self) -> Vec<String> {
        self.certificates.iter().map(|key| fingerprint_text(&key.fingerprint())).collect()
    }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("KeyRing").field(&self.fingerprints()).finish()
    }
}

/// A fingerprint as `gpg` prints it.
pub(super) fn fingerprint_text(fingerprint: &pgp::types::Fingerprint) -> String {
    fingerprint.to_string().to_ascii_uppercase()
}

#[cfg(test)]
mod tests;
