//! Host files and module schemas: text with places → checked values.

mod builtin;
pub(crate) mod check;
mod docs;
pub(crate) mod document;
mod format;
mod host;
mod kind;
mod manifest;
mod module;
mod names;
mod schema;
mod ssh_address;
mod value;

pub use builtin::BUILT_IN;
pub use docs::options_page;
pub(crate) use docs::record_table;
pub use document::FILE_BYTES_MAX;
pub(crate) use format::seconds;
pub use format::{Format, FormatError, FormatInfo};
pub use host::{HostSpec, read_host};
pub(crate) use manifest::parse_record;
pub use module::{Activation, CONSUME, CONTRIBUTE, Module, ModuleFiles, Modules, UserModules};
pub use names::{HostName, PackageName, UnitName, UserName};
pub use schema::{Field, ITEMS_MAX, Kind, Presence, Record};
pub use ssh_address::{SshAddress, SshAddressError};
pub use value::{Data, Value};

#[cfg(test)]
mod tests;
