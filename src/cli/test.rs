//! `test`: boot a host in QEMU and check that it does what its file says.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::arguments::{FirmwareChoice, ImageFormat, Test};
use super::build::{Built, How, build_system};
use super::exit;
use super::fresh_secrets::FreshSecrets;
use super::hosts;
use super::image;
use super::report::Failure;
use super::session::Session;
use super::with_engine::with_engine;
use super::workspace::Workspace;
use crate::exec::files::{FileError, read_limited, write_atomic, write_scratch};
use crate::exec::store::{Scratch, Store};
use crate::lower::graph::tools_graph;
use crate::lower::tools::TEST;
use crate::store::Sha256Digest;
use crate::vm::expectations::Expectations;
use crate::vm::kvm::Accelerator;
use crate::vm::network::NetworkOptions;
use crate::vm::pinned::Pinned;
use crate::vm::promises::promises;
use crate::vm::qemu::{Firmware, Hardware};
use crate::vm::report::TestReport;
use crate::vm::{Launch, Machine, MachineOptions, MachinesOwn, Network, run_checks};

/// A test disk is this much larger than the image, to see that the root grows.
const GROWTH_BYTES: u64 = 1 << 30;
/// Where Debian's package ovmf has the firmware.
const OVMF: &str = "usr/share/OVMF";
/// Raised when a pass of an earlier version does not count any more.
const CHECKS_VERSION: u32 = 1;

pub(super) fn run(session: &Session<'_>, arguments: &Test) -> Result<(), Failure> {
    let workspace = session.workspace()?;
    let store = session.store()?;
    if arguments.keep {
        return arguments
            .hosts
            .iter()
            .try_for_each(|name| keep_host(session, &workspace, &store, name, arguments));
    }
    let mut passed = true;
    let mut documents = Vec::new();
    let mut suites = String::new();
    for name in &arguments.hosts {
        let report = test_host(session, &workspace, &store, name, arguments)?;
        passed &= report.passed;
        if session.json {
            documents.push(report.json);
        } else {
            session.ui.result(report.text.trim_end());
        }
        suites.push_str(&report.junit);
    }
    if session.json {
        session.ui.json(&serde_json::json!({ "hosts": documents }));
    }
    if let Some(file) = &arguments.junit {
        let path = session.environment.working_directory.join(file);
        write_atomic(&path, suites.as_bytes()).map_err(Failure::build)?;
    }
    session.interrupt.check().map_err(Failure::build)?;
    if passed { Ok(()) } else { Err(Failure::Shown(exit::CHECK_FAILED)) }
}

/// Tests a host before it is deployed, like `test`; nothing is printed when it passes.
pub(super) fn prove(
    session: &Session<'_>,
    workspace: &Workspace,
    store: &Store,
    name: &str,
    offline: bool,
) -> Result<(), Failure> {
    let arguments = Test { hosts: vec![name.to_owned()], offline, ..Test::default() };
    let report = test_host(session, workspace, store, name, &arguments)?;
    session.interrupt.check().map_err(Failure::build)?;
    if report.passed {
        return Ok(());
    }
    session.ui.problem(report.text.trim_end());
    Err(Failure::Shown(exit::CHECK_FAILED))
}

/// What is told of one host.
struct Told {
    passed: bool,
    text: String,
    json: serde_json::Value,
    junit: String,
}

impl Told {
    fn of(report: &TestReport) -> Self {
        let json = serde_json::from_str(&report.to_json()).unwrap_or_default();
        Self { passed: report.passed(), text: report.to_text(), json, junit: report.to_junit() }
    }
}

/// The host with secrets made for the test, and an image of it.
fn test_image(
    session: &Session<'_>,
    workspace: &Workspace,
    store: &Store,
    name: &str,
    offline: bool,
) -> Result<(Built, FreshSecrets, PathBuf), Failure> {
    let mut system = hosts::system(session, workspace, name)?;
    let fresh = FreshSecrets::add_to(&mut system, session, store)?;
    let how = How { offline, for_image: true };
    let built = build_system(session, workspace, store, system, how)?;
    let wanted = image::Wanted { format: ImageFormat::Raw, offline, private: None };
    let image = image::make(session, workspace, store, &built, wanted)?;
    Ok((built, fresh, image))
}

