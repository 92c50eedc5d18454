//! Each way in which a signature can fail has its own sentence; sound ones pass.

use expect_test::{Expect, expect};

use super::testing::{KeyRecipe, Signing, SubkeyRecipe, TestKey, clear_signed};
use super::*;

const TEXT: &str = "Origin: Test\n- dashed\nSuite: trixie  ";
const NOW: u64 = 1_760_000_000;

fn key(recipe: KeyRecipe) -> TestKey {
    TestKey::new(recipe)
}

fn ring(keys: &[&TestKey]) -> KeyRing {
    KeyRing::parse(&keys.iter().flat_map(|key| key.ring_bytes()).collect::<Vec<_>>()).unwrap()
}

fn in_words(result: Result<Verified, SignatureError>) -> String {
    match result {
        Ok(verified) => {
            format!("good: {} of {:?}", verified.signers().len(), verified.text().len())
        }
        Err(error) => format!("error: {error}"),
    }
}

#[track_caller]
fn check_key(recipe: KeyRecipe, expected: &Expect) {
    let key = key(recipe);
    let document = clear_signed(TEXT, &[(&key, Signing::default())]);
    let by_inline = in_words(verify_inline(document.as_bytes(), &ring(&[&key]), NOW));
    let signature = key.sign_detached(TEXT.as_bytes(), Signing::default());
    let by_detached =
        in_words(verify_detached(TEXT.as_bytes(), signature.as_bytes(), &ring(&[&key]), NOW));
    if by_inline.starts_with("error") {
        assert_eq!(by_inline, by_detached);
    } else {
        assert!(by_detached.starts_with("good"), "{by_detached}");
    }
    expected.assert_eq(&by_inline);
}

#[track_caller]
fn check_signing(signing: Signing, expected: &Expect) {
    let rsa_bits = (!policy::is_strong(signing.hash)).then_some(2048);
    let key = key(KeyRecipe { rsa_bits, ..KeyRecipe::default() });
    let document = clear_signed(TEXT, &[(&key, signing)]);
    expected.assert_eq(&in_words(verify_inline(document.as_bytes(), &ring(&[&key]), NOW)));
}

#[test]
fn sound_keys_pass() {
    check_key(KeyRecipe::default(), &expect!["good: 1 of 35"]);
    let lifetime = 100_000_000;
    check_key(KeyRecipe { lifetime, ..KeyRecipe::default() }, &expect!["good: 1 of 35"]);
    let subkey = Some(SubkeyRecipe { lifetime, ..SubkeyRecipe::default() });
    check_key(
        KeyRecipe { subkey, may_sign: false, ..KeyRecipe::default() },
        &expect!["good: 1 of 35"],
    );
}

#[test]
fn only_the_signed_text_comes_back() {
    let key = key(KeyRecipe::default());
    let document = clear_signed(TEXT, &[(&key, Signing::default())]);
    let verified = verify_inline(document.as_bytes(), &ring(&[&key]), NOW).unwrap();
    assert_eq!(verified.text(), b"Origin: Test\n- dashed\nSuite: trixie");
    assert_eq!(verified.signers(), [key.signer()]);
}

#[test]
fn unfit_primary_keys() {
    let base = KeyRecipe::default();
    check_key(
        KeyRecipe { lifetime: 55_000_000, ..base },
        &expect![
            "error: the file is signed by key C437462B7807391124C8811C8FF1D40283B6785C, which expired on 2025-08-12 12:00 UTC"
        ],
    );
    check_key(
        KeyRecipe { is_revoked: true, ..base },
        &expect![
            "error: the file is signed by key C437462B7807391124C8811C8FF1D40283B6785C, which its owner has revoked"
        ],
    );
    check_key(
        KeyRecipe { may_sign: false, ..base },
        &expect![
            "error: the file is signed by key C437462B7807391124C8811C8FF1D40283B6785C, which is not meant for signing"
        ],
    );
    check_key(
        KeyRecipe { rsa_bits: Some(1024), ..base },
        &expect![
            "error: the file is signed by key 92BA966952CF3569E05C6B8D30983083218B84AD, which is of a kind or length that is too weak"
        ],
    );
    let rsa = KeyRecipe { rsa_bits: Some(2048), ..base };
    check_key(rsa, &expect!["good: 1 of 35"]);
    check_key(
        KeyRecipe { self_hash: HashAlgorithm::Sha1, ..rsa },
        &expect![
            "error: the file is signed by key 3431ADFB1D5EB2D367F11E05AE16907FC190CEA3, which does not vouch for itself with a strong hash"
        ],
    );
    check_key(
        KeyRecipe { created: 1_755_000_000, ..base },
        &expect![
            "error: the file is signed by key 293F4ABB9CCDBA7A7F582041BAD6951F560E105D, which is younger than the signature"
        ],
    );
}

