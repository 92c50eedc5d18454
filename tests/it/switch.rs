//! A host is switched while it runs, in a real machine: what is touched, what is not, and the way back.

#![expect(clippy::print_stdout, reason = "the times of a switch are worth reading")]

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use nexus_host::agent::protocol::{FIRST_LINE, ListedNode, Want};
use nexus_host::agent::sending;
use nexus_host::debian::lock::Lock;
use nexus_host::exec::environment::Environment;
use nexus_host::exec::interrupt::Interrupt;
use nexus_host::exec::store::Store;
use nexus_host::lower::tools::{TEST, tools_for};
use nexus_host::store::StorePath;
use nexus_host::tree::TreePath;
use nexus_host::vm::kvm::Accelerator;
use nexus_host::vm::network::NetworkOptions;
use nexus_host::vm::pinned::Pinned;
use nexus_host::vm::qemu::{Firmware, Hardware};
use nexus_host::vm::{Machine, MachineOptions, Network};
use serde_json::Value;

use crate::support::{Workspace, program, shared_directory};

/// The program, as it lies on a host.
const AGENT: &str = "/usr/lib/nexus-host/nexus-agent";
/// Units that a change of another one must not touch.
const BYSTANDERS: [&str; 5] = [
    "caddy.service",
    "ssh.service",
    "systemd-journald.service",
    "systemd-networkd.service",
    "dbus.service",
];
const BOOT_WITHIN: Duration = Duration::from_secs(400);
const LONG: Duration = Duration::from_secs(240);

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
    host.machine.wait_booted(BOOT_WITHIN).unwrap();
    host.wait_idle();
    let status = host.expect_numbers(1, 1, 1);
    assert_eq!(status["trial"], Value::Null, "{status:#}");
    let reason = "the host was restarted before it was confirmed";
    assert_eq!(status["generations"][1]["reason"], reason, "{status:#}");
    assert_eq!(host.page(), "one");

    // A soft reboot: all of user space is new, the kernel is the same.
    let nonce = "b".repeat(32);
    let words =
        format!("{second} --trial --again --level soft-reboot --window 900 --nonce {nonce}");
    let from = host.machine.console_end();
    host.activate(&format!("{words} --detach"), 0);
    host.machine.wait_for_console(&["login:"], from, BOOT_WITHIN).unwrap();
    host.wait_idle();
    assert_eq!(host.run("systemctl show -p SoftRebootsCount --value"), "1");
    host.expect_numbers(1, 2, 1);
    host.agent(&format!("confirm {nonce}"), 0);
    host.expect_numbers(1, 2, 2);
    assert_eq!(host.page(), "two");

    // Other arguments of the kernel: only a boot brings them, and it is counted until it is confirmed.
    let third = bench.build_with_kernel("three", "nexus.test=3");
    host.import(&bench, &second, &third);
    let nonce = "c".repeat(32);
    host.activate(&format!("{third} --trial --window 900 --nonce {nonce} --detach"), 0);
    host.machine.shell().wait_ready(BOOT_WITHIN).unwrap();
    host.wait_idle();
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

/// Where hosts are built and machines started.
struct Bench {
    workspace: Workspace,
    store: Store,
}

impl Bench {
    fn new() -> Self {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("hosts/vps1.toml");
        let text = std::fs::read_to_string(file).unwrap();
        let workspace = Workspace::with_host("vps1", &text);
        let store = Store::open(&shared_directory().join("data/nexus-host")).unwrap();
        Self { workspace, store }
    }

    /// Builds vps1 with another page, another limit of its service, and more at the end.
    fn build(&self, page: &str, memory: &str, more: &str) -> String {
        let limit = format!("memory_max = \"{memory}\"");
        self.build_changed(page, &[("memory_max = \"128MiB\"", &limit)], more)
    }

    fn build_changed(&self, page: &str, changes: &[(&str, &str)], more: &str) -> String {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("hosts/vps1.toml");
        let mut text = std::fs::read_to_string(file).unwrap();
        let page = format!("<p>{page}</p>");
        for (from, to) in changes.iter().chain(&[("<p>Hello from vps1.</p>", page.as_str())]) {
            assert!(text.contains(from), "vps1 is another host now: no {from}");
            text = text.replacen(from, to, 1);
        }
        self.workspace.write("hosts/vps1.toml", &format!("{text}\n{more}"));
        let built = self.workspace.run(&["build", "vps1", "--json"]).expect(0).json();
        built["hosts"][0]["system"].as_str().unwrap().to_owned()
    }

    /// Builds vps1 with another page and one more argument of the kernel.
    fn build_with_kernel(&self, page: &str, argument: &str) -> String {
        let kernel = "kernel = \"cloud\"";
        let with = format!("kernel_arguments = [\"{argument}\"]\n{kernel}");
        self.build_changed(page, &[(kernel, &with)], "")
    }

