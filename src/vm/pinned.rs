//! Starts the pinned programs of a lock, in the sandbox.

use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;

use super::launch::{Launch, LaunchError, LaunchRequest, Running};
use crate::exec::environment::Environment;
use crate::exec::interrupt::Interrupt;
use crate::exec::sandbox::{self, Bind, Command, Input, Limits, Output, Sandbox, Streams};

/// Programs in unpacked packages.
#[derive(Debug, Clone)]
pub struct Pinned {
    /// To start this program as the sandbox.
    pub environment: Environment,
    /// The packages' files, topmost first.
    pub layers: Vec<PathBuf>,
}

impl Launch for Pinned {
    fn launch(&self, request: &mut LaunchRequest<'_>) -> Result<Box<dyn Running>, LaunchError> {
        let program = request.program;
        let fail =
            |source: Box<dyn std::error::Error + Send + Sync>| LaunchError { program, source };
        let mut inside = Sandbox::for_tool(self.layers.clone());
        inside.network = true;
        request.directory.clone_into(&mut inside.working_directory);
        inside.binds.push(bind(request.directory, true));
        inside.binds.extend(request.readable.iter().map(|path| bind(path, false)));
        if request.kvm {
            inside.binds.push(bind(Path::new("/dev/kvm"), true));
        }
        let name = OsString::from(request.program.file_name());
        let argv = std::iter::once(name).chain(request.arguments.iter().cloned());
        let copy = |file: &File| file.try_clone().map_err(|error| fail(Box::new(error)));
        let streams = Streams {
            input: Input::Nothing,
            output: Output::File(copy(&request.output)?),
            errors: Output::File(copy(&request.output)?),
        };
        let started = sandbox::spawn(&self.environment, &inside, Command::new(argv), streams);
        let running = started.map_err(|error| fail(Box::new(error)))?;
        let id = running.pid();
        let (tell, ended) = std::sync::mpsc::channel();
        let stop = Interrupt::default();
        let limits = Limits { interrupt: stop.clone(), deadline: None };
        let mut running = running;
        std::thread::spawn(move || {
            let status = running.wait(&limits);
            // Nobody may be left to hear it.
            let _gone = tell.send(status.map_err(std::io::Error::other));
        });
        Ok(Box::new(InSandbox { id, stop, ended, seen: None }))
    }
}

fn bind(path: &Path, writable: bool) -> Bind {
    Bind { source: path.to_owned(), target: path.to_owned(), writable }
}

/// A program in a sandbox; a thread waits for its end.
struct InSandbox {
    id: u32,
    stop: Interrupt,
    ended: std::sync::mpsc::Receiver<std::io::Result<ExitStatus>>,
    seen: Option<ExitStatus>,
}

/// How a program that was ended by us looks: killed by signal 9.
fn killed() -> ExitStatus {
    use std::os::unix::process::ExitStatusExt as _;
    ExitStatus::from_raw(9)
}

impl Running for InSandbox {
    fn id(&self) -> u32 {
        self.id
    }

    fn try_wait(&mut self) -> std::io::Result<Option<ExitStatus>> {
        use std::sync::mpsc::TryRecvError;
        if self.seen.is_none() {
            self.seen = match self.ended.try_recv() {
                Ok(status) => Some(status?),
                Err(TryRecvError::Empty) => None,
                Err(TryRecvError::Disconnected) => Some(killed()),
            };
        }
        Ok(self.seen)
    }

    fn kill(&mut self) -> std::io::Result<()> {
        if self.try_wait()?.is_none() {
            self.stop.set();
            self.seen = Some(match self.ended.recv() {
                Ok(Ok(status)) => status,
                _ => killed(),
            });
        }
        Ok(())
    }
}

impl Drop for InSandbox {
    fn drop(&mut self) {
        let _gone = self.kill();
    }
}
