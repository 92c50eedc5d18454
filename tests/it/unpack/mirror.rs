//! Fetches packages of trixie from a mirror, verified by the index, kept between runs.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use nexus_host::exec::environment::Environment;
use nexus_host::exec::fetch::mirrors;
use nexus_host::store::Sha256Digest;

/// More than any package that the tests ask for.
const PACKAGE_BYTES_MAX: u64 = 256 << 20;

/// The package that stands for whichever kernel is newest; its one dependency is that kernel.
const KERNEL: &str = "linux-image-cloud-amd64";

/// The newest version of each package, as files; with [`KERNEL`] comes the kernel itself, whose name changes with
/// every release.
pub(crate) fn fetch(environment: &Environment, kept: &Path, names: &[&str]) -> Vec<PathBuf> {
    let mirror = mirror(environment);
    let directory = kept.join("packages");
    fs::create_dir_all(&directory).unwrap();
    let index = get(&format!("{mirror}/dists/trixie/main/binary-amd64/Packages.xz"));
    let mut text = Vec::new();
    liblzma::read::XzDecoder::new(&index[..]).read_to_end(&mut text).unwrap();
    let text = String::from_utf8(text).unwrap();
    let title = |stanza: &str| stanza.lines().next().unwrap_or_default().to_owned();
    let stanzas: BTreeMap<String, &str> =
        text.split("\n\n").map(|stanza| (title(stanza), stanza)).collect();
    let stanza = |name: &str| {
        let stanza = stanzas.get(&format!("Package: {name}"));
        *stanza.unwrap_or_else(|| panic!("trixie has no package {name}"))
    };
    let kernel = |name: &&str| {
        let depends = stanza(name).lines().find_map(|line| line.strip_prefix("Depends: "));
        let kernel = depends.and_then(|text| text.split_whitespace().next());
        (*name == KERNEL).then(|| kernel.expect("it depends on a kernel").to_owned())
    };
    let fetch = |name: &&str| {
        let stanza = stanza(name);
        let field = |name| stanza.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim();
        let digest: Sha256Digest = field("SHA256:").parse().unwrap();
        let path = directory.join(format!("{digest}.deb"));
        if !path.exists() {
            let bytes = get(&format!("{mirror}/{}", field("Filename:")));
            assert_eq!(Sha256Digest::of(&bytes), digest, "{name}");
            keep(&path, &bytes);
        }
        path
    };
    let kernels: Vec<String> = names.iter().filter_map(kernel).collect();
    let kernels: Vec<&str> = kernels.iter().map(String::as_str).collect();
    names.iter().chain(&kernels).map(fetch).collect()
}

/// The mirror of Debian to use, without a slash at the end.
fn mirror(environment: &Environment) -> String {
    let mirrors = mirrors(environment, None).expect("the environment names a mirror");
    mirrors.debian.request_text().trim_end_matches('/').to_owned()
}

/// The bytes at `url`, unverified.
pub(crate) fn get(url: &str) -> Vec<u8> {
    let mut response = ureq::get(url).call().unwrap_or_else(|error| panic!("{url}: {error}"));
    let body = response.body_mut().with_config().limit(PACKAGE_BYTES_MAX);
    body.read_to_vec().unwrap_or_else(|error| panic!("{url}: {error}"))
}

/// Two tests may keep the same file at once: it appears whole.
fn keep(path: &Path, bytes: &[u8]) {
    let mut file = tempfile::NamedTempFile::new_in(path.parent().unwrap()).unwrap();
    file.write_all(bytes).unwrap();
    let file: File = file.persist(path).unwrap();
    drop(file);
}
