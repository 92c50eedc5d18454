//! Tests on the disk: what was packed comes out, and nothing anywhere else.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;

use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::*;
use crate::debian::deb::Sink as _;
use crate::debian::deb::testing::{Style, TestEntry, deb, seal, tar};
use crate::exec::files::write_atomic;
use crate::tree::shape::complete_parents;
use crate::tree::{Entry, FileBeside, Node, TreePath};

/// A directory with a place to unpack into and files around it that must stay as they are.
struct Scratch(tempfile::TempDir);

/// Path, inode, size, time, contents of what lies around.
type Around = Vec<(PathBuf, u64, u64, i64, Vec<u8>)>;

impl Scratch {
    fn new() -> Self {
        let scratch = Self(tempfile::tempdir().unwrap());
        fs::create_dir(scratch.target()).unwrap();
        fs::create_dir_all(scratch.0.path().join("beside/deeper")).unwrap();
        write_atomic(&scratch.0.path().join("beside/file"), b"untouched").unwrap();
        scratch
    }

    fn target(&self) -> PathBuf {
        self.0.path().join("into")
    }

    /// Unpacks and checks that nothing around has changed.
    #[track_caller]
    fn unpack(&self, package: &[u8]) -> Result<Unpacked, String> {
        let file = self.0.path().join("package.deb");
        write_atomic(&file, package).unwrap();
        let before = self.around();
        let result =
            unpack_deb(&file, &Sha256Digest::of(package), &self.target(), &Limits::default());
        assert_eq!(self.around(), before);
        result.map_err(|error| {
            let chain =
                std::iter::successors(Some(&error as &dyn std::error::Error), |e| e.source());
            let text = chain.map(ToString::to_string).collect::<Vec<_>>().join("\n  caused by: ");
            text.replace(self.0.path().to_str().unwrap(), "SCRATCH")
        })
    }

    fn around(&self) -> Around {
        let inside = self.target();
        let all = walk(self.0.path());
        let outside = all.into_iter().filter(|path| !path.starts_with(&inside));
        let look = |path: PathBuf| {
            let found = path.symlink_metadata().unwrap();
            let contents = if found.is_file() { fs::read(&path).unwrap() } else { Vec::new() };
            (path, found.ino(), found.len(), found.mtime(), contents)
        };
        outside.map(look).collect()
    }
}

/// Every path below a directory, sorted.
fn walk(root: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut waiting = vec![root.to_owned()];
    while let Some(directory) = waiting.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.symlink_metadata().unwrap().is_dir() {
                waiting.push(path.clone());
            }
            found.push(path);
        }
    }
    found.sort();
    found
}

#[track_caller]
fn check_refused(entries: &[TestEntry], expected: &Expect) {
    let scratch = Scratch::new();
    let result = scratch.unpack(&deb(&tar(entries, Style::Gnu), ""));
    expected.assert_eq(&result.unwrap_err());
}

