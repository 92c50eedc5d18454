//! What tests of running hosts share: variants of vps1 built into the shared store, and a machine that runs one.

#![expect(clippy::print_stdout, reason = "what an import costs is worth reading")]

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
use nexus_host::lower::tools::TEST;
use nexus_host::store::StorePath;
use nexus_host::tree::TreePath;
use nexus_host::vm::kvm::Accelerator;
use nexus_host::vm::network::NetworkOptions;
use nexus_host::vm::pinned::Pinned;
use nexus_host::vm::qemu::{Firmware, Hardware};
use nexus_host::vm::{Machine, MachineOptions, Network};
use serde_json::Value;

use crate::support::{Workspace, program, shared_directory};
use crate::toolbox::unpacked;

/// The program, as it lies on a host.
pub(crate) const AGENT: &str = "/usr/lib/nexus-host/nexus-agent";
/// Units that a change of another one must not touch.
pub(crate) const BYSTANDERS: [&str; 5] = [
    "caddy.service",
    "ssh.service",
    "systemd-journald.service",
    "systemd-networkd.service",
    "dbus.service",
];
/// How long a boot may take on a machine that does other work, too.
pub(crate) const BOOT_WITHIN: Duration = Duration::from_secs(400);
/// How long a command in a machine may take.
pub(crate) const LONG: Duration = Duration::from_secs(240);

/// Where hosts are built and machines started.
pub(crate) struct Bench {
    pub(crate) workspace: Workspace,
    pub(crate) store: Store,
}

impl Bench {
    pub(crate) fn new() -> Self {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("hosts/vps1.toml");
        let text = std::fs::read_to_string(file).unwrap();
        let workspace = Workspace::with_host("vps1", &text);
        let store = Store::open(&shared_directory().join("data/nexus-host")).unwrap();
        Self { workspace, store }
    }

    /// Builds vps1 with another page, another limit of its service, and more at the end.
    pub(crate) fn build(&self, page: &str, memory: &str, more: &str) -> String {
        let limit = format!("memory_max = \"{memory}\"");
        self.build_changed(page, &[("memory_max = \"128MiB\"", &limit)], more)
    }

    pub(crate) fn build_changed(&self, page: &str, changes: &[(&str, &str)], more: &str) -> String {
        self.write_changed(page, changes, more);
        let built = self.workspace.run(&["build", "vps1", "--json"]).expect(0).json();
        built["hosts"][0]["system"].as_str().unwrap().to_owned()
    }

    /// Writes the host file of vps1 with another page, other words in place of some, and more at the end.
    pub(crate) fn write_changed(&self, page: &str, changes: &[(&str, &str)], more: &str) {
        self.workspace.write("hosts/vps1.toml", &Self::changed(page, changes, more));
    }

    /// The host file of vps1 with another page, other words in place of some, and more at the end.
    pub(crate) fn changed(page: &str, changes: &[(&str, &str)], more: &str) -> String {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("hosts/vps1.toml");
        let mut text = std::fs::read_to_string(file).unwrap();
        let page = format!("<p>{page}</p>");
        for (from, to) in changes.iter().chain(&[("<p>Hello from vps1.</p>", page.as_str())]) {
            assert!(text.contains(from), "vps1 is another host now: no {from}");
            text = text.replacen(from, to, 1);
        }
        format!("{text}\n{more}")
    }

    /// Builds vps1 with another page and one more argument of the kernel.
    pub(crate) fn build_with_kernel(&self, page: &str, argument: &str) -> String {
        let kernel = "kernel = \"cloud\"";
        let with = format!("kernel_arguments = [\"{argument}\"]\n{kernel}");
        self.build_changed(page, &[(kernel, &with)], "")
    }

    pub(crate) fn uefi(&self) -> Firmware {
        let layers = self.tools();
        let file = |name: &str| {
            let place = format!("usr/share/OVMF/{name}");
            layers.iter().map(|layer| layer.join(&place)).find(|path| path.is_file()).unwrap()
        };
        Firmware::Ovmf { code: file("OVMF_CODE_4M.fd"), variables: file("OVMF_VARS_4M.fd") }
    }

