//! The first program of the host; everything is in `boot::host` of the library.
#![cfg_attr(not(any(feature = "builder", feature = "agent")), no_std, no_main)]

#[cfg(not(any(feature = "builder", feature = "agent")))]
use nexus_host as _;

/// With the builder's dependencies it would not fit an initrd; `build.rs` builds it without.
#[cfg(any(feature = "builder", feature = "agent"))]
fn main() {}
