//! Packages unpacked by us and by dpkg-deb are the same trees.
//!
//! The mirror is found through `NEXUS_HOST_DEBIAN_MIRROR` or apt's sources.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

pub(crate) mod mirror;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::fs::{self, File, Permissions};
use std::io::Write as _;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use nexus_host::debian::deb::Limits;
use nexus_host::exec::environment::Environment;
use nexus_host::exec::unpack::unpack_deb;
use nexus_host::store::Sha256Digest;
use nexus_host::tree::{Manifest, Node, TreePath};

use crate::identity::kept_directory;
use crate::toolbox::tool;

/// Small packages that between them have setuid files, capabilities' candidates, hard links, many
/// links, all maintainer scripts, the merged-/usr links and the dynamic linker.
const REAL_PACKAGES: [&str; 9] = [
    "base-files",
    "coreutils",
    "dbus-daemon",
    "dbus-system-bus-common",
    "libc6",
    "openssh-client",
    "perl-base",
    "sudo",
    "systemd",
];

/// What is at a path, by one of the ways to look.
#[derive(Debug, PartialEq, Eq)]
enum Found {
    Directory,
    File(Vec<u8>),
    Symlink(Vec<u8>),
    Fifo,
}

/// What tar says about an entry; hard links have what their file has.
#[derive(Debug, PartialEq, Eq)]
struct Attributes {
    mode: u32,
    uid: u64,
    gid: u64,
    mtime: u64,
}

#[test]
fn real_packages_unpack_as_with_dpkg_deb() {
    let environment = Environment::of_process().unwrap();
    for package in mirror::fetch(&environment, &kept_directory(), &REAL_PACKAGES) {
        compare(&package);
    }
}

#[test]
fn a_package_with_everything_unpacks_as_with_dpkg_deb() {
    let scratch = tempfile::tempdir().unwrap();
    let source = scratch.path().join("source");
    make_source(&source);
    for compression in ["none", "gzip", "xz", "zstd"] {
        let package = scratch.path().join(format!("{compression}.deb"));
        let option = format!("-Z{compression}");
        let options = ["--build", "--root-owner-group", "--uniform-compression", &option];
        let paths = [source.as_os_str(), package.as_os_str()];
        dpkg_deb(&[&options.map(OsStr::new)[..], &paths].concat());
        compare(&package);
    }
}

#[test]
fn paths_are_merged_into_usr() {
    let scratch = tempfile::tempdir().unwrap();
    let source = scratch.path().join("source");
    make_source(&source);
    let package = scratch.path().join("merged.deb");
    let options = ["--build", "--root-owner-group"].map(OsStr::new);
    dpkg_deb(&[&options[..], &[source.as_os_str(), package.as_os_str()]].concat());
    let (into, manifest) = unpack(&package);
    let data = into.path().join("data");
    assert!(!data.join("lib").exists() && !data.join("bin").exists());
    assert!(data.join("usr/lib/modules/file").is_file());
    let entry = &manifest.entries[&TreePath::new("usr/bin/tool").unwrap()];
    assert_eq!(entry.mode, 0o4755);
    // The first name in byte order is in the moved directory.
    let link = &manifest.entries[&TreePath::new("usr/share/hard").unwrap()];
    assert_eq!(link.node, Node::HardLink(TreePath::new("usr/bin/hard").unwrap()));
}

/// A package's files with every kind of name, link and mode.
fn make_source(source: &Path) {
    let file = |name: &OsStr, mode, contents: &[u8]| {
        let path = source.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        File::create(&path).unwrap().write_all(contents).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
    };
    let text = |name: &str, mode, contents: &[u8]| file(OsStr::new(name), mode, contents);
    text("DEBIAN/control", 0o644, CONTROL.as_bytes());
    text("DEBIAN/postinst", 0o755, b"#!/bin/sh\nexit 0\n");
    text("usr/share/empty", 0o644, b"");
    text("usr/share/read-only", 0o444, b"x");
    text("usr/share/private", 0o400, b"secret");
    text("usr/share/with space and %", 0o640, b"x\n");
    let noise: Vec<u8> =
        (0_u32..700_000).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    text("usr/share/large", 0o644, &noise);
    text(&format!("usr/share/{}/{}", "d".repeat(120), "f".repeat(200)), 0o644, b"long");
    file(&OsString::from_vec(b"usr/share/\xff\xfe\x01".to_vec()), 0o644, b"not UTF-8");
    text("bin/tool", 0o4755, b"#!/bin/sh\n");
    text("lib/modules/file", 0o644, b"module");
    text("bin/hard", 0o755, b"linked");
    fs::hard_link(source.join("bin/hard"), source.join("usr/share/hard")).unwrap();
    fs::hard_link(source.join("bin/hard"), source.join("usr/share/hard too")).unwrap();
    symlink("../nowhere", source.join("usr/share/dangling")).unwrap();
    symlink("/etc/passwd", source.join("usr/share/absolute")).unwrap();
    symlink("é".repeat(150), source.join("usr/share/long-target")).unwrap();
    fs::create_dir_all(source.join("var/tmp")).unwrap();
    fs::set_permissions(source.join("var/tmp"), Permissions::from_mode(0o1777)).unwrap();
    let pipe = source.join("usr/share/pipe");
    rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::from(0o600)).unwrap();
}

