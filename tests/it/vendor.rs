//! An archive of packages that is not Debian's, as a vendor has one: made by the real tools, signed with a key of its
//! own, and served on this machine.

use std::path::{Path, PathBuf};

use nexus_host::exec::files::write_atomic;

use crate::server::{Answer, Server};
use crate::support::Workspace;
use crate::toolbox::{Tool, tool};

/// The package, which needs one of Debian's.
const CONTROL: &str = "Package: vendor-hello
Version: 1.0-1
Architecture: amd64
Maintainer: Vendor <vendor@example.org>
Depends: busybox-static
Description: what a vendor sells
";
const INDEX: &str = "dists/stable/main/binary-amd64/Packages";

/// A vendor's archive.
struct Vendor {
    folder: tempfile::TempDir,
    server: Server,
}

impl Vendor {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().to_owned();
        let server = Server::start(move |path| {
            let path = Path::new(path.strip_prefix('/')?);
            std::fs::read(root.join(path)).ok().map(Answer::Bytes)
        });
        let vendor = Self { folder, server };
        vendor.write("tree/DEBIAN/control", CONTROL.as_bytes());
        vendor.write("tree/usr/share/vendor/hello", b"hello\n");
        std::fs::create_dir(vendor.path("pool")).unwrap();
        let pack = ["--root-owner-group", "--build", "tree", "pool/vendor-hello_1.0-1_amd64.deb"];
        vendor.tool("dpkg-deb").args(pack).run();
        vendor.write(INDEX, &vendor.tool("apt-ftparchive").args(["packages", "pool"]).run());
        let field = |name: &str, value: &str| format!("APT::FTPArchive::Release::{name}={value}");
        let fields = [
            field("Suite", "stable"),
            field("Codename", "stable"),
            field("Components", "main"),
            field("Architectures", "amd64"),
        ];
        let fields = fields.iter().flat_map(|field| ["-o", field]);
        let release =
            vendor.tool("apt-ftparchive").args(fields).args(["release", "dists/stable"]).run();
        let key = vendor.new_key("vendor.pgp");
        vendor.write("key", &key);
        let sign = vendor.tool("sqop").args(["inline-sign", "--as=clearsigned", "key"]);
        vendor.write("dists/stable/InRelease", &sign.input(&release).run());
        vendor
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

    /// A host that wants the vendor's package.
    fn host(&self) -> Workspace {
        let host = format!(
            "[host]\nname = \"small\"\nrelease = \"trixie\"\npackages = [\"vendor-hello\"]\n\
             [[sources]]\nname = \"vendor\"\nuri = \"http://127.0.0.1:{}\"\nsuite = \"stable\"\n\
             key_file = \"vendor.pgp\"\n",
            self.server.port
        );
        let workspace = Workspace::with_host("small", &host);
        workspace.write("vendor.pgp", &std::fs::read_to_string(self.path("vendor.pgp")).unwrap());
        workspace
    }
}

#[test]
fn a_vendors_packages_come_like_debians() {
    let vendor = Vendor::new();
    let workspace = vendor.host();
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
    let vendor = Vendor::new();
    let workspace = vendor.host();
    vendor.new_key("other.pgp");
    let other = std::fs::read_to_string(vendor.path("other.pgp")).unwrap();
    workspace.write("vendor.pgp", &other);
    let ran = workspace.run(&["lock", "small"]).expect(3);
    ran.says("source vendor cannot be used").says("key");
    assert!(!workspace.path().join("hosts/small.lock").exists());

    // An index that is not the signed one.
    let workspace = vendor.host();
    let index = std::fs::read_to_string(vendor.path(INDEX)).unwrap();
    vendor.write(INDEX, index.replace("1.0-1", "1.0-2").as_bytes());
    workspace.run(&["lock", "small"]).expect(3).says("vendor").says("its bytes are wrong");
    assert!(!workspace.path().join("hosts/small.lock").exists());
}
