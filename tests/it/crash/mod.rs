//! Power cuts at any moment: everything a machine asks of its disk is recorded, and replayed up to a cut.
//!
//! A disk may keep what was written since the last flush in its own memory and lose it, in any part and
//! order. So a cut leaves all that was written before the last flush, and of what came after it any of
//! its sectors. For each cut the root is mounted as a boot mounts it, the boot partition is read as the loaders
//! read it, and of the store what the image did not bring is digested, now and then all of it.
//!
//! `NEXUS_HOST_CUTS` is the number of cuts; the default is what every change can afford.

#![expect(clippy::print_stdout, reason = "what was cut is worth reading")]

mod disk;
mod fat;
mod judge;
mod kills;
mod loaders;
mod recording;

use std::collections::BTreeSet;
use std::path::Path;

use nexus_host::vm::qemu::Firmware;
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use rand::{Rng as _, SeedableRng as _};

use self::disk::Disk;
use self::judge::{Depth, Judge, Mounted};
use self::recording::{Recording, Request};
use crate::bench::{Bench, Host};
use crate::support::{how_often, is_machine_root, shared_directory, skipped};

/// Cuts when nothing else is asked for.
const CUTS: usize = 80;
/// What a disk of today writes whole or not at all: its own sectors, whatever it calls a sector.
const ATOM: u64 = 4096;
/// Every so many cuts one is looked at with all its store paths.
const THOROUGH: usize = 25;

/// Something the machine did, and what it may boot into when its power is cut meanwhile.
struct Phase {
    name: &'static str,
    /// Length of the recording at its end.
    end: u64,
    generations: &'static [u32],
}

#[test]
fn vm_a_power_cut_at_any_moment_leaves_the_old_host_or_the_new_one() {
    if !is_machine_root() {
        skipped("power cuts are not replayed: only root may mount the disks");
        return;
    }
    let bench = Bench::new();
    let systems = Systems::build(&bench);
    let mut host = bench.start_recorded("crash", &systems.image, Firmware::SeaBios);
    let phases = record(&bench, &systems, &mut host);
    host.machine.crash().unwrap();

    let directory = tempfile::tempdir_in(shared_directory()).unwrap();
    let memory = Mounted::memory(&directory.path().join("memory"));
    let mut replay = Replay::new(&host, &systems.image, &memory.target);
    let wanted = how_often("NEXUS_HOST_CUTS").unwrap_or(CUTS);
    replay.all(&phases, wanted);
    println!("{}", replay.report());
    assert!(replay.failures.is_empty(), "{}", replay.failures.join("\n"));
}

/// What the machine is made from, and what it is changed to.
struct Systems {
    image: std::path::PathBuf,
    first: String,
    second: String,
    third: String,
}

impl Systems {
    fn build(bench: &Bench) -> Self {
        let first = bench.build("one", "128MiB", "");
        let image = bench.image();
        let second = bench.build("two", "96MiB", "");
        let third = bench.build_with_kernel("three", "nexus.test=3");
        Self { image, first, second, third }
    }
}

/// Lets the machine do all that changes its disk.
fn record(bench: &Bench, systems: &Systems, host: &mut Host) -> Vec<Phase> {
    let Systems { first, second, third, .. } = systems;
    let mut phases = Vec::new();
    let mut ended = |host: &Host, name, generations| {
        let end = std::fs::metadata(host.machine.writes()).unwrap().len();
        println!("{name}: recorded up to {end}");
        phases.push(Phase { name, end, generations });
    };
    ended(host, "first boot", &[1]);
    host.import(bench, first, second);
    ended(host, "import", &[1]);
    let nonce = "a".repeat(32);
    host.activate(&format!("{second} --trial --window 900 --nonce {nonce}"), 0);
    ended(host, "live trial", &[1]);
    host.agent(&format!("confirm {nonce}"), 0);
    ended(host, "confirmation", &[1, 2]);
    host.import(bench, second, third);
    let nonce = "b".repeat(32);
    host.boots_by(&format!("activate {third} --trial --window 900 --nonce {nonce}"));
    host.expect_numbers(3, 3, 2);
    ended(host, "trial by a boot", &[2, 3]);
    host.agent(&format!("confirm {nonce}"), 0);
    ended(host, "its confirmation", &[2, 3]);
    host.boots_by("rollback 2");
    ended(host, "rollback", &[2, 3]);
    host.json("gc --keep 1");
    ended(host, "collection of garbage", &[2]);
    phases
}

/// The replay of one recording.
struct Replay<'a> {
    recording: Recording,
    judge: Judge,
    memory: &'a Path,
    durable: Disk,
    random: StdRng,
    /// For each phase: cuts, and how many of them would boot into which generation.
    counts: Vec<(String, usize, BTreeSet<u32>)>,
    failures: Vec<String>,
    done: usize,
}

