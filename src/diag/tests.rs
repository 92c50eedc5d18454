//! Problems as people and programs see them.

use std::sync::Arc;

use expect_test::{Expect, expect, expect_file};

use super::*;

const HOST: &str = "name = \"Web_01\"\nroot = \"2 Gb\"\n";

fn source() -> Arc<Source> {
    Source::new("hosts/web-01.toml", HOST)
}

fn name_problem() -> Diagnostic {
    let place = Place::new(&source(), 7..15);
    Diagnostic::error(Code::InvalidValue, "`Web_01` is not a host name", place, "expected a-z")
        .with_help("Write `web-01`.")
}

#[track_caller]
fn check(problems: &[Diagnostic], expected: &Expect) {
    expected.assert_eq(&render(problems, Look::Plain));
}

#[test]
fn one_problem_points_at_the_text() {
    check(
        &[name_problem()],
        &expect![[r#"
            error[E0201]: `Web_01` is not a host name
             --> hosts/web-01.toml:1:8
              |
            1 | name = "Web_01"
              |        ^^^^^^^^ expected a-z
              |
              = help: Write `web-01`.
        "#]],
    );
}

#[test]
fn a_conflict_shows_both_places_in_one_file_and_in_two() {
    let other = Source::new("modules/a/module.toml", "port = 80\n");
    let both = Diagnostic::error(
        Code::Conflict,
        "two things",
        Place::new(&source(), 16..20),
        "asked for here",
    )
    .with_label(Place::new(&source(), 0..4), "and here")
    .with_label(Place::new(&other, 7..9), "and there");
    check(
        &[both],
        &expect![[r#"
            error[E0401]: two things
             --> hosts/web-01.toml:2:1
              |
            1 | name = "Web_01"
              | ---- and here
            2 | root = "2 Gb"
              | ^^^^ asked for here
              |
             ::: modules/a/module.toml:1:8
              |
            1 | port = 80
              |        -- and there
        "#]],
    );
}

#[test]
fn a_span_over_several_lines_is_shown_by_its_first() {
    let place = Place::new(&source(), 0..HOST.len());
    let long = Diagnostic::warning(Code::TooDeep, "long", place, "from here");
    check(
        &[long],
        &expect![[r#"
            warning[E0103]: long
             --> hosts/web-01.toml:1:1
              |
            1 | name = "Web_01"
              | ^^^^^^^^^^^^^^^ from here
        "#]],
    );
}

#[test]
fn an_empty_text_and_a_place_past_the_end_are_shown() {
    let empty = Source::new("hosts/a.toml", "");
    let place = Place::new(&empty, 3..9);
    check(
        &[Diagnostic::error(Code::MissingKey, "no `[host]`", place, "expected `[host]`")],
        &expect![[r#"
            error[E0204]: no `[host]`
             --> hosts/a.toml:1:1
              |
            1 |
              | ^ expected `[host]`
        "#]],
    );
}

#[test]
fn terminal_escapes_in_the_text_do_not_reach_the_terminal() {
    let hostile = Source::new("hosts/a.toml", "name = \"\u{1b}[31m\u{202e}\"\n");
    let message = format!("`{}` is not a host name", printable("\u{1b}[31m\u{202e}"));
    let problem =
        Diagnostic::error(Code::InvalidValue, message, Place::new(&hostile, 7..17), "this");
    let text = render(&[problem], Look::Plain);
    assert!(!text.contains(['\u{1b}', '\u{202e}']), "{text}");
    assert!(text.contains(r"`\u{1b}[31m\u{202e}` is not"), "{text}");
}

#[test]
fn json_has_lines_columns_and_bytes() {
    let json = serde_json::to_string_pretty(&to_json(&[name_problem()])).unwrap();
    expect![[r#"
        [
          {
            "code": "E0201",
            "severity": "error",
            "message": "`Web_01` is not a host name",
            "primary": {
              "file": "hosts/web-01.toml",
              "line": 1,
              "column": 8,
              "end_line": 1,
              "end_column": 16,
              "bytes": [
                7,
                15
              ],
              "text": "expected a-z",
              "found": "\"Web_01\""
            },
            "secondary": [],
            "help": "Write `web-01`."
          }
        ]"#]]
    .assert_eq(&json);
}

#[test]
fn problems_are_sorted_by_position_and_each_is_reported_once() {
    let mut problems = Problems::default();
    let at = |start, message: &str| {
        Diagnostic::error(Code::Syntax, message, Place::new(&source(), start..start + 1), "")
    };
    problems.push(at(9, "second"));
    problems.push(at(2, "first"));
    problems.push(at(9, "second"));
    let messages: Vec<_> = problems.into_sorted().into_iter().map(|p| p.message).collect();
    assert_eq!(messages, ["first", "second"]);
}

#[test]
fn more_than_a_hundred_problems_are_counted() {
    let mut problems = Problems::default();
    for number in 0..250 {
        let place = Place::start_of(&source());
        problems.push(Diagnostic::error(Code::Syntax, format!("{number:03}"), place, ""));
    }
    let shown = problems.into_sorted();
    assert_eq!(shown.len(), DIAGNOSTICS_MAX + 1);
    assert_eq!(shown.last().unwrap().message, "150 more problems are not shown");
    assert_eq!(shown.last().unwrap().severity, Severity::Error);
}

#[test]
fn positions_count_characters_and_go_back_to_offsets() {
    let source = Source::new("a", "é=1\n\nzü = 2");
    for (offset, line, column) in [(0, 1, 1), (2, 1, 2), (4, 1, 4), (6, 3, 1), (9, 3, 3)] {
        let position = Position { line, column };
        assert_eq!(source.position(offset), position);
        assert_eq!(source.offset(position), offset);
    }
    assert_eq!(source.offset(Position { line: 9, column: 1 }), source.text.len());
    assert_eq!(source.position(1), Position { line: 1, column: 1 }, "inside a character");
}

#[test]
fn near_words_are_suggested_and_far_ones_are_not() {
    let known = ["packages", "kernel", "release"];
    assert_eq!(closest("pakages", known), Some("packages"));
    assert_eq!(closest("KERNEL", known), Some("kernel"));
    assert_eq!(closest("colour", known), None);
    assert_eq!(did_you_mean("relaese", known).unwrap(), "Did you mean `release`?");
}

#[test]
fn codes_are_unique_ordered_and_documented() {
    let numbers: Vec<_> = CODES.iter().map(|code| code.number()).collect();
    assert!(numbers.is_sorted_by(|a, b| a < b), "{numbers:?}");
    for code in CODES {
        let number = code.number();
        assert!(number.len() == 5 && number.starts_with('E'), "{number}");
        assert!(code.title().ends_with('.') && code.explanation().ends_with('.'), "{number}");
    }
    expect_file!["../../docs/errors.md"].assert_eq(&codes_page());
}
