//! The maintainer scripts, in the sandbox.

use std::ffi::OsString;
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::layers::Layers;
use super::prepare::Prepared;
use super::{ConfigureError, Request, failure};
use crate::debian::dpkg_database::Identity;
use crate::exec::environment::Environment;
use crate::exec::files::FileError;
use crate::exec::process::status_in_words;
use crate::exec::progress::{Progress, Task, Unit};
use crate::exec::sandbox::{
    self, Command, Input, Limits, Output, Owners, Sandbox, Streams, Upper, last_lines,
};

/// How often the log is looked at for progress.
const TICK: Duration = Duration::from_millis(100);

/// Bytes of the end of the log in which a failure is looked for.
const LOG_TAIL_BYTES: u64 = 64 << 10;

/// Runs all scripts; gives the owners that the recorder noted.
pub(super) fn run(
    environment: &Environment,
    request: &Request,
    layers: &Layers,
    (prepared, progress, limits): (&Prepared, &dyn Progress, &Limits),
) -> Result<Owners, ConfigureError> {
    let streams = log_streams(request)?;
    let preinsts: Vec<&Identity> = with_preinst(layers).collect();
    let mut commands: Vec<Command> =
        preinsts.iter().map(|identity| preinst(identity, layers)).collect();
    commands.push(dpkg_configure());
    let sandbox = sandbox_of(request, layers, prepared);
    let total = layers.packages.len() as u64;
    let task = progress.begin("configure", Unit::Things, Some(total));
    let ran = while_watching(request, task.as_ref(), || {
        sandbox::run(environment, &sandbox, &commands, streams, limits)
    })
    .map_err(ConfigureError::Sandbox)?;
    if ran.status.success() {
        return Ok(ran.owners);
    }
    let tail = log_tail(request)?;
    let script = match preinsts.get(ran.last) {
        Some(identity) => failure::Failed {
            package: identity.in_database(),
            script: "preinst".to_owned(),
            status: status_in_words(ran.status),
        },
        None => {
            if let Some(failed) = failure::find(&tail) {
                failed
            } else {
                let output = last_lines(tail.as_bytes()).trim_end().to_owned();
                return Err(ConfigureError::Dpkg { output, log: request.log.clone() });
            }
        }
    };
    Err(ConfigureError::Script {
        output: last_lines(failure::output_of(&tail).as_bytes()).trim_end().to_owned(),
        package: script.package,
        script: script.script,
        status: script.status,
        log: request.log.clone(),
    })
}

/// Nothing in, everything out into the log.
pub(super) fn log_streams(request: &Request) -> Result<Streams, FileError> {
    let log = File::create(&request.log).map_err(FileError::at("make", &request.log))?;
    let clone = log.try_clone().map_err(FileError::at("open", &request.log))?;
    Ok(Streams { input: Input::Nothing, output: Output::File(clone), errors: Output::File(log) })
}

fn with_preinst(layers: &Layers) -> impl Iterator<Item = &Identity> {
    let both = layers.identities.iter().zip(&layers.packages);
    both.filter(|(_, package)| package.control_files.contains_key("preinst"))
        .map(|(identity, _)| identity)
}

/// The call that dpkg makes when it begins to unpack a package that was never there before. Source:
/// dpkg(1), `maintscript_exec` in dpkg's `src/main/script.c`.
fn preinst(identity: &Identity, layers: &Layers) -> Command {
    let script = format!("/var/lib/dpkg/info/{}.preinst", identity.in_database());
    let dpkg = layers.identities.iter().find(|identity| identity.name == "dpkg");
    let version = dpkg.map_or("", |identity| identity.version.as_str());
    let pair = |name: &str, value: &str| (OsString::from(name), OsString::from(value));
    Command {
        argv: vec![script.into(), "install".into()],
        environment: vec![
            // debconf would look for the name in dpkg's working directory.
            pair("DEBCONF_PACKAGE", &identity.name),
            pair("PERL_DL_NONLAZY", "1"),
            pair("DPKG_ADMINDIR", "/var/lib/dpkg"),
            pair("DPKG_ROOT", ""),
            pair("DPKG_RUNNING_VERSION", version),
            pair("DPKG_MAINTSCRIPT_ARCH", &identity.architecture),
            pair("DPKG_MAINTSCRIPT_DEBUG", "0"),
            pair("DPKG_MAINTSCRIPT_NAME", "preinst"),
            pair("DPKG_MAINTSCRIPT_PACKAGE", &identity.name),
            pair("DPKG_MAINTSCRIPT_PACKAGE_REFCOUNT", "1"),
        ],
    }
}

