//! An archive of packages that is not Debian's, as a vendor has one: made by the real tools, signed with a key of its
//! own, and served on this machine.

use std::path::{Path, PathBuf};

use nexus_host::exec::files::write_atomic;

use crate::server::{Answer, Server};
use crate::support::Workspace;
use crate::toolbox::{Tool, tool};

/// A package which needs one of Debian's.
const HELLO: &str = "Package: vendor-hello
Version: VERSION
Architecture: amd64
Maintainer: Vendor <vendor@example.org>
Depends: busybox-static
Description: what a vendor sells
";
/// Stands for its version.
const VERSION: &str = "VERSION";
/// What all its files are dated, so that the same files are the same package.
const DATE: &str = "1767225600";
const INDEX: &str = "dists/stable/main/binary-amd64/Packages";

/// A vendor's archive with one package.
pub(crate) struct Vendor {
    folder: tempfile::TempDir,
    server: Server,
}

impl Vendor {
    /// One with the package that these control fields describe and these files are in.
    ///
    /// A file is a path in the package and where its bytes and mode come from.
    pub(crate) fn new(control: &str, files: &[(&str, &Path)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().to_owned();
        let server = Server::start(move |path| {
            let path = Path::new(path.strip_prefix('/')?);
            std::fs::read(root.join(path)).ok().map(Answer::Bytes)
        });
        let vendor = Self { folder, server };
        vendor.write("tree/DEBIAN/control", control.as_bytes());
        for (path, from) in files {
            let to = vendor.path("tree").join(path);
            std::fs::create_dir_all(to.parent().unwrap()).unwrap();
            std::fs::copy(from, to).unwrap();
        }
        std::fs::create_dir(vendor.path("pool")).unwrap();
        let pack = ["--root-owner-group", "-Zgzip", "-z1", "--build", "tree", "pool/package.deb"];
        vendor.tool("dpkg-deb").env("SOURCE_DATE_EPOCH", DATE).args(pack).run();
        vendor.write(INDEX, &vendor.tool("apt-ftparchive").args(["packages", "pool"]).run());
        vendor.sign();
        vendor
    }

    /// Signs the index as it is.
    fn sign(&self) {
        let field = |name: &str, value: &str| format!("APT::FTPArchive::Release::{name}={value}");
        let fields = [
            field("Suite", "stable"),
            field("Codename", "stable"),
            field("Components", "main"),
            field("Architectures", "amd64"),
        ];
        let fields = fields.iter().flat_map(|field| ["-o", field]);
        let release =
            self.tool("apt-ftparchive").args(fields).args(["release", "dists/stable"]).run();
        let key = self.new_key("vendor.pgp");
        self.write("key", &key);
        let sign = self.tool("sqop").args(["inline-sign", "--as=clearsigned", "key"]);
        self.write("dists/stable/InRelease", &sign.input(&release).run());
    }

    /// The part of a host file that names it; its key goes into the workspace.
    pub(crate) fn source(&self, workspace: &Workspace) -> String {
        workspace.write("vendor.pgp", &std::fs::read_to_string(self.path("vendor.pgp")).unwrap());
        format!(
            "[[sources]]\nname = \"vendor\"\nuri = \"http://127.0.0.1:{}\"\nsuite = \"stable\"\n\
             key_file = \"vendor.pgp\"\n",
            self.server.port
        )
    }

    /// A tool that works in its folder.
    fn tool(&self, name: &str) -> Tool {
        tool(name).sees(self.folder.path()).in_directory(self.folder.path())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        write_atomic(&path, bytes).unwrap();
    }

    /// Makes a key; what the world may have of it lies in the file.
    fn new_key(&self, file: &str) -> Vec<u8> {
        let key = self.tool("sqop").args(["generate-key", "Vendor <vendor@example.org>"]).run();
        self.write(file, &self.tool("sqop").arg("extract-cert").input(&key).run());
        key
    }
}

/// One that sells a greeting of this version.
fn greeting(version: &str) -> Vendor {
    let file = tempfile::NamedTempFile::new().unwrap();
    Vendor::new(&HELLO.replace(VERSION, version), &[("usr/share/vendor/hello", file.path())])
}

/// A host that wants its package.
fn host_of(vendor: &Vendor) -> Workspace {
    let host = "[host]\nname = \"small\"\nrelease = \"trixie\"\npackages = [\"vendor-hello\"]\n";
    let workspace = Workspace::with_host("small", host);
    workspace.write("hosts/small.toml", &format!("{host}{}", vendor.source(&workspace)));
    workspace
}

#[test]
fn a_vendors_packages_come_like_debians() {
    let vendor = greeting("1.0-1");
    let workspace = host_of(&vendor);
    let built = workspace.run(&["build", "small", "--json"]).expect(0).json();
    let lock = std::fs::read_to_string(workspace.path().join("hosts/small.lock")).unwrap();
    let lock: nexus_host::debian::lock::Lock = lock.parse().unwrap();
    let of = |source: &str| -> Vec<String> {
        let packages = lock.packages.iter().filter(|package| package.source.to_string() == source);
        packages.map(|package| package.name.to_string()).collect()
    };
    assert_eq!(of("vendor"), ["vendor-hello"]);
    assert!(of("trixie").contains(&"busybox-static".to_owned()), "{lock:#?}");
    let system = built["hosts"][0]["system"].as_str().unwrap();
    assert!(system.ends_with("-system-small"), "{system}");
}

#[test]
fn a_vendors_archive_that_another_key_signed_is_refused() {
    // A new one each time: an index that is known by its digest is not asked for again.
    let version = format!("1.0-{}", nexus_host::agent::command::new_nonce().unwrap());
    let vendor = greeting(&version);
    let workspace = host_of(&vendor);
    vendor.new_key("other.pgp");
    let other = std::fs::read_to_string(vendor.path("other.pgp")).unwrap();
    workspace.write("vendor.pgp", &other);
    let ran = workspace.run(&["lock", "small"]).expect(3);
    ran.says("source vendor cannot be used").says("key");
    assert!(!workspace.path().join("hosts/small.lock").exists());

    // An index that is not the signed one.
    let workspace = host_of(&vendor);
    let index = std::fs::read_to_string(vendor.path(INDEX)).unwrap();
    vendor.write(INDEX, index.replace("1.0-", "1.1-").as_bytes());
    workspace.run(&["lock", "small"]).expect(3).says("vendor").says("its bytes are wrong");
    assert!(!workspace.path().join("hosts/small.lock").exists());
}
