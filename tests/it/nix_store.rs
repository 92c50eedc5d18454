//! The store against the real Nix: same bytes, same paths, and it accepts what we wrote.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Output;

use nexus_host::exec::interrupt::Interrupt;
use nexus_host::exec::progress::Silent;
use nexus_host::exec::store::{References, Store, ToAdd};
use nexus_host::store::path::{FixedHash, Ingestion};
use nexus_host::store::{Sha256Digest, StoreDir, StorePath, StorePathName};
use sha2::Digest as _;

use crate::toolbox::tool;

/// A directory with Nix's own store in `nix`, ours in `ours`, and a tree in `tree`.
struct Fixture {
    directory: tempfile::TempDir,
}

impl Fixture {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        build_tree(&directory.path().join("tree"));
        Self { directory }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn ours(&self) -> Store {
        Store::open(&self.path("ours")).unwrap()
    }

    /// Runs `nix-store --store STORE …`.
    fn try_nix(&self, store: &str, arguments: &[&str]) -> Output {
        tool("nix-store")
            .env("HOME", self.directory.path())
            .env("NIX_CONF_DIR", self.directory.path())
            .env("NIX_CONFIG", "build-users-group =\nsandbox = false\nsubstituters =")
            .sees(self.directory.path())
            .in_directory(self.directory.path())
            .arg("--store")
            .arg(self.path(store))
            .args(arguments)
            .output()
    }

    #[track_caller]
    fn nix(&self, store: &str, arguments: &[&str]) -> Vec<u8> {
        let output = self.try_nix(store, arguments);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {}\n{errors}", output.status);
        output.stdout
    }

