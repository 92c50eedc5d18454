//! How a sandbox ends: by itself, by a deadline, by a wish, with the program that wanted it.

use std::fs;
use std::io::{Read as _, Write as _};
use std::time::{Duration, Instant};

use nexus_host::exec::environment::Environment;
use nexus_host::exec::sandbox::{self, Input, Limits, Output, Sandbox, SandboxError, Streams};

use super::{plain, run, shell};
use crate::identity::environment;

#[test]
fn a_deadline_ends_everything() {
    let started = Instant::now();
    let limits = Limits { deadline: Some(Duration::from_millis(200)), ..Limits::default() };
    let script = [shell("trap '' TERM INT; sleep 1000 & sleep 1000")];
    let error = sandbox::run(&environment(), &plain(), &script, Streams::default(), &limits);
    assert!(matches!(error, Err(SandboxError::Deadline { .. })), "{error:?}");
    assert!(started.elapsed() < Duration::from_secs(5));
}

#[test]
fn an_interrupt_ends_everything() {
    let limits = Limits::default();
    let interrupt = limits.interrupt.clone();
    let waker = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(100));
        interrupt.set();
    });
    let script = [shell("sleep 1000")];
    let error = sandbox::run(&environment(), &plain(), &script, Streams::default(), &limits);
    assert!(matches!(error, Err(SandboxError::Interrupted(_))), "{error:?}");
    waker.join().unwrap();
}

#[test]
fn a_running_program_is_talked_to_and_killed() {
    let streams = Streams { input: Input::Pipe, output: Output::Pipe, errors: Output::Nothing };
    let sandbox = Sandbox { network: true, ..plain() };
    let mut running =
        sandbox::spawn(&environment(), &sandbox, shell("sleep 999 & cat"), streams).unwrap();
    running.stdin.as_mut().unwrap().write_all(b"ping").unwrap();
    let mut bytes = [0; 4];
    running.stdout.as_mut().unwrap().read_exact(&mut bytes).unwrap();
    assert_eq!(&bytes, b"ping");
    running.kill();
    let mut rest = Vec::new();
    // The end of the pipe is seen only when everything inside that held it is gone.
    running.stdout.as_mut().unwrap().read_to_end(&mut rest).unwrap();
    assert!(matches!(running.wait(&Limits::default()), Err(SandboxError::Died { .. })));
}

#[test]
fn a_running_program_that_ends_gives_its_status() {
    let sandbox = plain();
    let mut running =
        sandbox::spawn(&environment(), &sandbox, shell("exit 7"), Streams::default()).unwrap();
    assert_eq!(running.wait(&Limits::default()).unwrap().code(), Some(7));
}

/// A number of seconds that no other program on the machine sleeps for.
const LONG_SLEEP: &str = "31536017";

#[test]
fn a_killed_program_takes_its_sandbox_along() {
    let program = Environment::of_process().unwrap().program;
    let mut child = nexus_host::exec::process::command(program.as_os_str())
        .args(["--exact", "sandbox::ending::a_program_that_waits_to_be_killed"])
        .env("NEXUS_HOST_TEST_SLEEP", "1")
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    wait_until("the command runs", is_sleeping);
    child.kill().unwrap();
    child.wait().unwrap();
    wait_until("the command is gone", || !is_sleeping());
}

/// The inner half of [`a_killed_program_takes_its_sandbox_along`]; alone, it does nothing.
#[test]
fn a_program_that_waits_to_be_killed() {
    if Environment::of_process().unwrap().variable("NEXUS_HOST_TEST_SLEEP").is_some() {
        let _ = run(&plain(), &format!("exec sleep {LONG_SLEEP}"));
    }
}

fn is_sleeping() -> bool {
    let command_lines = fs::read_dir("/proc").unwrap().flatten();
    let expected = format!("sleep\0{LONG_SLEEP}\0");
    command_lines
        .filter_map(|entry| fs::read(entry.path().join("cmdline")).ok())
        .any(|line| line == expected.as_bytes())
}

#[track_caller]
fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < Duration::from_secs(30), "not within 30 s: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
