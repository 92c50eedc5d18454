//! Tests of the console's text.

use super::*;
use expect_test::{Expect, expect};
use proptest::prelude::*;

fn text_of(pieces: &[&[u8]]) -> ConsoleText {
    let mut text = ConsoleText::default();
    for piece in pieces {
        text.push(piece);
    }
    text
}

#[track_caller]
fn check(pieces: &[&[u8]], expected: &Expect) {
    expected.assert_eq(&text_of(pieces).tail());
}

#[test]
fn colours_and_titles_are_left_out_also_when_they_come_in_pieces() {
    check(
        &[
            b"[\x1b[0;32m  OK  \x1b[0m] Reached \x1b[0;1;39mmulti",
            b"-user\x1b",
            b"[0m.\r\n\x1b]0;title\x07x\x1b]3\x1b\\y",
        ],
        &expect![[r"
            [  OK  ] Reached multi-user.
            xy"]],
    );
}

#[test]
fn an_unfinished_sequence_hides_no_further_line() {
    check(
        &[b"a\x1b]0;no end\nKernel panic\n\x1b[999\nb"],
        &expect![[r"
            a
            Kernel panic
            b"]],
    );
}

#[test]
fn the_tail_has_the_last_lines_without_empty_ones_and_cuts_long_ones() {
    let mut text = ConsoleText::default();
    for number in 0..100 {
        text.push(format!("line {number}\n\n").as_bytes());
    }
    assert!(text.tail().starts_with("line 75\n") && text.tail().ends_with("line 99"));
    text.push(&[b'x'; 10_000]);
    assert_eq!(text.tail().lines().last().unwrap().len(), LINE_CHARACTERS_MAX);
}

#[test]
fn a_flood_keeps_its_end_and_the_positions() {
    let mut text = ConsoleText::default();
    for number in 0..200_000 {
        text.push(format!("line {number}\n").as_bytes());
    }
    let before = text.end();
    text.push(b"login: ");
    assert!(text.text.len() <= TEXT_BYTES_MAX);
    assert_eq!(text.end(), before + 7);
    assert_eq!(text.find(&["no such", "login:"], 0), Some((before + 6, 1)));
    assert_eq!(text.find(&["login:"], before + 1), None);
}

#[test]
fn the_first_of_several_texts_is_found() {
    let text = text_of(&[b"one two three"]);
    assert_eq!(text.find(&["three", "two"], 0), Some((7, 1)));
    assert_eq!(text.find(&["two"], 5), None);
    assert_eq!(text.find(&["two"], 99), None);
}

#[track_caller]
fn check_fatal(pieces: &[&[u8]], expected: &Expect) {
    let mut text = ConsoleText::default();
    let mut found = Vec::new();
    for piece in pieces {
        text.push(piece);
        found.extend(text.fatal_line().map(|(kind, line)| format!("{kind}: {line}")));
    }
    expected.assert_eq(&found.join("\n"));
}

#[test]
fn a_fatal_line_is_found_once_even_in_pieces() {
    check_fatal(
        &[
            b"ok\n[ 1.2] Kernel pan",
            b"ic - not syncing: VFS\nmore\n",
            b"and more\n",
            b"You are in emergency mode.",
        ],
        &expect![[r"
            the kernel panicked: [ 1.2] Kernel panic - not syncing: VFS
            systemd went into emergency mode: You are in emergency mode."]],
    );
}

#[test]
fn the_pump_logs_every_byte_and_reports_trouble() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log");
    let watch = Watch::default();
    let bytes: &[u8] = b"\x1b[1mKernel panic - not syncing\x1b[0m\n";
    pump(bytes, File::create(&path).unwrap(), &watch, true);
    assert_eq!(std::fs::read(&path).unwrap(), bytes);
    assert!(watch.look(|seen| seen.trouble.is_some() && seen.console.first_byte.is_some()));
    let tolerant = Watch::default();
    pump(bytes, File::create(&path).unwrap(), &tolerant, false);
    assert!(tolerant.look(|seen| seen.trouble.is_none()));
}

proptest! {
    #[test]
    fn nothing_on_a_console_can_panic(pieces: Vec<Vec<u8>>, needle in ".{1,5}", from: u64) {
        let mut text = ConsoleText::default();
        for piece in &pieces {
            text.push(piece);
            text.fatal_line();
        }
        text.tail();
        if let Some((position, _)) = text.find(&[&needle], from) {
            prop_assert!(position <= text.end());
        }
    }
}
