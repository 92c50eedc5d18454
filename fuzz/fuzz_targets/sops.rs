//! Feeds bytes to the reader of SOPS documents.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../entries.rs"]
mod entries;

fuzz_target!(|bytes: &[u8]| entries::sops(bytes));
