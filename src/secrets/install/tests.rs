//! Tests of installation, in a real folder in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use super::super::{Declarations, DeclaredSecret, DeclaredTemplate, FORMAT};
use super::*;
use crate::sops::{
    DataKey, Document, Format, Identities, Metadata, Nonces, Opened, Recipient, Rule, SecretBytes,
    generate_identity,
};

/// A host with its identity, in memory.
struct Host {
    folder: tempfile::TempDir,
    places: Places,
    recipient: Recipient,
}

impl Host {
    fn new() -> Self {
        assert!(
            is_in_memory(Path::new("/dev/shm")),
            "the tests of secrets need a tmpfs on /dev/shm"
        );
        let folder = tempfile::tempdir_in("/dev/shm").unwrap();
        let at = |name: &str| folder.path().join(name);
        let places = Places {
            generations: at("secrets.d"),
            link: at("secrets"),
            identities: vec![at("absent"), at("identity")],
        };
        fs::create_dir(&places.generations).unwrap();
        let (identity, recipient) = generate_identity();
        write(&at("identity"), identity.expose());
        Self { folder, places, recipient }
    }

    /// A system with `plain` secrets (YAML) and declarations.
    fn system(&self, plain: &str, declarations: &Declarations) -> PathBuf {
        let system = self.folder.path().join("system");
        write(&system.join(super::super::DECLARATIONS), declarations.to_text().as_bytes());
        let (uid, gid) = own();
        write(&system.join("etc/passwd"), format!("app:x:{uid}:{gid}::/:/bin/sh\n").as_bytes());
        write(&system.join("etc/group"), format!("app:x:{gid}:\n").as_bytes());
        write(&system.join("etc/shadow"), b"root:*:1:0:99999:7:::\napp:!:1:0:99999:7:::\n");
        let path = system.join("usr/lib/nexus-host/secrets.sops.yaml");
        write(&path, &self.sealed(plain));
        system
    }

    fn sealed(&self, plain: &str) -> Vec<u8> {
        let items = Format::Yaml.parse_plain(plain.as_bytes()).unwrap();
        let key = DataKey::new([3; 32]);
        let mut metadata = Metadata::new(Rule::default(), false);
        metadata.set_recipients(std::slice::from_ref(&self.recipient), &key, true).unwrap();
        let opened = Opened { items, nonces: Nonces::default() };
        let mut random = |buffer: &mut [u8]| buffer.fill(9);
        let now = ("2026-11-21T12:00:00Z", &mut random as _);
        let sealed = Document::seal(Format::Yaml, opened, metadata, &key, now).unwrap();
        sealed.to_bytes().unwrap()
    }

    fn activate(&self, plain: &str, declarations: &Declarations, generation: u64) -> Changed {
        let system = self.system(plain, declarations);
        activate(&system, &self.places, generation).unwrap().unwrap()
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.places.link.join(name)).unwrap()
    }
}

fn own() -> (u32, u32) {
    (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw())
}

