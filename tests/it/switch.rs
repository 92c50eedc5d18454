//! A host is switched while it runs, in a real machine: what is touched, what is not, and the way back.

#![expect(clippy::print_stdout, reason = "the times of a switch are worth reading")]

use serde_json::Value;

use crate::bench::{BOOT_WITHIN, BYSTANDERS, Bench};

#[test]
fn vm_a_running_host_is_switched_confirmed_and_goes_back() {
    let bench = Bench::new();
    let first = bench.build("one", "128MiB", "");
    let image = bench.image();
    let second = bench.build("two", "96MiB", "");
    let route = "[routes.\"other.example.org\"]\nto = \"127.0.0.1:8080\"\ntls = \"off\"\n";
    let third = bench.build("three", "96MiB", route);
    let mut host = bench.start(&image);

    host.import(&bench, &first, &second);
    let plan = host.json(&format!("plan {second} --json"));
    assert_eq!(plan["level"], "live", "{plan:#}");
    assert_eq!(plan["restart"], serde_json::json!(["hello.service"]), "{plan:#}");
    for list in ["stop", "reload", "start"] {
        assert_eq!(plan[list], serde_json::json!([]), "{plan:#}");
    }
    let before = host.main_pids();

    // Switched and confirmed: only the changed unit was touched, and the system is the new one.
    let nonce = "1".repeat(32);
    let events = host.activate(&format!("{second} --trial --window 120 --nonce {nonce}"), 0);
    assert_eq!(last(&events), "awaiting", "{events:#?}");
    print_steps(&events);
    let after = host.main_pids();
    assert_ne!(before["hello.service"], after["hello.service"], "the changed unit restarted");
    for unit in BYSTANDERS {
        assert_eq!(before[unit], after[unit], "{unit} was not touched");
    }
    assert_eq!(host.run("systemctl list-units --failed --no-legend"), "");
    assert_eq!(host.page(), "two");
    assert_eq!(host.run("systemctl show -p MemoryMax --value hello.service"), "100663296");
    let status = host.json("status --json");
    assert_eq!(
        (&status["default"], &status["running"]["number"]),
        (&1.into(), &2.into()),
        "{status:#}"
    );
    host.fails(&format!("confirm {}", "2".repeat(32)), "is not the one that waits");
    host.agent(&format!("confirm {nonce}"), 0);
    assert_eq!(host.json("status --json")["default"], 2);
    assert_eq!(host.run("systemctl list-timers --no-legend 'nexus-*' | wc -l"), "0");

    // Not confirmed: it returns by itself, and is not tried again unchanged.
    host.import(&bench, &second, &third);
    let nonce = "3".repeat(32);
    let before = host.main_pids();
    let events = host.activate(&format!("{third} --trial --window 5 --nonce {nonce}"), 0);
    let plan = events.iter().find(|event| event["event"] == "plan").unwrap();
    assert_eq!(plan["plan"]["reload"], serde_json::json!(["caddy.service"]), "{plan:#}");
    assert_eq!(host.page(), "three");
    let events = host.follow(&nonce, "returned");
    print_steps(&events);
    assert_eq!(host.page(), "two");
    assert_eq!(host.main_pids()["caddy.service"], before["caddy.service"], "caddy only reloaded");
    let status = host.json("status --json");
    assert_eq!(
        (&status["default"], &status["running"]["number"]),
        (&2.into(), &2.into()),
        "{status:#}"
    );
    assert_eq!(status["generations"][2]["verdict"], "bad", "{status:#}");
    let again = format!("activate {third} --trial --nonce {}", "4".repeat(32));
    host.fails(&again, "failed before: it was not confirmed within 5 s");

    // A rollback, and a boot into what is the default.
    let events = host.activate_with("rollback 1", 0);
    assert_eq!(last(&events), "kept", "{events:#?}");
    assert_eq!(host.page(), "one");
    host.activate_with("rollback 2", 0);
    host.reboot();
    let status = host.json("status --json");
    assert_eq!(
        (&status["default"], &status["booted"]["number"]),
        (&2.into(), &2.into()),
        "{status:#}"
    );
    assert_eq!(host.page(), "two");
    assert_eq!(host.run("systemctl list-units --failed --no-legend"), "");

    let collected = host.json("gc --keep 1");
    assert_eq!(collected["generations"], serde_json::json!([1]), "{collected:#}");
    assert_eq!(host.page(), "two");
}

