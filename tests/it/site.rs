//! A machine that runs vps1, and somebody who deploys to it over real SSH.

#![expect(clippy::print_stdout, reason = "how long a deployment takes is worth reading")]

pub(crate) mod secrets;

use std::cell::RefCell;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use nexus_host::exec::files::write_atomic;
use nexus_host::vm::Network;
use nexus_host::vm::network::Forward;
use nexus_host::vm::qemu::Firmware;

use self::secrets::{Discretion, SECRETS};
use crate::bench::{BOOT_WITHIN, Bench, Host};
use crate::secrets::leaks::{watch_processes, watching};
use crate::support::Ran;
use crate::toolbox::{layers, tool, tool_file};

/// The example's key, which nobody has the other half of.
pub(crate) const EXAMPLE_KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f example";

/// A machine that runs vps1, and somebody who deploys to it.
pub(crate) struct Site {
    pub(crate) bench: Bench,
    pub(crate) host: Host,
    pub(crate) home: tempfile::TempDir,
    pub(crate) key: String,
    pub(crate) forward: Forward,
    pub(crate) ssh: PathBuf,
    /// Not there when the machine has no secrets.
    discretion: Option<RefCell<Discretion>>,
}

impl Site {
    /// Builds and starts it; machines that run at the same time need names of their own.
    pub(crate) fn new(name: &str, firmware: fn(&Bench) -> Firmware) -> Self {
        let (bench, home, key) = owner();
        bench.build_changed("one", &[(EXAMPLE_KEY, &key)], "");
        let image = bench.image();
        let host = bench.start_named(name, &image, firmware(&bench));
        Self::of((bench, home, key), host, None)
    }

    /// The same, of a machine with secrets; all that is said and seen of them is noted.
    pub(crate) fn with_secrets(name: &str) -> Self {
        let (bench, home, key) = owner();
        bench.write_changed("one", &[(EXAMPLE_KEY, &key)], SECRETS);
        let discretion = Discretion::new(&bench);
        let mut host = bench.start_named(name, &secrets::disk(&bench), Firmware::SeaBios);
        watch_processes(&mut host, &discretion.values);
        Self::of((bench, home, key), host, Some(RefCell::new(discretion)))
    }

    fn of(
        (bench, home, key): (Bench, tempfile::TempDir, String),
        host: Host,
        discretion: Option<RefCell<Discretion>>,
    ) -> Self {
        let (network, _) = host.machine.network(0).unwrap();
        let forward = network.forward(SocketAddr::from((lease_of(network), 22))).unwrap();
        let options = "-F none -o \"UserKnownHostsFile=$HOME/.ssh/known_hosts\"";
        let ssh = own_program("ssh", options, home.path());
        Self { bench, host, home, key, forward, ssh, discretion }
    }

    /// Writes the host file with another page, other words in place of some, and more at the end.
    pub(crate) fn write(&self, page: &str, changes: &[(&str, &str)], more: &str) {
        let mut all = vec![(EXAMPLE_KEY, self.key.as_str())];
        all.extend(changes);
        let secrets = if self.discretion.is_some() { SECRETS } else { "" };
        self.bench.write_changed(page, &all, &format!("{secrets}{more}"));
    }

    pub(crate) fn address(&self) -> String {
        format!("admin@{}", self.forward.local)
    }

    /// Runs the program as somebody whose home is empty but for what earlier runs have written.
    pub(crate) fn run(&self, words: &[&str]) -> Ran {
        self.run_with(words, &[])
    }

    /// The same, with more in the environment.
    pub(crate) fn run_with(&self, words: &[&str], environment: &[(&str, &str)]) -> Ran {
        let mut command = command_at(&self.home, &self.bench, words);
        command.envs(environment.iter().copied());
        let Some(discretion) = &self.discretion else { return Ran::of(command) };
        let discretion = &mut *discretion.borrow_mut();
        let (ran, seen) = watching(&discretion.values, || Ran::of(command));
        discretion.seen.extend(seen);
        discretion.said += &ran.stdout;
        discretion.said += &ran.stderr;
        ran
    }

    pub(crate) fn deploy(&self, more: &[&str]) -> Ran {
        self.deploy_to(&self.address(), more)
    }

    pub(crate) fn deploy_to(&self, address: &str, more: &[&str]) -> Ran {
        let key = self.home.path().join("key");
        let mut words =
            vec!["deploy", "vps1", "--ssh", address, "--ssh-key", key.to_str().unwrap()];
        words.extend(["--yes", "--no-test", "--json"]);
        words.extend(more);
        let begun = Instant::now();
        let ran = self.run(&words);
        println!(
            "deploy {}: {:.1} s\n{}",
            more.join(" "),
            begun.elapsed().as_secs_f64(),
            ran.stderr
        );
        ran
    }
}

/// A command of the program, given by somebody with this home and nothing else of his own.
pub(crate) fn command_at(home: &tempfile::TempDir, bench: &Bench, words: &[&str]) -> Command {
    let mut command = bench.workspace.command(words);
    command
        .env_remove("SSH_AUTH_SOCK")
        .env_remove("NEXUS_HOST_SSH_PROGRAM")
        .env_remove("XDG_STATE_HOME")
        .env("HOME", home.path())
        .env("USER", "tester");
    command
}

/// A bench, and the home and public key of somebody who deploys from it.
pub(crate) fn owner() -> (Bench, tempfile::TempDir, String) {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("key");
    tool("ssh-keygen")
        .sees(home.path())
        .args(["-q", "-t", "ed25519", "-N", "", "-C", "me", "-f", file.to_str().unwrap()])
        .run();
    let key = std::fs::read_to_string(home.path().join("key.pub")).unwrap().trim().to_owned();
    (Bench::new(), home, key)
}

/// The address that the machine on a network has got.
pub(crate) fn lease_of(network: &Network) -> Ipv4Addr {
    let begun = Instant::now();
    loop {
        if let Some(address) = network.leases().unwrap().values().next() {
            return *address;
        }
        assert!(begun.elapsed() < BOOT_WITHIN, "the machine asks for no address");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// A program that runs on this machine although it is another release's: through its own loader and libraries.
///
/// Those of OpenSSH take the home directory from the table of users, not from `HOME`.
pub(crate) fn own_program(name: &str, options: &str, folder: &Path) -> PathBuf {
    let libraries: Vec<String> = layers()
        .iter()
        .flat_map(|layer| {
            ["usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu"].map(|part| layer.join(part))
        })
        .filter(|path| path.is_dir())
        .map(|path| path.display().to_string())
        .collect();
    let loader = tool_file("usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2");
    let script = format!(
        "#!/bin/sh\nexec '{}' --library-path '{}' '{}' {options} \"$@\"\n",
        loader.display(),
        libraries.join(":"),
        tool_file(&format!("usr/bin/{name}")).display()
    );
    let path = folder.join(name);
    write_atomic(&path, script.as_bytes()).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}
