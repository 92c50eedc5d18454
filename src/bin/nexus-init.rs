//! The first program of the host; everything is in `boot::host` of the library.

#[cfg(not(feature = "builder"))]
fn main() -> std::process::ExitCode {
    let Err(error) = nexus_host::boot::host::boot();
    nexus_host::boot::host::say_failure(&error);
    // The end of the first process is a kernel panic, and `panic=` on the command line a reboot.
    std::thread::sleep(std::time::Duration::from_secs(1));
    std::process::ExitCode::FAILURE
}

/// With the builder's dependencies it would not fit an initrd; `build.rs` builds it without.
#[cfg(feature = "builder")]
fn main() {}