const CONTROL: &str = "\
Package: everything
Version: 1
Architecture: all
Maintainer: Nobody <nobody@example.org>
Description: every kind of file
";

fn unpack(package: &Path) -> (tempfile::TempDir, Manifest) {
    let into = tempfile::tempdir().unwrap();
    let sha256 = Sha256Digest::of(&fs::read(package).unwrap());
    let unpacked = unpack_deb(package, &sha256, into.path(), &Limits::default()).unwrap();
    let text = fs::read(into.path().join("manifest")).unwrap();
    assert_eq!(Manifest::parse(&text).unwrap(), unpacked.manifest);
    (into, unpacked.manifest)
}

/// Unpacks in both ways and compares names, kinds, targets, contents, modes, owners, times.
#[track_caller]
fn compare(package: &Path) {
    let theirs = tempfile::tempdir().unwrap();
    let (their_data, their_control) = (theirs.path().join("data"), theirs.path().join("control"));
    dpkg_deb(&[OsStr::new("--extract"), package.as_os_str(), their_data.as_os_str()]);
    dpkg_deb(&[OsStr::new("--control"), package.as_os_str(), their_control.as_os_str()]);
    let (ours, manifest) = unpack(package);

    let name = package.display();
    let (our_control, our_data) = (ours.path().join("control"), ours.path().join("data"));
    assert_same(&format!("{name}, control"), &walk(&our_control), &walk(&their_control));
    let merged = walk(&their_data).into_iter().map(|(path, found)| {
        let is_link = matches!(found, Found::Symlink(_));
        (merge(path, is_link), found)
    });
    let theirs: BTreeMap<_, _> = merged.collect();
    let on_disk = theirs.iter().filter(|(_, found)| **found != Found::Fifo);
    let our_files = walk(&our_data);
    assert!(our_files.keys().eq(on_disk.map(|(path, _)| path)), "{name}: other names");
    assert!(our_files.iter().all(|(path, found)| theirs[path] == *found), "{name}: other contents");
    assert_same(&format!("{name}, manifest"), &kinds(&manifest, &our_files), &theirs);
    assert_same(&format!("{name}, attributes"), &attributes(&manifest), &tar_attributes(package));
    check_disk(ours.path(), &manifest);
}

#[track_caller]
fn assert_same<T: PartialEq>(
    what: &str,
    ours: &BTreeMap<Vec<u8>, T>,
    theirs: &BTreeMap<Vec<u8>, T>,
) {
    let paths = ours.keys().chain(theirs.keys());
    let differing = paths.filter(|path| ours.get(*path) != theirs.get(*path));
    let shown = differing.map(|path| String::from_utf8_lossy(path).into_owned());
    let shown: Vec<_> = shown.collect();
    assert!(shown.is_empty(), "{what}: {shown:?} differ");
}

/// Where merged-/usr puts a path; the links of the root stay.
fn merge(path: Vec<u8>, is_link: bool) -> Vec<u8> {
    let tops = [&b"bin"[..], b"sbin", b"lib", b"lib64"];
    let top = path.split(|&c| c == b'/').next().unwrap_or_default();
    let stays = !tops.contains(&top) || (is_link && top.len() == path.len());
    if stays { path } else { [b"usr/", &path[..]].concat() }
}

/// Everything below `root`, by path.
fn walk(root: &Path) -> BTreeMap<Vec<u8>, Found> {
    let mut found = BTreeMap::new();
    let mut waiting = vec![root.to_owned()];
    while let Some(directory) = waiting.pop() {
        for entry in fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            let kind = path.symlink_metadata().unwrap().file_type();
            let here = if kind.is_dir() {
                waiting.push(path.clone());
                Found::Directory
            } else if kind.is_symlink() {
                Found::Symlink(fs::read_link(&path).unwrap().into_os_string().into_vec())
            } else if kind.is_file() {
                Found::File(fs::read(&path).unwrap())
            } else {
                Found::Fifo
            };
            found.insert(path.strip_prefix(root).unwrap().as_os_str().as_bytes().to_vec(), here);
        }
    }
    found
}