impl<'a> Replay<'a> {
    fn new(host: &Host, image: &Path, memory: &'a Path) -> Self {
        let mut durable = Disk::new(memory.join("durable"), host.machine.disk_bytes());
        durable.load(image);
        let directory = memory.join("mounts");
        let judge = Judge { directory, of_image: std::collections::BTreeMap::new() };
        let recording = Recording::read(&host.machine.writes());
        let random = StdRng::seed_from_u64(5);
        let (counts, failures) = (Vec::new(), Vec::new());
        Self { recording, judge, memory, durable, random, counts, failures, done: 0 }
    }

    /// Cuts everywhere: before each flush is answered, and `wanted` times in all.
    fn all(&mut self, phases: &[Phase], wanted: usize) {
        let requests = self.recording.requests.clone();
        let flushes = requests.iter().filter(|(request, _)| *request == Request::Flush).count();
        println!("{} requests, {flushes} flushes", requests.len());
        let original = self.durable.copy(self.memory.join("original"));
        self.judge.of_image = self.judge.paths_of_image(&original.path);
        std::fs::remove_file(original.path).unwrap();
        let mut pending = Vec::new();
        let mut interval = 0;
        for (request, end) in requests {
            let Some(phase) = phases.iter().find(|phase| end <= phase.end) else { break };
            if request != Request::Flush {
                pending.push(request);
                continue;
            }
            // As many as are due, evenly spread.
            interval += 1;
            for _ in self.done..(interval * wanted).div_ceil(flushes) {
                self.cut(phase, &pending);
            }
            for request in pending.drain(..) {
                apply(&self.recording, &mut self.durable, request);
            }
        }
    }

    /// One cut: all that is durable, and some of what is pending.
    fn cut(&mut self, phase: &Phase, pending: &[Request]) {
        let mut disk = self.durable.copy(self.memory.join("cut"));
        let kept = self.some_of(pending);
        for request in &kept {
            apply(&self.recording, &mut disk, *request);
        }
        self.done += 1;
        let depth = if self.done.is_multiple_of(THOROUGH) { Depth::All } else { Depth::New };
        let judged = self.judge.judge(&disk.path, depth);
        std::fs::remove_file(&disk.path).unwrap();
        if self.counts.last().is_none_or(|(name, _, _)| name != phase.name) {
            self.counts.push((phase.name.to_owned(), 0, BTreeSet::new()));
        }
        let count = self.counts.last_mut().unwrap();
        count.1 += 1;
        let problem = match judged {
            Ok(choices) => {
                count.2.extend(choices.iter().map(|choice| choice.number));
                let wrong = choices.iter().find(|c| !phase.generations.contains(&c.number));
                wrong.map(|choice| format!("generation {} would be booted", choice.number))
            }
            Err(problem) => Some(problem),
        };
        if let Some(problem) = problem {
            let kept = format!("{} of {} pending requests", kept.len(), pending.len());
            self.failures.push(format!("cut {} in {}: {problem} ({kept})", self.done, phase.name));
        }
    }

    /// None, all, or a random part of what is pending, by sectors, in any order that the disk may choose.
    fn some_of(&mut self, pending: &[Request]) -> Vec<Request> {
        let share = *[0.0, 1.0, 0.2, 0.5, 0.8].choose(&mut self.random).unwrap();
        let mut kept = Vec::new();
        for request in pending {
            match *request {
                Request::Write { offset, length, from } if share > 0.0 && share < 1.0 => {
                    let mut at = 0;
                    while at < length {
                        let part = (ATOM - (offset + at) % ATOM).min(length - at);
                        if self.random.gen_bool(share) {
                            let (offset, from) = (offset + at, from + at);
                            kept.push(Request::Write { offset, length: part, from });
                        }
                        at += part;
                    }
                }
                request if share > 0.0 && self.random.gen_bool(share) => kept.push(request),
                _ => {}
            }
        }
        kept
    }

    fn report(&self) -> String {
        let line = |(name, cuts, booted): &(String, usize, BTreeSet<u32>)| {
            format!("{name:>22}: {cuts:>5} cuts, would boot {booted:?}\n")
        };
        let lines: String = self.counts.iter().map(line).collect();
        format!("{lines}{} cuts, {} failures", self.done, self.failures.len())
    }
}

fn apply(recording: &Recording, disk: &mut Disk, request: Request) {
    match request {
        Request::Write { offset, length, from } => {
            disk.write(offset, &recording.data(from, length));
        }
        Request::Discard { offset, length } => disk.clear(offset, length),
        Request::Flush => {}
    }
}
