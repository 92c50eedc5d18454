//! Tests of the module above.

use std::fmt::Write as _;

use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::*;
use crate::debian::package::{Architecture, SourceName};
use crate::debian::relation::parse_list;

fn sources<'a>(texts: &[(&str, &'a str)]) -> Vec<(SourceName, &'a [u8])> {
    texts.iter().map(|(name, text)| (name.parse().unwrap(), text.as_bytes())).collect()
}

fn parse<'a>(texts: &[(&str, &'a str)]) -> Result<PackageIndex<'a>, IndexError> {
    PackageIndex::parse(&sources(texts), Architecture::Amd64)
}

#[track_caller]
fn check_covered(text: &str, relation: &str, expected: &Expect) {
    let index = parse(&[("main", text)]).unwrap();
    let relation = parse_list(relation, Architecture::Amd64).unwrap()[0];
    let covered: Vec<String> = index
        .covered(&relation)
        .map(|v| format!("{} {}", index.name(index.package_of(v)), index.version(v)))
        .collect();
    expected.assert_eq(&covered.join(", "));
}

#[track_caller]
fn check_error(text: &str, expected: &Expect) {
    let error = parse(&[("main", text)]).unwrap_err();
    expected.assert_eq(&format!("{error}: {}", error.problem));
}

const A: &str = "Package: a\nArchitecture: amd64\n";

