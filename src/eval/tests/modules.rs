//! The module mechanism: stages, strictness, conflicts, with modules of the tests' own.

use super::support::*;
use super::*;
use crate::spec::{CONSUME, CONTRIBUTE};

/// Evaluates the least host with one module, always active, whose first stage is `fragment`.
fn with_fragment(fragment: &str) -> Result<(System, String), String> {
    with_files(&[(CONTRIBUTE, fragment)])
}

fn with_files(files: &[(&str, &str)]) -> Result<(System, String), String> {
    let text = manifest("demo", "").replace("summary", "activation = \"always\"\nsummary");
    let mut all = vec![("module.toml", text.as_str())];
    all.extend_from_slice(files);
    evaluate(LEAST, &[("demo", &all)])
}

#[track_caller]
fn check(fragment: &str, expected: &Expect) {
    expected.assert_eq(&with_fragment(fragment).unwrap_err());
}

#[test]
fn fragments_are_checked_like_host_files() {
    check(
        "[[packages]]\nname = \"Foo\"\n[[filez]]\n[[ports]]\nport = 0\npurpose = \"x\"\n[[units]]\n",
        &expect![[r#"
            error[E0305]: module demo: `Foo` is not the name of a Debian package
             --> modules/demo/contribute.toml.tera (rendered):2:8
              |
            2 | name = "Foo"
              |        ^^^^^ expected at least 2 of `a-z`, `0-9`, `+`, `-` and `.`, beginning with a letter or digit
              |
              = help: Write `foo`.

            error[E0305]: module demo: `filez` is not an option of `fragment`
             --> modules/demo/contribute.toml.tera (rendered):3:3
              |
            3 | [[filez]]
              |   ^^^^^ no such option
              |
              = help: Did you mean `files`?

            error[E0305]: module demo: `0` is out of range
             --> modules/demo/contribute.toml.tera (rendered):5:8
              |
            5 | port = 0
              |        ^ expected a number from 1 to 65535

            error[E0305]: module demo: `fragment.units[0]` lacks `name`
             --> modules/demo/contribute.toml.tera (rendered):7:1
              |
            7 | [[units]]
              | ^^^^^^^^^ expected `name`, a unit name in quotes
              |
              = help: Add `name = "hello.service"`.
        "#]],
    );
    check(
        "packages = \n",
        &expect![[r#"
            error[E0305]: module demo: this is not a value
             --> modules/demo/contribute.toml.tera (rendered):1:10
              |
            1 | packages = 
              |          ^ expected a value on this line
              |
              = help: Text stands in quotes: `key = "text"`.
        "#]],
    );
}

#[test]
fn what_a_template_prints_is_quoted_or_plain() {
    let section = "[sections.demo.options.text]\ntype = \"line\"\ndoc = \"T.\"\n";
    let manifest = manifest("demo", section);
    let template = "[[files]]\npath = \"/etc/x\"\ntext = \"{{ demo.text }}\"\n";
    let module: &[(&str, &str)] = &[("module.toml", &manifest), (CONTRIBUTE, template)];
    let host = |text: &str| format!("{LEAST}[demo]\ntext = '{text}'\n");
    assert_eq!(
        file(&evaluate(&host("plain-1.0"), &[("demo", module)]).unwrap().0, "etc/x"),
        "plain-1.0"
    );
    let injected =
        host("\"\nmode = \"4755").replace('\n', "\\n").replace("\\n[demo]\\n", "\n[demo]\n");
    assert!(evaluate(&injected, &[("demo", module)]).is_err());
    let problems = evaluate(&host("a\" b"), &[("demo", module)]).unwrap_err();
    expect![[r#"
        error[E0304]: `a" b` is printed without a filter that quotes it
         --> modules/demo/contribute.toml.tera (rendered):3:1
          |
        3 | text = "
          | ^^^^^^^^ after this, in `modules/demo/contribute.toml.tera`
    "#]]
    .assert_eq(&problems);
}

#[test]
fn templates_fail_with_their_line() {
    check(
        "{% if %}",
        &expect![[r#"
        error[E0304]: Found `%}` but expected one of: integer, float, string, bool, ident, `-`, `not`, `<`, `{`, `[` or `(`
         --> modules/demo/contribute.toml.tera:1:7
          |
        1 | {% if %}
          |       ^^ in this expression
    "#]],
    );
    check(
        "\n{{ nope }}",
        &expect![[r#"
        error[E0304]: the template has an unknown variable `nope`
         --> modules/demo/contribute.toml.tera:2:4
          |
        2 | {{ nope }}
          |    ^^^^ expected a section of the module, `host`, `with`, or in `consume` also `all`
    "#]],
    );
    check(
        "{% if nope %}{% endif %}",
        &expect![[r#"
        error[E0304]: the template has an unknown variable `nope`
         --> modules/demo/contribute.toml.tera:1:7
          |
        1 | {% if nope %}{% endif %}
          |       ^^^^ expected a section of the module, `host`, `with`, or in `consume` also `all`
    "#]],
    );
    check(
        "\n  {{ host.nope }}",
        &expect![[r#"
        error[E0304]: Field `nope` is not defined. Available fields: architecture, domain, kernel, kernel_arguments, locale, name, packages, release, sysctl, time_zone
         --> modules/demo/contribute.toml.tera:2:11
          |
        2 |   {{ host.nope }}
          |           ^^^^ in this expression
    "#]],
    );
}

#[test]
fn filters_take_what_they_are_for() {
    check(
        "{{ host.name | nope }}",
        &expect![[r#"
            error[E0304]: Unknown filter `nope`
             --> modules/demo/contribute.toml.tera:1:16
              |
            1 | {{ host.name | nope }}
              |                ^ in a template of this module
        "#]],
    );
    check(
        "{{ host.packages | exec }}{{ host | exec }}",
        &expect![[r#"
        error[E0304]: the filter takes a list of texts
         --> modules/demo/contribute.toml.tera:1:37
          |
        1 | {{ host.packages | exec }}{{ host | exec }}
          |                                     ^^^^ in this expression
    "#]],
    );
    check(
        "{{ host.domain | toml }}",
        &expect![[r#"
        error[E0304]: an option that is not set has no value in TOML; ask `{% if … %}` first
         --> modules/demo/contribute.toml.tera:1:18
          |
        1 | {{ host.domain | toml }}
          |                  ^^^^ in this expression
    "#]],
    );
}

#[test]
fn templates_cannot_yield_without_end() {
    let endless = "{% for a in range(end=90000) %}# 01234567890123456789{% endfor %}";
    let problems = with_fragment(endless).unwrap_err();
    assert!(problems.contains("more than 1 MiB"), "{problems}");
    let more = "{% for a in range(end=100001) %}{% endfor %}";
    assert!(with_fragment(more).is_err());
}

#[test]
fn templates_reach_no_files_and_no_other_module() {
    for reach in [
        "{% include \"/etc/passwd\" %}",
        "{% include \"../host/hosts.tera\" %}",
        "{{ get_env(name=\"HOME\") }}",
        "{{ now() }}",
        "{{ load_data(path=\"/etc/passwd\") }}",
        "{{ users }}",
        "{{ all }}",
    ] {
        assert!(with_fragment(reach).is_err(), "{reach}");
    }
}

#[test]
fn file_templates_must_exist_and_see_their_values() {
    let fragment = "[[files]]\npath = \"/etc/x\"\ntemplate = \"x.tera\"\nwith = { a = \"1\" }\n";
    let good = with_files(&[(CONTRIBUTE, fragment), ("x.tera", "{{ with.a }} {{ host.name }}")]);
    assert_eq!(file(&good.unwrap().0, "etc/x"), "1 a");
    let missing = with_files(&[(CONTRIBUTE, fragment), ("y.tera", "")]);
    expect![[r#"
        error[E0306]: module demo has no template `x.tera`
         --> modules/demo/contribute.toml.tera (rendered):3:12
          |
        3 | template = "x.tera"
          |            ^^^^^^^^ no such file
          |
          = help: Did you mean `y.tera`?
    "#]]
    .assert_eq(&missing.unwrap_err());
    let empty = with_fragment("[[files]]\npath = \"/etc/x\"\n");
    expect![[r#"
        error[E0305]: module demo: a file without contents
         --> modules/demo/contribute.toml.tera (rendered):1:1
          |
        1 | [[files]]
          | ^^^^^^^^^ expected `template` or `text`
    "#]]
    .assert_eq(&empty.unwrap_err());
}

#[test]
fn includes_and_recursion_end() {
    let recursive = with_files(&[
        (CONTRIBUTE, "{% include \"x.tera\" %}"),
        ("x.tera", "{% include \"x.tera\" %}"),
    ]);
    expect![[r#"
        error[E0304]: Circular include detected for template 'x.tera'. Include chain: `["contribute.toml.tera", "x.tera", "x.tera"]`
         --> modules/demo/module.toml:1:1
          |
        1 | [module]
          | ^ in a template of this module
    "#]].assert_eq(&recursive.unwrap_err());
}

#[test]
fn consumers_see_everything_and_contribute_nothing_that_others_see() {
    let port = "[[ports]]\nport = 7000\npurpose = \"demo\"\n";
    let seen = "[[files]]\npath = \"/etc/seen\"\ntext = \"{% for port in all.ports %}{{ port.port }},{% endfor %}\"\n";
    let good = with_files(&[(CONTRIBUTE, port), (CONSUME, seen)]).unwrap().0;
    assert_eq!(file(&good, "etc/seen"), "7000,");
    let bad = with_files(&[(CONSUME, port)]).unwrap_err();
    expect![[r#"
        error[E0307]: module demo: `ports` in the second stage
         --> modules/demo/consume.toml.tera (rendered):1:1
          |
        1 | [[ports]]
          | ^^^^^^^^^ others have not seen it
          |
          = help: Yield it from `contribute.toml.tera`.
    "#]]
    .assert_eq(&bad);
}

#[test]
fn unlike_demands_of_two_modules_are_shown_both() {
    let one = manifest("one", "");
    let two = manifest("two", "");
    let host = format!("{LEAST}[one]\n[two]\n");
    let module = |name: &'static str, fragment: &str| -> Result<_, String> {
        let first: &[(&str, &str)] = &[
            ("module.toml", &one),
            (CONTRIBUTE, "[[sysctl]]\nkey = \"a.b\"\nvalue = \"1\"\n[[packages]]\nname = \"aa\"\n"),
        ];
        let second: &[(&str, &str)] = &[("module.toml", &two), (CONTRIBUTE, fragment)];
        evaluate(&host, &[("one", first), (name, second)])
    };
    let same = "[[sysctl]]\nkey = \"a.b\"\nvalue = \"1\"\n[[packages]]\nname = \"aa\"\n";
    let (system, _) = module("two", same).unwrap();
    assert_eq!(system.packages.values().next().unwrap().origins.len(), 2);
    let unlike = module("two", &same.replace("\"1\"", "\"2\"")).unwrap_err();
    expect![[r#"
        error[E0401]: two different demands for the kernel parameter `a.b`
         --> hosts/a.toml:5:2
          |
        4 | [one]
          |  --- by the module `one`
        5 | [two]
          |  ^^^ by the module `two`
    "#]]
    .assert_eq(&unlike);
}

#[test]
fn conflicts_of_every_kind_of_item() {
    let twice = [
        "[[users]]\nname = \"u\"\nhome = \"/a\"\n[[users]]\nname = \"u\"\nhome = \"/b\"\n",
        "[[groups]]\nname = \"g\"\ngid = 1\n[[groups]]\nname = \"g\"\ngid = 2\n",
        "[[links]]\npath = \"/etc/l\"\ntarget = \"a\"\n[[links]]\npath = \"/etc/l\"\ntarget = \"b\"\n",
        "[[mounts]]\nwhere = \"/srv/a\"\nwhat = \"tmpfs\"\ntype = \"tmpfs\"\n[[mounts]]\nwhere = \"/srv/a\"\nwhat = \"x\"\ntype = \"ext4\"\n",
        "[[tmpfiles]]\ntype = \"d\"\npath = \"/var/a\"\n[[tmpfiles]]\ntype = \"d\"\npath = \"/var/a\"\nmode = \"0700\"\n",
        "[[checks]]\nname = \"c\"\nkind = \"tcp\"\nport = 1\n[[checks]]\nname = \"c\"\nkind = \"tcp\"\nport = 2\n",
        "[[interfaces]]\nname = \"i\"\ndhcp = true\n[[interfaces]]\nname = \"i\"\ndhcp = false\n",
    ];
    for fragment in twice {
        let problems = with_fragment(fragment).unwrap_err();
        assert!(problems.starts_with("error[E0401]: two different demands for the "), "{problems}");
    }
    let routes = "[[routes]]\ndomain = \"a.b\"\nto = \"127.0.0.1:1\"\n";
    expect![[r#"
        error[E0402]: two routes for `a.b`
         --> modules/demo/contribute.toml.tera (rendered):4:1
          |
        1 | [[routes]]
          | ---------- by the module `demo`
        ...
        4 | [[routes]]
          | ^^^^^^^^^^ by the module `demo`
    "#]]
    .assert_eq(&with_fragment(&routes.repeat(2)).unwrap_err());
}

#[test]
fn a_unit_may_be_written_extended_and_started_by_different_fragments() {
    let files = [
        (
            CONTRIBUTE,
            "[[units]]\nname = \"a.service\"\ntemplate = \"u.tera\"\nrequired_by = [\"b.service\"]\n",
        ),
        (
            CONSUME,
            "[[units]]\nname = \"a.service\"\nwanted_by = [\"multi-user.target\"]\naliases = [\"z.service\"]\n[[dropins]]\nunit = \"a.service\"\nname = \"more\"\ntemplate = \"u.tera\"\n",
        ),
        ("u.tera", "[Service]\nExecStart=/bin/true\n"),
    ];
    let (system, _) = with_files(&files).unwrap();
    expect![[r#"
        packages: 
        etc/default/locale -> ../locale.conf
        etc/hostname 0644 root:root
        etc/hosts 0644 root:root
        etc/locale.conf 0644 root:root
        etc/systemd/system-preset/00-nexus-host.preset 0644 root:root
        etc/systemd/system/a.service 0644 root:root
        etc/systemd/system/a.service.d/more.conf 0644 root:root
        etc/systemd/system/b.service.requires/a.service -> /etc/systemd/system/a.service
        etc/systemd/system/multi-user.target.wants/a.service -> /etc/systemd/system/a.service
        etc/systemd/system/z.service -> /etc/systemd/system/a.service
        etc/timezone 0644 root:root
    "#]]
    .assert_eq(&summary(&system));
    let unlike = [
        (CONTRIBUTE, "[[units]]\nname = \"a.service\"\ntemplate = \"u.tera\"\n"),
        (CONSUME, "[[units]]\nname = \"a.service\"\ntemplate = \"v.tera\"\n"),
        ("u.tera", "[Unit]\n"),
        ("v.tera", "[Service]\n"),
    ];
    expect![[r#"
        error[E0401]: two different texts for the unit `a.service`
         --> modules/demo/consume.toml.tera (rendered):1:1
          |
        1 | [[units]]
          | ^^^^^^^^^ by the module `demo`
          |
         ::: modules/demo/contribute.toml.tera (rendered):1:1
          |
        1 | [[units]]
          | --------- by the module `demo`

        warning[E0409]: nothing starts the unit `a.service`
         --> modules/demo/contribute.toml.tera (rendered):1:1
          |
        1 | [[units]]
          | ^^^^^^^^^ the host has no kernel and no systemd
          |
          = help: Add `kernel = "cloud"` below `[host]`.
    "#]]
    .assert_eq(&with_files(&unlike).unwrap_err());
}

#[test]
fn units_that_systemd_would_refuse_are_errors() {
    let problem = |text: &str| {
        let fragment = "[[units]]\nname = \"a.service\"\ntemplate = \"u.tera\"\n";
        let problems = with_files(&[(CONTRIBUTE, fragment), ("u.tera", text)]).unwrap_err();
        problems
            .lines()
            .find(|line| line.contains("^^"))
            .unwrap()
            .trim_start_matches([' ', '|', '^'])
            .to_owned()
    };
    assert_eq!(problem("ExecStart=/a\n"), "line 1 stands before any `[Section]`");
    assert_eq!(
        problem("[Service]\nExecStart=-python3 x\n"),
        "line 2 starts `python3`, not an absolute path"
    );
    assert_eq!(problem("[Service\n"), "line 1 is not a `[Section]`");
    assert_eq!(problem("[Service]\nnonsense\n"), "line 2 is neither `Key=value` nor a `[Section]`");
    assert_eq!(problem("# nothing\n"), "it has no `[Section]`");
    let good = "; c\n[Service]\nExecStart=\nExecStart=!-/a \\\n  b c\n\n[Install]\n";
    assert_eq!(unit_text::unit_problem(good), None);
}

#[test]
fn lines_of_tmpfiles_and_fstab_are_escaped() {
    let fragment = "[[tmpfiles]]\ntype = \"f\"\npath = '/var/a \"b\" %c'\nmode = \"0600\"\nuser = \"root\"\nage = \"1d 2h\"\nargument = '100% \\n'\n\
                    [[mounts]]\nwhere = \"/srv/a b\"\nwhat = \"tmpfs\"\ntype = \"tmpfs\"\noptions = \"nosuid,size=1m\"\n\
                    [[kernel_modules]]\nname = \"loop\"\n";
    let (system, _) = with_fragment(fragment).unwrap();
    let last = |path: &str| file(&system, path).lines().last().unwrap().to_owned();
    assert_eq!(
        last("etc/tmpfiles.d/nexus-host.conf"),
        r#"f "/var/a \"b\" %%c" 0600 root - 1d2h 100%% \\n"#
    );
    assert_eq!(last("etc/fstab"), r"tmpfs /srv/a\040b tmpfs nosuid,size=1m 0 0");
    assert_eq!(last("etc/modules-load.d/nexus-host.conf"), "loop");
}

#[test]
fn generated_files_cannot_be_written_by_hand() {
    let fragment = "[[sysctl]]\nkey = \"a.b\"\nvalue = \"1\"\n[[files]]\npath = \"/etc/sysctl.d/60-nexus-host.conf\"\ntext = \"\"\n";
    check(
        fragment,
        &expect![[r#"
        error[E0401]: `/etc/sysctl.d/60-nexus-host.conf` is made from units, tmpfiles or the like
         --> modules/demo/contribute.toml.tera (rendered):4:1
          |
        1 | [[sysctl]]
          | ---------- by the module `demo`
        ...
        4 | [[files]]
          | ^^^^^^^^^ by the module `demo`
    "#]],
    );
}

#[test]
fn modules_state_their_own_assertions() {
    check(
        "[[problems]]\nmessage = \"no good\"\nhelp = \"Do it well.\"\nfrom = [\"host\", \"name\"]\n",
        &expect![[r#"
            error[E0408]: no good
             --> hosts/a.toml:2:8
              |
            2 | name = "a"
              |        ^^^ says the module `demo`
              |
              = help: Do it well.
        "#]],
    );
    check(
        "[[problems]]\nmessage = \"x\"\nfrom = [\"hosst\"]\n",
        &expect![[r#"
        error[E0305]: module demo: `from` names an unknown section
         --> modules/demo/contribute.toml.tera (rendered):3:8
          |
        3 | from = ["hosst"]
          |        ^^^^^^^^^ expected a section, perhaps `host`
    "#]],
    );
}

#[test]
fn checks_of_fragments_are_complete() {
    for (kind, needed) in [("unit", "unit"), ("tcp", "port"), ("http", "url"), ("command", "exec")]
    {
        let problems =
            with_fragment(&format!("[[checks]]\nname = \"c\"\nkind = \"{kind}\"\n")).unwrap_err();
        assert!(problems.contains(&format!("expected `{needed}` too")), "{problems}");
    }
}

#[test]
fn the_page_about_modules_lists_the_items() {
    let page = include_str!("../../../docs/modules.md");
    let (before, after) = page.split_once("<!-- items -->\n").unwrap();
    let (_, after) = after.split_once("<!-- end of items -->\n").unwrap();
    let current =
        format!("{before}<!-- items -->\n{}<!-- end of items -->\n{after}", fragment_items());
    expect_test::expect_file!["../../../docs/modules.md"].assert_eq(&current);
}