#[test]
fn unfit_subkeys() {
    let base = KeyRecipe::default();
    let sound = SubkeyRecipe::default();
    let with = |subkey| KeyRecipe { subkey: Some(subkey), ..base };
    check_key(
        with(SubkeyRecipe { lifetime: 55_000_000, ..sound }),
        &expect![
            "error: the file is signed by key E2417D80FAC6919B1D478BF7EDC865BA100B4934, which expired on 2025-08-12 12:00 UTC"
        ],
    );
    check_key(
        with(SubkeyRecipe { is_revoked: true, ..sound }),
        &expect![
            "error: the file is signed by key E2417D80FAC6919B1D478BF7EDC865BA100B4934, which its owner has revoked"
        ],
    );
    check_key(
        with(SubkeyRecipe { may_sign: false, ..sound }),
        &expect![
            "error: the file is signed by key E2417D80FAC6919B1D478BF7EDC865BA100B4934, which is not meant for signing"
        ],
    );
    check_key(
        with(SubkeyRecipe { consents: false, ..sound }),
        &expect![
            "error: the file is signed by key E2417D80FAC6919B1D478BF7EDC865BA100B4934, which is not meant for signing"
        ],
    );
    check_key(
        KeyRecipe { is_revoked: true, ..with(sound) },
        &expect![
            "error: the file is signed by key E2417D80FAC6919B1D478BF7EDC865BA100B4934, which its owner has revoked"
        ],
    );
    check_key(
        KeyRecipe { lifetime: 55_000_000, ..with(sound) },
        &expect![
            "error: the file is signed by key E2417D80FAC6919B1D478BF7EDC865BA100B4934, which expired on 2025-08-12 12:00 UTC"
        ],
    );
}

#[test]
fn unfit_signatures() {
    let base = Signing::default();
    check_signing(
        Signing { lifetime: 1000, ..base },
        &expect![
            "error: the signature by key C437462B7807391124C8811C8FF1D40283B6785C expired on 2025-06-15 15:23 UTC"
        ],
    );
    check_signing(Signing { lifetime: 100_000_000, ..base }, &expect!["good: 1 of 35"]);
    check_signing(
        Signing { hash: HashAlgorithm::Sha1, ..base },
        &expect![
            "error: the signature by key 3431ADFB1D5EB2D367F11E05AE16907FC190CEA3 uses SHA1, which is too weak to be trusted"
        ],
    );
    check_signing(
        Signing { hash: HashAlgorithm::Sha224, ..base },
        &expect![
            "error: the signature by key 3431ADFB1D5EB2D367F11E05AE16907FC190CEA3 uses SHA224, which is too weak to be trusted"
        ],
    );
    check_signing(Signing { hash: HashAlgorithm::Sha512, ..base }, &expect!["good: 1 of 35"]);
    check_signing(
        Signing { made: 1_760_100_000, ..base },
        &expect![
            "error: the signature by key C437462B7807391124C8811C8FF1D40283B6785C is from the future (2025-10-10 12:40 UTC); is the clock right?"
        ],
    );
    check_signing(Signing { made: 1_760_080_000, ..base }, &expect!["good: 1 of 35"]);
}

#[track_caller]
fn check_document(document: &str, ring: &KeyRing, expected: &Expect) {
    expected.assert_eq(&in_words(verify_inline(document.as_bytes(), ring, NOW)));
}

#[test]
fn absent_unknown_and_altered() {
    let (mine, other) =
        (key(KeyRecipe::default()), key(KeyRecipe { seed: 2, ..KeyRecipe::default() }));
    let document = clear_signed(TEXT, &[(&mine, Signing::default())]);
    let ring_of_mine = ring(&[&mine]);
    check_document(TEXT, &ring_of_mine, &expect!["error: the file carries no OpenPGP signature"]);
    check_document("", &ring_of_mine, &expect!["error: the file carries no OpenPGP signature"]);
    check_document(
        "<html>login</html>",
        &ring_of_mine,
        &expect!["error: the file carries no OpenPGP signature"],
    );
    check_document(
        &document,
        &ring(&[&other]),
        &expect![
            "error: the file is signed by keys that are not known for this source: C437462B7807391124C8811C8FF1D40283B6785C"
        ],
    );
    check_document(
        &document.replace("Origin: Test", "Origin: Tess"),
        &ring_of_mine,
        &expect![
            "error: the signature by key C437462B7807391124C8811C8FF1D40283B6785C does not match: the file or the signature was altered"
        ],
    );
    check_document(
        &document.replace("trixie", "trixie\nextra: x"),
        &ring_of_mine,
        &expect![
            "error: the signature by key C437462B7807391124C8811C8FF1D40283B6785C does not match: the file or the signature was altered"
        ],
    );
    check_document(
        &format!("{document}Origin: evil\n"),
        &ring_of_mine,
        &expect!["error: the signed file is malformed"],
    );
    let empty = "-----BEGIN PGP SIGNED MESSAGE-----\n\na\n-----BEGIN PGP SIGNATURE-----\n\n-----END PGP SIGNATURE-----\n";
    check_document(empty, &ring_of_mine, &expect!["error: the file carries no OpenPGP signature"]);
}

