//! The same host file and lock give the same bytes, whoever builds, wherever, whenever.

use std::fs::File;
use std::io::Read;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};

use nexus_host::exec::store::Store;
use nexus_host::store::StorePath;

use crate::identity::{NOBODY, is_root};
use crate::support::{Ran, Workspace, plain_command, program, shared_directory};

/// What differs between two people who build.
struct Surroundings {
    /// Below a directory of the test's own.
    directory: &'static str,
    umask: &'static str,
    jobs: &'static str,
    /// As another user, where this one may become one.
    other_user: bool,
    variables: &'static [(&'static str, &'static str)],
}

const HERE: Surroundings = Surroundings {
    directory: "a",
    umask: "022",
    jobs: "2",
    other_user: false,
    variables: &[("TZ", "UTC"), ("LC_ALL", "C")],
};

/// Ten years later, elsewhere.
const THERE: Surroundings = Surroundings {
    directory: "a much longer/directory name/for the same",
    umask: "077",
    jobs: "1",
    other_user: true,
    variables: &[
        ("TZ", "Asia/Kathmandu"),
        ("LC_ALL", "tr_TR.UTF-8"),
        ("LANG", "tr_TR.UTF-8"),
        ("HOME", "/nonexistent"),
        ("NEXUS_HOST_TEST_NOW", "2100000000"),
    ],
};

#[test]
fn the_same_lock_gives_the_same_bytes() {
    let text = std::fs::read_to_string("hosts/vps1.toml").unwrap();
    let shared = Workspace::with_host("vps1", &text);
    shared.run(&["lock", "vps1"]).expect(0);
    let lock = std::fs::read_to_string(shared.path().join("hosts/vps1.lock")).unwrap();

    let directory = directory_for_all();
    let [here, there] = [HERE, THERE].map(|place| build(directory.path(), &place, &text, &lock));
    assert_eq!(here.system, there.system, "the paths prove their contents");
    let initrds = [&here, &there].map(Built::initrd);
    assert!(initrds[0].len() < 1_000_000, "an initrd of {} bytes", initrds[0].len());
    assert!(initrds[0] == initrds[1], "the initrds differ");
    assert_eq!(here.closure(), there.closure());
    assert_same_bytes(&here.image, &there.image);
    here.has_what_scripts_would_have_made();
}

/// One that another user can search.
fn directory_for_all() -> tempfile::TempDir {
    let directory = tempfile::Builder::new().prefix("nexus-it-").tempdir().unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(directory.path(), mode).unwrap();
    directory
}

struct Built {
    system: StorePath,
    store: Store,
    image: PathBuf,
}

/// Builds vps1 with all that was fetched already, in a store of its own.
fn build(parent: &Path, place: &Surroundings, text: &str, lock: &str) -> Built {
    let directory = parent.join(place.directory);
    let hosts = directory.join("hosts");
    std::fs::create_dir_all(&hosts).unwrap();
    for (name, contents) in [("vps1.toml", text), ("vps1.lock", lock)] {
        nexus_host::exec::files::write_atomic(&hosts.join(name), contents.as_bytes()).unwrap();
    }
    let (cache, data) = (directory.join("cache"), directory.join("data"));
    copy(&shared_directory().join("cache/nexus-host"), &cache.join("nexus-host"));
    let becomes_other = place.other_user && is_root();
    if becomes_other {
        own(&directory);
    }
    let mut command = plain_command("sh");
    command
        .args(["-c", &format!("umask {}; exec \"$@\"", place.umask), "sh", program()])
        .args(["-C".as_ref(), directory.as_os_str()])
        .args(["build", "vps1", "--image", "raw", "--json", "--offline", "--jobs", place.jobs])
        .env("XDG_CACHE_HOME", &cache)
        .env("XDG_DATA_HOME", &data)
        .envs(place.variables.iter().copied())
        .current_dir("/");
    if becomes_other {
        command.uid(NOBODY).gid(NOBODY);
    }
    let report = Ran::of(command).expect(0).json();
    let host = &report["hosts"][0];
    let system = Path::new(host["system"].as_str().unwrap()).file_name().unwrap();
    Built {
        system: StorePath::from_base_name(system.to_str().unwrap()).unwrap(),
        store: Store::open(&data.join("nexus-host")).unwrap(),
        image: host["image"].as_str().unwrap().into(),
    }
}

impl Built {
    /// The bytes of the initrd, which the system names by its place in the store.
    fn initrd(&self) -> Vec<u8> {
        let link = std::fs::read_link(self.store.real_path(&self.system).join("initrd")).unwrap();
        let name = StorePath::from_base_name(link.file_name().unwrap().to_str().unwrap()).unwrap();
        std::fs::read(self.store.real_path(&name)).unwrap()
    }

    /// Paths and the digests of what they hold.
    fn closure(&self) -> Vec<String> {
        let paths = self.store.closure(std::slice::from_ref(&self.system)).unwrap();
        let info = |path: &StorePath| self.store.info(path).unwrap().unwrap();
        paths.iter().map(|path| format!("{path} {}", info(path).nar_hash)).collect()
    }

    /// What programs made that are silent while maintainer scripts run.
    fn has_what_scripts_would_have_made(&self) {
        let lists: String = self
            .store
            .closure(std::slice::from_ref(&self.system))
            .unwrap()
            .iter()
            .filter_map(|path| {
                std::fs::read_to_string(self.store.real_path(path).join("manifest")).ok()
            })
            .collect();
        for made in
            ["etc/ssl/certs/ca-certificates.crt", "usr/lib/udev/hwdb.bin", "modules.dep.bin"]
        {
            assert!(lists.contains(made), "nothing made {made}");
        }
    }
}

#[track_caller]
fn assert_same_bytes(a: &Path, b: &Path) {
    let [mut a, mut b] = [a, b].map(|path| File::open(path).unwrap());
    assert_eq!(a.metadata().unwrap().len(), b.metadata().unwrap().len(), "sizes differ");
    let mut buffers = [vec![0; 1 << 20], vec![0; 1 << 20]];
    let mut at = 0_u64;
    loop {
        let [left, right] = &mut buffers;
        let count = a.read(left).unwrap();
        b.read_exact(&mut right[..count]).unwrap();
        assert!(left[..count] == right[..count], "the images differ in the MiB at {at}");
        at += count as u64;
        if count == 0 {
            return;
        }
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to.parent().unwrap()).unwrap();
    let status = plain_command("cp").arg("-r").arg(from).arg(to).status().unwrap();
    assert!(status.success(), "cp: {status}");
}

/// Gives a directory and all in it to the other user.
fn own(directory: &Path) {
    let status = plain_command("chown")
        .args(["-R", &format!("{NOBODY}:{NOBODY}")])
        .arg(directory)
        .status()
        .unwrap();
    assert!(status.success(), "chown: {status}");
}
