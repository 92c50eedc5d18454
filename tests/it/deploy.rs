//! `deploy` and its kin over real SSH to a real sshd in a real machine: what is kept, what goes back, who is refused,
//! and that no secret is said.

#![expect(clippy::print_stdout, reason = "how long a deployment takes is worth reading")]

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use nexus_host::exec::files::write_atomic;
use serde_json::Value;

use crate::bench::{BOOT_WITHIN, BYSTANDERS};
use crate::site::{Site, own_program};
use crate::support::{Ran, plain_command};
use crate::toolbox::tool;

#[test]
fn vm_a_machine_is_deployed_over_ssh_and_keeps_only_what_proves_itself() {
    let mut site = Site::with_secrets("deploy");
    site.strangers_are_refused();
    site.a_change_is_kept();
    site.nothing_to_do_is_nothing_done();
    site.a_key_of_an_agent_lets_in();
    site.a_look_changes_nothing();
    site.a_failing_check_goes_back();
    site.a_machine_that_cannot_be_reached_goes_back();
    site.what_others_try_is_left_alone_and_can_be_followed();
    site.secrets_are_renewed();
    site.a_broken_line_costs_the_rest_only();
    site.history_and_health_are_shown();
    site.nobody_has_said_a_secret();
    site.a_boot_is_followed();
}

impl Site {
    fn strangers_are_refused(&mut self) {
        self.write("two", &[], "");
        let address = self.address();
        let unknown = self.deploy(&[]).expect(4).says("is not known: ssh-ed25519 SHA256:");
        unknown.says("--accept-new");
        let other = tempfile::tempdir().unwrap();
        let file = other.path().join("other");
        tool("ssh-keygen")
            .sees(other.path())
            .args(["-q", "-t", "ed25519", "-N", "", "-f", file.to_str().unwrap()])
            .run();
        let words = ["--ssh-key", file.to_str().unwrap(), "--accept-new"];
        let status = ["status", "vps1", "--ssh", &address];
        let denied = self.run(&[&status[..], &words[..]].concat());
        denied.expect(4).says("lets admin in with none of").says("ssh_keys");
        let known = self.home.path().join(".ssh/known_hosts");
        let text = std::fs::read_to_string(&known).unwrap();
        let theirs = std::fs::read_to_string(other.path().join("other.pub")).unwrap();
        let name = text.split(' ').next().unwrap();
        write_atomic(&known, format!("{name} {theirs}").as_bytes()).unwrap();
        self.deploy(&["--accept-new"]).expect(4).says("is not the one that is known");
        write_atomic(&known, text.as_bytes()).unwrap();
        assert_eq!(self.host.page(), "one");
    }

    /// `UPDATE_EXPECT=1` writes the page of the documentation anew.
    fn a_change_is_kept(&mut self) {
        let before = self.host.main_pids();
        let key = self.home.path().join("key");
        let address = self.address();
        let words = ["deploy", "vps1", "--ssh", &address, "--ssh-key", key.to_str().unwrap()];
        let ran = self.run(&[&words[..], &["--yes", "--no-test", "--window", "120"]].concat());
        let ran = ran.expect(0);
        let shown = format!(
            "$ nexus-host deploy vps1 --ssh admin@192.0.2.10 --yes --no-test --window 120\n{}{}",
            ran.stderr, ran.stdout
        );
        let bracketed = address.replace("127.0.0.1", "[127.0.0.1]");
        let shown = shown.replace(&address, "admin@192.0.2.10");
        let page = made_up(&shown.replace(&bracketed, "admin@192.0.2.10"));
        expect_test::expect_file!["../../docs/deploying.transcript.txt"].assert_eq(&page);
        let sent = ran.stderr.lines().find_map(|line| line.strip_prefix("  sent: ")).unwrap();
        let (amount, rest) = sent.split_once(' ').unwrap();
        let small = rest.starts_with("KiB") && amount.parse::<f64>().unwrap() < 98.0;
        assert!(small, "a change of one page costs {sent}");
        assert_eq!(self.host.page(), "two");
        self.host.expect_numbers(1, 2, 2);
        let after = self.host.main_pids();
        for unit in BYSTANDERS {
            assert_eq!(before[unit], after[unit], "{unit} was not touched");
        }
        let generations = self.host.json("generations --json");
        let by = generations["generations"][1]["by"].as_str().unwrap();
        assert!(by.starts_with("tester@"), "{by}");
    }

