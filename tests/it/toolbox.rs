//! The programs that tests compare with: packages of Debian that `tools.lock` pins, fetched, unpacked and
//! run in the sandbox by this project's own code, so that a machine needs none of them.
//!
//! `NEXUS_HOST_TEST_LOCK_TOOLS=1 cargo test --test it toolbox::` writes the lock anew.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Output};
use std::sync::OnceLock;

use nexus_host::debian::lock::{Lock, SetName, ToolRequests};
use nexus_host::debian::package::SourceName;
use nexus_host::debian::resolve::{Request, Update};
use nexus_host::debian::source::Source;
use nexus_host::exec::debs::LockedDebs;
use nexus_host::exec::engine::Engine;
use nexus_host::exec::environment::Environment;
use nexus_host::exec::fetch::{FetchOptions, Fetcher, mirrors};
use nexus_host::exec::files::write_atomic;
use nexus_host::exec::interrupt::Interrupt;
use nexus_host::exec::locking::{Locking, lock_tools};
use nexus_host::exec::progress::Silent;
use nexus_host::exec::sandbox::{self, Command, Input, Limits, Sandbox, Streams, Upper};
use nexus_host::exec::store::Store;
use nexus_host::lower::graph::{image_graph, tools_graph};
use nexus_host::lower::recipe::Graph;
use nexus_host::store::StorePath;
use rustix::fs::FlockOperation;

use crate::identity::kept_directory;
use crate::support::program;

/// The packages that have the programs, and what these start in turn.
const PACKAGES: &[&str] = &[
    "apt",
    "apt-utils",
    "bash",
    "coreutils",
    "dash",
    "dosfstools",
    "dpkg",
    "e2fsprogs",
    "erofs-utils",
    "gdisk",
    "gpgv",
    "grub-common",
    "grub-pc-bin",
    "libc-bin",
    "mtools",
    "nix-bin",
    "openssh-client",
    "qemu-utils",
    "restic",
    "sqop",
    "systemd",
];
/// What they are for, in the lock.
const SET: &str = "compare";
const LOCK: &str = include_str!("tools.lock");
const WRITE_LOCK: &str = "NEXUS_HOST_TEST_LOCK_TOOLS";

/// A program of the toolbox, to be run.
pub(crate) struct Tool {
    argv: Vec<OsString>,
    sandbox: Sandbox,
    input: Input,
}

/// The program `name`, without arguments; it sees nothing of the machine.
pub(crate) fn tool(name: &str) -> Tool {
    let mut sandbox = Sandbox::for_tool(layers().to_vec());
    // Its own directories may be written to; what it writes there is forgotten.
    sandbox.upper = Upper::Tmpfs;
    Tool { argv: vec![name.into()], sandbox, input: Input::Nothing }
}

impl Tool {
    /// Adds words to the command line.
    pub(crate) fn args<W: AsRef<OsStr>>(mut self, words: impl IntoIterator<Item = W>) -> Self {
        self.argv.extend(words.into_iter().map(|word| word.as_ref().to_owned()));
        self
    }

    /// Adds a word to the command line.
    pub(crate) fn arg(self, word: impl AsRef<OsStr>) -> Self {
        self.args([word])
    }

    /// Sets a variable.
    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.sandbox.environment.retain(|(known, _)| known != name);
        self.sandbox.environment.push((name.into(), value.as_ref().to_owned()));
        self
    }

    /// Shows it a directory or file of the machine, at the same place; it may write there.
    pub(crate) fn sees(self, path: &Path) -> Self {
        self.sees_at(path, path.to_str().expect("test directories have plain names"))
    }

    /// The same at another place.
    pub(crate) fn sees_at(mut self, path: &Path, target: &str) -> Self {
        self.sandbox = self.sandbox.with_bind(path.to_owned(), target, true);
        self
    }

    /// Starts it in a directory that it sees.
    pub(crate) fn in_directory(mut self, path: &Path) -> Self {
        path.clone_into(&mut self.sandbox.working_directory);
        self
    }

    /// Gives it `bytes` to read.
    pub(crate) fn input(mut self, bytes: &[u8]) -> Self {
        self.input = Input::Bytes(bytes.to_owned());
        self
    }

    /// Runs it to its end, however it ends.
    #[track_caller]
    pub(crate) fn output(self) -> Output {
        let command = [Command::new(self.argv)];
        let streams = Streams { input: self.input, ..Streams::default() };
        let environment = environment();
        let ran = sandbox::run(&environment, &self.sandbox, &command, streams, &Limits::default());
        let ran = ran.unwrap_or_else(|error| panic!("{:?}: {error}: {error:?}", command[0].argv));
        Output { status: ran.status, stdout: ran.output, stderr: ran.errors }
    }

    /// Runs it; it must succeed. Gives what it wrote to standard output.
    #[track_caller]
    pub(crate) fn run(self) -> Vec<u8> {
        let words = format!("{:?}", self.argv);
        let Output { status, stdout, stderr } = self.output();
        let said = [&stdout[..], &stderr[..]].concat();
        assert_succeeded(&words, status, &String::from_utf8_lossy(&said));
        stdout
    }
}

