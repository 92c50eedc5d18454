//! Tests of the command line.

use super::*;
use crate::exec::process::words_for_reading;
use expect_test::{Expect, expect};

#[track_caller]
fn check(hardware: &Hardware, image: &str, expected: &Expect) {
    let words = arguments(hardware, Path::new(image), 2);
    expected.assert_eq(&words_for_reading(&words).replace(" -", "\n-"));
}

#[test]
fn a_bios_machine_with_a_network_card() {
    let mut hardware = Hardware::new(Firmware::SeaBios, Accelerator::Tcg);
    hardware.network_cards.push([0x52, 0x54, 0, 0x6e, 0x78, 1]);
    check(
        &hardware,
        "/images/a,b.raw",
        &expect![[r"
        -nodefaults
        -no-user-config
        -display none
        -accel tcg,thread=multi
        -cpu Nehalem,-cx16
        -smp 2
        -m 1024
        -machine pc,graphics=off
        -blockdev driver=qcow2,node-name=disk,discard=unmap,file.driver=file,file.filename=disk.qcow2,cache.no-flush=on,backing.driver=raw,backing.read-only=on,backing.file.driver=file,backing.file.filename=/images/a,,b.raw
        -device virtio-blk-pci,drive=disk,bootindex=0
        -device virtio-rng-pci
        -chardev socket,id=serial,path=serial
        -chardev socket,id=shell,path=shell
        -chardev socket,id=monitor,path=monitor
        -serial chardev:serial
        -mon chardev=monitor,mode=control
        -device virtio-serial-pci
        -device virtserialport,chardev=shell,name=nexus.test.shell
        -netdev stream,id=net0,server=off,addr.type=unix,addr.path=network0
        -device virtio-net-pci,netdev=net0,mac=52:54:00:6e:78:01,romfile=
        -smbios type=11,path=table0
        -smbios type=11,path=table1"]],
    );
}

#[test]
fn a_uefi_machine_with_kvm() {
    let firmware = Firmware::Ovmf { code: "/c".into(), variables: "/v".into() };
    check(
        &Hardware::new(firmware, Accelerator::Kvm),
        "/i.raw",
        &expect![[r"
        -nodefaults
        -no-user-config
        -display none
        -accel kvm
        -cpu host
        -smp 2
        -m 1024
        -machine q35
        -drive if=pflash,format=raw,readonly=on,file=code.fd
        -drive if=pflash,format=raw,file=variables.fd
        -blockdev driver=qcow2,node-name=disk,discard=unmap,file.driver=file,file.filename=disk.qcow2,cache.no-flush=on,backing.driver=raw,backing.read-only=on,backing.file.driver=file,backing.file.filename=/i.raw
        -device virtio-blk-pci,drive=disk,bootindex=0
        -device virtio-rng-pci
        -chardev socket,id=serial,path=serial
        -chardev socket,id=shell,path=shell
        -chardev socket,id=monitor,path=monitor
        -serial chardev:serial
        -mon chardev=monitor,mode=control
        -device virtio-serial-pci
        -device virtserialport,chardev=shell,name=nexus.test.shell
        -smbios type=11,path=table0
        -smbios type=11,path=table1"]],
    );
}
