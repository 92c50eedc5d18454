//! Sources: suites, addresses of their files, the snapshot archive.

use std::fmt::Write as _;

use expect_test::{Expect, expect};

use super::*;

#[track_caller]
fn check(suite: &str, components: &[&str], expected: &Expect) {
    expected.assert_eq(&match Suite::parse(suite, components) {
        Ok(suite) => format!("{} {:?}", suite.path_of("InRelease"), suite.components()),
        Err(error) => format!("error: {error}"),
    });
}

#[test]
fn suites() {
    check(
        "trixie",
        &["main", "non-free-firmware"],
        &expect![[r#"dists/trixie/InRelease ["main", "non-free-firmware"]"#]],
    );
    check(
        "bullseye/updates",
        &["main"],
        &expect![[r#"dists/bullseye/updates/InRelease ["main"]"#]],
    );
    check("./", &[], &expect!["InRelease []"]);
    check("/", &[], &expect!["InRelease []"]);
    check("debian/any/", &[], &expect!["debian/any/InRelease []"]);
    check("trixie", &[], &expect!["error: suite `trixie` needs a component, such as `main`"]);
    check("./", &["main"], &expect!["error: suite `./` ends with `/`, so it has no components"]);
    check("../x", &["main"], &expect!["error: `../x` is not a suite"]);
    check("a/../", &[], &expect!["error: `a/../` is not a suite"]);
    check("", &["main"], &expect!["error: `` is not a suite"]);
    check("trixie", &["main", "a b"], &expect!["error: `a b` is not a component"]);
    check("trixie", &["../main"], &expect!["error: `../main` is not a component"]);
}

#[test]
fn debians_own_suites() {
    let mirrors = Mirrors {
        debian: "https://example.org/debian/".parse().unwrap(),
        security: "https://example.org/debian-security".parse().unwrap(),
    };
    let base = SNAPSHOT_BASE.parse().unwrap();
    let mut text = String::new();
    for source in Source::debian("trixie", &["main"], &mirrors).unwrap() {
        writeln!(text, "{} {:?}", source.name, source.suite_urls("InRelease").unwrap()).unwrap();
        let path = "pool/main/h/hello/hello_2.10-5_amd64.deb";
        for url in source.package_urls(path, 1_789_199_741, &base).unwrap() {
            writeln!(text, "    {url}").unwrap();
        }
    }
    expect![[r#"
        trixie [Url(https://example.org/debian/dists/trixie/InRelease)]
            https://example.org/debian/pool/main/h/hello/hello_2.10-5_amd64.deb
            https://snapshot.debian.org/archive/debian/20260912T195541Z/pool/main/h/hello/hello_2.10-5_amd64.deb
        trixie-updates [Url(https://example.org/debian/dists/trixie-updates/InRelease)]
            https://example.org/debian/pool/main/h/hello/hello_2.10-5_amd64.deb
            https://snapshot.debian.org/archive/debian/20260912T195541Z/pool/main/h/hello/hello_2.10-5_amd64.deb
        trixie-security [Url(https://example.org/debian-security/dists/trixie-security/InRelease)]
            https://example.org/debian-security/pool/main/h/hello/hello_2.10-5_amd64.deb
            https://snapshot.debian.org/archive/debian-security/20260912T195541Z/pool/main/h/hello/hello_2.10-5_amd64.deb
    "#]].assert_eq(&text);
    assert!(Source::debian("../x", &["main"], &mirrors).is_err());
}

#[test]
fn third_parties_have_no_snapshot() {
    let uri = "https://example.org/repo/".parse().unwrap();
    let suite = Suite::parse("./", &[]).unwrap();
    let source = Source::third_party("example", vec![uri], suite, KeyRing::debian());
    let base = SNAPSHOT_BASE.parse().unwrap();
    let urls = source.package_urls("./hello.deb", 0, &base).unwrap();
    assert_eq!(urls, ["https://example.org/repo/hello.deb".parse().unwrap()]);
    assert!(source.package_urls("../hello.deb", 0, &base).is_err());
    assert_eq!(source.suite.text(), "/");
}
