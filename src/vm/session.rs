//! One run of QEMU: started, called back on every channel, ended.

use std::fmt;
use std::fs::File;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::base64;
use super::console;
use super::error::{MachineError, Problem};
use super::kvm::Accelerator;
use super::launch::{LaunchRequest, Program, Running};
use super::machine::MachineOptions;
use super::network::NetworkError;
use super::qemu::{self, names};
use super::qmp::Monitor;
use super::shell::{self, Shell};
use super::sockets::Door;
use super::watch::{Context, Watch};
use crate::exec::files::{self, FileError};
use crate::exec::process;

/// How long QEMU may take to start and call us.
const CALL_WITHIN: Duration = Duration::from_secs(60);

/// How long QEMU may take to end after its console is closed.
const END_WITHIN: Duration = Duration::from_secs(10);

/// How long it may take to end after a channel broke at the start.
const START_END_WITHIN: Duration = Duration::from_secs(2);

/// What is read of what QEMU wrote.
const OUTPUT_BYTES_MAX: u64 = 64 << 10;

/// One run of QEMU.
pub(super) struct Session {
    pub context: Context,
    pub running: Arc<Mutex<Box<dyn Running>>>,
    pub shell: Shell,
    pub monitor: Monitor,
    pub started: Instant,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("machine", &self.context.machine).finish_non_exhaustive()
    }
}

impl Session {
    /// Starts QEMU with the disk that is in `directory`.
    pub(super) fn start(
        options: &MachineOptions,
        directory: &Path,
        log: File,
    ) -> Result<Self, MachineError> {
        let context = new_context(options);
        Self::try_start(options, directory, log, &context).map_err(|problem| context.fail(problem))
    }

    fn try_start(
        options: &MachineOptions,
        directory: &Path,
        log: File,
        context: &Context,
    ) -> Result<Self, Problem> {
        let tables = write_tables(options, directory).map_err(Problem::File)?;
        let doors = Doors::open(directory, options.networks.len())?;
        let output = tempfile::tempfile_in(directory)
            .map_err(FileError::at("make a file in", directory))
            .map_err(Problem::File)?;
        let arguments = qemu::arguments(&options.hardware, &options.image, tables);
        let mut request = LaunchRequest {
            program: Program::Qemu,
            arguments: &arguments,
            directory,
            readable: &[&options.image],
            output: output.try_clone().map_err(channel("keep what QEMU writes"))?,
            kvm: options.hardware.accelerator == Accelerator::Kvm,
        };
        let running = options.launch.launch(&mut request).map_err(Problem::Launch)?;
        let running = Arc::new(Mutex::new(running));
        Self::connect(options, log, context, &doors, (&running, &output)).map_err(|problem| {
            // QEMU's own words say more than the connection that broke when it ended.
            let end = matches!(problem, Problem::Channel { .. })
                .then(|| wait_for_end(&running, &output, START_END_WITHIN))
                .flatten();
            end.unwrap_or(problem)
        })
    }

    /// Takes QEMU's calls.
    fn connect(
        options: &MachineOptions,
        log: File,
        context: &Context,
        doors: &Doors,
        (running, output): (&Arc<Mutex<Box<dyn Running>>>, &File),
    ) -> Result<Self, Problem> {
        let started = Instant::now();
        let ended = || how_ended(running, output);
        let accept = |door: &Door| {
            door.accept("get a call from QEMU", CALL_WITHIN, &options.interrupt, ended)
        };
        let serial = accept(&doors.serial)?;
        watch_console(serial, log, context, options.trouble_is_fatal, (running, output))?;
        let shell = accept(&doors.shell)?;
        let shell =
            Shell::new(shell, context.clone()).map_err(channel("read from the root shell"))?;
        let monitor = accept(&doors.monitor)?;
        for (door, network) in doors.networks.iter().zip(&options.networks) {
            network.plug(accept(door)?).map_err(|_: NetworkError| Problem::Channel {
                action: "plug the machine into its network",
                source: std::io::ErrorKind::BrokenPipe.into(),
            })?;
        }
        let monitor = Monitor::greet(monitor)?;
        let running = Arc::clone(running);
        Ok(Self { context: context.clone(), running, shell, monitor, started })
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.context.watch.tell(|seen| seen.end_is_wanted = true);
        let _ = self.running.lock().unwrap_or_else(PoisonError::into_inner).kill();
    }
}

