//! A signed repository made by the test, served and tampered with.

use super::*;
use crate::debian::keys::KeyRing;
use crate::debian::signature::testing::{KeyRecipe, Signing, TestKey, clear_signed};
use crate::debian::source::{Source, Suite};

/// 2025-10-09; the test keys sign in June 2025.
const NOW: u64 = 1_760_000_000;
const DATE: &str = "Wed, 08 Oct 2025 08:53:20 UTC";
const PACKAGES: &[u8] = b"Package: hello\nVersion: 2.10\n";

struct Repository {
    server: Server,
    key: TestKey,
    directory: tempfile::TempDir,
    recorder: Recorder,
}

impl Repository {
    fn new() -> Self {
        Self {
            server: Server::start(),
            key: TestKey::new(KeyRecipe::default()),
            directory: tempfile::tempdir().unwrap(),
            recorder: Recorder::default(),
        }
    }

    fn release_text(date: &str, more: &str) -> String {
        let packed = gzip(PACKAGES);
        let (plain, packed) = (
            (Sha256Digest::of(PACKAGES), PACKAGES.len()),
            (Sha256Digest::of(&packed), packed.len()),
        );
        format!(
            "Suite: stable\nCodename: trixie\nDate: {date}\nAcquire-By-Hash: yes\n{more}\
             Architectures: amd64\nComponents: main\nSHA256:\n {} {} main/binary-amd64/Packages\n \
             {} {} main/binary-amd64/Packages.gz",
            plain.0, plain.1, packed.0, packed.1
        )
    }

    /// Publishes a signed suite whose index lies under its digest alone.
    fn publish(&self, date: &str, more: &str) {
        let text = Self::release_text(date, more);
        let document = clear_signed(&text, &[(&self.key, Signing::default())]);
        self.server.put("debian/dists/trixie/InRelease", document.as_bytes());
        let packed = gzip(PACKAGES);
        let digest = Sha256Digest::of(&packed);
        let path = format!("debian/dists/trixie/main/binary-amd64/by-hash/SHA256/{digest}");
        self.server.put(&path, &packed);
    }

    fn source(&self) -> Source {
        let uri = self.server.url.join("debian").unwrap();
        let keys = KeyRing::parse(&self.key.ring_bytes()).unwrap();
        let suite = Suite::parse("trixie", &["main"]).unwrap();
        let third_party = Source::third_party("test", vec![uri], suite, keys);
        Source { is_named: true, ..third_party }
    }

