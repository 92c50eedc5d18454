//! Host files as a whole: syntax, sections, limits.

use super::*;

#[test]
fn syntax_errors_are_reported_together() {
    check_file(
        "[host\nname = \nrelease = \"trixie\n[x]\ny = 1 2\n",
        &expect![[r#"
            error[E0102]: unclosed table, expected `]`
             --> hosts/a.toml:1:6
              |
            1 | [host
              |      ^ expected TOML here

            error[E0102]: this is not a value
             --> hosts/a.toml:5:5
              |
            5 | y = 1 2
              |     ^^^ expected a value on this line
              |
              = help: Text stands in quotes: `key = "text"`.
        "#]],
    );
}

#[test]
fn keys_and_tables_twice_are_errors() {
    check_file(
        "[host]\nname = \"a\"\nname = \"b\"\n[host]\n",
        &expect![[r#"
            error[E0102]: this is set twice
             --> hosts/a.toml:3:1
              |
            3 | name = "b"
              | ^^^^ the second one

            error[E0102]: this is set twice
             --> hosts/a.toml:4:2
              |
            4 | [host]
              |  ^^^^ the second one
        "#]],
    );
}

#[test]
fn an_empty_file_lacks_the_host() {
    check_file(
        "",
        &expect![[r#"
        error[E0204]: the file lacks `[host]`
         --> hosts/a.toml:1:1
          |
        1 |
          | ^ expected it
          |
          = help: Add `[host]` with `name = "…"` and `release = "trixie"`.
    "#]],
    );
    check_file(
        "[host]\n",
        &expect![[r#"
            error[E0204]: `host` lacks `name`
             --> hosts/a.toml:1:2
              |
            1 | [host]
              |  ^^^^ expected `name`, a host name in quotes
              |
              = help: Add `name = "vps1"`.

            error[E0204]: `host` lacks `release`
             --> hosts/a.toml:1:2
              |
            1 | [host]
              |  ^^^^ expected `release`, `trixie`
              |
              = help: Add `release = "trixie"`.
        "#]],
    );
}

#[test]
fn unknown_sections_and_keys_come_with_the_nearest_known_one() {
    check_file(
        "[host]\nname = \"a\"\nrelease = \"trixy\"\npakages = []\n[fierwall]\n[zzzz]\n",
        &expect![[r#"
            error[E0201]: `trixy` is not a value of `host.release`
             --> hosts/a.toml:3:11
              |
            3 | release = "trixy"
              |           ^^^^^^^ expected `trixie`
              |
              = help: Did you mean `trixie`?

            error[E0202]: `pakages` is not an option of `host`
             --> hosts/a.toml:4:1
              |
            4 | pakages = []
              | ^^^^^^^ no such option
              |
              = help: Did you mean `packages`?

            error[E0202]: `fierwall` is not a section of a host file
             --> hosts/a.toml:5:2
              |
            5 | [fierwall]
              |  ^^^^^^^^ no module has this section
              |
              = help: Did you mean `firewall`?

            error[E0202]: `zzzz` is not a section of a host file
             --> hosts/a.toml:6:2
              |
            6 | [zzzz]
              |  ^^^^ no module has this section
              |
              = help: All options are listed in docs/options.md.
        "#]],
    );
}

#[test]
fn too_large_and_too_deep_files_are_refused_before_they_are_read() {
    check_file(
        &"#".repeat((1 << 20) + 1),
        &expect![[r#"
        error[E0101]: the file has 1048577 bytes
         --> hosts/a.toml:1:1
          |
        1 | #####################################################################################################################################...
          | ^ expected at most 1 MiB
    "#]],
    );
    check_file(
        &format!("{}b = 1\n", "a.".repeat(300_000)),
        &expect![[r#"
        error[E0103]: nested too deep
         --> hosts/a.toml:1:32
          |
        1 | a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a...
          |                                ^ more than 16 levels here
    "#]],
    );
    check_file(
        &format!("a = {}\n", "[".repeat(100_000)),
        &expect![[r#"
        error[E0103]: nested too deep
         --> hosts/a.toml:1:21
          |
        1 | a = [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[...
          |                     ^ more than 16 levels here
    "#]],
    );
    check_file(
        &format!("a = {}\n", "{b=".repeat(100_000)),
        &expect![[r#"
        error[E0103]: nested too deep
         --> hosts/a.toml:1:53
          |
        1 | a = {b={b={b={b={b={b={b={b={b={b={b={b={b={b={b={b={b={b={b={b={b={b={b={b={b={b={b={b={b={b={b={b={b={b={b={b={b={b={b={b={b={b={b=...
          |                                                     ^ more than 16 levels here
    "#]],
    );
    check_file(
        &format!("[{}]\n", vec!["a"; 100_000].join(" . ")),
        &expect![[r#"
        error[E0103]: nested too deep
         --> hosts/a.toml:1:64
          |
        1 | [a . a . a . a . a . a . a . a . a . a . a . a . a . a . a . a . a . a . a . a . a . a . a . a . a . a . a . a . a . a . a . a . a . ...
          |                                                                ^ more than 16 levels here
    "#]],
    );
}

#[test]
fn control_characters_are_shown_escaped() {
    check_file(
        "[host]\nname = \"\\u001b[31m\"\nrelease = \"trixie\"\n",
        &expect![[r#"
        error[E0201]: `\u{1b}[31m` is not a host name
         --> hosts/a.toml:2:8
          |
        2 | name = "\u001b[31m"
          |        ^^^^^^^^^^^^ expected 1 to 63 of `a-z`, `0-9` and `-`, without `-` at either end
          |
          = help: For example `vps1`.
    "#]],
    );
    check_file(
        "[host]\nname = \"a\u{0}b\"\n",
        &expect![[r#"
            error[E0102]: invalid basic string, expected non-double-quote visible characters, `\`
             --> hosts/a.toml:2:10
              |
            2 | name = "a␀b"
              |          ^ expected TOML here
        "#]],
    );
}

#[test]
fn thousands_of_problems_are_cut_at_a_hundred() {
    let keys = (0..5000).fold(String::new(), |mut keys, number| {
        writeln!(keys, "k{number} = 1").unwrap();
        keys
    });
    let problems = read(&format!("[host]\n{keys}"), &UserModules::new()).unwrap_err();
    assert_eq!(problems.matches("error[").count(), 101);
    assert!(problems.contains("4902 more problems are not shown"), "{problems}");
}

#[test]
fn the_workspace_file_gives_what_the_host_does_not() {
    let mut problems = Problems::default();
    let modules = Modules::load(&UserModules::new(), &mut problems);
    let workspace = Source::new(
        "nexus-host.toml",
        "[debian]\nmirror = \"http://a/\"\nsecurity_mirror = \"http://b/\"\n",
    );
    let host = "[host]\nname = \"a\"\nrelease = \"trixie\"\n[debian]\nmirror = \"http://c/\"\n";
    let host = Source::new("hosts/a.toml", host);
    let spec = read_host(&host, Some(&workspace), &modules, &mut problems).unwrap();
    expect!["{mirror: http://c/, security_mirror: http://b/}"]
        .assert_eq(&plain(&spec.sections["debian"]));
}

#[test]
fn the_workspace_file_has_no_host_sections() {
    let mut problems = Problems::default();
    let modules = Modules::load(&UserModules::new(), &mut problems);
    let workspace = Source::new("nexus-host.toml", "[host]\nname = \"a\"\n");
    let host = Source::new("hosts/a.toml", "[host]\nname = \"a\"\nrelease = \"trixie\"\n");
    assert!(read_host(&host, Some(&workspace), &modules, &mut problems).is_none());
    expect![[r#"
        error[E0202]: `host` is not a section of the workspace's file
         --> nexus-host.toml:1:2
          |
        1 | [host]
          |  ^^^^ no such section
          |
          = help: Here may stand `[debian]` and `[[sources]]`.
    "#]]
    .assert_eq(&render(&problems.into_sorted(), Look::Plain));
}

fn depth(value: &toml::de::DeValue<'_>) -> usize {
    match value {
        toml::de::DeValue::Array(items) => {
            1 + items.iter().map(|item| depth(item.get_ref())).max().unwrap_or(0)
        }
        toml::de::DeValue::Table(table) => {
            1 + table.iter().map(|(_, item)| depth(item.get_ref())).max().unwrap_or(0)
        }
        _ => 0,
    }
}

proptest! {
    /// Whatever the text, what is read nests no deeper than keys and values together may.
    #[test]
    fn what_is_read_is_never_deep(text in "[a.\"'\\[\\]{}=,#\n \\\\-]{0,200}") {
        let source: Arc<Source> = Source::new("a", text);
        let mut problems = Problems::default();
        if let Some(root) = document::parse(&source, &mut problems) {
            // Keys of headers, of pairs, and inline values: at most 17 levels each.
            let deepest = root.iter().map(|(_, value)| depth(value.get_ref())).max().unwrap_or(0);
            prop_assert!(deepest <= 300, "{deepest}");
        }
    }

    /// No text makes reading panic, and every place is inside the text.
    #[test]
    fn any_text_is_read_without_panic(text in "\\PC{0,80}|(\\[host\\]\n|name|=|\"|\\.|[a-z]|\n|\u{e9}| ){0,60}") {
        if let Err(problems) = read(&text, &UserModules::new()) {
            prop_assert!(problems.contains("error["));
        }
    }
}
