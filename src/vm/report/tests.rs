//! Tests of the three forms of a report.

use super::*;
use expect_test::expect;
use proptest::prelude::*;

fn result(name: &str, outcome: Outcome, seen: &str) -> CheckResult {
    let (name, seen) = (name.to_owned(), seen.to_owned());
    CheckResult { name, outcome, seen, duration: Duration::from_millis(1250) }
}

fn machine(name: &str, checks: Vec<CheckResult>, machine_id: &str) -> Report {
    let host_keys = BTreeSet::from([format!("ssh-ed25519 AAAA{machine_id}")]);
    Report {
        machine: name.to_owned(),
        firmware: "bios".to_owned(),
        accelerator: "tcg".to_owned(),
        checks,
        boot: BootTimes {
            first_output: Some(Duration::from_millis(900)),
            kernel: Some(Duration::from_secs(2)),
            total: Some(Duration::from_secs(18)),
            cpu_seconds: Some(20.5),
            ..BootTimes::default()
        },
        identity: Some(Identity { machine_id: machine_id.to_owned(), host_keys }),
        log: "/logs/console".into(),
        console_tail: None,
    }
}

fn example() -> TestReport {
    let good = vec![result("boots", Outcome::Passed, "running\nwith <two> lines")];
    let bad = vec![
        result("boots", Outcome::Failed, "\"never\" & 'again' \u{1b}[31m"),
        result("http", Outcome::Skipped, "`boots` failed"),
    ];
    let mut failed = machine("vps1-uefi", bad, "b");
    failed.boot = BootTimes::default();
    failed.console_tail = Some("Kernel panic\n<4>end".to_owned());
    let machines = vec![machine("vps1-bios", good, "a"), failed];
    let mut report =
        TestReport::new("vps1", "/nix/store/x-system-vps1", machines, Duration::from_secs(61));
    report.notes.push("KVM was passed over".to_owned());
    report
}

