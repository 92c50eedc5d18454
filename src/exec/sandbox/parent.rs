//! The program's side of a sandbox: starts the copy, waits for its report.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::MemfdFlags;

use super::channel::{self, Order, Report};
use super::{
    CHILD_WORD, Command, Input, LAYERS_MAX, Limits, Obstacle, Output, Ran, Sandbox, SandboxError,
    Streams,
};
use crate::exec::environment::Environment;
use crate::exec::process;

/// Most bytes that are captured of one stream.
pub const CAPTURED_BYTES_MAX: u64 = 64 << 20;

/// How often a waiting program looks whether the user wants to stop.
const TICK: Duration = Duration::from_millis(50);

/// How long a sandbox that was told to end may take before its outermost process is killed.
const PATIENCE: Duration = Duration::from_secs(5);

/// Runs `commands` one after the other until one fails, and waits.
///
/// A command that fails is not an error here; see [`Ran::checked`]. When this returns, nothing that
/// was started is running any more.
///
/// # Errors
///
/// The sandbox could not be made, a command could not be started, the deadline passed, or the user
/// wants to stop.
pub fn run(
    environment: &Environment,
    sandbox: &Sandbox,
    commands: &[Command],
    streams: Streams,
    limits: &Limits,
) -> Result<Ran, SandboxError> {
    assert!(!commands.is_empty(), "a sandbox runs at least one command");
    let mut launched = Launched::start(environment, sandbox, commands, streams)?;
    let report = launched.wait(commands, limits)?;
    match report {
        Report::Ended { last, status, owners } => Ok(Ran {
            last,
            status: ExitStatus::from_raw(status),
            output: launched.captured(Stream::Output)?,
            errors: launched.captured(Stream::Errors)?,
            owners,
        }),
        failed => Err(error_of(failed, commands)),
    }
}

/// Makes an empty sandbox in which nothing runs, to learn whether this machine allows any.
///
/// # Errors
///
/// As [`run`].
pub fn try_out(environment: &Environment, limits: &Limits) -> Result<(), SandboxError> {
    let empty = Sandbox::for_tool(Vec::new());
    let mut launched = Launched::start(environment, &empty, &[], Streams::default())?;
    match launched.wait(&[], limits)? {
        Report::Ended { .. } => Ok(()),
        failed => Err(error_of(failed, &[])),
    }
}

/// A sandbox that was started.
#[derive(Debug)]
pub(super) struct Launched {
    pub(super) child: Child,
    pub(super) socket: UnixStream,
    pub(super) files: Files,
}

/// The program's ends of the streams.
#[derive(Debug, Default)]
pub(super) struct Files {
    pub(super) input: Option<io::PipeWriter>,
    pub(super) output: Option<io::PipeReader>,
    pub(super) errors: Option<io::PipeReader>,
    captured_output: Option<File>,
    captured_errors: Option<File>,
}

#[derive(Debug, Clone, Copy)]
enum Stream {
    Output,
    Errors,
}

