//! Step: a `.deb` → its files and manifest.

use std::path::Path;

use super::StepError;
use crate::debian::deb::Limits;
use crate::exec::files::FileError;
use crate::exec::store::References;
use crate::exec::unpack::unpack_deb;
use crate::store::Sha256Digest;

pub(super) fn run(deb: &Path, sha256: &Sha256Digest, into: &Path) -> Result<References, StepError> {
    std::fs::create_dir(into).map_err(FileError::at("create", into))?;
    unpack_deb(deb, sha256, into, &Limits::default())?;
    Ok(References::None)
}
