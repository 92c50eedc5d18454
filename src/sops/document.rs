//! An encrypted document, and the steps between it and the plain one.

use std::collections::BTreeMap;

use sha2::{Digest as _, Sha256, Sha512};

use super::cipher::{Cipher, DataKey, NONCE_BYTES, Sealed, kind_of, typed};
use super::error::{MacProblem, SopsError, ValueProblem};
use super::format::Format;
use super::metadata::Metadata;
use super::rule::{Leaf, Rule, walk};
use super::secret::SecretBytes;
use super::tree::{Item, Node};

/// What the code starts with when only encrypted values count: SHA-256 of `sops`, so that the two
/// settings never give the same code.
const ONLY_ENCRYPTED_START: [u8; 32] = [
    0x8a, 0x3f, 0xd2, 0xad, 0x54, 0xce, 0x66, 0x52, 0x7b, 0x10, 0x34, 0xf3, 0xd1, 0x47, 0xbe, 0x0b,
    0x0b, 0x97, 0x5b, 0x3b, 0xf4, 0x4f, 0x72, 0xc6, 0xfd, 0xad, 0xec, 0x81, 0x76, 0xf2, 0x7d, 0x69,
];
/// How many other places are tried when a value does not belong where it stands.
const OTHER_PLACES_MAX: usize = 2_000;
/// How many values in clear an error names.
const NAMED_MAX: usize = 8;

/// Fills a buffer with random bytes.
pub type Random<'r> = &'r mut dyn FnMut(&mut [u8]);

/// A document as it lies in a file.
#[derive(Debug, Clone)]
pub struct Document {
    /// Its format.
    pub format: Format,
    /// Its entries; encrypted ones are texts `ENC[…]`.
    pub items: Vec<Item>,
    /// Its `sops` part.
    pub metadata: Metadata,
}

/// A document in clear.
#[derive(Debug, Clone, Default)]
pub struct Opened {
    /// Its entries.
    pub items: Vec<Item>,
    /// With which nonces its values were encrypted.
    pub nonces: Nonces,
}

/// Nonces of values that may stay as they are, so that a change of one secret changes one line.
///
/// A nonce is found by the value's path, type and text together: it is never used for anything else.
#[derive(Debug, Clone, Default)]
pub struct Nonces(BTreeMap<[u8; 32], Vec<[u8; NONCE_BYTES]>>);

impl Document {
    /// Reads an encrypted document.
    ///
    /// # Errors
    ///
    /// What is wrong with its form; nothing is decrypted here.
    pub fn parse(format: Format, bytes: &[u8]) -> Result<Self, SopsError> {
        let (items, metadata) = format.parse_encrypted(bytes)?;
        Ok(Self { format, items, metadata: Metadata::read(metadata)? })
    }

    /// The bytes of the file.
    ///
    /// # Errors
    ///
    /// [`SopsError::Unwritable`], naming the value.
    pub fn to_bytes(&self) -> Result<Vec<u8>, SopsError> {
        self.format.write_encrypted(&self.items, &self.metadata.write())
    }

    /// Paths of values that stand in clear, whatever the rule says; nothing and empty texts hide nothing.
    pub fn in_clear(&self) -> Vec<String> {
        let mut clear = Vec::new();
        let mut items = self.items.clone();
        let _visited = walk(&mut items, &self.metadata.rule, &mut |leaf| {
            let hidden = match &*leaf.node {
                Node::Comment(_) => true,
                Node::Text(text) => {
                    text.is_empty() || text.text().and_then(Sealed::parse).is_some()
                }
                _ => false,
            };
            if !hidden {
                clear.push(leaf.path.join("/"));
            }
            Ok(())
        });
        clear
    }

    /// Decrypts every value and checks the authentication code of the whole.
    ///
    /// # Errors
    ///
    /// The first value that is damaged, was changed, or belongs elsewhere; then the code.
    pub fn open(&self, key: &DataKey) -> Result<Opened, SopsError> {
        let cipher = key.cipher();
        let mut opened = Opened { items: self.items.clone(), nonces: Nonces::default() };
        let mut code = self.metadata.start_code();
        let only_encrypted = self.metadata.mac_only_encrypted;
        let rule = &self.metadata.rule;
        let nonces = &mut opened.nonces;
        walk(&mut opened.items, rule, &mut |leaf| {
            let encrypted = leaf.encrypted;
            let node = if encrypted { self.open_leaf(&cipher, &leaf, nonces)? } else { None };
            if let Some(node) = node {
                *leaf.node = node;
            }
            if (encrypted || !only_encrypted)
                && !matches!(leaf.node, Node::Comment(_))
                && let Some(bytes) = leaf.node.leaf_bytes()
            {
                code.update(bytes.expose());
            }
            Ok(())
        })?;
        self.check_code(&cipher, &hexadecimal(&code.finalize()))?;
        Ok(opened)
    }

