//! Images under the eyes of the real tools: e2fsck, debugfs, fsck.erofs, fsck.vfat, mtools, sgdisk,
//! qemu-img, grub-mkimage, and the kernel's own file systems where this process may mount.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use nexus_host::exec::files::write_atomic;
use nexus_host::exec::image::write;
use nexus_host::exec::interrupt::Interrupt;
use nexus_host::exec::progress::Silent;
use nexus_host::image::disk::{self, DiskContents};
use nexus_host::image::plan::DiskPlan;
use nexus_host::image::segment::{ImageTree, Layout, Source, image_tree};
use nexus_host::image::{erofs, ext4, fat, grub, inodes, qcow2};
use nexus_host::store::StorePath;
use nexus_host::tree::{Entry, Node, StoreFile, Tree, TreePath};

use crate::support::{Ran, is_machine_root, plain_command, skipped};
use crate::toolbox::{tool, tool_file};

const MIB: u64 = 1 << 20;
const MTIME: u64 = 1_700_000_000;
/// Large enough for a second level of the index, see [`hard_tree`].
const MANY_LONG_NAMES: usize = 12_000;

/// A store of one path, and room for images beside it.
struct Place {
    directory: tempfile::TempDir,
    path: StorePath,
}

impl Place {
    fn new() -> Self {
        let path = StorePath::from_base_name("00000000000000000000000000000000-it").unwrap();
        let place = Self { directory: tempfile::tempdir().unwrap(), path };
        fs::create_dir_all(place.at("store").join(place.path.as_str())).unwrap();
        place
    }

