//! Declared secrets: from options and modules to the file that the host reads.

use std::collections::BTreeSet;

use super::support::{LEAST, check_file, check_problems, evaluate, file, manifest};
use super::*;

fn host(text: &str) -> String {
    format!("{LEAST}kernel = \"cloud\"\n{text}")
}

#[test]
fn a_host_without_secrets_has_no_files_about_them() {
    let (system, _) = evaluate(&host(""), &[]).unwrap();
    assert!(system.secrets.is_empty());
    assert!(!system.files.keys().any(|path| path.to_string().contains("secret")));
}

#[test]
fn what_is_declared_reaches_the_host() {
    check_file(
        &host(
            r#"
[secrets.values."app/token"]
generate = "hex:64"
owner = "www-data"
mode = "0440"
units = ["app.service"]
[secrets.values."app/password"]
[secrets.values."login"]
generate = "bcrypt:app/password"
password_of = "root"
[secrets.templates.app]
text = "T={secret:app/token|env}\n"
reload = true
units = ["web.service"]
"#,
        ),
        "usr/lib/nexus-host/secrets.json",
        &expect![[r#"
            {
              "format": 1,
              "ciphertext": null,
              "secrets": {
                "app/password": {
                  "owner": "root",
                  "group": "root",
                  "mode": 256,
                  "units": [],
                  "reload": false,
                  "generate": null,
                  "never_rotate": false
                },
                "app/token": {
                  "owner": "www-data",
                  "group": "root",
                  "mode": 288,
                  "units": [
                    "app.service"
                  ],
                  "reload": false,
                  "generate": "hex:64",
                  "never_rotate": false
                },
                "login": {
                  "owner": "root",
                  "group": "root",
                  "mode": 256,
                  "units": [],
                  "reload": false,
                  "generate": "bcrypt:app/password",
                  "never_rotate": false
                }
              },
              "templates": {
                "app": {
                  "text": "T={secret:app/token|env}\n",
                  "owner": "root",
                  "group": "root",
                  "mode": 256,
                  "units": [
                    "web.service"
                  ],
                  "reload": true
                }
              },
              "password_hashes": {
                "root": "login"
              }
            }
        "#]],
    );
}

#[test]
fn an_option_that_names_a_secret_declares_it() {
    let module = manifest("m", "[sections.m.options.key]\ntype = \"secret\"\ndoc = \"K.\"");
    let text = host("[m]\nkey = { secret = \"m/key\" }\n");
    let (system, _) =
        evaluate(&text, &[("m", &[("module.toml", &module), ("contribute.toml.tera", "")])])
            .unwrap();
    assert!(file(&system, "usr/lib/nexus-host/secrets.json").contains("\"m/key\""));
}

#[test]
fn units_take_secrets_as_credentials_and_variables() {
    let text = host(
        r#"
[units.app]
exec = ["/bin/true"]
credentials = { token = { secret = "app/token" } }
secret_environment = { A_KEY = { secret = "app/key" }, B_KEY = { secret = "app/token" } }
"#,
    );
    let (system, _) = evaluate(&text, &[]).unwrap();
    let unit = file(&system, "etc/systemd/system/app.service");
    let lines: Vec<&str> = unit.lines().filter(|line| line.contains("/run/secrets")).collect();
    assert_eq!(
        lines,
        [
            "LoadCredential=token:/run/secrets/app/token",
            "EnvironmentFile=/run/secrets/templates/units/app"
        ]
    );
    let template = &system.secrets.templates["units/app"].value;
    assert_eq!(template.text, "A_KEY={secret:app/key|env}\nB_KEY={secret:app/token|env}\n");
    let declarations = system.secrets.declarations();
    let (restart, _) = declarations.users_of("app/token");
    assert_eq!(restart.into_iter().collect::<Vec<_>>(), ["app.service"]);
    assert_eq!(declarations.users_of("app/key").0.len(), 1);
}

#[test]
fn sites_with_logins_name_secrets_and_hold_none() {
    let text = format!(
        "{LEAST}kernel = \"cloud\"\n[proxy]\ntls = \"off\"\n[routes.\"a.example\"]\nto = \"127.0.0.1:1\"\n\
         logins = {{ her = {{ secret = \"site/her\" }}, me = {{ secret = \"site/me\" }} }}\n\
         [routes.\"b.example\"]\nto = \"127.0.0.1:1\"\n"
    );
    let (system, _) = evaluate(&text, &[]).unwrap();
    let config = file(&system, "etc/caddy/Caddyfile");
    let (_, sites) = config.split_once("\n\n# ").unwrap();
    expect![[r#"
        A digest of a password for each login.
        import /run/secrets/templates/proxy/logins

        http://a.example {
        	import security_headers
        	import logins-a.example
        	encode zstd gzip
        	reverse_proxy 127.0.0.1:1
        }

        http://b.example {
        	import security_headers
        	encode zstd gzip
        	reverse_proxy 127.0.0.1:1
        }

        http:// {
        	respond 404
        }
    "#]]
    .assert_eq(sites);
    let logins = &system.secrets.templates["proxy/logins"].value;
    expect![[r#"
        (logins-a.example) {
        	basicauth {
        		"her" {secret:site/her|json}
        		"me" {secret:site/me|json}
        	}
        }
    "#]]
    .assert_eq(&logins.text);
    assert_eq!(logins.owner.as_ref().unwrap().as_str(), "caddy");
    let (restart, reload) = (BTreeSet::new(), BTreeSet::from(["caddy.service"]));
    assert_eq!(system.secrets.declarations().users_of("site/me"), (restart, reload));
}

#[test]
fn the_example_for_authors_of_modules_works() {
    let page = include_str!("../../../docs/modules.md");
    let example = page.split("```toml\n").find(|part| part.starts_with("[[secrets]]")).unwrap();
    let (example, _) = example.split_once("```").unwrap();
    let module = manifest("app", "[sections.app.options.key]\ntype = \"secret\"\ndoc = \"K.\"");
    let files: &[(&str, &str)] = &[("module.toml", &module), ("contribute.toml.tera", example)];
    let text = host("[app]\nkey = { secret = \"app/token\" }\n");
    let (system, _) = evaluate(&text, &[("app", files)]).unwrap();
    let declarations = system.secrets.declarations();
    assert_eq!(declarations.secrets["app/token"].owner, "app");
    assert_eq!(declarations.templates["app/env"].text, "API_KEY={secret:app/token|env}\n");
}

#[test]
fn demands_of_several_are_put_together_or_shown_both() {
    let module = manifest("m", "[sections.m.options.x]\ntype = \"bool\"\ndoc = \"X.\"");
    let yields = "[[secrets]]\nname = \"a\"\ngenerate = \"hex:32\"\nunits = [\"m.service\"]\n";
    let files: &[(&str, &str)] = &[("module.toml", &module), ("contribute.toml.tera", yields)];
    let with = |text: &str| evaluate(&host(&format!("[m]\n{text}")), &[("m", files)]);
    let (system, _) =
        with("[secrets.values.a]\nowner = \"www-data\"\nunits = [\"n.service\"]\n").unwrap();
    let demand = &system.secrets.demands["a"].value;
    assert_eq!(demand.generate, Some(crate::secrets::Kind::Hex(32)));
    assert_eq!(demand.units.len(), 2);
    let problems = with("[secrets.values.a]\ngenerate = \"empty\"\n").unwrap_err();
    assert!(
        problems.contains("two different demands for `generate` of the secret `a`"),
        "{problems}"
    );
}

#[test]
fn secrets_that_nothing_declares_are_errors() {
    check_problems(
        &host("[secrets.templates.x]\ntext = \"{secret:nope}\"\n"),
        &expect![[r#"
        error[E0410]: the template `x` names the secret `nope`, which is not declared
         --> hosts/a.toml:5:20
          |
        5 | [secrets.templates.x]
          |                    ^ of the secrets declared here
    "#]],
    );
    check_problems(
        &host("[secrets.values.x]\ngenerate = \"bcrypt:nope\"\n"),
        &expect![[r#"
        error[E0410]: the secret `x` is made from `nope`, which is not declared
         --> hosts/a.toml:5:17
          |
        5 | [secrets.values.x]
          |                 ^ no such secret
          |
          = help: Add `[secrets.values."nope"]`.
    "#]],
    );
    check_problems(
        &host("[secrets.values.x]\ngenerate = \"hex:4\"\n"),
        &expect![[r#"
        error[E0201]: `hex:4` is not a way to make a secret
         --> hosts/a.toml:6:12
          |
        6 | generate = "hex:4"
          |            ^^^^^^^ expected `hex:N`, `b64:N`, `alnum:N`, `plain:VALUE`, `empty`, `ssh-ed25519`, `wireguard`, `age`, `htpasswd:USER:SECRET`, `bcrypt:SECRET` or `argon2:SECRET`
          |
          = help: For example `hex:64`.
    "#]],
    );
    check_problems(
        &host("[secrets.templates.x]\ntext = \"{secret:a b}\"\n"),
        &expect![[r#"
        error[E0201]: `{secret:` in line 1 is not followed by a name of a secret and `}`
         --> hosts/a.toml:5:20
          |
        5 | [secrets.templates.x]
          |                    ^ expected `{secret:NAME}`, or `{secret:NAME|env}`, `|json`, `|url`
    "#]],
    );
}

#[test]
fn the_ciphertext_becomes_a_file_of_the_system() {
    let (mut system, _) = evaluate(&host("[secrets.values.a]\n"), &[]).unwrap();
    system.add_ciphertext("yaml", b"a: ENC[]\n".to_vec());
    assert_eq!(file(&system, "usr/lib/nexus-host/secrets.sops.yaml"), "a: ENC[]\n");
    let declared = file(&system, "usr/lib/nexus-host/secrets.json");
    assert!(declared.contains("\"ciphertext\": \"usr/lib/nexus-host/secrets.sops.yaml\""));
}
