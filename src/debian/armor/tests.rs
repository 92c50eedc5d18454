//! Clear-signed text: taken apart exactly, and refused where two readers could differ.

use expect_test::{Expect, expect};

use super::*;

const SIGNATURE_BLOCK: &str =
    "-----BEGIN PGP SIGNATURE-----\n\niQIzBAAB\n=abcd\n-----END PGP SIGNATURE-----\n";

#[track_caller]
fn check(document: &str, expected: &Expect) {
    expected.assert_eq(&match split_clear_signed(document.as_bytes()) {
        Ok(parts) => format!(
            "{:?} {:?} {:02x?}",
            String::from_utf8_lossy(&parts.text),
            String::from_utf8_lossy(&parts.hashed),
            parts.packets
        ),
        Err(error) => format!("error: {error}"),
    });
}

#[test]
fn signed_text_is_unescaped_and_trimmed() {
    let begin = "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\nHash: SHA512\n\n";
    check(
        &format!("{begin}Origin: x  \t\n- -dash\n\nend\n{SIGNATURE_BLOCK}"),
        &expect![[
            r#""Origin: x\n-dash\n\nend" "Origin: x\r\n-dash\r\n\r\nend" [89, 02, 33, 04, 00, 01]"#
        ]],
    );
    check(
        &format!("{begin}a\nb\n{SIGNATURE_BLOCK}\n\n").replace('\n', "\r\n"),
        &expect![[r#""a\nb" "a\r\nb" [89, 02, 33, 04, 00, 01]"#]],
    );
}

#[test]
fn what_is_ambiguous_is_refused() {
    let begin = "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\n";
    check("Origin: x\n", &expect!["error: there is no line `-----BEGIN PGP …-----`"]);
    check(
        &format!("Origin: evil\n{begin}a\n{SIGNATURE_BLOCK}"),
        &expect!["error: there is no line `-----BEGIN PGP …-----`"],
    );
    check(
        &format!("{begin}a\n{SIGNATURE_BLOCK}Origin: evil\n"),
        &expect!["error: there is text outside of the signed part"],
    );
    check(
        &format!("{begin}-a\n{SIGNATURE_BLOCK}"),
        &expect!["error: a signed line begins with an unescaped dash"],
    );
    check(
        &format!("{begin}a\rb\n{SIGNATURE_BLOCK}"),
        &expect!["error: a signed line holds a carriage return"],
    );
    check(
        &format!("-----BEGIN PGP SIGNED MESSAGE-----\nOrigin: evil\n\na\n{SIGNATURE_BLOCK}"),
        &expect!["error: there is a malformed or unknown armor header"],
    );
    check(&format!("{begin}a\n"), &expect!["error: the line `-----END PGP …-----` is missing"]);
    check(
        &format!("{begin}a\n-----BEGIN PGP SIGNATURE-----\n\niQIz\n"),
        &expect!["error: the line `-----END PGP …-----` is missing"],
    );
    check(
        &format!("{begin}a\n-----BEGIN PGP SIGNATURE-----\n\niQ!z\n-----END PGP SIGNATURE-----\n"),
        &expect!["error: the encoded part is not base-64"],
    );
}

#[test]
fn base64_of_rfc_4648() {
    for (encoded, decoded) in [
        ("", ""),
        ("Zg==", "f"),
        ("Zm8=", "fo"),
        ("Zm9v", "foo"),
        ("Zm9vYg==", "foob"),
        ("Zm9vYmE=", "fooba"),
        ("Zm9vYmFy", "foobar"),
    ] {
        assert_eq!(base64_decoded(encoded.as_bytes()).unwrap(), decoded.as_bytes());
    }
    for encoded in ["Z", "Zg=", "Z===", "Zg==Zg==", "====", "Zm9v\n"] {
        assert_eq!(base64_decoded(encoded.as_bytes()), None, "{encoded}");
    }
}

#[test]
fn key_files_may_hold_several_blocks() {
    let block = "-----BEGIN PGP PUBLIC KEY BLOCK-----\nComment: x\n\nZm9v\n-----END PGP PUBLIC KEY BLOCK-----\n";
    assert_eq!(
        key_packets(format!("first\n{block}second\n{block}").as_bytes()).unwrap(),
        b"foofoo"
    );
    assert_eq!(key_packets(&[0x99, 1]).unwrap(), [0x99, 1]);
    assert_eq!(key_packets(b""), Err(ArmorError::NoBegin));
    assert_eq!(signature_packets(block.as_bytes()), Err(ArmorError::NoBegin));
}

proptest::proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes: Vec<u8>, body: String) {
        let _ = (split_clear_signed(&bytes), key_packets(&bytes));
        let document = format!("-----BEGIN PGP SIGNED MESSAGE-----\n\n{body}\n{SIGNATURE_BLOCK}");
        if let Ok(parts) = split_clear_signed(document.as_bytes()) {
            assert_eq!(parts.text, parts.hashed.into_iter().filter(|b| *b != b'\r').collect::<Vec<_>>());
        }
    }
}
