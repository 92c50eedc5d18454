//! Maintainer scripts of real packages, run in the sandbox.

mod listing;
mod made;
mod packages;

use std::fs::Permissions;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use expect_test::expect;
use nexus_host::debian::lock::{AccountName, Ids};
use nexus_host::exec::configure::helpers::run_helper;
use nexus_host::exec::configure::{ConfigureError, Configured, Request, configure};
use nexus_host::exec::environment::Environment;
use nexus_host::exec::progress::Silent;
use nexus_host::exec::sandbox::{Limits, SandboxError};
use nexus_host::lower::recipe::Helper;
use nexus_host::tree::{Node, TreePath};

use crate::identity::{as_nobody, environment, is_root};

/// 2025-01-01.
const EPOCH: u64 = 1_735_689_600;

fn request(packages: Vec<PathBuf>, directory: &Path) -> Request {
    Request {
        packages,
        ids: Ids::default(),
        epoch_seconds: EPOCH,
        scratch: directory.join("scratch"),
        log: directory.join("log"),
    }
}

fn run(request: &Request) -> Result<Configured, ConfigureError> {
    configure(&environment(), request, &Silent, &Limits::default())
}

#[track_caller]
fn configured(request: &Request) -> Configured {
    run(request).unwrap_or_else(|error| {
        let log = std::fs::read_to_string(&request.log).unwrap_or_default();
        panic!("{error}: {error:?}\n{log}")
    })
}

fn path(text: &str) -> TreePath {
    TreePath::new(text).unwrap()
}

/// Configures a set twice: as root, the second time as nobody, with other surroundings.
#[track_caller]
fn check_equal_for_everyone(test: &str, names: &str) {
    let scratch = tempfile::tempdir().unwrap();
    let result = configured(&request(packages::unpacked(names), scratch.path()));
    let listing = listing::listing(&result.directory);
    let surroundings = Environment::of_process().unwrap();
    if let Some(expected) = surroundings.variable("NEXUS_HOST_TEST_LISTING") {
        let expected = std::fs::read_to_string(expected).unwrap();
        assert_eq!(listing::differences(&listing, &expected), "");
    } else if is_root() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(listing.as_bytes()).unwrap();
        file.as_file().set_permissions(Permissions::from_mode(0o644)).unwrap();
        // Another file system gives names in a directory in another order.
        let temporary = if Path::new("/dev/shm").is_dir() { "/dev/shm" } else { "/var/tmp" };
        let expected = file.path().to_str().unwrap();
        as_nobody(test, &[("NEXUS_HOST_TEST_LISTING", expected), ("TMPDIR", temporary)]);
    } else {
        let again = tempfile::tempdir().unwrap();
        let again = configured(&request(packages::unpacked(names), again.path()));
        assert_eq!(listing::differences(&listing::listing(&again.directory), &listing), "");
    }
}

#[test]
fn a_small_set_is_equal_for_everyone() {
    check_equal_for_everyone("configure::a_small_set_is_equal_for_everyone", packages::SMALL);
}

#[test]
fn a_big_set_is_equal_for_everyone() {
    check_equal_for_everyone("configure::a_big_set_is_equal_for_everyone", packages::BIG);
}

