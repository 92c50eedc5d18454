//! A stock Debian machine, to be taken over: Debian's packages configured by their own scripts, in an
//! ordinary root file system that can be written to, with Debian's kernel, GRUB or systemd-boot, and `BusyBox` in the initrd.
//!
//! Nothing of nexus-host is in it. The parts that make it come from our own pipeline: lock, packages,
//! maintainer scripts, ext4, GRUB.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use nexus_host::debian::lock::Lock;
use nexus_host::exec::image::write;
use nexus_host::exec::interrupt::Interrupt;
use nexus_host::exec::progress::Silent;
use nexus_host::exec::store::Store;
use nexus_host::image::boot_entries::{BootEntry, BootFile, BootMenu, esp_tree};
use nexus_host::image::cpio::{CpioEntry, cpio};
use nexus_host::image::disk::{self, DiskContents};
use nexus_host::image::inodes::complete;
use nexus_host::image::plan::DiskPlan;
use nexus_host::image::segment::{ImageTree, Source, image_tree};
use nexus_host::lower::base::Base;
use nexus_host::lower::compose::apply;
use nexus_host::lower::tools::IMAGE;
use nexus_host::store::{Sha256Digest, StorePath};
use nexus_host::tree::manifest::path_from_text;
use nexus_host::tree::{Entry, Manifest, Node, StoreFile, Tree, TreePath};

use crate::support::Workspace;
use crate::toolbox::{grub_core, tool_file, unpacked};

/// What its owner once asked his provider for.
const HOST: &str = r#"
[host]
name = "stock"
release = "trixie"
kernel = "cloud"
packages = ["busybox-static", "iproute2"]
[network]
dhcp = true
[users.root]
ssh_keys = ["EXAMPLE_KEY"]
"#;

/// The first program: what initramfs-tools does, in a few lines.
const INIT: &str = "#!/bin/busybox sh
b=/bin/busybox
$b mkdir -p /proc /sys /dev /root
$b mount -t proc proc /proc; $b mount -t sysfs sysfs /sys; $b mount -t devtmpfs dev /dev
$b insmod /virtio_blk.ko
until [ -b /dev/vda3 ]; do $b sleep 0.1; done
$b mount -t ext4 /dev/vda3 /root
$b umount /proc /sys
$b mount -o move /dev /root/dev
exec $b switch_root /root /sbin/init
";

/// Makes the machine's host keys, as Debian's installation does.
const KEYS_UNIT: &str = "[Unit]
Before=ssh.service
[Service]
Type=oneshot
ExecStart=/usr/bin/ssh-keygen -A
";

/// What is of nexus-host among the files of the host that the tree is made from.
const NOT_STOCK: [&str; 5] = [
    "etc/ssh/authorized_keys.d",
    "etc/ssh/sshd_config.d/10-nexus-host.conf",
    "etc/systemd/system/nexus-host-ssh-key.service",
    "etc/systemd/system/ssh.service.requires",
    "etc/machine-id",
];
const DIRECTORIES: [&str; 12] =
    ["boot", "dev", "home", "media", "mnt", "opt", "proc", "root", "run", "srv", "sys", "var"];
const LINKS: [(&str, &str); 4] =
    [("bin", "usr/bin"), ("lib", "usr/lib"), ("lib64", "usr/lib64"), ("sbin", "usr/sbin")];
const SYSTEMD_BOOT: &str = "usr/lib/systemd/boot/efi/systemd-bootx64.efi";
const MTIME: u64 = 1_700_000_000;

/// A disk image of the machine, in `directory`; `key` lets root in.
pub(crate) fn stock_image(store: &Store, directory: &Path, key: &str) -> PathBuf {
    let workspace = Workspace::with_host("stock", &HOST.replace("EXAMPLE_KEY", key));
    let built = workspace.run(&["build", "stock", "--image", "raw", "--json"]).expect(0).json();
    let system = built["hosts"][0]["system"].as_str().unwrap().rsplit('/').next().unwrap();
    let system = StorePath::from_base_name(system).unwrap();
    let lock = std::fs::read_to_string(workspace.path().join("hosts/stock.lock")).unwrap();
    let lock: Lock = lock.parse().unwrap();
    let recipe = store.preimage_of(&system).unwrap().unwrap();
    let input = |role: &str| {
        let start = format!("input {role} ");
        let line = recipe.lines().find_map(|line| line.strip_prefix(&start)).unwrap();
        StorePath::from_base_name(line.rsplit('/').next().unwrap()).unwrap()
    };
    let tree = debian_tree(store, &input("base"), &input("files"));
    let busybox = store_bytes(store, &tree[&path("usr/bin/busybox")]);
    let kernel = input("package");
    let root = root_of(tree, key);
    let mut files = unpacked(&lock, IMAGE, store).into_iter().map(|layer| layer.join(SYSTEMD_BOOT));
    let systemd_boot = std::fs::read(files.find(|file| file.is_file()).unwrap()).unwrap();
    let menu = BootMenu {
        entries: BTreeMap::from([(1, entry(store, &kernel, busybox))]),
        default: 1,
        trial: None,
        systemd_boot: Source::Bytes(systemd_boot),
    };
    let esp = esp_tree(&menu, MTIME).unwrap();
    let plan = "[disk]\nsize = \"minimum\"\n[esp]\nsize = \"64MiB\"\n[root]\nfree = \"512MiB\"\n";
    let boot_image = std::fs::read(tool_file("usr/lib/grub/i386-pc/boot.img")).unwrap();
    let core = grub_core(&lock, store);
    let contents = DiskContents {
        host: "stock",
        epoch: MTIME,
        grub: (&boot_image, &core),
        esp: &esp,
        root: &root,
    };
    let layout = disk::layout(&DiskPlan::parse(plan).unwrap(), &contents).unwrap();
    let image = directory.join("stock.raw");
    let files = store.root().join("nix/store");
    write((&image, 0o600), &layout, &files, &Interrupt::default(), &Silent).unwrap();
    image
}

