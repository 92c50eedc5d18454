//! Store paths: how a name and contents become `/nix/store/<digest>-<name>`.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use super::Sha256Digest;

/// Most bytes that a store path's name may have.
pub const NAME_BYTES_MAX: usize = 211;
/// Bytes of the digest in a store path.
pub const DIGEST_BYTES: usize = 20;
/// Characters of the base-32 digest in a store path.
pub const DIGEST_CHARS: usize = 32;

/// The part after the dash: 1 to 211 characters of `[A-Za-z0-9+._?=-]`.
///
/// The first dash-separated part is not `.` or `..`. Source: `checkName` in Nix's
/// `src/libstore/path.cc`, 2026-08.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StorePathName(String);

/// A path in the store, without the store directory: `<32 base-32 characters>-<name>`.
///
/// Ordered by its text, as Nix orders references.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StorePath(String);

/// The directory that store paths are computed for, nearly always `/nix/store`.
///
/// It is part of every digest; where the files really lie is another matter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreDir(String);

/// What of an output with a hash known beforehand is hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ingestion {
    /// The bytes of the single file.
    Flat,
    /// The NAR of the tree.
    Recursive,
}

/// A hash known before the contents; prints as Nix writes it, `sha512:` and hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FixedHash {
    /// Of old upstream lists only.
    Sha1([u8; 20]),
    /// What Debian's indexes have.
    Sha256(Sha256Digest),
    /// What OCI and npm lists have.
    Sha512([u8; 64]),
}

/// Why a text is not a store path or a name of one.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum StorePathError {
    /// The name is empty, too long, or has a character or first part that Nix refuses.
    #[error("`{name}` is not a store path name (1 to 211 of `A-Za-z0-9+._?=-`)")]
    Name {
        /// The name found, cut to 250 characters.
        name: String,
    },
    /// The part before the dash is not 32 characters of Nix's base-32.
    #[error("`{text}` does not begin with a store path digest and a dash")]
    Digest {
        /// The text found, cut to 250 characters.
        text: String,
    },
}

impl StorePathName {
    /// Checks `name` by Nix's rule.
    pub fn new(name: &str) -> Result<Self, StorePathError> {
        let allowed = |c: u8| c.is_ascii_alphanumeric() || b"+-._?=".contains(&c);
        let first_part = name.split('-').next().unwrap_or_default();
        let good = !name.is_empty()
            && name.len() <= NAME_BYTES_MAX
            && name.bytes().all(allowed)
            && first_part != "."
            && first_part != "..";
        if good {
            Ok(Self(name.to_owned()))
        } else {
            Err(StorePathError::Name { name: name.chars().take(250).collect() })
        }
    }