#[test]
fn the_layout_is_that_of_a_package_in_the_store() {
    let scratch = Scratch::new();
    let entries = [
        TestEntry { mode: 0o4555, ..TestEntry::file("./bin/a", "four") },
        TestEntry::hard_link("./usr/b", "bin/a"),
        TestEntry { mode: 0o500, ..TestEntry::directory("./usr/empty") },
        TestEntry::symlink("./usr/s", "/nowhere"),
        TestEntry::new(b'6', "./pipe"),
    ];
    let unpacked = scratch.unpack(&deb(&tar(&entries, Style::Gnu), ".xz")).unwrap();
    let line = |path: PathBuf| {
        let found = path.symlink_metadata().unwrap();
        assert_eq!((found.mtime(), found.mtime_nsec()), (1, 0), "{}", path.display());
        let path = path.strip_prefix(scratch.target()).unwrap().display().to_string();
        format!("{:06o} {} {path}\n", found.mode(), if found.is_dir() { 0 } else { found.nlink() })
    };
    let lines: String = walk(&scratch.target()).into_iter().map(line).collect();
    expect![[r"
        040755 0 control
        100644 1 control/control
        100755 1 control/postinst
        040755 0 data
        040755 0 data/usr
        100555 2 data/usr/b
        040755 0 data/usr/bin
        100555 2 data/usr/bin/a
        040700 0 data/usr/empty
        120777 1 data/usr/s
        100644 1 manifest
    "]]
    .assert_eq(&lines);
    let text = fs::read_to_string(scratch.target().join("manifest")).unwrap();
    assert_eq!(text, unpacked.manifest.to_text());
    expect![[r"
        nexus-manifest 1
        d 0755 0 0 0 .
        p 0644 0 0 7 pipe
        d 0755 0 0 0 usr
        f 4555 0 0 7 4 usr/b
        d 0755 0 0 0 usr/bin
        h usr/b usr/bin/a
        d 0500 0 0 7 usr/empty
        l 0777 0 0 7 /nowhere usr/s
    "]]
    .assert_eq(&text);
    assert_eq!((unpacked.files, unpacked.bytes), (3, 28));
}

#[test]
fn hostile_packages_are_refused_without_a_byte_outside() {
    let file = |name| TestEntry::file(name, "x");
    check_refused(
        &[file("../beside/file")],
        &expect![[r"
        cannot unpack SCRATCH/package.deb
          caused by: `data.tar` has a refused entry `../beside/file`: the name leads out of the package"]],
    );
    check_refused(
        &[file("./../../../beside/new")],
        &expect![[r"
        cannot unpack SCRATCH/package.deb
          caused by: `data.tar` has a refused entry `./../../../beside/new`: the name leads out of the package"]],
    );
    check_refused(
        &[TestEntry::symlink("./up", "../../beside"), file("./up/file")],
        &expect![[r"
        cannot unpack SCRATCH/package.deb
          caused by: `data.tar` has a refused entry `./up/file`: it lies below `up`, which is not a directory"]],
    );
    check_refused(
        &[TestEntry::symlink("./up", "../../beside"), TestEntry::directory("./up/new/")],
        &expect![[r"
            cannot unpack SCRATCH/package.deb
              caused by: `data.tar` has a refused entry `./up/new/`: it lies below `up`, which is not a directory"]],
    );
    check_refused(
        &[TestEntry::symlink("./up", "../../beside/file"), file("./up")],
        &expect![[r"
        cannot unpack SCRATCH/package.deb
          caused by: `data.tar` has a refused entry `./up`: its place `up` is already taken"]],
    );
    check_refused(
        &[TestEntry::symlink("./up", "../.."), TestEntry::hard_link("./a", "./up/beside/file")],
        &expect![[r"
            cannot unpack SCRATCH/package.deb
              caused by: `data.tar` has a refused entry `./a`: it is a hard link to `up/beside/file`, which is not an earlier file of the package"]],
    );
    check_refused(
        &[TestEntry::hard_link("./a", "../../beside/file")],
        &expect![[r"
        cannot unpack SCRATCH/package.deb
          caused by: `data.tar` has a refused entry `./a`: it is a hard link to `../../beside/file`, which leads out of the package"]],
    );
    check_refused(
        &[TestEntry::symlink("./lib", "../../beside"), file("./lib/new")],
        &expect![[r"
            cannot unpack SCRATCH/package.deb
              caused by: `data.tar` has a refused entry `./lib`: it is neither a directory nor a link to `usr/lib`"]],
    );
}

#[test]
fn the_kernel_refuses_links_on_the_way_too() {
    let scratch = Scratch::new();
    let mut disk = disk::Disk::new(&scratch.target()).unwrap();
    let path = |text: &str| TreePath::new(text).unwrap();
    disk.symlink(&path("up"), b"../../beside").unwrap();
    disk.symlink(&path("target"), b"../../beside/new").unwrap();
    let before = scratch.around();
    assert!(disk.file(&path("up/new"), 0o644, 0).is_err());
    assert!(disk.file(&path("up/deeper/new"), 0o644, 0).is_err());
    assert!(disk.directory(&path("up/new")).is_err());
    assert!(disk.symlink(&path("up/new"), b"x").is_err());
    assert!(disk.hard_link(&path("new"), &path("up/file")).is_err());
    assert!(disk.file(&path("target"), 0o644, 0).is_err());
    assert_eq!(scratch.around(), before);
}

#[test]
fn only_an_empty_directory_is_taken() {
    let scratch = Scratch::new();
    let package = deb(&tar(&[], Style::Gnu), "");
    scratch.unpack(&package).unwrap();
    expect!["SCRATCH/into is not empty"].assert_eq(&scratch.unpack(&package).unwrap_err());
    fs::remove_dir_all(scratch.target()).unwrap();
    expect![[r"
        cannot open SCRATCH/into
          caused by: No such file or directory (os error 2)"]]
    .assert_eq(&scratch.unpack(&package).unwrap_err());
    let sha256 = Sha256Digest::of(b"");
    let nowhere = Path::new("/nowhere.deb");
    let missing = unpack_deb(nowhere, &sha256, &scratch.target(), &Limits::default());
    expect!["cannot open /nowhere.deb"].assert_eq(&missing.unwrap_err().to_string());
}

#[test]
fn a_file_with_another_digest_is_no_package_whatever_it_holds() {
    let scratch = Scratch::new();
    let file = scratch.0.path().join("package.deb");
    let mut package = deb(&tar(&[], Style::Gnu), "");
    let sha256 = Sha256Digest::of(&package);
    *package.last_mut().unwrap() ^= 1;
    write_atomic(&file, &package).unwrap();
    let error = unpack_deb(&file, &sha256, &scratch.target(), &Limits::default()).unwrap_err();
    assert!(matches!(error, UnpackError::Damaged { .. }), "{error:?}");
}

/// One component, common ones often so that paths meet.
fn names() -> impl Strategy<Value = Vec<u8>> {
    let any_byte = prop_oneof![1_u8..b'.', b'0'..=255];
    prop_oneof!["[a-c]".prop_map(String::into_bytes), proptest::collection::vec(any_byte, 1..120)]
}

fn paths() -> impl Strategy<Value = TreePath> {
    proptest::collection::vec(names(), 1..4)
        .prop_map(|names| TreePath::new(names.join(&b'/')).unwrap())
}

fn entries() -> impl Strategy<Value = TestEntry> {
    let numbers = (0..=0o7777_u16, 0..u32::MAX, 0..u32::MAX, 0..1_u64 << 33);
    let contents = proptest::collection::vec(any::<u8>(), 0..2000);
    let xattrs = proptest::collection::btree_map(
        "user\\.[a-z]{1,5}".prop_map(String::into_bytes),
        proptest::collection::vec(any::<u8>(), 0..5),
        0..2,
    );
    let kind = prop_oneof![4 => Just(b'0'), 2 => Just(b'2'), 2 => Just(b'5'), 1 => Just(b'6')];
    (kind, numbers, contents, names(), xattrs).prop_map(
        |(kind, (mode, uid, gid, mtime), contents, link, xattrs)| TestEntry {
            kind,
            name: Vec::new(),
            link: if kind == b'2' { link } else { Vec::new() },
            contents: if kind == b'0' { contents } else { Vec::new() },
            mode,
            uid,
            gid,
            mtime,
            xattrs,
        },
    )
}

/// A package's entries by path, nothing below a non-directory, and further names of some files.
#[derive(Debug, Clone)]
struct Sample {
    entries: BTreeMap<TreePath, TestEntry>,
    links: BTreeMap<TreePath, TreePath>,
}

prop_compose! {
    fn samples()(
        found in proptest::collection::btree_map(paths(), entries(), 0..14),
        links in proptest::collection::vec((paths(), any::<prop::sample::Index>()), 0..4),
    ) -> Sample {
        let mut sample = Sample { entries: BTreeMap::new(), links: BTreeMap::new() };
        for (path, entry) in found {
            if sample.has_room(&path) {
                sample.entries.insert(path, entry);
            }
        }
        let is_file = |(path, entry): (&TreePath, &TestEntry)| (entry.kind == b'0').then(|| path.clone());
        let files: Vec<_> = sample.entries.iter().filter_map(is_file).collect();
        for (path, index) in links {
            if !files.is_empty() && sample.has_room(&path) {
                sample.links.insert(path, index.get(&files).clone());
            }
        }
        sample
    }
}

impl Sample {
    /// Whether an entry at `path` would have directories above and nothing at or below it.
    fn has_room(&self, path: &TreePath) -> bool {
        let above = std::iter::successors(path.parent(), TreePath::parent);
        let directories = above.into_iter().all(|parent| {
            self.entries.get(&parent).is_none_or(|entry| entry.kind == b'5')
                && !self.links.contains_key(&parent)
        });
        let mut taken = self.entries.keys().chain(self.links.keys());
        directories && taken.all(|other| other.strip_prefix(path).is_none())
    }

    /// The archive: links after all files.
    fn tar(&self, style: Style) -> Vec<u8> {
        let dotted = |path: &TreePath| [b"./", path.as_bytes()].concat();
        let named = |(path, entry): (&TreePath, &TestEntry)| TestEntry {
            name: dotted(path),
            ..entry.clone()
        };
        let link = |(path, first): (&TreePath, &TreePath)| {
            let mut entry = TestEntry::hard_link("", "");
            (entry.name, entry.link) = (dotted(path), dotted(first));
            entry
        };
        let links = self.links.iter().map(link);
        tar(&self.entries.iter().map(named).chain(links).collect::<Vec<_>>(), style)
    }

    /// The manifest that has to come out.
    fn manifest(&self) -> Manifest {
        let mut entries = BTreeMap::new();
        for (path, entry) in &self.entries {
            let node = match entry.kind {
                b'0' => Node::File(FileBeside { size: entry.contents.len() as u64 }),
                b'2' => Node::Symlink(entry.link.clone()),
                b'5' => Node::Directory,
                _ => Node::Fifo,
            };
            let TestEntry { mode, uid, gid, mtime, xattrs, .. } = entry.clone();
            let entry = Entry { mode, uid, gid, mtime, xattrs, node };
            let names = self.links.iter().filter(|(_, first)| *first == path).map(|(link, _)| link);
            let names: BTreeSet<&TreePath> = names.chain([path]).collect();
            let first = *names.first().unwrap();
            for name in names.iter().skip(1) {
                let node = Node::HardLink(first.clone());
                let link = Entry { node, xattrs: BTreeMap::new(), ..entry.clone() };
                entries.insert((*name).clone(), link);
            }
            entries.insert(first.clone(), entry);
        }
        complete_parents(&mut entries).unwrap();
        Manifest { entries, removed: BTreeSet::new() }
    }
}

/// What is on the disk is what the manifest says.
fn check_on_disk(
    data: &Path,
    manifest: &Manifest,
    contents: impl Fn(&TreePath) -> Option<Vec<u8>>,
) {
    let mut on_disk: BTreeSet<PathBuf> = walk(data).into_iter().collect();
    for (path, entry) in manifest.entries.iter().filter(|(path, _)| !path.is_root()) {
        let full = data.join(path.to_path());
        assert_eq!(on_disk.remove(&full), entry.node != Node::Fifo, "{path}");
        match &entry.node {
            Node::Directory => assert!(full.symlink_metadata().unwrap().is_dir()),
            Node::Symlink(target) => {
                assert_eq!(fs::read_link(full).unwrap().as_os_str().as_bytes(), target);
            }
            Node::File(file) => {
                assert_eq!(full.symlink_metadata().unwrap().len(), file.size);
                let expected = contents(path);
                assert!(expected.is_none_or(|expected| fs::read(full).unwrap() == expected));
            }
            Node::HardLink(first) => {
                let first = data.join(first.to_path()).symlink_metadata().unwrap();
                assert_eq!(full.symlink_metadata().unwrap().ino(), first.ino());
            }
            Node::Fifo => {}
        }
    }
    assert!(on_disk.is_empty(), "{on_disk:?} are not in the manifest");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_was_packed_comes_out(sample in samples(), gnu in any::<bool>(), suffix in 0_usize..4) {
        let style = if gnu { Style::Gnu } else { Style::Pax };
        let scratch = Scratch::new();
        let package = deb(&sample.tar(style), ["", ".gz", ".xz", ".zst"][suffix]);
        let unpacked = scratch.unpack(&package).unwrap();
        prop_assert_eq!(unpacked.manifest.to_text(), sample.manifest().to_text());
        let contents = |path: &TreePath| {
            let first = sample.links.get(path).unwrap_or(path);
            Some(sample.entries[first].contents.clone())
        };
        check_on_disk(&scratch.target().join("data"), &unpacked.manifest, contents);
    }

    #[test]
    fn a_changed_archive_stays_inside(
        sample in samples(),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut archive = sample.tar(Style::Pax);
        for (index, byte) in changes {
            let at = index.index(archive.len());
            archive[at] = byte;
            // With a right checksum the change gets further.
            let (blocks, _) = archive.as_chunks_mut();
            let block: &mut [u8; 512] = &mut blocks[at / 512];
            if block[257..262] == *b"ustar" {
                seal(block);
            }
        }
        let scratch = Scratch::new();
        if let Ok(unpacked) = scratch.unpack(&deb(&archive, "")) {
            check_on_disk(&scratch.target().join("data"), &unpacked.manifest, |_| None);
        }
    }

    #[test]
    fn a_changed_package_stays_inside(
        sample in samples(),
        suffix in 0_usize..4,
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut package = deb(&sample.tar(Style::Gnu), ["", ".gz", ".xz", ".zst"][suffix]);
        for (index, byte) in changes {
            let at = index.index(package.len());
            package[at] = byte;
        }
        let scratch = Scratch::new();
        if let Ok(unpacked) = scratch.unpack(&package) {
            check_on_disk(&scratch.target().join("data"), &unpacked.manifest, |_| None);
        }
    }
}
