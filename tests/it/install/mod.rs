//! A stock Debian machine becomes a host, for real and over SSH: kexec, the disk, the first boot from it. And one
//! on which it goes wrong comes back to what it was.

#![expect(clippy::print_stdout, reason = "what a takeover takes is worth reading")]

mod restore;
mod stock;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use nexus_host::boot::arguments::{MEMORY, ROOT};
use nexus_host::exec::files::{write_atomic, write_scratch};
use nexus_host::vm::kvm::Accelerator;
use nexus_host::vm::network::Forward;
use nexus_host::vm::qemu::{Firmware, Hardware};

use crate::bench::{BOOT_WITHIN, Bench, Host};
use crate::site::{EXAMPLE_KEY, command_at, lease_of, owner, secrets};
use crate::support::Ran;
use stock::stock_image;

/// What the old system's disk consists of, beside what any boot of the old system changes: a FAT that is
/// mounted has a mark in its first sectors, so of its boot partition only the kernels are compared.
const DIGESTS: &str = "head -c 2M /dev/vda | sha256sum; tail -c +4194305 /dev/vda2 | sha256sum; \
    cat /root/marker; \
    find /usr/bin /etc /root -xdev -type f -print0 | sort -z | xargs -0 sha256sum | sha256sum";
const IDENTITY: &str = "AGE-SECRET-KEY-OF-A-TEST\n";

#[test]
fn vm_a_stock_machine_comes_back_when_it_fails_and_then_becomes_the_host() {
    let mut victim = Victim::start("install", |_| Firmware::SeaBios, 2048);
    let stock = "uname -r; cat /proc/cmdline; stat -f -c %T /; findmnt -no SOURCE /";
    println!("stock: {}", victim.host.run(stock));
    assert_eq!(victim.host.run("test -e /nix && echo nix || true"), "");
    victim.is_asked_about();
    victim.fails_and_comes_back();
    victim.write("nexus.test=1");
    victim.becomes_the_host(&[]);
}

#[test]
fn vm_a_small_machine_with_uefi_becomes_the_host_and_has_its_data_back() {
    let mut victim = Victim::start("install-uefi", Bench::uefi, 1024);
    assert_eq!(victim.host.run("test -d /sys/firmware/efi && echo uefi"), "uefi");
    victim.write("nexus.test=1");
    victim
        .install(&["--dry-run", "--accept-new", "--restore", "latest"])
        .expect(1)
        .says("makes no backups");
    victim.more = restore::BACKUPS;
    victim.write("nexus.test=1");
    victim.bench.workspace.run(&["lock", "vps1"]).expect(0);
    secrets::make(&victim.bench);
    let identity = victim.bench.workspace.path().join(secrets::HOST);
    victim.identity = std::fs::read_to_string(identity).unwrap();
    let file = victim.home.path().join("identity");
    write_atomic(&file, victim.identity.as_bytes()).unwrap();
    let server = restore::Server::start(&restore::fill(&victim.bench, victim.home.path()));
    let (network, _) = victim.host.machine.network(0).unwrap();
    network.offer(restore::PORT, server.address).unwrap();
    victim.becomes_the_host(&["--accept-new", "--restore", "latest"]);
    assert_eq!(victim.host.run("cat /var/lib/keeper/note"), "kept");
    assert_eq!(victim.host.run("systemctl is-active keeper"), "active");
    // It goes on where the lost one ended.
    victim.host.run("systemctl start backup-daily");
    let tagged = "restic -r rest:http://192.0.2.1:8000/ --no-cache snapshots --host=vps1 --json | grep -o '\"time\"' | wc -l";
    let password = "RESTIC_PASSWORD_FILE=/run/secrets/backups/daily";
    assert_eq!(victim.host.run(&format!("{password} {tagged}")), "2");
    assert_eq!(victim.host.run("test -d /sys/firmware/efi && echo uefi"), "uefi");
}

/// The machine that is taken over, and somebody who does it.
struct Victim {
    bench: Bench,
    home: tempfile::TempDir,
    key: String,
    host: Host,
    forward: Forward,
    /// What the host file has at its end.
    more: &'static str,
    identity: String,
}

impl Victim {
    fn start(name: &str, firmware: impl Fn(&Bench) -> Firmware, memory_mib: u32) -> Self {
        let (bench, home, key) = owner();
        write_scratch(&home.path().join("identity"), IDENTITY.as_bytes()).unwrap();
        let image = stock_image(&bench.store, home.path(), &key);
        let (accelerator, _) = Accelerator::best();
        // QEMU and its firmware are among the tools that the lock of a host pins.
        bench.build("not yet", "128MiB", "");
        let mut hardware = Hardware::new(firmware(&bench), accelerator);
        hardware.memory_mib = memory_mib;
        let host = bench.start_hardware(name, &image, hardware);
        let (network, _) = host.machine.network(0).unwrap();
        // The same card gets the same address each time, whatever runs there.
        let forward = network.forward(SocketAddr::from((lease_of(network), 22))).unwrap();
        Self { bench, home, key, host, forward, more: "", identity: IDENTITY.to_owned() }
    }

