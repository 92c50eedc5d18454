//! Tests of generated secrets; the real programs judge keys in `tests/it/secrets`.

use super::*;

fn made(text: &str) -> SecretBytes {
    let other = |name: &str| (name == "password").then(|| SecretBytes::from("correct horse"));
    let mut state = 0_u8;
    let mut random = |buffer: &mut [u8]| {
        for byte in buffer {
            state = state.wrapping_mul(5).wrapping_add(113);
            *byte = state;
        }
    };
    generate(&text.parse().unwrap(), &other, &mut random).unwrap()
}

#[test]
fn lengths_are_those_asked_for() {
    for (kind, length) in [("hex:33", 33), ("b64:16", 24), ("alnum:100", 100), ("empty", 0)] {
        let value = made(kind);
        assert_eq!(value.expose().len(), length, "{kind}");
        let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/=".contains(byte);
        assert!(value.expose().iter().all(allowed), "{kind}");
    }
    assert_eq!(made("plain:x:y").text(), Some("x:y"));
}

#[test]
fn digests_are_of_the_other_secret() {
    let digest = made("bcrypt:password");
    assert!(bcrypt::verify("correct horse", digest.text().unwrap()).unwrap());
    assert!(!bcrypt::verify("correct house", digest.text().unwrap()).unwrap());
    let line = made("htpasswd:bob:password");
    let (user, digest) = line.text().unwrap().trim_end().split_once(':').unwrap();
    assert!(user == "bob" && bcrypt::verify("correct horse", digest).unwrap());
    let digest = made("argon2:password");
    let parsed = argon2::PasswordHash::new(digest.text().unwrap()).unwrap();
    let argon2 = argon2::Argon2::default();
    assert!(argon2::PasswordVerifier::verify_password(&argon2, b"correct horse", &parsed).is_ok());
}

#[test]
fn a_digest_needs_its_secret() {
    let none = |_: &str| None;
    let error = generate(&Kind::Bcrypt("x".to_owned()), &none, &mut |_| ()).unwrap_err();
    assert_eq!(error.to_string(), "it is made from `x`, which has no value yet");
    let long = |_: &str| Some(SecretBytes::from("x".repeat(73)));
    let error = generate(&Kind::Bcrypt("x".to_owned()), &long, &mut |_| ()).unwrap_err();
    assert!(error.to_string().contains("72 bytes"), "{error}");
}

#[test]
fn an_ssh_key_is_one_that_age_takes_too() {
    let mut identities = crate::sops::Identities::default();
    identities.read(&made("ssh-ed25519"), "made", &|_| None).unwrap();
    assert!(identities.recipients()[0].starts_with("ssh-ed25519 AAAA"));
}

#[test]
fn a_wireguard_key_has_a_public_half() {
    // Test vector of RFC 7748, section 6.1 (Alice).
    let private = "dwdtCnMYpX08FsFyUbJmRd9ML4frwJkqsXf7pR25LCo=";
    let public = "hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo=";
    assert_eq!(wireguard_public(&private.into()).as_deref(), Some(public));
    assert!(wireguard_public(&made("wireguard")).is_some());
}
