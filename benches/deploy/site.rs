//! A machine that runs vps1, emulated or in namespaces of this one, and somebody who deploys to it.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::Took;
use crate::emulated::Emulated;
use crate::here::{self, Here};
use crate::line::{Line, Link};

/// The example's key in the host file, which nobody has the other half of.
const EXAMPLE_KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f example";
const EXAMPLE_PAGE: &str = "<p>Hello from vps1.</p>";
/// Its service, and one that is there as soon as it starts: what a program needs for its own start is nobody's merit.
const EXAMPLE_SERVICE: &str = "\
packages = [\"python3\"]
exec = [
    \"/usr/bin/python3\", \"-m\", \"http.server\", \"8080\",
    \"--bind\", \"127.0.0.1\", \"--directory\", \"/usr/share/vps1\",
]
";
const SERVICE: &str = "\
packages = [\"busybox\"]
exec = [\"/usr/bin/busybox\", \"httpd\", \"-f\", \"-p\", \"127.0.0.1:8080\", \"-h\", \"/usr/share/vps1\"]
";
/// How long a boot may take, with the start of all services.
const BOOT_WITHIN: Duration = Duration::from_secs(400);
/// Who may log in.
const USER: &str = "admin";
/// The host.
pub(crate) const HOST: &str = "vps1";

/// How the machine runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// In QEMU: with a kernel of its own, firmware and boot loader.
    Emulated,
    /// On the kernel of this machine.
    Here,
}

/// The machine; it ends when dropped.
enum Machine {
    Emulated(Emulated),
    Here(Here),
}

/// The machine and the files of who deploys.
pub(crate) struct Site {
    pub(crate) directory: PathBuf,
    kind: Kind,
    key: String,
    machine: Machine,
    address: SocketAddr,
    host_key: String,
    pages: u32,
}

/// A run of `deploy`.
pub(crate) struct Deployed {
    pub(crate) took: Took,
    pub(crate) told: Value,
    /// Lines that it said, with the seconds from its start.
    pub(crate) said: Vec<(f64, String)>,
}

