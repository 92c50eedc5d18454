//! Which values a rule has encrypted, and `.sops.yaml`.

use super::*;

const PLAIN: &str = "\
a: one
b_unencrypted: two
c:
    # secret
    d: three
    e: four
f_secret:
    g: five
";

/// Paths of the values that are encrypted under a rule.
#[track_caller]
fn check(key: &str, value: &str, encrypted: &[&str]) {
    let keys = keys();
    let rule = Rule::parse(key, value, "").unwrap();
    let document = sealed(Format::Yaml, PLAIN, rule, &keys);
    let text = text_of(&document);
    let paths: Vec<String> = leaf_paths(&document.items)
        .into_iter()
        .filter(|path| {
            let path: Vec<&str> = path.split('/').collect();
            let value = find(&document.items, &path).and_then(Node::as_text);
            value.is_some_and(|value| value.starts_with("ENC["))
        })
        .collect();
    assert_eq!(paths, encrypted, "{text}");
    let opened = open(Format::Yaml, &text, &keys).unwrap();
    assert_eq!(opened.items, Format::Yaml.parse_plain(PLAIN.as_bytes()).unwrap());
}

#[test]
fn each_rule_encrypts_what_it_says() {
    check("unencrypted_suffix", "_unencrypted", &["a", "c/d", "c/e", "f_secret/g"]);
    check("encrypted_suffix", "_secret", &["f_secret/g"]);
    check("encrypted_regex", "^(a|d)$", &["a", "c/d"]);
    check("unencrypted_regex", "^c", &["a", "b_unencrypted", "f_secret/g"]);
    check("encrypted_comment_regex", "secret", &["c/d"]);
    check("unencrypted_comment_regex", "^ secret", &["a", "b_unencrypted", "c/e", "f_secret/g"]);
}

#[test]
fn a_rule_for_plain_comments_must_not_match_encrypted_ones() {
    let keys = keys();
    let items = Format::Yaml.parse_plain(b"# x\na: 1\n").unwrap();
    let rule = Rule::parse("unencrypted_comment_regex", "ENC", "").unwrap();
    let opened = Opened { items, nonces: Nonces::default() };
    let mut random = counting();
    let metadata = Metadata::new(rule, false);
    let sealed = Document::seal(Format::Yaml, opened, metadata, &keys.data, (NOW, &mut random));
    assert!(matches!(sealed, Err(SopsError::Rule { .. })), "{sealed:?}");
}

#[test]
fn a_hostile_regular_expression_is_refused() {
    for text in ["(", "a{1000}{1000}{1000}"] {
        let refused = Rule::parse("encrypted_regex", text, "sops.").unwrap_err();
        assert!(refused.to_string().starts_with("sops.encrypted_regex: "), "{refused}");
    }
}

#[test]
fn creation_rules_are_honoured_in_order() {
    let (one, two) = (keys().recipient, keys().recipient);
    let text = format!(
        "creation_rules:\n  - path_regex: ^secrets.sops/a\\.yaml$\n    age: {},{}\n    encrypted_regex: ^x\n    mac_only_encrypted: true\n  # others\n  - key_groups:\n      - age:\n          - {}\n",
        one.as_str(),
        two.as_str(),
        two.as_str()
    );
    let rules = CreationRules::parse(text.as_bytes()).unwrap();
    let rule = rules.for_path("secrets.sops/a.yaml").unwrap();
    assert_eq!(rule.recipients, [one, two.clone()]);
    assert_eq!(rule.rule.written(), ("encrypted_regex", "^x"));
    assert!(rule.mac_only_encrypted);
    assert_eq!(rules.for_path("b.yaml").unwrap().recipients, [two]);
}

#[test]
fn creation_rules_that_cannot_be_followed_are_refused() {
    let says = |text: &str, expected: &str| {
        let refused = CreationRules::parse(text.as_bytes()).unwrap_err().to_string();
        assert!(refused.contains(expected), "{refused}");
    };
    says("creation_rules:\n  - pgp: ABCD\n", "creation_rules[0].pgp: nexus-host encrypts for age");
    says("creation_rules:\n  - path_regex: (\n", "creation_rules[0].path_regex");
    says("creation_rules:\n  - key_groups: [{}, {}]\n", "2 key groups");
    says("creation_rules:\n  - age: nobody\n", "`nobody` is not a recipient");
    says("creation_rules:\n  - encrypted_regex: a\n    encrypted_suffix: b\n", "more than one");
}
