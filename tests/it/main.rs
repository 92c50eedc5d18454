//! Integration tests: the built program and the library, used as a user uses them.

#![expect(clippy::unwrap_used, reason = "in a test a panic is the answer")]

mod apt_agreement;
mod bad_input;
mod bench;
mod cli;
mod configure;
mod deploy;
mod fetch;
mod guest_shell;
mod identity;
mod image;
mod install;
mod modules;
mod mutations;
mod namespaces;
mod nix_store;
mod reach;
mod reproduce;
mod sandbox;
mod secrets;
mod signatures;
mod sops;
mod store;
mod support;
mod switch;
mod tidy;
mod toolbox;
mod unpack;
mod vm;
