//! The secrets of a running host: what its unit does at boot, and a switch to another system.

use std::path::{Path, PathBuf};

use rustix::mount::MountPropagationFlags;
use thiserror::Error;

use super::activate::{ActivateError, Places, SHADOW, activate, check_generation};
use super::memory::mount_memory;
use super::write::Changed;

/// What shadow(5) passwords are read from.
const SHADOW_FILE: &str = "/etc/shadow";

/// Why a host's secrets are not in place.
#[derive(Debug, Error)]
pub enum BootError {
    /// Memory could not be mounted.
    #[error("cannot mount memory on {}", path.display())]
    Memory {
        /// Where.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: std::io::Error,
    },
    /// The secrets themselves.
    #[error(transparent)]
    Activate(#[from] ActivateError),
    /// The passwords could not be put in place.
    #[error("cannot put the password hashes over {SHADOW_FILE}")]
    Shadow(#[source] std::io::Error),
}

/// Installs the secrets of the system below `root` (`/` for the one that runs), and the password hashes
/// among them.
///
/// Needs root. Without declared secrets it does nothing and gives `None`.
///
/// # Errors
///
/// What is missing; the host then runs without its new secrets.
pub fn install_secrets(
    root: &Path,
    places: &Places,
    generation: u64,
) -> Result<Option<Changed>, BootError> {
    // All that can be refused is refused before anything is mounted.
    if check_generation(root, places)?.is_none() {
        return Ok(None);
    }
    let memory = |source| BootError::Memory { path: places.generations.clone(), source };
    mount_memory(&places.generations).map_err(memory)?;
    // The new passwords start from the system's own file, not from those that lie over it now.
    unbind_shadow();
    let changed = activate(root, places, generation)?;
    if let Some(changed) = &changed {
        bind_shadow(&changed.folder).map_err(BootError::Shadow)?;
    }
    Ok(changed)
}

/// Binds the shadow file of `folder`, when it has one, over that of the system; the one that was bound
/// before goes away. Also after a switch has put a new `/etc` in place.
///
/// # Errors
///
/// What the kernel said.
pub fn bind_shadow(folder: &Path) -> std::io::Result<()> {
    let source = folder.join(SHADOW);
    // What is bound already would stay below, and show again when the new one goes.
    unbind_shadow();
    if !source.exists() {
        return Ok(());
    }
    rustix::mount::mount_bind(&source, SHADOW_FILE)?;
    rustix::mount::mount_change(SHADOW_FILE, MountPropagationFlags::PRIVATE)?;
    Ok(())
}

/// Mostly there is nothing to unbind, and the kernel says so.
fn unbind_shadow() {
    let _none = rustix::mount::unmount(SHADOW_FILE, rustix::mount::UnmountFlags::DETACH);
}