fn write(path: &Path, bytes: &[u8]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::io::Write::write_all(&mut fs::File::create(path).unwrap(), bytes).unwrap();
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn declared(secrets: &[(&str, &[&str], bool)]) -> Declarations {
    let secret = |(name, units, reload): &(&str, &[&str], bool)| {
        let secret = DeclaredSecret {
            owner: "app".to_owned(),
            group: "app".to_owned(),
            mode: 0o440,
            units: set(units),
            reload: *reload,
            generate: None,
            never_rotate: false,
        };
        ((*name).to_owned(), secret)
    };
    Declarations {
        format: FORMAT,
        ciphertext: Some("usr/lib/nexus-host/secrets.sops.yaml".to_owned()),
        secrets: secrets.iter().map(secret).collect(),
        ..Declarations::default()
    }
}

fn with_template(mut declarations: Declarations, text: &str) -> Declarations {
    let template = DeclaredTemplate {
        text: text.to_owned(),
        owner: "app".to_owned(),
        group: "app".to_owned(),
        mode: 0o400,
        units: set(&["web.service"]),
        reload: true,
    };
    declarations.templates.insert("app.env".replace('.', "-"), template);
    declarations
}

#[test]
fn secrets_become_files_with_owner_and_mode() {
    let host = Host::new();
    let declarations =
        with_template(declared(&[("a/b", &["a.service"], false)]), "K={secret:a/b|env}\n");
    let changed = host.activate("a:\n    b: one\n", &declarations, 7);
    assert_eq!(host.text("a/b"), "one");
    assert_eq!(host.text("templates/app-env"), "K=\"one\"\n");
    let data = fs::metadata(host.places.link.join("a/b")).unwrap();
    assert_eq!((data.mode() & 0o7777, data.uid(), data.gid()), (0o440, own().0, own().1));
    let folder = fs::metadata(host.places.link.join("a")).unwrap();
    assert_eq!(folder.permissions().mode() & 0o7777, 0o711);
    assert_eq!(fs::read_link(&host.places.link).unwrap(), host.places.generations.join("7"));
    assert!(changed.first);
    assert_eq!((changed.secrets, changed.templates), (set(&["a/b"]), set(&["app-env"])));
}

#[test]
fn only_what_changed_touches_its_units() {
    let host = Host::new();
    let declarations = with_template(
        declared(&[
            ("a", &["a.service", "both.service"], false),
            ("b", &["b.service", "both.service"], true),
            ("c", &["c.service"], false),
        ]),
        "{secret:b}",
    );
    host.activate("a: 1\nb: 2\nc: 3\n", &declarations, 1);
    let same = host.activate("a: 1\nb: 2\nc: 3\n", &declarations, 2);
    assert_eq!((same.secrets, same.restart, same.reload), (set(&[]), set(&[]), set(&[])));
    let one = host.activate("a: 1\nb: other\nc: 3\n", &declarations, 3);
    assert_eq!(one.secrets, set(&["b"]));
    assert_eq!(one.templates, set(&["app-env"]));
    assert_eq!(one.restart, set(&[]));
    assert_eq!(one.reload, set(&["b.service", "both.service", "web.service"]));
    let two = host.activate("a: x\nb: y\nc: 3\n", &declarations, 4);
    assert_eq!(two.restart, set(&["a.service", "both.service"]));
    assert_eq!(two.reload, set(&["b.service", "web.service"]));
    let left: BTreeSet<_> =
        fs::read_dir(&host.places.generations).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left, ["3", "4"].map(std::ffi::OsString::from).into());
    let gone = host.activate("a: x\nb: y\n", &declared(&[("a", &[], false), ("b", &[], false)]), 5);
    assert!(gone.secrets.contains("c"));
}

#[test]
fn the_same_generation_can_be_installed_again() {
    let host = Host::new();
    let declarations = declared(&[("a", &[], false)]);
    host.activate("a: 1\n", &declarations, 1);
    let again = host.activate("a: 2\n", &declarations, 1);
    assert_eq!(again.folder, host.places.generations.join("1.1"));
    assert_eq!(host.text("a"), "2");
}

/// What is refused, and that nothing changed then.
#[track_caller]
fn check_refused(host: &Host, plain: &str, declarations: &Declarations, expected: &str) {
    let good = declared(&[("a", &[], false)]);
    host.activate("a: kept\n", &good, 1);
    let system = host.system(plain, declarations);
    let error = activate(&system, &host.places, 2).unwrap_err();
    let chain: Vec<String> =
        std::iter::successors(Some(&error as &dyn std::error::Error), |error| error.source())
            .map(ToString::to_string)
            .collect();
    let said = chain.join(": ");
    assert!(said.contains(expected), "{said}");
    assert_eq!(host.text("a"), "kept");
    assert!(!host.places.generations.join("2").exists());
}

#[test]
fn what_cannot_be_installed_is_refused_before_anything_changes() {
    let host = Host::new();
    let two = declared(&[("a", &[], false), ("b", &[], false)]);
    check_refused(&host, "a: 1\n", &two, "these secrets have no value: b");
    let mut owner = declared(&[("a", &[], false)]);
    owner.secrets.get_mut("a").unwrap().owner = "nobody-here".to_owned();
    check_refused(&host, "a: 1\n", &owner, "the user `nobody-here`");
    let template = with_template(declared(&[("a", &[], false)]), "{secret:zzz}");
    check_refused(&host, "a: 1\n", &template, "names the secret `zzz`");
    let mut none = declared(&[("a", &[], false)]);
    none.ciphertext = None;
    check_refused(&host, "a: 1\n", &none, "built without their encrypted file");
    let mut outside = declared(&[("a", &[], false)]);
    outside.ciphertext = Some("../../etc/x.yaml".to_owned());
    check_refused(&host, "a: 1\n", &outside, "built without their encrypted file");
    let mut hash = declared(&[("a", &[], false)]);
    hash.password_hashes.insert("app".to_owned(), "a".to_owned());
    check_refused(&host, "a: plainpassword\n", &hash, "the password hash of `app` is none");
}

