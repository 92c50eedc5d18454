//! Text → tree → text for each format, and what plain scalars mean.

use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::*;

#[track_caller]
fn check_yaml(plain: &str, expected: Expect) {
    let items = Format::Yaml.parse_plain(plain.as_bytes()).unwrap();
    let text = String::from_utf8(Format::Yaml.write_plain(&items).unwrap()).unwrap();
    expected.assert_eq(&text);
    let again = Format::Yaml.parse_plain(text.as_bytes()).unwrap();
    assert_eq!(again, items, "the text reads back differently");
}

#[test]
fn comments_keep_their_places() {
    check_yaml(
        "# on top\na: 1 # beside\nb:\n  # inside\n  c: x\n  # below c\n# before d\nd:\n- # odd\n  - e\n  # last of d\n# end\n",
        expect![[r#"
            # on top
            a: 1 # beside
            b:
                # inside
                c: x
                # below c

            # before d
            d:
                # odd
                - - e
                  # last of d

            # end
        "#]],
    );
}

#[test]
fn texts_are_quoted_when_they_would_mean_something_else() {
    check_yaml(
        "a: \"true\"\nb: '12'\nc: \"2026-01-02\"\nd: \"a: b\"\ne: \"x #y\"\nf: \" lead\"\ng: \"yes\"\nh: \"\"\ni: \"a\\u0007\\u2028b\"\n\"1\": one\n\"- k\": v\nj: \"~\"\nk: '!x'\nl: a[b]{c},d\n",
        expect![[r#"
            a: "true"
            b: "12"
            c: "2026-01-02"
            d: "a: b"
            e: "x #y"
            f: " lead"
            g: "yes"
            h: ""
            i: "a\u0007\u2028b"
            "1": one
            "- k": v
            j: "~"
            k: "!x"
            l: a[b]{c},d
        "#]],
    );
}

#[test]
fn texts_of_several_lines_are_blocks() {
    check_yaml(
        "a: \"one\\ntwo\\n\"\nb: \"one\\n\\ntwo\"\nc: \"one\\n\\n\"\nd: \" lead\\nx\"\ne:\n  - \"p\\nq\\n\"\nf: \"\\n\"\n",
        expect![[r#"
            a: |
                one
                two
            b: |-
                one

                two
            c: |+
                one

            d: " lead\nx"
            e:
                - |
                    p
                    q
            f: "\n"
        "#]],
    );
}

#[test]
fn nested_and_empty_things() {
    check_yaml(
        "a: {}\nb: []\nc: [[1, [2]], {x: 1, y: {z: 2}}]\nd:\n",
        expect![[r#"
            a: {}
            b: []
            c:
                - - 1
                  - - 2
                - x: 1
                  "y":
                      z: 2
            d: null
        "#]],
    );
    check_yaml(
        "# only this\n",
        expect![[r#"
        # only this
        {}
    "#]],
    );
}

#[test]
fn scalars_mean_what_go_yaml_says() {
    let meaning = |text: &str| {
        let items = yaml::parse(format!("k: {text}\n").as_bytes()).unwrap();
        find(&items, &["k"]).cloned().unwrap()
    };
    for (text, number) in
        [("010", 8), ("0o17", 15), ("0x_1F", 31), ("-0b11", -3), ("1_000", 1000), ("+5", 5)]
    {
        assert_eq!(meaning(text), Node::Int(number), "{text}");
    }
    for (text, number) in [
        ("1.", 1.0),
        (".5", 0.5),
        ("1e3", 1000.0),
        ("92233720368547758080", 9.223_372_036_854_776e19),
    ] {
        assert_eq!(meaning(text), Node::Float(number), "{text}");
    }
    for (text, time) in [
        ("2026-1-2", "2026-01-02T00:00:00Z"),
        ("2026-01-02 3:4:5.60", "2026-01-02T03:04:05.6Z"),
        ("2026-01-02T03:04:05+01:30", "2026-01-02T03:04:05+01:30"),
    ] {
        assert_eq!(meaning(text), Node::Time(time.to_owned()), "{text}");
    }
    for text in ["yes", "off", "0x", "1.2.3", "2026-02-30", "089x", "+", "1e", ".", "_1"] {
        assert_eq!(meaning(text), Node::text(text), "{text}");
    }
}

#[test]
fn json_keeps_order_and_types() {
    let plain = "{\n\t\"b\": [\n\t\t1,\n\t\t2.5,\n\t\ttrue,\n\t\tnull\n\t],\n\t\"a\": {\n\t\t\"x\": \"y\\n\"\n\t}\n}\n";
    let items = Format::Json.parse_plain(plain.as_bytes()).unwrap();
    assert_eq!(Format::Json.write_plain(&items).unwrap(), plain.as_bytes());
    let twice = Format::Json.parse_plain(b"{\"a\":1,\"a\":2}").unwrap_err();
    assert!(twice.to_string().contains("key `a` is there twice"), "{twice}");
}

#[test]
fn dotenv_keeps_lines() {
    let plain = "# note\nA=one\nB=two\\nlines\nC=\n";
    let items = Format::Dotenv.parse_plain(plain.as_bytes()).unwrap();
    assert_eq!(find(&items, &["B"]), Some(&Node::text("two\nlines")));
    assert_eq!(Format::Dotenv.write_plain(&items).unwrap(), plain.as_bytes());
}

#[test]
fn binary_is_any_bytes() {
    let plain = [0_u8, 255, 10, 13, 128];
    let keys = keys();
    let items = Format::Binary.parse_plain(&plain).unwrap();
    let mut metadata = Metadata::new(Rule::default(), false);
    metadata.set_recipients(std::slice::from_ref(&keys.recipient), &keys.data, true).unwrap();
    let opened = Opened { items, nonces: Nonces::default() };
    let mut random = counting();
    let sealed =
        Document::seal(Format::Binary, opened, metadata, &keys.data, (NOW, &mut random)).unwrap();
    let opened = open(Format::Binary, &text_of(&sealed), &keys).unwrap();
    assert_eq!(Format::Binary.write_plain(&opened.items).unwrap(), plain);
}

#[test]
fn names_of_files_decide() {
    assert_eq!(Format::of_path("secrets.sops/a.yaml"), Ok(Format::Yaml));
    assert_eq!(Format::of_path("x/b.sops.json"), Ok(Format::Json));
    assert_eq!(Format::of_path(".env"), Ok(Format::Dotenv));
    assert_eq!(Format::of_path("key.pem"), Ok(Format::Binary));
    let refused = Format::of_path("a.ini").unwrap_err();
    assert!(refused.to_string().contains("`ini` is not a format"), "{refused}");
}

/// Trees that all formats of maps can hold.
fn trees() -> impl Strategy<Value = Vec<Item>> {
    let text = "[ -~\n\téß\u{2028}#:'\"\\\\]{0,20}";
    let leaf = prop_oneof![
        Just(Node::Null),
        any::<bool>().prop_map(Node::Bool),
        any::<i64>().prop_map(Node::Int),
        (-1e12_f64..1e12).prop_map(Node::Float),
        text.prop_map(|text| Node::text(&text)),
    ];
    let node = leaf.prop_recursive(4, 40, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Node::List),
            prop::collection::btree_map("[ -~]{0,8}", inner, 0..5).prop_map(map),
        ]
    });
    prop::collection::btree_map("[a-z:# ]{1,8}", node, 1..6).prop_map(|entries| {
        match map(entries) {
            Node::Map(items) => items,
            _ => Vec::new(),
        }
    })
}

fn map(entries: std::collections::BTreeMap<String, Node>) -> Node {
    Node::Map(entries.into_iter().map(|(key, value)| Item::Entry { key, value }).collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn trees_survive_yaml_and_json(items in trees()) {
        for format in [Format::Yaml, Format::Json] {
            let text = format.write_plain(&items).unwrap();
            let again = format.parse_plain(&text);
            prop_assert_eq!(again.as_ref(), Ok(&items), "{}", String::from_utf8_lossy(&text));
        }
    }

    #[test]
    fn hostile_bytes_are_refused_not_feared(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        for format in [Format::Yaml, Format::Json, Format::Dotenv, Format::Binary] {
            let _refused = Document::parse(format, &bytes);
            let _plain = format.parse_plain(&bytes);
        }
    }
}
