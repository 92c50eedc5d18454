//! Package indexes (`Packages`) of several sources, merged, with what a resolver asks of them.
//!
//! Reading keeps one small entry for each version and one for each name it provides; everything borrows
//! from the text. The rest of a paragraph ([`Details`], [`PackageRecord`]) is read when it is asked for.
//!
//! [`PackageRecord`]: super::record::PackageRecord

mod details;
mod mentions;
mod packages;
mod scan;
mod table;

#[cfg(test)]
mod tests;

pub use details::{Against, Details, Need};
pub use mentions::Mention;
pub use packages::{IndexError, IndexProblem, PackageId, PackageIndex, Provided, VersionId};
pub use scan::{PROVIDED_MAX, VERSIONS_MAX};