#[test]
fn another_hosts_secrets_are_refused() {
    let (host, other) = (Host::new(), Host::new());
    let declarations = declared(&[("a", &[], false)]);
    let system = host.system("a: 1\n", &declarations);
    let error = check_generation(&system, &other.places).unwrap_err();
    let said = std::error::Error::source(&error).unwrap().to_string();
    assert!(
        said.contains("none of the 1 identities") && said.contains(host.recipient.as_str()),
        "{said}"
    );
    let nobody = Places { identities: vec!["/nowhere".into()], ..host.places.clone() };
    let error = check_generation(&system, &nobody).unwrap_err().to_string();
    assert_eq!(error, "this host has no identity to decrypt with; looked for /nowhere");
}

#[test]
fn a_system_without_secrets_needs_no_identity() {
    let host = Host::new();
    let places = Places { identities: Vec::new(), ..host.places.clone() };
    assert!(check_generation(&host.folder.path().join("empty"), &places).unwrap().is_none());
}

#[test]
fn nothing_is_written_to_a_disk() {
    let host = Host::new();
    let on_disk = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
    if is_in_memory(on_disk.path()) {
        return;
    }
    let places = Places { generations: on_disk.path().to_owned(), ..host.places.clone() };
    let system = host.system("a: 1\n", &declared(&[("a", &[], false)]));
    let error = activate(&system, &places, 1).unwrap_err().to_string();
    assert!(error.contains("is not in memory"), "{error}");
    assert_eq!(fs::read_dir(on_disk.path()).unwrap().count(), 0);
}

#[test]
fn a_failed_write_leaves_the_old_secrets() {
    let host = Host::new();
    let declarations = declared(&[("a", &[], false)]);
    host.activate("a: old\n", &declarations, 1);
    let system = host.system("a: new\n", &declarations);
    // A folder where the new link would come: the switch cannot succeed.
    let blocked = host.places.link.with_file_name("secrets.new");
    fs::create_dir(&blocked).unwrap();
    assert!(activate(&system, &host.places, 2).is_err());
    assert_eq!(host.text("a"), "old");
    assert!(!host.places.generations.join("2").exists(), "something half-written is left");
    fs::remove_dir(&blocked).unwrap();
    activate(&system, &host.places, 2).unwrap();
    assert_eq!(host.text("a"), "new");
}

#[test]
fn password_hashes_come_into_the_shadow_file() {
    let base = "root:*:20000:0:99999:7:::\nbob:!:20000:0:99999:7:::\n";
    let hash = "$2b$12$abcdefghijklmnopqrstuuUk9VdyRG6lL1A4R1jhm5Fq1HnJqW5vO";
    let hashes = BTreeMap::from([("bob".to_owned(), SecretBytes::from(hash))]);
    let text = shadow_with_hashes(base, &hashes).unwrap();
    let expected = format!("root:*:20000:0:99999:7:::\nbob:{hash}:20000:0:99999:7:::\n");
    assert_eq!(text.text(), Some(expected.as_str()));
    for bad in ["hunter2", "", "$1$x:0:0", "$6$short"] {
        let hashes = BTreeMap::from([("bob".to_owned(), SecretBytes::from(bad))]);
        let error = shadow_with_hashes(base, &hashes).unwrap_err();
        assert_eq!(error, ShadowError::NoHash { user: "bob".to_owned() });
    }
    let hashes = BTreeMap::from([("eve".to_owned(), SecretBytes::from(hash))]);
    let error = shadow_with_hashes(base, &hashes).unwrap_err();
    assert_eq!(error, ShadowError::NoUser { user: "eve".to_owned() });
}

#[test]
fn a_generation_with_hashes_has_a_shadow_file() {
    let host = Host::new();
    if own().0 != 0 {
        // Giving a file to root is root's alone.
        return;
    }
    let mut declarations = declared(&[("login", &[], false)]);
    declarations.password_hashes.insert("app".to_owned(), "login".to_owned());
    let hash = "$2b$12$abcdefghijklmnopqrstuuUk9VdyRG6lL1A4R1jhm5Fq1HnJqW5vO";
    let changed = host.activate(&format!("login: {hash}\n"), &declarations, 1);
    let shadow = fs::read_to_string(changed.folder.join(".shadow")).unwrap();
    assert!(shadow.contains(&format!("app:{hash}:1:")), "{shadow}");
}

#[test]
fn identities_are_those_of_the_places_that_are_there() {
    let host = Host::new();
    let found: Identities = find_identities(&host.places).unwrap();
    assert_eq!(found.recipients(), [host.recipient.as_str()]);
}
