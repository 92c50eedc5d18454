//! Damaged, swapped and hostile documents: each refusal names the key.

use super::*;

const PLAIN: &str =
    "db:\n    password: hunter2\n    user: bob\nclear_unencrypted: x\nlist:\n    - a\n    - b\n";

/// The message after `change` was done to an encrypted document.
#[track_caller]
fn refusal(change: impl Fn(&str) -> String) -> String {
    let keys = keys();
    let text = text_of(&sealed(Format::Yaml, PLAIN, Rule::default(), &keys));
    let changed = change(&text);
    assert_ne!(changed, text, "nothing was changed");
    let message = open(Format::Yaml, &changed, &keys).unwrap_err().to_string();
    assert!(!message.contains("hunter2"), "{message}");
    message
}

fn value_of<'t>(text: &'t str, key: &str) -> &'t str {
    let start = text.find(&format!("{key}: ")).unwrap() + key.len() + 2;
    text[start..].lines().next().unwrap()
}

#[test]
fn a_changed_value_is_named() {
    for part in ["data:", "iv:", "tag:"] {
        let message = refusal(|text| {
            let value = value_of(text, "password");
            let at = value.find(part).unwrap() + part.len();
            let other = if value[at..].starts_with('A') { "B" } else { "A" };
            let changed = format!("{}{other}{}", &value[..at], &value[at + 1..]);
            text.replace(value, &changed)
        });
        assert_eq!(
            message,
            "the value of `db/password` was changed, or encrypted with another data key"
        );
    }
}

#[test]
fn a_truncated_value_is_named() {
    for cut in [1, 10, 30, 80] {
        let message = refusal(|text| {
            let value = value_of(text, "password");
            text.replace(value, &value[..value.len() - cut])
        });
        assert!(
            message.starts_with("the value of `db/password` is cut off or damaged"),
            "{message}"
        );
    }
}

#[test]
fn swapped_values_are_named() {
    let message = refusal(|text| {
        let (one, two) = (value_of(text, "password"), value_of(text, "user"));
        text.replace(one, "@").replace(two, one).replace('@', two)
    });
    assert_eq!(
        message,
        "the value of `db/password` is that of `db/user`: the two were swapped or copied"
    );
}

#[test]
fn a_value_put_in_clear_is_named() {
    let message = refusal(|text| text.replace(value_of(text, "password"), "mine"));
    assert!(message.starts_with("the value of `db/password` stands in clear"), "{message}");
}

#[test]
fn a_document_that_was_cut_off_is_refused_unless_every_value_is_there() {
    let keys = keys();
    let text = text_of(&sealed(Format::Yaml, PLAIN, Rule::default(), &keys));
    let whole = open(Format::Yaml, &text, &keys).unwrap();
    let code = text.find("    mac: ").unwrap();
    for cut in 0..text.len() {
        match open(Format::Yaml, &text[..cut], &keys) {
            Ok(opened) => {
                assert!(cut > code && opened.items == whole.items, "accepted {cut} bytes");
            }
            Err(error) => assert!(!error.to_string().contains("hunter2"), "{error}"),
        }
    }
}

#[test]
fn a_code_for_encrypted_values_alone_still_keeps_those_together() {
    let keys = keys();
    let items = Format::Yaml.parse_plain(PLAIN.as_bytes()).unwrap();
    let mut metadata = Metadata::new(Rule::default(), true);
    metadata.set_recipients(std::slice::from_ref(&keys.recipient), &keys.data, true).unwrap();
    let opened = Opened { items, nonces: Nonces::default() };
    let mut random = counting();
    let now = (NOW, &mut random as _);
    let text = text_of(&Document::seal(Format::Yaml, opened, metadata, &keys.data, now).unwrap());
    assert!(text.contains("mac_only_encrypted: true"), "{text}");
    let in_clear = text.replace("clear_unencrypted: x", "clear_unencrypted: y");
    open(Format::Yaml, &in_clear, &keys).unwrap();
    let removed: String =
        text.lines().filter(|line| !line.contains("user:")).map(|l| format!("{l}\n")).collect();
    let message = open(Format::Yaml, &removed, &keys).unwrap_err().to_string();
    assert!(message.starts_with("`sops.mac` does not match"), "{message}");
    // Without the word the code would have to cover the value in clear as well.
    let message = open(Format::Yaml, &text.replace("    mac_only_encrypted: true\n", ""), &keys);
    assert!(message.unwrap_err().to_string().starts_with("`sops.mac` does not match"));
}

#[test]
fn a_type_that_does_not_fit_is_named() {
    let message = refusal(|text| {
        let value = value_of(text, "password");
        text.replace(value, &value.replace("type:str", "type:int"))
    });
    assert_eq!(message, "the value of `db/password` does not decrypt to its type `int`");
}

#[test]
fn what_no_value_shows_the_code_shows() {
    let swapped_in_list = |text: &str| {
        let values: Vec<&str> =
            text.lines().filter_map(|line| line.trim().strip_prefix("- ENC")).collect();
        text.replace(values[0], "@").replace(values[1], values[0]).replace('@', values[1])
    };
    for message in [
        refusal(|text| text.replace("clear_unencrypted: x", "clear_unencrypted: y")),
        refusal(|text| {
            text.lines().filter(|line| !line.contains("user:")).map(|l| format!("{l}\n")).collect()
        }),
        refusal(|text| text.replace(value_of(text, "user"), "\"\"")),
        refusal(swapped_in_list),
    ] {
        assert!(message.starts_with("`sops.mac` does not match"), "{message}");
        assert!(message.ends_with(": clear_unencrypted"), "{message}");
    }
}

