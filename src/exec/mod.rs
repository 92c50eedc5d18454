//! The edge: everything that reads or changes the world outside the program.

pub mod configure;
pub mod debs;
pub mod disk;
pub mod engine;
pub mod environment;
pub mod fetch;
pub mod files;
pub mod image;
pub mod init_program;
pub mod interrupt;
pub mod locking;
pub mod process;
pub mod progress;
pub mod rehearsal;
pub mod revision;
pub mod sandbox;
pub mod secrets;
pub mod sources;
pub mod store;
pub mod unpack;
