//! How programs for a test start: the machine's own ones here, the pinned ones in a sandbox by `cli`.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use thiserror::Error;

use crate::exec::process;

/// A program that a test needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Program {
    /// `qemu-system-x86_64` of package qemu-system-x86.
    Qemu,
    /// `ssh` of package openssh-client. It must be able to reach 127.0.0.1 of this network namespace.
    Ssh,
    /// `ssh-keygen` of package openssh-client.
    SshKeygen,
}

impl Program {
    /// The name of its file.
    pub fn file_name(self) -> &'static str {
        match self {
            Self::Qemu => "qemu-system-x86_64",
            Self::Ssh => "ssh",
            Self::SshKeygen => "ssh-keygen",
        }
    }
}

/// What is to start.
#[derive(Debug)]
pub struct LaunchRequest<'a> {
    /// The program.
    pub program: Program,
    /// Its arguments; paths in them are relative to `directory` or one of `readable`.
    pub arguments: &'a [OsString],
    /// The working directory. The program reads, writes and connects to sockets in it.
    pub directory: &'a Path,
    /// Absolute paths that the program reads under these very names.
    pub readable: &'a [&'a Path],
    /// Takes standard output and standard error; standard input is empty.
    pub output: File,
    /// Whether `/dev/kvm` is needed.
    pub kvm: bool,
}

/// A program could not be started.
#[derive(Debug, Error)]
#[error("cannot start {}", program.file_name())]
pub struct LaunchError {
    /// The program.
    pub program: Program,
    /// Why.
    #[source]
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

/// Starts programs; called from several threads.
///
/// Whatever is started must end when this process ends, however it ends.
pub trait Launch: Send + Sync {
    /// Starts a program and does not wait for it.
    fn launch(&self, request: &mut LaunchRequest<'_>) -> Result<Box<dyn Running>, LaunchError>;
}

/// A program that was started.
pub trait Running: Send {
    /// Its process id, by which the processor time of it and its children is looked up.
    fn id(&self) -> u32;

    /// How it ended, if it has.
    fn try_wait(&mut self) -> std::io::Result<Option<ExitStatus>>;

    /// Ends it at once and waits for the end; no error when it has ended already.
    fn kill(&mut self) -> std::io::Result<()>;
}

/// Starts the programs that are installed on this machine.
#[derive(Debug, Clone)]
pub struct MachinesOwn {
    /// Where programs are searched, in order.
    pub directories: Vec<PathBuf>,
}

impl MachinesOwn {
    /// Searches where `PATH` says.
    pub fn from_path_variable(path: Option<&OsStr>) -> Self {
        let path = path.unwrap_or(OsStr::new("/usr/local/bin:/usr/bin:/bin"));
        let absolute = |dir: &PathBuf| dir.is_absolute();
        Self { directories: std::env::split_paths(path).filter(absolute).collect() }
    }

    /// The program's file, if it is installed.
    pub fn find(&self, program: Program) -> Option<PathBuf> {
        let candidates = self.directories.iter().map(|dir| dir.join(program.file_name()));
        candidates.into_iter().find(|path| path.is_file())
    }
}

impl Launch for MachinesOwn {
    fn launch(&self, request: &mut LaunchRequest<'_>) -> Result<Box<dyn Running>, LaunchError> {
        let fail = |source: std::io::Error| LaunchError {
            program: request.program,
            source: Box::new(source),
        };
        let file =
            self.find(request.program).ok_or_else(|| fail(std::io::ErrorKind::NotFound.into()))?;
        let mut command = process::command(file.as_os_str());
        command
            .args(request.arguments)
            .current_dir(request.directory)
            .stdin(Stdio::null())
            .stdout(request.output.try_clone().map_err(fail)?)
            .stderr(request.output.try_clone().map_err(fail)?)
            // Ctrl-C of the terminal is for us alone; we then end the program in our own order.
            .process_group(0);
        Ok(Box::new(Kept::spawn(command).map_err(fail)?))
    }
}

/// A child that the kernel kills when this process ends.
///
/// The kernel's "parent" is the *thread* that started the child (`PR_SET_PDEATHSIG` in prctl(2)), so the
/// child gets a thread of its own that lives exactly as long.
struct Kept {
    id: u32,
    wanted_end: mpsc::Sender<()>,
    status: mpsc::Receiver<std::io::Result<ExitStatus>>,
    seen: Option<ExitStatus>,
}

/// How often the keeper looks whether its child has ended.
const KEEPER_LOOK: Duration = Duration::from_millis(25);

impl Kept {
    fn spawn(mut command: std::process::Command) -> std::io::Result<Self> {
        die_with_parent(&mut command);
        let (started, start) = mpsc::channel();
        let (wanted_end, end) = mpsc::channel();
        let (ended, status) = mpsc::channel();
        std::thread::Builder::new().name("keeper".to_owned()).spawn(move || {
            match command.spawn() {
                Err(error) => {
                    let _ = started.send(Err(error));
                }
                Ok(child) => {
                    let _ = started.send(Ok(child.id()));
                    let _ = ended.send(keep(child, &end));
                }
            }
        })?;
        let gone = || std::io::Error::from(std::io::ErrorKind::BrokenPipe);
        let id = start.recv().map_err(|_| gone())??;
        Ok(Self { id, wanted_end, status, seen: None })
    }
}

/// Waits for the child's end, or brings it about when nobody wants it any more.
fn keep(mut child: Child, end: &mpsc::Receiver<()>) -> std::io::Result<ExitStatus> {
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        match end.recv_timeout(KEEPER_LOOK) {
            Err(mpsc::RecvTimeoutError::Timeout) => {}
            Ok(()) | Err(mpsc::RecvTimeoutError::Disconnected) => {
                child.kill()?;
                return child.wait();
            }
        }
    }
}

impl Running for Kept {
    fn id(&self) -> u32 {
        self.id
    }

