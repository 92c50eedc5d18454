//! Recipients and identities of age, and the data key between them.

use std::fmt;
use std::io::{Read as _, Write as _};

use age::secrecy::{ExposeSecret as _, SecretString};

use super::cipher::DataKey;
use super::document::Random;
use super::error::SopsError;
use super::metadata::{Metadata, WrappedKey};
use super::secret::{Secret, SecretBytes};

/// Most bytes of an encrypted data key.
const WRAPPED_BYTES_MAX: usize = 16 << 10;
/// Most bytes of a decrypted identity file.
const IDENTITIES_BYTES_MAX: u64 = 1 << 20;
/// Highest work factor accepted of a passphrase: about a minute.
const WORK_FACTOR_MAX: u8 = 22;

/// Someone who can decrypt: an X25519 key (`age1…`) or an `ssh-ed25519` key.
#[derive(Clone)]
pub struct Recipient {
    text: String,
    key: RecipientKey,
}

#[derive(Clone)]
enum RecipientKey {
    X25519(age::x25519::Recipient),
    Ssh(age::ssh::Recipient),
}

impl Recipient {
    /// Reads a recipient as `.sops.yaml` writes it; the comment of an SSH key is left away.
    ///
    /// # Errors
    ///
    /// [`SopsError::Recipient`] with the reason: RSA keys, post-quantum keys and plugins are refused.
    pub fn parse(text: &str) -> Result<Self, SopsError> {
        let text = text.trim();
        let wrong = |reason: &str| SopsError::Recipient {
            recipient: text.chars().take(40).collect(),
            reason: reason.to_owned(),
        };
        if text.starts_with("age1pq1") {
            return Err(wrong(
                "post-quantum age keys cannot be decrypted here yet; use a plain `age1…` key",
            ));
        }
        if text.starts_with("ssh-rsa") {
            return Err(wrong(
                "decrypting with RSA keys leaks the key through timing (RUSTSEC-2023-0071); use ssh-ed25519 or age",
            ));
        }
        if text.starts_with("age1") && text.matches('1').count() > 1 {
            return Err(wrong("keys of age plugins are not supported; use a plain `age1…` key"));
        }
        if text.starts_with("ssh-") {
            let words: Vec<&str> = text.split_whitespace().take(2).collect();
            let text = words.join(" ");
            let key = text.parse().map_err(|_| wrong("expected `ssh-ed25519 AAAA…`"))?;
            return Ok(Self { text, key: RecipientKey::Ssh(key) });
        }
        let key = text.parse().map_err(|_| wrong("expected `age1…` or `ssh-ed25519 AAAA…`"))?;
        Ok(Self { text: text.to_owned(), key: RecipientKey::X25519(key) })
    }

    /// The recipient as it stands in documents.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl fmt::Debug for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Recipient({})", self.text)
    }
}

impl PartialEq for Recipient {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

/// Private keys that may open documents.
#[derive(Default)]
pub struct Identities {
    keys: Vec<Box<dyn age::Identity + Send + Sync>>,
    /// Their public halves, as far as they are known.
    recipients: Vec<String>,
}

impl fmt::Debug for Identities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identities").field("recipients", &self.recipients).finish_non_exhaustive()
    }
}

/// Asks for a passphrase; the text says of what. `None` when nobody can be asked.
pub type AskPassphrase<'a> = &'a dyn Fn(&str) -> Option<SecretBytes>;

