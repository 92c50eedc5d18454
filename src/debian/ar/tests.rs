//! Tests of the `ar` reader.

use expect_test::{Expect, expect};

use super::*;

/// Lists the members and their contents, then the error if one came.
#[track_caller]
fn check(archive: &[u8], expected: &Expect) {
    let mut lines = Vec::new();
    if let Err(error) = list(archive, &mut lines) {
        lines.push(error.to_string());
    }
    expected.assert_eq(&lines.join("\n"));
}

fn list(archive: &[u8], lines: &mut Vec<String>) -> Result<(), ArError> {
    let mut reader = ArReader::new(archive)?;
    while let Some(member) = reader.next_member()? {
        let mut contents = String::new();
        match reader.read_to_string(&mut contents) {
            Ok(_) => lines.push(format!("{} {} {contents:?}", member.name, member.size)),
            Err(error) => lines.push(format!("{} {error}", member.name)),
        }
    }
    Ok(())
}

fn header(name: &str, size: &str) -> String {
    format!("{name:<16}{:<12}{:<6}{:<6}{:<8}{size:<10}`\n", 0, 0, 0, "100644")
}

#[track_caller]
fn check_text(text: &str, expected: &Expect) {
    check(format!("!<arch>\n{text}").as_bytes(), expected);
}

#[test]
fn reads_members_and_their_padding() {
    let text = [&header("odd", "3"), "abc\n", &header("even/", "2"), "de", &header("empty", "0")];
    check_text(
        &text.concat(),
        &expect![[r#"
            odd 3 "abc"
            even 2 "de"
            empty 0 """#]],
    );
    check_text("", &expect![""]);
    check_text(&[&header("last", "1"), "a"].concat(), &expect![[r#"last 1 "a""#]]);
}

#[test]
fn members_can_be_skipped() {
    let text = ["!<arch>\n", &header("a", "3"), "abc\n", &header("b", "1"), "d\n"].concat();
    let mut reader = ArReader::new(text.as_bytes()).unwrap();
    assert_eq!(reader.next_member().unwrap().unwrap().name, "a");
    assert_eq!(reader.member_left(), 3);
    assert_eq!(reader.next_member().unwrap().unwrap().name, "b");
    assert!(reader.next_member().unwrap().is_none());
}

#[test]
fn refuses_what_is_not_an_archive() {
    check(b"", &expect!["the file does not begin with `!<arch>`"]);
    check(b"!<arch>", &expect!["the file does not begin with `!<arch>`"]);
    check(b"!<thin>\n", &expect!["the file does not begin with `!<arch>`"]);
    check_text("x", &expect!["the archive ends in the middle of a header"]);
    check_text(&header("a", "1").replace('`', "'"), &expect!["a member's header has no sound end"]);
    check_text(&header("", "1"), &expect!["a member's header has no sound name"]);
    check_text(&header("a b", "1"), &expect!["a member's header has no sound name"]);
    check_text(&header("a/b", "1"), &expect!["a member's header has no sound name"]);
    check_text(&header("a", ""), &expect!["a member's header has no sound size"]);
    check_text(&header("a", "-1"), &expect!["a member's header has no sound size"]);
    check_text(&header("a", "0x10"), &expect!["a member's header has no sound size"]);
    let no_padding = [&header("a", "1"), "a", &header("b", "0")].concat();
    check_text(
        &no_padding,
        &expect![[r#"
            a 1 "a"
            a member's header has no sound padding before it"#]],
    );
}

#[test]
fn a_member_that_ends_early_is_an_error() {
    let cut = [&header("a", "9999999999"), "abc"].concat();
    check_text(
        &cut,
        &expect![[r"
            a unexpected end of file
            the archive ends in the middle of a member"]],
    );
}
