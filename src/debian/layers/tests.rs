//! Tests of the module above.

use expect_test::{Expect, expect};

use super::*;

#[track_caller]
fn check(packages: &[(&str, &str, &str)], expected: &Expect) {
    let read = |(name, version, replaces): &(&str, &str, &str)| {
        let control = format!(
            "Package: {name}\nVersion: {version}\nArchitecture: amd64\nReplaces: {replaces}\n"
        );
        PackageMeta::parse(control.as_bytes()).unwrap()
    };
    let metas: Vec<PackageMeta> = packages.iter().map(read).collect();
    let order: Vec<&str> = layer_order(&metas).into_iter().map(|at| packages[at].0).collect();
    expected.assert_eq(&order.join(" "));
    let reversed: Vec<PackageMeta> = metas.iter().rev().cloned().collect();
    let again: Vec<_> =
        layer_order(&reversed).into_iter().map(|at| reversed[at].name.as_str()).collect();
    assert_eq!(order, again, "the order of the input does not matter");
}

#[test]
fn what_replaces_lies_above() {
    check(&[("a", "1", "b, c"), ("b", "1", "c"), ("c", "1", "")], &expect!["c b a"]);
    check(&[("a", "1", ""), ("b", "1", ""), ("c", "1", "a")], &expect!["a b c"]);
}

#[test]
fn only_versions_that_are_meant_are_replaced() {
    check(&[("a", "1", "b (<< 2)"), ("b", "1", "")], &expect!["b a"]);
    check(&[("a", "1", "b (<< 2)"), ("b", "2", "")], &expect!["a b"]);
    check(&[("a", "1", "b:i386"), ("b", "2", "")], &expect!["a b"]);
}

#[test]
fn a_ring_is_cut_by_name() {
    check(&[("a", "1", "c, a"), ("b", "1", "a"), ("c", "1", "b")], &expect!["a b c"]);
}

#[test]
fn a_control_file_is_checked() {
    let error = |control: &str| {
        let error = PackageMeta::parse(control.as_bytes()).unwrap_err();
        let source = std::error::Error::source(&error).map(ToString::to_string);
        format!("{error}: {}", source.unwrap_or_default())
    };
    expect!["the control file is empty: "].assert_eq(&error("\n"));
    expect!["the control file is malformed: line 1: no field `Architecture` in this paragraph"]
        .assert_eq(&error("Package: a\n"));
    expect!["the field `Replaces` of the control file is malformed: `b | c` is not one package (no `|` is allowed here)"]
        .assert_eq(&error("Package: a\nVersion: 1\nArchitecture: all\nReplaces: b | c\n"));
}
