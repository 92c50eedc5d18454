//! Scans over whole and torn streams.

use proptest::prelude::*;

use super::*;

const FOO: &str = "vxjiwkjkn7x4079qvh1jkl5pn05j2aw0-foo";
const REFS: &str = "0bymz1ywzqdxkn8xhi5n140alglav05m-refs";

fn candidates() -> Candidates {
    Candidates::new(&[FOO, REFS].iter().map(|text| text.parse().unwrap()).collect())
}

#[track_caller]
fn check(bytes: &[u8], expected: &[&str]) {
    let expected = expected.iter().map(|text| text.parse().unwrap()).collect();
    assert_eq!(candidates().named_in(bytes), expected);
}

#[test]
fn finds_digests_anywhere() {
    check(b"", &[]);
    check(b"nothing here", &[]);
    check(FOO.as_bytes(), &[FOO]);
    check(format!("\0/nix/store/{FOO}\0/x/{REFS}/y").as_bytes(), &[FOO, REFS]);
    // The digest alone counts, whatever name follows; a part of it does not.
    check(b"vxjiwkjkn7x4079qvh1jkl5pn05j2aw0", &[FOO]);
    check(b"vxjiwkjkn7x4079qvh1jkl5pn05j2aw", &[]);
    check(b"aaavxjiwkjkn7x4079qvh1jkl5pn05j2aw0aaa", &[FOO]);
    check(b"vxjiwkjkn7x4079qvh1jkl5pn05j2aw00bymz1ywzqdxkn8xhi5n140alglav05m", &[FOO, REFS]);
}

#[test]
fn no_candidates_no_references() {
    assert_eq!(Candidates::new(&BTreeSet::new()).named_in(FOO.as_bytes()), BTreeSet::new());
}

proptest! {
    /// Wherever a stream is torn, the same references are found as in one piece.
    #[test]
    fn pieces_do_not_matter(
        before in proptest::collection::vec(any::<u8>(), 0..80),
        between in "[0-9a-z]{0,40}",
        cuts in proptest::collection::vec(1usize..40, 1..20),
    ) {
        let stream = [&before[..], FOO.as_bytes(), between.as_bytes(), REFS.as_bytes()].concat();
        let candidates = candidates();
        let mut scanner = candidates.scanner();
        let mut rest = &stream[..];
        for cut in cuts.iter().cycle() {
            let (piece, after) = rest.split_at(rest.len().min(*cut));
            scanner.feed(piece);
            rest = after;
            if rest.is_empty() {
                break;
            }
        }
        prop_assert_eq!(scanner.found(), candidates.named_in(&stream));
        prop_assert_eq!(scanner.found().len(), 2);
    }
}
