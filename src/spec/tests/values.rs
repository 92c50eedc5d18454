//! Values of every type, right and wrong.

use super::*;

#[test]
fn good_values_are_taken_and_the_rest_has_defaults() {
    check(
        r#"
        name = "web"
        port = 0x50
        size = "2KiB"
        token = { secret = "group/name" }
        sites."example.org" = { to = "127.0.0.1:1" }
        "#,
        &expect![[
            r#""{mode: slow, name: web, on: -, port: 80, sites: {example.org: {to: 127.0.0.1:1}}, size: 2048, token: secret group/name, words: [\"a\", \"b\"]}""#
        ]],
    );
}

#[test]
fn wrong_values_are_reported_with_what_to_write() {
    check(
        r#"
        name = "Web_01"
        port = 70000
        mode = "fasst"
        on = "yes"
        size = "2 Gb"
        "#,
        &expect![[r#"
            error[E0201]: `Web_01` is not a host name
             --> hosts/a.toml:6:16
              |
            6 |         name = "Web_01"
              |                ^^^^^^^^ expected 1 to 63 of `a-z`, `0-9` and `-`, without `-` at either end
              |
              = help: Write `web-01`.

            error[E0205]: `70000` is out of range
             --> hosts/a.toml:7:16
              |
            7 |         port = 70000
              |                ^^^^^ expected a number from 1 to 65535

            error[E0201]: `fasst` is not a value of `demo.mode`
             --> hosts/a.toml:8:16
              |
            8 |         mode = "fasst"
              |                ^^^^^^^ expected `fast` or `slow`
              |
              = help: Did you mean `fast`?

            error[E0203]: `demo.on` is text
             --> hosts/a.toml:9:14
              |
            9 |         on = "yes"
              |              ^^^^^ expected `true` or `false`
              |
              = help: Write `true`.

            error[E0201]: `2 Gb` is not a size
              --> hosts/a.toml:10:16
               |
            10 |         size = "2 Gb"
               |                ^^^^^^ expected a number and `B`, `KiB`, `MiB`, `GiB` or `TiB`
               |
               = help: Write `2GiB`.
        "#]],
    );
}

#[test]
fn problems_inside_tables_and_lists_name_their_path() {
    check(
        r#"
        name = "a"
        token = "hunter2"
        words = ["one"]
        sites."Example.org" = { too = "127.0.0.1:1" }
        "#,
        &expect![[r#"
            error[E0203]: `demo.token` is text
             --> hosts/a.toml:7:17
              |
            7 |         token = "hunter2"
              |                 ^^^^^^^^^ expected `{ secret = "…" }`
              |
              = help: For example `{ secret = "name" }`.

            error[E0205]: `demo.words` has 1 item
             --> hosts/a.toml:8:17
              |
            8 |         words = ["one"]
              |                 ^^^^^^^ expected at least 2
              |
              = help: For example `["console=ttyS0"]`.

            error[E0201]: `Example.org` is not a domain
             --> hosts/a.toml:9:15
              |
            9 |         sites."Example.org" = { too = "127.0.0.1:1" }
              |               ^^^^^^^^^^^^^ expected labels of `a-z`, `0-9` and `-` with dots between, at most 253 characters
              |
              = help: Write `example.org`.

            error[E0204]: `demo.sites."Example.org"` lacks `to`
             --> hosts/a.toml:9:15
              |
            9 |         sites."Example.org" = { too = "127.0.0.1:1" }
              |               ^^^^^^^^^^^^^ expected `to`, an address and port in quotes
              |
              = help: Add `to = "127.0.0.1:8080"`.

            error[E0202]: `too` is not an option of `demo.sites."Example.org"`
             --> hosts/a.toml:9:33
              |
            9 |         sites."Example.org" = { too = "127.0.0.1:1" }
              |                                 ^^^ no such option
              |
              = help: Did you mean `to`?
        "#]],
    );
}

#[test]
fn wrong_types_say_what_would_be_right() {
    check(
        r#"
        name = 5
        port = "80"
        mode = true
        on = 1979-05-27
        size = 1.5
        words = "a"
        sites = []
        "#,
        &expect![[r#"
            error[E0203]: `demo.name` is a number
             --> hosts/a.toml:6:16
              |
            6 |         name = 5
              |                ^ expected a host name in quotes
              |
              = help: Write `"5"`.

            error[E0203]: `demo.port` is text
             --> hosts/a.toml:7:16
              |
            7 |         port = "80"
              |                ^^^^ expected a number from 1 to 65535
              |
              = help: Write `80`.

            error[E0203]: `demo.mode` is `true` or `false`
             --> hosts/a.toml:8:16
              |
            8 |         mode = true
              |                ^^^^ expected `fast` or `slow`
              |
              = help: For example `"fast"`.

            error[E0203]: `demo.on` is a date
             --> hosts/a.toml:9:14
              |
            9 |         on = 1979-05-27
              |              ^^^^^^^^^^ expected `true` or `false`
              |
              = help: For example `true`.

            error[E0203]: `demo.size` is a number with a fraction
              --> hosts/a.toml:10:16
               |
            10 |         size = 1.5
               |                ^^^ expected a size in quotes
               |
               = help: For example `"256MiB"`.

            error[E0203]: `demo.words` is text
              --> hosts/a.toml:11:17
               |
            11 |         words = "a"
               |                 ^^^ expected a list in `[ ]`
               |
               = help: Write `["a"]`.

            error[E0203]: `demo.sites` is a list
              --> hosts/a.toml:12:17
               |
            12 |         sites = []
               |                 ^^ expected a table
               |
               = help: For example `{ "www.example.org" = { to = "127.0.0.1:8080" } }`.
        "#]],
    );
}

#[test]
fn numbers_beyond_any_integer_are_out_of_range() {
    check(
        "name = \"a\"\nport = 99999999999999999999999999999999\n",
        &expect![[r#"
        error[E0205]: `99999999999999999999999999999999` is out of range
         --> hosts/a.toml:6:8
          |
        6 | port = 99999999999999999999999999999999
          |        ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ expected a number from 1 to 65535
    "#]],
    );
    check(
        "name = \"a\"\nport = -0\n",
        &expect![[r#"
        error[E0205]: `-0` is out of range
         --> hosts/a.toml:6:8
          |
        6 | port = -0
          |        ^^ expected a number from 1 to 65535
    "#]],
    );
}
