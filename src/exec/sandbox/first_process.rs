//! Process 1 of the sandbox: builds the root, runs the commands, serves the recorder, reports.

use std::io::{self, Write as _};
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::process::Stdio;

use rustix::event::{PollFd, PollFlags};
use rustix::process::{Pid, PidfdFlags, Signal, WaitOptions};

use super::channel::{self, Order, Report};
use super::recorder::{self, Listener};
use super::recorder_owners::Recorder;
use super::{Command, Sandbox, root, system_calls};

/// Does what `order` says; gives the process's exit code.
pub(super) fn run(order: &Order, files: Vec<OwnedFd>, socket: &UnixStream) -> i32 {
    // The parent only waits; should it be killed, this process must not be left over.
    if rustix::process::set_parent_process_death_signal(Some(Signal::KILL)).is_err() {
        return 1;
    }
    let report = match root::build(&order.sandbox) {
        Ok(()) => run_commands(order, files, socket),
        Err(report) => Some(report),
    };
    match report {
        Some(report) if channel::send(socket, &report, &[]).is_ok() => 0,
        _ => 1,
    }
}

/// Runs until a command fails; `None` when nobody waits for the report any more.
fn run_commands(order: &Order, files: Vec<OwnedFd>, socket: &UnixStream) -> Option<Report> {
    let mut recorder = Recorder::new(order.sandbox.known_owners.clone());
    let mut ended = (0, 0);
    let mut files = Some(files);
    for (index, command) in order.commands.iter().enumerate() {
        let started = start(&order.sandbox, command, files.as_deref().unwrap_or_default());
        if index + 1 == order.commands.len() {
            // So that readers of a pipe see its end when the last command has closed it.
            files = None;
        }
        let (pid, listener) = match started {
            Ok(started) => started,
            Err(error) => {
                return Some(Report::Command { index, errno: channel::errno_of(&error) });
            }
        };
        let status = match watch(pid, listener, &mut recorder, socket) {
            Ok(status) => status?,
            Err(error) => {
                return Some(Report::Setup(channel::Failure::of("watch a command")(error)));
            }
        };
        end_leftovers();
        ended = (index, status);
        if status != 0 {
            break;
        }
    }
    let (last, status) = ended;
    Some(Report::Ended { last, status, owners: recorder.into_owners() })
}

/// Starts `command`; with a recorder, also gives the kernel's questions about it.
fn start(
    sandbox: &Sandbox,
    command: &Command,
    files: &[OwnedFd],
) -> io::Result<(Pid, Option<Listener>)> {
    let (ours, theirs) = UnixStream::pair()?;
    let Some(pid) = system_calls::fork()? else {
        drop(ours);
        let error = become_command(sandbox, command, files, &theirs);
        let mut theirs = theirs;
        let _ = theirs.write_all(&channel::errno_of(&error).to_le_bytes());
        system_calls::exit_now(127);
    };
    drop(theirs);
    let mut listener = None;
    if sandbox.record_owners {
        let mut byte = [0];
        let (_, received) = channel::receive_with_files(ours.as_fd(), &mut byte)?;
        listener = received.into_iter().next().map(Listener::new);
    }
    // The other end closes when the program is started; before that, an error number may come.
    let mut error = Vec::new();
    io::Read::read_to_end(&mut io::Read::take(&ours, 4), &mut error)?;
    match <[u8; 4]>::try_from(&error[..]) {
        Ok(errno) => Err(io::Error::from_raw_os_error(i32::from_le_bytes(errno))),
        Err(_) => Ok((pid, listener)),
    }
}

/// Turns the process into the command; gives the reason when that fails.
fn become_command(
    sandbox: &Sandbox,
    command: &Command,
    files: &[OwnedFd],
    socket: &UnixStream,
) -> io::Error {
    let Some((program, arguments)) = command.argv.split_first() else {
        return io::ErrorKind::InvalidInput.into();
    };
    let [input, output, errors] = files else {
        return io::ErrorKind::InvalidInput.into();
    };
    let mut process = crate::exec::process::command(program);
    process.args(arguments).current_dir(&sandbox.working_directory);
    for (name, value) in sandbox.environment.iter().chain(&command.environment) {
        process.env(name, value);
    }
    let prepared = (|| {
        process.stdin(Stdio::from(input.try_clone()?));
        process.stdout(Stdio::from(output.try_clone()?));
        process.stderr(Stdio::from(errors.try_clone()?));
        rustix::thread::set_no_new_privs(true)?;
        if sandbox.record_owners {
            let listener = recorder::install_filter()?;
            channel::send_file(socket, listener.as_fd())?;
        }
        Ok(())
    })();
    match prepared {
        Ok(()) => process.exec(),
        Err(error) => error,
    }
}

/// Waits for the end of `pid`; `None` when the program that wanted the sandbox is gone.
fn watch(
    pid: Pid,
    mut listener: Option<Listener>,
    recorder: &mut Recorder,
    socket: &UnixStream,
) -> io::Result<Option<i32>> {
    let handle = rustix::process::pidfd_open(pid, PidfdFlags::empty())?;
    loop {
        let mut waits =
            vec![PollFd::new(&handle, PollFlags::IN), PollFd::new(socket, PollFlags::IN)];
        waits.extend(listener.as_ref().map(|listener| PollFd::new(listener, PollFlags::IN)));
        rustix::io::retry_on_intr(|| rustix::event::poll(&mut waits, None))?;
        let came: Vec<PollFlags> = waits.iter().map(PollFd::revents).collect();
        if !came[1].is_empty() {
            return Ok(None);
        }
        match came.get(2) {
            Some(flags) if flags.contains(PollFlags::IN) => {
                if let Some(listener) = &listener {
                    listener.answer_one(recorder)?;
                }
            }
            // All processes under the filter are gone.
            Some(flags) if !flags.is_empty() => listener = None,
            _ => {}
        }
        if !came[0].is_empty() {
            return reap(pid);
        }
    }
}

/// Collects processes that ended, until `pid` is among them.
fn reap(pid: Pid) -> io::Result<Option<i32>> {
    loop {
        match rustix::process::wait(WaitOptions::empty()) {
            Ok(Some((ended, status))) if ended == pid => return Ok(Some(status.as_raw())),
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Ends what the command left running, such as a daemon, so that the next one does not meet it.
fn end_leftovers() {
    system_calls::kill_all_others();
    while !matches!(rustix::process::wait(WaitOptions::empty()), Err(rustix::io::Errno::CHILD)) {}
}

impl std::os::fd::AsFd for Listener {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.descriptor()
    }
}

impl std::fmt::Debug for Listener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Listener({})", self.as_fd().as_raw_fd())
    }
}
