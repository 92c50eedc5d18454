//! A stock Debian machine becomes a host, for real: kexec, the disk, the first boot from it. And machines on
//! which it goes wrong come back to what they were.
//!
//! The shell is carried by the test machine's own channel instead of SSH; all else is what happens on a
//! rented machine.

#![expect(clippy::print_stdout, reason = "what a takeover takes is worth reading")]

mod stock;

use std::collections::BTreeMap;
use std::io::{Read, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nexus_host::boot::arguments::{MEMORY, ROOT};
use nexus_host::debian::lock::Lock;
use nexus_host::exec::disk::{DiskRequest, Form, disk_layout};
use nexus_host::exec::environment::Environment;
use nexus_host::exec::init_program::NEXUS_AGENT;
use nexus_host::exec::interrupt::Interrupt;
use nexus_host::exec::rehearsal::{Rehearsal, rehearsal};
use nexus_host::image::plan::DiskPlan;
use nexus_host::image::segment::Layout;
use nexus_host::install::Plan;
use nexus_host::install::findings::{Needs, Wishes, findings};
use nexus_host::install::plan::{Choices, plan};
use nexus_host::store::StorePath;
use nexus_host::takeover::{
    Answer, Cargo, Event, MachineState, Shell, ShellError, Takeover, TakeoverError, Ways,
    ask_facts, take_over,
};
use nexus_host::vm::kvm::Accelerator;
use nexus_host::vm::network::NetworkOptions;
use nexus_host::vm::pinned::Pinned;
use nexus_host::vm::qemu::{Firmware, Hardware};
use nexus_host::vm::{Machine, MachineOptions, Network};

use crate::bench::{BOOT_WITHIN, Bench};
use crate::support::{program, shared_directory};
use crate::toolbox::with_engine;
use stock::stock_image;

const ATTEMPT: &str = "0123456789abcdef0123456789abcdef";
/// Port through which the stock machine takes what is too large for its channel.
const PORT: u16 = 7000;
/// What the old system's disk consists of, beside what any boot of the old system changes: a FAT that is
/// mounted has a mark in its first sectors, so of its boot partition only the kernels are compared.
const DIGESTS: &str = "head -c 2M /dev/vda | sha256sum; tail -c +4194305 /dev/vda2 | sha256sum; \
    cat /root/marker; \
    find /usr/bin /etc /root -xdev -type f -print0 | sort -z | xargs -0 sha256sum | sha256sum";

/// A host, ready to be brought to a machine.
struct Ready {
    system: StorePath,
    rehearsal: Rehearsal,
    layout: Layout,
    kernel: PathBuf,
    arguments: String,
}

impl Ready {
    /// Of vps1 as the bench has it now.
    fn new(bench: &Bench, system: &str) -> Self {
        let system = StorePath::from_base_name(system.rsplit('/').next().unwrap()).unwrap();
        let lock = std::fs::read_to_string(bench.workspace.path().join("hosts/vps1.lock")).unwrap();
        let lock: Lock = lock.parse().unwrap();
        let text =
            "[disk]\nsize = \"minimum\"\n[esp]\nsize = \"128MiB\"\n[root]\nfree = \"256MiB\"\n";
        let disk = DiskPlan::parse(text).unwrap();
        let (rehearsal, layout) = with_engine(&lock, &bench.store, |engine| {
            let request = DiskRequest {
                host: "vps1",
                system: &system,
                lock: &lock,
                plan: &disk,
                form: Form::Raw,
                private: None,
            };
            let rehearsal = rehearsal(engine, "vps1", &system, &lock).unwrap();
            (rehearsal, disk_layout(engine, &request).unwrap())
        });
        let real = bench.store.real_path(&system);
        let kernel = std::fs::read_link(real.join("kernel")).unwrap();
        let kernel = bench.store.root().join(kernel.strip_prefix("/").unwrap());
        let arguments = std::fs::read_to_string(real.join("params")).unwrap();
        Self { system, rehearsal, layout, kernel, arguments }
    }

    fn needs(&self) -> Needs {
        Needs {
            kernel_bytes: std::fs::metadata(&self.kernel).unwrap().len(),
            initrd_bytes: self.rehearsal.bytes,
            unpacked_bytes: self.rehearsal.unpacked_bytes,
            disk_bytes: self.layout.size,
        }
    }
}

/// The machine that is taken over.
struct Victim {
    machine: Machine,
    network: Network,
    /// The same card gets the same address each time, but gives it back when it shuts down.
    address: Ipv4Addr,
    _scratch: tempfile::TempDir,
}

impl Victim {
    fn start(bench: &Bench, name: &str) -> Self {
        let scratch = tempfile::tempdir().unwrap();
        let image = stock_image(&bench.store, scratch.path());
        let accounts = scratch.path().join("accounts");
        let passwd = b"root:x:0:0:root:/root:/bin/sh\n";
        nexus_host::exec::files::write_scratch(&accounts.join("etc/passwd"), passwd).unwrap();
        let environment =
            Environment::new(BTreeMap::default(), bench.workspace.path(), program().as_ref(), 0);
        let layers = std::iter::once(accounts).chain(bench.tools()).collect();
        let interrupt = Interrupt::default();
        let network = Network::start(NetworkOptions::default(), interrupt.clone()).unwrap();
        let logs = shared_directory().join("logs");
        std::fs::create_dir_all(&logs).unwrap();
        let (accelerator, _) = Accelerator::best();
        let mut hardware = Hardware::new(Firmware::SeaBios, accelerator);
        hardware.memory_mib = 2048;
        let options = MachineOptions {
            name: name.to_owned(),
            image,
            disk_bytes: Some(4 << 30),
            hardware,
            networks: vec![network.clone()],
            credentials: Vec::new(),
            scratch: scratch.path().to_owned(),
            log: logs.join(format!("{name}.log")),
            // One of the hosts does not boot, on purpose.
            trouble_is_fatal: false,
            launch: Arc::new(Pinned { environment, layers }),
            interrupt,
        };
        let mut machine = Machine::start(options).unwrap();
        machine.wait_booted(BOOT_WITHIN).unwrap();
        let waiting = (0..120).take_while(|_| network.leases().unwrap().is_empty());
        waiting.for_each(|_| std::thread::sleep(Duration::from_secs(1)));
        let address = *network.leases().unwrap().values().next().expect("it has an address");
        let mut victim = Self { machine, network, address, _scratch: scratch };
        victim.run("systemctl is-system-running --wait || true");
        victim
    }

    #[track_caller]
    fn run(&mut self, command: &str) -> String {
        let output = self.machine.shell().run(command, Duration::from_secs(300)).unwrap();
        assert_eq!(output.status, 0, "{command}: {}", output.for_reading());
        output.text()
    }

    fn plan(&mut self, bench: &Bench, ready: &Ready, return_seconds: u32) -> Plan {
        let facts = ask_facts(&mut *self.old(BOOT_WITHIN).unwrap()).unwrap();
        let wishes = Wishes { keep_host_key: true, ..Wishes::default() };
        let needs = ready.needs();
        // As the host file is evaluated, its interfaces would be compared; a unit test does that.
        let interfaces = BTreeMap::new();
        let (found, disk) = findings(&facts, &needs, &interfaces, &wishes);
        let found = found.into_iter().filter(|f| !f.message.starts_with("no interface")).collect();
        let choices = Choices {
            host: "vps1".into(),
            system: bench.store.directory().join(&ready.system),
            disk,
            keep_host_key: true,
            secrets: true,
            return_seconds,
            agent_bytes: NEXUS_AGENT.len() as u64,
        };
        plan(facts, &needs, found, choices)
    }

    fn take_over(&mut self, ready: &Ready, plan: &Plan) -> Result<Option<String>, TakeoverError> {
        let cargo = Cargo {
            agent: NEXUS_AGENT,
            kernel: &ready.kernel,
            initrd: &ready.rehearsal.path,
            arguments: &ready.arguments,
            layout: &ready.layout,
            identity: Some(b"AGE-SECRET-KEY-OF-A-TEST\n"),
        };
        let takeover = Takeover { plan, cargo, attempt: ATTEMPT };
        println!("{plan}");
        let mut watch = |event: Event| match event {
            Event::Begins(_) => {}
            Event::Done(number, took) => println!("step {number}: {:.1} s", took.as_secs_f64()),
            Event::HostKey(key) => println!("host key {key}"),
        };
        take_over(&takeover, self, &mut watch).map(|installed| installed.host_key)
    }
}

impl Ways for Victim {
    fn old(&mut self, within: Duration) -> Result<Box<dyn Shell + '_>, ShellError> {
        // The channel outlives the system; whether it answers is found out by asking.
        // Several boots may have been announced meanwhile; the last one answers.
        let deadline = Instant::now() + within;
        while self.machine.shell().run("true", Duration::from_secs(5)).is_err() {
            let left = deadline.saturating_duration_since(Instant::now());
            self.machine.wait_booted(left).map_err(broken)?;
        }
        let address = SocketAddr::from((self.address, PORT));
        Ok(Box::new(Channel { victim: self, large: Some(address) }))
    }

    fn new_host(
        &mut self,
        _host_key: Option<&str>,
        within: Duration,
    ) -> Result<Box<dyn Shell + '_>, ShellError> {
        let deadline = Instant::now() + within;
        // Reachable is what answers from outside as an SSH server.
        let ssh = SocketAddr::from((self.address, 22));
        loop {
            let answers =
                self.network.connect(ssh, Duration::from_secs(5)).is_ok_and(|mut socket| {
                    let mut banner = [0; 4];
                    socket.read_exact(&mut banner).is_ok() && banner == *b"SSH-"
                });
            if answers && self.machine.shell().run("true", Duration::from_secs(5)).is_ok() {
                break;
            }
            if answers && self.machine.wait_booted(Duration::from_secs(20)).is_ok() {
                break;
            }
            if Instant::now() >= deadline {
                return Err(ShellError { action: "no SSH server answers".into(), source: None });
            }
            std::thread::sleep(Duration::from_secs(1));
        }
        Ok(Box::new(Channel { victim: self, large: None }))
    }
}