    /// A name made of `parts` joined by dashes, characters that Nix refuses replaced by `-`.
    ///
    /// For names that come from Debian versions (`1:2.0~rc1`), which may hold `:` and `~`.
    pub fn from_parts(parts: &[&str]) -> Result<Self, StorePathError> {
        let joined = parts.join("-").replace([':', '~'], "-");
        Self::new(&joined)
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl StorePath {
    /// Reads `<digest>-<name>`, as a directory entry of the store.
    pub fn from_base_name(text: &str) -> Result<Self, StorePathError> {
        let fail = || StorePathError::Digest { text: text.chars().take(250).collect() };
        let (digest, name) = text.split_at_checked(DIGEST_CHARS).ok_or_else(fail)?;
        let name = name.strip_prefix('-').ok_or_else(fail)?;
        let bytes = nix_derivation::nixbase32::decode(digest.as_bytes()).map_err(|_| fail())?;
        if bytes.len() != DIGEST_BYTES {
            return Err(fail());
        }
        StorePathName::new(name)?;
        Ok(Self(text.to_owned()))
    }

    /// The 32 base-32 characters before the dash; a scan for references looks for these.
    pub fn digest_text(&self) -> &str {
        &self.0[..DIGEST_CHARS]
    }

    /// The part after the dash.
    pub fn name(&self) -> &str {
        &self.0[DIGEST_CHARS + 1..]
    }

    /// The whole text, `<digest>-<name>`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl StoreDir {
    /// Takes an absolute directory, without a slash at the end.
    pub fn new(dir: &str) -> Self {
        assert!(dir.starts_with('/') && !dir.ends_with('/'), "a store directory is absolute");
        Self(dir.to_owned())
    }

    /// The directory as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The full path of `path`, as programs on the host see it.
    pub fn join(&self, path: &StorePath) -> String {
        format!("{}/{path}", self.0)
    }

    /// The path of contents whose NAR has the digest `nar`, referring to `references`.
    ///
    /// This is Nix's `fixed:r:sha256` with references (`source:…`); self-references are not
    /// supported, we make none. Source: `makeFixedOutputPath` in `src/libstore/store-dir-config.cc`.
    pub fn path_for_contents(
        &self,
        name: &StorePathName,
        nar: Sha256Digest,
        references: &BTreeSet<StorePath>,
    ) -> StorePath {
        self.digest_path(&self.kind_with_references("source", references), nar, name)
    }

    /// The path of a text file, such as a derivation. Source: `makeTextPath`, same file.
    pub fn path_for_text(
        &self,
        name: &StorePathName,
        text: &[u8],
        references: &BTreeSet<StorePath>,
    ) -> StorePath {
        let kind = self.kind_with_references("text", references);
        self.digest_path(&kind, Sha256Digest::of(text), name)
    }

    /// The path of an output whose hash was known before it was made, such as a fetched file.
    ///
    /// Nix gives `Recursive` with SHA-256 the form of [`Self::path_for_contents`]; so does this.
    /// Source: `makeFixedOutputPath`, same file.
    pub fn path_for_fixed(
        &self,
        name: &StorePathName,
        ingestion: Ingestion,
        hash: &FixedHash,
    ) -> StorePath {
        let prefix = match (ingestion, hash) {
            (Ingestion::Recursive, FixedHash::Sha256(nar)) => {
                return self.path_for_contents(name, *nar, &BTreeSet::new());
            }
            (Ingestion::Recursive, _) => "r:",
            (Ingestion::Flat, _) => "",
        };
        let preimage = format!("fixed:out:{prefix}{hash}:");
        self.digest_path("output:out", Sha256Digest::of(preimage.as_bytes()), name)
    }

    /// The path of the output `out` of a derivation that is addressed by its inputs.
    ///
    /// `modulo` is the derivation's hash with its inputs replaced by theirs, which nix-derivation
    /// computes. Other outputs than `out` are not supported, we make none. Source:
    /// `makeOutputPath`, same file.
    pub fn path_for_output(&self, name: &StorePathName, modulo: Sha256Digest) -> StorePath {
        self.digest_path("output:out", modulo, name)
    }

    fn kind_with_references(&self, kind: &str, references: &BTreeSet<StorePath>) -> String {
        references.iter().fold(kind.to_owned(), |kind, path| kind + ":" + &self.join(path))
    }

    fn digest_path(&self, kind: &str, contents: Sha256Digest, name: &StorePathName) -> StorePath {
        let preimage = format!("{kind}:sha256:{contents}:{}:{}", self.0, name.0);
        let full = Sha256Digest::of(preimage.as_bytes());
        let mut digest = [0; DIGEST_BYTES];
        for (index, byte) in full.as_bytes().iter().enumerate() {
            digest[index % DIGEST_BYTES] ^= byte;
        }
        StorePath(format!("{}-{name}", nix_derivation::nixbase32::encode(&digest)))
    }
}

impl Default for StoreDir {
    fn default() -> Self {
        Self::new("/nix/store")
    }
}

impl fmt::Display for FixedHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (algorithm, bytes) = match self {
            Self::Sha1(bytes) => ("sha1", &bytes[..]),
            Self::Sha256(digest) => ("sha256", &digest.as_bytes()[..]),
            Self::Sha512(bytes) => ("sha512", &bytes[..]),
        };
        write!(f, "{algorithm}:")?;
        bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Display for StorePathName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for StorePathName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

impl fmt::Display for StorePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for StorePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StorePath({self})")
    }
}

impl FromStr for StorePath {
    type Err = StorePathError;

    fn from_str(text: &str) -> Result<Self, StorePathError> {
        Self::from_base_name(text)
    }
}

#[cfg(test)]
mod tests;
