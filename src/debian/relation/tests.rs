//! Tests of the module above.

use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::*;

#[track_caller]
fn check(text: &str, expected: &Expect) {
    let found = match parse_relations(text, Architecture::Amd64) {
        Ok(groups) => {
            groups.iter().map(|group| display_alternatives(group)).collect::<Vec<_>>().join("\n")
        }
        Err(error) => format!("error: {error}"),
    };
    expected.assert_eq(&found);
}

#[test]
fn all_parts_of_a_relation() {
    check(
        "libc6 (>= 2.34), mta | mail-transport-agent ,\n python3:any(>=3.13~) , perl:native, x:amd64, y:i386 (=1),",
        &expect![[r"
            libc6 (>= 2.34)
            mta | mail-transport-agent
            python3:any (>= 3.13~)
            perl
            x
            y:i386 (= 1)"]],
    );
}

#[test]
fn old_operators_mean_what_dpkg_takes_them_for() {
    check(
        "a (< 1), b (> 1), c (<< 1), d (>> 1), e (1)",
        &expect![[r"
        a (<= 1)
        b (>= 1)
        c (<< 1)
        d (>> 1)
        e (= 1)"]],
    );
}

#[test]
fn relations_of_other_architectures_and_profiles_are_left_out() {
    check(
        "a [amd64 i386], b [!amd64], c [linux-any] | d [hurd-any], e [i386] | f, g <!nocheck>, h <cross>, i <cross> <!nodoc>",
        &expect![[r"
            a
            c
            f
            g
            i"]],
    );
}

#[test]
fn broken_relations_are_refused() {
    check("a (>= 1", &expect!["error: `(>= 1` is not closed by `)`"]);
    check("a (=> 1)", &expect!["error: `=>` is not one of `<<`, `<=`, `=`, `>=`, `>>`"]);
    check("a (>= 1_2)", &expect!["error: `1_2` is not a Debian version"]);
    check("a b", &expect!["error: `b` is not the end of a relation"]);
    check("a |", &expect!["error: `` is not a relation such as `name (>= 1.0)`"]);
    check("../etc", &expect!["error: `../etc` is not a relation such as `name (>= 1.0)`"]);
    check("a:", &expect!["error: `` is not an architecture after `:`"]);
    check("a [amd64", &expect!["error: `[amd64` is not closed by `]`"]);
    check(&"a,".repeat(20_001), &expect!["error: `a` is not within the limit of 20000 relations"]);
}

#[test]
fn a_list_has_no_alternatives() {
    let error = parse_list("a, b | c", Architecture::Amd64).unwrap_err();
    expect!["`b | c` is not one package (no `|` is allowed here)"].assert_eq(&error.to_string());
}

#[test]
fn operators_hold_by_order() {
    let orders = [Ordering::Less, Ordering::Equal, Ordering::Greater];
    let table = [
        (Operator::Less, [true, false, false]),
        (Operator::LessEqual, [true, true, false]),
        (Operator::Equal, [false, true, false]),
        (Operator::GreaterEqual, [false, true, true]),
        (Operator::Greater, [false, false, true]),
    ];
    for (operator, expected) in table {
        assert_eq!(orders.map(|order| operator.holds(order)), expected, "{operator}");
    }
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in "[a-c |,()<>=:\\[\\]!1~]{0,40}|.{0,40}") {
        let _ = parse_relations(&text, Architecture::Amd64);
    }

    #[test]
    fn what_is_printed_reads_back(text in "[ab]{1,3}(:any)?( \\((<<|<=|=|>=|>>) [0-9.]{1,4}\\))?") {
        let groups = parse_relations(&text, Architecture::Amd64).unwrap();
        prop_assert_eq!(groups[0][0].to_string(), text);
    }
}
