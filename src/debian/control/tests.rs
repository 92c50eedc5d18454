//! Tests of the module above.

use std::fmt::Write as _;

use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::*;

#[track_caller]
fn check(text: &str, expected: &Expect) {
    let mut found = String::new();
    for paragraph in Paragraphs::new(text.as_bytes()) {
        writeln!(found, "paragraph").unwrap();
        for field in paragraph.fields() {
            match field {
                Ok(field) => {
                    let name = String::from_utf8_lossy(field.name);
                    writeln!(found, "  {name} = {:?}", field.as_text().unwrap()).unwrap();
                }
                Err(error) => writeln!(found, "  {error}").unwrap(),
            }
        }
    }
    expected.assert_eq(&found);
}

#[test]
fn paragraphs_are_separated_by_empty_lines() {
    check(
        "\nPackage: a\nVersion: 1:2\n\n\nPackage:b\nTag:\n one,\n\ttwo\n .\nEnd: x",
        &expect![[r#"
            paragraph
              Package = "a"
              Version = "1:2"
            paragraph
              Package = "b"
              Tag = "one,\n\ttwo\n ."
              End = "x"
        "#]],
    );
}

#[test]
fn an_error_names_the_line_in_the_whole_text() {
    check(
        "Package: a\n\n continued\nX: y\n\nA: b\nno field\nB: c\n\n: x\n\nA b: c\n",
        &expect![[r#"
            paragraph
              Package = "a"
            paragraph
              line 3: a continuation line without a field before it
            paragraph
              A = "b"
              line 7: expected `Name: value`
            paragraph
              line 10: expected `Name: value`
            paragraph
              line 12: expected `Name: value`
        "#]],
    );
}

#[test]
fn a_value_must_be_utf8_and_not_too_long() {
    let mut text = b"A: \xff\nB: ".to_vec();
    text.resize(text.len() + VALUE_BYTES_MAX + 1, b'x');
    let paragraph = Paragraphs::new(&text).next().unwrap();
    let errors = ["A", "B"].map(|name| paragraph.text(name).unwrap_err().to_string());
    expect![[r#"
        [
            "line 1: the value of `A` is not UTF-8",
            "line 2: the value of `B` has 1048577 bytes, more than 1048576",
        ]
    "#]]
    .assert_debug_eq(&errors);
}

#[test]
fn a_required_field_is_missed_at_its_paragraph() {
    let paragraph = Paragraphs::new(b"\n\nA: b\n").next().unwrap();
    assert_eq!(paragraph.required("A"), Ok("b"));
    expect!["line 3: no field `B` in this paragraph"]
        .assert_eq(&paragraph.required("B").unwrap_err().to_string());
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(text in proptest::collection::vec(
        prop_oneof![Just(b'\n'), Just(b':'), Just(b' '), Just(b'a'), any::<u8>()], 0..200)) {
        for paragraph in Paragraphs::new(&text) {
            prop_assert!(paragraph.range().end <= text.len());
            for field in paragraph.fields().flatten() {
                prop_assert_eq!(&text[field.offset()..][..field.name.len()], field.name);
                let _ = field.as_text();
            }
        }
    }
}
