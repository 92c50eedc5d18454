//! Builds what the program carries inside itself: `nexus-init` for the initrd of hosts, `nexus-agent` for
//! all hosts, and `nexus-secrets` for hosts with secrets, all static.

#![expect(clippy::disallowed_methods, reason = "a build script lives from its environment")]

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Set for the inner build, which must not start another.
const INNER: &str = "NEXUS_HOST_INNER_BUILD";
/// What the inner programs are made of.
const SOURCES: [&str; 23] = [
    "src/agent",
    "src/bin/nexus-agent.rs",
    "src/bin/nexus-init.rs",
    "src/bin/nexus-secrets.rs",
    "src/boot",
    "src/calendar.rs",
    "src/exec/files.rs",
    "src/exec/process.rs",
    "src/failure.rs",
    "src/generation",
    "src/health",
    "src/image/boot_entries.rs",
    "src/image/cpio.rs",
    "src/image/inodes.rs",
    "src/image/segment.rs",
    "src/lib.rs",
    "src/secrets",
    "src/sops",
    "src/store",
    "src/switch",
    "src/tree",
    "Cargo.lock",
    "Cargo.toml",
];
/// How all inner programs are made: static.
const FLAGS: [&str; 3] = ["-Ctarget-feature=+crt-static", "-Cpanic=abort", "-Cstrip=symbols"];
/// How `nexus-init` is made: small, for it is in every initrd, and with nothing but its own code, no C library. The
/// others hash and decrypt, for which small code takes three times as long.
const BARE: [&str; 5] = [
    "-Copt-level=s",
    "-Crelocation-model=static",
    "-Clink-arg=-nostartfiles",
    "-Clink-arg=-nostdlib",
    "-Clink-arg=-static",
];
/// The inner programs: name, features, further flags.
const PROGRAMS: [(&str, &str, &[&str]); 3] =
    [("nexus-init", "", &BARE), ("nexus-agent", "agent", &[]), ("nexus-secrets", "secrets", &[])];

fn main() {
    for source in SOURCES {
        println!("cargo::rerun-if-changed={source}");
    }
    println!("cargo::rerun-if-env-changed={INNER}");
    if env::var_os("CARGO_FEATURE_BUILDER").is_none() || env::var_os(INNER).is_some() {
        return;
    }
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    for (program, features, flags) in PROGRAMS {
        let built = build(program, features, flags, &out);
        std::fs::copy(&built, out.join(program)).expect("the built program can be copied");
    }
}

/// Builds a program without the builder's dependencies, static; gives its path.
///
/// A triple is named although it is the host's own: then the flags are for the program alone and not
/// for build scripts, which cannot be static.
fn build(program: &str, features: &str, further: &[&str], out: &Path) -> PathBuf {
    let triple = env::var("TARGET").expect("cargo sets it");
    let mut flags: Vec<String> = FLAGS.map(str::to_owned).to_vec();
    flags.extend(further.iter().map(|flag| (*flag).to_owned()));
    flags.extend(without_places());
    let target = out.join("inner");
    let mut command = Command::new(env::var_os("CARGO").expect("cargo sets it"));
    command
        .args(["build", "--bin", program, "--no-default-features", "--features", features])
        .args(["--release", "--quiet", "--target", &triple, "--target-dir"])
        .arg(&target)
        .current_dir(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"))
        .env(INNER, "1")
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"))
        .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "3")
        .env("CARGO_PROFILE_RELEASE_LTO", "fat")
        .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "1")
        // The outer build's wrapper (clippy, sccache) is not asked about the inner one.
        .env_remove("RUSTC_WORKSPACE_WRAPPER")
        .env_remove("RUSTFLAGS");
    let status = command.status().expect("cargo can be started");
    assert!(status.success(), "building {program} failed: {status}");
    target.join(triple).join("release").join(program)
}

/// Flags that keep the places of this machine out of the program: two machines build the same bytes.
fn without_places() -> Vec<String> {
    let own = env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it");
    let home = env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(Path::new(&env::var_os("HOME")?).join(".cargo")));
    let registries = home.map(|home| home.join("registry/src")).into_iter();
    // Below it, the folder's name depends on where crates are fetched from.
    let registries = registries.flat_map(|folder| std::fs::read_dir(folder).into_iter().flatten());
    let mut places: Vec<PathBuf> = registries.flatten().map(|entry| entry.path()).collect();
    places.sort();
    let flag = |place: &Path, name| format!("--remap-path-prefix={}={name}", place.display());
    let crates = places.iter().map(|place| flag(place, "/crates"));
    crates.chain([flag(Path::new(&own), "/nexus-host")]).collect()
}