#[track_caller]
fn assert_succeeded(words: &str, status: ExitStatus, said: &str) {
    assert!(status.success(), "{words}: {status}\n{said}");
}

/// The file `path`, such as `usr/lib/grub/i386-pc/boot.img`, of whichever package has it.
pub(crate) fn tool_file(path: &str) -> PathBuf {
    let found = layers().iter().map(|layer| layer.join(path)).find(|path| path.exists());
    found.unwrap_or_else(|| panic!("no package of the toolbox has {path}"))
}

/// Files of the unpacked packages; made when this is called first, and kept for the next test run.
pub(crate) fn layers() -> &'static [PathBuf] {
    static LAYERS: OnceLock<Vec<PathBuf>> = OnceLock::new();
    LAYERS.get_or_init(|| {
        let lock: Lock = LOCK.parse().unwrap_or_else(|error| panic!("tools.lock: {error}"));
        assert!(
            lock.matches(&BTreeSet::new(), &requests()).is_ok(),
            "tools.lock is for other packages; write it anew with {WRITE_LOCK}=1",
        );
        let directory = kept_directory().join("shared");
        let mut layers = vec![accounts(&directory)];
        // One process unpacks, the others wait.
        let turn = File::create(directory.join("toolbox.lock")).unwrap();
        rustix::fs::flock(&turn, FlockOperation::LockExclusive).unwrap();
        let store = Store::open(&directory.join("toolbox")).unwrap();
        layers.extend(unpacked(&lock, SET, &store));
        layers
    })
}

/// Files of the tools that `lock` pins for `set`, topmost first; fetched and unpacked when they are not there.
pub(crate) fn unpacked(lock: &Lock, set: &str, store: &Store) -> Vec<PathBuf> {
    let outputs = realised(lock, store, &tools_graph(lock, set).unwrap());
    outputs.iter().map(|path| store.real_path(path).join("data")).collect()
}

/// What a BIOS starts, made by the tools that `lock` pins.
pub(crate) fn grub_core(lock: &Lock, store: &Store) -> Vec<u8> {
    let graph = image_graph(lock).unwrap();
    let outputs = realised(lock, store, &graph.graph);
    fs::read(store.real_path(&outputs[graph.core.index()])).unwrap()
}

/// The outputs of a graph of tools.
fn realised(lock: &Lock, store: &Store, graph: &Graph) -> Vec<StorePath> {
    let outputs = with_engine(lock, store, |engine| engine.realise(graph));
    outputs.unwrap_or_else(|error| panic!("no tools: {error}: {error:?}"))
}

