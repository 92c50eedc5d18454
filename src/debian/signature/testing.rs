//! Keys and signatures made inside the tests, by the `pgp` crate, from fixed seeds.

use pgp::composed::{
    ArmorOptions, CleartextSignedMessage, DetachedSignature, KeyType, SignedKeyDetails,
    SignedPublicKey, SignedPublicSubKey,
};
use pgp::crypto::hash::HashAlgorithm;
use pgp::packet::{
    KeyFlags, PubKeyInner, PublicKey, PublicSubkey, SecretKey, SecretSubkey, Signature,
    SignatureConfig, SignatureType, Subpacket, SubpacketData, UserId,
};
use pgp::ser::Serialize as _;
use pgp::types::{
    Duration, KeyDetails as _, KeyVersion, PacketHeaderVersion, Password, SignedUser, SigningKey,
    Tag, Timestamp,
};
use rand::SeedableRng as _;
use rand::rngs::StdRng;

/// What a test key is like; the default is a sound key without subkey.
#[derive(Debug, Clone, Copy)]
pub(crate) struct KeyRecipe {
    pub(crate) seed: u64,
    /// An RSA key of so many bits instead of Ed25519, which refuses to sign with SHA-1.
    pub(crate) rsa_bits: Option<u32>,
    pub(crate) created: u32,
    pub(crate) lifetime: u32,
    pub(crate) may_sign: bool,
    pub(crate) self_hash: HashAlgorithm,
    pub(crate) is_revoked: bool,
    pub(crate) subkey: Option<SubkeyRecipe>,
}

/// What the subkey of a test key is like.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SubkeyRecipe {
    pub(crate) lifetime: u32,
    pub(crate) may_sign: bool,
    pub(crate) consents: bool,
    pub(crate) is_revoked: bool,
}

/// How a test signature is made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Signing {
    pub(crate) made: u32,
    pub(crate) lifetime: u32,
    pub(crate) hash: HashAlgorithm,
}

/// A key with its secret.
pub(crate) struct TestKey {
    recipe: KeyRecipe,
    primary: SecretKey,
    subkey: Option<SecretSubkey>,
}

impl Default for KeyRecipe {
    fn default() -> Self {
        Self {
            seed: 1,
            rsa_bits: None,
            created: 1_700_000_000,
            lifetime: 0,
            may_sign: true,
            self_hash: HashAlgorithm::Sha256,
            is_revoked: false,
            subkey: None,
        }
    }
}

impl Default for SubkeyRecipe {
    fn default() -> Self {
        Self { lifetime: 0, may_sign: true, consents: true, is_revoked: false }
    }
}

impl Default for Signing {
    fn default() -> Self {
        Self { made: 1_750_000_000, lifetime: 0, hash: HashAlgorithm::Sha256 }
    }
}

impl TestKey {
    pub(crate) fn new(recipe: KeyRecipe) -> Self {
        let mut rng = StdRng::seed_from_u64(recipe.seed);
        let kind = recipe.rsa_bits.map_or(KeyType::Ed25519Legacy, KeyType::Rsa);
        let algorithm = kind.to_alg();
        let mut generate = || {
            let (public, secret) = kind.generate(&mut rng).unwrap();
            let created = Timestamp::from_secs(recipe.created);
            (PubKeyInner::new(KeyVersion::V4, algorithm, created, None, public).unwrap(), secret)
        };
        let (public, secret) = generate();
        let primary = SecretKey::new(PublicKey::from_inner(public).unwrap(), secret).unwrap();
        let subkey = recipe.subkey.map(|_| {
            let (public, secret) = generate();
            SecretSubkey::new(PublicSubkey::from_inner(public).unwrap(), secret).unwrap()
        });
        Self { recipe, primary, subkey }
    }

    /// The fingerprint of the key that signs: the subkey when there is one.
    pub(crate) fn signer(&self) -> String {
        let fingerprint = match &self.subkey {
            Some(subkey) => subkey.fingerprint(),
            None => self.primary.fingerprint(),
        };
        fingerprint.to_string().to_ascii_uppercase()
    }

    /// The binary key file.
    pub(crate) fn ring_bytes(&self) -> Vec<u8> {
        self.certificate().to_bytes().unwrap()
    }

    /// The armored key file.
    pub(crate) fn ring_text(&self) -> String {
        self.certificate().to_armored_string(ArmorOptions::default()).unwrap()
    }

    fn certificate(&self) -> SignedPublicKey {
        let recipe = &self.recipe;
        let id = UserId::from_str(PacketHeaderVersion::New, "test <test@example.org>").unwrap();
        let mut config = self.statement(SignatureType::CertPositive, recipe.self_hash);
        config.hashed_subpackets.push(part(flags(recipe.may_sign)));
        config.hashed_subpackets.extend(lifetime(recipe.lifetime, false));
        let public = self.primary.public_key();
        let none = Password::empty();
        let certification =
            config.sign_certification(&self.primary, public, &none, Tag::UserId, &id).unwrap();
        let revocations = recipe.is_revoked.then(|| {
            let config = self.statement(SignatureType::KeyRevocation, HashAlgorithm::Sha256);
            config.sign_key(&self.primary, &none, public).unwrap()
        });
        let users = vec![SignedUser::new(id, vec![certification])];
        let details =
            SignedKeyDetails::new(revocations.into_iter().collect(), vec![], users, vec![]);
        let subkeys = self.subkey.iter().map(|subkey| self.bound(subkey)).collect();
        SignedPublicKey::new(public.clone(), details, subkeys)
    }

