//! What is bad from outside, tried on the real program: network, mirror, lock, disk, Ctrl-C, machine.
//!
//! Each must end with a message that says what to do, the right exit code, a clean store and nothing
//! half-done; and the same command must work once the cause is gone.

mod at_once;
mod disk;
mod locks;
mod machine;
mod mirror;
mod network;
mod signatures;
mod stopping;

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use nexus_host::debian::lock::{Lock, LockedTool};
use nexus_host::exec::files::write_atomic;
use nexus_host::lower::tools::IMAGE;
use nexus_host::store::Sha256Digest;

use crate::support::{Ran, Workspace, plain_command, program, shared_directory};

/// The smallest host that goes through lock, fetch, unpack and configure.
const SMALL: &str = "small";
/// The smallest that an image can be made of.
const BOOTS: &str = "boots";

/// An address where nobody listens: port 9 is that of a service nobody runs any more.
const NOBODY: &str = "http://127.0.0.1:9/debian";

fn host_text(host: &str) -> String {
    let kernel = if host == BOOTS { "kernel = \"cloud\"\n" } else { "" };
    format!("[host]\nname = \"{host}\"\nrelease = \"trixie\"\n{kernel}")
}

/// The lock of `host`; once it was made, the shared cache has all its files.
fn lock_text(host: &str) -> &'static str {
    static LOCKS: [OnceLock<String>; 2] = [OnceLock::new(), OnceLock::new()];
    LOCKS[usize::from(host == BOOTS)].get_or_init(|| {
        let workspace = Workspace::with_host(host, &host_text(host));
        let image: &[&str] = if host == BOOTS { &["--image", "raw"] } else { &[] };
        workspace.run(&[&["build", host], image].concat()).expect(0);
        fs::read_to_string(workspace.path().join(format!("hosts/{host}.lock"))).unwrap()
    })
}

/// A folder with one host, and a cache and a store of its own.
struct Place {
    host: &'static str,
    directory: tempfile::TempDir,
    mirror: String,
}

impl Place {
    /// The host is locked; the cache and the store are empty; nobody answers.
    fn new(host: &'static str) -> Self {
        // Beside the shared cache, so that its files can be linked.
        fs::create_dir_all(shared_directory()).unwrap();
        let directory = tempfile::Builder::new().prefix("bad-").tempdir_in(shared_directory());
        let place = Self { host, directory: directory.unwrap(), mirror: NOBODY.to_owned() };
        for folder in ["hosts", "cache/nexus-host/files/sha256", "data"] {
            fs::create_dir_all(place.at(folder)).unwrap();
        }
        place.write(&format!("hosts/{host}.toml"), &host_text(host));
        place.write_lock(lock_text(host));
        place
    }

    /// The same, and the cache has all that the lock names.
    fn with_files(host: &'static str) -> Self {
        let place = Self::new(host);
        for sha256 in place.files(host == BOOTS) {
            let target = place.cached(&sha256);
            fs::create_dir_all(target.parent().unwrap()).unwrap();
            fs::hard_link(in_cache(&shared_directory().join("cache"), &sha256), target).unwrap();
        }
        place
    }

    /// The same without its lock.
    fn unlocked(self) -> Self {
        fs::remove_file(self.lock_path()).unwrap();
        self
    }

    fn behind(mut self, mirror: &mirror::Mirror) -> Self {
        self.mirror = mirror.url();
        self
    }

    fn at(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        write_atomic(&self.at(name), text.as_bytes()).unwrap();
    }

    fn lock_path(&self) -> PathBuf {
        self.at(&format!("hosts/{}.lock", self.host))
    }

    fn write_lock(&self, text: &str) {
        write_atomic(&self.lock_path(), text.as_bytes()).unwrap();
    }

    /// Digests of the packages' files, and of those that make images; some are both.
    fn files(&self, with_image: bool) -> BTreeSet<Sha256Digest> {
        let lock: Lock = lock_text(self.host).parse().unwrap();
        let for_image =
            |tool: &&LockedTool| with_image && tool.sets.iter().any(|set| set.as_str() == IMAGE);
        let tools = lock.tools.iter().filter(for_image).map(|tool| tool.package.sha256);
        lock.packages.iter().map(|package| package.sha256).chain(tools).collect()
    }

    /// Where the place's cache has a file.
    fn cached(&self, sha256: &Sha256Digest) -> PathBuf {
        in_cache(&self.at("cache"), sha256)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = plain_command(program());
        command.arg("-C").arg(self.directory.path()).args(arguments);
        command.env("XDG_CACHE_HOME", self.at("cache")).env("XDG_DATA_HOME", self.at("data"));
        command.env("NEXUS_HOST_DEBIAN_MIRROR", &self.mirror).env("NEXUS_HOST_SNAPSHOT", NOBODY);
        command.env("no_proxy", "127.0.0.1");
        command
    }

    #[track_caller]
    fn run(&self, arguments: &[&str]) -> Ran {
        Ran::of(self.command(arguments))
    }

    /// Nothing half-done lies anywhere, and every path of the store proves itself.
    #[track_caller]
    fn assert_clean(&self) {
        let data = self.at("data/nexus-host");
        // Looked at before the program opens the store again and clears it.
        let scratch = names(&data.join("nix/var/nexus-host/scratch"));
        assert!(scratch.iter().all(|name| name == ".lock"), "{scratch:?}");
        let images = names(&data.join("images"));
        assert!(
            images.iter().all(|name| Path::new(name).extension() == Some("raw".as_ref())),
            "{images:?}"
        );
        let hosts = names(&self.at("hosts"));
        let known = [format!("{}.lock", self.host), format!("{}.toml", self.host)];
        assert!(hosts.iter().all(|name| known.contains(name)), "{hosts:?}");
        let verified = self.run(&["store", "verify"]).expect(0).stdout;
        assert!(verified.contains("all good") && !verified.contains("garbage"), "{verified}");
    }

    /// Now that the cause is gone, the command does what it did not; and leaves nothing either.
    #[track_caller]
    fn assert_works(&self, arguments: &[&str]) {
        self.run(arguments).expect(0);
        self.assert_clean();
    }
}

fn in_cache(cache_home: &Path, sha256: &Sha256Digest) -> PathBuf {
    let name = sha256.to_string();
    cache_home.join("nexus-host/files/sha256").join(&name[..2]).join(name)
}

/// Names in a directory, sorted; none when it is not there.
fn names(directory: &Path) -> Vec<String> {
    let listed = fs::read_dir(directory).into_iter().flatten();
    let mut names: Vec<String> =
        listed.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// A run of the program whose progress is followed.
struct Followed {
    child: Child,
    lines: BufReader<std::process::ChildStderr>,
    stderr: String,
}

impl Followed {
    /// Starts `command`.
    fn start(mut command: Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap());
        Self { child, lines, stderr: String::new() }
    }

    /// Reads until the program says that it begins with `stage`.
    #[track_caller]
    fn reaches(&mut self, stage: &str) {
        loop {
            let before = self.stderr.len();
            let count = self.lines.read_line(&mut self.stderr).unwrap();
            assert!(count > 0, "it ended before `{stage}`:\n{}", self.stderr);
            if self.stderr[before..].starts_with(stage) {
                return;
            }
        }
    }

    fn interrupt(&self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    }

    /// Waits for the end.
    fn ends(mut self) -> Ran {
        while self.lines.read_line(&mut self.stderr).unwrap() > 0 {}
        let output = self.child.wait_with_output().unwrap();
        let stdout = String::from_utf8(output.stdout).unwrap();
        Ran { code: output.status.code(), stdout, stderr: self.stderr }
    }
}
