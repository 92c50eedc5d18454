//! One value ↔ `ENC[AES256_GCM,data:…,iv:…,tag:…,type:…]`.
//!
//! AES-256-GCM with a nonce of 32 bytes; the additional data is the value's path, each key followed by
//! `:`, without positions in lists. An empty text stays empty.

use aes_gcm::aead::consts::U32;
use aes_gcm::aead::{AeadInPlace, KeyInit};
use aes_gcm::aes::Aes256;
use aes_gcm::{AesGcm, Nonce, Tag};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::error::ValueProblem;
use super::secret::{Secret, SecretBytes};
use super::timestamp;
use super::tree::{Comment, Node};

/// Bytes of a nonce.
pub(super) const NONCE_BYTES: usize = 32;
const TAG_BYTES: usize = 16;

/// The key that all values of one document are encrypted with.
#[derive(Debug, Clone, PartialEq)]
pub struct DataKey(pub(super) Secret<[u8; 32]>);

impl DataKey {
    /// Takes 32 random bytes as a key.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(Secret::new(bytes))
    }

    pub(super) fn cipher(&self) -> Cipher {
        Cipher(AesGcm::new(self.0.expose().into()))
    }
}

/// A data key made ready for many values.
pub(super) struct Cipher(AesGcm<Aes256, U32>);

/// An encrypted value, taken apart.
pub(super) struct Sealed<'t> {
    data: Vec<u8>,
    pub(super) nonce: [u8; NONCE_BYTES],
    tag: [u8; TAG_BYTES],
    pub(super) kind: &'t str,
}

impl<'t> Sealed<'t> {
    /// Takes `text` apart; `None` when it does not have the form.
    pub(super) fn parse(text: &'t str) -> Option<Self> {
        let inner = text.strip_prefix("ENC[AES256_GCM,data:")?.strip_suffix(']')?;
        let (data, rest) = inner.split_once(",iv:")?;
        let (nonce, rest) = rest.split_once(",tag:")?;
        let (tag, kind) = rest.split_once(",type:")?;
        let nonce = BASE64.decode(nonce).ok()?.try_into().ok()?;
        let tag = BASE64.decode(tag).ok()?.try_into().ok()?;
        Some(Self { data: BASE64.decode(data).ok()?, nonce, tag, kind })
    }
}

impl Cipher {
    /// The plain bytes; `None` when the cipher refuses them.
    pub(super) fn open(&self, sealed: &Sealed<'_>, path: &str) -> Option<SecretBytes> {
        let mut bytes = Secret::new(sealed.data.clone());
        let nonce = Nonce::<U32>::from_slice(&sealed.nonce);
        let tag = Tag::from_slice(&sealed.tag);
        let opened =
            self.0.decrypt_in_place_detached(nonce, path.as_bytes(), bytes.expose_mut(), tag);
        opened.ok().map(|()| bytes)
    }

    /// The encrypted form of `plain` under `path`.
    pub(super) fn seal(
        &self,
        plain: &SecretBytes,
        kind: &str,
        path: &str,
        nonce: &[u8; NONCE_BYTES],
    ) -> String {
        let mut bytes = plain.expose().clone();
        let nonce_bytes = Nonce::<U32>::from_slice(nonce);
        let tag = self
            .0
            .encrypt_in_place_detached(nonce_bytes, path.as_bytes(), &mut bytes)
            .expect("a value is far below the limit of AES-GCM");
        let [data, iv, tag] = [&bytes[..], &nonce[..], &tag[..]].map(|part| BASE64.encode(part));
        format!("ENC[AES256_GCM,data:{data},iv:{iv},tag:{tag},type:{kind}]")
    }
}

/// The type name of a leaf.
pub(super) fn kind_of(node: &Node) -> &'static str {
    match node {
        Node::Bool(_) => "bool",
        Node::Int(_) => "int",
        Node::Float(_) => "float",
        Node::Time(_) => "time",
        Node::Comment(_) => "comment",
        Node::Text(_) | Node::Null | Node::List(_) | Node::Map(_) => "str",
    }
}

/// The leaf that `bytes` are, by the type that was written beside them.
pub(super) fn typed(bytes: SecretBytes, kind: &str) -> Result<Node, ValueProblem> {
    let wrong = || ValueProblem::Type { kind: kind.chars().take(16).collect() };
    let text = || bytes.text().ok_or_else(wrong);
    match kind {
        "str" | "bytes" => Ok(Node::Text(bytes)),
        "comment" => Ok(Node::Comment(Comment { text: bytes, inline: false })),
        "int" => text()?.parse().map(Node::Int).map_err(|_| wrong()),
        "float" => text()?.parse().map(Node::Float).map_err(|_| wrong()),
        // The spellings of Go's strconv.ParseBool, which SOPS reads them with.
        "bool" => match text()? {
            "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(Node::Bool(true)),
            "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(Node::Bool(false)),
            _ => Err(wrong()),
        },
        "time" => timestamp::canonical(text()?).map(Node::Time).ok_or_else(wrong),
        _ => Err(wrong()),
    }
}