impl Identities {
    /// Reads identities from the text of a file or variable and adds them.
    ///
    /// Understood are age identity files (one `AGE-SECRET-KEY-1…` a line, `#` comments), the same
    /// encrypted with a passphrase, and OpenSSH private keys of type ed25519, also with a passphrase.
    /// `place` names the file or variable in messages.
    ///
    /// # Errors
    ///
    /// [`SopsError::Identity`] for the first line that is none, for kinds that cannot be used, and for a
    /// wrong passphrase.
    pub fn read(
        &mut self,
        text: &SecretBytes,
        place: &str,
        ask: AskPassphrase<'_>,
    ) -> Result<(), SopsError> {
        let wrong = wrong_at(place);
        let is_encrypted = text.expose().starts_with(b"age-encryption.org/v1")
            || text.expose().starts_with(b"-----BEGIN AGE ENCRYPTED FILE-----");
        if is_encrypted {
            let inner = decrypt_identity_file(text, place, ask)?;
            return self.read_lines(inner.text().ok_or_else(|| wrong("is not UTF-8"))?, place);
        }
        let text = text.text().ok_or_else(|| wrong("is not UTF-8"))?;
        if text.trim_start().starts_with("-----BEGIN ") {
            return self.read_ssh(text, place, ask);
        }
        self.read_lines(text, place)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The recipients that these identities are the private halves of.
    pub fn recipients(&self) -> &[String] {
        &self.recipients
    }

    fn read_lines(&mut self, text: &str, place: &str) -> Result<(), SopsError> {
        let lines = text.lines().enumerate().map(|(index, line)| (index + 1, line.trim()));
        for (number, line) in lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#')) {
            // SOPS_AGE_KEY may have several on one line.
            for word in line.split_whitespace() {
                let wrong = wrong_at(&format!("{place}, line {number}"));
                if word.starts_with("AGE-SECRET-KEY-PQ-1") {
                    return Err(wrong(
                        "post-quantum age keys are not supported yet; make one with `age-keygen`",
                    ));
                }
                if word.starts_with("AGE-PLUGIN-") {
                    return Err(wrong("keys of age plugins are not supported"));
                }
                let key: age::x25519::Identity =
                    word.parse().map_err(|_| wrong("expected `AGE-SECRET-KEY-1…`"))?;
                self.recipients.push(key.to_public().to_string());
                self.keys.push(Box::new(key));
            }
        }
        Ok(())
    }

    fn read_ssh(
        &mut self,
        text: &str,
        place: &str,
        ask: AskPassphrase<'_>,
    ) -> Result<(), SopsError> {
        use age::ssh::Identity;
        let wrong = wrong_at(place);
        let identity = Identity::from_buffer(text.as_bytes(), None).map_err(|_| {
            wrong("is not a private key of OpenSSH that can be used: expected ed25519")
        })?;
        let identity = match identity {
            Identity::Encrypted(key) => {
                let passphrase = ask_for(place, ask)?;
                let key = key.decrypt(passphrase).map_err(|_| wrong("the passphrase is wrong"))?;
                Identity::Unencrypted(key)
            }
            other => other,
        };
        let recipient = age::ssh::Recipient::try_from(identity.clone())
            .map_err(|_| wrong("is an SSH key of a kind that age cannot use; expected ed25519"))?;
        if matches!(recipient, age::ssh::Recipient::SshRsa(..)) {
            return Err(wrong(
                "RSA keys leak through timing when they decrypt (RUSTSEC-2023-0071); use ssh-ed25519 or age",
            ));
        }
        self.recipients.push(recipient.to_string());
        self.keys.push(Box::new(identity));
        Ok(())
    }
}

/// From a reason to the error about the identities of `place`.
fn wrong_at(place: &str) -> impl Fn(&str) -> SopsError + use<> {
    let place = place.to_owned();
    move |reason| SopsError::Identity { place: place.clone(), reason: reason.to_owned() }
}

fn ask_for(place: &str, ask: AskPassphrase<'_>) -> Result<SecretString, SopsError> {
    let answer = ask(&format!("Passphrase for {place}: "));
    let text = answer.as_ref().and_then(|answer| answer.text());
    text.map(|text| SecretString::from(text.to_owned())).ok_or_else(|| {
        wrong_at(place)("has a passphrase, and there is no terminal to ask for it on")
    })
}

fn decrypt_identity_file(
    text: &SecretBytes,
    place: &str,
    ask: AskPassphrase<'_>,
) -> Result<SecretBytes, SopsError> {
    let wrong = wrong_at(place);
    let armored = age::armor::ArmoredReader::new(&text.expose()[..]);
    let decryptor = age::Decryptor::new(armored).map_err(|_| wrong("is a damaged age file"))?;
    if !decryptor.is_scrypt() {
        return Err(wrong("is encrypted for another key; expected a passphrase"));
    }
    let mut identity = age::scrypt::Identity::new(ask_for(place, ask)?);
    identity.set_max_work_factor(WORK_FACTOR_MAX);
    let identity: &dyn age::Identity = &identity;
    let reader = decryptor
        .decrypt(std::iter::once(identity))
        .map_err(|_| wrong("the passphrase is wrong, or the file is damaged"))?;
    let mut bytes = Secret::new(Vec::new());
    let read = reader.take(IDENTITIES_BYTES_MAX).read_to_end(bytes.expose_mut());
    read.map_err(|_| wrong("is a damaged age file"))?;
    Ok(bytes)
}

impl DataKey {
    /// A new data key.
    pub fn generate(random: Random<'_>) -> Self {
        let mut bytes = Secret::new([0; 32]);
        random(bytes.expose_mut());
        Self(bytes)
    }