/// Lets `work` make things of what `lock` pins.
fn with_engine<T>(lock: &Lock, store: &Store, work: impl FnOnce(&Engine<'_>) -> T) -> T {
    let environment = environment();
    let (sources, interrupt) = (sources(&environment), Interrupt::default());
    let fetcher = fetcher(&environment, &kept_directory().join("shared"), &interrupt);
    let debs = LockedDebs::new(&fetcher, lock, &sources);
    let engine = Engine {
        store,
        environment: &environment,
        debs: &debs,
        progress: &Silent,
        interrupt: &interrupt,
    };
    work(&engine)
}

/// The indexes of trixie, its updates and its security updates, as they are today.
pub(crate) fn indexes() -> Vec<(SourceName, Vec<u8>)> {
    static INDEXES: OnceLock<Vec<(SourceName, Vec<u8>)>> = OnceLock::new();
    let read = || {
        let environment = environment();
        let (sources, interrupt) = (sources(&environment), Interrupt::default());
        let fetcher = fetcher(&environment, &kept_directory().join("shared"), &interrupt);
        let releases = fetcher.releases(&sources, environment.now_seconds).unwrap();
        let indexes = fetcher.indexes(&releases, "amd64").unwrap();
        indexes.into_iter().map(|index| (index.source.parse().unwrap(), index.text)).collect()
    };
    INDEXES.get_or_init(read).clone()
}

/// A layer that says who root is: unpacked packages do not.
fn accounts(directory: &Path) -> PathBuf {
    let layer = directory.join("toolbox-accounts");
    fs::create_dir_all(layer.join("etc")).unwrap();
    let put = |name: &str, text: &str| write_atomic(&layer.join(name), text.as_bytes()).unwrap();
    put("etc/passwd", "root:x:0:0:root:/root:/bin/sh\n_apt:x:42:65534::/nonexistent:/bin/false\n");
    put("etc/group", "root:x:0:\nnogroup:x:65534:\n");
    layer
}

fn fetcher<'a>(
    environment: &Environment,
    directory: &Path,
    interrupt: &'a Interrupt,
) -> Fetcher<'a> {
    let options = FetchOptions::default().with_environment(environment).unwrap();
    // The cache of the program in `Workspace::command`.
    Fetcher::new(&directory.join("cache/nexus-host"), &Silent, interrupt, options).unwrap()
}

fn sources(environment: &Environment) -> Vec<Source> {
    let mirrors = mirrors(environment, None).expect("the environment names a mirror");
    Source::debian("trixie", &["main"], &mirrors).unwrap().into()
}

/// The surroundings of the tests, in which the built program is `nexus-host`.
fn environment() -> Environment {
    let mut environment = Environment::of_process().unwrap();
    environment.program = program().into();
    environment
}

fn requests() -> ToolRequests {
    let requests = PACKAGES.iter().map(|name| name.parse::<Request>().unwrap()).collect();
    ToolRequests::from([(SET.parse::<SetName>().unwrap(), requests)])
}

#[test]
fn the_lock_is_for_these_packages() {
    let environment = environment();
    let old: Lock = LOCK.parse().unwrap_or_default();
    if environment.variable(WRITE_LOCK).is_none() {
        assert_eq!(old.matches(&BTreeSet::new(), &requests()), Ok(()));
        assert_eq!(old.to_text(), LOCK);
        return;
    }
    let directory = kept_directory().join("shared");
    let (sources, interrupt) = (sources(&environment), Interrupt::default());
    let fetcher = fetcher(&environment, &directory, &interrupt);
    let store = Store::open(&directory.join("toolbox")).unwrap();
    let locking = Locking {
        fetcher: &fetcher,
        store: &store,
        environment: &environment,
        progress: &Silent,
        interrupt: &interrupt,
        sources: &sources,
    };
    let lock = lock_tools(&locking, requests(), &old, Update::Nothing).unwrap();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/tools.lock");
    write_atomic(&path, lock.to_text().as_bytes()).unwrap();
}

#[test]
fn a_tool_runs_and_sees_only_what_it_is_shown() {
    let directory = tempfile::tempdir().unwrap();
    let script = "cat; echo \"$WORD\"; pwd; echo made > made; [ -e \"$1\" ] && echo seen; exit 3";
    let bash = tool("bash").args(["-c", script, "bash", env!("CARGO_MANIFEST_DIR")]);
    let bash = bash.env("WORD", "word").input(b"in\n");
    let output = bash.sees(directory.path()).in_directory(directory.path()).output();
    let expected = format!("in\nword\n{}\n", directory.path().display());
    assert_eq!(String::from_utf8(output.stdout).unwrap(), expected);
    assert_eq!(output.status.code(), Some(3));
    assert_eq!(fs::read(directory.path().join("made")).unwrap(), b"made\n");
}
