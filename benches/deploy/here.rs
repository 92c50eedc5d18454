//! A machine on the kernel of this one, in namespaces of its own: as fast as a rented one, and with real file systems,
//! systemd and sshd. Its system has no kernel, so no boot menu is written there.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nexus_host::exec::disk::registration;
use nexus_host::exec::store::Store;
use nexus_host::store::StorePath;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::site::{HOST, program, run, shared};

/// Ends of its line, of the block for benchmarks (RFC 2544, appendix C.2.2).
const THIS_END: &str = "198.18.0.1/30";
const THAT_END: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 2);
/// Names of these ends.
const THIS_LINK: &str = "nexus-bench";
const THAT_LINK: &str = "host0";
/// How long its first process may take to be there.
const START_WITHIN: Duration = Duration::from_secs(30);

/// The machine; it ends when dropped.
pub(crate) struct Here {
    child: Child,
    /// Its first process, once there is one.
    first: Option<Pid>,
    cgroup: PathBuf,
    /// What its start said.
    log: PathBuf,
}

/// What the example's host file is changed to: no kernel, and an address that nobody gives out.
pub(crate) const CHANGES: [(&str, &str); 3] = [
    (
        "kernel = \"cloud\"                # drivers of virtual machines only; \"generic\" has all\n",
        "",
    ),
    ("packages = [\"curl\"", "packages = [\"systemd-sysv\", \"udev\", \"curl\""),
    (
        "[network]\ndhcp = true\n",
        "[network]\ndhcp = false\n\n[network.interfaces.bench]\nnames = [\"host0\"]\n\
         addresses = [\"198.18.0.2/30\"]\nlocal_only = true\n",
    ),
];

impl Here {
    /// Builds and starts it; answers with it, and where its SSH is.
    pub(crate) fn start(directory: &Path) -> (Self, SocketAddr) {
        let store = Store::open(&shared().join("data/nexus-host")).unwrap();
        let output = program(directory).args(["build", HOST, "--json"]).output().unwrap();
        assert!(output.status.success(), "build: {}", String::from_utf8_lossy(&output.stderr));
        let told: Value = serde_json::from_slice(&output.stdout).unwrap();
        let system = told["hosts"][0]["system"].as_str().unwrap().rsplit('/').next().unwrap();
        let system = StorePath::from_base_name(system).unwrap();
        make_disk(directory, &store, &system);
        let line = format!("nexus.root=PARTLABEL=nexus-root nexus.system=/nix/store/{system}\n");
        std::fs::write(directory.join("cmdline"), line).unwrap();
        let cgroup = cgroups().join("nexus-bench");
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/deploy/here.sh");
        let mut command = Command::new(script);
        command.arg("start").arg(directory).arg(system.as_str()).arg(&cgroup).stdin(Stdio::null());
        let log = directory.join("log");
        command.stderr(File::create(&log).unwrap());
        let mut here = Self { child: command.spawn().unwrap(), first: None, cgroup, log };
        here.connect();
        (here, (THAT_END, 22).into())
    }

    /// Seconds of processor time of all that runs there.
    pub(crate) fn processor_seconds(&self) -> f64 {
        // Source: `Documentation/admin-guide/cgroup-v2.rst` of Linux, "Core Interface Files" of CPU.
        let text = std::fs::read_to_string(self.cgroup.join("cpu.stat")).unwrap();
        let used = text.lines().find_map(|line| line.strip_prefix("usage_usec ")).unwrap();
        used.parse::<f64>().unwrap() / 1e6
    }

    fn connect(&mut self) {
        let first = self.first_process();
        self.first = Some(first);
        let _old = Command::new("ip").args(["link", "del", THIS_LINK]).output();
        let ip = |text: &str| run(Command::new("ip").args(text.split(' ')));
        ip(&format!("link add {THIS_LINK} type veth peer name {THAT_LINK}"));
        ip(&format!("link set {THAT_LINK} netns {}", first.as_raw_nonzero()));
        ip(&format!("addr add {THIS_END} dev {THIS_LINK}"));
        ip(&format!("link set {THIS_LINK} up"));
    }

    /// The only child of `unshare`, once it is systemd.
    fn first_process(&self) -> Pid {
        let parent = self.child.id();
        let begun = Instant::now();
        loop {
            let children = format!("/proc/{parent}/task/{parent}/children");
            let children = std::fs::read_to_string(children).unwrap_or_default();
            let first = children.split(' ').next().unwrap_or_default();
            let name = std::fs::read_to_string(format!("/proc/{first}/comm"));
            if name.is_ok_and(|name| name.trim_end() == "systemd")
                && let Some(first) = first.parse().ok().and_then(Pid::from_raw)
            {
                return first;
            }
            let said = || std::fs::read_to_string(&self.log).unwrap();
            assert!(begun.elapsed() < START_WITHIN, "no systemd has started: {}", said());
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Here {
    fn drop(&mut self) {
        // With its first process the whole machine goes; `unshare` itself takes no signals.
        let runs = matches!(self.child.try_wait(), Ok(None));
        if let Some(first) = self.first.filter(|_| runs) {
            let _gone = kill_process(first, Signal::KILL);
        } else {
            let _gone = self.child.kill();
        }
        let _status = self.child.wait();
        remove_cgroup(&self.cgroup);
    }
}

/// What `root_tree` of the product puts on a root partition.
fn make_disk(directory: &Path, store: &Store, system: &StorePath) {
    let disk = directory.join("disk");
    let _old = std::fs::remove_dir_all(&disk);
    for place in ["nix/store", "nix/var/nix/profiles", "nix/var/nexus-host", "var/lib/nexus-host"] {
        std::fs::create_dir_all(disk.join(place)).unwrap();
    }
    for place in ["home", "root", "srv"] {
        std::fs::create_dir(disk.join(place)).unwrap();
    }
    let closure = store.closure(std::slice::from_ref(system)).unwrap();
    let mut copy = Command::new("cp");
    copy.args(["-a", "--reflink=auto", "-t"]).arg(disk.join("nix/store"));
    copy.args(closure.iter().map(|path| store.real_path(path)));
    run(&mut copy);
    let registration = registration(store, &closure).unwrap();
    std::fs::write(disk.join("nix/var/nexus-host/registration"), registration).unwrap();
    let profiles = disk.join("nix/var/nix/profiles");
    symlink(format!("/nix/store/{system}"), profiles.join("system-1-link")).unwrap();
    symlink("system-1-link", profiles.join("system")).unwrap();
    let id = std::fs::read_to_string("/proc/sys/kernel/random/uuid").unwrap().replace('-', "");
    std::fs::write(disk.join("var/lib/nexus-host/machine-id"), id).unwrap();
}

/// Where control groups of version 2 are mounted, also beside those of version 1.
fn cgroups() -> PathBuf {
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap();
    let fields = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    let place = fields.into_iter().find(|fields| fields[2] == "cgroup2");
    PathBuf::from(place.expect("control groups of version 2 are mounted")[1])
}

fn remove_cgroup(cgroup: &Path) {
    for entry in std::fs::read_dir(cgroup).into_iter().flatten().flatten() {
        if entry.path().is_dir() {
            remove_cgroup(&entry.path());
        }
    }
    let _busy = std::fs::remove_dir(cgroup);
}
