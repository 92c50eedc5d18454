//! Sending store paths beside `ssh cat`.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use nexus_host::deploy::{Agent, copy};
use nexus_host::exec::environment::Environment;
use nexus_host::exec::interrupt::Interrupt;
use nexus_host::exec::progress::Silent;
use nexus_host::exec::store::{References, Store, ToAdd};
use nexus_host::spec::SshAddress;
use nexus_host::ssh::{Options, choose};
use nexus_host::store::{StorePath, StorePathName};

use crate::line::{Line, Link};
use crate::site::Site;
use crate::{Took, spread};

/// What is sent: so many store paths, each of so many files of so many bytes.
const PATHS: u64 = 20;
const FILES: u64 = 10;
const FILE_BYTES: usize = 1 << 20;
/// Pairs of runs; one more before is not counted, because its first has no memory that the other has given back.
const RUNS: u64 = 5;

pub(crate) fn beside_cat(site: &Site, name: &str, link: Link) {
    let line = site.line(link);
    let store = Store::open(&site.directory.join(format!("store-{name}"))).unwrap();
    let mut ratios = Vec::new();
    for run in 0..=RUNS {
        let seed = run * 1000 + u64::from(line.local.port()) * 1_000_000;
        let (paths, all) = noise(&store, &site.directory, seed);
        let peer = cat(site, &line, &all);
        site.ask("rm -f all; sync");
        let ours = send(site, &line, &store, &paths);
        site.ask("sudo /usr/lib/nexus-host/nexus-agent gc >/dev/null; sync");
        let megabytes = (PATHS * FILES) as f64 * FILE_BYTES as f64 / 1e6;
        let rate = |took: Took| megabytes / took.seconds;
        println!(
            "{name} {run}: ours {ours}, {:.1} MB/s; ssh cat {peer}, {:.1} MB/s",
            rate(ours),
            rate(peer)
        );
        if run > 0 {
            ratios.push(peer.seconds / ours.seconds);
        }
    }
    // Without a line of its own, what is compared is how much each computes.
    let asked = link.rate.map_or("", |_| " | asked >= 0.90");
    println!("{name} | speed by that of ssh cat {}{asked}\n", spread(ratios));
}

fn cat(site: &Site, line: &Line, all: &Path) -> Took {
    let mut command = site.ssh(line, "cat > all && sync all");
    command.stdin(Stdio::from(File::open(all).unwrap()));
    site.took(|| assert!(command.status().unwrap().success()))
}

fn send(site: &Site, line: &Line, store: &Store, paths: &[StorePath]) -> Took {
    let address: SshAddress = format!("admin@{}", line.local).parse().unwrap();
    let known = std::fs::read_to_string(site.directory.join(".ssh/known_hosts")).unwrap();
    let key = known.lines().next().unwrap().split_once(' ').unwrap().1.to_owned();
    let options =
        Options { key: Some(site.key_file()), host_keys: vec![key], ..Options::default() };
    let environment = Environment::of_process().unwrap();
    let way = choose(&address, &options, &environment, &Interrupt::default()).unwrap();
    site.took(|| {
        let mut agent = Agent::connect(&*way).unwrap();
        let missing = agent.missing(paths).unwrap();
        assert_eq!(missing.len(), paths.len());
        copy(&mut agent, store, &missing, None, &Silent).unwrap();
    })
}

/// New store paths of bytes that no compression makes smaller, and one file with the same bytes.
fn noise(store: &Store, directory: &Path, seed: u64) -> (Vec<StorePath>, PathBuf) {
    let mut whole = Vec::new();
    let mut paths = Vec::new();
    for number in 0..PATHS {
        let scratch = store.scratch("noise").unwrap();
        let tree = scratch.path().join("tree");
        std::fs::create_dir(&tree).unwrap();
        for file in 0..FILES {
            let bytes = random(seed + number * FILES + file);
            std::fs::write(tree.join(file.to_string()), &bytes).unwrap();
            whole.extend_from_slice(&bytes);
        }
        let name = StorePathName::new(&format!("noise-{number}")).unwrap();
        let item = ToAdd { built: tree, name, references: References::None };
        paths.push(store.add(item).unwrap());
    }
    let all = directory.join("all");
    std::fs::write(&all, whole).unwrap();
    (paths, all)
}

/// xorshift64* (Vigna, "An experimental exploration of Marsaglia's xorshift generators", 2016).
fn random(seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(FILE_BYTES);
    while bytes.len() < FILE_BYTES {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        bytes.extend_from_slice(&state.wrapping_mul(0x2545_f491_4f6c_dd1d).to_le_bytes());
    }
    bytes
}