    fn bound(&self, subkey: &SecretSubkey) -> SignedPublicSubKey {
        let recipe = self.recipe.subkey.unwrap();
        let (none, public) = (Password::empty(), self.primary.public_key());
        let mut config = self.statement(SignatureType::SubkeyBinding, self.recipe.self_hash);
        config.hashed_subpackets.push(part(flags(recipe.may_sign)));
        config.hashed_subpackets.extend(lifetime(recipe.lifetime, false));
        if recipe.consents {
            let consent = self.statement(SignatureType::KeyBinding, HashAlgorithm::Sha256);
            let consent = consent
                .sign_primary_key_binding(subkey, subkey.public_key(), &none, public)
                .unwrap();
            let data = SubpacketData::EmbeddedSignature(Box::new(consent));
            config.hashed_subpackets.push(part(data));
        }
        let bind = |config: SignatureConfig| {
            config.sign_subkey_binding(&self.primary, public, &none, subkey.public_key()).unwrap()
        };
        let mut signatures = vec![bind(config)];
        if recipe.is_revoked {
            let kind = SignatureType::SubkeyRevocation;
            signatures.push(bind(self.statement(kind, HashAlgorithm::Sha256)));
        }
        SignedPublicSubKey::new(subkey.public_key().clone(), signatures)
    }

    /// The beginning of a statement by the primary key, made when the key was.
    fn statement(&self, kind: SignatureType, hash: HashAlgorithm) -> SignatureConfig {
        let mut config = SignatureConfig::v4(kind, self.primary.algorithm(), hash);
        config.hashed_subpackets = issued_at(self.recipe.created, &self.primary);
        config
    }

    fn sign(&self, kind: SignatureType, data: &[u8], signing: Signing) -> Signature {
        match &self.subkey {
            Some(subkey) => sign_with(subkey, kind, data, signing),
            None => sign_with(&self.primary, kind, data, signing),
        }
    }

    /// A detached binary signature, armored.
    pub(crate) fn sign_detached(&self, data: &[u8], signing: Signing) -> String {
        let signature = self.sign(SignatureType::Binary, data, signing);
        DetachedSignature::new(signature).to_armored_string(ArmorOptions::default()).unwrap()
    }

    /// A detached text signature, armored.
    pub(crate) fn sign_detached_text(&self, data: &[u8], signing: Signing) -> String {
        let signature = self.sign(SignatureType::Text, data, signing);
        DetachedSignature::new(signature).to_armored_string(ArmorOptions::default()).unwrap()
    }
}

/// A clear-signed document with a signature by each of `signers`.
pub(crate) fn clear_signed(text: &str, signers: &[(&TestKey, Signing)]) -> String {
    let sign = |normalized: &str| {
        // RFC 9580, section 7.2: white space at line ends is not part of what is signed.
        let trimmed: Vec<&str> = normalized.split("\r\n").map(str::trim_end).collect();
        let trimmed = trimmed.join("\r\n");
        let sign = |(key, signing): &(&TestKey, Signing)| {
            key.sign(SignatureType::Text, trimmed.as_bytes(), *signing)
        };
        Ok(signers.iter().map(sign).collect())
    };
    let message = CleartextSignedMessage::new_many(text, sign).unwrap();
    message.to_armored_string(ArmorOptions::default()).unwrap()
}

fn sign_with(key: &impl SigningKey, kind: SignatureType, data: &[u8], how: Signing) -> Signature {
    let mut config = SignatureConfig::v4(kind, key.algorithm(), how.hash);
    config.hashed_subpackets = issued_at(how.made, key);
    config.hashed_subpackets.extend(lifetime(how.lifetime, true));
    config.sign(key, &Password::empty(), data).unwrap()
}

fn issued_at(made: u32, issuer: &impl SigningKey) -> Vec<Subpacket> {
    vec![
        part(SubpacketData::SignatureCreationTime(Timestamp::from_secs(made))),
        part(SubpacketData::IssuerFingerprint(issuer.fingerprint())),
    ]
}

fn lifetime(seconds: u32, is_of_signature: bool) -> Option<Subpacket> {
    let duration = Duration::from_secs(seconds);
    let data = if is_of_signature {
        SubpacketData::SignatureExpirationTime(duration)
    } else {
        SubpacketData::KeyExpirationTime(duration)
    };
    (seconds > 0).then(|| part(data))
}

fn flags(may_sign: bool) -> SubpacketData {
    let mut flags = KeyFlags::default();
    flags.set_sign(may_sign);
    flags.set_certify(true);
    SubpacketData::KeyFlags(flags)
}

fn part(data: SubpacketData) -> Subpacket {
    Subpacket::regular(data).unwrap()
}
