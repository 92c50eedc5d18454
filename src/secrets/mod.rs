//! Secrets of a host: what a system declares, and how the host installs them at activation.
//!
//! The pure half (declarations, kinds, templates) is what building and the host agree on; `install` is
//! what runs on the host: decrypt everything first, write into memory, then switch one link.

mod declaration;
pub mod install;
mod kind;
mod lookup;
mod name;
mod template;

pub use declaration::{
    CIPHERTEXT, DECLARATIONS, Declarations, DeclarationsError, DeclaredSecret, DeclaredTemplate,
    FORMAT, RUN_DIRECTORY,
};
pub use kind::{Kind, KindError};
pub use lookup::{missing, node_of, unused, value_of, value_path, values};
pub use name::is_secret_name;
pub use template::{Filter, Part, TemplateError, parse_template, render_template};

#[cfg(test)]
mod tests;
