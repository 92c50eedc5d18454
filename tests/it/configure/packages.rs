//! Sets of real packages, unpacked once and kept between runs.

use std::fs;
use std::path::{Path, PathBuf};

use nexus_host::debian::deb::Limits;
use nexus_host::exec::environment::Environment;
use nexus_host::exec::unpack::unpack_deb;
use nexus_host::store::Sha256Digest;

use crate::identity::kept_directory;
use crate::unpack::mirror;

/// What {linux-image-cloud-amd64, systemd-sysv, udev} and the essential packages need.
pub(crate) const SMALL: &str = include_str!("small.txt");

/// The same with openssh-server, caddy, nftables, dbus, systemd-resolved, postgresql, python3,
/// ca-certificates, podman and locales.
pub(crate) const BIG: &str = include_str!("big.txt");

/// The unpacked packages with these names, a line each.
pub(crate) fn unpacked(names: &str) -> Vec<PathBuf> {
    let names: Vec<&str> = names.lines().collect();
    let environment = Environment::of_process().unwrap();
    let packages = mirror::fetch(&environment, &kept_directory(), &names);
    packages.iter().map(|package| unpack_once(package)).collect()
}

fn unpack_once(package: &Path) -> PathBuf {
    let parent = kept_directory().join("unpacked");
    fs::create_dir_all(&parent).unwrap();
    let target = parent.join(package.file_stem().unwrap());
    if !target.exists() {
        let scratch = tempfile::tempdir_in(&parent).unwrap();
        let into = scratch.path().join("package");
        fs::create_dir(&into).unwrap();
        let sha256 = Sha256Digest::of(&fs::read(package).unwrap());
        unpack_deb(package, &sha256, &into, &Limits::default()).unwrap();
        // Another test may have been faster.
        let _ = fs::rename(&into, &target);
    }
    target
}
