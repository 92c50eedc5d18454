//! Integration tests: the built program and the library, used as a user uses them.

#![expect(clippy::unwrap_used, reason = "in a test a panic is the answer")]

mod apt_agreement;
mod cli;
mod configure;
mod fetch;
mod identity;
mod image;
mod modules;
mod mutations;
mod nix_store;
mod sandbox;
mod signatures;
mod store;
mod support;
mod switch;
mod tidy;
mod unpack;
mod vm;