    /// Fetches the Release file and the indexes; shows what came of it.
    fn fetch(&self, source: &Source, now: u64, offline: bool) -> String {
        let interrupt = Interrupt::default();
        let options = FetchOptions { offline, ..options() };
        let fetcher =
            Fetcher::new(self.directory.path(), &self.recorder, &interrupt, options).unwrap();
        let result = fetcher
            .releases(std::slice::from_ref(source), now)
            .and_then(|releases| Ok((fetcher.indexes(&releases, "amd64")?, releases)));
        match result {
            Ok((indexes, releases)) => {
                let mut text = String::new();
                for verified in releases {
                    let date = verified.release.date_seconds;
                    writeln!(text, "date {date}, {} signer", verified.signers.len()).unwrap();
                }
                for index in indexes {
                    let Index { source, component, architecture, text: stanzas } = index;
                    let count = stanzas.len();
                    writeln!(text, "{source} {component} {architecture}: {count} bytes").unwrap();
                }
                text
            }
            Err(error) => format!("error: {}", chain(&error, &self.server)),
        }
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write as _;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn a_suite_is_verified_and_its_index_comes_by_hash() {
    let repository = Repository::new();
    repository.publish(DATE, "");
    let source = repository.source();
    let text = repository.fetch(&source, NOW, false);
    expect![[r#"
        date 1759913600, 1 signer
        test main amd64: 29 bytes
    "#]]
    .assert_eq(&text);
    let requests = repository.server.log().len();
    assert_eq!(repository.fetch(&source, NOW, true), text);
    assert_eq!(repository.server.log().len(), requests);
}

#[test]
fn offline_without_cache_says_so() {
    let repository = Repository::new();
    let text = repository.fetch(&repository.source(), NOW, true);
    expect![[r#"
        error: source test cannot be used
        its Release file is not in the cache, and the network must not be used
    "#]]
    .assert_eq(&text);
}

#[test]
fn detached_signatures_and_plain_names_work() {
    let repository = Repository::new();
    let text = Repository::release_text(DATE, "").replace("Acquire-By-Hash: yes\n", "");
    let signature = repository.key.sign_detached(text.as_bytes(), Signing::default());
    let server = &repository.server;
    server.put("debian/dists/trixie/Release", text.as_bytes());
    server.put("debian/dists/trixie/Release.gpg", signature.as_bytes());
    server.put("debian/dists/trixie/main/binary-amd64/Packages.gz", &gzip(PACKAGES));
    let found = repository.fetch(&repository.source(), NOW, false);
    expect![[r#"
        date 1759913600, 1 signer
        test main amd64: 29 bytes
    "#]]
    .assert_eq(&found);
    assert_eq!(repository.fetch(&repository.source(), NOW, true), found);
    expect![[r#"
        /debian/dists/trixie/InRelease
        /debian/dists/trixie/Release
        /debian/dists/trixie/Release.gpg
        /debian/dists/trixie/main/binary-amd64/Packages.gz"#]]
    .assert_eq(&server.log().join("\n"));
}

#[test]
fn a_missing_by_hash_file_is_fetched_by_name() {
    let repository = Repository::new();
    repository.publish(DATE, "");
    let path = format!(
        "debian/dists/trixie/main/binary-amd64/by-hash/SHA256/{}",
        Sha256Digest::of(&gzip(PACKAGES))
    );
    repository.server.script(&path, &[Behaviour::Status(404, vec![])]);
    repository.server.put("debian/dists/trixie/main/binary-amd64/Packages.gz", &gzip(PACKAGES));
    let found = repository.fetch(&repository.source(), NOW, false);
    assert!(found.starts_with("date"), "{found}");
}

#[test]
fn flat_repositories_work() {
    let repository = Repository::new();
    let digest = Sha256Digest::of(PACKAGES);
    let text = format!("Date: {DATE}\nSHA256:\n {digest} {} Packages", PACKAGES.len());
    let document = clear_signed(&text, &[(&repository.key, Signing::default())]);
    repository.server.put("debian/InRelease", document.as_bytes());
    repository.server.put("debian/Packages", PACKAGES);
    let suite = Suite::parse("./", &[]).unwrap();
    let source = Source { suite, is_named: false, ..repository.source() };
    expect![[r#"
        date 1759913600, 1 signer
        test  amd64: 29 bytes
    "#]]
    .assert_eq(&repository.fetch(&source, NOW, false));
}

#[track_caller]
fn check_refused(prepare: impl Fn(&Repository) -> (Source, u64), expected: &Expect) {
    let repository = Repository::new();
    repository.publish(DATE, "Valid-Until: Wed, 15 Oct 2025 08:53:20 UTC\n");
    let (source, now) = prepare(&repository);
    let text = repository.fetch(&source, now, false);
    assert!(text.starts_with("error"), "{text}");
    let offline = repository.fetch(&source, now, true);
    assert!(offline.contains("not in the cache"), "nothing bad is kept: {offline}");
    expected.assert_eq(&text);
}

#[test]
fn what_must_not_be_used_is_refused() {
    check_refused(
        |repository| (repository.source(), NOW + 7 * 86_400),
        &expect![[r#"
        error: source test cannot be used
        the Release file expired on 2025-10-15 08:53 UTC: the mirror is out of date, or someone serves an old copy
    "#]],
    );
    check_refused(
        |repository| (repository.source(), NOW - 3 * 86_400),
        &expect![[r#"
        error: source test cannot be used
        the Release file is from the future (2025-10-08 08:53 UTC); is the clock right?
    "#]],
    );
    check_refused(
        |repository| {
            let suite = Suite::parse("bookworm", &["main"]).unwrap();
            let document = clear_signed(
                &Repository::release_text(DATE, ""),
                &[(&repository.key, Signing::default())],
            );
            repository.server.put("debian/dists/bookworm/InRelease", document.as_bytes());
            (Source { suite, ..repository.source() }, NOW)
        },
        &expect![[r#"
            error: source test cannot be used
            the Release file is that of trixie, not of bookworm
        "#]],
    );
    check_refused(
        |repository| {
            let keys = KeyRing::parse(
                &TestKey::new(KeyRecipe { seed: 9, ..KeyRecipe::default() }).ring_bytes(),
            );
            (Source { keys: keys.unwrap(), ..repository.source() }, NOW)
        },
        &expect![[r#"
            error: source test cannot be used
            the file is signed by keys that are not known for this source: C437462B7807391124C8811C8FF1D40283B6785C
        "#]],
    );
}

#[test]
fn what_is_absent_or_unsigned_is_refused() {
    check_refused(
        |repository| {
            repository.server.put("debian/dists/trixie/InRelease", b"<html>please log in</html>");
            (repository.source(), NOW)
        },
        &expect![[r#"
            error: source test cannot be used
            the file carries no OpenPGP signature
        "#]],
    );
    check_refused(
        |repository| {
            let suite = Suite::parse("forky", &["main"]).unwrap();
            (Source { suite, ..repository.source() }, NOW)
        },
        &expect![[r#"
            error: source test cannot be used
            there is neither InRelease nor Release at http://server/debian/dists/forky/InRelease
        "#]],
    );
    check_refused(
        |repository| {
            let text = Repository::release_text(DATE, "");
            repository
                .server
                .script("debian/dists/trixie/InRelease", &[Behaviour::Status(404, vec![])]);
            repository.server.put("debian/dists/trixie/Release", text.as_bytes());
            (repository.source(), NOW)
        },
        &expect![[r#"
            error: source test cannot be used
            the file carries no OpenPGP signature
        "#]],
    );
}

#[test]
fn missing_components_and_architectures_are_named() {
    let repository = Repository::new();
    repository.publish(DATE, "");
    let suite = Suite::parse("trixie", &["main", "contrib"]).unwrap();
    let source = Source { suite, ..repository.source() };
    expect![[r#"
        error: source test cannot be used
        there is no component `contrib`; there are main
    "#]]
    .assert_eq(&repository.fetch(&source, NOW, false));
}

#[test]
fn a_wrong_index_is_refused() {
    let repository = Repository::new();
    repository.publish(DATE, "");
    let packed = gzip(PACKAGES);
    let path = format!(
        "debian/dists/trixie/main/binary-amd64/by-hash/SHA256/{}",
        Sha256Digest::of(&packed)
    );
    repository.server.put(&path, &vec![0; packed.len()]);
    expect![[r#"
        error: source test cannot be used
        cannot fetch test main/binary-amd64/Packages.gz from http://server/debian/dists/trixie/main/binary-amd64/by-hash/SHA256/d9411c7f64038da868a2209846d79a63d14f9cf0e4aebc82174df065fb475c23; nor from http://server/debian/dists/trixie/main/binary-amd64/Packages.gz (it is not there (status 404))
        its bytes are wrong: expected SHA-256 d9411c7f64038da868a2209846d79a63d14f9cf0e4aebc82174df065fb475c23, found 78877fa898f0b4c45c9c33ae941e40617ad7c8657a307db62bc5691f92f4f60e
    "#]].assert_eq(&repository.fetch(&repository.source(), NOW, false));
}

#[test]
fn an_older_release_does_not_replace_a_newer_one() {
    let repository = Repository::new();
    repository.publish(DATE, "");
    let source = repository.source();
    let newer = repository.fetch(&source, NOW, false);
    repository.publish("Wed, 01 Oct 2025 08:53:20 UTC", "");
    assert_eq!(repository.fetch(&source, NOW, false), newer);
    expect!["test: the mirror serves an older Release file than the last one; keeping that"]
        .assert_eq(&repository.recorder.notes().join("\n"));
}

#[test]
fn endless_release_files_are_cut() {
    let repository = Repository::new();
    let huge = vec![b'a'; crate::debian::signature::RELEASE_BYTES_MAX + 1];
    repository.server.put("debian/dists/trixie/InRelease", &huge);
    expect![[r#"
        error: source test cannot be used
        cannot fetch test InRelease from http://server/debian/dists/trixie/InRelease
        it is longer than 16777216 bytes
    "#]]
    .assert_eq(&repository.fetch(&repository.source(), NOW, false));
}
