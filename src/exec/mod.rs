//! The edge: everything that reads or changes the world outside the program.

pub mod environment;
pub mod files;
pub mod interrupt;
pub mod process;
pub mod progress;