fn dpkg_configure() -> Command {
    Command::new([
        "dpkg",
        "--force-unsafe-io",
        "--abort-after=1",
        "--log=/dev/null",
        "--configure",
        "--pending",
    ])
}

fn sandbox_of(request: &Request, layers: &Layers, prepared: &Prepared) -> Sandbox {
    let mut sandbox = recording_sandbox(request, layers);
    sandbox.layers.insert(0, prepared.replacements.clone());
    sandbox.known_owners.clone_from(&prepared.known_owners);
    let mut set = |name: &str, value: &str| sandbox.environment.push((name.into(), value.into()));
    set("DEBIAN_FRONTEND", "noninteractive");
    set("DEBCONF_NONINTERACTIVE_SEEN", "true");
    set("DEBCONF_NOWARNINGS", "yes");
    set("SYSTEMD_OFFLINE", "1");
    // Without these the order of Perl's and Python's tables differs from run to run.
    set("PERL_HASH_SEED", "0");
    set("PERL_PERTURB_KEYS", "0");
    set("PYTHONHASHSEED", "0");
    set("PYTHONDONTWRITEBYTECODE", "1");
    sandbox
}

/// The packages' files, with changes and owners kept in the scratch directory.
pub(super) fn recording_sandbox(request: &Request, layers: &Layers) -> Sandbox {
    let lower = layers.directories.iter().rev().map(|directory| directory.join("data"));
    let mut environment = sandbox::fixed_environment();
    environment.push(("SOURCE_DATE_EPOCH".into(), request.epoch_seconds.to_string().into()));
    Sandbox {
        upper: Upper::Directory(request.scratch.clone()),
        record_owners: true,
        environment,
        ..Sandbox::for_tool(lower.collect())
    }
}

/// Does `work` while a thread tells the task how many packages the log says are done.
fn while_watching<T>(request: &Request, task: &dyn Task, work: impl FnOnce() -> T) -> T {
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let Ok(mut log) = File::open(&request.log) else { return };
            let mut rest = String::new();
            while !done.load(Ordering::Relaxed) {
                let mut bytes = Vec::new();
                let _ = log.read_to_end(&mut bytes);
                rest.push_str(&String::from_utf8_lossy(&bytes));
                tell(&mut rest, task);
                std::thread::park_timeout(TICK);
            }
        });
        let result = work();
        done.store(true, Ordering::Relaxed);
        result
    })
}

/// Takes the whole lines out of `text` and tells of each package that dpkg begins with.
fn tell(text: &mut String, task: &dyn Task) {
    let end = text.rfind('\n').map_or(0, |position| position + 1);
    for line in text[..end].lines() {
        if let Some(package) = line.strip_prefix("Setting up ") {
            task.at(package.split(' ').next().unwrap_or_default());
            task.advance(1);
        }
    }
    text.drain(..end);
}

pub(super) fn log_tail(request: &Request) -> Result<String, FileError> {
    let mut file = File::open(&request.log).map_err(FileError::at("open", &request.log))?;
    let mut bytes = Vec::new();
    let read = file.metadata().and_then(|metadata| {
        file.seek(SeekFrom::Start(metadata.len().saturating_sub(LOG_TAIL_BYTES)))?;
        file.read_to_end(&mut bytes)
    });
    read.map_err(FileError::at("read", &request.log))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
