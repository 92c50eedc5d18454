//! Files in the place of disks: what is written, what stays, what a comparison sees.

use super::*;
use crate::image::segment::Segment;
use crate::store::StorePath;
use crate::tree::TreePath;

/// The large file of the store.
fn contents() -> Vec<u8> {
    (0..=250).cycle().take(3_000_001).collect()
}

struct Bench {
    directory: tempfile::TempDir,
    layout: Layout,
}

impl Bench {
    /// A disk full of old data, larger than what is written, and pieces at odd places.
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = StorePath::from_base_name("00000000000000000000000000000000-it").unwrap();
        let folder = directory.path().join("store").join(path.as_str());
        std::fs::create_dir_all(&folder).unwrap();
        crate::exec::files::write_scratch(&folder.join("big"), &contents()).unwrap();
        let file = StoreFile { size: 0, path, inner: TreePath::new("big").unwrap() };
        let segments = vec![
            Segment { offset: 3, data: Data::Bytes(b"first".to_vec()) },
            Segment { offset: 100_001, data: Data::File { file, start: 5, length: 2_999_996 } },
            Segment { offset: 4_000_000, data: Data::Bytes(vec![7; 2_000_000]) },
        ];
        let bench = Self { directory, layout: Layout { size: 8_000_003, segments } };
        crate::exec::files::write_scratch(&bench.disk_path(), &vec![0xee; 9_000_000]).unwrap();
        bench
    }

    fn disk_path(&self) -> PathBuf {
        self.directory.path().join("disk")
    }

    fn store(&self) -> PathBuf {
        self.directory.path().join("store")
    }

    fn disk(&self) -> Disk {
        Disk::open_any(&self.disk_path(), self.layout.size).unwrap()
    }
}

#[test]
fn a_disk_is_what_the_recipe_says_and_zero_between() {
    let bench = Bench::new();
    let disk = bench.disk();
    disk.write(&bench.layout, &bench.store()).unwrap();
    disk.compare(&bench.layout, &bench.store()).unwrap();
    let mut expected = vec![0; 8_000_003];
    expected[3..8].copy_from_slice(b"first");
    expected[100_001..3_099_997].copy_from_slice(&contents()[5..]);
    expected[4_000_000..6_000_000].fill(7);
    expected.resize(9_000_000, 0xee);
    assert!(std::fs::read(bench.disk_path()).unwrap() == expected);
}

#[test]
fn a_comparison_sees_every_other_byte() {
    let bench = Bench::new();
    let disk = bench.disk();
    disk.write(&bench.layout, &bench.store()).unwrap();
    for offset in [0, 2, 3, 7, 8, 100_000, 100_001, 3_099_996, 3_099_997, 5_999_999, 8_000_002] {
        let mut old = [0];
        disk.file.read_exact_at(&mut old, offset).unwrap();
        disk.put(&[old[0] ^ 1], offset).unwrap();
        let error = disk.compare(&bench.layout, &bench.store()).unwrap_err();
        let expected = format!("{} differs at byte {offset}", bench.disk_path().display());
        assert!(error.to_string().starts_with(&expected), "{error}");
        disk.put(&old, offset).unwrap();
    }
    disk.put(&[1], 8_000_003).unwrap();
    disk.compare(&bench.layout, &bench.store()).unwrap();
}

#[test]
fn what_cannot_be_written_is_refused() {
    let bench = Bench::new();
    let error = Disk::open_any(&bench.disk_path(), 9_000_001).unwrap_err();
    assert!(matches!(error, AgentError::Space { needed: 9_000_001, free: 9_000_000 }), "{error}");
    let error = Disk::open(&bench.disk_path(), 1).unwrap_err();
    assert!(error.to_string().ends_with("is not a disk"), "{error}");
    let mut layout = bench.layout.clone();
    let Data::File { length, .. } = &mut layout.segments[1].data else { panic!("it is a file") };
    *length += 1;
    let error = bench.disk().write(&layout, &bench.store()).unwrap_err();
    assert!(error.to_string().contains("cannot read"), "{error}");
    std::fs::remove_dir_all(bench.store()).unwrap();
    let error = bench.disk().write(&bench.layout, &bench.store()).unwrap_err();
    assert!(error.to_string().contains("cannot open"), "{error}");
}