    fn nothing_to_do_is_nothing_done(&mut self) {
        for program in [None, Some(self.ssh.to_str().unwrap())] {
            let more: Vec<&str> = program.iter().flat_map(|path| ["--ssh-program", path]).collect();
            let told = self.deploy(&more).expect(0).json();
            assert_eq!(told["hosts"][0]["outcome"], "same", "{told:#}");
        }
        let memory = self.home.path().join(".local/state/nexus-host/machines");
        let memory = std::fs::read_dir(memory).unwrap().next().unwrap().unwrap().path();
        write_atomic(&memory, "0".repeat(32).as_bytes()).unwrap();
        self.deploy(&[]).expect(4).says("another machine answers than before");
        self.deploy(&["--new-machine"]).expect(0);
        self.deploy(&[]).expect(0);
    }

    /// Both clients ask the agent when they are told of no key.
    fn a_key_of_an_agent_lets_in(&self) {
        let home = self.home.path();
        let socket = home.join("agent");
        let mut agent = plain_command(own_program("ssh-agent", "", home));
        let mut agent = agent.arg("-D").arg("-a").arg(&socket).spawn().unwrap();
        while !socket.exists() {
            assert!(agent.try_wait().unwrap().is_none(), "the agent has ended");
            std::thread::sleep(Duration::from_millis(10));
        }
        let mut add = plain_command(own_program("ssh-add", "", home));
        add.env("SSH_AUTH_SOCK", &socket).arg(home.join("key"));
        Ran::of(add).expect(0);
        let address = self.address();
        let words = ["status", "vps1", "--ssh", &address, "--json"];
        let environment = [("SSH_AUTH_SOCK", socket.to_str().unwrap())];
        for more in [&[][..], &["--ssh-program", self.ssh.to_str().unwrap()]] {
            let told = self.run_with(&[&words[..], more].concat(), &environment).expect(0).json();
            assert_eq!(told["hosts"][0]["healthy"], true, "{told:#}");
        }
        self.run(&words).expect(4).says("there is no SSH key to log in with");
        agent.kill().unwrap();
        agent.wait().unwrap();
    }

    fn a_look_changes_nothing(&mut self) {
        self.write("three", &[("memory_max = \"128MiB\"", "memory_max = \"96MiB\"")], "");
        let told = self.deploy(&["--dry-run"]).expect(0).json();
        let told = &told["hosts"][0];
        assert_eq!(told["outcome"], "dry-run");
        assert_eq!(told["change"]["plan"]["restart"], serde_json::json!(["hello.service"]));
        assert_eq!(told["change"]["interruption"], "of hello.service, while they restart");
        assert_eq!(self.host.page(), "two");
        self.host.expect_numbers(1, 2, 2);
        let key = self.home.path().join("key");
        let address = self.address();
        let words = ["deploy", "vps1", "--ssh", &address, "--ssh-key", key.to_str().unwrap()];
        let unasked = self.run(&[&words[..], &["--no-test"]].concat());
        unasked.expect(2).says("cannot be asked without a terminal");
    }

    fn a_failing_check_goes_back(&mut self) {
        let check = "[[checks]]\nname = \"never\"\nkind = \"command\"\nexec = [\"/usr/bin/false\"]\nwithin = 1\n";
        self.write("bad", &[], check);
        let ran = self.deploy(&[]).expect(6);
        let told = ran.json();
        assert_eq!(told["hosts"][0]["outcome"], "returned", "{told:#}");
        ran.says("check `never` failed");
        assert_eq!(self.host.page(), "two");
        let again = self.deploy(&[]).expect(4);
        again.says("failed before").says("--again");
        self.host.expect_numbers(1, 2, 2);
    }

