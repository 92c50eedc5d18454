//! Digests against values known from `sha256sum` and `nix hash`.

use super::*;

#[test]
fn hexadecimal_and_base_32_are_those_of_nix() {
    // nix hash file --base32 / --base16 of a file with `bar`, Nix 2.8.0.
    let digest = Sha256Digest::of(b"bar");
    let hexadecimal = "fcde2b2edba56bf408601fb721fe9b5c338d10ee429ea04fae5511b68fbf8fb9";
    assert_eq!(digest.to_string(), hexadecimal);
    assert_eq!(digest.base32(), "1fcgpy7vc4ammr7s17j2xq88scswkgz23dqzc04g8sx5vcp2pppw");
    assert_eq!(hexadecimal.parse(), Ok(digest));
}

#[track_caller]
fn refuses(text: &str) {
    assert_eq!(text.parse::<Sha256Digest>(), Err(ParseDigestError { text: text.to_owned() }));
}

#[test]
fn other_text_is_no_digest() {
    refuses("");
    refuses(&"g".repeat(64));
    refuses(&"a".repeat(63));
    refuses(&"a".repeat(65));
    refuses(&"é".repeat(32));
}