impl Site {
    /// Builds and starts it.
    pub(crate) fn start(kind: Kind) -> Self {
        let name = format!("bench-deploy-{kind:?}").to_lowercase();
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        let _old = std::fs::remove_dir_all(&directory);
        std::fs::create_dir_all(directory.join("hosts")).unwrap();
        std::fs::create_dir_all(directory.join(".ssh")).unwrap();
        let file = directory.join("key");
        run(Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&file));
        let key = std::fs::read_to_string(directory.join("key.pub")).unwrap().trim().to_owned();
        write_host(&directory, kind, &key, 0);
        let (machine, address) = match kind {
            Kind::Emulated => {
                let (machine, address) = Emulated::start(&directory);
                (Machine::Emulated(machine), address)
            }
            Kind::Here => {
                let (machine, address) = Here::start(&directory);
                (Machine::Here(machine), address)
            }
        };
        let host_key = host_key(address);
        let site = Self { directory, kind, key, machine, address, host_key, pages: 0 };
        site.settle();
        site
    }

    /// A line to the machine, whose host key is known there.
    pub(crate) fn line(&self, link: Link) -> Line {
        let line = Line::new(self.address, link);
        let known = self.directory.join(".ssh/known_hosts");
        let mut text = std::fs::read_to_string(&known).unwrap_or_default();
        text.push_str(&format!("[127.0.0.1]:{} {}\n", line.local.port(), self.host_key));
        std::fs::write(known, text).unwrap();
        line
    }

    /// Writes another page.
    pub(crate) fn change_page(&mut self) {
        self.pages += 1;
        write_host(&self.directory, self.kind, &self.key, self.pages);
    }

    /// Runs `deploy` to its good end.
    pub(crate) fn deploy(&self, line: &Line, more: &[&str]) -> Deployed {
        let mut command = program(&self.directory);
        command.args(["deploy", HOST, "--ssh", &format!("{USER}@{}", line.local), "--ssh-key"]);
        command.arg(self.key_file()).args(["--yes", "--no-test", "--json"]).args(more);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut said = Vec::new();
        let mut told = Value::Null;
        let took = self.took(|| {
            let begun = Instant::now();
            let mut child = command.spawn().unwrap();
            for text in BufReader::new(child.stderr.take().unwrap()).lines() {
                said.push((begun.elapsed().as_secs_f64(), text.unwrap()));
            }
            let output = child.wait_with_output().unwrap();
            assert!(output.status.success(), "deploy: {}: {said:#?}", output.status);
            told = serde_json::from_slice::<Value>(&output.stdout).unwrap()["hosts"][0].clone();
        });
        Deployed { took, told, said }
    }

    /// Times `work`.
    pub(crate) fn took(&self, work: impl FnOnce()) -> Took {
        let (begun, guest) = (Instant::now(), self.machine.processor_seconds());
        work();
        let seconds = begun.elapsed().as_secs_f64();
        Took { seconds, guest_seconds: self.machine.processor_seconds() - guest }
    }

    /// The `ssh` of this machine, over `line`.
    pub(crate) fn ssh(&self, line: &Line, command: &str) -> Command {
        let mut ssh = Command::new("ssh");
        ssh.args(["-F", "none", "-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes", "-i"]);
        ssh.arg(self.key_file()).arg("-o");
        ssh.arg(format!(
            "UserKnownHostsFile={}",
            self.directory.join(".ssh/known_hosts").display()
        ));
        ssh.args(["-l", USER, "-p", &line.local.port().to_string(), "127.0.0.1", command]);
        ssh
    }

    /// What a command on the machine says; it must succeed.
    pub(crate) fn ask(&self, command: &str) -> String {
        let output = self.ssh(&self.line(Link::BARE), command).output().unwrap();
        let (said, errors) = (&output.stdout, String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{command}: {}: {errors}", output.status);
        String::from_utf8(said.clone()).unwrap()
    }

    /// Milliseconds of each step of the last change, from the agent's log.
    pub(crate) fn steps(&self) -> Vec<(String, f64)> {
        let newest = "sudo sh -c 'cd /run/nexus-host/attempts && cat $(ls -t *.log | head -n 1)'";
        let text = self.ask(newest);
        let events = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let steps = events.filter(|event| event["event"] == "step");
        steps
            .map(|step| {
                let milliseconds = step["milliseconds"].as_f64().unwrap();
                (step["step"].as_str().unwrap().to_owned(), milliseconds)
            })
            .collect()
    }

    /// Waits until the machine lets somebody in and has nothing left to start.
    pub(crate) fn settle(&self) {
        let line = self.line(Link::BARE);
        let begun = Instant::now();
        loop {
            let asked = self.ssh(&line, "systemctl is-system-running --wait").output().unwrap();
            if asked.stdout.starts_with(b"running") {
                break;
            }
            let said = [&asked.stdout[..], &asked.stderr].concat();
            let said = String::from_utf8_lossy(&said);
            assert!(begun.elapsed() < BOOT_WITHIN, "the machine is not up: {said}");
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    pub(crate) fn key_file(&self) -> PathBuf {
        self.directory.join("key")
    }
}

impl Machine {
    /// Processor time of this machine that it has used.
    fn processor_seconds(&self) -> f64 {
        match self {
            Self::Emulated(machine) => machine.processor_seconds(),
            Self::Here(machine) => machine.processor_seconds(),
        }
    }
}

/// The key of the SSH server at `address`, once it answers.
fn host_key(address: SocketAddr) -> String {
    let begun = Instant::now();
    let (port, host) = (address.port().to_string(), address.ip().to_string());
    loop {
        let mut scan = Command::new("ssh-keyscan");
        let output = scan.args(["-t", "ed25519", "-p", &port, &host]).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let mut lines = text.lines().filter(|line| !line.starts_with('#'));
        if let Some((_, key)) = lines.next().and_then(|line| line.split_once(' ')) {
            return key.to_owned();
        }
        assert!(begun.elapsed() < BOOT_WITHIN, "no SSH server answers at {address}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn write_host(directory: &Path, kind: Kind, key: &str, page: u32) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("hosts/vps1.toml");
    let page = format!("<p>Page {page}. Hello from vps1.</p>");
    let own = [
        (EXAMPLE_KEY, key),
        (EXAMPLE_PAGE, page.as_str()),
        (EXAMPLE_SERVICE, SERVICE),
        // Ansible needs Python there.
        ("packages = [\"curl\"", "packages = [\"curl\", \"python3\""),
    ];
    let more = if kind == Kind::Here { &here::CHANGES[..] } else { &[] };
    let mut text = std::fs::read_to_string(file).unwrap();
    for (old, new) in own.iter().chain(more) {
        assert!(text.contains(old), "vps1 is another host now: it has no `{old}`");
        text = text.replace(old, new);
    }
    std::fs::write(directory.join("hosts/vps1.toml"), text).unwrap();
}

/// Where the tests have their cache and store.
pub(crate) fn shared() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("shared")
}

/// The program in the bench's workspace, with the cache and store of the tests.
pub(crate) fn program(directory: &Path) -> Command {
    let shared = shared();
    let mut command = Command::new(env!("CARGO_BIN_EXE_nexus-host"));
    command.arg("-C").arg(directory).env("HOME", directory).env("USER", "bench");
    command.env("XDG_CACHE_HOME", shared.join("cache")).env("XDG_DATA_HOME", shared.join("data"));
    command.env_remove("XDG_STATE_HOME").env_remove("SSH_AUTH_SOCK").stdin(Stdio::null());
    command
}

pub(crate) fn run(command: &mut Command) {
    let status = command.status().unwrap();
    assert!(status.success(), "{command:?}: {status}");
}
