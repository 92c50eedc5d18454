//! The rules of the resolver, one small index each.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use expect_test::{Expect, expect};

use super::*;
use crate::debian::index::PackageIndex;
use crate::debian::package::{Architecture, PackageName};
use crate::debian::record::PackageRecord;
use crate::store::Sha256Digest;

mod worlds;

/// Writes an index from lines such as `a 1; Depends: b | c; Priority: required`.
fn packages_text(short: &str) -> String {
    let mut text = String::new();
    for line in short.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let mut parts = line.split(';').map(str::trim);
        let (name, version) = parts.next().unwrap().split_once(' ').unwrap();
        let sha256 = Sha256Digest::of(line.as_bytes());
        writeln!(text, "Package: {name}\nVersion: {version}\nArchitecture: amd64").unwrap();
        writeln!(text, "Filename: pool/{name}_{version}.deb\nSize: 1\nSHA256: {sha256}").unwrap();
        parts.for_each(|field| writeln!(text, "{field}").unwrap());
        text.push('\n');
    }
    text
}

fn requests(words: &str) -> BTreeSet<Request> {
    words.split_whitespace().map(|word| word.parse().unwrap()).collect()
}

fn names(words: &str) -> BTreeSet<PackageName> {
    words.split_whitespace().map(|word| word.parse().unwrap()).collect()
}

/// Resolves `wanted` in an index of one source; `locked` are lines of an older index.
fn resolve_short(
    index: &str,
    wanted: &str,
    locked: &[PackageRecord],
    update: Update<'_>,
) -> Result<PackageSet, ResolveError> {
    let text = packages_text(index);
    let sources = [("main".parse().unwrap(), text.as_bytes())];
    let index = PackageIndex::parse(&sources, Architecture::Amd64).unwrap();
    let packages = requests(wanted);
    resolve(&index, &Requests { packages: &packages, base: Base::Essential, locked, update })
}

fn in_words(result: &Result<PackageSet, ResolveError>) -> String {
    match result {
        Ok(set) => {
            let words: Vec<String> =
                set.packages.iter().map(|p| format!("{} {}", p.name, p.version)).collect();
            words.join(", ")
        }
        Err(error) => format!("error: {error}"),
    }
}

#[track_caller]
fn check(index: &str, wanted: &str, expected: &Expect) {
    expected.assert_eq(&in_words(&resolve_short(index, wanted, &[], Update::Nothing)));
}

#[test]
fn dependencies_follow_and_nothing_else() {
    check(
        "a 1; Depends: b; Pre-Depends: c; Recommends: d; Suggests: e
         b 1; Depends: c
         c 1
         d 1
         e 1",
        "a",
        &expect!["a 1, b 1, c 1"],
    );
}

#[test]
fn the_essential_packages_are_always_there() {
    check("a 1\n base 2; Essential: yes; Depends: c\n c 1", "a", &expect!["a 1, base 2, c 1"]);
}

#[test]
fn the_best_version_is_taken() {
    check("a 1.9\n a 1.10\n a 1.10~rc1", "a", &expect!["a 1.10"]);
}

#[test]
fn the_first_alternative_that_works_is_taken() {
    let index = "a 1; Depends: b | c\n b 1; Depends: missing\n c 1\n d 1; Depends: c | b2\n b2 1";
    check(index, "a", &expect!["a 1, c 1"]);
    check(index, "d", &expect!["c 1, d 1"]);
}

#[test]
fn an_alternative_that_is_there_anyway_is_enough() {
    let index = "a 1; Depends: b | c\n b 1\n c 1\n z 1; Depends: c";
    check(index, "a c", &expect!["a 1, c 1"]);
    // As with apt, what comes later by the order of requests is not foreseen.
    check(index, "a z", &expect!["a 1, b 1, c 1, z 1"]);
}

#[test]
fn a_real_package_comes_before_providers() {
    check(
        "a 1; Depends: mta\n exim 1; Provides: mta; Priority: required\n mta 1; Priority: extra",
        "a",
        &expect!["a 1, mta 1"],
    );
}

