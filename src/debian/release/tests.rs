//! Release files: fields, dates, and what is refused.

use expect_test::{Expect, expect};

use super::*;

const DIGEST: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn trixie(more: &str) -> String {
    format!(
        "Origin: Debian\nLabel: Debian\nSuite: stable\nVersion: 13.7\nCodename: trixie\n\
         Date: Sat, 12 Sep 2026 07:55:41 UTC\nAcquire-By-Hash: yes\n\
         No-Support-for-Architecture-all: Packages\nArchitectures: all amd64 arm64\n\
         Components: main contrib\nMD5Sum:\n d41d8cd98f00b204e9800998ecf8427e 0 main/x\n\
         {more}SHA256:\n {DIGEST}        0 main/binary-amd64/Packages\n {DIGEST} 32 main/binary-amd64/Packages.xz\n"
    )
}

#[track_caller]
fn check(text: &str, expected: &Expect) {
    expected.assert_eq(&match Release::parse(text.as_bytes()) {
        Ok(release) => format!("{release:#?}\n"),
        Err(error) => format!("error: {error}"),
    });
}

#[test]
fn a_release_is_read() {
    check(
        &trixie("Valid-Until: Sat, 19 Sep 2026 07:55:41 UTC\n"),
        &expect![[r#"
        Release {
            origin: Some(
                "Debian",
            ),
            suite: Some(
                "stable",
            ),
            codename: Some(
                "trixie",
            ),
            date_seconds: 1789199741,
            valid_until_seconds: Some(
                1789804541,
            ),
            acquire_by_hash: true,
            lists_all_everywhere: true,
            components: [
                "main",
                "contrib",
            ],
            architectures: {
                "all",
                "amd64",
                "arm64",
            },
            files: {
                "main/binary-amd64/Packages": ListedFile {
                    sha256: Sha256Digest(e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855),
                    size_bytes: 0,
                },
                "main/binary-amd64/Packages.xz": ListedFile {
                    sha256: Sha256Digest(e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855),
                    size_bytes: 32,
                },
            },
        }
    "#]],
    );
}

#[test]
fn what_is_malformed_is_refused() {
    check("", &expect!["error: line 1 of the Release file is not a field"]);
    check("Date: x\n", &expect!["error: the Release file has no field `SHA256`"]);
    check("<html>\n", &expect!["error: line 1 of the Release file is not a field"]);
    check(" SHA256: x\n", &expect!["error: line 1 of the Release file is not a field"]);
    check(
        &trixie("").replace("Date:", "Dat:"),
        &expect!["error: the Release file has no field `Date`"],
    );
    check(
        &trixie("").replace("UTC", "CET"),
        &expect![
            "error: field `Date` of the Release file is not a date in UTC: `Sat, 12 Sep 2026 07:55:41 CET`"
        ],
    );
    check(
        &trixie("Valid-Until: never\n"),
        &expect!["error: field `Valid-Until` of the Release file is not a date in UTC: `never`"],
    );
    check(&trixie("suite: testing\n"), &expect!["error: the Release file has field `suite` twice"]);
    check(
        &trixie("\nOrigin: evil\n"),
        &expect!["error: line 13 of the Release file is not a field"],
    );
    check(&trixie("-dash: x\n"), &expect!["error: line 13 of the Release file is not a field"]);
    check(
        &trixie("").replace("main/binary-amd64/Packages.xz", "../../etc/passwd"),
        &expect!["error: line 15 of the Release file is not `digest size path`"],
    );
    check(
        &trixie("").replace("main/binary-amd64/Packages.xz", "/etc/passwd"),
        &expect!["error: line 15 of the Release file is not `digest size path`"],
    );
    check(
        &trixie("").replace(" 32 ", " +32 "),
        &expect!["error: line 15 of the Release file is not `digest size path`"],
    );
    check(
        &trixie("").replace(" 32 ", " 99999999999999999999 "),
        &expect!["error: line 15 of the Release file is not `digest size path`"],
    );
    check(
        &trixie("").replace(" 32 ", " "),
        &expect!["error: line 15 of the Release file is not `digest size path`"],
    );
    check(
        &trixie("").replace("Packages.xz", "Packages"),
        &expect![
            "error: the Release file lists `main/binary-amd64/Packages` twice, with different digests"
        ],
    );
    assert_eq!(Release::parse(b"Origin: \xff\n"), Err(ParseReleaseError::NotText));
}

#[track_caller]
fn check_time(more: &str, now: u64, expected: &Expect) {
    let release = Release::parse(trixie(more).as_bytes()).unwrap();
    expected.assert_eq(&match release.check_time(now) {
        Ok(()) => "in force".to_owned(),
        Err(error) => format!("error: {error}"),
    });
}

#[test]
fn dates_are_respected() {
    let until = "Valid-Until: Sat, 19 Sep 2026 07:55:41 UTC\n";
    check_time("", 2_000_000_000, &expect!["in force"]);
    check_time(until, 1_789_804_541, &expect!["in force"]);
    check_time(
        until,
        1_789_804_542,
        &expect![
            "error: the Release file expired on 2026-09-19 07:55 UTC: the mirror is out of date, or someone serves an old copy"
        ],
    );
    check_time("", 1_789_199_741 - 86_400, &expect!["in force"]);
    check_time(
        "",
        1_789_199_741 - 86_401,
        &expect![
            "error: the Release file is from the future (2026-09-12 07:55 UTC); is the clock right?"
        ],
    );
}

#[test]
fn suites_are_known_by_either_name() {
    let release = Release::parse(trixie("").as_bytes()).unwrap();
    assert!(release.is_of("trixie") && release.is_of("stable"));
    assert!(!release.is_of("bookworm") && !release.is_of(""));
}

proptest::proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes: Vec<u8>, text in "[A-Za-z0-9:/. \n\r\t-]*") {
        let _ = Release::parse(&bytes);
        let _ = Release::parse(text.as_bytes());
        let _ = Release::parse(trixie(&text).as_bytes());
    }
}