fn path(text: &str) -> TreePath {
    TreePath::new(text).unwrap()
}

/// What packages and their scripts make, and the files of the host file.
fn debian_tree(store: &Store, base: &StorePath, files: &StorePath) -> Tree {
    let manifest = |path: &StorePath| {
        Manifest::parse(&std::fs::read(store.real_path(path).join("manifest")).unwrap()).unwrap()
    };
    let origins = std::fs::read_to_string(store.real_path(base).join("origins")).unwrap();
    let mut origins = origins.lines().map(|line| {
        let (base, inner) = line.split_once(' ').unwrap();
        let path = StorePath::from_base_name(base).unwrap();
        (path, path_from_text(inner.as_bytes()).unwrap())
    });
    let mut tree = Tree::new();
    for (at, entry) in manifest(base).entries {
        let entry = entry.map_file(|file| {
            let (path, inner) = origins.next().unwrap();
            StoreFile { size: file.size, path, inner }
        });
        tree.insert(at, entry);
    }
    // What fills /var at boot.
    let at = Base::factory_configuration_path();
    let inner = path("data").join(&at);
    let size = std::fs::metadata(store.real_path(base).join(inner.to_path())).unwrap().len();
    let node = Node::File(StoreFile { size, path: base.clone(), inner });
    tree.insert(at, Entry { mode: 0o644, node, ..Entry::default_directory() });
    apply(&mut tree, manifest(files), files);
    tree.retain(|at, _| !NOT_STOCK.iter().any(|own| at.strip_prefix(&path(own)).is_some()));
    tree
}

fn store_bytes(store: &Store, entry: &Entry<StoreFile>) -> Vec<u8> {
    let Node::File(file) = &entry.node else { panic!("it is a file") };
    std::fs::read(store.real_path(&file.path).join(file.inner.to_path())).unwrap()
}

/// The root file system around `/usr` and `/etc`.
fn root_of(tree: Tree, key: &str) -> ImageTree {
    let mut root = image_tree(tree);
    let mut add = |at: &str, mode: u16, node: Node<Source>| {
        let entry = Entry { mode, uid: 0, gid: 0, mtime: MTIME, xattrs: BTreeMap::new(), node };
        root.insert(path(at), entry);
    };
    for directory in DIRECTORIES {
        add(directory, 0o755, Node::Directory);
    }
    add("tmp", 0o1777, Node::Directory);
    for (name, target) in LINKS {
        add(name, 0o777, Node::Symlink(target.into()));
    }
    let file = |text: &str| Node::File(Source::Bytes(text.into()));
    add("etc/machine-id", 0o444, file(""));
    add("etc/systemd/system/stock-keys.service", 0o644, file(KEYS_UNIT));
    let wants = "etc/systemd/system/ssh.service.wants/stock-keys.service";
    add(wants, 0o777, Node::Symlink("../stock-keys.service".into()));
    add("root/.ssh", 0o700, Node::Directory);
    add("root/.ssh/authorized_keys", 0o600, file(key));
    add("root/marker", 0o600, file("what its owner keeps\n"));
    complete(&mut root, MTIME);
    root
}

/// Debian's kernel, with what finds the root file system.
fn entry(store: &Store, kernel: &StorePath, busybox: Vec<u8>) -> BootEntry {
    let real = store.real_path(kernel).join("data");
    let version = only_name(&real.join("usr/lib/modules"));
    let module = format!("usr/lib/modules/{version}/kernel/drivers/block/virtio_blk.ko.xz");
    let mut module = liblzma::read::XzDecoder::new(std::fs::File::open(real.join(module)).unwrap());
    let mut virtio_blk = Vec::new();
    std::io::Read::read_to_end(&mut module, &mut virtio_blk).unwrap();
    let initrd = cpio(&[
        CpioEntry::directory("bin"),
        CpioEntry::file("bin/busybox", 0o755, busybox),
        CpioEntry::file("virtio_blk.ko", 0o644, virtio_blk),
        CpioEntry::file("init", 0o755, INIT.into()),
    ]);
    let file = |bytes: Vec<u8>| BootFile {
        digest: Sha256Digest::of(&bytes),
        source: Source::Bytes(bytes),
    };
    BootEntry {
        number: 1,
        title: "Debian GNU/Linux".into(),
        kernel: file(std::fs::read(real.join(format!("boot/vmlinuz-{version}"))).unwrap()),
        initrd: file(initrd),
        options: "root=/dev/vda3 rw console=tty0 console=ttyS0,115200n8 quiet".into(),
    }
}

fn only_name(directory: &Path) -> String {
    let entry = std::fs::read_dir(directory).unwrap().next().unwrap().unwrap();
    entry.file_name().into_string().unwrap()
}
