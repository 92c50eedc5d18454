//! `build` beside mmdebstrap, in one run: the same packages from the same mirror, in turn, ratios at the end.
//!
//! `cargo bench --bench peer [-- SCENARIO…]`, as root, with mmdebstrap (a Debian package) installed. The
//! scenarios are `small`, `big` (packages fetched before, scripts run), `small-delta`, `big-delta` (what
//! maintainer scripts change is cached too), `small-again`, `big-again` (another host with the same packages was
//! built before, so they are unpacked, too) and `cold` (nothing fetched before, indexes included).
//! Each run has a file system of its own. Whole processes are timed; memory is the largest single process.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::cast_precision_loss,
    reason = "a benchmark prints, starts programs, and stops at the first thing that goes wrong"
)]

mod measure;
mod sets;

use std::path::{Path, PathBuf};

use measure::{Figures, FileSystem, Measured, measured};
use nexus_host::exec::environment::Environment;
use nexus_host::exec::fetch::mirrors;
use nexus_host::exec::store::Store;
use sets::Set;

/// Pairs of runs of each scenario; the median counts.
const RUNS: usize = 3;
/// What a system is made of beside packages and the host's own files: kept for the scenarios with a cached
/// delta.
const DELTAS: [&str; 4] = ["maintainer-scripts", "depmod", "hwdb", "certificates"];
/// What only one host has; all else is kept for the scenario in which another one was built before.
const OWN: [&str; 2] = ["system-bench", "files-bench"];

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with('-')).collect();
    let is_wanted = |name: &str| wanted.is_empty() || wanted.iter().any(|wanted| wanted == name);
    let bench = Bench::new();
    let mut table = Vec::new();
    for set in [sets::small(), sets::big()] {
        let delta = format!("{}-delta", set.name);
        let again = format!("{}-again", set.name);
        if [set.name, &delta, &again].into_iter().any(is_wanted) {
            bench.fetch_all(&set);
        }
        if is_wanted(set.name) {
            table.push(bench.compare(&set, set.name, set.least_ratio, Scenario::ScriptsRun));
        }
        if is_wanted(&delta) {
            table.push(bench.compare(&set, &delta, set.least_with_delta, Scenario::DeltaCached));
        }
        if is_wanted(&again) {
            table.push(bench.compare(&set, &again, 10.0, Scenario::SamePackages));
        }
    }
    if is_wanted("cold") {
        table.push(bench.compare(&sets::small(), "cold", 1.0, Scenario::Cold));
    }
    print_table(&table);
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Scenario {
    ScriptsRun,
    DeltaCached,
    SamePackages,
    Cold,
}

impl Scenario {
    /// Whether what the store has under `name` was there before; `None` when nothing was.
    fn keeps(self) -> Option<fn(&str) -> bool> {
        match self {
            Self::ScriptsRun | Self::Cold => None,
            Self::DeltaCached => Some(|name| DELTAS.contains(&name)),
            Self::SamePackages => Some(|name| !OWN.contains(&name)),
        }
    }
}

struct Row {
    name: String,
    ours: Figures,
    peer: Figures,
    /// Peer's time by ours, of each pair.
    ratios: Vec<f64>,
    least_ratio: f64,
}

fn print_table(rows: &[Row]) {
    println!(
        "scenario     | ours s (cpu) | peer s (cpu) | ratio min..max, median | asked | our peak MB"
    );
    for row in rows {
        let mut sorted = row.ratios.clone();
        sorted.sort_by(f64::total_cmp);
        println!(
            "{:<12} | {:>5.2} ({:>5.2}) | {:>5.2} ({:>5.2}) | {:.2}..{:.2}, {:.2} | {:>4.1} | {:>4}",
            row.name,
            row.ours.wall_seconds,
            row.ours.cpu_seconds,
            row.peer.wall_seconds,
            row.peer.cpu_seconds,
            sorted[0],
            sorted[sorted.len() - 1],
            sorted[sorted.len() / 2],
            row.least_ratio,
            row.ours.peak_kilobytes / 1000,
        );
    }
}

struct Bench {
    directory: PathBuf,
    mirror: String,
}

impl Bench {
    fn new() -> Self {
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("bench");
        std::fs::create_dir_all(&directory).unwrap();
        let environment = Environment::of_process().unwrap();
        let mirror = mirrors(&environment, None).unwrap().debian.to_string();
        Self { directory, mirror }
    }

    fn workspace(&self, set: &Set) -> PathBuf {
        let workspace = self.directory.join(set.name);
        std::fs::create_dir_all(workspace.join("hosts")).unwrap();
        std::fs::write(workspace.join("hosts/bench.toml"), set.host_file()).unwrap();
        workspace
    }