    /// The plain leaf; `None` leaves it as it is.
    fn open_leaf(
        &self,
        cipher: &Cipher,
        leaf: &Leaf<'_>,
        nonces: &mut Nonces,
    ) -> Result<Option<Node>, SopsError> {
        let path = additional_data(leaf.path);
        let wrong = |reason| SopsError::Value { path: leaf.path.join("/"), reason };
        let text = match &*leaf.node {
            Node::Comment(comment) => {
                // Like SOPS: a comment that does not decrypt was written in clear.
                let text = comment.text.text().unwrap_or_default();
                let plain = open_comment(cipher, text, leaf.path);
                return Ok(plain.map(|(text, sealed_path, nonce)| {
                    nonces.keep(&sealed_path, "comment", &text, nonce);
                    let mut comment = comment.clone();
                    comment.text = text;
                    Node::Comment(comment)
                }));
            }
            Node::Text(text) if text.is_empty() => return Ok(None),
            Node::Text(text) => text.text().unwrap_or_default(),
            _ => return Err(wrong(ValueProblem::InClear)),
        };
        let Some(sealed) = Sealed::parse(text) else {
            let cut = text.starts_with("ENC[");
            return Err(wrong(if cut { ValueProblem::Malformed } else { ValueProblem::InClear }));
        };
        let Some(plain) = cipher.open(&sealed, &path) else {
            return Err(wrong(self.why_refused(cipher, &sealed, &path)));
        };
        let node = typed(plain, sealed.kind).map_err(wrong)?;
        if !leaf.in_list && matches!(node, Node::Comment(_)) {
            return Err(wrong(ValueProblem::Type { kind: "comment".to_owned() }));
        }
        if let Some(bytes) = node.leaf_bytes() {
            nonces.keep(&path, kind_of(&node), &bytes, sealed.nonce);
        }
        Ok(Some(node))
    }

    /// Whether a value that the cipher refuses is genuine in another place.
    fn why_refused(&self, cipher: &Cipher, sealed: &Sealed<'_>, own: &str) -> ValueProblem {
        let mut found = None;
        let mut tried = 0_usize;
        let mut items = self.items.clone();
        let walked = walk(&mut items, &self.metadata.rule, &mut |leaf| {
            let path = additional_data(leaf.path);
            tried += 1;
            if found.is_none()
                && tried <= OTHER_PLACES_MAX
                && path != own
                && cipher.open(sealed, &path).is_some()
            {
                found = Some(leaf.path.join("/"));
            }
            Ok(())
        });
        match (walked, found) {
            (Ok(()), Some(other)) => ValueProblem::Moved { other },
            _ => ValueProblem::Refused,
        }
    }

    fn check_code(&self, cipher: &Cipher, computed: &str) -> Result<(), SopsError> {
        let damaged = || SopsError::Mac(MacProblem::Damaged);
        let sealed = Sealed::parse(&self.metadata.mac).ok_or_else(damaged)?;
        let plain = cipher.open(&sealed, &self.metadata.last_modified).ok_or_else(damaged)?;
        if plain.text() == Some(computed) {
            return Ok(());
        }
        let clear = self.values_in_clear().join(", ");
        let clear = if clear.is_empty() { "none".to_owned() } else { clear };
        Err(SopsError::Mac(MacProblem::Mismatch { clear }))
    }

    fn values_in_clear(&self) -> Vec<String> {
        let mut clear = Vec::new();
        let mut items = self.items.clone();
        let only_encrypted = self.metadata.mac_only_encrypted;
        let _visited = walk(&mut items, &self.metadata.rule, &mut |leaf| {
            let counts = !leaf.encrypted && !only_encrypted;
            if counts && !matches!(leaf.node, Node::Comment(_)) && clear.len() < NAMED_MAX {
                clear.push(leaf.path.join("/"));
            }
            Ok(())
        });
        clear
    }