    pub(crate) fn image(&self) -> PathBuf {
        let built = self.workspace.run(&["build", "vps1", "--image", "raw", "--json"]);
        built.expect(0).json()["hosts"][0]["image"].as_str().unwrap().into()
    }

    /// The unpacked tools of the lock.
    pub(crate) fn tools(&self) -> Vec<PathBuf> {
        let lock = std::fs::read(self.workspace.path().join("hosts/vps1.lock")).unwrap();
        let lock: Lock = String::from_utf8(lock).unwrap().parse().unwrap();
        unpacked(&lock, TEST, &self.store)
    }

    pub(crate) fn start(&self, image: &Path) -> Host {
        self.start_on(image, Firmware::SeaBios)
    }

    pub(crate) fn start_on(&self, image: &Path, firmware: Firmware) -> Host {
        self.start_named(&format!("switch-{}", firmware.name()), image, firmware)
    }

    /// Tests that run at the same time need names of their own.
    pub(crate) fn start_named(&self, name: &str, image: &Path, firmware: Firmware) -> Host {
        let (accelerator, _) = Accelerator::best();
        self.start_hardware(name, image, Hardware::new(firmware, accelerator))
    }

    /// With every write of its disk recorded.
    pub(crate) fn start_recorded(&self, name: &str, image: &Path, firmware: Firmware) -> Host {
        let (accelerator, _) = Accelerator::best();
        let mut hardware = Hardware::new(firmware, accelerator);
        hardware.records_writes = true;
        self.start_hardware(name, image, hardware)
    }