    fn at(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A file in the store whose bytes follow from its size.
    fn file(&self, inner: &str, size: u64) -> Node<StoreFile> {
        let real = self.at("store").join(self.path.as_str()).join(inner);
        let bytes: Vec<u8> = (0..size).map(|index| (index % 251).to_le_bytes()[0]).collect();
        write_atomic(&real, &bytes).unwrap();
        let inner = TreePath::new(inner).unwrap();
        Node::File(StoreFile { size, path: self.path.clone(), inner })
    }

    /// A file in the store that is one hole.
    fn hole(&self, inner: &str, size: u64) -> Node<StoreFile> {
        let real = self.at("store").join(self.path.as_str()).join(inner);
        fs::File::create(real).unwrap().set_len(size).unwrap();
        let inner = TreePath::new(inner).unwrap();
        Node::File(StoreFile { size, path: self.path.clone(), inner })
    }

    fn write(&self, name: &str, layout: &Layout) -> PathBuf {
        let target = self.at(name);
        let (store, interrupt) = (self.at("store"), Interrupt::default());
        write((&target, 0o644), layout, &store, &interrupt, &Silent).unwrap();
        target
    }
}

/// Runs a tool that must succeed; it sees the place. Gives what it wrote to standard output.
#[track_caller]
fn run<W: AsRef<OsStr>>(place: &Place, words: &[W]) -> String {
    let name = words[0].as_ref().to_str().unwrap();
    let output = tool(name).sees(place.directory.path()).args(&words[1..]).run();
    String::from_utf8(output).unwrap()
}

fn path(text: impl Into<Vec<u8>>) -> TreePath {
    TreePath::new(text).unwrap()
}

fn entry<F>(mode: u16, node: Node<F>) -> Entry<F> {
    Entry { mode, uid: 0, gid: 0, mtime: MTIME, xattrs: BTreeMap::new(), node }
}

/// Everything that is hard: odd names, links of each length, attributes, owners, large directories.
fn hard_tree(place: &Place) -> Tree {
    let mut tree = Tree::new();
    let mut add = |at: TreePath, entry: Entry<StoreFile>| assert!(tree.insert(at, entry).is_none());
    for size in [0_u64, 1, 4095, 4096, 4097, 200_000] {
        let name = format!("f{size}");
        add(path(format!("files/{name}")), entry(0o644, place.file(&name, size)));
    }
    add(path("files/again"), entry(0, Node::HardLink(path("files/f4097"))));
    add(path("a-link-before-its-file"), entry(0, Node::HardLink(path("files/f4097"))));
    let mut program = entry(0o4755, place.file("program", 10_000));
    (program.uid, program.gid, program.mtime) = (70_000, 80_000, 5_000_000_000);
    let capability = b"\x01\0\0\x02\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0".to_vec();
    program.xattrs.insert(b"security.capability".to_vec(), capability);
    add(path("program"), program);
    let mut noted = entry(0o600, place.file("noted", 3));
    noted.xattrs.insert(b"user.long".to_vec(), vec![b'x'; 3000]);
    noted.xattrs.insert(b"user.a".to_vec(), Vec::new());
    noted.xattrs.insert(b"trusted.b".to_vec(), b"odd".to_vec());
    add(path("noted"), noted);
    for length in [1, 59, 60, 4095] {
        let target = Node::Symlink(vec![b't'; length]);
        add(path(format!("links/l{length}")), entry(0o777, target));
    }
    add(path("pipe"), entry(0o620, Node::Fifo));
    add(path(b"odd/\xff\xfe bytes".to_vec()), entry(0o644, place.file("odd", 7)));
    add(path("odd/-before-the-dots"), entry(0o644, place.file("odd2", 7)));
    add(path("odd").join(&path("n".repeat(255))), entry(0o644, place.file("odd3", 7)));
    add(path("empty"), entry(0o1777, Node::Directory));
    for index in 0..3000 {
        let link = Node::Symlink(b"../files/f1".to_vec());
        add(path(format!("store/{index:032}-package-{index}")), entry(0o777, link));
    }
    for index in 0..MANY_LONG_NAMES {
        let name = format!("many/{index}-{}", "m".repeat(200));
        add(path(name), entry(0o600, Node::Fifo));
    }
    inodes::complete(&mut tree, MTIME);
    tree
}

fn ext4_parameters(size: u64) -> ext4::Parameters {
    ext4::Parameters {
        uuid: *b"nexus-host tests",
        hash_seed: *b"0123456789abcdef",
        label: "nexus-root".to_owned(),
        size,
        epoch: MTIME,
    }
}

fn write_ext4(place: &Place, tree: &ImageTree, size: u64) -> PathBuf {
    place.write("root.ext4", &ext4::layout(tree, &ext4_parameters(size)).unwrap())
}

#[track_caller]
fn check_with_e2fsck(place: &Place, image: &Path) {
    run(place, &["e2fsck".as_ref(), "-f".as_ref(), "-n".as_ref(), image.as_os_str()]);
}

#[test]
fn ext4_is_clean_and_holds_what_was_put_in() {
    let place = Place::new();
    let tree = image_tree(hard_tree(&place));
    let image = write_ext4(&place, &tree, ext4::size_for(&tree, 8 * MIB).unwrap());
    check_with_e2fsck(&place, &image);
    let out = place.at("out");
    fs::create_dir(&out).unwrap();
    let dump = format!("rdump /files /links /odd {}", out.display());
    run(&place, &["debugfs".as_ref(), "-R".as_ref(), dump.as_ref(), image.as_os_str()]);
    compare_contents(&place, &tree, &out, &["files", "links", "odd"]);
    mounted(&image, "ext4", |root| compare_everything(&place, &tree, root));
}

#[test]
fn ext4_of_every_size_is_clean() {
    let place = Place::new();
    let mut tree = Tree::new();
    // Longer than four extents between the copies of the superblock.
    tree.insert(path("hole"), entry(0o644, place.hole("hole", 700 * MIB)));
    inodes::complete(&mut tree, MTIME);
    let with_file = image_tree(tree);
    let empty = {
        let mut tree = ImageTree::new();
        inodes::complete(&mut tree, MTIME);
        tree
    };
    let group = 128 * MIB;
    for size in [16 * MIB, group, group + MIB, 16 * group + 3 * MIB, 70 * group, 1024 * group] {
        check_with_e2fsck(&place, &write_ext4(&place, &empty, size));
    }
    for size in [ext4::size_for(&with_file, 0).unwrap(), 3 * 1024 * MIB] {
        check_with_e2fsck(&place, &write_ext4(&place, &with_file, size));
    }
}

#[test]
fn e2fsprogs_can_grow_and_check_ext4() {
    let place = Place::new();
    let tree = image_tree(hard_tree(&place));
    let image = write_ext4(&place, &tree, 256 * MIB);
    let file = fs::File::options().write(true).open(&image).unwrap();
    file.set_len(20 << 30).unwrap();
    run(&place, &["resize2fs".as_ref(), image.as_os_str()]);
    check_with_e2fsck(&place, &image);
    // The copy of the superblock in the second group is as good as the first.
    let copy = tool("e2fsck").sees(place.directory.path()).arg("-f").arg("-n");
    let output = copy.args(["-b", "32768", "-B", "4096"]).arg(&image).output();
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(said.contains("Pass 1") && !said.contains("bad magic"), "{said}");
}

#[test]
fn erofs_is_clean_and_shows_the_store_through_overlayfs() {
    let place = Place::new();
    let tree = hard_tree(&place);
    let image = place.at("usr.erofs");
    write_atomic(&image, &erofs::write(&tree).unwrap()).unwrap();
    run(&place, &["fsck.erofs".as_ref(), image.as_os_str()]);
    let tree = image_tree(tree);
    mounted(&image, "erofs", |names| {
        let target = place.at("overlay");
        fs::create_dir(&target).unwrap();
        let lower = format!(
            "metacopy=on,redirect_dir=on,lowerdir={}::{}",
            names.display(),
            place.at("store").display()
        );
        let words = ["mount", "-t", "overlay", "overlay", "-o", &lower, "-r"].map(OsStr::new);
        as_root(&[&words[..], &[target.as_os_str()]].concat());
        compare_everything(&place, &tree, &target);
        as_root(&["umount".as_ref(), target.as_os_str()]);
    });
}

#[test]
fn fat_is_clean_and_holds_what_was_put_in() {
    let place = Place::new();
    let mut tree = ImageTree::new();
    let mut add = |at: &str, bytes: Vec<u8>| {
        tree.insert(path(at), entry(0o644, Node::File(Source::Bytes(bytes))));
    };
    add("EFI/BOOT/BOOTX64.EFI", vec![1; 100_000]);
    add("loader/entries/nexus-1+3.conf", b"title one\n".to_vec());
    add("empty.txt", Vec::new());
    for index in 0..600 {
        add(&format!("many files/Generation {index} of this host.conf"), vec![2; index]);
    }
    add("ÄÖ-ünïcode-名前.txt", b"names".to_vec());
    inodes::complete(&mut tree, MTIME);
    for size in [64 * MIB, 128 * MIB, 1024 * MIB] {
        let parameters = fat::Parameters { size, label: *b"NEXUS-ESP  ", volume_id: 0x1234_5678 };
        let image = place.write("esp.fat", &fat::layout(&tree, &parameters).unwrap());
        run(&place, &["fsck.vfat".as_ref(), "-n".as_ref(), "-V".as_ref(), image.as_os_str()]);
        let out = place.at(&format!("out{size}"));
        fs::create_dir(&out).unwrap();
        let words = ["mcopy", "-s", "-n", "-i"].map(OsStr::new);
        run(&place, &[&words[..], &[image.as_os_str(), "::/".as_ref(), out.as_os_str()]].concat());
        let copied = out.read_dir().unwrap().next().unwrap().unwrap().path();
        let out = if copied.join("EFI").exists() { copied } else { out };
        let plain = ["EFI", "loader", "empty.txt", "many files"];
        compare_contents(&place, &tree, &out, &plain);
    }
}

/// GRUB's boot.img and a core.img of the real grub-mkimage.
fn real_grub(place: &Place) -> (Vec<u8>, Vec<u8>) {
    let core = place.at("core.img");
    run(place, &grub::mkimage_command(&core));
    let boot = tool_file(&format!("{}/boot.img", grub::DIRECTORY));
    (fs::read(boot).unwrap(), fs::read(core).unwrap())
}

#[test]
fn a_disk_has_a_good_table_and_good_file_systems() {
    let place = Place::new();
    let root = image_tree(hard_tree(&place));
    let mut esp = ImageTree::new();
    let kernel = Node::File(Source::Bytes(vec![3; 12_000_000]));
    esp.insert(path("nexus/linux"), entry(0o644, kernel));
    inodes::complete(&mut esp, MTIME);
    let plan = DiskPlan::parse(include_str!("../../images/default.toml")).unwrap();
    let (boot, core) = real_grub(&place);
    let contents =
        DiskContents { host: "vps1", epoch: MTIME, grub: (&boot, &core), esp: &esp, root: &root };
    let layout = disk::layout(&plan, &contents).unwrap();
    let raw = place.write("disk.raw", &layout);
    let said = run(&place, &["sgdisk".as_ref(), "-v".as_ref(), raw.as_os_str()]);
    assert!(said.contains("No problems found"), "{said}");
    let said = run(&place, &["sgdisk".as_ref(), "-p".as_ref(), raw.as_os_str()]);
    for name in ["EF02  nexus-bios", "EF00  nexus-esp", "8304  nexus-root"] {
        assert!(said.contains(name), "{said}");
    }
    let qcow2 = place.write("disk.qcow2", &qcow2::wrap(&layout));
    run(&place, &["qemu-img".as_ref(), "check".as_ref(), qcow2.as_os_str()]);
    run(&place, &["qemu-img".as_ref(), "compare".as_ref(), raw.as_os_str(), qcow2.as_os_str()]);
    let smaller = fs::metadata(&qcow2).unwrap().len();
    assert!(smaller < layout.data_bytes() + 32 * MIB, "{smaller} bytes");
    let root_start = (2 + 128) * MIB;
    let root_bytes = layout.size - root_start - MIB;
    check_with_e2fsck(&place, &cut(&place, &raw, "part.ext4", root_start..root_start + root_bytes));
    let esp = cut(&place, &raw, "part.fat", 2 * MIB..root_start);
    run(&place, &["fsck.vfat".as_ref(), "-n".as_ref(), esp.as_os_str()]);
}

#[test]
fn equal_trees_give_equal_images() {
    let (one, other) = (Place::new(), Place::new());
    let image = |place: &Place| {
        let tree = image_tree(hard_tree(place));
        fs::read(write_ext4(place, &tree, 256 * MIB)).unwrap()
    };
    assert!(image(&one) == image(&other), "the same tree gave other bytes");
}

/// A part of a disk as a file of its own.
fn cut(place: &Place, disk: &Path, name: &str, range: std::ops::Range<u64>) -> PathBuf {
    use std::os::unix::fs::FileExt as _;
    let (disk, target) = (fs::File::open(disk).unwrap(), place.at(name));
    let part = fs::File::create(&target).unwrap();
    part.set_len(range.end - range.start).unwrap();
    let mut buffer = vec![0; 1 << 20];
    for offset in range.clone().step_by(buffer.len()) {
        disk.read_exact_at(&mut buffer, offset).unwrap();
        if buffer.iter().any(|byte| *byte != 0) {
            part.write_all_at(&buffer, offset - range.start).unwrap();
        }
    }
    target
}

/// Mounts `image` and looks at it, when this process is root of the machine; else says that it did not.
fn mounted(image: &Path, kind: &str, look: impl FnOnce(&Path)) {
    if !is_machine_root() {
        skipped(&format!("the {kind} image is not mounted: only root may"));
        return;
    }
    let target = image.with_extension("mounted");
    fs::create_dir(&target).unwrap();
    let words = ["mount", "-o", "loop,ro", "-t", kind].map(OsStr::new);
    as_root(&[&words[..], &[image.as_os_str(), target.as_os_str()]].concat());
    let looked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| look(&target)));
    as_root(&["umount".as_ref(), "-R".as_ref(), target.as_os_str()]);
    looked.unwrap();
}