    /// Writes the host file, with one more argument of the kernel.
    fn write(&self, argument: &str) {
        let kernel = "kernel = \"cloud\"";
        let with = format!("kernel_arguments = [\"{argument}\"]\n{kernel}");
        let changes = [(EXAMPLE_KEY, self.key.as_str()), (kernel, &with)];
        let way = format!("[deploy]\nssh = [\"admin@{}\"]\n{}", self.forward.local, self.more);
        self.bench.write_changed("taken over", &changes, &way);
    }

    /// Runs the program as somebody who keeps the host key that he knows the machine by.
    fn install(&self, more: &[&str]) -> Ran {
        let address = format!("root@{}", self.forward.local);
        let [key, identity] = ["key", "identity"].map(|name| self.home.path().join(name));
        let mut words = vec!["install", "vps1", "--ssh", &address, "--keep-host-key"];
        words.extend(["--ssh-key", key.to_str().unwrap()]);
        words.extend(["--identity", identity.to_str().unwrap()]);
        words.extend(more);
        let begun = Instant::now();
        let ran = Ran::of(command_at(&self.home, &self.bench, &words));
        let took = begun.elapsed().as_secs_f64();
        println!("install {}: {took:.0} s\n{}", more.join(" "), ran.stderr);
        ran
    }

    /// Nothing happens before it is known, and shown, and confirmed.
    fn is_asked_about(&mut self) {
        self.write("nexus.test=1");
        self.install(&["--yes"]).expect(4).says("is not known").says("--accept-new");
        let shown = self.install(&["--dry-run", "--accept-new"]).expect(0);
        let shown = shown.says("write the disk vda").says("keep the SSH host key");
        assert_eq!(shown.stdout, "");
        self.install(&[]).expect(4).says("not confirmed").says("`--yes` goes on");
        assert_eq!(self.host.run("cat /sys/kernel/kexec_loaded; ls /dev/shm"), "0");
    }

    /// The new system panics: the old one is back, and its disk is as it was.
    fn fails_and_comes_back(&mut self) {
        let before = self.host.run(DIGESTS);
        self.write("init=/nowhere");
        let ran = self.install(&["--yes", "--return-after", "400"]).expect(4);
        let ran = ran.says("the new system ended before anybody could log in to it");
        ran.says("the machine has rebooted into what it ran before; its disk was not touched");
        self.wait_for_last_boot();
        assert_eq!(self.host.run(DIGESTS), before, "the disk was touched");
        assert_eq!(self.host.run("cat /sys/kernel/kexec_loaded; ls /dev/shm"), "0");
    }

    fn becomes_the_host(&mut self, more: &[&str]) {
        let old_key = self.host.run("cut -d' ' -f2 /etc/ssh/ssh_host_ed25519_key.pub");
        let ran = self.install(&[&["--yes", "--return-after", "400"], more].concat()).expect(0);
        let system = ran.stdout.trim().to_owned();
        ran.says(&format!("the host's SSH key: ssh-ed25519 {old_key}"));
        self.wait_for_last_boot();
        let line = self.host.run("cat /proc/cmdline");
        assert!(!line.contains(&format!("{ROOT}={MEMORY}")) && line.contains(&system), "{line}");
        let own = "/var/lib/nexus-host";
        let key = format!("cut -d' ' -f2 {own}/ssh/ssh_host_ed25519_key.pub");
        assert_eq!(self.host.run(&key), old_key);
        let modes = self.host.run(&format!(
            "stat -c '%a %U' {own} {own}/ssh {own}/ssh/ssh_host_ed25519_key {own}/identity.txt"
        ));
        assert_eq!(modes, "755 root\n700 root\n600 root\n600 root");
        assert_eq!(self.host.run(&format!("cat {own}/identity.txt")), self.identity.trim());
        assert_eq!(self.host.page(), "taken over");
        assert_eq!(self.host.run("test -e /root/marker && echo kept || true"), "");
        let size = self.host.run("df -B1 --output=size /nix | tail -1");
        let fills = size.trim().parse::<u64>().unwrap() > self.host.machine.disk_bytes() * 8 / 10;
        assert!(fills, "the root fills the disk: {size}");
    }

    /// Several boots may have been announced; the last one answers.
    fn wait_for_last_boot(&mut self) {
        while self.host.machine.shell().run("true", Duration::from_secs(5)).is_err() {
            self.host.machine.wait_booted(BOOT_WITHIN).unwrap();
        }
        self.host.wait_idle();
    }
}
