//! An activation whose agent is killed, or whose disk is full, at each of its steps.

#![expect(clippy::print_stdout, reason = "what was cut short is worth reading")]

use nexus_host::vm::qemu::Firmware;

use crate::bench::{AGENT, Bench, Host, LONG};

/// Fills the disk to the last block, also what is reserved for root.
const FILL: &str = "n=0; size=$(($(stat -f -c '%f * %S' /var))); \
    while [ $size -ge 4096 ]; do \
      if fallocate -l $size /var/fill.$n 2>/dev/null; then n=$((n+1)); else size=$((size/2)); fi; \
      free=$(($(stat -f -c '%f * %S' /var))); if [ $size -gt $free ]; then size=$free; fi; \
    done; dd if=/dev/zero of=/var/fill.last bs=1024 count=64 2>/dev/null || true";
const EMPTY: &str = "rm -f /var/fill.*; sync";

#[test]
fn vm_an_activation_that_is_cut_short_at_any_step_leaves_what_ran() {
    let bench = Bench::new();
    let first = bench.build("one", "128MiB", "");
    let image = bench.image();
    let second = bench.build("two", "96MiB", "");
    let mut host = bench.start_named("mishaps", &image, Firmware::SeaBios);
    host.import(&bench, &first, &second);

    // One that is left alone shows which steps there are.
    let nonce = "0".repeat(32);
    host.activate(&format!("{second} --trial --window 5 --nonce {nonce}"), 0);
    let steps: Vec<String> = host.follow(&nonce, "returned").iter().map(name_of).collect();
    let awaiting = steps.iter().position(|step| step == "awaiting").unwrap();
    println!("steps: {steps:?}");
    // One check is like another.
    let differs = |index: &usize| *index == 0 || steps[*index] != steps[*index - 1];
    for index in (0..=awaiting).filter(differs) {
        killed(&mut host, &second, index, &steps[index]);
        without_space(&mut host, &second, index, &steps[index]);
    }
    // After all that the host is as good as new.
    let nonce = "f".repeat(32);
    host.activate(&format!("{second} --trial --again --window 120 --nonce {nonce}"), 0);
    host.agent(&format!("confirm {nonce}"), 0);
    assert_eq!(host.page(), "two");
    host.expect_numbers(1, 2, 2);
    assert_eq!(host.agent("verify", 0), "all store paths are whole");
    host.reboot();
    host.expect_numbers(2, 2, 2);
}

fn name_of(event: &serde_json::Value) -> String {
    event["step"].as_str().or(event["event"].as_str()).unwrap().to_owned()
}

fn killed(host: &mut Host, system: &str, index: usize, step: &str) {
    let nonce = format!("{:032x}", 0x100 + index);
    begin(host, system, &nonce);
    let unit = format!("nexus-activate-{nonce}.service");
    let kill = format!("{}; systemctl kill --signal=KILL {unit} || true", after(&nonce, index));
    host.run(&kill);
    wait_ended(host, &nonce);
    expect_one(host, &format!("killed after {step}"));
}

fn without_space(host: &mut Host, system: &str, index: usize, step: &str) {
    let nonce = format!("{:032x}", 0x200 + index);
    begin(host, system, &nonce);
    host.run(&format!("{}; {FILL}", after(&nonce, index)));
    wait_ended(host, &nonce);
    host.run(EMPTY);
    expect_one(host, &format!("a full disk after {step}"));
}

fn begin(host: &mut Host, system: &str, nonce: &str) {
    let words = format!("{system} --trial --again --window 5 --detach --nonce {nonce}");
    host.agent(&format!("activate {words}"), 0);
}

/// Waits for so many more events than the first.
fn after(nonce: &str, index: usize) -> String {
    let log = format!("/run/nexus-host/attempts/{nonce}.log");
    format!(
        "n=0; while [ $(wc -l <{log}) -le {index} ] && [ $n -lt 2000 ]; do n=$((n+1)); sleep 0.01; done"
    )
}

/// Neither the activation nor a way back is at work, or armed, any more.
fn wait_ended(host: &mut Host, nonce: &str) {
    let units = [
        "activate-N.service",
        "dead-N.timer",
        "dead-N.service",
        "return-N.timer",
        "return-N.service",
    ];
    let units = units.map(|unit| format!("nexus-{}", unit.replace('N', nonce))).join(" ");
    let wait =
        format!("! systemctl is-active --quiet {units} && ! systemctl list-jobs | grep -q {nonce}");
    host.machine.shell().wait_until_succeeds(&wait, LONG).unwrap();
}

fn expect_one(host: &mut Host, what: &str) {
    let log = host.run("journalctl -b --no-pager -o cat -n 30 -u 'nexus-*'");
    assert_eq!(host.page(), "one", "{what}:\n{log}");
    let status = host.expect_numbers(1, 1, 1);
    let failed =
        host.run("systemctl list-units --failed --no-legend --plain | grep -v nexus- || true");
    assert_eq!(failed, "", "{what}:\n{log}");
    host.run("systemctl reset-failed 'nexus-*' || true");
    println!(
        "{what}: trial left {}, {}",
        !status["trial"].is_null(),
        host.run(&format!("{AGENT} generations | grep -o '\"reason\": .*' | tail -1"))
    );
}
