//! Builds what the program carries inside itself: `nexus-init`, static, for the initrd of hosts.

#![expect(clippy::disallowed_methods, reason = "a build script lives from its environment")]

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Set for the inner build, which must not start another.
const INNER: &str = "NEXUS_HOST_INNER_BUILD";
/// What the inner program is made of.
const SOURCES: [&str; 5] =
    ["src/boot", "src/bin/nexus-init.rs", "src/lib.rs", "Cargo.toml", "Cargo.lock"];

fn main() {
    for source in SOURCES {
        println!("cargo::rerun-if-changed={source}");
    }
    println!("cargo::rerun-if-env-changed={INNER}");
    if env::var_os("CARGO_FEATURE_BUILDER").is_none() || env::var_os(INNER).is_some() {
        return;
    }
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    let built = build_init(&out);
    std::fs::copy(&built, out.join("nexus-init")).expect("the built program can be copied");
}

/// Builds `nexus-init` without the builder's dependencies, small and static; gives its path.
///
/// A triple is named although it is the host's own: then the flags are for the program alone and not
/// for build scripts, which cannot be static.
fn build_init(out: &Path) -> PathBuf {
    let triple = env::var("TARGET").expect("cargo sets it");
    // It has no C library: nothing but its own code is linked.
    let flags = [
        "-Ctarget-feature=+crt-static",
        "-Crelocation-model=static",
        "-Clink-arg=-nostartfiles",
        "-Clink-arg=-nostdlib",
        "-Clink-arg=-static",
        "-Copt-level=s",
        "-Cpanic=abort",
        "-Cstrip=symbols",
    ];
    let target = out.join("inner");
    let mut command = Command::new(env::var_os("CARGO").expect("cargo sets it"));
    command
        .args(["build", "--bin", "nexus-init", "--no-default-features", "--release", "--quiet"])
        .args(["--target", &triple, "--target-dir"])
        .arg(&target)
        .current_dir(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"))
        .env(INNER, "1")
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"))
        .env("CARGO_PROFILE_RELEASE_LTO", "fat")
        .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "1")
        // The outer build's wrapper (clippy, sccache) is not asked about the inner one.
        .env_remove("RUSTC_WORKSPACE_WRAPPER")
        .env_remove("RUSTFLAGS");
    let status = command.status().expect("cargo can be started");
    assert!(status.success(), "building nexus-init failed: {status}");
    target.join(triple).join("release/nexus-init")
}