#[test]
fn providers_are_ordered_by_need_then_by_place() {
    let index = "a 1; Depends: awk
        gawk 1; Provides: awk; Priority: optional
        mawk 1; Provides: awk; Priority: required
        original-awk 1; Provides: awk; Priority: optional";
    check(index, "a", &expect!["a 1, mawk 1"]);
    let equals = "a 1; Depends: net\n f 1; Suggests: y\n x 1; Provides: net; Priority: optional
        y 1; Provides: net; Priority: optional";
    check(equals, "a", &expect!["a 1, x 1"]);
    let essential = "a 1; Depends: sh\n b 1; Provides: sh; Priority: required; Protected: yes
        c 1; Provides: sh; Priority: required";
    check(essential, "a", &expect!["a 1, b 1"]);
}

#[test]
fn provided_versions_count() {
    let index = "a 1; Depends: api (>= 2)
        one 1; Provides: api (= 1)
        two 1; Provides: api (= 2)
        some 1; Provides: api";
    check(index, "a", &expect!["a 1, two 1"]);
}

#[test]
fn conflicts_and_breaks_choose_another_way() {
    let index = "a 1; Depends: mta
        exim 1; Provides: mta; Conflicts: mta
        postfix 1; Provides: mta; Conflicts: mta
        old 1; Breaks: lib (<< 2)
        lib 1
        b 1; Depends: lib | c
        c 1";
    check(index, "a exim", &expect!["a 1, exim 1"]);
    check(index, "b old", &expect!["b 1, c 1, old 1"]);
}

#[test]
fn a_package_does_not_conflict_with_itself() {
    check("a 1; Provides: x; Conflicts: x, a (<< 1); Breaks: a (<< 2)", "a", &expect!["a 1"]);
}

/// The walk settles on `p` for `a` and meets its conflict with `z2` too late; the solver finds `q`.
#[test]
fn the_solver_finds_what_the_walk_does_not() {
    let index = "a 1; Depends: p | q
        p 1
        q 1
        z 1; Depends: z2
        z2 1; Conflicts: p";
    check(index, "a z", &expect!["a 1, q 1, z 1, z2 1"]);
    let rings = "a 1; Depends: x1 | x2\n b 1; Depends: y1 | y2\n c 1; Depends: z1 | z2
        x1 1; Depends: u\n u 1; Conflicts: w\n x2 1\n y1 1; Depends: v\n v 1; Conflicts: x2\n y2 1
        z1 1; Depends: w\n w 1\n z2 1; Conflicts: y2, x2";
    check(rings, "a b c", &expect!["a 1, b 1, c 1, w 1, x2 1, y2 1, z1 1"]);
}

