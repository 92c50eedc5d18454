//! Our verdict on the archive's real signatures against that of `gpgv`.

use std::collections::BTreeSet;
use std::path::Path;

use nexus_host::debian::keys::KeyRing;
use nexus_host::debian::signature::{Verified, verify_detached, verify_inline};
use nexus_host::debian::source::Source;
use nexus_host::exec::environment::Environment;
use nexus_host::exec::fetch::{FetchOptions, Fetcher, Wanted, mirrors};
use nexus_host::exec::files::write_atomic;
use nexus_host::exec::interrupt::Interrupt;
use nexus_host::exec::progress::Silent;

use crate::toolbox::tool;
use crate::unpack::mirror;

const KEY_FILES: [&str; 6] = [
    "trixie-automatic",
    "trixie-security-automatic",
    "trixie-stable",
    "bookworm-automatic",
    "bookworm-security-automatic",
    "bookworm-stable",
];

/// The fingerprints of good signatures, or `None` when gpgv refuses the file.
fn gpgv(keys: &[&str], arguments: &[&Path]) -> Option<BTreeSet<String>> {
    let keyrings = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/debian/keys");
    let mut gpgv = tool("gpgv").sees(&keyrings).args(["--status-fd", "1"]);
    for key in keys {
        gpgv = gpgv.arg("--keyring").arg(keyrings.join(format!("{key}.gpg")));
    }
    let output = gpgv.sees(arguments[0].parent().unwrap()).args(arguments).output();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let valid = text.lines().filter_map(|line| line.strip_prefix("[GNUPG:] VALIDSIG "));
    let valid = valid.filter_map(|line| line.split(' ').next()).map(str::to_owned).collect();
    output.status.success().then_some(valid)
}

fn ours(result: Result<Verified, impl std::error::Error>) -> Option<BTreeSet<String>> {
    result.ok().map(|verified| verified.signers().iter().cloned().collect())
}

struct Suite {
    inline: Vec<u8>,
    release: Vec<u8>,
    signature: Vec<u8>,
}

/// The signed files of Debian's three suites, fetched without our own verifying.
fn suites(environment: &Environment) -> Vec<Suite> {
    let mirrors = mirrors(environment, None).expect("the environment names a mirror");
    let read = |url: &nexus_host::debian::url::Url| mirror::get(&url.request_text());
    let suite = |source: &Source| {
        let file = |name: &str| read(&source.suite_urls(name).expect("the name is a path")[0]);
        Suite {
            inline: file("InRelease"),
            release: file("Release"),
            signature: file("Release.gpg"),
        }
    };
    let sources = Source::debian("trixie", &["main"], &mirrors).expect("they are well formed");
    sources.iter().map(suite).collect()
}

#[test]
fn the_archives_signatures_get_the_verdict_of_gpgv() {
    let environment = Environment::of_process().unwrap();
    let now = environment.now_seconds;
    let directory = tempfile::tempdir().unwrap();
    let put = |name: &str, bytes: &[u8]| {
        let path = directory.path().join(name);
        write_atomic(&path, bytes).unwrap();
        path
    };
    let key_file = |name: &str| {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/debian/keys");
        std::fs::read(directory.join(format!("{name}.gpg"))).unwrap()
    };
    let mut compared = 0;
    for suite in suites(&environment) {
        let mut check = |keys: &[&str], inline: &[u8], release: &[u8], signature: &[u8]| {
            let bytes: Vec<u8> = keys.iter().flat_map(|key| key_file(key)).collect();
            let ring = KeyRing::parse(&bytes).unwrap();
            let inline_path = put("InRelease", inline);
            let theirs = gpgv(keys, &[&inline_path]);
            assert_eq!(ours(verify_inline(inline, &ring, now)), theirs, "inline, {keys:?}");
            let (signature_path, release_path) =
                (put("Release.gpg", signature), put("Release", release));
            let theirs = gpgv(keys, &[&signature_path, &release_path]);
            let verdict = ours(verify_detached(release, signature, &ring, now));
            assert_eq!(verdict, theirs, "detached, {keys:?}");
            compared += 2;
        };
        let Suite { inline, release, signature } = &suite;
        check(&KEY_FILES, inline, release, signature);
        // gpgv fails on each unknown key; we follow apt, which does not. So: rings that know all or none.
        check(&["bookworm-stable"], inline, release, signature);
        let altered = |bytes: &[u8]| {
            let mut bytes = bytes.to_vec();
            let place = bytes.len() / 2;
            bytes[place] = if bytes[place] == b'7' { b'8' } else { b'7' };
            bytes
        };
        check(&KEY_FILES, &altered(inline), &altered(release), signature);
    }
    assert_eq!(compared, 18);
}

#[test]
fn one_known_key_of_several_is_enough() {
    let environment = Environment::of_process().unwrap();
    let trixie = suites(&environment).remove(0);
    let key = include_bytes!("../../src/debian/keys/trixie-stable.gpg");
    let ring = KeyRing::parse(key).unwrap();
    let verified = verify_inline(&trixie.inline, &ring, environment.now_seconds).unwrap();
    assert_eq!(verified.signers(), ["41587F7DB8C774BCCF131416762F67A0B2C39DE4"]);
}

#[test]
fn the_embedded_keys_are_those_of_the_package() {
    let environment = Environment::of_process().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let mirror = mirrors(&environment, None).unwrap().debian;
    let path = "pool/main/d/debian-archive-keyring/debian-archive-keyring_2025.1_all.deb";
    let wanted = Wanted {
        urls: vec![mirror.join(path).unwrap()],
        sha256: "9ea7778e443144ca490668737a8ab22dd3e748bb99e805e22ec055abeb3c7fac".parse().unwrap(),
        size: PACKAGE_BYTES,
        label: "debian-archive-keyring".to_owned(),
    };
    let interrupt = Interrupt::default();
    let options = FetchOptions::default().with_environment(&environment).unwrap();
    let fetcher = Fetcher::new(directory.path(), &Silent, &interrupt, options).unwrap();
    let package = fetcher.files(std::slice::from_ref(&wanted)).unwrap().remove(&wanted.sha256);
    let unpacked = directory.path().join("unpacked");
    let dpkg = tool("dpkg-deb").sees(directory.path()).arg("--extract");
    dpkg.arg(package.unwrap()).arg(&unpacked).run();
    for key in KEY_FILES {
        let name = format!("usr/share/keyrings/debian-archive-{key}.pgp");
        let embedded =
            Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("src/debian/keys/{key}.gpg"));
        assert_eq!(std::fs::read(embedded).unwrap(), std::fs::read(unpacked.join(name)).unwrap());
    }
}

/// The length of that package's file.
const PACKAGE_BYTES: u64 = 179_244;