#[test]
fn vm_power_cuts_and_boots_end_on_a_generation_that_proved_itself() {
    let bench = Bench::new();
    let first = bench.build("one", "128MiB", "");
    let image = bench.image();
    let second = bench.build("two", "128MiB", "");
    let mut host = bench.start_on(&image, bench.uefi());
    host.import(&bench, &first, &second);

    // The power fails while it waits to be confirmed: the host boots what it ran before.
    let nonce = "a".repeat(32);
    let events = host.activate(&format!("{second} --trial --window 900 --nonce {nonce}"), 0);
    assert_eq!((last(&events), host.page().as_str()), ("awaiting", "two"));
    host.machine.start_again().unwrap();
    host.wait_booted();
    let status = host.expect_numbers(1, 1, 1);
    assert_eq!(status["trial"], Value::Null, "{status:#}");
    let reason = "the host was restarted before it was confirmed";
    assert_eq!(status["generations"][1]["reason"], reason, "{status:#}");
    assert_eq!(host.page(), "one");

    // A soft reboot: all of user space is new, the kernel is the same.
    let nonce = "b".repeat(32);
    let words =
        format!("{second} --trial --again --level soft-reboot --window 900 --nonce {nonce}");
    host.boots_softly_by(&format!("activate {words}"));
    assert_eq!(host.run("systemctl show -p SoftRebootsCount --value"), "1");
    host.expect_numbers(1, 2, 1);
    host.agent(&format!("confirm {nonce}"), 0);
    host.expect_numbers(1, 2, 2);
    assert_eq!(host.page(), "two");

    // Other arguments of the kernel: only a boot brings them, and it is counted until it is confirmed.
    let third = bench.build_with_kernel("three", "nexus.test=3");
    host.import(&bench, &second, &third);
    let nonce = "c".repeat(32);
    host.boots_by(&format!("activate {third} --trial --window 900 --nonce {nonce}"));
    host.expect_numbers(3, 3, 2);
    let esp = "mkdir -p /run/esp && mount -o ro /dev/disk/by-partlabel/nexus-esp /run/esp";
    let entries = format!(
        "{esp} && ls /run/esp/loader/entries && cat /run/esp/loader/loader.conf; umount /run/esp"
    );
    let before = host.run(&entries);
    assert!(before.contains("nexus-3+2-1.conf") && before.contains("default nexus-*"), "{before}");
    host.agent(&format!("confirm {nonce}"), 0);
    let after = host.run(&entries);
    assert!(after.contains("nexus-3.conf") && after.contains("default nexus-3.conf"), "{after}");
    host.expect_numbers(3, 3, 3);

    // A system that does not boot is tried three times; then the last good one comes by itself.
    let fourth = bench.build_with_kernel("four", "init=/does/not/exist");
    host.import(&bench, &third, &fourth);
    let nonce = "d".repeat(32);
    host.activate(&format!("{fourth} --trial --window 900 --nonce {nonce} --detach"), 0);
    host.machine.shell().wait_ready(BOOT_WITHIN * 2).unwrap();
    host.wait_idle();
    let status = host.expect_numbers(3, 3, 3);
    assert_eq!(status["generations"][3]["reason"], "it did not boot", "{status:#}");
    assert!(!host.run(&entries).contains("nexus-4"));
    assert_eq!(host.page(), "three");
}

fn last(events: &[Value]) -> &str {
    events.last().and_then(|event| event["event"].as_str()).unwrap_or_default()
}

/// Shows how long the steps took.
fn print_steps(events: &[Value]) {
    for event in events.iter().filter(|event| event["event"] == "step") {
        println!("{:>12} {:>9} ms", event["step"].as_str().unwrap(), event["milliseconds"]);
    }
}
