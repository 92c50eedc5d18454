//! Tests of reading dpkg's output.

use expect_test::{Expect, expect};

use super::{find, output_of};

#[track_caller]
fn check(log: &str, expected: &Expect) {
    expected.assert_eq(&format!("{:?}\n{}", find(log), output_of(log)));
}

const POSTINST: &str = "\
Setting up fine (1.0) ...
all is well
Setting up broken (1.0) ...
one
two
dpkg: error processing package broken (--configure):
 installed broken package post-installation script subprocess returned error exit status 3
dpkg: too many errors, stopping
Errors were encountered while processing:
 broken
";

#[test]
fn a_script_is_named_with_its_status_and_its_output() {
    check(
        POSTINST,
        &expect![[r#"
        Some(Failed { package: "broken", script: "postinst", status: "exit status 3" })
        one
        two
    "#]],
    );
}

#[test]
fn a_script_that_was_killed_is_named() {
    let log = POSTINST.replace("returned error exit status 3", "was killed by signal (Killed)");
    check(
        &log,
        &expect![[r#"
        Some(Failed { package: "broken", script: "postinst", status: "was killed by signal (Killed)" })
        one
        two
    "#]],
    );
}

#[test]
fn packages_that_do_not_fit_are_no_script() {
    let log = "dpkg: dependency problems prevent configuration of x:\n x depends on y\n\
               dpkg: error processing package x (--configure):\n dependency problems - leaving unconfigured\n";
    check(
        log,
        &expect![[r"
        None
        dpkg: dependency problems prevent configuration of x:
         x depends on y
    "]],
    );
}

#[test]
fn output_of_something_else_is_given_whole() {
    check(
        "first\nlast\n",
        &expect![[r"
        None
        first
        last
    "]],
    );
}
