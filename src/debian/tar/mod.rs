//! The tar archives inside a `.deb`, read as they stream by; what an entry may be is decided elsewhere.
//!
//! Blocks of 512 bytes: a header, the contents padded to a block, the next header …, two blocks of
//! zeros. Understood are POSIX ustar, GNU (`L` and `K` long names), PAX (`x`) and the old V7 form;
//! source: pax(1) of POSIX.1-2017 and "Basic Tar Format" of the GNU tar manual.

mod header;
mod pax;
mod reader;

pub use header::Kind;
pub use reader::{RawEntry, TarError, TarFault, TarReader};

#[cfg(test)]
mod tests;
