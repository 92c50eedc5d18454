//! QEMU's command line as a value: what a test machine is made of.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::kvm::Accelerator;
use super::shell;

/// Names in the machine's directory, QEMU's working directory.
pub(super) mod names {
    /// The overlay over the image.
    pub(in super::super) const DISK: &str = "disk.qcow2";
    /// What was written to the disk, in order, when it is recorded.
    pub(in super::super) const WRITES: &str = "writes.log";
    /// OVMF's code.
    pub(in super::super) const CODE: &str = "code.fd";
    /// The machine's own copy of OVMF's variables.
    pub(in super::super) const VARIABLES: &str = "variables.fd";
    /// Socket of the serial console.
    pub(in super::super) const SERIAL: &str = "serial";
    /// Socket of the root shell.
    pub(in super::super) const SHELL: &str = "shell";
    /// Socket of QEMU's monitor.
    pub(in super::super) const MONITOR: &str = "monitor";
    /// The file with the texts of the firmware tables.
    pub(in super::super) fn table(index: usize) -> String {
        format!("table{index}")
    }
    /// Socket of a network card.
    pub(in super::super) fn network(index: usize) -> String {
        format!("network{index}")
    }
}

/// What starts the boot loader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Firmware {
    /// `SeaBIOS`, which most rented machines have.
    SeaBios,
    /// UEFI.
    Ovmf {
        /// `OVMF_CODE_4M.fd`.
        code: PathBuf,
        /// `OVMF_VARS_4M.fd`; the machine gets a copy.
        variables: PathBuf,
    },
}

impl Firmware {
    /// A short name for reports.
    pub fn name(&self) -> &'static str {
        match self {
            Self::SeaBios => "bios",
            Self::Ovmf { .. } => "uefi",
        }
    }
}

/// The hardware of a test machine.
#[derive(Debug, Clone)]
pub struct Hardware {
    /// What starts the boot loader.
    pub firmware: Firmware,
    /// What runs the processor.
    pub accelerator: Accelerator,
    /// Memory in MiB.
    pub memory_mib: u32,
    /// Number of processors.
    pub processors: u32,
    /// One network card for each, with this hardware address.
    pub network_cards: Vec<[u8; 6]>,
    /// Whether every write and flush of the disk is recorded, so that power cuts can be replayed:
    /// [`Machine::writes`](super::Machine::writes).
    pub records_writes: bool,
}

impl Hardware {
    /// Two processors and 1 GiB.
    pub fn new(firmware: Firmware, accelerator: Accelerator) -> Self {
        Self {
            firmware,
            accelerator,
            memory_mib: 1024,
            processors: 2,
            network_cards: Vec::new(),
            records_writes: false,
        }
    }
}

/// The arguments of `qemu-system-x86_64`.
///
/// All sockets are QEMU's to connect, so whoever listens does so before the start and no byte is lost.
pub(super) fn arguments(hardware: &Hardware, image: &Path, tables: usize) -> Vec<OsString> {
    let mut line = Line(Vec::new());
    line.words(["-nodefaults", "-no-user-config", "-display", "none"]);
    processor(&mut line, hardware);
    firmware(&mut line, &hardware.firmware);
    disk(&mut line, image, hardware.records_writes);
    line.words(["-device", "virtio-rng-pci"]);
    channels(&mut line);
    for (index, mac) in hardware.network_cards.iter().enumerate() {
        network_card(&mut line, index, *mac);
    }
    for index in 0..tables {
        line.words(["-smbios", &format!("type=11,path={}", names::table(index))]);
    }
    line.0
}

struct Line(Vec<OsString>);

impl Line {
    fn words<'a>(&mut self, words: impl IntoIterator<Item = &'a str>) {
        self.0.extend(words.into_iter().map(OsString::from));
    }
}

fn processor(line: &mut Line, hardware: &Hardware) {
    match hardware.accelerator {
        Accelerator::Kvm => line.words(["-accel", "kvm", "-cpu", "host"]),
        // Without `-cx16`, QEMU 7.2 spoils the flags register in Linux's memory allocator when two
        // processors are translated at once (`cmpxchg16b %gs:`): the kernel panics now and then.
        Accelerator::Tcg => {
            line.words(["-accel", "tcg,thread=multi", "-cpu", "Nehalem,-cx16"]);
        }
    }
    line.words(["-smp", &hardware.processors.to_string()]);
    line.words(["-m", &hardware.memory_mib.to_string()]);
}

fn firmware(line: &mut Line, firmware: &Firmware) {
    match firmware {
        // Without graphics SeaBIOS writes, and lets GRUB write, to the serial console.
        Firmware::SeaBios => line.words(["-machine", "pc,graphics=off"]),
        Firmware::Ovmf { .. } => {
            line.words(["-machine", "q35"]);
            let code = format!("if=pflash,format=raw,readonly=on,file={}", names::CODE);
            line.words(["-drive", &code]);
            line.words(["-drive", &format!("if=pflash,format=raw,file={}", names::VARIABLES)]);
        }
    }
}

/// The overlay's file does not name the image; here the two meet.
///
/// Writes are not flushed to our disk: a machine's death loses nothing, and ours ends the test anyway.
fn disk(line: &mut Line, image: &Path, records_writes: bool) {
    let mut value = OsString::from(format!(
        "driver=qcow2,node-name=disk,discard=unmap,file.driver=file,file.filename={},cache.no-flush=on,\
         backing.driver=raw,backing.read-only=on,backing.file.driver=file,backing.file.filename=",
        names::DISK
    ));
    value.push(escaped(image));
    line.words(["-blockdev"]);
    line.0.push(value);
    let mut drive = "disk";
    if records_writes {
        drive = "recorded";
        let recorder = format!(
            "driver=blklogwrites,node-name={drive},discard=unmap,file=disk,log.driver=file,log.filename={}",
            names::WRITES
        );
        line.words(["-blockdev", &recorder]);
    }
    line.words(["-device", &format!("virtio-blk-pci,drive={drive},bootindex=0")]);
}

/// QEMU's option syntax doubles a comma within a value.
fn escaped(path: &Path) -> OsString {
    use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
    let mut bytes = Vec::new();
    for &byte in path.as_os_str().as_bytes() {
        bytes.push(byte);
        if byte == b',' {
            bytes.push(byte);
        }
    }
    OsString::from_vec(bytes)
}

fn channels(line: &mut Line) {
    for name in [names::SERIAL, names::SHELL, names::MONITOR] {
        line.words(["-chardev", &format!("socket,id={name},path={name}")]);
    }
    line.words(["-serial", &format!("chardev:{}", names::SERIAL)]);
    line.words(["-mon", &format!("chardev={},mode=control", names::MONITOR)]);
    line.words(["-device", "virtio-serial-pci"]);
    let port = format!("virtserialport,chardev={},name={}", names::SHELL, shell::PORT_NAME);
    line.words(["-device", &port]);
}

fn network_card(line: &mut Line, index: usize, mac: [u8; 6]) {
    let socket = names::network(index);
    let peer = format!("stream,id=net{index},server=off,addr.type=unix,addr.path={socket}");
    line.words(["-netdev", &peer]);
    let mac = mac.map(|byte| format!("{byte:02x}")).join(":");
    line.words(["-device", &format!("virtio-net-pci,netdev=net{index},mac={mac},romfile=")]);
}

#[cfg(test)]
mod tests;