fn broken(error: nexus_host::vm::MachineError) -> ShellError {
    let action = "the machine's channel broke".into();
    ShellError { action, source: Some(Box::new(error)) }
}

/// The test machine's own channel as a shell.
struct Channel<'a> {
    victim: &'a mut Victim,
    /// Where the machine takes large input; without it, input is small enough for the channel.
    large: Option<SocketAddr>,
}

impl Shell for Channel<'_> {
    fn run(
        &mut self,
        command: &str,
        input: &mut dyn Read,
        within: Duration,
    ) -> Result<Answer, ShellError> {
        let mut first = vec![0; 64 << 10];
        let mut count = 0;
        while count < first.len() {
            match input.read(&mut first[count..]).unwrap() {
                0 => break,
                more => count += more,
            }
        }
        first.truncate(count);
        let within = within.min(Duration::from_secs(900));
        let shell = self.victim.machine.shell();
        let output = match self.large {
            Some(address) if count == 64 << 10 => {
                let command = format!("busybox nc -l -p {PORT} | ({command})");
                let network = self.victim.network.clone();
                std::thread::scope(|scope| {
                    let run = scope.spawn(move || shell.run(&command, within));
                    let mut socket = connect(&network, address);
                    socket.write_all(&first).unwrap();
                    std::io::copy(input, &mut socket).unwrap();
                    socket.shutdown(std::net::Shutdown::Write).unwrap();
                    run.join().unwrap()
                })
            }
            _ => {
                std::io::copy(input, &mut first).unwrap();
                println!("through the channel: {} bytes", first.len());
                let file = "/run/nexus-test/input";
                shell.write_file(file, &first).map_err(broken)?;
                shell.run(&format!("({command}) <{file}"), within)
            }
        };
        let output = output.map_err(broken)?;
        Ok(Answer { status: output.status, output: output.stdout, errors: output.stderr })
    }
}

