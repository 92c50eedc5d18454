//! The embedded keys are the documented ones; garbage is no key ring.

use expect_test::{Expect, expect};

use super::*;

#[test]
fn the_embedded_keys_have_the_documented_fingerprints() {
    let expected = expect![[r#"
        04B54C3CDCA79751B16BC6B5225629DF75B188BD B8E5F13176D2A7A75220028078DBA3BC47EF2265
        5E04A1E3223A19A20706E20F9904613D4CCE68C6 89C87ACEA5DD6B8E6A7068808E9F831205B4BA95
        41587F7DB8C774BCCF131416762F67A0B2C39DE4
        B8B80B5B623EAB6AD8775C45B7C5D7D6350947F8 4CB50190207B4758A3F73A796ED0E7B82643E131
        05AB90340C0C5E797F44A8C8254CF3B5AEC0A8F0 B0CAB9266E8C3929798B3EEEBDE6D2B9216EC7A8
        4D64FEC119C2029067D6E791F8D2585B8783D481
    "#]];
    let mut text = String::new();
    for certificate in KeyRing::debian().certificates {
        text += &fingerprint_text(&certificate.fingerprint());
        for subkey in &certificate.public_subkeys {
            text += " ";
            text += &fingerprint_text(&subkey.fingerprint());
        }
        text += "\n";
    }
    expected.assert_eq(&text);
}

#[track_caller]
fn check(bytes: &[u8], expected: &Expect) {
    expected.assert_eq(&match KeyRing::parse(bytes) {
        Ok(ring) => format!("{ring:?}"),
        Err(error) => format!("error: {error}"),
    });
}

#[test]
fn what_is_no_key_ring_is_refused() {
    check(b"", &expect!["error: this is not an OpenPGP public key file"]);
    check(b"<html>not found</html>", &expect!["error: this is not an OpenPGP public key file"]);
    let end = "-----END PGP PUBLIC KEY BLOCK-----";
    let empty = format!("-----BEGIN PGP PUBLIC KEY BLOCK-----\n\n{end}\n");
    check(empty.as_bytes(), &expect!["error: the key file holds no readable public key"]);
    check(
        &vec![0x99; KEY_FILE_BYTES_MAX + 1],
        &expect!["error: the key file is larger than 1 MiB or holds more than 256 keys"],
    );
}

#[test]
fn a_truncated_key_is_refused_or_read_without_its_end() {
    for length in 0..DEBIAN_KEYS[2].len() {
        let _ = KeyRing::parse(&DEBIAN_KEYS[2][..length]);
    }
}

proptest::proptest! {
    #[test]
    fn no_bytes_make_it_panic(mut bytes: Vec<u8>, place in 0..960_usize, byte: u8) {
        let _ = KeyRing::parse(&bytes);
        bytes.insert(0, 0x99);
        let _ = KeyRing::parse(&bytes);
        let mut altered = DEBIAN_KEYS[2].to_vec();
        altered[place] = byte;
        let _ = KeyRing::parse(&altered);
    }
}