#[test]
fn several_signatures_follow_apts_rule() {
    let recipe = KeyRecipe::default();
    let (good, stranger) = (key(recipe), key(KeyRecipe { seed: 2, ..recipe }));
    let expired = key(KeyRecipe { seed: 3, lifetime: 55_000_000, ..recipe });
    let revoked = key(KeyRecipe { seed: 4, is_revoked: true, ..recipe });
    let known = ring(&[&good, &expired, &revoked]);
    let signing = Signing::default();
    let by = |keys: &[&TestKey]| {
        clear_signed(TEXT, &keys.iter().map(|key| (*key, signing)).collect::<Vec<_>>())
    };
    check_document(&by(&[&stranger, &good]), &known, &expect!["good: 1 of 35"]);
    check_document(&by(&[&expired, &revoked, &good]), &known, &expect!["good: 1 of 35"]);
    check_document(
        &by(&[&expired, &stranger]),
        &known,
        &expect![
            "error: the file is signed by key CD5FF6C9051E3304A7F08F7F8D0FA4D81DCB6083, which expired on 2025-08-12 12:00 UTC"
        ],
    );
    check_document(
        &by(&[&expired, &revoked]),
        &known,
        &expect![
            "error: the file is signed by key 270DF7CD85911FFC538911A384475D4DF2E3A553, which its owner has revoked"
        ],
    );
    // The good key's signature over another text, beside a sound one.
    let mixed = mixed_signatures(&good, &revoked);
    check_document(
        &mixed,
        &known,
        &expect![
            "error: the signature by key 270DF7CD85911FFC538911A384475D4DF2E3A553 does not match: the file or the signature was altered"
        ],
    );
}

/// A document that `sound` signed, with a signature by `broken` that belongs to another text.
fn mixed_signatures(sound: &TestKey, broken: &TestKey) -> String {
    let signing = Signing::default();
    let block = |document: &str| {
        let parts = armor::split_clear_signed(document.as_bytes()).unwrap();
        parts.packets
    };
    let document = clear_signed(TEXT, &[(sound, signing)]);
    let mut packets = block(&document);
    packets.extend(block(&clear_signed("another text", &[(broken, signing)])));
    let head = &document[..document.find("-----BEGIN PGP SIGNATURE").unwrap()];
    format!(
        "{head}-----BEGIN PGP SIGNATURE-----\n\n{}\n-----END PGP SIGNATURE-----\n",
        base64(&packets)
    )
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let bits = group.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte));
        let bits = bits << (8 * (3 - group.len()));
        for place in 0..=group.len() {
            text.push(char::from(DIGITS[(bits >> (18 - 6 * place) & 63) as usize]));
        }
        text += &"=="[group.len() - 1..];
    }
    text
}

#[test]
fn text_signatures_do_not_hide_carriage_returns() {
    let key = key(KeyRecipe::default());
    let signature = key.sign_detached_text(b"a\r\nb", Signing::default());
    let check =
        |text: &[u8]| in_words(verify_detached(text, signature.as_bytes(), &ring(&[&key]), NOW));
    assert!(check(b"a\nb").starts_with("good"), "{}", check(b"a\nb"));
    assert!(check(b"a\r\nb").starts_with("good"));
    assert!(check(b"a\rb").contains("altered"), "{}", check(b"a\rb"));
}

#[test]
fn armored_key_files_work() {
    let key = key(KeyRecipe::default());
    let document = clear_signed(TEXT, &[(&key, Signing::default())]);
    let ring = KeyRing::parse(key.ring_text().as_bytes()).unwrap();
    assert!(verify_inline(document.as_bytes(), &ring, NOW).is_ok());
}

#[test]
fn flipping_any_bit_of_a_signed_document_never_passes_with_other_text() {
    let key = key(KeyRecipe::default());
    let ring = ring(&[&key]);
    let document = clear_signed(TEXT, &[(&key, Signing::default())]).into_bytes();
    let text = verify_inline(&document, &ring, NOW).unwrap().text().to_vec();
    for place in 0..document.len() {
        for bit in 0..8 {
            let mut altered = document.clone();
            altered[place] ^= 1 << bit;
            if let Ok(verified) = verify_inline(&altered, &ring, NOW) {
                assert_eq!(verified.text(), text, "byte {place}, bit {bit}");
            }
        }
    }
}

proptest::proptest! {
    #[test]
    fn no_signature_bytes_make_it_panic(mut packets: Vec<u8>, place in 0..120_usize, byte: u8) {
        let key = key(KeyRecipe::default());
        let ring = ring(&[&key]);
        let _ = verify_detached(b"x", &packets, &ring, NOW);
        packets.insert(0, 0x88);
        let _ = verify_detached(b"x", &packets, &ring, NOW);
        let document = clear_signed("x", &[(&key, Signing::default())]);
        let mut packets = armor::split_clear_signed(document.as_bytes()).unwrap().packets;
        if let Some(found) = packets.get_mut(place) {
            *found = byte;
        }
        let _ = verify_detached(b"x", &packets, &ring, NOW);
    }
}
