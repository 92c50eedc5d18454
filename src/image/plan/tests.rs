//! Tests of partition plans.

use expect_test::{Expect, expect};

use super::{DiskPlan, MebiBytes};

#[track_caller]
fn check(text: &str, expected: &Expect) {
    let shown = match DiskPlan::parse(text) {
        Ok(DiskPlan { disk, esp, root_free }) => {
            let disk = disk.map_or("minimum".to_owned(), |disk| disk.to_string());
            format!("disk {disk} esp {esp} free {root_free}")
        }
        Err(error) => error.to_string(),
    };
    expected.assert_eq(&shown);
}

fn plan(disk: &str, esp: &str, free: &str) -> String {
    format!("[disk]\nsize = \"{disk}\"\n[esp]\nsize = \"{esp}\"\n[root]\nfree = \"{free}\"\n")
}

#[test]
fn the_shipped_plan_is_valid() {
    check(
        include_str!("../../../images/default.toml"),
        &expect!["disk minimum esp 128MiB free 256MiB"],
    );
}

#[test]
fn sizes() {
    check(&plan("8GiB", "96MiB", "2048MiB"), &expect!["disk 8GiB esp 96MiB free 2GiB"]);
    check(
        &plan("8 GiB", "96MiB", "1GiB"),
        &expect![[r#"`disk.size = "8 GiB"` is not a size: expected a number and `MiB` or `GiB`"#]],
    );
    check(
        &plan("minimum", "63MiB", "1GiB"),
        &expect![[r#"`esp.size = "63MiB"` is out of range: expected 64MiB to 2GiB"#]],
    );
    check(
        &plan("minimum", "3GiB", "1GiB"),
        &expect![[r#"`esp.size = "3GiB"` is out of range: expected 64MiB to 2GiB"#]],
    );
    check(
        &plan("minimum", "96MiB", "99999999999999999999GiB"),
        &expect![[
            r#"`root.free = "99999999999999999999GiB"` is not a size: expected a number and `MiB` or `GiB`"#
        ]],
    );
}

#[test]
fn what_is_no_size() {
    for text in
        ["", "MiB", "0MiB", "08MiB", "+1MiB", "-1MiB", "1.5GiB", "1GB", "1", "1gib", "17000GiB"]
    {
        assert_eq!(MebiBytes::parse(text), None, "{text}");
    }
    assert_eq!(MebiBytes::parse("16384GiB").unwrap().bytes(), 16 << 40);
}

#[test]
fn other_shapes() {
    check("", &expect!["the partition plan is not valid: missing field `disk`"]);
    check(
        &(plan("minimum", "96MiB", "1GiB") + "[swap]\n"),
        &expect![
            "the partition plan is not valid: unknown field `swap`, expected one of `disk`, `esp`, `root`"
        ],
    );
    check(
        &plan("minimum", "96MiB", "1GiB").replace("free", "fre"),
        &expect!["the partition plan is not valid: unknown field `fre`, expected `free`"],
    );
    check("[disk", &expect!["the partition plan is not valid: unclosed table, expected `]`"]);
}
