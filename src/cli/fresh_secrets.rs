//! Secrets for test machines: made from the declarations, so that a test never needs the real ones.

use std::collections::BTreeMap;
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::time::Duration;

use super::report::Failure;
use super::session::Session;
use crate::eval::System;
use crate::exec::files::{FileError, read_limited, write_atomic};
use crate::exec::init_program::NEXUS_SECRETS;
use crate::exec::secrets::document::{SecretsFile, content_error, read_encrypted};
use crate::exec::secrets::generate::{generate, generate_all};
use crate::exec::secrets::random;
use crate::exec::store::Store;
use crate::secrets::{Declarations, Kind, RUN_DIRECTORY, values};
use crate::sops::{Identities, Item, Metadata, Rule, SecretBytes, generate_identity, set};
use crate::store::Sha256Digest;
use crate::vm::expectations::CommandExpectation;

/// What systemd calls the identity that a test machine is handed.
const CREDENTIAL: &str = "nexus-host.identity";
/// What a secret is that a person would set.
const BY_HAND: Kind = Kind::Alphanumeric(32);
/// How long the secrets may take after the boot.
const WITHIN: Duration = Duration::from_secs(60);

/// Secrets of one test machine; nothing for hosts without secrets.
#[derive(Debug, Default)]
pub(super) struct FreshSecrets {
    identity: Option<SecretBytes>,
    declarations: Declarations,
    values: BTreeMap<String, SecretBytes>,
}

impl FreshSecrets {
    /// Makes them, or takes those that an earlier test of the same declarations made, so that the image
    /// stays the same; gives the system their encrypted file.
    pub(super) fn add_to(
        system: &mut System,
        session: &Session<'_>,
        store: &Store,
    ) -> Result<Self, Failure> {
        if system.secrets.is_empty() {
            return Ok(Self::default());
        }
        let declarations = system.secrets.declarations();
        let digest = Sha256Digest::of(declarations.to_text().as_bytes()).to_string();
        let folder = store.root().join("test-secrets").join(&digest[..32]);
        let (document, identity) = (folder.join("secrets.yaml"), folder.join("identity.txt"));
        if !identity.exists() {
            let mut private = DirBuilder::new();
            private.recursive(true).mode(0o700);
            let made = private.create(&folder);
            made.map_err(|error| Failure::build(FileError::at("create", &folder)(error)))?;
            make(&document, &identity, &declarations, session.environment.now_seconds)?;
        }
        let identity = read_limited(&identity, 1 << 16).map_err(Failure::build)?;
        let identity = SecretBytes::new(identity);
        let mut identities = Identities::default();
        let read = identities.read(&identity, "the test's identity", &|_| None);
        read.map_err(Failure::build)?;
        let encrypted = read_encrypted(&document).map_err(Failure::build)?;
        let Some(encrypted) = encrypted else { return Ok(Self::default()) };
        let bytes = encrypted.0.clone();
        let file = SecretsFile::open(&document, encrypted, &identities).map_err(Failure::build)?;
        let values = values(&file.opened.items, file.format, &declarations);
        system.add_secrets_program(NEXUS_SECRETS);
        system.add_ciphertext("yaml", bytes);
        Ok(Self { identity: Some(identity), declarations, values })
    }

    /// What the machine's systemd is handed.
    pub(super) fn credentials(&self) -> Vec<(String, Vec<u8>)> {
        let identity = self.identity.iter();
        identity.map(|text| (CREDENTIAL.to_owned(), text.expose().clone())).collect()
    }

    /// Every secret is a file with its very bytes, owner and mode. Digests stand for the bytes.
    pub(super) fn expectations(&self) -> Vec<CommandExpectation> {
        let file = |(name, value): (&String, &SecretBytes)| {
            let declared = &self.declarations.secrets[name];
            let (owner, group, mode) = (&declared.owner, &declared.group, declared.mode);
            let digest = hexadecimal(&Sha256Digest::of(value.expose()));
            let path = format!("{RUN_DIRECTORY}/{name}");
            let command = format!(
                "sha256sum {path} | grep -q ^{digest}; \
                 test \"$(stat -c '%a %U %G' {path})\" = '{mode:o} {owner} {group}'; \
                 stat -f -c %T {path} | grep -qE '^(ramfs|tmpfs)$'"
            );
            let name = format!("secret {name}");
            CommandExpectation { name, command, contains: None, within: WITHIN }
        };
        self.values.iter().map(file).collect()
    }
}

fn make(
    document: &Path,
    identity: &Path,
    declarations: &Declarations,
    now_seconds: u64,
) -> Result<(), Failure> {
    let (text, recipient) = generate_identity();
    let metadata = Metadata::new(Rule::default(), false);
    let recipients = std::slice::from_ref(&recipient);
    let file = SecretsFile::create(document, metadata, recipients).map_err(Failure::build)?;
    let kinds = declarations.secrets.iter().map(|(name, declared)| {
        let kind = declared.generate.as_deref().and_then(|kind| kind.parse().ok());
        (name.clone(), kind.unwrap_or(BY_HAND))
    });
    let mut items: Vec<Item> = Vec::new();
    generate_all(&kinds.collect(), &mut items, file.format, &mut random).map_err(Failure::files)?;
    for name in declarations.password_hashes.values() {
        if declarations.secrets[name].generate.is_none() {
            let password = |_: &str| Some(SecretBytes::from("a password of test machines"));
            let hash = generate(&Kind::Bcrypt(name.clone()), &password, &mut random);
            let path: Vec<&str> = name.split('/').collect();
            let hash = crate::sops::Node::Text(hash.map_err(Failure::files)?);
            set(&mut items, &path, hash)
                .map_err(|error| Failure::build(content_error(document)(error)))?;
        }
    }
    file.write(items, now_seconds).map_err(Failure::build)?;
    // Last, so that an identity is there only beside a whole document.
    write_atomic(identity, text.expose()).map_err(Failure::build)
}

fn hexadecimal(digest: &Sha256Digest) -> String {
    digest.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}