/// Runs a program of the machine: a sandbox has no loop devices.
#[track_caller]
fn as_root(words: &[&OsStr]) {
    let mut command = plain_command(words[0]);
    command.args(&words[1..]);
    Ran::of(command).expect(0);
}

fn expected_bytes(place: &Place, source: &Source) -> Vec<u8> {
    match source {
        Source::Bytes(bytes) => bytes.clone(),
        Source::Store(file) => {
            let real = place.at("store").join(file.path.as_str()).join(file.inner.to_path());
            fs::read(real).unwrap()
        }
    }
}

/// Compares files and links below `tops` with a copy made by a tool that knows no owners.
fn compare_contents(place: &Place, tree: &ImageTree, out: &Path, tops: &[&str]) {
    let below = |at: &TreePath| tops.iter().any(|top| at.strip_prefix(&path(*top)).is_some());
    let mut compared = 0;
    for (at, entry) in tree.iter().filter(|(at, _)| below(at)) {
        let real = out.join(at.to_path());
        match &entry.node {
            Node::File(source) => {
                let found = fs::read(&real).unwrap_or_else(|error| panic!("{at}: {error}"));
                assert!(found == expected_bytes(place, source), "{at}");
            }
            Node::Symlink(target) => {
                assert_eq!(fs::read_link(&real).unwrap().as_os_str().as_bytes(), target, "{at}");
            }
            _ => continue,
        }
        compared += 1;
    }
    assert!(compared > 0, "nothing was compared");
}

