//! Agreement with the real `sops`: what we write it decrypts, changes and verifies, and the other way.

pub(crate) mod program;

use std::path::{Path, PathBuf};

use nexus_host::sops::{
    CreationRules, DataKey, Document, Format, Identities, Item, Metadata, Node, Nonces, Opened,
    Recipient, Rule, SopsError, find, generate_identity, set,
};

use program::Sops;

/// Everything that YAML documents may have.
const RICH: &str = "\
# on top
text: one
empty: \"\"
number: 42
octal: 010
float: 1.50
big: 1e21
huge: 92233720368547758080000
yes: true
no: False
nothing: null
when: 2026-01-02
moment: 2026-01-02T03:04:05.60+02:00
word: yes
version: \"1.20\"
plain_unencrypted: in clear # beside
nested:
    # inside
    deep:
        deeper: x
        # below deeper
    list:
        - a
        # in the list
        - b: 1
          c: [true, 2.5]
        - - p
          - q
pem: |
    -----BEGIN X-----
    abc
    -----END X-----
odd: \"tab\\tquote\\\" back\\\\slash é \\u2028 : # '\"
keep: |+
    lines

# at the end
";
const FLAT: &str = "# note\nA=one\nB=two\\nlines\nC=\nD_unencrypted=clear = x\n";
const JSON: &str = "{\n\t\"b\": [\n\t\t1,\n\t\t2.5,\n\t\t1e+21,\n\t\ttrue,\n\t\tnull,\n\t\t\"\"\n\t],\n\t\"a\": {\n\t\t\"x_unencrypted\": \"y\\n<&>é\"\n\t},\n\t\"n\": 9007199254740993\n}\n";

/// One line of the table: a document and how it is encrypted.
struct Case {
    name: &'static str,
    file: &'static str,
    plain: &'static [u8],
    /// Rule by its key, and whether only encrypted values count.
    rule: Option<(&'static str, &'static str)>,
    only_encrypted: bool,
}

const CASES: &[Case] = &[
    case("yaml: all types, comments, nesting", "a.yaml", RICH.as_bytes(), None, false),
    case("yaml: mac_only_encrypted", "a.yaml", RICH.as_bytes(), None, true),
    case(
        "yaml: unencrypted_suffix",
        "a.yaml",
        RICH.as_bytes(),
        Some(("unencrypted_suffix", "ed")),
        false,
    ),
    case(
        "yaml: encrypted_suffix",
        "a.yaml",
        RICH.as_bytes(),
        Some(("encrypted_suffix", "t")),
        false,
    ),
    case(
        "yaml: encrypted_regex, mac only",
        "a.yaml",
        RICH.as_bytes(),
        Some(("encrypted_regex", "^(nested|pem|when)$")),
        true,
    ),
    case(
        "yaml: unencrypted_regex",
        "a.yaml",
        RICH.as_bytes(),
        Some(("unencrypted_regex", "^(nested|b.*|when|moment)$")),
        false,
    ),
    case(
        "yaml: encrypted_comment_regex",
        "a.yaml",
        RICH.as_bytes(),
        Some(("encrypted_comment_regex", "(inside|beside)")),
        false,
    ),
    case(
        "yaml: unencrypted_comment_regex",
        "a.yaml",
        RICH.as_bytes(),
        Some(("unencrypted_comment_regex", "^ (inside|beside)$")),
        false,
    ),
    case("json: order, numbers, null, empty", "a.json", JSON.as_bytes(), None, false),
    case(
        "json: encrypted_regex",
        "a.json",
        JSON.as_bytes(),
        Some(("encrypted_regex", "^n$")),
        false,
    ),
    case("dotenv: comments, line breaks", "a.env", FLAT.as_bytes(), None, false),
    case(
        "dotenv: encrypted_suffix",
        "a.env",
        FLAT.as_bytes(),
        Some(("encrypted_suffix", "B")),
        true,
    ),
    case("binary: any bytes", "a.bin", &[0, 255, 10, 13, 128, 0], None, false),
];

const fn case(
    name: &'static str,
    file: &'static str,
    plain: &'static [u8],
    rule: Option<(&'static str, &'static str)>,
    only_encrypted: bool,
) -> Case {
    Case { name, file, plain, rule, only_encrypted }
}

