//! Step: a `.deb` → its files and manifest.

use std::path::Path;

use super::{Inputs, StepError};
use crate::debian::control::Paragraphs;
use crate::debian::deb::Limits;
use crate::exec::files::{FileError, read_limited};
use crate::exec::store::References;
use crate::exec::unpack::unpack_deb;
use crate::lower::graph::package_file_name;
use crate::store::Sha256Digest;

/// Most bytes of a control file.
pub(super) const CONTROL_BYTES_MAX: u64 = 1 << 20;

pub(super) fn run(
    inputs: &Inputs<'_>,
    deb: &Path,
    sha256: &Sha256Digest,
    into: &Path,
) -> Result<References, StepError> {
    std::fs::create_dir(into).map_err(FileError::at("create", into))?;
    unpack_deb(deb, sha256, into, &Limits::default())?;
    check_identity(inputs.recipe.name.as_str(), into)?;
    Ok(References::None)
}

/// The digest proves the bytes, not that the lock calls them by their name.
fn check_identity(expected: &str, unpacked: &Path) -> Result<(), StepError> {
    let bytes = read_limited(&unpacked.join("control/control"), CONTROL_BYTES_MAX)?;
    let other = |found: String| StepError::OtherPackage { expected: expected.to_owned(), found };
    let nameless = || other("a package without a name".to_owned());
    let paragraph = Paragraphs::new(&bytes).next().ok_or_else(nameless)?;
    let field = |name| paragraph.required(name).map_err(|_| nameless());
    let (name, version) = (field("Package")?, field("Version")?);
    let found = package_file_name(name, version, field("Architecture")?);
    if found == expected { Ok(()) } else { Err(other(found)) }
}