    fn a_machine_that_cannot_be_reached_goes_back(&mut self) {
        self.write("unreachable", &[], "[ssh]\nport = 2222\n");
        let begun = Instant::now();
        let ran = self.deploy(&["--window", "10"]).expect(4);
        let told = ran.json();
        let reason = told["hosts"][0]["reason"].as_str().unwrap_or_default().to_owned();
        assert_eq!(reason, "it was not confirmed within 10 s", "{told:#}");
        println!("back after {:.1} s", begun.elapsed().as_secs_f64());
        assert_eq!(self.host.page(), "two");
        self.host.expect_numbers(1, 2, 2);
    }

    fn what_others_try_is_left_alone_and_can_be_followed(&mut self) {
        self.write("three", &[("memory_max = \"128MiB\"", "memory_max = \"96MiB\"")], "");
        let system = self.bench.workspace.run(&["build", "vps1", "--json"]).expect(0).json();
        let system = system["hosts"][0]["system"].as_str().unwrap().to_owned();
        let nonce = "7".repeat(32);
        self.host
            .activate(&format!("{system} --trial --window 600 --by her@desk --nonce {nonce}"), 0);
        assert_eq!(self.host.page(), "three");
        self.deploy(&[]).expect(4).says("is on trial there, by her@desk");
        let told = self.deploy(&["--attach"]).expect(0).json();
        assert_eq!(told["hosts"][0]["outcome"], "kept", "{told:#}");
        let number = told["hosts"][0]["generation"].as_u64().unwrap();
        self.host.expect_numbers(1, u32::try_from(number).unwrap(), u32::try_from(number).unwrap());
        self.deploy(&["--attach"]).expect(4).says("no change of this machine waits");
    }

    fn a_broken_line_costs_the_rest_only(&mut self) {
        // Digits of squares: nothing that compression makes much smaller.
        let noise: String = (1..30_000_u64)
            .map(|n| format!("{:x}", n.wrapping_mul(n * 0x9e37_79b9_7f4a)))
            .collect();
        let file = format!("[files.\"/usr/share/vps1/noise\"]\ntext = \"{}\"\n", &noise[..240_000]);
        self.write("four", &[], &file);
        let cut = CutLine::new(self.forward.local, 60_000);
        let address = format!("admin@{}", cut.local);
        let ran = self.deploy_to(&address, &["--window", "300", "--accept-new"]).expect(0);
        assert!(cut.connections.load(Ordering::SeqCst) >= 2, "the line was never cut");
        let told = ran.json();
        assert_eq!(told["hosts"][0]["outcome"], "kept", "{told:#}");
        ran.says("sending the rest");
        assert_eq!(self.host.page(), "four");
    }

    fn history_and_health_are_shown(&mut self) {
        let key = self.home.path().join("key");
        let address = self.address();
        let reach = ["--ssh", &address, "--ssh-key", key.to_str().unwrap()];
        let run = |site: &Self, words: &[&str]| site.run(&[words, &reach[..]].concat());
        let status = run(self, &["status", "vps1"]).expect(0);
        assert!(status.stdout.starts_with("HOST  GENERATION  SINCE"), "{}", status.stdout);
        assert!(status.stdout.contains("healthy"), "{}", status.stdout);
        assert!(status.stdout.contains("is known to be bad"), "{}", status.stdout);
        let json = run(self, &["status", "vps1", "--json"]).expect(0).json();
        assert_eq!(json["hosts"][0]["healthy"], true, "{json:#}");
        let drift = &json["hosts"][0]["drift"];
        assert_eq!(drift["stopped"], serde_json::json!([]), "{json:#}");
        // What watches all processes, and what it must find.
        let started: Vec<&str> = drift["started"]
            .as_array()
            .unwrap()
            .iter()
            .map(|unit| unit.as_str().unwrap())
            .collect();
        assert!(started.len() == 2 && started.contains(&"watch.service"), "{json:#}");
        self.host.run("systemd-run -q -u by-hand sleep 1000; systemctl stop systemd-timesyncd");
        let status = run(self, &["status", "vps1"]).expect(0).stdout;
        assert!(status.contains("vps1: by-hand.service was started by hand"), "{status}");
        assert!(status.contains("vps1: systemd-timesyncd.service was stopped by hand"), "{status}");
        self.host.run("systemctl stop by-hand; systemctl start systemd-timesyncd");
        let ran = run(self, &["rollback", "vps1", "2", "--yes"]);
        println!("{}", ran.stderr);
        ran.expect(0);
        assert_eq!(self.host.page(), "two");
        let list = run(self, &["generations", "vps1", "--pin", "1"]).expect(0);
        let lines: Vec<&str> = list.stdout.lines().collect();
        assert!(
            lines[0].contains("booted, pinned") && lines[1].contains("running, default"),
            "{lines:#?}"
        );
        let collected =
            run(self, &["generations", "vps1", "--gc", "--keep", "1", "--json"]).expect(0).json();
        let left = collected["generations"].as_array().unwrap();
        assert!(left.iter().any(|entry| entry["number"] == 1), "pinned, so kept: {collected:#}");
        assert_eq!(self.host.page(), "two");
    }

