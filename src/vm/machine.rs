//! A test machine: QEMU with its channels, from power-on to power-off.

use std::fmt;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tempfile::TempDir;

use super::error::{MachineError, Problem};
use super::launch::Launch;
use super::network::Network;
use super::overlay;
use super::qemu::{Firmware, Hardware, names};
use super::qmp::Monitor;
use super::session::{Session, new_context, start_somehow};
use super::shell::Shell;
use crate::exec::files::{self, FileError};
use crate::exec::interrupt::Interrupt;

/// What a machine is started from.
#[derive(Clone)]
pub struct MachineOptions {
    /// A name for messages, such as `vps1-bios`.
    pub name: String,
    /// The raw image. It is never written to; QEMU must see it under this absolute path.
    pub image: PathBuf,
    /// The size of the disk the machine sees, when larger than the image.
    pub disk_bytes: Option<u64>,
    /// The hardware; its network cards are made from `networks`.
    pub hardware: Hardware,
    /// The networks the machine's cards are plugged into, in order.
    pub networks: Vec<Network>,
    /// More credentials for the machine's systemd, as name and value.
    pub credentials: Vec<(String, Vec<u8>)>,
    /// Where the machine's own directory is made; removed with the machine.
    pub scratch: PathBuf,
    /// The file that takes the raw serial console; it stays.
    pub log: PathBuf,
    /// Whether a kernel panic or an emergency shell ends every wait; false where a test provokes one.
    pub trouble_is_fatal: bool,
    /// Starts QEMU.
    pub launch: Arc<dyn Launch>,
    /// Whether the user wants to stop.
    pub interrupt: Interrupt,
}

impl fmt::Debug for MachineOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MachineOptions")
            .field("name", &self.name)
            .field("image", &self.image)
            .field("hardware", &self.hardware)
            .finish_non_exhaustive()
    }
}

/// A test machine. Its QEMU and its disk are gone when it is dropped; the log stays.
#[derive(Debug)]
pub struct Machine {
    options: MachineOptions,
    directory: TempDir,
    disk_bytes: u64,
    session: Session,
    notes: Vec<String>,
}

impl Machine {
    /// Powers a new machine on, with an empty overlay over the image; does not wait for its boot.
    pub fn start(mut options: MachineOptions) -> Result<Self, MachineError> {
        options.hardware.network_cards = options.networks.iter().map(Network::new_mac).collect();
        let context = new_context(&options);
        let fail = |problem| context.fail(problem);
        let directory = tempfile::Builder::new()
            .prefix("vm-")
            .tempdir_in(&options.scratch)
            .map_err(FileError::at("make a directory in", &options.scratch))
            .map_err(|error| fail(Problem::File(error)))?;
        let disk = directory.path().join(names::DISK);
        let disk_bytes = overlay::create(&disk, &options.image, options.disk_bytes)
            .map_err(|error| fail(Problem::Overlay(error)))?;
        copy_firmware(&options.hardware.firmware, directory.path())
            .map_err(|error| fail(Problem::File(error)))?;
        if options.hardware.records_writes {
            files::write_scratch(&directory.path().join(names::WRITES), b"")
                .map_err(|error| fail(Problem::File(error)))?;
        }
        let log = File::create(&options.log)
            .map_err(FileError::at("create", &options.log))
            .map_err(|error| fail(Problem::File(error)))?;
        let (session, notes) = start_somehow(&mut options, directory.path(), log)?;
        Ok(Self { options, directory, disk_bytes, session, notes })
    }

    /// How the machine ended, when it has: powered off, or its QEMU was killed.
    pub fn ended(&self) -> Option<String> {
        let seen = self.session.context.watch.look(|seen| seen.ended.clone());
        seen.map(|(status, _)| status)
    }

    /// Sentences worth reading about the start, such as why KVM was passed over.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// The machine's name.
    pub fn name(&self) -> &str {
        &self.options.name
    }

    /// What the machine is made of.
    pub fn hardware(&self) -> &Hardware {
        &self.options.hardware
    }

    /// The size of the disk the machine sees.
    pub fn disk_bytes(&self) -> u64 {
        self.disk_bytes
    }

    /// The size of the image; 0 when it cannot be looked at any more.
    pub fn image_bytes(&self) -> u64 {
        std::fs::metadata(&self.options.image).map_or(0, |metadata| metadata.len())
    }

    /// The network that card `index` is plugged into, and the card's hardware address.
    pub fn network(&self, index: usize) -> Option<(&Network, [u8; 6])> {
        let mac = self.options.hardware.network_cards.get(index)?;
        Some((self.options.networks.get(index)?, *mac))
    }

    /// What starts programs for this machine's test.
    pub fn launch(&self) -> &dyn Launch {
        &*self.options.launch
    }

    /// The interrupt that ends every wait.
    pub fn interrupt(&self) -> &Interrupt {
        &self.options.interrupt
    }

