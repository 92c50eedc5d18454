//! The machine's mirrors, out of what real machines have in their apt sources.

use expect_test::{Expect, expect};

use super::*;

#[track_caller]
fn check(texts: &[AptText<'_>], expected: &Expect) {
    expected.assert_eq(&match Mirrors::of_machine(texts) {
        Some(mirrors) => format!("{} {}", mirrors.debian, mirrors.security),
        None => "none".to_owned(),
    });
}

const CONTAINER: &str = "\
Types: deb
# http://snapshot.example/archive
URIs: http://deb.example.org/debian
Suites: bookworm bookworm-updates
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://deb.example.org/debian-security
Suites: bookworm-security
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
";

#[test]
fn deb822_sources() {
    check(
        &[AptText::Sources(CONTAINER)],
        &expect!["http://deb.example.org/debian http://deb.example.org/debian-security"],
    );
    check(
        &[AptText::Sources(&CONTAINER.replace('\n', "\r\n"))],
        &expect!["http://deb.example.org/debian http://deb.example.org/debian-security"],
    );
    check(
        &[AptText::Sources(&CONTAINER.replace("Types: deb", "Enabled: no\nTypes: deb"))],
        &expect!["none"],
    );
    check(
        &[AptText::Sources(&CONTAINER.replace("Types: deb", "Types: deb-src"))],
        &expect!["none"],
    );
    let folded = CONTAINER.replace("Suites: bookworm bookworm", "Suites:\n sid\n bookworm");
    check(
        &[AptText::Sources(&folded)],
        &expect!["http://deb.example.org/debian http://deb.example.org/debian-security"],
    );
}

#[test]
fn one_line_sources() {
    let list = "\
# deb cdrom:[Debian]/ trixie main
deb-src http://ftp.example.org/debian trixie main
deb cdrom:[Debian]/ trixie main
deb [ arch=amd64 signed-by=/usr/share/keyrings/debian-archive-keyring.gpg ] https://user:pass@ftp.example.org/debian/ trixie main contrib # comment
deb http://security.debian.org trixie-security main
";
    check(
        &[AptText::List(list)],
        &expect!["https://ftp.example.org/debian/ http://security.debian.org/"],
    );
    check(
        &[AptText::List("deb file:/srv/debian trixie main")],
        &expect!["file:///srv/debian file:///srv/debian-security"],
    );
    check(
        &[AptText::List(""), AptText::Sources(CONTAINER)],
        &expect!["http://deb.example.org/debian http://deb.example.org/debian-security"],
    );
}

#[test]
fn third_parties_and_other_distributions_are_passed_over() {
    check(&[AptText::List("deb http://archive.ubuntu.com/ubuntu noble main")], &expect!["none"]);
    check(
        &[AptText::List(
            "deb [signed-by=/usr/share/keyrings/vpn.gpg] https://pkgs.example.com/stable/debian trixie main",
        )],
        &expect!["none"],
    );
    check(
        &[AptText::List("deb https://download.example.com/linux/debian trixie stable")],
        &expect!["none"],
    );
    let embedded = CONTAINER.replace(
        "Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg",
        "Signed-By:\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n debian-archive\n",
    );
    check(&[AptText::Sources(&embedded)], &expect!["none"]);
}

#[test]
fn the_public_default_parses() {
    let mirrors = Mirrors::public();
    assert_eq!(mirrors.debian.to_string(), DEFAULT_MIRROR);
    assert_eq!(mirrors.security.to_string(), format!("{DEFAULT_MIRROR}-security"));
}

proptest::proptest! {
    #[test]
    fn no_text_makes_it_panic(text: String, words in "(deb|\\[|\\]| |:|\n|URIs|#|main)*") {
        for text in [&text, &words] {
            let _ = Mirrors::of_machine(&[AptText::List(text), AptText::Sources(text)]);
        }
    }
}
