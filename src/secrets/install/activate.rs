//! From a system's files to installed secrets: what a host runs at boot and when it switches.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::super::declaration::{DECLARATIONS, Declarations, DeclarationsError};
use super::accounts::Accounts;
use super::prepare::{PrepareError, Prepared, prepare};
use super::shadow::{ShadowError, shadow_with_hashes};
use super::write::{Changed, InstallError, install};
use crate::sops::{DOCUMENT_BYTES_MAX, Format, Identities, SecretBytes, SopsError};

/// Most bytes of small files: identities, accounts.
const SMALL_BYTES_MAX: u64 = 4 << 20;
/// Where the rendered shadow file lies in the folder of a generation; no secret has such a name.
pub(super) const SHADOW: &str = ".shadow";

/// Where things lie on a host; tests have their own.
#[derive(Debug, Clone)]
pub struct Places {
    /// Folder of all generations of secrets, in memory.
    pub generations: PathBuf,
    /// The link to the current ones.
    pub link: PathBuf,
    /// Files that may hold the host's identity; those that are there are read.
    pub identities: Vec<PathBuf>,
}

impl Default for Places {
    fn default() -> Self {
        Self {
            generations: "/run/secrets.d".into(),
            link: super::super::declaration::RUN_DIRECTORY.into(),
            identities: vec![
                // Handed to a virtual machine by SMBIOS or fw_cfg; systemd puts it there.
                "/run/credentials/@system/nexus-host.identity".into(),
                // Put there by `install`, or with an image.
                "/var/lib/nexus-host/identity.txt".into(),
                // The host's own SSH key, for hosts that were added by it.
                "/var/lib/nexus-host/ssh/ssh_host_ed25519_key".into(),
            ],
        }
    }
}

/// Why a host's secrets could not be activated.
#[derive(Debug, Error)]
pub enum ActivateError {
    /// A file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// The declarations are wrong.
    #[error("{} cannot be used", path.display())]
    Declarations {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: DeclarationsError,
    },
    /// The system declares secrets, but was built without their ciphertext.
    #[error("the system declares {count} secrets but was built without their encrypted file")]
    NoCiphertext {
        /// How many it declares.
        count: usize,
    },
    /// The host has no identity.
    #[error("this host has no identity to decrypt with; looked for {looked}")]
    NoIdentity {
        /// The files, separated by commas.
        looked: String,
    },
    /// The identity cannot be read.
    #[error("the identity of this host cannot be used")]
    Identity(#[source] SopsError),
    /// Something in the secrets.
    #[error(transparent)]
    Prepare(#[from] PrepareError),
    /// A password hash.
    #[error(transparent)]
    Shadow(#[from] ShadowError),
    /// Writing them.
    #[error(transparent)]
    Install(#[from] InstallError),
}

/// Proves that this host can install the secrets of `system`, and changes nothing.
///
/// `system` is the folder with `usr` and `etc` of the system; `None` when it declares no secrets.
///
/// # Errors
///
/// The first reason why not.
pub fn check_generation(system: &Path, places: &Places) -> Result<Option<Prepared>, ActivateError> {
    let path = system.join(DECLARATIONS);
    if !path.exists() {
        return Ok(None);
    }
    let wrong = |source| ActivateError::Declarations { path: path.clone(), source };
    let declarations = Declarations::parse(&read(&path, 8 << 20)?).map_err(wrong)?;
    let ciphertext = declarations.ciphertext.clone();
    let ciphertext = ciphertext.filter(|path| !path.starts_with('/') && !path.contains(".."));
    let count = declarations.secrets.len();
    let ciphertext = ciphertext.ok_or(ActivateError::NoCiphertext { count })?;
    let format = Format::of_path(&ciphertext).map_err(PrepareError::Ciphertext)?;
    let bytes = read(&system.join(&ciphertext), DOCUMENT_BYTES_MAX as u64)?;
    let identities = find_identities(places)?;
    let text = |name: &str| {
        read(&system.join(name), SMALL_BYTES_MAX)
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
    };
    let accounts = Accounts::parse(&text("etc/passwd")?, &text("etc/group")?);
    Ok(Some(prepare((format, &bytes), declarations, &identities, &accounts)?))
}

/// Installs the secrets of `system` as those of `generation`.
///
/// The caller has mounted memory on [`Places::generations`] ([`super::mount_memory`]). When users have
/// password hashes among the secrets, a shadow file lies in [`Changed::folder`] as `.shadow`, to be
/// bound over `/etc/shadow`.
///
/// # Errors
///
/// The first reason why not; then nothing has changed.
pub fn activate(
    system: &Path,
    places: &Places,
    generation: u64,
) -> Result<Option<Changed>, ActivateError> {
    let Some(mut prepared) = check_generation(system, places)? else { return Ok(None) };
    if !prepared.password_hashes.is_empty() {
        let path = system.join("etc/shadow");
        let base = SecretBytes::new(read(&path, SMALL_BYTES_MAX)?);
        let base = base.text().unwrap_or_default();
        let content = shadow_with_hashes(base, &prepared.password_hashes)?;
        let account = super::prepare::Account { uid: 0, gid: 0 };
        let file = super::prepare::PreparedFile { content, account, mode: 0o600 };
        prepared.files.insert(SHADOW.to_owned(), file);
    }
    Ok(Some(install(&prepared, &places.generations, &places.link, generation)?))
}

/// The host's identities, from all of its places that are there.
///
/// # Errors
///
/// There is none, or it cannot be used; a passphrase cannot be asked for on a host.
pub fn find_identities(places: &Places) -> Result<Identities, ActivateError> {
    let mut identities = Identities::default();
    for path in places.identities.iter().filter(|path| path.exists()) {
        let text = SecretBytes::new(read(path, SMALL_BYTES_MAX)?);
        let place = path.display().to_string();
        identities.read(&text, &place, &|_| None).map_err(ActivateError::Identity)?;
    }
    if !identities.is_empty() {
        return Ok(identities);
    }
    let looked = places.identities.iter().map(|path| path.display().to_string());
    Err(ActivateError::NoIdentity { looked: looked.collect::<Vec<_>>().join(", ") })
}

fn read(path: &Path, limit: u64) -> Result<Vec<u8>, ActivateError> {
    let wrong = |source| ActivateError::Read { path: path.to_owned(), source };
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(wrong)?;
    file.take(limit + 1).read_to_end(&mut bytes).map_err(wrong)?;
    if bytes.len() as u64 > limit {
        return Err(wrong(io::ErrorKind::FileTooLarge.into()));
    }
    Ok(bytes)
}
