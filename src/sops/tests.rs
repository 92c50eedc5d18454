//! Tests of SOPS documents; agreement with the real program is tested in `tests/it/sops`.

mod formats;
mod refusals;
mod rules;

use super::*;

/// Bytes that look random and are the same in every run.
pub(super) fn counting() -> impl FnMut(&mut [u8]) {
    let mut state = 0_u8;
    move |buffer: &mut [u8]| {
        for byte in buffer {
            state = state.wrapping_mul(5).wrapping_add(113);
            *byte = state;
        }
    }
}

pub(super) const NOW: &str = "2026-11-21T12:00:00Z";

/// A data key, an identity that opens it, and its recipient.
pub(super) struct Keys {
    pub(super) data: DataKey,
    pub(super) identities: Identities,
    pub(super) recipient: Recipient,
}

pub(super) fn keys() -> Keys {
    let (identity, recipient) = generate_identity();
    let mut identities = Identities::default();
    identities.read(&identity, "test", &|_| None).unwrap();
    Keys { data: DataKey::new([7; 32]), identities, recipient }
}

/// The encrypted form of a plain document.
pub(super) fn sealed(format: Format, plain: &str, rule: Rule, keys: &Keys) -> Document {
    let items = format.parse_plain(plain.as_bytes()).unwrap();
    let mut metadata = Metadata::new(rule, false);
    metadata.set_recipients(std::slice::from_ref(&keys.recipient), &keys.data, true).unwrap();
    let opened = Opened { items, nonces: Nonces::default() };
    let mut random = counting();
    Document::seal(format, opened, metadata, &keys.data, (NOW, &mut random)).unwrap()
}

/// The file of an encrypted document as text.
pub(super) fn text_of(document: &Document) -> String {
    String::from_utf8(document.to_bytes().unwrap()).unwrap()
}

/// Opens the text of an encrypted document.
pub(super) fn open(format: Format, text: &str, keys: &Keys) -> Result<Opened, SopsError> {
    let document = Document::parse(format, text.as_bytes())?;
    document.open(&document.metadata.data_key(&keys.identities)?)
}

#[test]
fn a_secret_does_not_show_itself() {
    let node = Node::Map(vec![Item::entry("key", Node::text("hunter2"))]);
    let shown = format!("{node:?} {:?}", DataKey::new([9; 32]));
    assert!(!shown.contains("hunter2") && !shown.contains("9, 9"), "{shown}");
    assert!(shown.contains("Secret(..)"), "{shown}");
}

#[test]
fn what_did_not_change_keeps_its_ciphertext() {
    let keys = keys();
    let document = sealed(Format::Yaml, "a: one\nb: two\n", Rule::default(), &keys);
    let mut opened = document.open(&keys.data).unwrap();
    set(&mut opened.items, &["b"], Node::text("three")).unwrap();
    let mut random = counting();
    let again = Document::seal(
        Format::Yaml,
        opened,
        document.metadata.clone(),
        &keys.data,
        ("2026-11-22T00:00:00Z", &mut random),
    )
    .unwrap();
    let at = |document: &Document, key| find(&document.items, &[key]).cloned();
    assert_eq!(at(&again, "a"), at(&document, "a"));
    assert_ne!(at(&again, "b"), at(&document, "b"));
}

#[test]
fn a_recipient_who_stays_keeps_his_copy_of_the_key() {
    let (keys, other) = (keys(), keys());
    let mut metadata = Metadata::new(Rule::default(), false);
    metadata.set_recipients(std::slice::from_ref(&keys.recipient), &keys.data, false).unwrap();
    let before = metadata.age.clone();
    let both = [keys.recipient.clone(), other.recipient.clone()];
    metadata.set_recipients(&both, &keys.data, false).unwrap();
    assert_eq!(metadata.age[0], before[0]);
    assert_eq!(metadata.data_key(&other.identities).unwrap(), keys.data);
    metadata.set_recipients(&both[1..], &keys.data, true).unwrap();
    let refused = metadata.data_key(&keys.identities).unwrap_err();
    assert!(refused.to_string().contains(other.recipient.as_str()), "{refused}");
    assert_eq!(metadata.set_recipients(&[], &keys.data, true), Err(SopsError::NoRecipients));
}

#[test]
fn seconds_become_dates() {
    assert_eq!(from_unix_seconds(0), "1970-01-01T00:00:00Z");
    assert_eq!(from_unix_seconds(951_827_696), "2000-02-29T12:34:56Z");
    assert_eq!(from_unix_seconds(1_795_262_399), "2026-11-21T11:59:59Z");
}

#[test]
fn paths_lead_to_values() {
    let items = Format::Yaml.parse_plain(b"a:\n  - x\n  # note\n  - b: 1\nc: 2\n").unwrap();
    assert_eq!(find(&items, &["a", "1", "b"]), Some(&Node::Int(1)));
    assert_eq!(find(&items, &["a", "2"]), None);
    assert_eq!(leaf_paths(&items), ["a", "c"]);
    let mut items = items;
    assert!(set(&mut items, &["c", "d"], Node::Null).is_err());
    set(&mut items, &["d", "e"], Node::text("new")).unwrap();
    assert!(remove(&mut items, &["d", "e"]));
    assert!(!remove(&mut items, &["d", "e"]));
    assert_eq!(leaf_paths(&items), ["a", "c"]);
}
