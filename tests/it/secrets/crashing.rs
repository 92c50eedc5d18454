//! A program that crashes while it has secrets in memory leaves nothing of them.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::leaks::{files_that_hold, plain_values};
use super::{Keeper, PASSWORD};
use crate::support::{plain_command, skipped};

/// How long a program may take to get where it is held up.
const WITHIN: Duration = Duration::from_secs(60);

/// Starts the command with dumps of any size in `folder`, where also its errors go.
fn start(command: &Command, folder: &Path, stdout: impl Into<Stdio>) -> Child {
    let mut shell = plain_command("sh");
    shell.args(["-c", "ulimit -c unlimited && exec \"$@\"", "sh"]);
    shell.arg(command.get_program()).args(command.get_args()).current_dir(folder);
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    let errors = File::options().create(true).append(true).open(folder.join("errors")).unwrap();
    shell.stdin(Stdio::null()).stdout(stdout).stderr(errors).spawn().unwrap()
}

/// Ends it as `abort` does (Rust itself catches the first SIGSEGV); whether the kernel wrote a dump.
fn crash(mut child: Child) -> bool {
    kill_process(Pid::from_child(&child), Signal::ABORT).unwrap();
    let status = child.wait().unwrap();
    assert_eq!(status.signal(), Some(6), "it did not crash");
    status.core_dumped()
}

/// The name of the program that a process runs now.
fn comm(child: &Child) -> String {
    let text = std::fs::read_to_string(format!("/proc/{}/comm", child.id())).unwrap_or_default();
    text.trim().to_owned()
}

#[track_caller]
fn wait_until(what: &str, done: impl Fn() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < WITHIN, "{what}: not within {WITHIN:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_crash_leaves_no_dump_and_says_no_value() {
    let keeper = Keeper::filled();
    let folder = keeper.workspace.path().join("dumps");
    std::fs::create_dir(&folder).unwrap();
    let mut sleep = plain_command("sleep");
    let sleep = start(sleep.arg("60"), &folder, Stdio::null());
    wait_until("sleep starts", || comm(&sleep) == "sleep");
    let is_dumping = crash(sleep);
    if !is_dumping {
        skipped("that a crash leaves no dump: this machine writes none of any program");
    }

    // `get` is held up when it writes the value: nobody reads, and the pipe is full.
    let (mut reader, mut writer) = std::io::pipe().unwrap();
    let full = rustix::pipe::fcntl_getpipe_size(writer.as_fd()).unwrap();
    writer.write_all(&vec![0; full]).unwrap();
    let get = start(&keeper.command(&["get", "web", "app/password"]), &folder, writer);
    let call = format!("/proc/{}/syscall", get.id());
    // Number 1 is write(2), on standard output.
    wait_until("get writes", || {
        std::fs::read_to_string(&call).is_ok_and(|text| text.starts_with("1 0x1 "))
    });
    assert!(!crash(get), "`get` left a dump");
    let mut said = Vec::new();
    reader.read_to_end(&mut said).unwrap();
    assert!(said.iter().all(|byte| *byte == 0), "the value was said");

    // `edit` waits for the editor.
    keeper.workspace.write("editor.sh", "touch \"$STARTED\"; exec sleep 5\n");
    let started = folder.join("started");
    let mut edit = keeper.command(&["edit", "web"]);
    edit.env("EDITOR", format!("sh {}", keeper.workspace.path().join("editor.sh").display()));
    edit.env("STARTED", &started);
    let edit = start(&edit, &folder, File::create_new(folder.join("said")).unwrap());
    wait_until("the editor starts", || started.exists());
    assert!(!crash(edit), "`edit` left a dump");

    let values = plain_values(
        &keeper.workspace.path().join("secrets.sops/web.yaml"),
        &keeper.workspace.path().join("keys.txt"),
    );
    assert!(values.iter().any(|(_, value)| value == PASSWORD.as_bytes()));
    let (found, count) = files_that_hold(std::slice::from_ref(&folder), &values);
    assert_eq!(found, []);
    // Errors, what was said, the mark of the editor, and the dump of `sleep`.
    assert_eq!(count, 3 + usize::from(is_dumping));
}