#[test]
fn the_code_is_bound_to_the_time_of_the_change() {
    let message = refusal(|text| text.replace("2026-11-21T12", "2026-11-21T13"));
    assert!(message.starts_with("`sops.mac` was changed"), "{message}");
}

#[test]
fn the_wrong_identity_is_told_whose_the_document_is() {
    let (keys, other) = (keys(), keys());
    let text = text_of(&sealed(Format::Yaml, PLAIN, Rule::default(), &keys));
    let message = open(Format::Yaml, &text, &other).unwrap_err().to_string();
    let expected = format!(
        "none of the 1 identities opens the data key; it is for {}",
        keys.recipient.as_str()
    );
    assert_eq!(message, expected);
}

#[test]
fn another_documents_data_key_is_refused_at_the_first_value() {
    let keys = keys();
    let document = sealed(Format::Yaml, PLAIN, Rule::default(), &keys);
    let refused = document.open(&DataKey::new([8; 32])).unwrap_err().to_string();
    assert!(refused.starts_with("the value of `db/password` was changed"), "{refused}");
}

#[test]
fn metadata_that_cannot_be_used_is_refused_with_the_reason() {
    let says = |text: &str, expected: &str| {
        let refused = Document::parse(Format::Yaml, text.as_bytes()).unwrap_err().to_string();
        assert!(refused.contains(expected), "{refused}");
    };
    says("a: 1\n", "the document is not encrypted");
    says("a: 1\nsops: x\n", "`sops` is not a map");
    says("a: 1\nsops: {}\n", "`sops.lastmodified` is missing");
    says(
        "a: 1\nsops: {lastmodified: x, mac: x, key_groups: [{age: []}, {age: []}], shamir_threshold: 2}\n",
        "split among 2 key groups (Shamir)",
    );
    says(
        "a: 1\nsops: {lastmodified: x, mac: x, encrypted_regex: a, unencrypted_regex: b}\n",
        "stands beside another rule",
    );
    says("a: 1\nsops: {lastmodified: x, mac: x, age: [{enc: x}]}\n", "without `recipient`");
}

#[test]
fn keys_of_other_services_are_kept_but_block_a_new_data_key() {
    let keys = keys();
    let text = text_of(&sealed(Format::Yaml, PLAIN, Rule::default(), &keys));
    let pgp = "    pgp:\n        - created_at: \"2026-01-01T00:00:00Z\"\n          enc: x\n          fp: ABCD\n";
    let text = text.replace("    unencrypted_suffix", &format!("{pgp}    unencrypted_suffix"));
    let mut document = Document::parse(Format::Yaml, text.as_bytes()).unwrap();
    assert_eq!(text_of(&document), text);
    let refused =
        document.metadata.set_recipients(std::slice::from_ref(&keys.recipient), &keys.data, true);
    assert_eq!(refused, Err(SopsError::OtherServices { services: "pgp".to_owned() }));
}

#[test]
fn yaml_that_sops_cannot_have_is_refused_with_its_line() {
    let says = |text: &str, expected: &str| {
        let refused = Format::Yaml.parse_plain(text.as_bytes()).unwrap_err().to_string();
        assert!(refused.contains(expected), "{text}: {refused}");
    };
    says("a: &x 1\nb: *x\n", "line 2 has an alias");
    says("a: 1\n---\nb: 2\n", "a second document");
    says("1: x\n", "line 1 has a key that is no text");
    says("? [a]\n: x\n", "a key that is no text");
    says("- a\n", "a value that is no map");
    says("a: 1\na: 2\n", "`a` is there twice");
    says("a: !!int x\n", "a tag that does not fit");
    says("a: 9223372036854775808\n", "a number beyond 64 bits");
    says("a: [\n", "is not YAML");
    says("sops: 1\n", "encrypted already");
}

#[test]
fn depth_and_size_are_limited() {
    let deep = format!("{}x{}", "{a: ".repeat(60), "}".repeat(60));
    assert!(Format::Yaml.parse_plain(format!("k: {deep}\n").as_bytes()).is_err());
    let deep = format!("{}1{}", "{\"a\":".repeat(60), "}".repeat(60));
    assert!(Format::Json.parse_plain(deep.as_bytes()).is_err());
    let wide: String = (0..=NODES_MAX).map(|n| format!("k{n}=\n")).collect();
    let refused = Format::Dotenv.parse_plain(wide.as_bytes()).unwrap_err().to_string();
    assert!(refused.contains("more than 100000 entries"), "{refused}");
}

#[test]
fn recipients_and_identities_that_cannot_be_used_are_refused_with_the_reason() {
    let recipient = |text: &str| Recipient::parse(text).unwrap_err().to_string();
    assert!(recipient("age1pq1xyz").contains("post-quantum"));
    assert!(recipient("ssh-rsa AAAA").contains("RUSTSEC-2023-0071"));
    assert!(recipient("age1yubikey1xyz").contains("plugins"));
    assert!(recipient("ssh-ed25519 nonsense").contains("expected `ssh-ed25519 AAAA…`"));
    let identity = |text: &str| {
        let read = Identities::default().read(&text.into(), "keys.txt", &|_| None);
        let message = read.unwrap_err().to_string();
        assert!(!message.contains("XYZZY"), "{message}");
        message
    };
    let wrong = identity("# comment\n\nAGE-SECRET-KEY-1XYZZY\n");
    assert_eq!(wrong, "keys.txt, line 3: expected `AGE-SECRET-KEY-1…`");
    assert!(identity("AGE-SECRET-KEY-PQ-1XYZZY").contains("post-quantum"));
    assert!(identity("AGE-PLUGIN-XYZZY").contains("plugins"));
    assert!(identity("-----BEGIN RSA PRIVATE KEY-----\nXYZZY\n").contains("expected ed25519"));
}