    fn ours(&self, set: &Set, store: &Path, cache: &Path, verb: &[&str]) -> std::process::Command {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_nexus-host"));
        command.arg("-C").arg(self.workspace(set)).args(verb).arg("--quiet");
        command.arg("--store").arg(store).env("XDG_CACHE_HOME", cache);
        command
    }

    /// mmdebstrap as root, which is its fastest way, to a tar; `archives` keeps what apt fetches, and it works in
    /// `place`.
    fn peer(&self, set: &Set, archives: &Path, place: &Path) -> std::process::Command {
        let mut command = std::process::Command::new("mmdebstrap");
        let archives = archives.display();
        command
            .args(["--mode=root", "--variant=essential", "--format=tar", "--quiet"])
            .arg(format!("--include={}", set.packages.join(",")))
            .args(["--skip=download/empty", "--skip=essential/unlink", "--skip=cleanup/apt/cache"])
            .arg(format!(
                "--setup-hook=mkdir -p {archives}/partial \"$1\"/var/cache/apt/archives && \
                 mount --bind {archives} \"$1\"/var/cache/apt/archives"
            ))
            .arg("--customize-hook=umount \"$1\"/var/cache/apt/archives")
            .arg("trixie")
            .arg(place.join("peer.tar"))
            .arg(&self.mirror)
            .env("TMPDIR", place);
        command
    }

    /// Locks, and makes both caches warm.
    fn fetch_all(&self, set: &Set) {
        let (cache, store) = (self.directory.join("cache"), self.directory.join("store"));
        measured(self.ours(set, &store, &cache, &["build", "bench", "--image", "raw"]));
        measured(self.peer(set, &self.archives(set), &self.directory));
    }

    fn archives(&self, set: &Set) -> PathBuf {
        self.directory.join(format!("archives-{}", set.name))
    }

    /// A store in which `set` was built, and of that only what `keeps` says, on a file system of its own.
    fn store_with(&self, set: &Set, keeps: fn(&str) -> bool) -> FileSystem {
        let own = FileSystem::new(self.directory.join("template"));
        let full = own.path().join("store");
        measured(self.ours(set, &full, &self.directory.join("cache"), &["build", "bench"]));
        std::fs::remove_dir_all(full.join("nix/var/nix/gcroots")).unwrap();
        std::fs::create_dir_all(full.join("nix/var/nix/gcroots")).unwrap();
        let store = Store::open(&full).unwrap();
        let names = std::fs::read_dir(full.join("nix/store")).unwrap();
        let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let keep: Vec<_> = names
            .filter(|name| name.len() > 33)
            .filter(|name| keeps(&name[33..]))
            .map(|name| nexus_host::store::StorePath::from_base_name(&name).unwrap())
            .collect();
        assert!(keep.len() >= 3, "what is kept is there: {keep:?}");
        store.collect_garbage(&keep).unwrap();
        own
    }

    fn compare(&self, set: &Set, name: &str, least_ratio: f64, scenario: Scenario) -> Row {
        let template = scenario.keeps().map(|keeps| self.store_with(set, keeps));
        let (mut ours, mut peers, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
        for run in 0..RUNS {
            let cold = self.directory.join("cold");
            let (cache, archives) = if scenario == Scenario::Cold {
                remove(&cold);
                let _absent = std::fs::remove_file(self.workspace(set).join("hosts/bench.lock"));
                (cold.join("cache"), cold.join("archives"))
            } else {
                (self.directory.join("cache"), self.archives(set))
            };
            let own = FileSystem::new(self.directory.join("ours"));
            let store = own.path().join("store");
            if let Some(template) = &template {
                measure::copy(&template.path().join("store"), &store);
            }
            let verb = ["build", "bench", "--image", "raw"];
            let our = measured(self.ours(set, &store, &cache, &verb));
            let theirs = FileSystem::new(self.directory.join("theirs"));
            let peer = measured(self.peer(set, &archives, theirs.path()));
            eprintln!("{name} {run}: ours {our}, peer {peer}");
            ratios.push(peer.wall_seconds / our.wall_seconds);
            ours.push(our);
            peers.push(peer);
        }
        let (ours, peer) = (Measured(ours).median(), Measured(peers).median());
        Row { name: name.to_owned(), ours, peer, ratios, least_ratio }
    }
}

fn remove(directory: &Path) {
    if directory.exists() {
        std::fs::remove_dir_all(directory).unwrap();
    }
}
