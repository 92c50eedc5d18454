//! What to do about an error: one sentence that follows from a fact somewhere in its chain.

use std::error::Error;
use std::io::{self, ErrorKind};

use crate::debian::release::ReleaseTimeError;
use crate::debian::signature::SignatureError;
use crate::exec::disk::DiskImageError;
use crate::exec::engine::{EngineError, StepError};
use crate::exec::fetch::{ArchiveFault, FetchError, TransferError, TransferFailure};
use crate::exec::image::ImageFileError;
use crate::exec::locking::LockingError;
use crate::exec::sandbox::SandboxError;
use crate::exec::store::StoreError;
use crate::exec::unpack::UnpackError;

const DISK_FULL: &str = "make room on this disk, or put things on another: `--store DIR` for the store and images, XDG_CACHE_HOME for fetched files; what was done so far is kept";
const NETWORK: &str = "look at the network and the proxy variables, or name a mirror that you can reach: NEXUS_HOST_DEBIAN_MIRROR=http://HOST/debian";
const WRONG_FILE: &str = "nothing of it was used; if the lock was changed by hand, take the committed one back, else try another mirror with NEXUS_HOST_DEBIAN_MIRROR";
const SIGNATURE: &str = "nothing of it was used; the mirror, or something on the way to it, changed the file: try again later, or another mirror with NEXUS_HOST_DEBIAN_MIRROR";
const TIME: &str = "compare this machine's clock with the right time; if it is right, the mirror is not kept up to date: name another with NEXUS_HOST_DEBIAN_MIRROR";
const OFFLINE: &str = "run it once without --offline";
const OTHER_PACKAGE: &str =
    "take the committed lock back, or make it anew with `nexus-host lock HOST`";
/// What programs in the sandbox say about a full disk; they speak the language C.
const NO_SPACE: &str = "No space left on device";

/// An error that can be asked which one it is.
type Chained = dyn Error + 'static;

/// What the user can do about `error`, when a fact in its chain says so.
pub(super) fn advice(error: &Chained) -> Option<String> {
    chain(error).find_map(advice_for).map(ToOwned::to_owned)
}

/// Every error of the chain, outermost first, those that stand behind a transparent one too: their
/// facts count, while their text is that of the one in front.
pub(super) fn chain(error: &Chained) -> impl Iterator<Item = &Chained> {
    std::iter::successors(Some(error), |error| behind(*error).or_else(|| (*error).source()))
}

fn advice_for(error: &Chained) -> Option<&'static str> {
    if is_disk_full(error) {
        return Some(DISK_FULL);
    }
    if let Some(SandboxError::Forbidden { obstacle }) = find(error) {
        return Some(obstacle.help());
    }
    if let Some(failure) = find::<TransferFailure>(error) {
        return advice_for_transfer(&failure.source);
    }
    if find::<SignatureError>(error).is_some() {
        return Some(SIGNATURE);
    }
    if find::<ReleaseTimeError>(error).is_some() {
        return Some(TIME);
    }
    if let Some(StepError::OtherPackage { .. }) = find(error) {
        return Some(OTHER_PACKAGE);
    }
    let offline = matches!(find(error), Some(FetchError::Offline { .. }))
        || matches!(find(error), Some(ArchiveFault::NotCached));
    offline.then_some(OFFLINE)
}

fn advice_for_transfer(error: &TransferError) -> Option<&'static str> {
    match error {
        TransferError::WrongDigest { .. } | TransferError::WrongSize { .. } => Some(WRONG_FILE),
        TransferError::NoSuchHost { .. }
        | TransferError::NoNetwork { .. }
        | TransferError::Refused { .. }
        | TransferError::ConnectTimeout { .. }
        | TransferError::Stalled { .. }
        | TransferError::BrokenOff => Some(NETWORK),
        _ => None,
    }
}

/// Whether the kernel, the registry or a program in the sandbox found no room.
fn is_disk_full(error: &Chained) -> bool {
    if let Some(error) = find::<io::Error>(error) {
        return matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded);
    }
    if let Some(error) = find::<StoreError>(error) {
        return error.is_disk_full();
    }
    error.to_string().contains(NO_SPACE)
}

/// The error that a transparent one stands for.
fn behind(error: &Chained) -> Option<&Chained> {
    let known: [fn(&Chained) -> Option<&Chained>; 5] =
        [behind_locking, behind_engine, behind_step, behind_image, behind_archive];
    if let Some(inner) = known.iter().find_map(|look| look(error)) {
        return Some(inner);
    }
    if let Some(StoreError::File(inner)) = find(error) {
        return Some(inner);
    }
    if let Some(StoreError::Interrupted(inner)) = find(error) {
        return Some(inner);
    }
    if let Some(SandboxError::Interrupted(inner)) = find(error) {
        return Some(inner);
    }
    match find(error) {
        Some(UnpackError::File(inner)) => Some(inner),
        _ => None,
    }
}

fn behind_locking(error: &Chained) -> Option<&Chained> {
    match find::<LockingError>(error)? {
        LockingError::Archive(inner) => Some(inner),
        LockingError::Engine(inner) => Some(inner),
        LockingError::Store(inner) => Some(inner),
        _ => None,
    }
}

fn behind_engine(error: &Chained) -> Option<&Chained> {
    match find::<EngineError>(error)? {
        EngineError::Fetch(inner) => Some(inner),
        EngineError::Store(inner) => Some(inner),
        EngineError::Interrupted(inner) => Some(inner),
        EngineError::Sandbox(_) | EngineError::Step { .. } => None,
    }
}

fn behind_step(error: &Chained) -> Option<&Chained> {
    match find::<StepError>(error)? {
        StepError::Unpack(inner) => Some(inner),
        StepError::Configure(inner) => Some(inner),
        StepError::Sandbox(inner) => Some(inner),
        StepError::File(inner) => Some(inner),
        StepError::Store(inner) => Some(inner),
        StepError::Interrupted(inner) => Some(inner),
        _ => None,
    }
}

fn behind_image(error: &Chained) -> Option<&Chained> {
    match find::<DiskImageError>(error) {
        Some(DiskImageError::Engine(inner)) => return Some(inner),
        Some(DiskImageError::Store(inner)) => return Some(inner),
        Some(DiskImageError::File(inner)) => return Some(inner),
        Some(DiskImageError::Image(inner)) => return Some(inner),
        _ => {}
    }
    match find::<ImageFileError>(error)? {
        ImageFileError::File(inner) => Some(inner),
        ImageFileError::Interrupted(inner) => Some(inner),
        _ => None,
    }
}

fn behind_archive(error: &Chained) -> Option<&Chained> {
    match find::<ArchiveFault>(error) {
        Some(ArchiveFault::Fetch(inner)) => return Some(inner),
        Some(ArchiveFault::Signature(inner)) => return Some(inner),
        Some(ArchiveFault::Time(inner)) => return Some(inner),
        _ => {}
    }
    match find::<FetchError>(error)? {
        FetchError::Interrupted(inner) => Some(inner),
        FetchError::Transfer(inner) => Some(inner.as_ref()),
        _ => None,
    }
}

/// The error as a `T`, also when a variant above holds it in a box.
fn find<T: Error + 'static>(error: &Chained) -> Option<&T> {
    error.downcast_ref::<T>().or_else(|| error.downcast_ref::<Box<T>>().map(AsRef::as_ref))
}

#[cfg(test)]
mod tests;