fn test_host(
    session: &Session<'_>,
    workspace: &Workspace,
    store: &Store,
    name: &str,
    arguments: &Test,
) -> Result<Told, Failure> {
    let (built, fresh, image) = test_image(session, workspace, store, name, arguments.offline)?;
    let remembered = remembered_path(store, &image, arguments);
    if !arguments.again && remembered.exists() {
        let text = read_limited(&remembered, 1 << 24).map_err(Failure::build)?;
        let text = String::from_utf8_lossy(&text).into_owned();
        session.ui.say("this image has passed before; --again tests it again");
        let json = serde_json::json!({ "host": name, "passed": true, "remembered": true });
        return Ok(Told { passed: true, text, json, junit: String::new() });
    }
    let report = boot_and_check(session, workspace, store, (&built, &fresh), (&image, arguments))?;
    let told = Told::of(&report);
    if told.passed && !session.interrupt.is_set() {
        let folder = remembered.parent().expect("it lies in a folder");
        std::fs::create_dir_all(folder)
            .map_err(|error| Failure::build(FileError::at("create", folder)(error)))?;
        write_atomic(&remembered, told.text.as_bytes()).map_err(Failure::build)?;
    }
    Ok(told)
}

/// Starts a host's machine and lets it run.
fn keep_host(
    session: &Session<'_>,
    workspace: &Workspace,
    store: &Store,
    name: &str,
    arguments: &Test,
) -> Result<(), Failure> {
    let (built, fresh, image) = test_image(session, workspace, store, name, arguments.offline)?;
    let bench = bench(session, workspace, store, &built, arguments)?;
    let firmware = arguments.firmware.or(Some(FirmwareChoice::Bios));
    let firmware = firmwares(firmware, &bench.layers).remove(0);
    let (accelerator, _) = Accelerator::best();
    let hardware = Hardware::new(firmware, accelerator);
    let what = (&built, &fresh);
    let (_scratch, mut machine, expected) =
        start_machine(session, store, what, hardware, (&image, &bench.launch))?;
    super::keep::keep(session, &mut machine, &expected)
}

/// Where a pass of this image is remembered; the image's name covers all that goes into it.
fn remembered_path(store: &Store, image: &Path, arguments: &Test) -> PathBuf {
    let firmware = arguments.firmware;
    let identity = format!("{CHECKS_VERSION} {firmware:?} {}", image.display());
    let digest = Sha256Digest::of(identity.as_bytes()).to_string();
    store.root().join("tests").join(format!("{}.txt", &digest[..32]))
}

fn boot_and_check(
    session: &Session<'_>,
    workspace: &Workspace,
    store: &Store,
    (built, fresh): (&Built, &FreshSecrets),
    (image, arguments): (&Path, &Test),
) -> Result<TestReport, Failure> {
    let started = std::time::Instant::now();
    let bench = bench(session, workspace, store, built, arguments)?;
    let (accelerator, no_kvm) = Accelerator::best();
    let mut machines = Vec::new();
    for firmware in firmwares(arguments.firmware, &bench.layers) {
        if session.interrupt.is_set() {
            break;
        }
        let hardware = Hardware::new(firmware, accelerator);
        let what = (built, fresh);
        let (_scratch, mut machine, expected) =
            start_machine(session, store, what, hardware, (image, &bench.launch))?;
        machines.push(run_checks(&mut machine, &expected, session.ui));
    }
    let system = store.directory().join(&built.path);
    let mut report =
        TestReport::new(built.system.name.as_str(), &system, machines, started.elapsed());
    report.notes.extend(no_kvm.map(|reason| reason.to_string()));
    Ok(report)
}

/// What machines are started with.
struct Bench {
    /// Files of the test tools, topmost first.
    layers: Vec<PathBuf>,
    launch: Arc<dyn Launch>,
    _scratch: Scratch,
}

