//! The first program of the host; everything is in `boot::host` of the library.
#![cfg_attr(not(feature = "builder"), no_std, no_main)]

#[cfg(not(feature = "builder"))]
use nexus_host as _;

/// With the builder's dependencies it would not fit an initrd; `build.rs` builds it without.
#[cfg(feature = "builder")]
fn main() {}