#[test]
fn the_transcript() {
    expect![[r#"
        note: KVM was passed over
        vps1-bios (bios, tcg): first output 0.9 s, kernel 2.0 s, total 18.0 s, 20.5 s of processor
          ok   boots: running (1.2 s)
               with <two> lines
        vps1-uefi (bios, tcg): no boot
          FAIL boots: "never" & 'again' �[31m (1.2 s)
          skip http: `boots` failed (1.2 s)
          last lines of the console:
            | Kernel panic
            | <4>end
          whole console: /logs/console
        all machines
          ok   identity is made at first boot: 2 machines, each with its own machine-id and SSH host keys (0.0 s)
        vps1: FAILED (2 passed, 1 failed, 1 skipped, 61.0 s)
    "#]].assert_eq(&example().to_text());
}

#[test]
fn the_json_document() {
    expect![[r#"
        {
          "version": 1,
          "passed": false,
          "host": "vps1",
          "system": "/nix/store/x-system-vps1",
          "seconds": 61.0,
          "notes": [
            "KVM was passed over"
          ],
          "machines": [
            {
              "machine": "vps1-bios",
              "firmware": "bios",
              "accelerator": "tcg",
              "checks": [
                {
                  "name": "boots",
                  "outcome": "passed",
                  "seen": "running\nwith <two> lines",
                  "seconds": 1.25
                }
              ],
              "boot": {
                "first_output_seconds": 0.9,
                "kernel_seconds": 2.0,
                "initrd_seconds": null,
                "userspace_seconds": null,
                "total_seconds": 18.0,
                "cpu_seconds": 20.5
              },
              "identity": {
                "machine_id": "a",
                "host_keys": [
                  "ssh-ed25519 AAAAa"
                ]
              },
              "log": "/logs/console",
              "console_tail": null
            },
            {
              "machine": "vps1-uefi",
              "firmware": "bios",
              "accelerator": "tcg",
              "checks": [
                {
                  "name": "boots",
                  "outcome": "failed",
                  "seen": "\"never\" & 'again' \u001b[31m",
                  "seconds": 1.25
                },
                {
                  "name": "http",
                  "outcome": "skipped",
                  "seen": "`boots` failed",
                  "seconds": 1.25
                }
              ],
              "boot": {
                "first_output_seconds": null,
                "kernel_seconds": null,
                "initrd_seconds": null,
                "userspace_seconds": null,
                "total_seconds": null,
                "cpu_seconds": null
              },
              "identity": {
                "machine_id": "b",
                "host_keys": [
                  "ssh-ed25519 AAAAb"
                ]
              },
              "log": "/logs/console",
              "console_tail": "Kernel panic\n<4>end"
            }
          ],
          "across": [
            {
              "name": "identity is made at first boot",
              "outcome": "passed",
              "seen": "2 machines, each with its own machine-id and SSH host keys",
              "seconds": 0.0
            }
          ]
        }"#]]
    .assert_eq(&example().to_json());
}

#[test]
fn the_junit_document() {
    expect![[r#"
        <?xml version="1.0" encoding="UTF-8"?>
        <testsuites name="vps1" tests="4" failures="1" skipped="1" time="61.000">
          <testsuite name="vps1-bios" tests="1" failures="0" errors="0" skipped="0" time="1.250">
            <testcase classname="vps1-bios" name="boots" time="1.250"><system-out>running&#10;with &lt;two&gt; lines</system-out></testcase>
          </testsuite>
          <testsuite name="vps1-uefi" tests="2" failures="1" errors="0" skipped="1" time="2.500">
            <testcase classname="vps1-uefi" name="boots" time="1.250"><failure message="&quot;never&quot; &amp; 'again' �[31m"/></testcase>
            <testcase classname="vps1-uefi" name="http" time="1.250"><skipped message="`boots` failed"/></testcase>
            <system-err>Kernel panic&#10;&lt;4&gt;end</system-err>
          </testsuite>
          <testsuite name="vps1-all" tests="1" failures="0" errors="0" skipped="0" time="0.000">
            <testcase classname="vps1-all" name="identity is made at first boot" time="0.000"><system-out>2 machines, each with its own machine-id and SSH host keys</system-out></testcase>
          </testsuite>
        </testsuites>
    "#]].assert_eq(&example().to_junit());
}

#[test]
fn a_test_passes_only_when_every_check_of_every_machine_did() {
    let passed = |outcomes: &[Outcome]| {
        let checks = outcomes.iter().map(|outcome| result("x", *outcome, "")).collect();
        TestReport::new("h", "s", vec![machine("m", checks, "a")], Duration::ZERO).passed()
    };
    assert!(passed(&[Outcome::Passed, Outcome::Passed]));
    assert!(!passed(&[Outcome::Passed, Outcome::Failed]));
    assert!(!passed(&[Outcome::Passed, Outcome::Skipped]));
    assert!(!TestReport::new("h", "s", Vec::new(), Duration::ZERO).passed());
}

#[test]
fn machines_with_the_same_identity_fail_the_test() {
    let checks = || vec![result("x", Outcome::Passed, "")];
    let twins = vec![machine("m1", checks(), "a"), machine("m2", checks(), "a")];
    let report = TestReport::new("h", "s", twins, Duration::ZERO);
    assert!(!report.passed());
    let expected = "m1 and m2 have the same host key ssh-ed25519 AAAAa…; \
                    m1 and m2 have the same machine-id";
    assert_eq!(report.across[0].seen, expected);
}

proptest! {
    /// No text can leave its attribute or element, or hold what XML forbids.
    #[test]
    fn escaped_text_stays_where_it_is(text: String) {
        let escaped = escaped(&text);
        let forbidden = ['<', '>', '"', '\n', '\0', '\u{1b}', '\u{fffe}'];
        prop_assert!(!escaped.contains(forbidden));
        let entities = ["&amp;", "&lt;", "&gt;", "&quot;", "&#10;", "&#9;"];
        for (at, _) in escaped.match_indices('&') {
            let known = entities.iter().any(|entity| escaped[at..].starts_with(entity));
            prop_assert!(known);
        }
    }
}
