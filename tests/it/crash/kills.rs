//! A machine that is killed at random moments of changes, again and again, on one disk.
//!
//! `NEXUS_HOST_KILLS` is how often; the default is what every change can afford.

use std::time::Duration;

use nexus_host::vm::qemu::Firmware;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use crate::bench::{AGENT, Bench, Host};
use crate::support::how_often;

const KILLS: usize = 2;

#[test]
fn vm_a_machine_that_is_killed_at_random_moments_comes_back_whole() {
    let bench = Bench::new();
    let first = bench.build("one", "128MiB", "");
    let image = bench.image();
    let second = bench.build("two", "96MiB", "");
    let third = bench.build("three", "96MiB", "");
    let mut host = bench.start_named("kills", &image, Firmware::SeaBios);
    let kills = how_often("NEXUS_HOST_KILLS").unwrap_or(KILLS);
    let mut random = StdRng::seed_from_u64(7);
    for kill in 0..kills {
        let before = default_of(&mut host);
        let what = begin(&bench, &mut host, kill, [&first, &second]);
        // Most of a change takes two to six seconds in a translated machine.
        let wait = Duration::from_millis(random.gen_range(0..6000));
        std::thread::sleep(wait);
        host.machine.start_again().unwrap();
        host.wait_booted();
        let status = host.json("status --json");
        let (default, running) = (&status["default"], &status["running"]["number"]);
        println!("killed {wait:?} into {what}: default {before} → {default}, runs {running}");
        let page = host.page();
        assert!(["one", "two", "three"].contains(&page.as_str()), "{page}");
        assert_eq!(host.run("systemctl list-units --failed --no-legend"), "");
        if what == "a window" {
            assert_eq!((&before, &before), (default, running), "{status:#}");
        }
    }
    assert_eq!(host.agent("verify", 0), "all store paths are whole");
    // It can still be changed in every way.
    host.import(&bench, &first, &third);
    host.activate(&format!("{third} --again"), 0);
    assert_eq!(host.page(), "three");
    host.json("gc --keep 1");
    host.reboot();
    assert_eq!(host.page(), "three");
}

fn default_of(host: &mut Host) -> serde_json::Value {
    host.json("status --json")["default"].clone()
}

/// Begins a change of one kind after the other.
fn begin(bench: &Bench, host: &mut Host, kill: usize, systems: [&str; 2]) -> &'static str {
    let nonce = format!("{kill:032x}");
    let status = host.json("status --json");
    let running = status["running"]["system"].as_str().unwrap();
    let [first, second] = systems;
    let other = if running == first { second } else { first };
    if !host.run(&format!("echo {other} | {AGENT} missing")).is_empty() {
        host.import(bench, running, other);
    }
    match kill % 4 {
        0 => {
            host.activate(&format!("{other} --trial --again --window 900 --nonce {nonce}"), 0);
            "a window"
        }
        1 => {
            host.agent(&format!("activate {other} --again --detach --nonce {nonce}"), 0);
            "a change that is kept"
        }
        2 => {
            host.run(&format!(
                "(while {AGENT} pin 1 && {AGENT} unpin 1; do :; done) >/dev/null 2>&1 &"
            ));
            "pins and unpins"
        }
        _ => {
            let change = format!("{AGENT} activate {other} --again && {AGENT} gc --keep 1");
            host.run(&format!("({change}) >/dev/null 2>&1 &"));
            "a change and a collection"
        }
    }
}
