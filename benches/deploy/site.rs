//! A machine that runs vps1, and somebody who deploys to it.

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::Took;
use crate::line::Line;

/// The example's key in the host file, which nobody has the other half of.
const EXAMPLE_KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f example";
const EXAMPLE_PAGE: &str = "<p>Hello from vps1.</p>";
/// How long a boot may take, with the start of all services.
const BOOT_WITHIN: Duration = Duration::from_secs(400);
/// Who may log in.
const USER: &str = "admin";

/// The machine and the files of who deploys.
pub(crate) struct Site {
    pub(crate) directory: PathBuf,
    key: String,
    keeper: Child,
    qemu: u32,
    machine: SocketAddr,
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
    /// Builds and boots.
    pub(crate) fn start() -> Self {
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("bench-deploy");
        let _old = std::fs::remove_dir_all(&directory);
        std::fs::create_dir_all(directory.join("hosts")).unwrap();
        std::fs::create_dir_all(directory.join(".ssh")).unwrap();
        let file = directory.join("key");
        run(Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&file));
        let key = std::fs::read_to_string(directory.join("key.pub")).unwrap().trim().to_owned();
        write_host(&directory, &key, 0);
        let mut command = program(&directory);
        command.args(["test", "--keep", "vps1", "--json"]).stdout(Stdio::piped());
        let mut keeper = command.spawn().unwrap();
        let told = first_document(&mut keeper);
        let text = |field: &str| told[field].as_str().unwrap().to_owned();
        let machine = text("ssh").rsplit_once('@').unwrap().1.parse().unwrap();
        let qemu = find_qemu(keeper.id()).unwrap();
        let host_key = text("host_key");
        let site = Self { directory, key, keeper, qemu, machine, host_key, pages: 0 };
        site.settle();
        site
    }

    /// A line to the machine, whose host key is known there.
    pub(crate) fn line(&self, round_trip: Duration) -> Line {
        let line = Line::new(self.machine, round_trip);
        let known = self.directory.join(".ssh/known_hosts");
        let mut text = std::fs::read_to_string(&known).unwrap_or_default();
        text.push_str(&format!("[127.0.0.1]:{} {}\n", line.local.port(), self.host_key));
        std::fs::write(known, text).unwrap();
        line
    }

    /// Writes another page.
    pub(crate) fn change_page(&mut self) {
        self.pages += 1;
        write_host(&self.directory, &self.key, self.pages);
    }

    /// Runs `deploy` to its good end.
    pub(crate) fn deploy(&self, line: &Line, more: &[&str]) -> Deployed {
        let mut command = program(&self.directory);
        command.args(["deploy", "vps1", "--ssh", &format!("{USER}@{}", line.local), "--ssh-key"]);
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
        let (begun, guest) = (Instant::now(), processor_seconds(self.qemu).unwrap());
        work();
        let seconds = begun.elapsed().as_secs_f64();
        Took { seconds, guest_seconds: processor_seconds(self.qemu).unwrap() - guest }
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
        let output = self.ssh(&self.line(Duration::ZERO), command).output().unwrap();
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
        let line = self.line(Duration::ZERO);
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

impl Drop for Site {
    fn drop(&mut self) {
        // As Ctrl-C does: QEMU and its directory go, too.
        let id = rustix::process::Pid::from_child(&self.keeper);
        let _gone = rustix::process::kill_process(id, rustix::process::Signal::INT);
        let _status = self.keeper.wait();
    }
}

fn write_host(directory: &Path, key: &str, page: u32) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("hosts/vps1.toml");
    let text = std::fs::read_to_string(file).unwrap();
    assert!(text.contains(EXAMPLE_KEY) && text.contains(EXAMPLE_PAGE), "vps1 is another host now");
    let page = format!("<p>Page {page}.</p>");
    let text = text.replace(EXAMPLE_KEY, key).replace(EXAMPLE_PAGE, &page);
    std::fs::write(directory.join("hosts/vps1.toml"), text).unwrap();
}

/// The program in the bench's workspace, with the cache and store of the tests.
fn program(directory: &Path) -> Command {
    let shared = Path::new(env!("CARGO_TARGET_TMPDIR")).join("shared");
    let mut command = Command::new(env!("CARGO_BIN_EXE_nexus-host"));
    command.arg("-C").arg(directory).env("HOME", directory).env("USER", "bench");
    command.env("XDG_CACHE_HOME", shared.join("cache")).env("XDG_DATA_HOME", shared.join("data"));
    command.env_remove("XDG_STATE_HOME").env_remove("SSH_AUTH_SOCK").stdin(Stdio::null());
    command
}

/// The JSON document that `test --keep` says once its machine runs.
fn first_document(keeper: &mut Child) -> Value {
    let mut output = BufReader::new(keeper.stdout.take().unwrap());
    let mut bytes = Vec::new();
    loop {
        let count = output.by_ref().take(1 << 16).read_until(b'\n', &mut bytes).unwrap();
        assert!(count > 0, "`test --keep` has ended: {}", String::from_utf8_lossy(&bytes));
        if let Ok(told) = serde_json::from_slice(&bytes) {
            return told;
        }
    }
}

/// The emulator among the descendants of a process; their names are in proc(5).
fn find_qemu(process: u32) -> Option<u32> {
    let name = std::fs::read_to_string(format!("/proc/{process}/comm")).ok()?;
    if name.starts_with("qemu-system") {
        return Some(process);
    }
    let threads = std::fs::read_dir(format!("/proc/{process}/task")).ok()?.flatten();
    let lists = threads.filter_map(|t| std::fs::read_to_string(t.path().join("children")).ok());
    let children: Vec<u32> = lists
        .flat_map(|l| l.split(' ').filter_map(|id| id.parse().ok()).collect::<Vec<_>>())
        .collect();
    children.into_iter().find_map(find_qemu)
}

/// Time that a process has run, from proc(5): fields 14 and 15, in ticks of 10 ms.
fn processor_seconds(process: u32) -> Option<f64> {
    let text = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let (_, fields) = text.rsplit_once(')')?;
    let ticks = |at: usize| -> Option<f64> { fields.split_whitespace().nth(at)?.parse().ok() };
    Some((ticks(11)? + ticks(12)?) / 100.0)
}

fn run(command: &mut Command) {
    let status = command.status().unwrap();
    assert!(status.success(), "{command:?}: {status}");
}
