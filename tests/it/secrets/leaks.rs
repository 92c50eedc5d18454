//! Plain values, and whether they stand where they must not: files and processes of this machine and of another.

#![expect(clippy::print_stdout, reason = "what was looked through is worth reading")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nexus_host::sops::{Document, Format, Identities, Node, SecretBytes, find, leaf_paths};

use crate::bench::{Host, LONG};
use crate::support::{Workspace, plain_command, shared_directory};

/// Values with their names.
pub(crate) type Values = Vec<(String, Vec<u8>)>;

/// A text that is put wherever is looked, to see that it is found there.
const PLANTED: (&str, &str) = ("planted", "planted-to-be-found-by-the-search");
/// Where the machine has the list of what must not be found.
const PATTERNS: &str = "/run/patterns";
/// Where the machine notes what was found while something else ran.
const SEEN: &str = "/run/seen";

/// Every value of an encrypted YAML document in clear, by its path; and the identity itself, which
/// opens all of them.
pub(crate) fn plain_values(document: &Path, identity: &Path) -> Values {
    let mut identities = Identities::default();
    let text = SecretBytes::new(std::fs::read(identity).unwrap());
    identities.read(&text, "identity", &|_| None).unwrap();
    let bytes = std::fs::read(document).unwrap();
    let document = Document::parse(Format::Yaml, &bytes).unwrap();
    let key = document.metadata.data_key(&identities).unwrap();
    let items = document.open(&key).unwrap().items;
    let value = |path: String| {
        let parts: Vec<&str> = path.split('/').collect();
        let value = find(&items, &parts).and_then(Node::file_bytes).unwrap().expose().clone();
        (path, value)
    };
    let mut values: Values = leaf_paths(&items).into_iter().map(value).collect();
    values.push(("identity".to_owned(), key_of(text.text().unwrap()).as_bytes().to_vec()));
    values
}

/// The line of an identity file that is the key.
fn key_of(text: &str) -> &str {
    text.lines().map(str::trim).find(|line| line.starts_with("AGE-SECRET-KEY-")).unwrap()
}

/// The name of the first of `values` that stands in `bytes`.
pub(crate) fn held<'v>(bytes: &[u8], values: &'v [(String, Vec<u8>)]) -> Option<&'v str> {
    let found = values.iter().find(|(_, value)| memchr::memmem::find(bytes, value).is_some());
    found.map(|(name, _)| name.as_str())
}

/// Files below `folders` that hold one of `values`, each with its name; and how many were read.
pub(crate) fn files_that_hold(
    folders: &[PathBuf],
    values: &[(String, Vec<u8>)],
) -> (Vec<(PathBuf, String)>, usize) {
    let (mut found, mut count) = (Vec::new(), 0);
    let mut waiting = folders.to_vec();
    while let Some(path) = waiting.pop() {
        // What another test removes meanwhile holds nothing.
        let Ok(kind) = std::fs::symlink_metadata(&path).map(|data| data.file_type()) else {
            continue;
        };
        if kind.is_dir() {
            let entries = std::fs::read_dir(&path).into_iter().flatten().flatten();
            waiting.extend(entries.map(|entry| entry.path()));
        } else if kind.is_file() {
            count += 1;
            let Ok(bytes) = std::fs::read(&path) else { continue };
            if let Some(name) = held(&bytes, values) {
                found.push((path, name.to_owned()));
            }
        }
    }
    (found, count)
}

/// Command lines and environments of all processes, looked at again and again while `work` runs.
///
/// Gives what `work` gave, and the names of the values that were found.
pub(crate) fn watching<T>(values: &Values, work: impl FnOnce() -> T) -> (T, BTreeSet<String>) {
    let (is_done, values) = (AtomicBool::new(false), with_planted(values));
    std::thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            let mut found = BTreeSet::new();
            while !is_done.load(Ordering::SeqCst) {
                found.extend(held_by_processes(&values));
                std::thread::sleep(Duration::from_millis(20));
            }
            found
        });
        let result = work();
        is_done.store(true, Ordering::SeqCst);
        (result, watcher.join().unwrap())
    })
}

fn held_by_processes(values: &Values) -> BTreeSet<String> {
    let processes = std::fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
    let files = processes.flat_map(|folder| ["cmdline", "environ"].map(|name| folder.join(name)));
    let bytes = files.filter_map(|file| std::fs::read(file).ok());
    bytes.filter_map(|bytes| held(&bytes, values).map(str::to_owned)).collect()
}

/// A process that [`watching`] must find; ended when it is dropped.
pub(crate) struct PlantedProcess(Child);

impl PlantedProcess {
    pub(crate) fn start() -> Self {
        let mut sleep = plain_command("sleep");
        Self(sleep.arg("3600").env("PLANTED", PLANTED.1).spawn().unwrap())
    }
}

impl Drop for PlantedProcess {
    fn drop(&mut self) {
        let _ended = (self.0.kill(), self.0.wait());
    }
}