#[test]
fn versions_of_all_sources_are_merged_best_first() {
    let old = format!("{A}Version: 1.9\n\n{A}Version: 1.9-0\n");
    let new = format!("{A}Version: 1.10~rc1\n\n{A}Version: 1.10\n\n{A}Version: 1.9\n");
    let index = parse(&[("main", &old), ("security", &new)]).unwrap();
    let package = index.package("a").unwrap();
    let found: Vec<String> = index
        .versions(package)
        .map(|version| format!("{} of {}", index.version(version), index.source(version)))
        .collect();
    expect![[r#"
        [
            "1.10 of security",
            "1.10~rc1 of security",
            "1.9 of main",
            "1.9-0 of main",
            "1.9 of security",
        ]
    "#]]
    .assert_debug_eq(&found);
    assert_eq!(index.version(index.best(package)), "1.10");
    assert_eq!(index.package("b"), None);
}

#[test]
fn packages_of_other_architectures_are_left_out() {
    let text = "Package: a\nVersion: 1\nArchitecture: i386\n\nPackage: b\nVersion: 1\nArchitecture: sh4\n\nPackage: c\nVersion: 1\nArchitecture: all\n";
    let index = parse(&[("main", text)]).unwrap();
    let names: Vec<_> = index.packages().map(|package| index.name(package)).collect();
    assert_eq!(names, ["c"]);
}

const PROVIDERS: &str = "Package: mta\nVersion: 2\nArchitecture: all\n
Package: exim\nVersion: 5\nArchitecture: all\nProvides: mta, smtp (= 1.5), old (>= 1), x:i386\n
Package: perl\nVersion: 5.40\nArchitecture: amd64\nMulti-Arch: allowed\nProvides: perlapi (= 7)\n
Package: python\nVersion: 3\nArchitecture: amd64\nMulti-Arch: foreign\nProvides: py:any (= 3)\n";

#[test]
fn relations_cover_real_packages_then_providers() {
    check_covered(PROVIDERS, "mta", &expect!["mta 2, exim 5"]);
    check_covered(PROVIDERS, "mta (>= 2)", &expect!["mta 2"]);
    check_covered(PROVIDERS, "mta (>= 3)", &expect![""]);
    check_covered(PROVIDERS, "smtp", &expect!["exim 5"]);
    check_covered(PROVIDERS, "smtp (>= 1.5)", &expect!["exim 5"]);
    check_covered(PROVIDERS, "smtp (>> 1.5)", &expect![""]);
    check_covered(PROVIDERS, "old", &expect![""]);
    check_covered(PROVIDERS, "x", &expect![""]);
}

#[test]
fn any_asks_for_packages_that_allow_it() {
    check_covered(PROVIDERS, "perl:any (>= 5)", &expect!["perl 5.40"]);
    check_covered(PROVIDERS, "perlapi:any (= 7)", &expect!["perl 5.40"]);
    check_covered(PROVIDERS, "perlapi", &expect!["perl 5.40"]);
    check_covered(PROVIDERS, "python:any", &expect![""]);
    check_covered(PROVIDERS, "py:any", &expect!["python 3"]);
    check_covered(PROVIDERS, "py", &expect![""]);
    check_covered(PROVIDERS, "perl:amd64", &expect!["perl 5.40"]);
    check_covered(PROVIDERS, "perl:i386", &expect![""]);
}

#[test]
fn a_malformed_index_is_refused_with_its_line() {
    check_error(
        &format!("{A}Version: 1\n\nPackage: b\nVersion: 1_2\nArchitecture: all\n"),
        &expect!["the package index of main, line 6: `1_2` is not a Debian version"],
    );
    check_error(
        "Package: a/../b\nVersion: 1\nArchitecture: all\n",
        &expect!["the package index of main, line 1: `a/../b` is not a package name"],
    );
    check_error(
        "\n\nPackage: a\nArchitecture: all\n",
        &expect!["the package index of main, line 3: no field `Version` in this paragraph"],
    );
    check_error(
        &format!("{A}Version: 1\nVersion: 2\n"),
        &expect!["the package index of main, line 4: `Version` stands twice in this paragraph"],
    );
    check_error(
        &format!("{A}Version: 1\nProvides: b (=\n"),
        &expect![
            "the package index of main, line 4: in the field `Provides`: `(=` is not closed by `)`"
        ],
    );
    check_error("<html>\n", &expect!["the package index of main, line 1: expected `Name: value`"]);
}

#[test]
fn details_and_records_are_read_when_asked_for() {
    let text = format!(
        "{A}Version: 1\nPre-Depends: p\nDepends: d | e (>= 2)\nBreaks: b\nConflicts: c\nFilename: ./a.deb\nSize: 7\nSHA256: {}\nRecommends: r\n",
        "ab".repeat(32)
    );
    let index = parse(&[("main", &text)]).unwrap();
    let version = index.best(index.package("a").unwrap());
    let details = index.details(version).unwrap();
    let needs: Vec<_> = details.needs.iter().map(|n| (n.field, n.alternatives.len())).collect();
    assert_eq!(needs, [("Pre-Depends", 1), ("Depends", 2)]);
    let against: Vec<_> = details.against.iter().map(|a| (a.field, a.relation.name)).collect();
    assert_eq!(against, [("Conflicts", "c"), ("Breaks", "b")]);
    assert_eq!(index.wishes(version).unwrap().len(), 1);
    let record = index.record(version).unwrap();
    assert_eq!((record.path.as_str(), record.size), ("a.deb", 7));
}

#[test]
fn a_record_that_leads_elsewhere_is_refused() {
    let record = |filename: &str, size: &str, sha256: &str| {
        let text = format!("{A}Version: 1\nFilename: {filename}\nSize: {size}\nSHA256: {sha256}\n");
        let index = parse(&[("main", &text)]).unwrap();
        index.record(index.best(index.package("a").unwrap())).map_err(|e| e.problem.to_string())
    };
    let digest = "0".repeat(64);
    assert!(record("pool/a.deb", "1", &digest).is_ok());
    let errors = [
        record("../../etc/passwd", "1", &digest),
        record("pool/a.deb", "0", &digest),
        record("pool/a.deb", "4294967297", &digest),
        record("pool/a.deb", "1", "00"),
    ];
    let errors: Vec<String> = errors.into_iter().map(Result::unwrap_err).collect();
    expect![[r#"
        [
            "`../../etc/passwd` is not a path below the archive's root",
            "`0` is not a size from 1 byte to 4 GiB",
            "`4294967297` is not a size from 1 byte to 4 GiB",
            "`00` is not a SHA-256 digest of 64 hexadecimal digits",
        ]
    "#]]
    .assert_debug_eq(&errors);
}

#[test]
fn the_first_mention_is_where_apt_meets_the_name() {
    let text = "Package: c\nVersion: 1\nArchitecture: all\nDescription: b, a\nSuggests: xa, a:any, b2\nDepends: y |\n b (>= 1)\n
Package: a\nVersion: 1\nArchitecture: all\nRecommends: d\nDepends: e\n
Package: b\nVersion: 1\nArchitecture: all\n
Package: e\nVersion: 1\nArchitecture: all\n
Package: d\nVersion: 1\nArchitecture: all\n";
    let index = parse(&[("main", text)]).unwrap();
    let mut names: Vec<_> = index.packages().collect();
    names.sort_by_key(|&package| index.first_mention(package));
    let names: Vec<_> = names.into_iter().map(|package| index.name(package)).collect();
    assert_eq!(names, ["c", "b", "a", "e", "d"]);
}

/// Found by the property test below.
#[test]
fn an_empty_line_may_come_first() {
    let text = format!("\n{A}Version: 1\n");
    let index = parse(&[("main", &text)]).unwrap();
    let package = index.package("a").unwrap();
    assert_eq!(index.first_mention(package), index.own_paragraph(package));
}

#[test]
fn the_result_does_not_depend_on_where_pieces_end() {
    let mut text = String::new();
    for number in 0..60_000 {
        let name = format!("p{:05}", number * 7919 % 60_000);
        let (arch, virtual_name) = ("Architecture: all", format!("v{}", number % 100));
        write!(text, "Package: {name}\nVersion: {number}\n{arch}\nProvides: {virtual_name}\n\n")
            .unwrap();
    }
    let shape = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let index = pool.install(|| parse(&[("main", &text)]).unwrap());
        let versions: Vec<_> =
            index.packages().map(|p| (index.name(p), index.version(index.best(p)))).collect();
        let providers: Vec<_> = index.providers("v7").map(|p| p.by).collect();
        (versions, providers)
    };
    let one = shape(1);
    assert_eq!(one.0.len(), 60_000);
    assert_eq!(one.1.len(), 600);
    assert!(one == shape(3));
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(lines in proptest::collection::vec(prop_oneof![
        Just("Package: a"), Just("Package: b"), Just("Version: 1"), Just("Version: 2"),
        Just("Architecture: all"), Just("Provides: a, c (= 1)"), Just(""), Just(" more"),
        Just("Depends: a |"), Just("\u{0}"), Just("Filename: ../a"), Just("Size: -1"),
    ], 0..40)) {
        let text = lines.join("\n");
        if let Ok(index) = parse(&[("main", &text), ("other", &text)]) {
            for package in index.packages() {
                index.first_mention(package);
                for version in index.versions(package) {
                    let _ = (index.details(version), index.wishes(version), index.record(version));
                }
            }
        }
    }
}