impl Launched {
    pub(super) fn start(
        environment: &Environment,
        sandbox: &Sandbox,
        commands: &[Command],
        streams: Streams,
    ) -> Result<Self, SandboxError> {
        if sandbox.layers.len() > LAYERS_MAX {
            let found = sandbox.layers.len();
            return Err(SandboxError::TooManyLayers { found, most: LAYERS_MAX });
        }
        let mut files = Files::default();
        let inside = files.open(streams).map_err(SandboxError::Start)?;
        let (ours, theirs) = UnixStream::pair().map_err(SandboxError::Start)?;
        let child = process::command(environment.program.as_os_str())
            .arg(OsStr::new(CHILD_WORD))
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::null())
            .spawn()
            .map_err(SandboxError::Start)?;
        let launched = Self { child, socket: ours, files };
        let order = Order { sandbox: sandbox.clone(), commands: commands.to_vec() };
        let borrowed: Vec<_> = inside.iter().map(OwnedFd::as_fd).collect();
        channel::send(&launched.socket, &order, &borrowed).map_err(SandboxError::Start)?;
        Ok(launched)
    }

    /// Waits for the report; on any error, everything inside has ended.
    pub(super) fn wait(
        &mut self,
        commands: &[Command],
        limits: &Limits,
    ) -> Result<Report, SandboxError> {
        let started = Instant::now();
        let result = loop {
            match self.poll(TICK) {
                Ok(true) => break self.receive(),
                Ok(false) => {}
                Err(error) => break Err(SandboxError::Start(error)),
            }
            if let Err(interrupted) = limits.interrupt.check() {
                break Err(interrupted.into());
            }
            if let Some(deadline) = limits.deadline.filter(|deadline| started.elapsed() > *deadline)
            {
                let words = commands.last().map_or(&[][..], |command| &command.argv);
                let command = process::words_for_reading(words);
                break Err(SandboxError::Deadline { command, deadline });
            }
        };
        self.end();
        result
    }

    /// Whether the sandbox has something to say, or is gone.
    fn poll(&self, most: Duration) -> io::Result<bool> {
        let timeout = Timespec::try_from(most).expect("a tick is short");
        let mut waits = [PollFd::new(&self.socket, PollFlags::IN)];
        match rustix::event::poll(&mut waits, Some(&timeout)) {
            Ok(count) => Ok(count > 0),
            Err(rustix::io::Errno::INTR) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    fn receive(&mut self) -> Result<Report, SandboxError> {
        if let Ok(Some((report, _))) = channel::receive::<Report>(&self.socket) {
            return Ok(report);
        }
        let status = self.end();
        Err(SandboxError::Died { status })
    }

    /// Lets go of the leash and waits until nothing of the sandbox is left; says how it ended.
    pub(super) fn end(&mut self) -> String {
        let _ = self.socket.shutdown(std::net::Shutdown::Both);
        let started = Instant::now();
        while started.elapsed() < PATIENCE {
            match self.child.try_wait() {
                Ok(Some(status)) => return process::status_in_words(status),
                Ok(None) => std::thread::sleep(Duration::from_millis(1)),
                Err(_) => break,
            }
        }
        let _ = self.child.kill();
        self.child.wait().map_or_else(|error| error.to_string(), process::status_in_words)
    }

    fn captured(&mut self, stream: Stream) -> Result<Vec<u8>, SandboxError> {
        let file = match stream {
            Stream::Output => self.files.captured_output.take(),
            Stream::Errors => self.files.captured_errors.take(),
        };
        let Some(mut file) = file else {
            return Ok(Vec::new());
        };
        let mut bytes = Vec::new();
        file.rewind()
            .and_then(|()| (&file).take(CAPTURED_BYTES_MAX + 1).read_to_end(&mut bytes))
            .map_err(SandboxError::Start)?;
        if bytes.len() as u64 > CAPTURED_BYTES_MAX {
            return Err(SandboxError::OutputTooLong { most: CAPTURED_BYTES_MAX });
        }
        Ok(bytes)
    }
}

impl Drop for Launched {
    fn drop(&mut self) {
        self.end();
    }
}

impl Files {
    /// Opens the streams; gives the ends that go inside, standard input first.
    fn open(&mut self, streams: Streams) -> io::Result<[OwnedFd; 3]> {
        let input = match streams.input {
            Input::Nothing => File::open("/dev/null")?.into(),
            Input::Bytes(bytes) => {
                let mut file = memory_file()?;
                file.write_all(&bytes)?;
                file.rewind()?;
                file.into()
            }
            Input::File(file) => file.into(),
            Input::Pipe => {
                let (reader, writer) = io::pipe()?;
                self.input = Some(writer);
                reader.into()
            }
        };
        let output = open_output(streams.output, &mut self.output, &mut self.captured_output)?;
        let errors = open_output(streams.errors, &mut self.errors, &mut self.captured_errors)?;
        Ok([input, output, errors])
    }
}

fn open_output(
    output: Output,
    pipe: &mut Option<io::PipeReader>,
    captured: &mut Option<File>,
) -> io::Result<OwnedFd> {
    Ok(match output {
        Output::Nothing => File::options().write(true).open("/dev/null")?.into(),
        Output::Capture => {
            let file = memory_file()?;
            *captured = Some(file.try_clone()?);
            file.into()
        }
        Output::File(file) => file.into(),
        Output::Pipe => {
            let (reader, writer) = io::pipe()?;
            *pipe = Some(reader);
            writer.into()
        }
    })
}

fn memory_file() -> io::Result<File> {
    Ok(rustix::fs::memfd_create("nexus-host", MemfdFlags::CLOEXEC)?.into())
}

pub(super) fn error_of(report: Report, commands: &[Command]) -> SandboxError {
    let words = |index: usize| {
        let argv = commands.get(index).map_or(&[][..], |command| &command.argv);
        process::words_for_reading(argv)
    };
    match report {
        Report::Ended { .. } => SandboxError::Died { status: "commands that ended".to_owned() },
        Report::Setup(failure) => SandboxError::Setup {
            step: failure.step,
            path: failure.path,
            source: io::Error::from_raw_os_error(failure.errno),
        },
        Report::Forbidden { errno } => SandboxError::Forbidden { obstacle: Obstacle::look(errno) },
        Report::Command { index, errno } => SandboxError::Command {
            command: words(index),
            source: io::Error::from_raw_os_error(errno),
        },
    }
}