    /// Encrypts `opened` with `key`; `metadata` has its recipients already.
    ///
    /// `now` is the time of the change in RFC 3339.
    ///
    /// # Errors
    ///
    /// [`SopsError::ReservedKey`] when the plain document uses the key of the metadata, and
    /// [`SopsError::Rule`] when encrypted comments would match the rule for plain ones.
    pub fn seal(
        format: Format,
        mut opened: Opened,
        mut metadata: Metadata,
        key: &DataKey,
        (now, random): (&str, Random<'_>),
    ) -> Result<Self, SopsError> {
        format.check_reserved(&opened.items)?;
        let cipher = key.cipher();
        let mut code = metadata.start_code();
        let only_encrypted = metadata.mac_only_encrypted;
        let nonces = &mut opened.nonces;
        walk(&mut opened.items, &metadata.rule, &mut |leaf| {
            let Some(bytes) = leaf.node.leaf_bytes() else { return Ok(()) };
            let is_comment = matches!(leaf.node, Node::Comment(_));
            if !is_comment && (leaf.encrypted || !only_encrypted) {
                code.update(bytes.expose());
            }
            if leaf.encrypted {
                let path = additional_data(leaf.path);
                let kind = kind_of(leaf.node);
                let mut fresh = || nonces.of(&path, kind, &bytes, random);
                let text = if bytes.is_empty() {
                    String::new()
                } else {
                    cipher.seal(&bytes, kind, &path, &fresh())
                };
                check_comment_rule(&metadata.rule, is_comment, &text)?;
                seal_leaf(leaf, text);
            }
            Ok(())
        })?;
        now.clone_into(&mut metadata.last_modified);
        let mut nonce = [0; NONCE_BYTES];
        random(&mut nonce);
        let code: SecretBytes = hexadecimal(&code.finalize()).into();
        metadata.mac = cipher.seal(&code, "str", now, &nonce);
        Ok(Self { format, items: opened.items, metadata })
    }
}

impl Metadata {
    fn start_code(&self) -> Sha512 {
        let mut code = Sha512::new();
        if self.mac_only_encrypted {
            code.update(ONLY_ENCRYPTED_START);
        }
        code
    }
}

impl Nonces {
    fn keep(&mut self, path: &str, kind: &str, plain: &SecretBytes, nonce: [u8; NONCE_BYTES]) {
        self.0.entry(Self::name(path, kind, plain)).or_default().push(nonce);
    }

    fn of(
        &mut self,
        path: &str,
        kind: &str,
        plain: &SecretBytes,
        random: &mut dyn FnMut(&mut [u8]),
    ) -> [u8; NONCE_BYTES] {
        let kept = self.0.get_mut(&Self::name(path, kind, plain));
        if let Some(nonces) = kept.filter(|nonces| !nonces.is_empty()) {
            return nonces.remove(0);
        }
        let mut nonce = [0; NONCE_BYTES];
        random(&mut nonce);
        nonce
    }

    fn name(path: &str, kind: &str, plain: &SecretBytes) -> [u8; 32] {
        let mut digest = Sha256::new();
        for part in [path.as_bytes(), kind.as_bytes(), plain.expose()] {
            digest.update((part.len() as u64).to_le_bytes());
            digest.update(part);
        }
        digest.finalize().into()
    }
}

/// The comment, the path it was sealed under and its nonce.
///
/// Which map a comment belongs to is a matter of layout, so the maps around it are tried too.
fn open_comment(
    cipher: &Cipher,
    text: &str,
    path: &[String],
) -> Option<(SecretBytes, String, [u8; NONCE_BYTES])> {
    let sealed = Sealed::parse(text)?;
    (0..=path.len()).rev().find_map(|length| {
        let path = additional_data(&path[..length]);
        let plain = cipher.open(&sealed, &path)?;
        Some((plain, path, sealed.nonce))
    })
}

fn seal_leaf(leaf: Leaf<'_>, text: String) {
    match leaf.node {
        // SOPS writes the comments of lists as items.
        Node::Comment(comment) if !leaf.in_list => comment.text = text.into(),
        node => *node = Node::Text(text.into()),
    }
}

fn check_comment_rule(rule: &Rule, is_comment: bool, sealed: &str) -> Result<(), SopsError> {
    let Rule::UnencryptedCommentRegex(regex) = rule else { return Ok(()) };
    if is_comment && regex.is_match(sealed) {
        let reason = "matches encrypted comments too, so the document could not be decrypted again";
        let place = "unencrypted_comment_regex".to_owned();
        return Err(SopsError::Rule { place, reason: reason.to_owned() });
    }
    Ok(())
}

/// The path as it is authenticated with a value.
fn additional_data(path: &[String]) -> String {
    let mut text = path.join(":");
    text.push(':');
    text
}

fn hexadecimal(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        write!(text, "{byte:02X}").expect("writing to a String cannot fail");
    }
    text
}