    /// The machine's own directory, removed with it.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// What was written to the disk so far, in the form of the kernel's `dm-log-writes`
    /// (Documentation/admin-guide/device-mapper/log-writes.rst); there when the hardware records writes.
    pub fn writes(&self) -> PathBuf {
        self.directory.path().join(names::WRITES)
    }

    /// The file with the raw serial console.
    pub fn log(&self) -> &Path {
        &self.options.log
    }

    /// The root shell.
    pub fn shell(&mut self) -> &mut Shell {
        &mut self.session.shell
    }

    /// QEMU's monitor.
    pub fn monitor(&mut self) -> &mut Monitor {
        &mut self.session.monitor
    }

    /// Adds what the machine last said to a problem.
    pub fn fail(&self, problem: Problem) -> MachineError {
        self.session.context.fail(problem)
    }

    /// Time since QEMU was started.
    pub fn running_for(&self) -> Duration {
        self.session.started.elapsed()
    }

    /// Time from QEMU's start to the first byte on the serial console.
    pub fn first_byte_after(&self) -> Option<Duration> {
        let first = self.session.context.watch.look(|seen| seen.console.first_byte)?;
        Some(first.saturating_duration_since(self.session.started))
    }

    /// Processor seconds that QEMU has used.
    pub fn cpu_seconds(&self) -> Option<f64> {
        let running = self.session.running.lock().unwrap_or_else(PoisonError::into_inner);
        super::cpu::seconds_of_tree(running.id())
    }

    /// Waits until one of `texts` is on the console, from `from` on; colours are left out.
    ///
    /// Returns the position behind it, to wait on from, and which text it was.
    pub fn wait_for_console(
        &self,
        texts: &[&str],
        from: u64,
        within: Duration,
    ) -> Result<(u64, usize), MachineError> {
        let awaited = format!("{texts:?} on the console");
        self.session.context.wait(&awaited, within, |seen| seen.console.find(texts, from))
    }

    /// The position behind the console's present text.
    pub fn console_end(&self) -> u64 {
        self.session.context.watch.look(|seen| seen.console.end())
    }

    /// The last lines of the console.
    pub fn console_tail(&self) -> String {
        self.session.context.watch.look(|seen| seen.console.tail())
    }

    /// Waits for the root shell of the present boot; returns the boot's id.
    pub fn wait_booted(&mut self, within: Duration) -> Result<String, MachineError> {
        self.session.shell.wait_ready(within)
    }

    /// Reboots by the machine's own `systemctl reboot` and waits for the next boot's root shell.
    pub fn reboot(&mut self, within: Duration) -> Result<String, MachineError> {
        self.session.shell.send("systemctl reboot", Duration::from_secs(60))?;
        self.session.shell.wait_ready(within)
    }

    /// Presses the reset button.
    pub fn reset(&mut self) -> Result<(), MachineError> {
        self.session.monitor.run("system_reset").map_err(|p| self.session.context.fail(p))?;
        Ok(())
    }

    /// Presses the power button and waits until the machine is off.
    pub fn power_off(&mut self, within: Duration) -> Result<(), MachineError> {
        let context = &self.session.context;
        context.watch.tell(|seen| seen.end_is_wanted = true);
        self.session.monitor.run("system_powerdown").map_err(|p| context.fail(p))?;
        context.wait("power-off", within, |seen| seen.ended.as_ref().map(|_| ()))
    }

    /// Pulls the plug, as a power failure does.
    pub fn crash(&mut self) -> Result<(), MachineError> {
        self.session.context.watch.tell(|seen| seen.end_is_wanted = true);
        let mut running = self.session.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.kill().map_err(|source| {
            self.session.context.fail(Problem::Channel { action: "end QEMU", source })
        })
    }

    /// Powers the machine on again with the disk it had; crashes it first when it still runs.
    pub fn start_again(&mut self) -> Result<(), MachineError> {
        self.crash()?;
        let log = File::options()
            .append(true)
            .open(&self.options.log)
            .map_err(FileError::at("open", &self.options.log))
            .map_err(|error| self.fail(Problem::File(error)))?;
        self.session = Session::start(&self.options, self.directory.path(), log)?;
        Ok(())
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // QEMU must be gone before its directory goes; nobody is left to tell about an error.
        let _ = self.crash();
    }
}

/// Gives the machine its own copies of OVMF: its variables change, and both have known names then.
fn copy_firmware(firmware: &Firmware, directory: &Path) -> Result<(), FileError> {
    /// The files of Debian's OVMF have at most 4 MiB.
    const FIRMWARE_BYTES_MAX: u64 = 64 << 20;
    let Firmware::Ovmf { code, variables } = firmware else { return Ok(()) };
    for (source, name) in [(code, names::CODE), (variables, names::VARIABLES)] {
        let bytes = files::read_limited(source, FIRMWARE_BYTES_MAX)?;
        files::write_atomic(&directory.join(name), &bytes)?;
    }
    Ok(())
}
