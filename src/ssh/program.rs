//! The user's own `ssh`: everything that its configuration can say works.
//!
//! A login is one `ssh` that holds a connection open (`-M -N`) at a socket of its own in a directory that only we
//! can enter; commands go through it. So a new login is a new TCP connection, whatever the user's `ControlPath` says.

use std::fs::File;
use std::io::{self, Read, Seek as _, SeekFrom, Write};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tempfile::TempDir;

use super::select::Options;
use super::{Connection, ERRORS_BYTES_MAX, Ended, Remote, SshError, Transport, patience};
use crate::exec::environment::Environment;
use crate::exec::files::{FileError, write_atomic};
use crate::exec::interrupt::{Interrupt, Interrupted};
use crate::exec::process;
use crate::spec::SshAddress;

/// How long a login may take; emulated machines need seconds for a key exchange.
const LOGIN: Duration = Duration::from_secs(60);
/// How often a wait looks for what it waits for.
const LOOK: Duration = Duration::from_millis(10);
/// How often reading looks whether the user wants to stop.
const INTERRUPT_LOOK: Timespec = Timespec { tv_sec: 0, tv_nsec: 250_000_000 };
/// Options that a program needs that nobody sits in front of, and to notice a line that is dead.
const OPTIONS: [&str; 7] = [
    "BatchMode=yes",
    "ConnectTimeout=10",
    "ServerAliveInterval=5",
    "ServerAliveCountMax=4",
    "ControlPersist=no",
    "ForwardAgent=no",
    "ForwardX11=no",
];
/// The name of the socket in its directory.
const SOCKET: &str = "s";
/// The status of an `ssh` that could not do its work (ssh(1), "EXIT STATUS").
const FAILED: i32 = 255;

/// The `ssh` program for one machine.
#[derive(Debug, Clone)]
pub struct Program {
    file: PathBuf,
    address: SshAddress,
    options: Options,
    environment: Environment,
    interrupt: Interrupt,
}

impl Program {
    /// Uses the program `file` for `address`; connects to nothing yet.
    pub fn new(
        file: PathBuf,
        address: &SshAddress,
        options: &Options,
        environment: &Environment,
        interrupt: &Interrupt,
    ) -> Self {
        Self {
            file,
            address: address.clone(),
            options: options.clone(),
            environment: environment.clone(),
            interrupt: interrupt.clone(),
        }
    }

    /// A command with the user's environment, that Ctrl-C of the terminal does not reach.
    fn command(&self, directory: &Path) -> Command {
        let mut command = process::command(self.file.as_os_str());
        command.envs(self.environment.variables()).process_group(0);
        command.arg("-S").arg(directory.join(SOCKET));
        command
    }

    fn target(&self, command: &mut Command) {
        if let Some(user) = self.address.user() {
            command.args(["-l", user]);
        }
        if let Some(port) = self.address.port() {
            command.args(["-p", &port.to_string()]);
        }
        command.args(["--", self.address.host()]);
    }

    /// What the command line and the host file say about keys.
    fn key_options(&self, directory: &Path) -> Result<Vec<String>, SshError> {
        let mut words = Vec::new();
        if let Some(key) = &self.options.key {
            let key = self.environment.working_directory.join(key);
            words.extend([format!("IdentityFile={}", quoted(&key)), "IdentitiesOnly=yes".into()]);
        }
        if !self.options.host_keys.is_empty() {
            let file = directory.join("known_hosts");
            let lines = self.options.host_keys.iter().map(|key| format!("machine {key}\n"));
            write_atomic(&file, lines.collect::<String>().as_bytes())?;
            words.extend([
                format!("UserKnownHostsFile={}", quoted(&file)),
                "GlobalKnownHostsFile=none".into(),
                "HostKeyAlias=machine".into(),
            ]);
        }
        let strict = if self.options.accept_new { "accept-new" } else { "yes" };
        words.push(format!("StrictHostKeyChecking={strict}"));
        Ok(words)
    }
}

/// A path as a word of a configuration line.
fn quoted(path: &Path) -> String {
    format!("\"{}\"", path.display())
}

impl Transport for Program {
    fn connect(&self) -> Result<Box<dyn Connection>, SshError> {
        self.interrupt.check()?;
        let directory = tempfile::Builder::new()
            .prefix("nexus-ssh-")
            .tempdir()
            .map_err(FileError::at("make a directory in", Path::new("/tmp")))?;
        let mut command = self.command(directory.path());
        command.args(["-M", "-N", "-T"]);
        let options = OPTIONS.map(str::to_owned).into_iter();
        for option in options.chain(self.key_options(directory.path())?) {
            command.args(["-o", &option]);
        }
        self.target(&mut command);
        let errors = errors_file(&directory)?;
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(copy(&errors, &directory)?);
        let start = |source| SshError::Start { program: self.file.clone(), source };
        let master = Master(command.spawn().map_err(start)?);
        let mut login = Login { transport: self.clone(), master, directory };
        login.wait(errors)?;
        Ok(Box::new(login))
    }