fn connect(network: &Network, address: SocketAddr) -> UnixStream {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        match network.connect(address, Duration::from_secs(30)) {
            Ok(socket) => {
                socket.set_write_timeout(Some(Duration::from_secs(300))).unwrap();
                return socket;
            }
            Err(error) if Instant::now() >= deadline => panic!("nobody listens: {error}"),
            Err(_) => std::thread::sleep(Duration::from_millis(300)),
        }
    }
}

#[test]
fn vm_a_stock_machine_comes_back_when_it_fails_and_then_becomes_the_host() {
    let bench = Bench::new();
    let system = bench.build("taken over", "128MiB", "");
    let mut panics = Ready::new(&bench, &system);
    panics.arguments += " init=/nowhere";
    let mut victim = Victim::start(&bench, "install");
    let stock = "uname -r; cat /proc/cmdline; stat -f -c %T /; findmnt -no SOURCE /";
    println!("stock: {}", victim.run(stock));
    assert_eq!(victim.run("test -e /nix && echo nix || true"), "");
    victim.fails_and_comes_back(&bench, &panics);
    victim.becomes_the_host(&bench, &Ready::new(&bench, &system));
}

impl Victim {
    /// The new system panics: the old one is back, and its disk is as it was.
    fn fails_and_comes_back(&mut self, bench: &Bench, ready: &Ready) {
        let before = self.run(DIGESTS);
        let plan = self.plan(bench, ready, 400);
        let begun = Instant::now();
        let error = self.take_over(ready, &plan).unwrap_err();
        println!("back after {:.0} s: {error}: {}", begun.elapsed().as_secs_f64(), error.source);
        assert_eq!((error.number, error.state), (5, MachineState::Returned), "{error:?}");
        let expected = "the new system ended before anybody could log in to it";
        assert_eq!(error.source.to_string(), expected);
        assert_eq!(self.run(DIGESTS), before, "the disk was touched");
        assert_eq!(self.run("cat /sys/kernel/kexec_loaded; ls /dev/shm"), "0");
        self.is_running();
    }