/// Has the machine look at command lines and environments of its processes until [`expect_nowhere`].
pub(crate) fn watch_processes(host: &mut Host, values: &Values) {
    write_patterns(host, values);
    let search = format!(
        "while :; do grep -aoHFZ -f {PATTERNS} /proc/[0-9]*/cmdline /proc/[0-9]*/environ \
            2>/dev/null | tr '\\0' '\\t' >> {SEEN}; sleep 1; done"
    );
    host.machine.shell().write_file("/run/watch", search.as_bytes()).unwrap();
    host.run("systemd-run --quiet --unit=watch sh /run/watch");
    host.run(&format!("systemd-run --quiet --setenv=PLANTED={} sleep 3600", PLANTED.1));
    let wait = format!("grep -q {} {SEEN}", PLANTED.1);
    host.machine.shell().wait_until_succeeds(&wait, LONG).unwrap();
}

/// What the machine saw since [`watch_processes`], by name.
pub(crate) fn seen_in_processes(host: &mut Host, values: &Values) -> BTreeSet<String> {
    let seen = host.run(&format!("systemctl stop watch.service; cut -f 2 {SEEN} | sort -u"));
    seen.lines().map(|text| name_of(&with_planted(values), text)).collect()
}

/// The names that [`watching`] and [`seen_in_processes`] must give.
pub(crate) fn only_planted() -> BTreeSet<String> {
    BTreeSet::from([PLANTED.0.to_owned()])
}

/// Looks for every value in `said`, in everything that this machine keeps of its work, and in everything that there
/// is on the other one; `own` are the files there that hold the value of that name.
pub(crate) fn expect_nowhere(
    (workspace, said): (&Workspace, &str),
    host: &mut Host,
    values: &Values,
    own: &[(&str, &str)],
) {
    assert_eq!(held(said.as_bytes(), values), None, "something that was said holds a secret");
    let all = with_planted(values);
    workspace.write("planted", PLANTED.1);
    let planted = workspace.path().join("planted");
    let data = shared_directory().join("data/nexus-host");
    let folders = ["nix", "images", "logs"].map(|name| data.join(name));
    let folders = [&folders[..], &[shared_directory().join("logs"), planted.clone()]].concat();
    let (found, count) = files_that_hold(&folders, &all);
    assert_eq!(found, [(planted, PLANTED.0.to_owned())]);
    assert!(count > 1_000, "only {count} files were looked at");

    write_patterns(host, values);
    let found = search(host);
    for (path, text) in &found {
        let name = name_of(&all, text);
        let is_own = own.contains(&(path.as_str(), name.as_str()));
        assert!(name == PLANTED.0 || is_own, "{path} holds {name}");
    }
    // Each place was looked through: what was planted there was found, and the identity in its own.
    for place in
        ["/var/log/", "/nix/", "/run/journal", "/proc/environ", "/proc/cmdline", "/var/lib/"]
    {
        let has = found.iter().any(|(path, _)| without_number(path).starts_with(place));
        assert!(has, "nothing was found below {place}: {found:?}");
    }
    println!("looked through {count} files here; on the host: {}", host.run("cat /run/count"));
}

fn with_planted(values: &Values) -> Values {
    let planted = (PLANTED.0.to_owned(), PLANTED.1.as_bytes().to_vec());
    values.iter().cloned().chain([planted]).collect()
}

fn name_of(values: &Values, text: &str) -> String {
    let found = values.iter().find(|(_, value)| value == text.as_bytes());
    found.map_or_else(|| "?".to_owned(), |(name, _)| name.clone())
}

/// Gives the machine the list of what must not be found, also to a search that goes on.
pub(crate) fn write_patterns(host: &mut Host, values: &Values) {
    let all = with_planted(values);
    let lines: Vec<Vec<u8>> = all.iter().map(|(_, value)| [value, &b"\n"[..]].concat()).collect();
    host.machine.shell().write_file(PATTERNS, &lines.concat()).unwrap();
}

/// Every place on the machine, and the text, that one of the patterns is found.
fn search(host: &mut Host) -> Vec<(String, String)> {
    let plant = format!(
        "planted=$(tail -n 1 {PATTERNS}); for file in /var/log/planted /nix/planted; do
            echo \"$planted\" > $file; done
        logger \"$planted\"; (PLANTED=$planted exec sh -c 'sleep 900; :' \"$planted\") & sleep 1
        journalctl --sync; journalctl --no-pager -o export > /run/journal; dmesg >> /run/journal"
    );
    host.run(&plant);
    // Not in the places where secrets belong.
    let search = format!(
        "export LC_ALL=C
        grep -raoHFZ -D skip --exclude-dir=secrets.d --exclude-dir=credentials \
            --exclude-dir=nexus-test --exclude=patterns -f {PATTERNS} \
            /nix /var /home /root /srv /run /etc | tr '\\0' '\\t' || true
        grep -aoHFZ -f {PATTERNS} /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null \
            | tr '\\0' '\\t' || true
        find /nix /var /run /etc -xdev -type f | wc -l > /run/count"
    );
    let found = host.machine.shell().run(&search, LONG).unwrap();
    assert_eq!(found.status, 0, "{}", found.stderr);
    let text = found.text();
    let lines = text.lines().filter_map(|line| line.split_once('\t'));
    lines.map(|(path, text)| (path.to_owned(), text.to_owned())).collect()
}

/// `/proc/12/environ` as `/proc/environ`.
fn without_number(path: &str) -> String {
    path.split('/').filter(|part| part.parse::<u32>().is_err()).collect::<Vec<_>>().join("/")
}
