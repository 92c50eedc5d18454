//! Tests of declarations, kinds and templates.

use std::collections::BTreeMap;

use super::*;

#[test]
fn names_lead_nowhere_else() {
    for good in ["a", "app/token", "a_b/c-d/0"] {
        assert!(is_secret_name(good), "{good}");
    }
    let long = "a".repeat(201);
    for bad in [
        "",
        "/a",
        "a/",
        "a//b",
        "..",
        "a/../b",
        ".a",
        "a.b",
        "a b",
        "sops/x",
        "templates/x",
        "-a",
        "ä",
        &long,
    ] {
        assert!(!is_secret_name(bad), "{bad}");
    }
}

#[test]
fn kinds_are_read_back_as_they_are_written() {
    for text in [
        "hex:32",
        "b64:16",
        "alnum:26",
        "plain:a:b",
        "plain:",
        "empty",
        "ssh-ed25519",
        "wireguard",
        "age",
        "htpasswd:bob:app/password",
        "bcrypt:app/password",
        "argon2:x",
    ] {
        assert_eq!(text.parse::<Kind>().unwrap().to_string(), text);
    }
    for (text, reason) in [
        ("hex", "expected `hex:N` with N from 32 to 4096"),
        ("hex:8", "expected `hex:N` with N from 32 to 4096"),
        ("b64:99999", "from 16 to 4096"),
        ("empty:1", "takes nothing"),
        ("bcrypt:../x", "the name of another secret"),
        ("htpasswd:x", "expected `htpasswd:USER:SECRET`"),
        ("uuid", "expected hex:N"),
    ] {
        let error = text.parse::<Kind>().unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
    }
}

#[test]
fn templates_write_secrets_so_that_they_mean_themselves() {
    let value = "a\"b\\c$d`e\nf&g ü";
    let secrets = BTreeMap::from([("x/y".to_owned(), value.into())]);
    let render = |text: &str| render_template(text, &secrets).unwrap().text().unwrap().to_owned();
    assert_eq!(render("<{secret:x/y}>{ {secret"), format!("<{value}>{{ {{secret"));
    assert_eq!(render("A={secret:x/y|env}\n"), "A=\"a\\\"b\\\\c\\$d\\`e\nf&g ü\"\n");
    assert_eq!(render("{secret:x/y|json}"), serde_json::to_string(value).unwrap());
    assert_eq!(render("{secret:x/y|url}"), "a%22b%5Cc%24d%60e%0Af%26g%20%C3%BC");
}

#[test]
fn templates_that_cannot_be_rendered_are_refused() {
    let secrets = BTreeMap::from([("bytes".to_owned(), crate::sops::SecretBytes::new(vec![255]))]);
    let error = |text: &str| render_template(text, &secrets).unwrap_err().to_string();
    assert!(error("\n{secret:").contains("line 2"));
    assert!(error("{secret:../x}").contains("not followed by a name"));
    assert!(error("{secret:bytes|upper}").contains("`upper` in line 1 is not a filter"));
    assert_eq!(error("{secret:none}"), "the secret `none` is not there");
    assert!(error("{secret:bytes|env}").contains("not text"));
}

fn secret() -> DeclaredSecret {
    DeclaredSecret {
        owner: "root".to_owned(),
        group: "root".to_owned(),
        mode: 0o400,
        units: std::collections::BTreeSet::new(),
        reload: false,
        generate: None,
        never_rotate: false,
    }
}

#[test]
fn declarations_that_lead_elsewhere_are_refused() {
    let declare = |names: &[&str]| {
        let secrets = names.iter().map(|name| ((*name).to_owned(), secret())).collect();
        Declarations { format: FORMAT, secrets, ..Declarations::default() }
    };
    let good = declare(&["a/b", "a/c", "d"]);
    assert_eq!(Declarations::parse(good.to_text().as_bytes()).unwrap(), good);
    let refused = |declarations: &Declarations| {
        Declarations::parse(declarations.to_text().as_bytes()).unwrap_err().to_string()
    };
    assert_eq!(refused(&declare(&["../x"])), "`../x` cannot be the name of a secret or template");
    assert_eq!(refused(&declare(&["a", "a-b", "a/b"])), "`a` and `a/b` cannot both be files");
    let mut hash = declare(&["a"]);
    hash.password_hashes.insert("bob".to_owned(), "b".to_owned());
    assert_eq!(refused(&hash), "the user `bob` names the secret `b`, which is not declared");
    let newer = Declarations { format: 2, ..declare(&["a"]) };
    assert!(refused(&newer).contains("format 2"));
}
