//! Keys on their way: what is carried, with which modes, and what is refused.

use std::os::unix::fs::{PermissionsExt as _, symlink};

use super::*;
use crate::exec::files::write_scratch;

fn own_files() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let key = directory.path().join("ssh/ssh_host_ed25519_key");
    write_scratch(&key, b"secret").unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    fs::set_permissions(key.parent().unwrap(), fs::Permissions::from_mode(0o700)).unwrap();
    write_scratch(&directory.path().join("identity.txt"), b"id").unwrap();
    fs::set_permissions(directory.path().join("identity.txt"), fs::Permissions::from_mode(0o400))
        .unwrap();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
    directory
}

#[test]
fn an_archive_puts_them_at_the_hosts_own_place() {
    let own = own_files();
    let archive = String::from_utf8(archive(own.path()).unwrap()).unwrap();
    let headers: Vec<(&str, &str)> = archive
        .split("070701")
        .skip(1)
        .map(|part| (&part[8..16], part[104..].split('\0').next().unwrap()))
        .collect();
    assert_eq!(
        headers,
        [
            ("000041ED", "disk"),
            ("000041ED", "disk/var"),
            ("000041ED", "disk/var/lib"),
            ("000041ED", "disk/var/lib/nexus-host"),
            ("00008100", "disk/var/lib/nexus-host/identity.txt"),
            ("000041C0", "disk/var/lib/nexus-host/ssh"),
            ("00008180", "disk/var/lib/nexus-host/ssh/ssh_host_ed25519_key"),
            ("00000000", "TRAILER!!!"),
        ]
    );
}

#[test]
fn a_copy_has_the_same_contents_and_modes() {
    let (own, target) = (own_files(), tempfile::tempdir().unwrap());
    let place = target.path().join(PLACE);
    assert_eq!(copy(own.path(), &place).unwrap(), 8);
    let mode = |name: &str| fs::metadata(place.join(name)).unwrap().mode() & 0o7777;
    assert_eq!(
        (mode("ssh"), mode("ssh/ssh_host_ed25519_key"), mode("identity.txt")),
        (0o700, 0o600, 0o400)
    );
    assert_eq!(fs::read(place.join("ssh/ssh_host_ed25519_key")).unwrap(), b"secret");
    // What is there already is somebody's identity.
    assert!(copy(own.path(), &place).is_err());
}

#[test]
fn links_and_large_files_are_refused() {
    let own = own_files();
    symlink("/etc/shadow", own.path().join("link")).unwrap();
    let error = archive(own.path()).unwrap_err();
    assert!(error.to_string().ends_with("it is neither file nor directory"), "{error}");
    fs::remove_file(own.path().join("link")).unwrap();
    write_scratch(&own.path().join("large"), &vec![0; (1 << 20) + 1]).unwrap();
    assert!(archive(own.path()).is_err());
}
