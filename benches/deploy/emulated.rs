//! A machine in QEMU, as `test --keep` starts it: ten to twenty times slower than a rented one.

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::site::{HOST, program};

/// The machine; it ends when dropped.
pub(crate) struct Emulated {
    keeper: Child,
    qemu: u32,
}

impl Emulated {
    /// Builds and boots it; answers with it, and where its SSH is.
    pub(crate) fn start(directory: &Path) -> (Self, SocketAddr) {
        let mut command = program(directory);
        command.args(["test", "--keep", HOST, "--json"]).stdout(Stdio::piped());
        let mut keeper = command.spawn().unwrap();
        let told = first_document(&mut keeper);
        let address = told["ssh"].as_str().unwrap().rsplit_once('@').unwrap().1.parse().unwrap();
        let qemu = find_qemu(keeper.id()).unwrap();
        (Self { keeper, qemu }, address)
    }

    /// Seconds of processor time of all that runs there.
    pub(crate) fn processor_seconds(&self) -> f64 {
        processor_seconds(self.qemu).unwrap()
    }
}

impl Drop for Emulated {
    fn drop(&mut self) {
        // As Ctrl-C does: QEMU and its directory go, too.
        let _gone = kill_process(Pid::from_child(&self.keeper), Signal::INT);
        let _status = self.keeper.wait();
    }
}

/// The JSON document that `test --keep` says once its machine runs.
fn first_document(keeper: &mut Child) -> Value {
    let mut output = BufReader::new(keeper.stdout.take().unwrap());
    let mut bytes = Vec::new();
    loop {
        let count = output.by_ref().take(1 << 16).read_until(b'\n', &mut bytes).unwrap();
        assert!(count > 0, "`test --keep` has ended: {}", String::from_utf8_lossy(&bytes));
        if let Ok(told) = serde_json::from_slice(&bytes) {
            return told;
        }
    }
}

/// The emulator among the descendants of a process; their names are in proc(5).
fn find_qemu(process: u32) -> Option<u32> {
    let name = std::fs::read_to_string(format!("/proc/{process}/comm")).ok()?;
    if name.starts_with("qemu-system") {
        return Some(process);
    }
    let threads = std::fs::read_dir(format!("/proc/{process}/task")).ok()?.flatten();
    let lists = threads.filter_map(|t| std::fs::read_to_string(t.path().join("children")).ok());
    let children: Vec<u32> = lists
        .flat_map(|l| l.split(' ').filter_map(|id| id.parse().ok()).collect::<Vec<_>>())
        .collect();
    children.into_iter().find_map(find_qemu)
}

/// Time that a process has run, from proc(5): fields 14 and 15, in ticks of 10 ms.
fn processor_seconds(process: u32) -> Option<f64> {
    let text = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let (_, fields) = text.rsplit_once(')')?;
    let ticks = |at: usize| -> Option<f64> { fields.split_whitespace().nth(at)?.parse().ok() };
    Some((ticks(11)? + ticks(12)?) / 100.0)
}
