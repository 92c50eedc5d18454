//! The choice of Debian's mirrors: workspace, environment, the machine's apt, the public default.

use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::debian::mirror::{AptText, Mirrors};
use crate::debian::url::{Url, UrlError};
use crate::exec::environment::Environment;
use crate::exec::files::read_limited;

/// The variable that names a mirror of Debian; the security archive is its sibling `…-security`.
pub const MIRROR_VARIABLE: &str = "NEXUS_HOST_DEBIAN_MIRROR";

/// The largest file of apt's that is read.
const APT_FILE_BYTES_MAX: u64 = 1 << 20;

/// [`MIRROR_VARIABLE`] names no mirror we can use.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("variable {MIRROR_VARIABLE} does not name a mirror")]
pub struct MirrorError {
    /// Why not.
    #[source]
    pub source: UrlError,
}

/// Where to fetch Debian from: `workspace_choice`, else [`MIRROR_VARIABLE`], else what this machine's
/// apt uses, else the public default.
///
/// # Errors
///
/// The variable is set to something else than an address.
pub fn mirrors(
    environment: &Environment,
    workspace_choice: Option<Mirrors>,
) -> Result<Mirrors, MirrorError> {
    mirrors_beside_apt(environment, workspace_choice, Path::new("/etc/apt"))
}

/// As [`mirrors`], with the sources of the apt whose configuration is in `apt_directory`.
///
/// # Errors
///
/// The variable is set to something else than an address.
pub fn mirrors_beside_apt(
    environment: &Environment,
    workspace_choice: Option<Mirrors>,
    apt_directory: &Path,
) -> Result<Mirrors, MirrorError> {
    if let Some(choice) = workspace_choice {
        return Ok(choice);
    }
    if let Some(text) = environment.text(MIRROR_VARIABLE) {
        let debian: Url = text.parse().map_err(|source| MirrorError { source })?;
        return Ok(Mirrors::siblings(debian));
    }
    let files = apt_files(apt_directory);
    let texts: Vec<AptText<'_>> = files.iter().filter_map(as_apt_text).collect();
    Ok(Mirrors::of_machine(&texts).unwrap_or_else(Mirrors::public))
}

/// The sources that apt reads, in its order. What cannot be read is passed over: it is a hint.
fn apt_files(apt_directory: &Path) -> Vec<(PathBuf, String)> {
    let mut paths: Vec<PathBuf> = std::fs::read_dir(apt_directory.join("sources.list.d"))
        .map(|entries| entries.flatten().map(|entry| entry.path()).collect())
        .unwrap_or_default();
    paths.sort();
    paths.insert(0, apt_directory.join("sources.list"));
    let read = |path: PathBuf| {
        let bytes = read_limited(&path, APT_FILE_BYTES_MAX).ok()?;
        Some((path, String::from_utf8_lossy(&bytes).into_owned()))
    };
    paths.into_iter().filter_map(read).collect()
}

fn as_apt_text((path, text): &(PathBuf, String)) -> Option<AptText<'_>> {
    match path.extension()?.to_str()? {
        "list" => Some(AptText::List(text)),
        "sources" => Some(AptText::Sources(text)),
        _ => None,
    }
}
