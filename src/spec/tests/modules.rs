//! What a module may be.

use super::*;

#[test]
fn manifests_are_checked_like_host_files() {
    check_module(
        r#"
        [module]
        name = "other"
        sumary = "x"
        activation = "sometimes"
        [sections.demo.options.f]
        type = "word"
        doc = "F."
        [sections.demo.options.f.options.x]
        doc = "X."
        [sections.demo.options.G]
        doc = "G."
        "#,
        &expect![[r#"
            error[E0301]: `module.summary` is missing
             --> modules/demo/module.toml:1:1
              |
            1 |
              | ^ expected `summary = "…"`

            error[E0301]: `sumary` is not an option of `module`
             --> modules/demo/module.toml:4:9
              |
            4 |         sumary = "x"
              |         ^^^^^^ no such option
              |
              = help: Did you mean `summary`?

            error[E0301]: this is not an activation
             --> modules/demo/module.toml:5:22
              |
            5 |         activation = "sometimes"
              |                      ^^^^^^^^^^^ expected `always` or `section`

            error[E0301]: this option has no `doc`
             --> modules/demo/module.toml:6:19
              |
            6 |         [sections.demo.options.f]
              |                   ^^^^ expected `doc = "What it does."`

            error[E0301]: only a record has options
             --> modules/demo/module.toml:9:34
              |
            9 |         [sections.demo.options.f.options.x]
              |                                  ^^^^^^^ the type has no `record`

            error[E0301]: this is not a name for an option
              --> modules/demo/module.toml:11:32
               |
            11 |         [sections.demo.options.G]
               |                                ^ expected `a-z`, `0-9`, `_`, and no deep nesting
        "#]],
    );
}

#[test]
fn types_defaults_and_examples_fit_together() {
    check_module(
        r#"
        [module]
        name = "demo"
        summary = "x"
        [sections.demo.options.a]
        type = "lst<word>"
        [sections.demo.options.b]
        type = "port"
        default = 0
        doc = "B."
        [sections.demo.options.c]
        type = "map<word>"
        required = 1
        doc = "C."
        [sections.demo.options.d]
        type = "integer<5..1>"
        doc = "D."
        [sections.demo.options.e]
        type = "word"
        example = "no quotes"
        doc = "E."
        "#,
        &expect![[r#"
            error[E0301]: this option has no `doc`
             --> modules/demo/module.toml:5:19
              |
            5 |         [sections.demo.options.a]
              |                   ^^^^ expected `doc = "What it does."`

            error[E0301]: this is not a type
             --> modules/demo/module.toml:6:16
              |
            6 |         type = "lst<word>"
              |                ^^^^^^^^^^^ `lst` is not a type; did you mean `list`?

            error[E0205]: `0` is out of range
             --> modules/demo/module.toml:9:19
              |
            9 |         default = 0
              |                   ^ expected a number from 1 to 65535

            error[E0301]: this is not a type
              --> modules/demo/module.toml:12:16
               |
            12 |         type = "map<word>"
               |                ^^^^^^^^^^^ expected `map<NAME, TYPE>`

            error[E0301]: this is not a type
              --> modules/demo/module.toml:16:16
               |
            16 |         type = "integer<5..1>"
               |                ^^^^^^^^^^^^^^^ expected `integer<MIN..MAX>` with two numbers in order

            error[E0301]: the example is not a value of the option
              --> modules/demo/module.toml:20:19
               |
            20 |         example = "no quotes"
               |                   ^^^^^^^^^^^ this is not a value: expected a value on this line
        "#]],
    );
}

#[test]
fn types_that_nest_without_end_are_refused() {
    let deep = format!("{}word{}", "list<".repeat(10_000), ">".repeat(10_000));
    let manifest = MODULE.replace("list<word>", &deep);
    assert!(kind::parse_kind(&deep).is_err());
    let mut problems = Problems::default();
    Modules::load(&user_module("demo", &manifest), &mut problems);
    assert!(problems.has_errors());
}

#[test]
fn a_section_belongs_to_one_module_and_has_no_reserved_name() {
    check_module(
        &MODULE.replace("sections.demo", "sections.firewall"),
        &expect![[r#"
        error[E0302]: the modules `demo` and `firewall` both claim the section `firewall`
         --> modules/firewall/module.toml:5:11
          |
        5 | [sections.firewall]
          |           ^^^^^^^^ claimed here
          |
         ::: modules/demo/module.toml:6:11
          |
        6 | [sections.firewall]
          |           -------- and here
    "#]],
    );
    check_module(
        &MODULE.replace("sections.demo", "sections.all"),
        &expect![[r#"
        error[E0302]: the name `all` is reserved
         --> modules/demo/module.toml:6:11
          |
        6 | [sections.all]
          |           ^^^ expected another name
    "#]],
    );
}

#[test]
fn replacing_a_built_in_module_must_be_said() {
    let mut shown = String::new();
    let named = |name: &str, more: &str| {
        MODULE.replace("name = \"demo\"", &format!("name = \"{name}\"\n{more}"))
    };
    let cases = [
        ("firewall", named("firewall", "")),
        ("firewall", named("firewall", "replaces = true")),
        ("demo", named("demo", "replaces = true")),
        ("host", named("host", "replaces = true")),
    ];
    for (name, manifest) in cases {
        let mut problems = Problems::default();
        Modules::load(&user_module(name, &manifest), &mut problems);
        writeln!(shown, "{}", render(&problems.into_sorted(), Look::Plain)).unwrap();
    }
    expect![[r#"
        error[E0303]: `firewall` is the name of a built-in module
         --> modules/firewall/module.toml:1:1
          |
        1 |
          | ^ another one
          |
          = help: Add `replaces = true` below `[module]`, or rename your module.


        error[E0303]: there is no built-in module `demo` to replace
         --> modules/demo/module.toml:1:1
          |
        1 |
          | ^ declared here

        error[E0303]: the module `host` cannot be replaced
         --> modules/host/module.toml:1:1
          |
        1 |
          | ^ expected another name

    "#]]
    .assert_eq(&shown);
}

#[test]
fn a_copy_of_a_built_in_module_is_that_module() {
    let owned = |(name, files): &(&str, &[(&str, &str)])| {
        let files = files.iter().map(|(file, text)| ((*file).to_owned(), (*text).to_owned()));
        ((*name).to_owned(), files.collect())
    };
    let user: UserModules = BUILT_IN.iter().map(owned).collect();
    let mut problems = Problems::default();
    assert_eq!(Modules::load(&user, &mut problems).by_name.len(), BUILT_IN.len());
    assert!(problems.is_empty());
}

#[test]
fn a_module_has_templates_and_nothing_else() {
    let files = [("module.toml", MODULE), ("run.sh", "rm -rf /"), ("../x.tera", "")];
    let files = files.map(|(name, text)| (name.to_owned(), text.to_owned()));
    let mut problems = Problems::default();
    let user = UserModules::from([
        ("demo".to_owned(), ModuleFiles::from(files)),
        ("empty".to_owned(), ModuleFiles::new()),
    ]);
    Modules::load(&user, &mut problems);
    expect![[r#"
        error[E0306]: nothing can use the file `../x.tera`
         --> modules/demo/../x.tera:1:1
          |
        1 |
          | ^ expected a name that ends in `.tera`

        error[E0306]: the module has neither `contribute.toml.tera` nor `consume.toml.tera`
         --> modules/demo/module.toml:1:1
          |
        1 |
          | ^ expected one of them beside this file

        error[E0306]: nothing can use the file `run.sh`
         --> modules/demo/run.sh:1:1
          |
        1 |
          | ^ expected a name that ends in `.tera`

        error[E0301]: the module `empty` has no `module.toml`
         --> modules/empty/module.toml:1:1
          |
        1 |
          | ^ expected this file
    "#]]
    .assert_eq(&render(&problems.into_sorted(), Look::Plain));
}

#[test]
fn built_in_modules_are_those_in_the_folder() {
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/modules");
    for module in std::fs::read_dir(folder).unwrap() {
        let module = module.unwrap();
        let files = std::fs::read_dir(module.path()).unwrap();
        let mut files: Vec<_> =
            files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
        files.sort();
        found.insert(module.file_name().into_string().unwrap(), files);
    }
    let embedded = BUILT_IN.iter().map(|(name, files)| {
        ((*name).to_owned(), files.iter().map(|(file, _)| (*file).to_owned()).collect())
    });
    assert_eq!(found, embedded.collect());
}

#[test]
fn the_page_of_options_is_current() {
    let mut problems = Problems::default();
    let modules = Modules::load(&UserModules::new(), &mut problems);
    assert!(problems.is_empty(), "{}", render(&problems.into_sorted(), Look::Plain));
    expect_file!["../../../docs/options.md"].assert_eq(&options_page(&modules));
}
