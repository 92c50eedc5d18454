//! Signed files of the archive that were altered on their way.

use super::mirror::{Answer, Mirror};
use super::{Place, SMALL};

/// Locks behind a mirror that gives `InRelease` of trixie as `alter` makes it; then with the true one.
#[track_caller]
fn check(alter: fn(String) -> String, expected: &str, remedy: &str) {
    let mirror = Mirror::start(move |path, bytes| {
        let release = path == "/debian/dists/trixie/InRelease";
        let text = |bytes| alter(String::from_utf8(bytes).unwrap()).into_bytes();
        Answer::Bytes(if release { text(bytes) } else { bytes })
    });
    let place = Place::with_files(SMALL).unlocked().behind(&mirror);
    let ran = place.run(&["lock", SMALL]).expect(3);
    ran.says("source trixie cannot be used").says(expected).says(remedy);
    assert!(!place.lock_path().exists());
    let kept = super::names(&place.at("cache/nexus-host/releases"));
    assert_eq!(kept.len(), 2, "only those of the two other suites are believed: {kept:?}");
    place.assert_clean();
    place.behind(&Mirror::honest()).assert_works(&["lock", SMALL]);
}

const REMEDY: &str = "help: nothing of it was used";

#[test]
fn altered_text_is_refused() {
    check(
        |text| text.replacen("Codename: trixie", "Codename: trixiE", 1),
        "the file or the signature was altered",
        REMEDY,
    );
}

#[test]
fn an_altered_signature_is_refused() {
    let alter = |text: String| {
        let start = text.find("-----BEGIN PGP SIGNATURE-----").unwrap();
        let (signed, signature) = text.split_at(start);
        // A letter in the middle of its second line of base64.
        let place = signature.match_indices('\n').nth(3).unwrap().0 + 20;
        let other = if &signature[place..=place] == "A" { "B" } else { "A" };
        format!("{signed}{}{other}{}", &signature[..place], &signature[place + 1..])
    };
    check(alter, "signature", REMEDY);
}

#[test]
fn a_missing_signature_is_refused() {
    let alter = |text: String| {
        let start = text.find("Origin:").unwrap();
        let end = text.find("-----BEGIN PGP SIGNATURE-----").unwrap();
        text[start..end].to_owned()
    };
    check(alter, "the file carries no OpenPGP signature", REMEDY);
}