#[test]
fn owners_and_modes_are_those_that_root_would_have_made() {
    let scratch = tempfile::tempdir().unwrap();
    let result = configured(&request(packages::unpacked(packages::BIG), scratch.path()));
    let ids = &result.ids;
    let describe = |name: &str| {
        let entry = &result.manifest.entries[&path(name)];
        let name_of = |ids: &std::collections::BTreeMap<AccountName, u32>, id: u32| {
            let found = ids.iter().find(|(_, found)| **found == id);
            found.map_or_else(|| id.to_string(), |(name, _)| name.to_string())
        };
        let (user, group) = (name_of(&ids.users, entry.uid), name_of(&ids.groups, entry.gid));
        format!("{name} {:o} {user}:{group}\n", entry.mode)
    };
    let interesting = [
        "etc/shadow",
        "etc/ssl/private",
        "usr/bin/ssh-agent",
        "usr/lib/dbus-1.0/dbus-daemon-launch-helper",
        "var/lib/caddy",
        "var/lib/postgresql",
        "var/log/journal",
        "var/log/postgresql",
    ];
    // As found in a root file system that dpkg itself configured as root.
    expect![[r"
        etc/shadow 640 root:shadow
        etc/ssl/private 710 root:ssl-cert
        usr/bin/ssh-agent 2755 root:_ssh
        usr/lib/dbus-1.0/dbus-daemon-launch-helper 4754 root:messagebus
        var/lib/caddy 700 caddy:caddy
        var/lib/postgresql 755 postgres:postgres
        var/log/journal 2755 root:systemd-journal
        var/log/postgresql 1775 root:postgres
    "]]
    .assert_eq(&interesting.map(describe).concat());
    leaves_nothing_of_this_machine(&result);
}

fn leaves_nothing_of_this_machine(result: &Configured) {
    for leak in [
        "etc/machine-id",
        "etc/ssh/ssh_host_ed25519_key",
        "etc/ssl/private/ssl-cert-snakeoil.key",
        "var/lib/dbus/machine-id",
        "var/lib/dpkg/lock",
        "var/log/dpkg.log",
        "usr/sbin/policy-rc.d",
    ] {
        assert!(!result.manifest.entries.contains_key(&path(leak)), "{leak}");
    }
    for (path, entry) in &result.manifest.entries {
        let text = path.to_string();
        assert!(!text.starts_with("var/lib/postgresql/17"), "{text}");
        assert!(!text.contains(".wants"), "{text}");
        assert!(!text.contains("__pycache__"), "{text}");
        assert!(entry.mtime <= EPOCH, "{text} {}", entry.mtime);
        let on_disk = result.directory.join("data").join(path.to_path());
        match entry.node {
            Node::File(file) => assert_eq!(on_disk.metadata().unwrap().len(), file.size, "{text}"),
            Node::Directory => assert!(on_disk.is_dir(), "{text}"),
            _ => {}
        }
    }
}

#[test]
fn numbers_are_as_pinned() {
    let scratch = tempfile::tempdir().unwrap();
    let mut request = request(packages::unpacked(packages::SMALL), scratch.path());
    request.ids.users.insert("systemd-network".parse().unwrap(), 555);
    request.ids.groups.insert("systemd-network".parse().unwrap(), 556);
    request.ids.groups.insert("gone".parse().unwrap(), 999);
    let result = configured(&request);
    let entry = &result.manifest.entries[&path("var/lib/systemd/network")];
    assert_eq!((entry.uid, entry.gid), (555, 556));
    assert_eq!(result.accounts.users["systemd-network"].uid, 555);
    assert_eq!(result.accounts.users["systemd-network"].gid, 556);
    // 999 is what it would have been given.
    assert_ne!(result.ids.groups["systemd-journal"], 999);
    assert_eq!(result.ids.groups["gone"], 999);
    let passwd = std::fs::read_to_string(result.directory.join("data/etc/passwd")).unwrap();
    assert!(passwd.contains("\nsystemd-network:x:555:556:"), "{passwd}");
}

#[test]
fn a_failing_postinst_is_named_and_leaves_a_removable_scratch() {
    let scratch = tempfile::tempdir().unwrap();
    let script =
        "#!/bin/sh\nmkdir -m 000 /var/closed\necho reason one\necho reason two >&2\nexit 3\n";
    let mut set = packages::unpacked(packages::SMALL);
    set.push(made::package(&scratch.path().join("broken"), "broken", &[("postinst", script)]));
    let request = request(set, scratch.path());
    let error = run(&request).unwrap_err();
    let text = error.to_string().replace(&request.log.display().to_string(), "LOG");
    expect![[r"
        the postinst script of package broken failed (exit status 3); the whole log is LOG:
        reason one
        reason two"]]
    .assert_eq(&text);
    assert!(std::fs::read_to_string(&request.log).unwrap().contains("Setting up broken"));
    nexus_host::exec::configure::remove_scratch(&request.scratch).unwrap();
    assert!(!request.scratch.exists());
}

#[test]
fn a_failing_preinst_is_named() {
    let scratch = tempfile::tempdir().unwrap();
    let script =
        "#!/bin/sh\necho \"$1 $DPKG_MAINTSCRIPT_PACKAGE $DPKG_MAINTSCRIPT_NAME\"; kill $$\n";
    let mut set = packages::unpacked(packages::SMALL);
    set.push(made::package(&scratch.path().join("broken"), "broken", &[("preinst", script)]));
    let request = request(set, scratch.path());
    let error = run(&request).unwrap_err();
    let text = error.to_string().replace(&request.log.display().to_string(), "LOG");
    expect![[r"
        the preinst script of package broken failed (signal 15); the whole log is LOG:
        install broken preinst"]]
    .assert_eq(&text);
}

#[test]
fn a_set_that_does_not_fit_together_is_told_as_dpkg_tells_it() {
    let scratch = tempfile::tempdir().unwrap();
    let mut set = packages::unpacked(packages::SMALL);
    set.retain(|package| {
        let control = std::fs::read_to_string(package.join("control/control")).unwrap();
        !control.starts_with("Package: libpam0g\n")
    });
    let request = request(set, scratch.path());
    let error = run(&request).unwrap_err();
    assert!(matches!(error, ConfigureError::Dpkg { .. }), "{error:?}");
    assert!(error.to_string().contains("libpam0g"), "{error}");
}

#[test]
fn what_scripts_do_to_files_is_found() {
    let scratch = tempfile::tempdir().unwrap();
    let script = "#!/bin/sh\nset -e\nrm /usr/share/made/gone\nrm -r /usr/share/made/old\n\
                  echo changed > /usr/share/made/file\nchown 1:2 /usr/share/made/owned\n\
                  chmod 755 /usr/bin/made-suid\nln -s target /usr/share/made/link\n\
                  mkfifo /usr/share/made/pipe\ntouch /usr/share/made/same\n\
                  rm -r /usr/share/made/swap; mkdir /usr/share/made/swap; touch /usr/share/made/swap/b\n";
    let mut set = packages::unpacked(packages::SMALL);
    set.push(made::package(&scratch.path().join("made"), "made", &[("postinst", script)]));
    let result = configured(&request(set, scratch.path()));
    let text = result.manifest.to_text();
    let lines: Vec<&str> = text.lines().filter(|line| line.contains("made")).collect();
    expect![[r"
        - usr/share/made/gone
        - usr/share/made/old
        - usr/share/made/old/a
        - usr/share/made/swap/a
        f 0755 0 0 500 4 usr/bin/made-suid
        f 0644 0 0 1735689600 8 usr/share/made/file
        l 0777 0 0 1735689600 target usr/share/made/link
        f 0644 1 2 500 4 usr/share/made/owned
        p 0644 0 0 1735689600 usr/share/made/pipe
        f 0644 0 0 1735689600 0 usr/share/made/swap/b
        f 0644 0 0 1735689600 234 var/lib/dpkg/info/made.list
        f 0755 0 0 1735689600 338 var/lib/dpkg/info/made.postinst"]]
    .assert_eq(&lines.join("\n"));
}

#[test]
fn an_interrupt_stops_it() {
    let scratch = tempfile::tempdir().unwrap();
    let request = request(packages::unpacked(packages::SMALL), scratch.path());
    let limits = Limits { deadline: Some(Duration::from_millis(300)), ..Limits::default() };
    let error = configure(&environment(), &request, &Silent, &limits).unwrap_err();
    assert!(matches!(error, ConfigureError::Sandbox(SandboxError::Deadline { .. })), "{error:?}");
    let limits = Limits::default();
    limits.interrupt.set();
    nexus_host::exec::configure::remove_scratch(&request.scratch).unwrap();
    let error = configure(&environment(), &request, &Silent, &limits).unwrap_err();
    assert!(matches!(error, ConfigureError::Sandbox(SandboxError::Interrupted(_))), "{error:?}");
}

/// Runs a helper on the packages of `names` and gives the listing of what it made.
#[track_caller]
fn made_by(helper: Helper, names: &str) -> (String, Vec<String>) {
    let scratch = tempfile::tempdir().unwrap();
    let request = request(packages::unpacked(names), scratch.path());
    let made = run_helper(&environment(), helper, &request, &Limits::default());
    let made = made.unwrap_or_else(|error| panic!("{error}: {error:?}"));
    let paths = made.manifest.entries.keys().map(ToString::to_string).collect();
    (listing::listing(&made.directory), paths)
}

const LIBRARIES: &str = "libc6\nlibgcc-s1\nlibkmod2\nliblzma5\nlibssl3t64\nlibzstd1\nzlib1g\n";

#[test]
fn depmod_sees_only_the_kernel() {
    let kernel = packages::SMALL.lines().find(|name| name.contains("-cloud-amd64")).unwrap();
    let names = format!("{LIBRARIES}kmod\n{kernel}");
    let (listing, paths) = made_by(Helper::KernelModules, &names);
    assert_eq!(made_by(Helper::KernelModules, &names).0, listing);
    let names: Vec<&str> = paths.iter().map(|path| path.rsplit('/').next().unwrap()).collect();
    expect!["modules.alias modules.alias.bin modules.builtin.alias.bin modules.builtin.bin modules.dep modules.dep.bin modules.devname modules.softdep modules.symbols modules.symbols.bin modules.weakdep"].assert_eq(&names.join(" "));
}

#[test]
fn without_a_kernel_depmod_has_nothing_to_do() {
    assert_eq!(made_by(Helper::KernelModules, "libc6").1, Vec::<String>::new());
}

#[test]
fn the_hardware_database_is_made_from_udev_alone() {
    let names = format!(
        "{LIBRARIES}libacl1\nlibaudit1\nlibblkid1\nlibcap2\nlibcap-ng0\nlibcrypt1\nlibmount1\n\
         libpam0g\nlibpcre2-8-0\nlibseccomp2\nlibselinux1\nlibudev1\nlibsystemd-shared\nudev"
    );
    let (listing, paths) = made_by(Helper::HardwareDatabase, &names);
    assert_eq!(paths, ["usr/lib/udev/hwdb.bin"]);
    assert_eq!(made_by(Helper::HardwareDatabase, &names).0, listing);
}

#[test]
fn certificates_are_the_bundle_and_its_links() {
    // The script assumes that everything essential is there.
    let essential = "coreutils\ndash\ndebianutils\nfindutils\ngrep\nsed";
    let names = format!(
        "{LIBRARIES}libacl1\nlibattr1\nlibgmp10\nlibpcre2-8-0\nlibselinux1\nopenssl\n\
         openssl-provider-legacy\nca-certificates\n{essential}"
    );
    let (listing, paths) = made_by(Helper::Certificates, &names);
    assert_eq!(made_by(Helper::Certificates, &names).0, listing);
    assert!(paths.contains(&"etc/ssl/certs/ca-certificates.crt".to_owned()), "{paths:?}");
    // Each certificate has a link by its name and one by the hash of its subject.
    assert!(paths.len() > 200, "{paths:?}");
    assert!(paths.iter().all(|path| path.starts_with("etc/ssl/certs/")), "{paths:?}");
}