/// What the manifest says, with the contents that lie beside it.
fn kinds(manifest: &Manifest, files: &BTreeMap<Vec<u8>, Found>) -> BTreeMap<Vec<u8>, Found> {
    let contents = |path: &TreePath| match &files[path.as_bytes()] {
        Found::File(bytes) => bytes.clone(),
        other => panic!("{path} is {other:?} on disk"),
    };
    let mut found = BTreeMap::new();
    for (path, entry) in manifest.entries.iter().filter(|(path, _)| !path.is_root()) {
        let here = match &entry.node {
            Node::Directory => Found::Directory,
            Node::Symlink(target) => Found::Symlink(target.clone()),
            Node::Fifo => Found::Fifo,
            Node::HardLink(first) => Found::File(contents(first)),
            Node::File(file) => {
                let bytes = contents(path);
                assert_eq!(bytes.len() as u64, file.size, "{path}");
                Found::File(bytes)
            }
        };
        found.insert(path.as_bytes().to_vec(), here);
    }
    found
}

fn attributes(manifest: &Manifest) -> BTreeMap<Vec<u8>, Attributes> {
    let of = |entry: &nexus_host::tree::Entry<_>| Attributes {
        mode: entry.mode.into(),
        uid: entry.uid.into(),
        gid: entry.gid.into(),
        mtime: entry.mtime,
    };
    manifest.entries.iter().map(|(path, entry)| (path.as_bytes().to_vec(), of(entry))).collect()
}

/// The attributes in the archive, by the `tar` crate.
fn tar_attributes(package: &Path) -> BTreeMap<Vec<u8>, Attributes> {
    let bytes = dpkg_deb(&[OsStr::new("--fsys-tarfile"), package.as_os_str()]);
    let mut archive = tar::Archive::new(&bytes[..]);
    let mut found = BTreeMap::new();
    for entry in archive.entries().unwrap() {
        let entry = entry.unwrap();
        let header = entry.header();
        let name = entry.path_bytes();
        let name = name.strip_prefix(b"./").unwrap_or(&name);
        let name = name.strip_suffix(b"/").unwrap_or(name).to_vec();
        let attributes = Attributes {
            mode: header.mode().unwrap() & 0o7777,
            uid: header.uid().unwrap(),
            gid: header.gid().unwrap(),
            mtime: header.mtime().unwrap(),
        };
        found.insert(merge(name, header.entry_type().is_symlink()), attributes);
    }
    found
}

/// Modes and times on disk are those that the store wants; hard links share an inode.
fn check_disk(root: &Path, manifest: &Manifest) {
    let data = root.join("data");
    for (path, entry) in &manifest.entries {
        let on_disk = data.join(path.to_path());
        let Ok(found) = on_disk.symlink_metadata() else {
            assert_eq!(entry.node, Node::Fifo, "{path}");
            continue;
        };
        let expected = match &entry.node {
            Node::Directory => u32::from(entry.mode) & 0o777 | 0o700,
            Node::Symlink(_) => 0o777,
            _ => u32::from(entry.mode) & 0o777 | 0o400,
        };
        assert_eq!(found.mode() & 0o7777, expected, "{path}");
        if let Node::HardLink(first) = &entry.node {
            let first = data.join(first.to_path()).symlink_metadata().unwrap();
            assert_eq!(found.ino(), first.ino(), "{path}");
        }
    }
    let mut paths = vec![PathBuf::new()];
    paths.extend(walk(root).into_keys().map(|path| PathBuf::from(OsString::from_vec(path))));
    for path in paths {
        let found = root.join(&path).symlink_metadata().unwrap();
        assert_eq!((found.mtime(), found.mtime_nsec()), (1, 0), "{}", path.display());
    }
}

/// Runs dpkg-deb and gives what it printed; it sees the directories of what it is given.
#[track_caller]
fn dpkg_deb(arguments: &[&OsStr]) -> Vec<u8> {
    let directory = |word: &&OsStr| Some(Path::new(word).parent()?.to_owned());
    let paths = arguments.iter().filter(|word| word.as_bytes().starts_with(b"/"));
    let directories: BTreeSet<PathBuf> = paths.filter_map(directory).collect();
    let dpkg = tool("dpkg-deb").args(arguments);
    directories.iter().fold(dpkg, |dpkg, directory| dpkg.sees(directory)).run()
}
