//! Processor seconds of an emulated machine from power-on to its login prompt: our system with its initrd
//! beside the same packages with Debian's own initrd, in turn. `cargo bench --bench boot`, as root, with
//! mmdebstrap, e2fsprogs and qemu-system-x86 installed.
//!
//! Both start their kernel directly, without a boot loader, on two emulated processors.

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a benchmark prints, starts programs, and stops at the first thing that goes wrong"
)]

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nexus_host::exec::environment::Environment;
use nexus_host::exec::fetch::mirrors;

const RUNS: usize = 5;
const DEADLINE: Duration = Duration::from_secs(180);
const PACKAGES: &str = "linux-image-cloud-amd64,systemd-sysv,udev";
const HOST: &str = "[host]\nname = \"bench\"\nrelease = \"trixie\"\nkernel = \"cloud\"\n";

fn main() {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("bench-boot");
    std::fs::create_dir_all(&directory).unwrap();
    let (ours, stock) = (ours(&directory), stock(&directory));
    let initrds = [&ours, &stock].map(|machine| std::fs::metadata(&machine.initrd).unwrap().len());
    println!("initrd bytes: ours {}, stock {}", initrds[0], initrds[1]);
    let mut ratios = Vec::new();
    for run in 0..=RUNS {
        let [ours, stock] = [&ours, &stock].map(Machine::seconds_to_login);
        // The first pair fills the page cache.
        if run > 0 {
            println!("ours {ours:.1} s, stock {stock:.1} s of processor");
            ratios.push(ours / stock);
        }
    }
    ratios.sort_by(f64::total_cmp);
    println!(
        "ours/stock: {:.2}..{:.2}, median {:.2}",
        ratios[0],
        ratios[RUNS - 1],
        ratios[RUNS / 2]
    );
}

struct Machine {
    kernel: PathBuf,
    initrd: PathBuf,
    arguments: String,
    disk: PathBuf,
    log: PathBuf,
}

fn ours(directory: &Path) -> Machine {
    let workspace = directory.join("workspace");
    std::fs::create_dir_all(workspace.join("hosts")).unwrap();
    std::fs::write(workspace.join("hosts/bench.toml"), HOST).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_nexus-host"))
        .arg("-C")
        .arg(&workspace)
        .args(["build", "bench", "--image", "raw", "--json", "--store"])
        .arg(directory.join("store"))
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let text = |name: &str| report["hosts"][0][name].as_str().unwrap().to_owned();
    let system = PathBuf::from(text("real_path"));
    let in_store = |link: &str| {
        let target = std::fs::read_link(system.join(link)).unwrap();
        directory.join("store/nix/store").join(target.strip_prefix("/nix/store").unwrap())
    };
    let parameters = std::fs::read_to_string(system.join("params")).unwrap();
    Machine {
        kernel: in_store("kernel"),
        initrd: in_store("initrd"),
        arguments: format!(
            "{} nexus.root=PARTLABEL=nexus-root nexus.system={}",
            parameters.trim(),
            text("system")
        ),
        disk: text("image").into(),
        log: directory.join("ours.log"),
    }
}

fn stock(directory: &Path) -> Machine {
    let (tree, disk) = (directory.join("tree"), directory.join("stock.raw"));
    let environment = Environment::of_process().unwrap();
    let mirror = mirrors(&environment, None).unwrap().debian.to_string();
    if !disk.exists() {
        run(Command::new("mmdebstrap")
            .args(["--mode=root", "--variant=essential", "--format=directory", "--quiet"])
            .args([format!("--include={PACKAGES},initramfs-tools"), "trixie".into()])
            .arg(&tree)
            .arg(mirror));
        run(Command::new("mke2fs")
            .args(["-q", "-t", "ext4", "-d"])
            .arg(&tree)
            .arg(&disk)
            .arg("2G"));
    }
    let boot = |start: &str| {
        let mut names = std::fs::read_dir(tree.join("boot")).unwrap().map(|name| name.unwrap());
        let found = names.find(|name| name.file_name().to_string_lossy().starts_with(start));
        found.unwrap().path()
    };
    Machine {
        kernel: boot("vmlinuz"),
        initrd: boot("initrd.img"),
        arguments: "root=/dev/vda rw quiet console=tty0 console=ttyS0,115200n8".into(),
        disk,
        log: directory.join("stock.log"),
    }
}

fn run(command: &mut Command) {
    let status = command.status().unwrap();
    assert!(status.success(), "{command:?}: {status}");
}

impl Machine {
    fn seconds_to_login(&self) -> f64 {
        let mut machine = self.start();
        let start = Instant::now();
        let seconds = loop {
            let log = std::fs::read(&self.log).unwrap_or_default();
            let seconds = processor_seconds(&machine);
            if log.windows(7).any(|window| window == b" login:") {
                break seconds;
            }
            assert!(start.elapsed() < DEADLINE, "no login prompt: {}", self.log.display());
            std::thread::sleep(Duration::from_millis(20));
        };
        machine.kill().unwrap();
        machine.wait().unwrap();
        seconds
    }

    fn start(&self) -> Child {
        let log = File::create(&self.log).unwrap();
        Command::new("qemu-system-x86_64")
            // Without cx16: QEMU 7.2 panics guests now and then on two emulated processors.
            .args([
                "-accel",
                "tcg,thread=multi",
                "-cpu",
                "Nehalem,-cx16",
                "-smp",
                "2",
                "-m",
                "1024",
            ])
            .args(["-nodefaults", "-display", "none", "-serial", "stdio", "-no-reboot", "-kernel"])
            .arg(&self.kernel)
            .arg("-initrd")
            .arg(&self.initrd)
            .args(["-append", &self.arguments, "-drive"])
            .arg(format!("file={},format=raw,if=virtio,snapshot=on", self.disk.display()))
            .stdin(Stdio::null())
            .stdout(log)
            .spawn()
            .unwrap()
    }
}

/// Time that a process has run, from proc(5): fields 14 and 15, in ticks of 10 ms.
fn processor_seconds(process: &Child) -> f64 {
    let text = std::fs::read_to_string(format!("/proc/{}/stat", process.id())).unwrap();
    let (_, fields) = text.rsplit_once(')').unwrap();
    let ticks = |at: usize| -> f64 { fields.split_whitespace().nth(at).unwrap().parse().unwrap() };
    (ticks(11) + ticks(12)) / 100.0
}