#[test]
fn qualifiers_follow_multi_arch() {
    let index = "a 1; Depends: py:any\n b 1; Depends: lib:any\n c 1; Depends: lib:amd64
        d 1; Depends: lib:i386 | lib:native\n py 3; Multi-Arch: allowed\n lib 1; Multi-Arch: same";
    check(index, "a", &expect!["a 1, py 3"]);
    check(index, "c", &expect!["c 1, lib 1"]);
    check(index, "d", &expect!["d 1, lib 1"]);
    check(
        index,
        "b",
        &expect![[r"
        error: the requested packages cannot be installed together
          b 1 needs `lib:any` (Depends)
            there is only lib 1
          b 1 is there because `b` is requested"]],
    );
}

#[test]
fn a_ring_of_dependencies_is_no_problem() {
    check(
        "a 1; Depends: b\n b 1; Depends: c\n c 1; Depends: a; Breaks: z",
        "a",
        &expect!["a 1, b 1, c 1"],
    );
}

#[test]
fn a_chain_longer_than_the_walk_goes_is_solved() {
    let mut index = String::new();
    for number in 0..1000 {
        writeln!(index, "p{number} 1; Depends: p{}", number + 1).unwrap();
    }
    index += "p1000 1\n";
    let set = resolve_short(&index, "p0", &[], Update::Nothing).unwrap();
    assert_eq!(set.packages.len(), 1001);
}

#[test]
fn a_request_may_name_a_version() {
    let index = "a 2; Depends: a-data (= 2)\n a 1; Depends: a-data (= 1)\n a-data 2\n a-data 1";
    check(index, "a=1", &expect!["a 1, a-data 1"]);
    check(index, "a", &expect!["a 2, a-data 2"]);
    check(index, "a=3", &expect!["error: `a` has no version 3, but `2` or `1`"]);
    check(
        index,
        "a=1 a-data=2",
        &expect![[r"
        error: the requested packages cannot be installed together
          a 1 needs `a-data (= 1)` (Depends)
            not a-data 1: a-data 2 is needed instead
          a 1 is there because `a=1` is requested
          a-data 2 is there because `a-data=2` is requested"]],
    );
}

#[test]
fn a_request_may_name_what_one_package_provides() {
    let index = "exim 1; Provides: mta, smtp\n postfix 1; Provides: mta";
    check(index, "smtp", &expect!["exim 1"]);
    check(
        index,
        "mta",
        &expect![
            "error: `mta` is not a package but provided by `exim` or `postfix`: ask for one of them"
        ],
    );
}

#[test]
fn unknown_names_are_told_all_at_once_with_what_looks_like_them() {
    check(
        "nginx 1\n caddy 1\n nginx-core 1",
        "ngnix cady zzz",
        &expect![[r"
        error: there is no package `cady`; did you mean `caddy`?
        there is no package `ngnix`; did you mean `nginx`?
        there is no package `zzz`"]],
    );
}

#[test]
fn the_lock_is_kept_where_it_can_be() {
    let old = resolve_short("a 1; Depends: b, c\n b 1\n c 1", "a", &[], Update::Nothing).unwrap();
    let index =
        "a 1; Depends: b, c\n b 1\n c 1\n a 2; Depends: b, c\n b 2\n c 2\n d 1; Depends: b (>= 2)";
    let check = |wanted, update, expected: &Expect| {
        expected.assert_eq(&in_words(&resolve_short(index, wanted, &old.packages, update)));
    };
    check("a", Update::Nothing, &expect!["a 1, b 1, c 1"]);
    check("a", Update::All, &expect!["a 2, b 2, c 2"]);
    let only = names("b");
    check("a", Update::Only(&only), &expect!["a 1, b 2, c 1"]);
    check("a d", Update::Nothing, &expect!["a 1, b 2, c 1, d 1"]);
    check("b", Update::Nothing, &expect!["b 1"]);
}

#[test]
fn a_locked_version_that_is_gone_or_was_changed_is_replaced() {
    let old = resolve_short("a 1\n b 1", "a b", &[], Update::Nothing).unwrap();
    let index = "a 2\n b 1; Section: rebuilt\n b 2";
    expect!["a 2, b 2"].assert_eq(&in_words(&resolve_short(
        index,
        "a b",
        &old.packages,
        Update::Nothing,
    )));
}

#[test]
fn the_lock_keeps_the_choice_among_alternatives() {
    let index = "a 1; Depends: x | y\n x 1\n y 1\n b 1; Depends: mta\n e 1; Provides: mta\n p 1; Provides: mta";
    let old = resolve_short(index, "b e y", &[], Update::Nothing).unwrap();
    expect!["a 1, b 1, e 1, y 1"].assert_eq(&in_words(&resolve_short(
        index,
        "a b",
        &old.packages,
        Update::Nothing,
    )));
}

#[test]
fn no_way_is_explained_by_conflict() {
    check(
        "exim 4.98; Depends: exim-daemon
         exim-daemon 4.98; Provides: mta; Conflicts: mta
         mailer 1; Depends: postfix (>= 3)
         postfix 3.10; Provides: mta; Conflicts: mta",
        "exim mailer",
        &expect![[r"
            error: the requested packages cannot be installed together
              mailer 1 needs `postfix (>= 3)` (Depends)
                not postfix 3.10: exim-daemon 4.98 conflicts with `mta`, which covers postfix 3.10
              exim 4.98 is there because `exim` is requested
              exim-daemon 4.98 is there because exim 4.98 needs `exim-daemon` (Depends)
              mailer 1 is there because `mailer` is requested"]],
    );
}

#[test]
fn no_way_is_explained_by_versions() {
    check(
        "a 1; Depends: b\n b 1; Depends: c (>= 2) | d\n c 1",
        "a",
        &expect![[r"
        error: the requested packages cannot be installed together
          b 1 needs `c (>= 2) | d` (Depends)
            there is only c 1
          a 1 is there because `a` is requested
          b 1 is there because a 1 needs `b` (Depends)"]],
    );
    check(
        "base 1; Essential: yes; Depends: gone\n a 1",
        "a",
        &expect![[r"
        error: the requested packages cannot be installed together
          base 1 needs `gone` (Depends)
            no package has or provides that name
          base 1 is there because `base` is essential"]],
    );
}

#[test]
fn no_way_is_explained_by_each_of_several() {
    check(
        "a 1; Depends: x | y
         x 1; Depends: z1
         y 1; Breaks: b
         z1 1; Conflicts: b
         b 1",
        "a b",
        &expect![[r"
            error: the requested packages cannot be installed together
              x 1 needs `z1` (Depends)
                not z1 1: z1 1 conflicts with `b`, which covers b 1
              a 1 is there because `a` is requested
              b 1 is there because `b` is requested
              x 1 is there because a 1 needs `x | y` (Depends); not y 1: y 1 breaks `b`, which covers b 1"]],
    );
    check(
        "a 1; Depends: x | y\n x 1\n y 1\n b 1; Depends: p | q\n p 1; Conflicts: x, y\n q 1; Conflicts: x, y",
        "a b",
        &expect![[r"
            error: the requested packages cannot be installed together
              b 1 needs `p | q` (Depends)
                not p 1: a 1 needs `x | y` (Depends)
                  not x 1: p 1 conflicts with `x`, which covers x 1
                  not y 1: p 1 conflicts with `y`, which covers y 1
                not q 1: a 1 needs `x | y` (Depends)
                  not x 1: q 1 conflicts with `x`, which covers x 1
                  not y 1: q 1 conflicts with `y`, which covers y 1
              a 1 is there because `a` is requested
              b 1 is there because `b` is requested
              p 1 is there because b 1 needs `p | q` (Depends)
              q 1 is there because b 1 needs `p | q` (Depends)"]],
    );
}

#[test]
fn the_same_question_has_the_same_answer() {
    let mut index = String::new();
    for number in 0..60 {
        let (a, b) = ((number * 7 + 3) % 60, (number * 11 + 5) % 60);
        writeln!(
            index,
            "p{number} 1; Depends: p{a} | p{b}, v{}; Provides: v{}; Conflicts: p{}",
            number % 5,
            number % 7,
            (number * 13 + 1) % 60
        )
        .unwrap();
    }
    let answer = || in_words(&resolve_short(&index, "p1 p2 p40", &[], Update::Nothing));
    let first = answer();
    for _ in 0..20 {
        assert_eq!(answer(), first);
    }
}

/// Thirteen pigeons in twelve holes: resolution proofs of that are exponentially long.
#[test]
fn relations_made_to_be_hard_are_given_up() {
    let mut index = String::new();
    for pigeon in 0..13 {
        let holes: Vec<String> = (0..12).map(|hole| format!("p{pigeon}h{hole}")).collect();
        writeln!(index, "p{pigeon} 1; Depends: {}", holes.join(" | ")).unwrap();
        for (hole, name) in holes.iter().enumerate() {
            writeln!(index, "{name} 1; Provides: h{hole}; Conflicts: h{hole}").unwrap();
        }
    }
    let wanted: Vec<String> = (0..13).map(|pigeon| format!("p{pigeon}")).collect();
    let text = packages_text(&index);
    let sources = [("main".parse().unwrap(), text.as_bytes())];
    let index = PackageIndex::parse(&sources, Architecture::Amd64).unwrap();
    let packages = requests(&wanted.join(" "));
    let (base, update) = (Base::Nothing, Update::Nothing);
    let question = Requests { packages: &packages, base, locked: &[], update };
    assert_eq!(run::resolve_within(&index, &question, 300), Err(ResolveError::TooEntangled));
}