fn bench(
    session: &Session<'_>,
    workspace: &Workspace,
    store: &Store,
    built: &Built,
    arguments: &Test,
) -> Result<Bench, Failure> {
    let scratch = store.scratch("tools").map_err(Failure::build)?;
    let accounts = scratch.path().join("accounts");
    // ssh wants to know who runs it; unpacked packages have no accounts.
    write_scratch(&accounts.join("etc/passwd"), b"root:x:0:0:root:/root:/bin/sh\n")
        .map_err(Failure::build)?;
    let mut layers = vec![accounts];
    layers.extend(tool_layers(session, workspace, store, built, arguments.offline)?);
    let pinned = Pinned { environment: session.environment.clone(), layers: layers.clone() };
    let launch: Arc<dyn Launch> = match &arguments.qemu {
        None => Arc::new(pinned),
        Some(program) => {
            let folder = program.parent().map(Path::to_owned).unwrap_or_default();
            let mut own = MachinesOwn::from_path_variable(session.environment.variable("PATH"));
            own.directories.insert(0, session.environment.working_directory.join(folder));
            Arc::new(own)
        }
    };
    Ok(Bench { layers, launch, _scratch: scratch })
}

/// Files of the test tools, topmost first.
fn tool_layers(
    session: &Session<'_>,
    workspace: &Workspace,
    store: &Store,
    built: &Built,
    offline: bool,
) -> Result<Vec<PathBuf>, Failure> {
    let graph = tools_graph(&built.lock, TEST).map_err(Failure::build)?;
    let outputs =
        with_engine(session, workspace, store, (&built.system, &built.lock, offline), |engine| {
            engine.realise(&graph).map_err(Failure::build)
        })?;
    Ok(outputs.iter().map(|path| store.real_path(path).join("data")).collect())
}

fn firmwares(choice: Option<FirmwareChoice>, layers: &[PathBuf]) -> Vec<Firmware> {
    let file = |name: &str| {
        let found = layers.iter().map(|layer| layer.join(OVMF).join(name)).find(|p| p.is_file());
        found.unwrap_or_else(|| Path::new("/").join(OVMF).join(name))
    };
    let uefi =
        || Firmware::Ovmf { code: file("OVMF_CODE_4M.fd"), variables: file("OVMF_VARS_4M.fd") };
    match choice {
        Some(FirmwareChoice::Bios) => vec![Firmware::SeaBios],
        Some(FirmwareChoice::Uefi) => vec![uefi()],
        None => vec![Firmware::SeaBios, uefi()],
    }
}

/// Powers a machine on, in a directory that must outlive it; gives also what it is to be checked against.
fn start_machine(
    session: &Session<'_>,
    store: &Store,
    (built, fresh): (&Built, &FreshSecrets),
    hardware: Hardware,
    (image, launch): (&Path, &Arc<dyn Launch>),
) -> Result<(Scratch, Machine, Expectations), Failure> {
    let host = built.system.name.as_str();
    let firmware = hardware.firmware.name();
    let logs = store.root().join("logs");
    std::fs::create_dir_all(&logs)
        .map_err(|error| Failure::build(FileError::at("create", &logs)(error)))?;
    let scratch = store.scratch("vm").map_err(Failure::build)?;
    let network = Network::start(NetworkOptions::default(), session.interrupt.clone())
        .map_err(Failure::build)?;
    let size = std::fs::metadata(image)
        .map_err(|error| Failure::build(FileError::at("look at", image)(error)))?
        .len();
    let options = MachineOptions {
        name: format!("{host} ({firmware})"),
        image: image.to_owned(),
        disk_bytes: Some(size + GROWTH_BYTES),
        hardware,
        networks: vec![network],
        credentials: fresh.credentials(),
        scratch: scratch.path().to_owned(),
        log: logs.join(format!("{host}-{firmware}.log")),
        trouble_is_fatal: true,
        launch: Arc::clone(launch),
        interrupt: session.interrupt.clone(),
    };
    let machine = Machine::start(options).map_err(Failure::build)?;
    machine.notes().iter().for_each(|note| session.ui.say(note));
    let mut expected = promises(&built.system, &built.lock);
    expected.boot_within = Duration::from_secs(300);
    expected.commands.extend(fresh.expectations());
    Ok((scratch, machine, expected))
}
