//! The copy of the program that makes the namespaces.

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::fs::Mode;
use rustix::process::{Resource, Rlimit, WaitOptions};
use rustix::thread::UnshareFlags;

use super::channel::{self, Failure, Order, Report};
use super::{first_process, system_calls};

/// What the program does when its first argument is [`super::CHILD_WORD`]; gives its exit code.
///
/// To be called before anything else in `main`: it needs a process with one thread. Standard input
/// is the socket to the program that wants the sandbox.
pub fn child_main() -> u8 {
    match prepare() {
        Ok(Some(code)) => code,
        Ok(None) => 0,
        // Nobody is there to be told.
        Err(_) => 1,
    }
}

fn prepare() -> io::Result<Option<u8>> {
    let socket = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    system_calls::close_on_exec_from(3)?;
    rustix::process::umask(Mode::from_raw_mode(0o022));
    rustix::process::setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    // Each layer is an open file until the root is made.
    let files = rustix::process::getrlimit(Resource::Nofile);
    let most = Rlimit { current: files.maximum, maximum: files.maximum };
    rustix::process::setrlimit(Resource::Nofile, most)?;
    // Out of the terminal's process group: on Ctrl-C the program decides what happens to the sandbox.
    // Fails only for the leader of a group, which the fresh copy may be.
    let _ = rustix::process::setsid();
    let Some((order, files)) = channel::receive::<Order>(&socket)? else {
        return Ok(None);
    };
    if let Err(report) = make_namespaces(order.sandbox.network) {
        channel::send(&socket, &report, &[])?;
        return Ok(Some(1));
    }
    fork_first_process(&order, files, socket)
}

/// The new process namespace begins with the next process, so there must be one.
fn fork_first_process(
    order: &Order,
    files: Vec<OwnedFd>,
    socket: UnixStream,
) -> io::Result<Option<u8>> {
    let Some(first) = system_calls::fork()? else {
        let code = first_process::run(order, files, &socket);
        system_calls::exit_now(code);
    };
    drop(files);
    drop(socket);
    let status =
        rustix::io::retry_on_intr(|| rustix::process::waitpid(Some(first), WaitOptions::empty()))?;
    let code = status.and_then(|(_, status)| status.exit_status()).unwrap_or(1);
    Ok(Some(u8::try_from(code).unwrap_or(1)))
}

fn make_namespaces(network: bool) -> Result<(), Report> {
    let forbidden = |error: io::Error| Report::Forbidden { errno: channel::errno_of(&error) };
    let uid = rustix::process::geteuid().as_raw();
    let gid = rustix::process::getegid().as_raw();
    system_calls::unshare(UnshareFlags::NEWUSER).map_err(forbidden)?;
    // Without this the kernel does not let a plain user map a group.
    write_once("/proc/self/setgroups", "deny").map_err(forbidden)?;
    write_once("/proc/self/uid_map", &format!("0 {uid} 1")).map_err(forbidden)?;
    write_once("/proc/self/gid_map", &format!("0 {gid} 1")).map_err(forbidden)?;
    let mut others =
        UnshareFlags::NEWNS | UnshareFlags::NEWPID | UnshareFlags::NEWUTS | UnshareFlags::NEWIPC;
    if !network {
        others |= UnshareFlags::NEWNET;
    }
    system_calls::unshare(others).map_err(|error| match error.kind() {
        io::ErrorKind::PermissionDenied => forbidden(error),
        _ => Report::Setup(Failure::of("make namespaces")(error)),
    })
}

/// The kernel takes these files' contents only in one piece.
fn write_once(path: &str, text: &str) -> io::Result<()> {
    OpenOptions::new().write(true).open(path)?.write_all(text.as_bytes())
}