    #[track_caller]
    fn nix_lines(&self, store: &str, arguments: &[&str]) -> Vec<String> {
        let text = String::from_utf8(self.nix(store, arguments)).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    /// Adds a copy of the tree to our store, naming `references`.
    fn add_tree(store: &Store, references: &[&StorePath]) -> StorePath {
        let scratch = store.scratch("test").unwrap();
        let built = scratch.path().join("tree");
        build_tree(&built);
        for (index, path) in references.iter().enumerate() {
            symlink(store.directory().join(path), built.join(format!("link{index}"))).unwrap();
        }
        let candidates = references.iter().map(|&path| path.clone()).collect();
        let references = References::ScanFor(candidates);
        store.add(ToAdd { built, name: name("tree"), references }).unwrap()
    }

    #[track_caller]
    fn assert_nix_accepts(&self, store: &str) {
        self.nix(store, &["--verify", "--check-contents"]);
    }
}

fn name(text: &str) -> StorePathName {
    StorePathName::new(text).unwrap()
}

fn write(path: &Path, bytes: &[u8]) {
    nexus_host::exec::files::write_atomic(path, bytes).unwrap();
}

/// One of everything: names in another order than a locale's, odd bytes, sizes around the padding.
fn build_tree(at: &Path) {
    use std::os::unix::ffi::OsStrExt as _;
    fs::create_dir_all(at.join("sub/empty")).unwrap();
    fs::create_dir_all(at.join("sub.d")).unwrap();
    for size in 0..18 {
        write(&at.join(format!("sub/{size}")), &vec![b'x'; size]);
    }
    write(&at.join("large"), &vec![7; 300_001]);
    write(&at.join("A"), b"capital");
    write(&at.join("_"), b"low line");
    write(&at.join(std::ffi::OsStr::from_bytes(b"caf\xe9\n")), b"latin 1");
    for (file, mode) in [("run", 0o755), ("owner-only", 0o700), ("group-only", 0o610)] {
        write(&at.join(file), b"#!/bin/sh\n");
        fs::set_permissions(at.join(file), fs::Permissions::from_mode(mode)).unwrap();
    }
    symlink("../A", at.join("sub/link")).unwrap();
    symlink("/nowhere/at/all", at.join("dangling")).unwrap();
}

#[test]
fn nars_are_equal_byte_for_byte() {
    let fixture = Fixture::new();
    let store = fixture.ours();
    let path = Fixture::add_tree(&store, &[]);
    let mut ours = Vec::new();
    store.write_nar(&path, &mut ours).unwrap();
    assert!(ours == fixture.nix("nix", &["--dump", "tree"]), "the NARs differ");
    let real = store.real_path(&path);
    assert!(ours == fixture.nix("nix", &["--dump", real.to_str().unwrap()]));
    let info = store.info(&path).unwrap().unwrap();
    assert_eq!((info.nar_hash, info.nar_size), (Sha256Digest::of(&ours), ours.len() as u64));
}

#[test]
fn paths_of_contents_are_equal() {
    let fixture = Fixture::new();
    let store = fixture.ours();
    let tree = Fixture::add_tree(&store, &[]);
    assert_eq!(fixture.nix_lines("nix", &["--add", "tree"]), [store.directory().join(&tree)]);
    write(&fixture.path("file-1.0+b?=_"), b"contents");
    let file = store.add_bytes(&name("file-1.0+b?=_"), b"contents", &References::None).unwrap();
    let nix = fixture.nix_lines("nix", &["--add", "file-1.0+b?=_"]);
    assert_eq!(nix, [store.directory().join(&file)]);
}

#[test]
fn paths_of_fixed_hashes_are_equal() {
    let fixture = Fixture::new();
    write(&fixture.path("file"), b"contents");
    let nar = fixture.nix("nix", &["--dump", "tree"]);
    let sha512 = |bytes: &[u8]| FixedHash::Sha512(sha2::Sha512::digest(bytes).into());
    let sha256 = |bytes: &[u8]| FixedHash::Sha256(Sha256Digest::of(bytes));
    let check = |arguments: &[&str], file: &str, ingestion, hash: &FixedHash| {
        let nix = fixture.nix_lines("nix", &[arguments, &[file]].concat());
        let dir = StoreDir::default();
        assert_eq!(nix, [dir.join(&dir.path_for_fixed(&name(file), ingestion, hash))]);
    };
    let flat = Ingestion::Flat;
    check(&["--add-fixed", "sha256"], "file", flat, &sha256(b"contents"));
    check(&["--add-fixed", "sha512"], "file", flat, &sha512(b"contents"));
    let recursive = Ingestion::Recursive;
    check(&["--add-fixed", "--recursive", "sha256"], "tree", recursive, &sha256(&nar));
    check(&["--add-fixed", "--recursive", "sha512"], "tree", recursive, &sha512(&nar));
}

#[test]
fn nix_accepts_a_store_that_we_wrote() {
    let fixture = Fixture::new();
    let store = fixture.ours();
    let a = store.add_bytes(&name("a"), b"a", &References::None).unwrap();
    let b = Fixture::add_tree(&store, &[&a]);
    let c = Fixture::add_tree(&store, &[&a, &b]);
    fixture.assert_nix_accepts("ours");
    let full = |path: &StorePath| store.directory().join(path);
    let mut expected = [full(&a), full(&b)];
    expected.sort();
    let mut references = fixture.nix_lines("ours", &["-q", "--references", &full(&c)]);
    references.sort();
    assert_eq!(references, expected);
    let requisites = fixture.nix_lines("ours", &["-q", "--requisites", &full(&c)]);
    let closure = store.closure(&[c]).unwrap();
    assert_eq!(requisites, closure.iter().map(full).collect::<Vec<_>>());
    // We go on after Nix was there; and it sees what we break.
    drop(store);
    let store = fixture.ours();
    assert!(store.verify(true, &Silent, &Interrupt::default()).unwrap().is_clean());
    fs::set_permissions(store.real_path(&a), fs::Permissions::from_mode(0o755)).unwrap();
    let output = fixture.try_nix("ours", &["--verify", "--check-contents"]);
    assert!(!output.status.success(), "Nix found nothing wrong with a changed file");
}

#[test]
fn we_accept_a_store_that_nix_wrote() {
    let fixture = Fixture::new();
    let by_nix = fixture.nix_lines("ours", &["--add", "tree"]);
    fixture.nix("ours", &["--add-fixed", "sha256", "tree/A"]);
    let store = fixture.ours();
    let path: StorePath = by_nix[0].strip_prefix("/nix/store/").unwrap().parse().unwrap();
    assert!(store.is_valid(&path).unwrap());
    Fixture::add_tree(&store, &[&path]);
    let report = store.verify(true, &Silent, &Interrupt::default()).unwrap();
    assert!(report.is_clean(), "{report:?}");
    assert_eq!((report.paths, report.unregistered.len()), (3, 0));
    fixture.assert_nix_accepts("ours");
}

#[test]
fn nix_collects_garbage_in_our_store() {
    let fixture = Fixture::new();
    let store = fixture.ours();
    let needed = store.add_bytes(&name("needed"), b"a", &References::None).unwrap();
    let rooted = Fixture::add_tree(&store, &[&needed]);
    let garbage = store.add_bytes(&name("garbage"), b"b", &References::None).unwrap();
    store.add_root("vps1", &rooted).unwrap();
    for path in [&rooted, &garbage] {
        let preimage = path.to_string();
        let recipe = Sha256Digest::of(preimage.as_bytes());
        store.record_realisation(recipe, &preimage, path).unwrap();
    }
    fixture.nix("ours", &["--gc"]);
    let realised =
        |path: &StorePath| store.realised(&Sha256Digest::of(path.to_string().as_bytes())).unwrap();
    assert_eq!(realised(&rooted), Some(rooted.clone()));
    assert_eq!(realised(&garbage), None);
    assert!(store.is_valid(&needed).unwrap());
    assert!(!store.real_path(&garbage).exists());
    let report = store.verify(true, &Silent, &Interrupt::default()).unwrap();
    assert!(report.is_clean(), "{report:?}");
    assert_eq!((report.paths, report.unregistered.len()), (2, 0));
}

/// Columns, foreign keys and indexes of Nix's tables.
fn tables(root: &Path) -> BTreeMap<String, Vec<String>> {
    let database = rusqlite::Connection::open(root.join("nix/var/nix/db/db.sqlite")).unwrap();
    let list = |sql: &str| -> Vec<String> {
        let mut statement = database.prepare(sql).unwrap();
        let columns = statement.column_count();
        let row = |row: &rusqlite::Row<'_>| {
            let value = |column| row.get_ref(column).map(|value| format!("{value:?}"));
            Ok((0..columns).map(value).collect::<Result<Vec<_>, _>>()?.join(" "))
        };
        statement.query_map([], row).unwrap().map(Result::unwrap).collect()
    };
    let mut tables = BTreeMap::new();
    for table in ["ValidPaths", "Refs", "DerivationOutputs"] {
        let mut lines = Vec::new();
        for pragma in ["table_info", "foreign_key_list", "index_list"] {
            lines.extend(list(&format!("pragma {pragma}({table})")));
        }
        let sql = format!("select type, name from sqlite_master where tbl_name = '{table}'");
        lines.extend(list(&sql));
        lines.sort();
        tables.insert(table.to_owned(), lines);
    }
    let journal = list("pragma journal_mode");
    tables.insert("journal".to_owned(), journal);
    tables
}

