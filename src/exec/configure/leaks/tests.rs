//! Tests of what is left out.

use super::{Leak, leak};
use crate::tree::TreePath;

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Directory,
    File,
    Link,
}

#[track_caller]
fn check(path: &str, kind: Kind, expected: Option<Leak>) {
    let tree_path = TreePath::new(path).unwrap();
    let found = leak(&tree_path, kind == Kind::Directory, kind == Kind::Link);
    assert_eq!(found, expected, "{path}");
}

#[test]
fn identity_stays_with_the_host() {
    for path in [
        "etc/machine-id",
        "etc/ssh/ssh_host_ed25519_key",
        "etc/ssh/ssh_host_rsa_key.pub",
        "etc/ssl/private/ssl-cert-snakeoil.key",
        "var/lib/dbus/machine-id",
        "var/lib/systemd/random-seed",
    ] {
        check(path, Kind::File, Some(Leak::Identity));
    }
    check("etc/ssh/sshd_config", Kind::File, None);
}

#[test]
fn logs_and_caches_go_but_their_directories_stay() {
    check("var/log/dpkg.log", Kind::File, Some(Leak::Log));
    check("var/log/postgresql", Kind::Directory, None);
    check("var/cache/apt/pkgcache.bin", Kind::File, Some(Leak::Cache));
    check("var/cache/ldconfig/aux-cache", Kind::File, Some(Leak::Cache));
    check("var/cache/debconf/config.dat", Kind::File, None);
    check("var/cache/debconf/config.dat-old", Kind::File, Some(Leak::Cache));
    check("usr/lib/python3/x/__pycache__/y.pyc", Kind::File, Some(Leak::Cache));
    check("usr/lib/python3/x/__pycache__", Kind::Directory, Some(Leak::Cache));
    check("var/cached", Kind::File, None);
}

#[test]
fn units_are_not_enabled_by_packages() {
    let wants = "etc/systemd/system/multi-user.target.wants";
    check(wants, Kind::Directory, Some(Leak::Enablement));
    check(&format!("{wants}/x.service"), Kind::Link, Some(Leak::Enablement));
    check("etc/systemd/system/sshd.service", Kind::Link, Some(Leak::Enablement));
    check("etc/systemd/system/own.service", Kind::File, None);
    check("etc/systemd/system.conf", Kind::Link, None);
    check("etc/rc2.d/S01dbus", Kind::Link, Some(Leak::Enablement));
    check("etc/rcS.d/README", Kind::File, None);
}

#[test]
fn clusters_begin_on_the_host() {
    check("var/lib/postgresql/17/main", Kind::Directory, Some(Leak::Data));
    check("etc/postgresql/17/main/postgresql.conf", Kind::File, Some(Leak::Data));
    check("var/lib/postgresql/17", Kind::Directory, None);
    check("var/lib/postgresql", Kind::Directory, None);
}

#[test]
fn backups_and_what_only_lives_while_running_go() {
    check("etc/passwd-", Kind::File, Some(Leak::Backup));
    check("etc/passwd", Kind::File, None);
    check("var/lib/dpkg/status-old", Kind::File, Some(Leak::Backup));
    check("var/backups/x", Kind::File, Some(Leak::Backup));
    check("var/backups", Kind::Directory, None);
    check("run/lock", Kind::Directory, Some(Leak::Runtime));
    check("run", Kind::Directory, None);
    check("runner", Kind::File, None);
    check("vmlinuz", Kind::Link, Some(Leak::Runtime));
    check("boot/initrd.img-6.12", Kind::File, Some(Leak::Cache));
}