    fn shown(&self) -> String {
        self.address.to_string()
    }

    fn host(&self) -> &str {
        self.address.host()
    }
}

fn errors_file(directory: &TempDir) -> Result<File, FileError> {
    let path = directory.path();
    tempfile::tempfile_in(path).map_err(FileError::at("make a file in", path))
}

fn copy(file: &File, directory: &TempDir) -> Result<File, FileError> {
    file.try_clone().map_err(FileError::at("open a file in", directory.path()))
}

/// The `ssh` that holds the connection open; ended with the value.
struct Master(Child);

impl Drop for Master {
    fn drop(&mut self) {
        // It has ended already, or ends now.
        let _gone = self.0.kill();
        let _status = self.0.wait();
    }
}

/// A login over its own connection.
struct Login {
    transport: Program,
    master: Master,
    directory: TempDir,
}

impl Login {
    /// Waits until commands can be run.
    fn wait(&mut self, mut errors: File) -> Result<(), SshError> {
        let deadline = Instant::now() + LOGIN;
        let socket = self.directory.path().join(SOCKET);
        loop {
            self.transport.interrupt.check()?;
            if socket.exists() {
                return Ok(());
            }
            let ended = self.master.0.try_wait().map_err(SshError::Broken)?;
            if ended.is_some() || Instant::now() >= deadline {
                let mut said = last_words(&mut errors);
                if said.is_empty() {
                    said = format!("no login within {} s", LOGIN.as_secs());
                }
                return Err(SshError::Program { address: self.transport.shown(), said });
            }
            std::thread::sleep(LOOK);
        }
    }
}

/// What a program wrote to `file`, its end.
fn last_words(file: &mut File) -> String {
    let length = file.metadata().map_or(0, |metadata| metadata.len());
    let from = length.saturating_sub(ERRORS_BYTES_MAX as u64);
    let mut bytes = Vec::new();
    // Without its words the fact has to do.
    let _unread = file.seek(SeekFrom::Start(from)).and_then(|_| file.read_to_end(&mut bytes));
    String::from_utf8_lossy(&bytes).trim().to_owned()
}

impl Connection for Login {
    fn start(&mut self, command: &str) -> Result<Box<dyn Remote>, SshError> {
        let mut ssh = self.transport.command(self.directory.path());
        ssh.args(["-T", "-o", "ControlMaster=no", "-o", "BatchMode=yes", "-o", "LogLevel=ERROR"]);
        // Without its master a command must not make a connection of its own.
        ssh.args(["-o", "ProxyCommand=false"]);
        self.transport.target(&mut ssh);
        ssh.arg(command);
        let errors = errors_file(&self.directory)?;
        ssh.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(copy(&errors, &self.directory)?);
        let start = |source| SshError::Start { program: self.transport.file.clone(), source };
        let mut child = ssh.spawn().map_err(start)?;
        let (input, output) = (child.stdin.take(), child.stdout.take());
        let interrupt = self.transport.interrupt.clone();
        Ok(Box::new(Running {
            child: Master(child),
            input,
            output,
            errors,
            interrupt,
            deadline: None,
        }))
    }
}

/// A command on the machine.
struct Running {
    child: Master,
    input: Option<ChildStdin>,
    output: Option<ChildStdout>,
    errors: File,
    interrupt: Interrupt,
    deadline: Option<Instant>,
}

impl Read for Running {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(output) = &mut self.output else { return Ok(0) };
        let until = patience(self.deadline);
        while Instant::now() < until {
            if self.interrupt.is_set() {
                return Err(io::Error::other(Interrupted));
            }
            let mut wait = [PollFd::new(&*output, PollFlags::IN)];
            match poll(&mut wait, Some(&INTERRUPT_LOOK)) {
                Ok(0) | Err(rustix::io::Errno::INTR) => {}
                Ok(_) => return output.read(buffer),
                Err(error) => return Err(error.into()),
            }
        }
        Err(io::ErrorKind::TimedOut.into())
    }
}

impl Write for Running {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.interrupt.is_set() {
            return Err(io::Error::other(Interrupted));
        }
        let input = self.input.as_mut().ok_or(io::ErrorKind::BrokenPipe)?;
        input.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Remote for Running {
    fn close_input(&mut self) -> Result<(), SshError> {
        drop(self.input.take());
        Ok(())
    }

    fn limit(&mut self, within: Option<Duration>) {
        self.deadline = within.map(|within| Instant::now() + within);
    }

    fn finish(mut self: Box<Self>) -> Result<Ended, SshError> {
        use std::os::unix::process::ExitStatusExt as _;
        drop(self.input.take());
        let mut piece = [0; 4096];
        while self.read(&mut piece).map_err(SshError::broken)? > 0 {}
        let status = self.child.0.wait().map_err(SshError::Broken)?;
        let status = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
        let errors = last_words(&mut self.errors);
        if status == FAILED {
            return Err(SshError::Broken(io::Error::other(errors)));
        }
        Ok(Ended { status, errors })
    }
}