#[test]
fn the_tables_are_those_of_nix() {
    let fixture = Fixture::new();
    fixture.nix("nix", &["--verify"]);
    let store = fixture.ours();
    store.add_bytes(&name("a"), b"a", &References::None).unwrap();
    assert_eq!(tables(&fixture.path("ours")), tables(&fixture.path("nix")));
    let schema = |store: &str| fs::read(fixture.path(store).join("nix/var/nix/db/schema")).unwrap();
    assert_eq!(schema("ours"), schema("nix"));
}

#[test]
fn what_we_import_is_what_nix_dumps() {
    let fixture = Fixture::new();
    let store = fixture.ours();
    let path = Fixture::add_tree(&store, &[]);
    let real = store.real_path(&path);
    let mut nar = Vec::new();
    store.write_nar(&path, &mut nar).unwrap();
    // Our own reader, into a second store, and Nix's writer on what came out.
    let second = Store::open(&fixture.path("second")).unwrap();
    let limits = nexus_host::store::nar::Limits::default();
    second.import_nar(&path, [].into(), &mut &nar[..], &limits).unwrap();
    let again = fixture.nix("nix", &["--dump", second.real_path(&path).to_str().unwrap()]);
    assert!(again == nar && real.exists());
    fixture.assert_nix_accepts("second");
}
