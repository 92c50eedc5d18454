//! Tests of starting programs.

use super::*;
use crate::exec::interrupt::Interrupt;

fn sleeping(seconds: &str) -> std::process::Command {
    let mut command = process::command(OsStr::new("sleep"));
    command.arg(seconds).env("PATH", "/usr/bin:/bin");
    command
}

/// Whether a process is there and no zombie.
fn lives(id: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    !stat.is_empty() && !stat.contains(") Z ")
}

#[test]
fn a_child_outlives_the_thread_that_started_it_and_dies_when_dropped() {
    let kept = std::thread::spawn(|| Kept::spawn(sleeping("60")).unwrap()).join().unwrap();
    let id = kept.id();
    assert!(lives(id));
    drop(kept);
    assert!(!lives(id));
}

#[test]
fn the_end_of_a_child_is_told_as_often_as_one_asks() {
    let mut kept = Kept::spawn(sleeping("0")).unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    while kept.try_wait().unwrap().is_none() {
        assert!(Instant::now() < deadline);
        std::thread::yield_now();
    }
    assert_eq!(kept.try_wait().unwrap().unwrap().code(), Some(0));
    kept.kill().unwrap();
    assert_eq!(kept.try_wait().unwrap().unwrap().code(), Some(0));
}

#[test]
fn killing_is_seen_as_the_signal_it_is() {
    let mut kept = Kept::spawn(sleeping("60")).unwrap();
    kept.kill().unwrap();
    assert_eq!(kept.try_wait().unwrap().unwrap().signal(), Some(9));
}

#[test]
fn a_program_that_is_not_installed_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let launch = MachinesOwn { directories: vec![directory.path().to_owned()] };
    let error = run_in(&launch, directory.path(), Duration::from_secs(5)).unwrap_err();
    assert_eq!(error.to_string(), "cannot start ssh");
    assert_eq!(error.source.to_string(), "entity not found");
}

#[test]
fn relative_directories_of_path_are_not_searched() {
    let own = MachinesOwn::from_path_variable(Some(OsStr::new("bin:.:/usr/bin")));
    assert_eq!(own.directories, [PathBuf::from("/usr/bin")]);
}

/// Puts a script in the place of `ssh`.
fn scripted(directory: &Path, script: &str) -> MachinesOwn {
    use std::os::unix::fs::PermissionsExt as _;
    let file = directory.join(Program::Ssh.file_name());
    crate::exec::files::write_atomic(&file, format!("#!/bin/sh\n{script}\n").as_bytes()).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
    MachinesOwn { directories: vec![directory.to_owned()] }
}

fn run_in(
    launch: &MachinesOwn,
    directory: &Path,
    within: Duration,
) -> Result<(ExitStatus, String), LaunchError> {
    let interrupt = Interrupt::default();
    run_to_end(launch, Program::Ssh, &[], directory, (within, &interrupt))
}

#[test]
fn a_short_program_gives_its_status_and_both_its_streams() {
    let directory = tempfile::tempdir().unwrap();
    let launch = scripted(directory.path(), "echo out; echo err >&2; pwd; exit 7");
    let (status, output) = run_in(&launch, directory.path(), Duration::from_secs(20)).unwrap();
    let place = directory.path().canonicalize().unwrap();
    assert_eq!(status.code(), Some(7));
    assert_eq!(output, format!("out\nerr\n{}\n", place.display()));
}

#[test]
fn a_program_that_takes_too_long_is_ended() {
    let directory = tempfile::tempdir().unwrap();
    let launch = scripted(directory.path(), "echo $$ >id; exec /bin/sleep 60");
    let error = run_in(&launch, directory.path(), Duration::from_secs(1)).unwrap_err();
    assert_eq!(error.source.to_string(), "timed out");
    let id = std::fs::read_to_string(directory.path().join("id")).unwrap();
    assert!(!lives(id.trim().parse().unwrap()));
}

#[test]
fn a_wish_to_stop_ends_a_program() {
    let directory = tempfile::tempdir().unwrap();
    let launch = scripted(directory.path(), "exec /bin/sleep 60");
    let interrupt = Interrupt::default();
    interrupt.set();
    let limits = (Duration::from_secs(50), &interrupt);
    let error = run_to_end(&launch, Program::Ssh, &[], directory.path(), limits).unwrap_err();
    assert_eq!(error.source.to_string(), "operation interrupted");
}