    fn uefi(&self) -> Firmware {
        let layers = self.tools();
        let file = |name: &str| {
            let place = format!("usr/share/OVMF/{name}");
            layers.iter().map(|layer| layer.join(&place)).find(|path| path.is_file()).unwrap()
        };
        Firmware::Ovmf { code: file("OVMF_CODE_4M.fd"), variables: file("OVMF_VARS_4M.fd") }
    }

    fn image(&self) -> PathBuf {
        let built = self.workspace.run(&["build", "vps1", "--image", "raw", "--json"]);
        built.expect(0).json()["hosts"][0]["image"].as_str().unwrap().into()
    }

    /// The unpacked tools of the lock; `test` brings them when they are not there.
    fn tools(&self) -> Vec<PathBuf> {
        let lock = std::fs::read(self.workspace.path().join("hosts/vps1.lock")).unwrap();
        let lock: Lock = String::from_utf8(lock).unwrap().parse().unwrap();
        let names: BTreeSet<String> = tools_for(&lock, TEST)
            .iter()
            .map(|tool| format!("{}_{}_{}", tool.name, tool.version, tool.architecture))
            .map(|name| name.replace([':', '~'], "-"))
            .collect();
        let find = || -> Vec<PathBuf> {
            let entries = std::fs::read_dir(self.store.root().join("nix/store")).unwrap();
            let is_tool = |name: &str| name.len() > 33 && names.contains(&name[33..]);
            entries
                .map(|entry| entry.unwrap())
                .filter(|entry| entry.file_name().to_str().is_some_and(is_tool))
                .map(|entry| entry.path().join("data"))
                .collect()
        };
        if find().len() < names.len() {
            self.workspace.run(&["test", "vps1", "--json"]).expect(0);
        }
        find()
    }

    fn start(&self, image: &Path) -> Host {
        self.start_on(image, Firmware::SeaBios)
    }

    fn start_on(&self, image: &Path, firmware: Firmware) -> Host {
        let name = format!("switch-{}", firmware.name());
        let scratch = tempfile::tempdir().unwrap();
        let accounts = scratch.path().join("accounts");
        let passwd = b"root:x:0:0:root:/root:/bin/sh\n";
        nexus_host::exec::files::write_scratch(&accounts.join("etc/passwd"), passwd).unwrap();
        let variables: BTreeMap<OsString, OsString> = BTreeMap::new();
        let environment =
            Environment::new(variables, self.workspace.path(), Path::new(program()), 0);
        let layers = std::iter::once(accounts).chain(self.tools()).collect();
        let interrupt = Interrupt::default();
        let (accelerator, _) = Accelerator::best();
        let logs = shared_directory().join("logs");
        std::fs::create_dir_all(&logs).unwrap();
        let options = MachineOptions {
            name: name.clone(),
            image: image.to_owned(),
            disk_bytes: Some(std::fs::metadata(image).unwrap().len() + (1 << 30)),
            hardware: Hardware::new(firmware, accelerator),
            networks: vec![Network::start(NetworkOptions::default(), interrupt.clone()).unwrap()],
            credentials: Vec::new(),
            scratch: scratch.path().to_owned(),
            log: logs.join(format!("{name}.log")),
            // One of the systems does not boot, on purpose.
            trouble_is_fatal: false,
            launch: Arc::new(Pinned { environment, layers }),
            interrupt,
        };
        let mut machine = Machine::start(options).unwrap();
        machine.wait_booted(BOOT_WITHIN).unwrap();
        let mut host = Host { machine, _scratch: scratch };
        host.wait_idle();
        host
    }
}

/// A running machine.
struct Host {
    machine: Machine,
    _scratch: tempfile::TempDir,
}

impl Host {
    fn wait_idle(&mut self) {
        let idle = "systemctl is-system-running --wait || true";
        let state = self.machine.shell().run(idle, LONG).unwrap().text();
        assert_eq!(state, "running", "{}", self.run("systemctl list-units --failed --no-legend"));
    }

    #[track_caller]
    fn run(&mut self, command: &str) -> String {
        self.machine.shell().succeed(command).unwrap()
    }

    /// Runs the agent; its exit code must be `code`.
    #[track_caller]
    fn agent(&mut self, words: &str, code: i32) -> String {
        let output = self.machine.shell().run(&format!("{AGENT} {words}"), LONG).unwrap();
        let log = "journalctl -b --no-pager -o cat -u 'nexus-*' | tail -40";
        assert_eq!(
            output.status,
            code,
            "nexus-agent {words}:\n{}\n{}\n{}",
            output.text(),
            output.stderr,
            self.run(log)
        );
        output.text()
    }

