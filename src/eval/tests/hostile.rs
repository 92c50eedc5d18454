//! Users' text never becomes syntax of the language that it is written into.

use super::support::*;
use super::*;

const NASTY: &[&str] = &[
    "a\nb",
    "a\"b",
    "a'b",
    "a\\",
    "a\\nb",
    "a;b",
    "a#b",
    "a{b}",
    "{env.HOME}",
    "{$HOME}",
    "$HOME",
    "${HOME}",
    "%h",
    "%%",
    "a`b",
    "-rf",
    "",
    " ",
    " a",
    "a ",
    "\u{0}",
    "\u{1b}[2J",
    "\r",
    "\t",
    "é",
    "\u{202e}",
    "]\n[Install]",
    "x\nExecStart=/bin/sh",
    "}\nfile_server {",
    "\"; flush ruleset; add rule x \"",
];

/// Reads a line of words as systemd does: quotes, escapes, `%%` and `$$`. Source: systemd.syntax(7).
fn systemd_reads(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut chars = line.chars().peekable();
    while chars.peek().is_some() {
        let mut word = String::new();
        let mut quoted = false;
        while let Some(char) = chars.next() {
            match char {
                '"' => quoted = !quoted,
                ' ' if !quoted => break,
                '\\' => match chars.next().unwrap() {
                    'n' => word.push('\n'),
                    't' => word.push('\t'),
                    other => word.push(other),
                },
                '\n' => panic!("a line break in {line:?}"),
                other => word.push(other),
            }
        }
        assert!(!quoted, "an open quote in {line:?}");
        words.push(word.replace("%%", "%"));
    }
    words
}

#[test]
fn command_lines_are_read_back_as_they_were() {
    for text in NASTY {
        match quote::systemd_exec(["/usr/bin/x", text, "end"]) {
            Ok(line) => {
                let words: Vec<_> =
                    systemd_reads(&line).iter().map(|word| word.replace("$$", "$")).collect();
                assert_eq!(words, ["/usr/bin/x", text, "end"], "{line}");
            }
            Err(_) => assert!(text.chars().any(char::is_control), "{text:?}"),
        }
        if text.starts_with('/') {
            continue;
        }
        assert!(quote::systemd_exec([*text]).is_err(), "{text:?} as a program");
    }
    for program in ["/usr/bin/a b", "/bin/sh;", "/x\n", "/%h", "/$X", "!/x", "@/x"] {
        assert!(quote::systemd_exec([program]).is_err(), "{program:?}");
    }
}

#[test]
fn environment_is_read_back_as_it_was() {
    for text in NASTY {
        if let Ok(word) = quote::environment("A", text) {
            assert_eq!(systemd_reads(&word), [format!("A={text}")]);
        }
    }
}

#[test]
fn values_of_a_unit_stay_on_their_line() {
    for text in NASTY {
        if let Ok(value) = quote::systemd_value(text) {
            assert_eq!(value.replace("%%", "%"), *text);
            assert!(!value.contains(['\n', '\r', '\\']) && value.matches('%').count() % 2 == 0);
        }
    }
}

#[test]
fn caddy_and_nft_take_tokens_or_refuse() {
    for text in NASTY {
        if let Ok(token) = quote::caddy(text) {
            let inner = &token[1..token.len() - 1];
            assert_eq!(inner.replace("\\\"", "\""), *text);
            assert!(!inner.replace("\\\"", "").contains(['"', '{', '}', '\\', '\n']), "{token}");
        }
        if let Ok(token) = quote::nft(text) {
            assert_eq!(token, format!("\"{text}\""));
            assert!(!text.contains(['"', '\\', '\n']), "{token}");
        }
    }
    assert!(quote::nft(&"x".repeat(128)).is_err());
}