    fn a_boot_is_followed(&mut self) {
        let kernel = "kernel = \"cloud\"";
        let with = format!("kernel_arguments = [\"nexus.test=5\"]\n{kernel}");
        self.write("five", &[(kernel, &with)], "");
        let more = ["--window", "300", "--ssh-program", self.ssh.to_str().unwrap()];
        let ran = self.deploy(&more);
        let told = ran.expect(0).json();
        assert_eq!(told["hosts"][0]["outcome"], "kept", "{told:#}");
        assert_eq!(told["hosts"][0]["change"]["plan"]["level"], "reboot", "{told:#}");
        self.host.machine.wait_booted(BOOT_WITHIN).unwrap();
        assert_eq!(self.host.page(), "five");
        let status: Value = self.host.json("status --json");
        assert_eq!(status["default"], status["booted"]["number"], "{status:#}");
    }
}

/// The text with digests of store paths and sizes that are the same in every run.
fn made_up(text: &str) -> String {
    let mut out = String::new();
    for line in text.lines() {
        let words: Vec<String> = line
            .split(' ')
            .map(|word| match word.strip_prefix("/nix/store/") {
                Some(name) if name.len() > 32 => {
                    format!("/nix/store/{}{}", "x".repeat(32), &name[32..])
                }
                _ => word.to_owned(),
            })
            .collect();
        let line = words.join(" ");
        // What the builder is at depends on what was built before.
        let is_progress = ["write files of ", "make the system ", "sending ("];
        if is_progress.iter().any(|start| line.starts_with(start)) {
            continue;
        }
        let line = match line.strip_prefix("  sent: ") {
            Some(_) => "  sent: 27.10 KiB for 2.03 MiB of 4 store paths".to_owned(),
            None => line,
        };
        out.push_str(&line);
        out.push('\n');
    }
    out
}

/// A port that leads to another one, and is cut once so many bytes have gone through it.
struct CutLine {
    local: SocketAddr,
    connections: Arc<AtomicUsize>,
}

impl CutLine {
    fn new(to: SocketAddr, bytes: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let local = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&connections);
        std::thread::spawn(move || {
            for near in listener.incoming() {
                let near = near.unwrap();
                let far = TcpStream::connect(to).unwrap();
                let first = count.fetch_add(1, Ordering::SeqCst) == 0;
                let limit = if first { bytes } else { usize::MAX };
                let (near2, far2) = (near.try_clone().unwrap(), far.try_clone().unwrap());
                std::thread::spawn(move || pass(near, far, limit));
                std::thread::spawn(move || pass(far2, near2, usize::MAX));
            }
        });
        Self { local, connections }
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, limit: usize) {
    let (mut piece, mut passed) = ([0; 8192], 0);
    while let Ok(count @ 1..) = from.read(&mut piece) {
        passed += count;
        if passed > limit || to.write_all(&piece[..count]).is_err() {
            break;
        }
    }
    let _gone = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}
