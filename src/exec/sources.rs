//! The archives of a host: Debian's suites at the mirror that was chosen, and third parties' with their keys.
//!
//! The mirror is, in this order: what the host or workspace file says, `NEXUS_HOST_DEBIAN_MIRROR`, what this
//! machine's own apt uses, the public default.

use std::path::Path;

use thiserror::Error;

use super::environment::Environment;
use super::fetch::{self, MirrorError};
use super::files::{FileError, read_limited};
use crate::debian::keys::{KeyRing, KeyRingError};
use crate::debian::mirror::Mirrors;
use crate::debian::source::{Source, Suite, SuiteError};
use crate::debian::url::{Url, UrlError};
use crate::eval::{PackageSource, System};

/// Components of Debian that are used: what is free software.
const COMPONENTS: [&str; 1] = ["main"];
/// Most bytes of a key file.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Why the archives of a host are not usable.
#[derive(Debug, Error)]
pub enum SourcesError {
    /// An address is malformed.
    #[error("the address of {whose} is not usable")]
    Url {
        /// Whose.
        whose: String,
        /// Why.
        #[source]
        source: UrlError,
    },
    /// The environment's mirror is malformed.
    #[error(transparent)]
    Mirror(#[from] MirrorError),
    /// A suite is malformed.
    #[error("the suite of {whose} is not usable")]
    Suite {
        /// Whose.
        whose: String,
        /// Why.
        #[source]
        source: SuiteError,
    },
    /// A key file is not a key.
    #[error("{file}, the key of source `{whose}`, is not usable")]
    Key {
        /// Whose.
        whose: String,
        /// The file.
        file: String,
        /// Why.
        #[source]
        source: KeyRingError,
    },
    /// A key file cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
}

/// All archives of `system`; key files are relative to `workspace`.
///
/// # Errors
///
/// The first that is not usable.
pub fn sources(
    system: &System,
    environment: &Environment,
    workspace: &Path,
) -> Result<Vec<Source>, SourcesError> {
    let mirrors = mirrors(system, environment)?;
    let debian = Source::debian(&system.release, &COMPONENTS, &mirrors)
        .map_err(|source| SourcesError::Suite { whose: "Debian".into(), source })?;
    let mut sources = Vec::from(debian);
    for (name, source) in &system.sources {
        sources.push(third_party(name, &source.value, workspace)?);
    }
    Ok(sources)
}

/// The file's mirror decides, else what [`fetch::mirrors`] finds; the file may also name security alone.
fn mirrors(system: &System, environment: &Environment) -> Result<Mirrors, SourcesError> {
    let parse = |whose: &str, text: &str| {
        text.parse::<Url>().map_err(|source| SourcesError::Url { whose: whose.to_owned(), source })
    };
    let told = system.debian.mirror.as_deref();
    let told = told.map(|text| parse("the Debian mirror", text)).transpose()?;
    let mut mirrors = fetch::mirrors(environment, told.map(Mirrors::siblings))?;
    if let Some(told) = &system.debian.security_mirror {
        mirrors.security = parse("the security mirror", told)?;
    }
    Ok(mirrors)
}

fn third_party(
    name: &str,
    source: &PackageSource,
    workspace: &Path,
) -> Result<Source, SourcesError> {
    let whose = || format!("source `{name}`");
    let uri = source.uri.parse().map_err(|source| SourcesError::Url { whose: whose(), source })?;
    let components: Vec<&str> = source.components.iter().map(String::as_str).collect();
    let suite = Suite::parse(&source.suite, &components)
        .map_err(|source| SourcesError::Suite { whose: whose(), source })?;
    let key = read_limited(&workspace.join(&source.key_file), FILE_BYTES_MAX)?;
    let keys = KeyRing::parse(&key).map_err(|error| SourcesError::Key {
        whose: name.to_owned(),
        file: source.key_file.clone(),
        source: error,
    })?;
    Ok(Source::third_party(name, vec![uri], suite, keys))
}