    /// An armored age file with the key, for one recipient. Its ephemeral key comes from the system's
    /// own randomness.
    fn wrap(&self, recipient: &Recipient) -> WrappedKey {
        let mut armored = Vec::new();
        let key: &dyn age::Recipient = match &recipient.key {
            RecipientKey::X25519(key) => key,
            RecipientKey::Ssh(key) => key,
        };
        let wrapped = age::Encryptor::with_recipients(std::iter::once(key)).map(|encryptor| {
            let armor = age::armor::ArmoredWriter::wrap_output(
                &mut armored,
                age::armor::Format::AsciiArmor,
            )?;
            let mut writer = encryptor.wrap_output(armor)?;
            writer.write_all(self.0.expose())?;
            writer.finish()?.finish().map(|_| ())
        });
        wrapped
            .expect("one recipient of one kind is a valid set")
            .expect("writing to memory cannot fail");
        let armored = String::from_utf8(armored).expect("armor is ASCII");
        WrappedKey { recipient: recipient.text.clone(), armored }
    }
}

impl Metadata {
    /// Opens the data key with the first identity that fits.
    ///
    /// # Errors
    ///
    /// [`SopsError::NoIdentity`], naming for whom the document is.
    pub fn data_key(&self, identities: &Identities) -> Result<DataKey, SopsError> {
        for wrapped in &self.age {
            if wrapped.armored.len() > WRAPPED_BYTES_MAX {
                return Err(SopsError::Metadata {
                    field: "age".to_owned(),
                    reason: format!("has more than {WRAPPED_BYTES_MAX} bytes for one recipient"),
                });
            }
            if let Some(key) = unwrap(wrapped, identities)? {
                return Ok(key);
            }
        }
        let mut recipients: Vec<&str> = self.recipients().collect();
        recipients.extend(self.other_services());
        let recipients =
            if recipients.is_empty() { "nobody".to_owned() } else { recipients.join(", ") };
        Err(SopsError::NoIdentity { identities: identities.len(), recipients })
    }

    /// Encrypts the data key for `recipients`; what is encrypted for them already stays as it is,
    /// unless `renew`.
    ///
    /// # Errors
    ///
    /// [`SopsError::NoRecipients`]; with `renew`, [`SopsError::OtherServices`] when keys of other
    /// services would be left with the old data key.
    pub fn set_recipients(
        &mut self,
        recipients: &[Recipient],
        key: &DataKey,
        renew: bool,
    ) -> Result<(), SopsError> {
        let services = self.other_services();
        if renew && !services.is_empty() {
            return Err(SopsError::OtherServices { services: services.join(", ") });
        }
        if recipients.is_empty() && services.is_empty() {
            return Err(SopsError::NoRecipients);
        }
        let old = std::mem::take(&mut self.age);
        for recipient in recipients {
            if self.recipients().any(|have| have == recipient.text) {
                continue;
            }
            let kept = old.iter().find(|have| !renew && have.recipient == recipient.text);
            let wrapped = kept.cloned().unwrap_or_else(|| key.wrap(recipient));
            self.age.push(wrapped);
        }
        Ok(())
    }
}

fn unwrap(wrapped: &WrappedKey, identities: &Identities) -> Result<Option<DataKey>, SopsError> {
    let damaged = || SopsError::Metadata {
        field: format!("age ({})", wrapped.recipient),
        reason: "is a damaged age file".to_owned(),
    };
    let armored = age::armor::ArmoredReader::new(wrapped.armored.as_bytes());
    let decryptor = age::Decryptor::new(armored).map_err(|_| damaged())?;
    let keys = identities.keys.iter().map(|key| &**key as &dyn age::Identity);
    let reader = match decryptor.decrypt(keys) {
        Ok(reader) => reader,
        Err(age::DecryptError::NoMatchingKeys) => return Ok(None),
        Err(_) => return Err(damaged()),
    };
    let mut bytes = Secret::new(Vec::with_capacity(64));
    reader.take(64).read_to_end(bytes.expose_mut()).map_err(|_| damaged())?;
    let found = bytes.expose().len();
    let key: [u8; 32] = bytes.expose().as_slice().try_into().map_err(|_| {
        SopsError::DataKeyLength { recipient: wrapped.recipient.clone(), bytes: found }
    })?;
    Ok(Some(DataKey::new(key)))
}

/// A new X25519 identity, as a line of an identity file, and its recipient.
pub fn generate_identity() -> (SecretBytes, Recipient) {
    let identity = age::x25519::Identity::generate();
    let recipient = identity.to_public();
    let text = SecretBytes::from(identity.to_string().expose_secret());
    (text, Recipient { text: recipient.to_string(), key: RecipientKey::X25519(recipient) })
}
