//! Several hosts in one `deploy`, and several deployers of one host.

#![expect(clippy::print_stdout, reason = "how long a deployment takes is worth reading")]

use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::Instant;

use nexus_host::vm::network::Forward;
use nexus_host::vm::qemu::Firmware;

use crate::bench::{Bench, Host};
use crate::site::{EXAMPLE_KEY, command_at, lease_of, owner};
use crate::support::Ran;

const CHECK: &str =
    "[[checks]]\nname = \"never\"\nkind = \"command\"\nexec = [\"/usr/bin/false\"]\nwithin = 1\n";
/// So that a change is at work for a while.
const SLOW: &str =
    "[[checks]]\nname = \"slow\"\nkind = \"command\"\nexec = [\"/usr/bin/sleep\", \"5\"]\n";

#[test]
fn vm_hosts_are_changed_in_waves_and_by_one_deployer_at_a_time() {
    let mut fleet = Fleet::new();
    fleet.all_are_changed();
    fleet.a_failing_canary_ends_it();
    fleet.one_failure_takes_all_back();
    fleet.of_two_deployers_one_wins();
}

/// Two machines in one workspace.
struct Fleet {
    bench: Bench,
    home: tempfile::TempDir,
    key: String,
    machines: Vec<(&'static str, Host, Forward)>,
}

impl Fleet {
    fn new() -> Self {
        let (bench, home, key) = owner();
        let mut fleet = Self { bench, home, key, machines: Vec::new() };
        for name in ["vps1", "vps2"] {
            fleet.write(name, "one", "");
            let built = fleet.bench.workspace.run(&["build", name, "--image", "raw", "--json"]);
            let image = built.expect(0).json()["hosts"][0]["image"].as_str().unwrap().to_owned();
            let name_of_machine = format!("fleet-{name}");
            let host = fleet.bench.start_named(&name_of_machine, image.as_ref(), Firmware::SeaBios);
            let (network, _) = host.machine.network(0).unwrap();
            let address = SocketAddr::from((lease_of(network), 22));
            let forward = network.forward(address).unwrap();
            fleet.machines.push((name, host, forward));
        }
        fleet
    }

    /// Writes a host file; it says where the machine is once there is one.
    fn write(&self, name: &str, page: &str, more: &str) {
        let ways = self.machines.iter().filter(|(known, _, _)| *known == name);
        let ways: String = ways
            .map(|(_, _, forward)| format!("[deploy]\nssh = [\"admin@{}\"]\n", forward.local))
            .collect();
        let changes =
            [(EXAMPLE_KEY, self.key.as_str()), ("name = \"vps1\"", &format!("name = \"{name}\""))];
        let text = Bench::changed(page, &changes, &format!("{ways}{more}"));
        self.bench.workspace.write(&format!("hosts/{name}.toml"), &text);
    }

    fn command(&self, words: &[&str]) -> Command {
        let key = self.home.path().join("key");
        let all =
            ["--ssh-key", key.to_str().unwrap(), "--accept-new", "--yes", "--no-test", "--json"];
        command_at(&self.home, &self.bench, &[&["deploy"], words, &all[..]].concat())
    }

    fn deploy(&self, words: &[&str]) -> Ran {
        let begun = Instant::now();
        let ran = Ran::of(self.command(words));
        println!("deploy {}: {:.1} s", words.join(" "), begun.elapsed().as_secs_f64());
        ran
    }

    /// The pages of both machines, and that nothing is on trial there.
    #[track_caller]
    fn expect_pages(&mut self, expected: [&str; 2]) {
        for ((name, host, _), page) in self.machines.iter_mut().zip(expected) {
            assert_eq!(host.page(), page, "{name}");
            let status = host.json("status --json");
            assert!(status["trial"].is_null(), "{name}: {status:#}");
            assert_eq!(status["default"], status["running"]["number"], "{name}: {status:#}");
        }
    }

    fn all_are_changed(&mut self) {
        self.write("vps1", "two", "");
        self.write("vps2", "two", "");
        let told = self.deploy(&["vps1", "vps2"]).expect(0).json();
        for index in 0..2 {
            assert_eq!(told["hosts"][index]["outcome"], "kept", "{told:#}");
        }
        self.expect_pages(["two", "two"]);
    }

    fn a_failing_canary_ends_it(&mut self) {
        self.write("vps1", "three", "");
        self.write("vps2", "three", CHECK);
        let told = self.deploy(&["vps1", "vps2", "--canary", "vps2"]).expect(6).json();
        assert!(told.to_string().contains("check `never` failed"), "{told:#}");
        self.expect_pages(["two", "two"]);
    }

    fn one_failure_takes_all_back(&mut self) {
        let words = ["vps1", "vps2", "--batch", "1", "--revert-all", "--again"];
        let told = self.deploy(&words).expect(6).json();
        println!("{told:#}");
        self.expect_pages(["two", "two"]);
        let history = self.machines[0].1.json("generations --json");
        let tried = history["generations"].as_array().unwrap().len();
        assert!(tried >= 3, "the first one was changed before it was taken back: {history:#}");
    }

    fn of_two_deployers_one_wins(&mut self) {
        self.write("vps1", "four", SLOW);
        let mut first = self.command(&["vps1"]);
        first.stdout(Stdio::piped()).stderr(Stdio::piped());
        let first = first.spawn().unwrap();
        let second = self.deploy(&["vps1"]);
        let output = first.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let codes = [output.status.code(), second.code];
        let loser = if codes[0] == Some(0) { &second.stderr } else { &said };
        assert!(
            codes == [Some(0), Some(4)] || codes == [Some(4), Some(0)],
            "{codes:?}\n{said}\n{}",
            second.stderr
        );
        println!("the loser was told:\n{loser}");
        assert!(loser.contains("tester@"), "it is said who is first: {loser}");
        self.expect_pages(["four", "two"]);
    }
}