    fn try_wait(&mut self) -> std::io::Result<Option<ExitStatus>> {
        if self.seen.is_none() {
            self.seen = match self.status.try_recv() {
                Ok(status) => Some(status?),
                Err(mpsc::TryRecvError::Empty) => None,
                // The keeper has told its one answer before, or panicked.
                Err(mpsc::TryRecvError::Disconnected) => Some(ExitStatus::from_raw(9)),
            };
        }
        Ok(self.seen)
    }

    fn kill(&mut self) -> std::io::Result<()> {
        if self.try_wait()?.is_none() {
            let _ = self.wanted_end.send(());
            if let Ok(status) = self.status.recv() {
                self.seen = Some(status?);
            }
        }
        Ok(())
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}

/// Has the kernel kill the command's process when the thread that starts it ends.
#[expect(unsafe_code, reason = "pre_exec runs between fork and exec, where little is allowed")]
fn die_with_parent(command: &mut std::process::Command) {
    let us = rustix::process::getpid();
    let ask = move || {
        rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
        // We may have died before the line above; then nobody would ever send the signal.
        if rustix::process::getppid() == Some(us) {
            Ok(())
        } else {
            Err(std::io::Error::from_raw_os_error(3))
        }
    };
    // SAFETY: `ask` makes two system calls, and neither allocates nor takes a lock.
    unsafe {
        command.pre_exec(ask);
    }
}

/// Runs a short program to its end.
///
/// Returns how it ended and what it wrote, at most `OUTPUT_BYTES_MAX` of it.
///
/// # Errors
///
/// Also of kind `TimedOut` or `Interrupted`, in [`LaunchError::source`].
pub fn run_to_end(
    launch: &dyn Launch,
    program: Program,
    arguments: &[OsString],
    directory: &Path,
    limits: (Duration, &crate::exec::interrupt::Interrupt),
) -> Result<(ExitStatus, String), LaunchError> {
    use std::io::{Read as _, Seek as _};
    /// What a test shows of such a program.
    const OUTPUT_BYTES_MAX: u64 = 256 << 10;
    let fail = |source: std::io::Error| LaunchError { program, source: Box::new(source) };
    let mut output = tempfile::tempfile_in(directory).map_err(fail)?;
    let (within, interrupt) = limits;
    let mut request = LaunchRequest {
        program,
        arguments,
        directory,
        readable: &[],
        output: output.try_clone().map_err(fail)?,
        kvm: false,
    };
    let mut running = launch.launch(&mut request)?;
    let deadline = Instant::now() + within;
    let status = loop {
        if let Some(status) = running.try_wait().map_err(fail)? {
            break status;
        }
        let late = Instant::now() >= deadline;
        if late || interrupt.is_set() {
            running.kill().map_err(fail)?;
            let kind =
                if late { std::io::ErrorKind::TimedOut } else { std::io::ErrorKind::Interrupted };
            return Err(fail(kind.into()));
        }
        std::thread::sleep(KEEPER_LOOK);
    };
    output.rewind().map_err(fail)?;
    let mut bytes = Vec::new();
    output.take(OUTPUT_BYTES_MAX).read_to_end(&mut bytes).map_err(fail)?;
    Ok((status, String::from_utf8_lossy(&bytes).into_owned()))
}

#[cfg(test)]
mod tests;
