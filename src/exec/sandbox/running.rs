//! A program that goes on in a sandbox while the caller does something else.

use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;

use super::channel::Report;
use super::parent::{Launched, error_of};
use super::{Command, Limits, Sandbox, SandboxError, Streams};
use crate::exec::environment::Environment;

/// A program in a sandbox; when this is dropped, it and everything it started ends.
#[derive(Debug)]
pub struct Running {
    launched: Launched,
    command: Command,
    /// Writes to its standard input, when that is [`super::Input::Pipe`].
    pub stdin: Option<io::PipeWriter>,
    /// Reads its standard output, when that is [`super::Output::Pipe`].
    pub stdout: Option<io::PipeReader>,
    /// Reads its standard error, when that is [`super::Output::Pipe`].
    pub stderr: Option<io::PipeReader>,
}

/// Starts `command` and returns at once.
///
/// A command that cannot be started is told by [`Running::wait`].
///
/// # Errors
///
/// The program could not start itself.
pub fn spawn(
    environment: &Environment,
    sandbox: &Sandbox,
    command: Command,
    streams: Streams,
) -> Result<Running, SandboxError> {
    let commands = std::slice::from_ref(&command);
    let mut launched = Launched::start(environment, sandbox, commands, streams)?;
    let stdin = launched.files.input.take();
    let stdout = launched.files.output.take();
    let stderr = launched.files.errors.take();
    Ok(Running { launched, command, stdin, stdout, stderr })
}

impl Running {
    /// The process outside that stands for the sandbox; all inside are its descendants.
    pub fn pid(&self) -> u32 {
        self.launched.child.id()
    }

    /// Ends the program and everything it started; returns when they are gone.
    pub fn kill(&mut self) {
        self.launched.end();
    }

    /// Waits for the program's end.
    ///
    /// # Errors
    ///
    /// As [`super::run`]; a program that was ended by [`Running::kill`] gives
    /// [`SandboxError::Died`].
    pub fn wait(&mut self, limits: &Limits) -> Result<ExitStatus, SandboxError> {
        let commands = std::slice::from_ref(&self.command);
        match self.launched.wait(commands, limits)? {
            Report::Ended { status, .. } => Ok(ExitStatus::from_raw(status)),
            failed => Err(error_of(failed, commands)),
        }
    }
}
