//! Problems with their place in the user's text: file, line, column, reason, what to write instead.

mod code;
mod diagnostic;
mod render;
mod source;
mod suggest;

pub use code::{CODES, Code, codes_page};
pub use diagnostic::{DIAGNOSTICS_MAX, Diagnostic, Label, Problems, Severity};
pub use render::{Look, render, to_json};
pub use source::{Place, Position, Source, printable};
pub use suggest::{closest, did_you_mean};

#[cfg(test)]
mod tests;
