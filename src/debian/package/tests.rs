//! Tests of the module above.

use super::*;

#[track_caller]
fn check<T: FromStr>(good: &[&str], bad: &[&str]) {
    for text in good {
        assert!(text.parse::<T>().is_ok(), "{text:?} is refused");
    }
    for text in bad {
        assert!(text.parse::<T>().is_err(), "{text:?} is accepted");
    }
}

#[test]
fn package_names() {
    let long = "a".repeat(NAME_BYTES_MAX + 1);
    check::<PackageName>(
        &["caddy", "g++", "libc6", "0ad", "perlapi-5.40.0", "R", &long[1..]],
        &["", "-a", ".a", "a_b", "a/b", "a b", "a:any", "ä", "a\n", &long],
    );
}

#[test]
fn source_names() {
    let long = "a".repeat(65);
    check::<SourceName>(&["trixie", "trixie-security", "a_1.2"], &["", "-a", "A", "a/b", &long]);
}

#[test]
fn pool_paths() {
    let long = "a".repeat(PATH_BYTES_MAX + 1);
    check::<PoolPath>(
        &["pool/main/a/a_1%3a2.deb".replace('%', "+").as_str(), "a.deb", "a/..b/c~+:1.deb"],
        &["", "/a", "a/", "a//b", "./a", "a/../b", "..", "a b", "a\\b", "a\"", "a%2fb", "ü", &long],
    );
    assert_eq!("pool/a/b.deb".parse::<PoolPath>().unwrap().file_name(), "b.deb");
}

#[test]
fn architectures() {
    check::<Architecture>(&["all", "amd64", "riscv64"], &["", "any", "AMD64", "mips"]);
    let covered = ["any", "amd64", "linux-any", "any-amd64", "linux-amd64"];
    assert!(covered.iter().all(|pattern| Architecture::Amd64.matches(pattern)));
    let others = ["i386", "any-i386", "hurd-any", "kfreebsd-amd64", ""];
    assert!(!others.iter().any(|pattern| Architecture::Amd64.matches(pattern)));
}

#[test]
fn an_error_shows_the_text() {
    expect_test::expect!["`a/b` is not a package name"]
        .assert_eq(&"a/b".parse::<PackageName>().unwrap_err().to_string());
}