/// A folder with an identity and the real program.
struct Bench {
    sops: Sops,
    folder: tempfile::TempDir,
    identities: Identities,
    recipient: Recipient,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (identity, recipient) = generate_identity();
        let mut identities = Identities::default();
        identities.read(&identity, "keys.txt", &|_| None).unwrap();
        let text = format!("# for a test\n{}\n", identity.text().unwrap());
        write(&folder.path().join("keys.txt"), text.as_bytes());
        Self { sops: Sops::new(folder.path()), folder, identities, recipient }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Encrypts with our own code and writes the file.
    fn we_write(&self, case: &Case) -> PathBuf {
        let format = Format::of_path(case.file).unwrap();
        let items = format.parse_plain(case.plain).unwrap();
        let rule = case.rule.map(|(key, value)| Rule::parse(key, value, "").unwrap());
        let mut random = random();
        let key = DataKey::generate(&mut random);
        let mut metadata = Metadata::new(rule.unwrap_or_default(), case.only_encrypted);
        metadata.set_recipients(std::slice::from_ref(&self.recipient), &key, true).unwrap();
        let opened = Opened { items, nonces: Nonces::default() };
        let now = "2026-11-21T12:00:00Z";
        let sealed = Document::seal(format, opened, metadata, &key, (now, &mut random)).unwrap();
        let path = self.path(&format!("ours-{}", case.file));
        write(&path, &sealed.to_bytes().unwrap());
        path
    }

    /// Has the real program encrypt.
    fn sops_writes(&self, case: &Case) -> PathBuf {
        let path = self.path(&format!("theirs-{}", case.file));
        write(&path, case.plain);
        let rule = case.rule.map(|(key, value)| format!("    {key}: '{value}'\n"));
        let config = format!(
            "creation_rules:\n  - path_regex: ^theirs\n    age: {}\n    mac_only_encrypted: {}\n{}",
            self.recipient.as_str(),
            case.only_encrypted,
            rule.unwrap_or_default()
        );
        write(&self.path(".sops.yaml"), config.as_bytes());
        let rules = CreationRules::parse(config.as_bytes()).unwrap();
        let ours = rules.for_path(&format!("theirs-{}", case.file)).unwrap();
        assert_eq!(ours.recipients, std::slice::from_ref(&self.recipient));
        self.sops.run(&["encrypt", "--in-place", path.to_str().unwrap()]);
        path
    }

    fn we_read(&self, path: &Path) -> Result<(Document, DataKey, Opened), SopsError> {
        let format = Format::of_path(path.to_str().unwrap()).unwrap();
        let document = Document::parse(format, &std::fs::read(path).unwrap())?;
        let key = document.metadata.data_key(&self.identities)?;
        let opened = document.open(&key)?;
        Ok((document, key, opened))
    }
}

fn write(path: &Path, bytes: &[u8]) {
    nexus_host::exec::files::write_atomic(path, bytes).unwrap();
}

fn random() -> impl FnMut(&mut [u8]) {
    |buffer: &mut [u8]| rand::RngCore::fill_bytes(&mut rand::thread_rng(), buffer)
}

/// Entries without comments: formats and layouts place them differently.
fn without_comments(items: &[Item]) -> Vec<Item> {
    let kept = items.iter().filter_map(|item| match item {
        Item::Entry { key, value } => Some(Item::entry(key, node_without_comments(value))),
        Item::Comment(_) => None,
    });
    kept.collect()
}

fn node_without_comments(node: &Node) -> Node {
    match node {
        Node::Map(items) => Node::Map(without_comments(items)),
        Node::List(nodes) => {
            let real = nodes.iter().filter(|node| !matches!(node, Node::Comment(_)));
            Node::List(real.map(node_without_comments).collect())
        }
        // The real program writes `1e21` for a float and `5` for 5.0: equal bytes, another type.
        Node::Float(number) => Node::text(&format!("{number}")),
        Node::Int(number) => Node::text(&number.to_string()),
        other => other.clone(),
    }
}

fn comments(text: &[u8]) -> usize {
    String::from_utf8_lossy(text).matches('#').count()
}

