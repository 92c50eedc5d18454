//! What must be instant, against the time we promise: `cargo bench --bench speed`.
//!
//! | row | what is timed |
//! |---|---|
//! | erofs | the metadata image of a tree of 8,000 files, in this process |
//! | solve | choosing the packages of a server from the whole of trixie, in this process |
//! | again | `build` of a host that is built, the whole program |
//! | changed line | `build` after one line of its file changed |

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::cast_precision_loss,
    reason = "a benchmark prints, starts programs, and stops at the first thing that goes wrong"
)]

#[path = "../peer/measure.rs"]
#[expect(dead_code, reason = "the other benchmark copies and shows")]
mod measure;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use measure::{Measured, measured};
use nexus_host::debian::index::PackageIndex;
use nexus_host::debian::package::{Architecture, SourceName};
use nexus_host::debian::resolve::{Base, Request, Requests, Update, resolve};
use nexus_host::image::erofs;
use nexus_host::store::StorePath;
use nexus_host::tree::shape::complete_parents;
use nexus_host::tree::{Entry, Node, StoreFile, Tree, TreePath};

const RUNS: usize = 11;
const FILES: usize = 8_000;

fn main() {
    println!("what         | median ms | promised ms");
    println!("erofs        | {:>9.1} | 30", median_milliseconds(erofs_of(&tree())));
    println!("solve        | {:>9.1} | 100", median_milliseconds(solve()));
    let host = Host::new();
    println!("again        | {:>9.1} | 30", host.again());
    println!("changed line | {:>9.1} | 150", host.changed());
}

fn median_milliseconds(mut work: impl FnMut()) -> f64 {
    let mut times = Vec::new();
    for _ in 0..RUNS {
        let start = Instant::now();
        work();
        times.push(start.elapsed().as_secs_f64() * 1e3);
    }
    times.sort_by(f64::total_cmp);
    times[RUNS / 2]
}

fn erofs_of(tree: &Tree) -> impl FnMut() {
    move || {
        std::hint::black_box(erofs::write(tree).unwrap());
    }
}

/// Files as in `/usr`: some thirty in a directory, a tenth of them links.
fn tree() -> Tree {
    let store = StorePath::from_base_name("vxjiwkjkn7x4079qvh1jkl5pn05j2aw0-package").unwrap();
    let mut tree = Tree::new();
    for number in 0..FILES {
        let path = format!("share/package-{}/part-{}/file-{number}", number / 300, number / 30);
        let node = if number % 10 == 0 {
            Node::Symlink(b"../elsewhere/file".to_vec())
        } else {
            let inner = TreePath::new(format!("data/usr/{path}")).unwrap();
            Node::File(StoreFile { path: store.clone(), inner, size: number as u64 * 17 })
        };
        let mtime = 1_700_000_000 + (number / 300) as u64;
        let entry = Entry { mode: 0o644, uid: 0, gid: 0, mtime, xattrs: BTreeMap::new(), node };
        tree.insert(TreePath::new(path).unwrap(), entry);
    }
    complete_parents(&mut tree).unwrap();
    tree
}

/// The index comes from the cache of the other benchmark's host, which is made when absent.
fn solve() -> impl FnMut() {
    let texts: &'static [(SourceName, Vec<u8>)] = Box::leak(index_texts().into_boxed_slice());
    let borrowed: Vec<(SourceName, &[u8])> =
        texts.iter().map(|(name, text)| (name.clone(), &text[..])).collect();
    let index = PackageIndex::parse(&borrowed, Architecture::Amd64).unwrap();
    let names = ["linux-image-cloud-amd64", "systemd-sysv", "udev", "openssh-server", "postgresql"];
    let names = names.into_iter().chain(["podman", "caddy", "restic", "nftables", "python3"]);
    let request = |name: &str| Request { name: name.parse().unwrap(), version: None };
    let packages: BTreeSet<Request> = names.map(request).collect();
    move || {
        let question = Requests {
            packages: &packages,
            base: Base::Essential,
            locked: &[],
            update: Update::Nothing,
        };
        let chosen = resolve(&index, &question).unwrap();
        assert!(chosen.packages.len() > 150, "{} packages", chosen.packages.len());
    }
}

fn index_texts() -> Vec<(SourceName, Vec<u8>)> {
    use nexus_host::debian::source::Source;
    use nexus_host::exec::environment::Environment;
    use nexus_host::exec::fetch::{FetchOptions, Fetcher, mirrors};
    use nexus_host::exec::interrupt::Interrupt;
    use nexus_host::exec::progress::Silent;
    let environment = Environment::of_process().unwrap();
    let mirrors = mirrors(&environment, None).unwrap();
    let sources = Source::debian("trixie", &["main"], &mirrors).unwrap();
    let options = FetchOptions::default().with_environment(&environment).unwrap();
    let (cache, interrupt) = (directory().join("cache/nexus-host"), Interrupt::default());
    let fetcher = Fetcher::new(&cache, &Silent, &interrupt, options).unwrap();
    let releases = fetcher.releases(&sources, environment.now_seconds).unwrap();
    let indexes = fetcher.indexes(&releases, "amd64").unwrap();
    indexes.into_iter().map(|index| (index.source.parse().unwrap(), index.text)).collect()
}

fn directory() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("bench")
}

/// The repository's example, in a workspace of its own.
struct Host {
    workspace: PathBuf,
    text: String,
}

impl Host {
    fn new() -> Self {
        let workspace = directory().join("vps1");
        std::fs::create_dir_all(workspace.join("hosts")).unwrap();
        let text = std::fs::read_to_string("hosts/vps1.toml").unwrap();
        let host = Self { workspace, text };
        host.write("Hello from vps1.");
        measured(host.build());
        host
    }

    /// The host's file with another greeting.
    fn write(&self, greeting: &str) {
        let text = self.text.replacen("Hello from vps1.</p>", &format!("{greeting}</p>"), 1);
        assert!(text.contains(greeting));
        std::fs::write(self.workspace.join("hosts/vps1.toml"), text).unwrap();
    }

    fn build(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_nexus-host"));
        command.arg("-C").arg(&self.workspace).args(["build", "vps1", "--quiet"]);
        command.arg("--store").arg(directory().join("store"));
        command.env("XDG_CACHE_HOME", directory().join("cache"));
        command
    }

    fn again(&self) -> f64 {
        let runs = (0..RUNS).map(|_| measured(self.build())).collect();
        Measured(runs).median().wall_seconds * 1e3
    }

    fn changed(&self) -> f64 {
        let now = Instant::now();
        let change = |number| {
            // Never a text that was built before.
            self.write(&format!("Greeting {number} of {now:?}"));
            measured(self.build())
        };
        Measured((0..RUNS).map(change).collect()).median().wall_seconds * 1e3
    }
}
