//! A SOPS file in the workspace: read, opened, changed, written whole or not at all.

use std::path::{Path, PathBuf};

use thiserror::Error;

use super::super::files::{FileError, read_limited, write_atomic};
use super::random;
use crate::sops::{
    CreationRules, DOCUMENT_BYTES_MAX, DataKey, Document, Format, Identities, Item, Metadata,
    Opened, Recipient, SopsError, from_unix_seconds,
};

/// Most bytes of `.sops.yaml`.
const RULES_BYTES_MAX: u64 = 1 << 20;

/// Why a file of secrets cannot be used.
#[derive(Debug, Error)]
pub enum SecretsFileError {
    /// It cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// Its contents.
    #[error("{path}")]
    Content {
        /// The file.
        path: String,
        /// What is wrong.
        #[source]
        source: SopsError,
    },
    /// Somebody else changed it in the meantime.
    #[error("{path} was changed by something else meanwhile, so it was not written")]
    ChangedMeanwhile {
        /// The file.
        path: String,
    },
}

/// A file of secrets that was opened.
#[derive(Debug)]
pub struct SecretsFile {
    path: PathBuf,
    /// Its bytes when it was read; `None` when it was not there.
    before: Option<Vec<u8>>,
    /// Its format.
    pub format: Format,
    /// Its `sops` part.
    pub metadata: Metadata,
    /// The key of its values.
    pub key: DataKey,
    /// Its entries in clear.
    pub opened: Opened,
}

/// Reads the encrypted file at `path`; `None` when there is none.
///
/// # Errors
///
/// A file that cannot be read, or is no encrypted SOPS file.
pub fn read_encrypted(path: &Path) -> Result<Option<(Vec<u8>, Document)>, SecretsFileError> {
    if !path.exists() {
        return Ok(None);
    }
    let bytes = read_limited(path, DOCUMENT_BYTES_MAX as u64)?;
    let wrong = content_error(path);
    let format = Format::of_path(&path.to_string_lossy()).map_err(&wrong)?;
    let document = Document::parse(format, &bytes).map_err(&wrong)?;
    Ok(Some((bytes, document)))
}

/// Reads the rules of `.sops.yaml` in `folder`; `None` when there is none.
///
/// # Errors
///
/// A file that cannot be read, or that has rules that cannot be followed.
pub fn read_rules(folder: &Path) -> Result<Option<CreationRules>, SecretsFileError> {
    let path = folder.join(".sops.yaml");
    if !path.exists() {
        return Ok(None);
    }
    let bytes = read_limited(&path, RULES_BYTES_MAX)?;
    CreationRules::parse(&bytes).map(Some).map_err(content_error(&path))
}

impl SecretsFile {
    /// Opens an encrypted file with `identities`.
    ///
    /// # Errors
    ///
    /// No identity opens it, or something in it was changed.
    pub fn open(
        path: &Path,
        (bytes, document): (Vec<u8>, Document),
        identities: &Identities,
    ) -> Result<Self, SecretsFileError> {
        let wrong = content_error(path);
        let key = document.metadata.data_key(identities).map_err(&wrong)?;
        let opened = document.open(&key).map_err(&wrong)?;
        let Document { format, metadata, .. } = document;
        Ok(Self { path: path.to_owned(), before: Some(bytes), format, metadata, key, opened })
    }

    /// A new file, not written yet.
    ///
    /// # Errors
    ///
    /// The file's format is none, or nobody could decrypt it.
    pub fn create(
        path: &Path,
        mut metadata: Metadata,
        recipients: &[Recipient],
    ) -> Result<Self, SecretsFileError> {
        let wrong = content_error(path);
        let format = Format::of_path(&path.to_string_lossy()).map_err(&wrong)?;
        let key = DataKey::generate(&mut random);
        metadata.set_recipients(recipients, &key, true).map_err(&wrong)?;
        let opened = Opened::default();
        Ok(Self { path: path.to_owned(), before: None, format, metadata, key, opened })
    }

    /// The file's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Encrypts with a new data key for `recipients`.
    ///
    /// # Errors
    ///
    /// Keys of other services stand in the way, or there is no recipient.
    pub fn renew_key(&mut self, recipients: &[Recipient]) -> Result<(), SecretsFileError> {
        let key = DataKey::generate(&mut random);
        let set = self.metadata.set_recipients(recipients, &key, true);
        set.map_err(content_error(&self.path))?;
        self.key = key;
        // Nonces belong to a key.
        self.opened.nonces = crate::sops::Nonces::default();
        Ok(())
    }

    /// Encrypts for `recipients` in addition to those it has; the data key stays.
    ///
    /// # Errors
    ///
    /// There is no recipient.
    pub fn set_recipients(&mut self, recipients: &[Recipient]) -> Result<(), SecretsFileError> {
        let set = self.metadata.set_recipients(recipients, &self.key, false);
        set.map_err(content_error(&self.path))
    }

    /// Writes the file with `items` in clear now, and reads it back before the old one is replaced.
    ///
    /// # Errors
    ///
    /// A value that the format cannot hold; a file that was changed meanwhile or cannot be written.
    /// Then the old file is untouched.
    pub fn write(self, items: Vec<Item>, now_seconds: u64) -> Result<(), SecretsFileError> {
        let wrong = content_error(&self.path);
        let opened = Opened { items, nonces: self.opened.nonces };
        let now = from_unix_seconds(now_seconds);
        let sealed =
            Document::seal(self.format, opened, self.metadata, &self.key, (&now, &mut random));
        let bytes = sealed.and_then(|sealed| sealed.to_bytes()).map_err(&wrong)?;
        let again = Document::parse(self.format, &bytes).and_then(|read| read.open(&self.key));
        again.map_err(&wrong)?;
        let mut there = None;
        if self.path.exists() {
            there = Some(read_limited(&self.path, DOCUMENT_BYTES_MAX as u64)?);
        }
        if there != self.before {
            let path = self.path.display().to_string();
            return Err(SecretsFileError::ChangedMeanwhile { path });
        }
        if let Some(folder) = self.path.parent() {
            std::fs::create_dir_all(folder).map_err(FileError::at("create", folder))?;
        }
        write_atomic(&self.path, &bytes)?;
        Ok(())
    }
}

/// Adds the path to what is wrong with a file's contents.
pub fn content_error(path: &Path) -> impl Fn(SopsError) -> SecretsFileError {
    let path = path.display().to_string();
    move |source| SecretsFileError::Content { path: path.clone(), source }
}
