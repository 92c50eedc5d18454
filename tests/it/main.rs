//! Integration tests: the built program and the library, used as a user uses them.

#![expect(clippy::unwrap_used, reason = "in a test a panic is the answer")]

mod apt_agreement;
mod bad_input;
mod bench;
mod cli;
mod configure;
mod crash;
mod deploy;
mod fetch;
mod fleet;
mod go;
mod guest_shell;
mod identity;
mod image;
mod install;
mod mishaps;
mod modules;
mod mutations;
mod namespaces;
mod nix_store;
mod reach;
mod reproduce;
mod returns;
mod sandbox;
mod secrets;
mod server;
mod signatures;
mod site;
mod sops;
mod store;
mod support;
mod switch;
mod tidy;
mod toolbox;
mod unpack;
mod vendor;
mod vm;