    #[track_caller]
    fn fails(&mut self, words: &str, expected: &str) {
        let output = self.machine.shell().run(&format!("{AGENT} {words}"), LONG).unwrap();
        assert_eq!(output.status, 4, "{words}: {}", output.stderr);
        assert!(output.stderr.contains(expected), "{}", output.stderr);
    }

    #[track_caller]
    fn json(&mut self, words: &str) -> Value {
        let text = self.agent(words, 0);
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    #[track_caller]
    fn activate(&mut self, words: &str, code: i32) -> Vec<Value> {
        self.activate_with(&format!("activate {words}"), code)
    }

    #[track_caller]
    fn activate_with(&mut self, words: &str, code: i32) -> Vec<Value> {
        let text = self.agent(words, code);
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The events of an attempt, once one of them is `event`.
    fn follow(&mut self, nonce: &str, event: &str) -> Vec<Value> {
        let log = format!("/run/nexus-host/attempts/{nonce}.log");
        let wait = format!("grep -q '\"event\":\"{event}\"' {log}");
        self.machine.shell().wait_until_succeeds(&wait, LONG).unwrap();
        let text = self.run(&format!("cat {log}"));
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Checks which generations were booted, run, and are booted next; gives the whole status.
    #[track_caller]
    fn expect_numbers(&mut self, booted: u32, running: u32, default: u32) -> Value {
        let status = self.json("status --json");
        let found = [&status["booted"]["number"], &status["running"]["number"], &status["default"]];
        assert_eq!(found, [&booted.into(), &running.into(), &Value::from(default)], "{status:#}");
        status
    }

    fn page(&mut self) -> String {
        let page = "curl -sf --retry 20 --retry-connrefused --retry-delay 1 http://127.0.0.1:8080/";
        let page = self.run(page);
        let inner = page.split("<p>").nth(1).and_then(|rest| rest.split("</p>").next());
        inner.unwrap_or(&page).to_owned()
    }

    fn main_pids(&mut self) -> BTreeMap<String, String> {
        let units: Vec<&str> = BYSTANDERS.into_iter().chain(["hello.service"]).collect();
        let pid = |host: &mut Self, unit: &str| {
            host.run(&format!("systemctl show -p MainPID --value {unit}"))
        };
        units.into_iter().map(|unit| (unit.to_owned(), pid(self, unit))).collect()
    }

    fn reboot(&mut self) {
        self.machine.reboot(BOOT_WITHIN).unwrap();
        self.wait_idle();
    }

    /// Brings what `new` needs and `old` has not.
    fn import(&mut self, bench: &Bench, old: &str, new: &str) {
        let path =
            |text: &str| StorePath::from_base_name(text.rsplit('/').next().unwrap()).unwrap();
        let had: BTreeSet<StorePath> =
            bench.store.closure(&[path(old)]).unwrap().into_iter().collect();
        let needed = bench.store.closure(&[path(new)]).unwrap();
        // The images of names differ from the last ones in a few places.
        let base = |part: &str| sending::Base {
            path: path(old),
            inner: TreePath::new(part).unwrap(),
            real: bench.store.real_path(&path(old)).join(part),
        };
        let bases: BTreeMap<TreePath, sending::Base> = ["usr.erofs", "etc.erofs"]
            .map(|part| (TreePath::new(part).unwrap(), base(part)))
            .into();
        let (mut stream, mut sources) = (format!("{FIRST_LINE}\n").into_bytes(), BTreeMap::new());
        let mut wants = Vec::new();
        for path in needed.into_iter().filter(|path| !had.contains(path)) {
            let info = bench.store.info(&path).unwrap().unwrap();
            let real = bench.store.real_path(&path);
            let listing = sending::list(&path, info.references, &real, &mut sources).unwrap();
            for (inner, node) in &listing.entries {
                if let ListedNode::File { digest, size, .. } = node {
                    let want = Want { digest: *digest, size: *size, have: 0 };
                    wants.push((want, bases.get(inner)));
                }
            }
            stream.extend(listing.to_text().into_bytes());
        }
        stream.extend(b"go\n");
        for (want, base) in wants.iter().filter(|(want, _)| want.size > 0) {
            match base {
                None => sending::send(want, &sources, 19, &mut stream).unwrap(),
                Some(base) => {
                    sending::send_difference(want, base, &sources, 19, &mut stream).unwrap()
                }
            };
        }
        stream.extend(b"done\n");
        println!("import of {new}: {} bytes sent", stream.len());
        assert!(stream.len() < 100_000, "a change of configuration costs {} bytes", stream.len());
        self.machine.shell().write_file("/run/import", &stream).unwrap();
        let said = self.agent("import </run/import", 0);
        assert!(said.contains("valid ") && said.ends_with("done"), "{said}");
        assert_eq!(self.run(&format!("echo {new} | {AGENT} missing")), "");
    }
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