/// Compares every name and every attribute with what the kernel shows below `root`.
fn compare_everything(place: &Place, tree: &ImageTree, root: &Path) {
    for (at, named) in tree {
        let (first, entry) = match &named.node {
            Node::HardLink(first) => (first, &tree[first]),
            _ => (at, named),
        };
        let real = root.join(at.to_path());
        let found = fs::symlink_metadata(&real).unwrap_or_else(|error| panic!("{at}: {error}"));
        let of_kind = match &entry.node {
            Node::Directory => found.is_dir(),
            Node::File(source) => {
                found.is_file() && fs::read(&real).unwrap() == expected_bytes(place, source)
            }
            Node::Symlink(target) => {
                found.is_symlink() && fs::read_link(&real).unwrap().as_os_str().as_bytes() == target
            }
            Node::Fifo => found.mode() & 0o170_000 == 0o010_000,
            Node::HardLink(_) => unreachable!("hard links lead to files"),
        };
        assert!(of_kind, "{at}");
        let facts = (found.mode() & 0o7777, found.uid(), found.gid(), found.mtime());
        let mtime = i64::try_from(entry.mtime).unwrap();
        assert_eq!(facts, (u32::from(entry.mode), entry.uid, entry.gid, mtime), "{at}");
        for (name, value) in &entry.xattrs {
            let mut buffer = vec![0; 65536];
            let length = rustix::fs::lgetxattr(&real, &name[..], &mut buffer[..]).unwrap();
            assert_eq!(&buffer[..length], value, "{at}");
        }
        let same = fs::symlink_metadata(root.join(first.to_path())).unwrap();
        assert_eq!(same.ino(), found.ino(), "{at} and {first}");
    }
    let listed = fs::read_dir(root.join("many")).unwrap().count();
    assert_eq!(listed, MANY_LONG_NAMES, "names that were not put in");
}