#[test]
fn what_we_write_the_real_sops_decrypts_and_changes() {
    let bench = Bench::new();
    for case in CASES {
        let path = bench.we_write(case);
        let format = Format::of_path(case.file).unwrap();
        let expected = format.parse_plain(case.plain).unwrap();
        let name = path.to_str().unwrap();
        let plain = bench.sops.run(&["decrypt", name]);
        let read = format.parse_plain(&plain).unwrap();
        assert_eq!(
            without_comments(&read),
            without_comments(&expected),
            "{}:\n{}",
            case.name,
            String::from_utf8_lossy(&plain)
        );
        if format == Format::Binary {
            continue;
        }
        let shown = String::from_utf8_lossy(&plain);
        assert!(!shown.contains("ENC["), "{}: sops left a comment:\n{shown}", case.name);
        if format == Format::Yaml {
            assert_eq!(comments(&plain), comments(case.plain), "{}:\n{shown}", case.name);
        }
        bench.sops.run(&["set", name, "[\"added\"]", "\"by sops\""]);
        let (_, _, opened) = bench.we_read(&path).unwrap();
        assert_eq!(find(&opened.items, &["added"]), Some(&Node::text("by sops")), "{}", case.name);
    }
}

#[test]
fn what_the_real_sops_writes_we_read_and_change() {
    let bench = Bench::new();
    for case in CASES {
        let path = bench.sops_writes(case);
        let (document, key, mut opened) =
            bench.we_read(&path).unwrap_or_else(|error| panic!("{}: {error}", case.name));
        let expected = document.format.parse_plain(case.plain).unwrap();
        assert_eq!(without_comments(&opened.items), without_comments(&expected), "{}", case.name);
        let default = ("unencrypted_suffix", "_unencrypted");
        assert_eq!(document.metadata.rule.written(), case.rule.unwrap_or(default), "{}", case.name);
        assert_eq!(document.metadata.mac_only_encrypted, case.only_encrypted, "{}", case.name);
        let plain = document.format.write_plain(&opened.items).unwrap();
        if document.format == Format::Binary {
            continue;
        }
        assert!(!String::from_utf8_lossy(&plain).contains("ENC["), "{}: a comment", case.name);
        set(&mut opened.items, &["added"], Node::text("by us")).unwrap();
        let mut random = random();
        let now = ("2026-11-21T12:00:00Z", &mut random as _);
        let sealed =
            Document::seal(document.format, opened, document.metadata.clone(), &key, now).unwrap();
        write(&path, &sealed.to_bytes().unwrap());
        let plain = bench.sops.run(&["decrypt", path.to_str().unwrap()]);
        let read = document.format.parse_plain(&plain).unwrap();
        assert_eq!(find(&read, &["added"]), Some(&Node::text("by us")), "{}", case.name);
    }
}

#[test]
fn both_refuse_what_was_tampered_with() {
    let bench = Bench::new();
    let path = bench.we_write(&CASES[0]);
    let text = std::fs::read_to_string(&path).unwrap();
    write(&path, text.replace("in clear", "changed").as_bytes());
    let refused = bench.we_read(&path).unwrap_err().to_string();
    assert!(refused.contains("plain_unencrypted"), "{refused}");
    let theirs = bench.sops.fails(&["decrypt", path.to_str().unwrap()]);
    assert!(theirs.contains("MAC mismatch"), "{theirs}");
}

#[test]
fn key_groups_of_the_real_sops_are_refused_with_the_reason() {
    let bench = Bench::new();
    let (one, two) = (generate_identity().1, generate_identity().1);
    let config = format!(
        "creation_rules:\n  - shamir_threshold: 2\n    key_groups:\n      - age: [\"{}\"]\n      - age: [\"{}\"]\n",
        one.as_str(),
        two.as_str()
    );
    write(&bench.path(".sops.yaml"), config.as_bytes());
    let path = bench.path("groups.yaml");
    write(&path, b"a: 1\n");
    bench.sops.run(&["encrypt", "--in-place", path.to_str().unwrap()]);
    let refused = bench.we_read(&path).unwrap_err();
    assert_eq!(refused, SopsError::KeyGroups { groups: 2 });
}