/// Starts QEMU, without KVM when it does not come up with it.
///
/// A KVM that runs guests may still refuse what QEMU sets up for `-cpu host`.
pub(super) fn start_somehow(
    options: &mut MachineOptions,
    directory: &Path,
    log: File,
) -> Result<(Session, Vec<String>), MachineError> {
    let second_log = log.try_clone();
    let error = match Session::start(options, directory, log) {
        Ok(session) => return Ok((session, Vec::new())),
        Err(error) => error,
    };
    let may_be_kvm = options.hardware.accelerator == Accelerator::Kvm;
    match (&*error.problem, second_log) {
        (Problem::Ended { output, .. }, Ok(log)) if may_be_kvm => {
            options.hardware.accelerator = Accelerator::Tcg;
            let last = output.lines().last().unwrap_or("no word");
            let note = format!("QEMU ended with KVM ({last}), so it translates instead");
            Ok((Session::start(options, directory, log)?, vec![note]))
        }
        _ => Err(error),
    }
}

/// The sockets QEMU connects to.
struct Doors {
    serial: Door,
    shell: Door,
    monitor: Door,
    networks: Vec<Door>,
}

impl Doors {
    fn open(directory: &Path, networks: usize) -> Result<Self, Problem> {
        let open = |name: &str| {
            // A session before this one has left its socket file.
            let _ = std::fs::remove_file(directory.join(name));
            Door::open(directory, name).map_err(channel("make a socket for QEMU"))
        };
        let networks = (0..networks).map(|index| open(&names::network(index)));
        Ok(Self {
            serial: open(names::SERIAL)?,
            shell: open(names::SHELL)?,
            monitor: open(names::MONITOR)?,
            networks: networks.collect::<Result<_, _>>()?,
        })
    }
}

/// Reads the console in a thread, which at its end finds out how QEMU ended.
fn watch_console(
    serial: std::os::unix::net::UnixStream,
    log: File,
    context: &Context,
    trouble_is_fatal: bool,
    process: (&Arc<Mutex<Box<dyn Running>>>, &File),
) -> Result<(), Problem> {
    let watch = context.watch.clone();
    let running = Arc::clone(process.0);
    let output = process.1.try_clone().map_err(channel("keep what QEMU writes"))?;
    let work = move || {
        console::pump(serial, log, &watch, trouble_is_fatal);
        let end = wait_for_end(&running, &output, END_WITHIN);
        let (status, text) = match end {
            Some(Problem::Ended { status, output }) => (status, output),
            _ => ("its console closed".to_owned(), String::new()),
        };
        watch.tell(|seen| seen.ended = Some((status, text)));
    };
    std::thread::Builder::new()
        .name("console".to_owned())
        .spawn(work)
        .map(drop)
        .map_err(channel("read the console"))
}

/// QEMU's end as a problem, if it ends soon.
fn wait_for_end(
    running: &Mutex<Box<dyn Running>>,
    output: &File,
    within: Duration,
) -> Option<Problem> {
    let deadline = Instant::now() + within;
    loop {
        if let Some(end) = how_ended(running, output) {
            return Some(end);
        }
        if Instant::now() >= deadline {
            return None;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// QEMU's end as a problem, if it has ended.
fn how_ended(running: &Mutex<Box<dyn Running>>, output: &File) -> Option<Problem> {
    use std::io::Read as _;
    use std::io::Seek as _;
    let answer = running.lock().unwrap_or_else(PoisonError::into_inner).try_wait();
    let status = match answer {
        Ok(None) => return None,
        Ok(Some(status)) => process::status_in_words(status),
        Err(error) => format!("an unknown status ({error})"),
    };
    let mut bytes = Vec::new();
    let mut output = output;
    // Without what it wrote the status has to do.
    let _ = output.rewind().and_then(|()| output.take(OUTPUT_BYTES_MAX).read_to_end(&mut bytes));
    let output = String::from_utf8_lossy(&bytes).trim_end().to_owned();
    Some(Problem::Ended { status, output })
}

/// What a new run begins with.
pub(super) fn new_context(options: &MachineOptions) -> Context {
    Context {
        machine: options.name.clone(),
        log: options.log.clone(),
        watch: Watch::default(),
        interrupt: options.interrupt.clone(),
    }
}

fn channel(action: &'static str) -> impl FnOnce(std::io::Error) -> Problem {
    move |source| Problem::Channel { action, source }
}

/// Writes the texts of the firmware tables: the shell's credentials and those of the options.
fn write_tables(options: &MachineOptions, directory: &Path) -> Result<usize, FileError> {
    let shell = shell::credentials().map(|(name, value)| (name.to_owned(), value.into()));
    let all = shell.into_iter().chain(options.credentials.iter().cloned());
    let mut count = 0;
    for (name, value) in all {
        let value: Vec<u8> = value;
        let text = format!("io.systemd.credential.binary:{name}={}", base64::encode(&value));
        files::write_atomic(&directory.join(names::table(count)), text.as_bytes())?;
        count += 1;
    }
    Ok(count)
}