#[test]
fn toml_strings_are_read_back_as_they_were() {
    for text in NASTY {
        let document = format!("a = {}", quote::toml_string(text));
        let table: toml::Table = document.parse().unwrap();
        assert_eq!(table["a"].as_str(), Some(*text), "{document}");
    }
}

#[test]
fn plain_text_means_itself_everywhere() {
    for text in NASTY {
        let harmless = ["-rf", ""].contains(text);
        assert_eq!(quote::is_plain(text), harmless, "{text:?}");
    }
}

/// Every text option of every built-in module, filled with each nasty text: the file is refused, or
/// the systems differ from the harmless one in contents only, never in the shape of a file.
#[test]
fn no_option_of_a_built_in_module_lets_syntax_through() {
    let host = |text: &str| {
        let quoted = quote::toml_string(text);
        format!(
            "{LEAST}kernel = \"cloud\"\n[users.eve]\ncomment = {quoted}\nssh_keys = [\"{KEY}\"]\n\
             [proxy]\nemail = {quoted}\n[routes.\"a.example\"]\nto = \"127.0.0.1:1\"\nheaders = {{ X-A = {quoted} }}\n\
             [units.u]\nexec = [\"/x\", {quoted}]\ndescription = {quoted}\nenvironment = {{ A = {quoted} }}\n\
             [firewall]\n[network]\n[files.\"/etc/x\"]\ntext = {quoted}\n[links.\"/etc/y\"]\ntarget = {quoted}\n\
             [[checks]]\nname = \"c\"\nkind = \"command\"\nexec = [\"/x\", {quoted}]\n"
        )
    };
    let (plain, _) = evaluate(&host("plain"), &[]).unwrap();
    let files = ["etc/caddy/Caddyfile", "etc/systemd/system/u.service", "etc/nftables.conf"];
    let mut taken = 0;
    // An empty text counts as not set.
    for text in NASTY.iter().filter(|text| !text.is_empty()) {
        let Ok((system, _)) = evaluate(&host(text), &[]) else { continue };
        taken += 1;
        assert_eq!(system.files.keys().collect::<Vec<_>>(), plain.files.keys().collect::<Vec<_>>());
        for path in files {
            let (found, harmless) = (file(&system, path), file(&plain, path));
            let first_word = |text: &str| -> Vec<String> {
                let first =
                    |line: &str| line.split([' ', '=']).next().unwrap_or_default().to_owned();
                text.lines().map(first).collect()
            };
            assert_eq!(first_word(&found), first_word(&harmless), "{text:?} in {path}:\n{found}");
        }
    }
    assert!(taken > 5, "too few of the texts are taken at all: {taken}");
}

#[test]
fn a_refused_text_is_shown_with_its_line() {
    let text = format!(
        "{LEAST}kernel = \"cloud\"\n[units.a]\nexec = [\"/usr/bin/a\"]\ndescription = \"back\\\\slash\"\n"
    );
    check_problems(
        &text,
        &expect![[r#"
            error[E0304]: `back\slash` cannot be written in a unit file: a backslash may continue the line
             --> modules/units/service.tera:3:60
              |
            3 | Description={% if unit.description %}{{ unit.description | systemd }}{% else %}{{ with.name }}{% endif %}
              |                                                            ^^^^^^^ in this expression
              |
             ::: hosts/a.toml:7:15
              |
            7 | description = "back\\slash"
              |               ------------- this text
        "#]],
    );
    let text = format!("{LEAST}kernel = \"cloud\"\n[proxy]\nemail = \"{{env.HOME}}\"\n");
    check_problems(
        &text,
        &expect![[r#"
            error[E0304]: `{env.HOME}` cannot be written in a Caddyfile: braces stand for placeholders
             --> modules/proxy/Caddyfile.tera:6:25
              |
            6 |     email {{ proxy.email | caddy }}
              |                            ^^^^^ in this expression
              |
             ::: hosts/a.toml:6:9
              |
            6 | email = "{env.HOME}"
              |         ------------ this text
        "#]],
    );
}
