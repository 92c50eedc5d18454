//! Differences of pre-images.

use super::*;

const A: &str = "nexus-recipe system 1\nname x\nargument \"quiet\"\n\
                 input package 00000000000000000000000000000000-caddy_2.6.2\n\
                 input package 11111111111111111111111111111111-bash_5\n";

#[test]
fn equal_texts_do_not_differ() {
    assert_eq!(difference(A, A), Difference::default());
}

#[test]
fn a_new_version_is_one_changed_input() {
    let b = A.replace("0-caddy_2.6.2", "2-caddy_2.6.3");
    let found = difference(A, &b);
    assert!(found.facts.is_empty() && found.lone_inputs.is_empty());
    assert_eq!(found.inputs.len(), 1);
    assert!(
        found.inputs[0].0.ends_with("caddy_2.6.2") && found.inputs[0].1.ends_with("caddy_2.6.3")
    );
}

#[test]
fn a_changed_fact_shows_both_sides() {
    let found = difference(A, &A.replace("quiet", "debug"));
    assert_eq!(
        found.facts,
        [(Side::A, "argument \"quiet\"".into()), (Side::B, "argument \"debug\"".into())]
    );
}

#[test]
fn an_input_of_one_side_stands_alone() {
    let b = A.lines().take(4).collect::<Vec<_>>().join("\n");
    let found = difference(A, &b);
    assert_eq!(found.lone_inputs.len(), 1);
    assert_eq!(found.lone_inputs[0].0, Side::A);
}
