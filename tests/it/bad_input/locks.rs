//! Locks that somebody has changed.

use super::mirror::Mirror;
use super::{Place, SMALL, lock_text};
use crate::support::Ran;

/// A place whose lock was changed by `alter`, and that has all files but none of the results.
#[track_caller]
fn changed(alter: impl Fn(&str) -> String) -> Place {
    let text = lock_text(SMALL);
    let changed = alter(text);
    assert_ne!(changed, text, "the lock was to be changed");
    let place = Place::with_files(SMALL).behind(&Mirror::honest());
    place.write_lock(&changed);
    place
}

/// Builds with such a lock, which is left as it is; gives what the program says.
#[track_caller]
fn refused(place: &Place, code: i32) -> Ran {
    let before = std::fs::read(place.lock_path()).unwrap();
    let ran = place.run(&["build", SMALL]).expect(code);
    assert!(std::fs::read(place.lock_path()).unwrap() == before, "the lock was touched");
    place.assert_clean();
    ran
}

/// Refused, and the true lock works in the same store.
#[track_caller]
fn build_with(alter: impl Fn(&str) -> String, code: i32) -> Ran {
    let place = changed(alter);
    let ran = refused(&place, code);
    place.write_lock(lock_text(SMALL));
    place.assert_works(&["build", SMALL]);
    ran
}

/// The value of `key` in the entry of package base-files.
fn value(key: &str) -> String {
    let entry = lock_text(SMALL).split("\n\n").find(|entry| entry.contains("\"base-files\""));
    let mut lines = entry.expect("every host has it").lines();
    let line = lines.find(|line| line.starts_with(&format!("{key} = "))).unwrap();
    line.split_once(" = ").unwrap().1.trim_matches('"').to_owned()
}

#[test]
fn another_digest_is_refused() {
    let digest = value("sha256");
    let wrong = format!("{}{}", if digest.starts_with('0') { '1' } else { '0' }, &digest[1..]);
    build_with(|text| text.replace(&digest, &wrong), 3)
        .says("cannot fetch base-files")
        .says(&format!("expected SHA-256 {wrong}, found {digest}"))
        .says("help: nothing of it was used; if the lock was changed by hand");
}

#[test]
fn another_version_is_refused() {
    let version = value("version");
    let (old, new) = (format!("version = \"{version}\""), "version = \"99\"");
    build_with(|text| text.replacen(&old, new, 1), 3)
        .says("the lock says `base-files_99_amd64`, but the file is `base-files_")
        .says("help: take the committed lock back");
}

#[test]
fn another_name_is_refused() {
    build_with(|text| text.replace("name = \"base-files\"", "name = \"base-filez\""), 3)
        .says("but the file is `base-files_");
}

#[test]
fn other_requests_are_refused() {
    build_with(|text| text.replace("requests = []", "requests = [\n    \"hello\",\n]"), 1)
        .says("the lock was made for other requests: gone `hello`")
        .says("help: run `nexus-host lock small`");
}

#[test]
fn what_is_no_lock_is_shown_by_line() {
    let refused = |alter: fn(&str) -> String| {
        refused(&changed(alter), 1)
            .says("hosts/small.lock is damaged")
            .says("help: run `nexus-host lock small` to make it anew")
    };
    refused(|text| text[..text.len() / 2].to_owned()).says("line ");
    refused(|text| text.replacen("size = ", "size = 0", 1)).says("line ");
    refused(|text| text.replacen("path = \"pool/", "path = \"../pool/", 1)).says("`../pool/");
    refused(|text| text.replacen("version = 1\n", "version = 2\n", 1)).says("version 2");
    let twice = |text: &str| {
        let package = text.find("[[package]]").unwrap();
        let end = text[package..].find("\n\n").unwrap() + package;
        format!("{}\n\n{}", &text[..end], &text[package..])
    };
    refused(twice).says("stands twice");
}