    /// With a disk that is a GiB larger than `image`.
    pub(crate) fn start_hardware(&self, name: &str, image: &Path, hardware: Hardware) -> Host {
        let scratch = tempfile::tempdir().unwrap();
        let accounts = scratch.path().join("accounts");
        let passwd = b"root:x:0:0:root:/root:/bin/sh\n";
        nexus_host::exec::files::write_scratch(&accounts.join("etc/passwd"), passwd).unwrap();
        let variables: BTreeMap<OsString, OsString> = BTreeMap::new();
        let environment =
            Environment::new(variables, self.workspace.path(), Path::new(program()), 0);
        let layers = std::iter::once(accounts).chain(self.tools()).collect();
        let interrupt = Interrupt::default();
        let logs = shared_directory().join("logs");
        std::fs::create_dir_all(&logs).unwrap();
        let options = MachineOptions {
            name: name.to_owned(),
            image: image.to_owned(),
            disk_bytes: Some(std::fs::metadata(image).unwrap().len() + (1 << 30)),
            hardware,
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
pub(crate) struct Host {
    pub(crate) machine: Machine,
    _scratch: tempfile::TempDir,
}

impl Host {
    pub(crate) fn wait_idle(&mut self) {
        let idle = "systemctl is-system-running --wait || true";
        let state = self.machine.shell().run(idle, LONG).unwrap().text();
        assert_eq!(state, "running", "{}", self.run("systemctl list-units --failed --no-legend"));
    }

    #[track_caller]
    pub(crate) fn run(&mut self, command: &str) -> String {
        self.machine.shell().succeed(command).unwrap()
    }

    /// Runs the agent; its exit code must be `code`.
    #[track_caller]
    pub(crate) fn agent(&mut self, words: &str, code: i32) -> String {
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
    pub(crate) fn fails(&mut self, words: &str, expected: &str) {
        let output = self.machine.shell().run(&format!("{AGENT} {words}"), LONG).unwrap();
        assert_eq!(output.status, 4, "{words}: {}", output.stderr);
        assert!(output.stderr.contains(expected), "{}", output.stderr);
    }

    #[track_caller]
    pub(crate) fn json(&mut self, words: &str) -> Value {
        let text = self.agent(words, 0);
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    #[track_caller]
    pub(crate) fn activate(&mut self, words: &str, code: i32) -> Vec<Value> {
        self.activate_with(&format!("activate {words}"), code)
    }

    #[track_caller]
    pub(crate) fn activate_with(&mut self, words: &str, code: i32) -> Vec<Value> {
        let text = self.agent(words, code);
        let lines = text.lines().filter(|line| !line.is_empty());
        lines.map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The events of an attempt, once one of them is `event`.
    pub(crate) fn follow(&mut self, nonce: &str, event: &str) -> Vec<Value> {
        let log = format!("/run/nexus-host/attempts/{nonce}.log");
        let wait = format!("grep -q '\"event\":\"{event}\"' {log}");
        self.machine.shell().wait_until_succeeds(&wait, LONG).unwrap();
        let text = self.run(&format!("cat {log}"));
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Checks which generations were booted, run, and are booted next; gives the whole status.
    #[track_caller]
    pub(crate) fn expect_numbers(&mut self, booted: u32, running: u32, default: u32) -> Value {
        let status = self.json("status --json");
        let found = [&status["booted"]["number"], &status["running"]["number"], &status["default"]];
        assert_eq!(found, [&booted.into(), &running.into(), &Value::from(default)], "{status:#}");
        status
    }

    pub(crate) fn page(&mut self) -> String {
        let page = "curl -sf --retry 20 --retry-connrefused --retry-delay 1 http://127.0.0.1:8080/";
        let page = self.run(page);
        let inner = page.split("<p>").nth(1).and_then(|rest| rest.split("</p>").next());
        inner.unwrap_or(&page).to_owned()
    }

    pub(crate) fn main_pids(&mut self) -> BTreeMap<String, String> {
        let units: Vec<&str> = BYSTANDERS.into_iter().chain(["hello.service"]).collect();
        let pid = |host: &mut Self, unit: &str| {
            host.run(&format!("systemctl show -p MainPID --value {unit}"))
        };
        units.into_iter().map(|unit| (unit.to_owned(), pid(self, unit))).collect()
    }

    /// Runs the agent with words that end in a boot, and waits for that.
    pub(crate) fn boots_by(&mut self, words: &str) {
        self.agent(&format!("{words} --detach"), 0);
        self.wait_booted();
    }

    /// The same for a soft reboot, after which the kernel still has the id of its boot.
    pub(crate) fn boots_softly_by(&mut self, words: &str) {
        let from = self.machine.console_end();
        self.agent(&format!("{words} --detach"), 0);
        self.machine.wait_for_console(&["login:"], from, BOOT_WITHIN).unwrap();
        self.wait_idle();
    }

    /// Waits for a boot that has begun, or will by itself.
    pub(crate) fn wait_booted(&mut self) {
        self.machine.wait_booted(BOOT_WITHIN).unwrap();
        self.wait_idle();
    }

    pub(crate) fn reboot(&mut self) {
        self.machine.reboot(BOOT_WITHIN).unwrap();
        self.wait_idle();
    }

    /// Brings what `new` needs and `old` has not.
    pub(crate) fn import(&mut self, bench: &Bench, old: &str, new: &str) {
        self.import_up_to(bench, old, new, 100_000);
    }

    /// The same, of at most so many bytes.
    pub(crate) fn import_up_to(&mut self, bench: &Bench, old: &str, new: &str, bytes_max: usize) {
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
        let mut sender = sending::Sender::new(&sources, 19).unwrap();
        for (want, base) in wants.iter().filter(|(want, _)| want.size > 0) {
            match base {
                None => sender.send(want, &mut stream).unwrap(),
                Some(base) => sender.send_difference(want, base, &mut stream).unwrap(),
            };
        }
        stream.extend(b"done\n");
        println!("import of {new}: {} bytes sent", stream.len());
        assert!(stream.len() < bytes_max, "a change of configuration costs {} bytes", stream.len());
        self.machine.shell().write_file("/run/import", &stream).unwrap();
        let said = self.agent("import </run/import", 0);
        assert!(said.contains("valid ") && said.ends_with("done"), "{said}");
        assert_eq!(self.run(&format!("echo {new} | {AGENT} missing")), "");
    }
}