    fn becomes_the_host(&mut self, bench: &Bench, ready: &Ready) {
        let old_key = self.run("cut -d' ' -f2 /etc/ssh/ssh_host_ed25519_key.pub");
        let plan = self.plan(bench, ready, 400);
        assert_eq!(plan.findings, []);
        let begun = Instant::now();
        let key =
            self.take_over(ready, &plan).unwrap_or_else(|error| panic!("{error}: {error:#?}"));
        println!("whole takeover: {:.0} s", begun.elapsed().as_secs_f64());
        assert_eq!(key, Some(format!("ssh-ed25519 {old_key}")));
        self.is_running();
        let line = self.run("cat /proc/cmdline");
        assert!(
            !line.contains(&format!("{ROOT}={MEMORY}")) && line.contains(ready.system.as_str()),
            "{line}"
        );
        let own = "/var/lib/nexus-host";
        assert_eq!(self.run(&format!("cut -d' ' -f2 {own}/ssh/ssh_host_ed25519_key.pub")), old_key);
        let modes = self.run(&format!(
            "stat -c '%a %U' {own} {own}/ssh {own}/ssh/ssh_host_ed25519_key {own}/identity.txt"
        ));
        assert_eq!(modes, "755 root\n700 root\n600 root\n600 root");
        assert_eq!(self.run(&format!("cat {own}/identity.txt")), "AGE-SECRET-KEY-OF-A-TEST");
        let page = "curl -sf --retry 20 --retry-connrefused --retry-delay 1 http://127.0.0.1:8080/";
        let page = self.run(page);
        assert!(page.contains("taken over"), "{page}");
        assert_eq!(self.run("test -e /root/marker && echo kept || true"), "");
        let (size, disk) = (self.run("df -B1 --output=size /nix | tail -1"), 4_u64 << 30);
        let fills = size.trim().parse::<u64>().unwrap() > disk * 8 / 10;
        assert!(fills, "the root fills the disk: {size}");
    }

    #[track_caller]
    fn is_running(&mut self) {
        let state = self.run("systemctl is-system-running --wait || true");
        assert_eq!(state, "running", "{}", self.run("systemctl list-units --failed --no-legend"));
    }
}
