//! A mirror that lies: it stands before the real one and alters what it likes.

use std::sync::OnceLock;

use nexus_host::debian::lock::Lock;
use nexus_host::exec::environment::Environment;
use nexus_host::exec::fetch::mirrors;
use nexus_host::store::Sha256Digest;

use super::{SMALL, in_cache, lock_text};
pub(super) use crate::server::Answer;
use crate::server::Server;
use crate::support::shared_directory;

/// More than any file that the tests ask for.
const BYTES_MAX: u64 = 256 << 20;

/// It answers until the tests end.
pub(super) struct Mirror {
    server: Server,
}

impl Mirror {
    /// Starts one that decides by path; the bytes are those of the real mirror.
    pub(super) fn start(decide: impl Fn(&str, Vec<u8>) -> Answer + Send + Sync + 'static) -> Self {
        Self { server: Server::start(move |path| Some(decide(path, real(path)?))) }
    }

    /// One that tells the truth.
    pub(super) fn honest() -> Self {
        Self::start(|_, bytes| Answer::Bytes(bytes))
    }

    /// Its address as that of Debian's mirror; the security archive is its sibling.
    pub(super) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/debian", self.server.port)
    }
}

/// The same bytes with one bit of the middle one changed.
pub(super) fn altered(mut bytes: Vec<u8>) -> Vec<u8> {
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    bytes
}

/// What the real mirror has at `path`: from the shared cache when its digest is known, else from the network.
fn real(path: &str) -> Option<Vec<u8>> {
    let of_index = || path.rsplit('/').next()?.parse::<Sha256Digest>().ok();
    if let Some(sha256) = of_index().or_else(|| digest_of_package(path)) {
        let cached = in_cache(&shared_directory().join("cache"), &sha256);
        if let Ok(bytes) = std::fs::read(cached) {
            return Some(bytes);
        }
    }
    let mirrors = mirrors(&Environment::of_process().unwrap(), None).unwrap();
    let (base, rest) = match path.strip_prefix("/debian-security/") {
        Some(rest) => (mirrors.security, rest),
        None => (mirrors.debian, path.strip_prefix("/debian/")?),
    };
    // The path is encoded already.
    let base = base.request_text();
    let url = format!("{}/{rest}", base.trim_end_matches('/'));
    let mut response = ureq::get(&url).call().ok()?;
    response.body_mut().with_config().limit(BYTES_MAX).read_to_vec().ok()
}

/// By the lock of the smallest host.
fn digest_of_package(path: &str) -> Option<Sha256Digest> {
    static LOCK: OnceLock<Lock> = OnceLock::new();
    let lock = LOCK.get_or_init(|| lock_text(SMALL).parse().unwrap());
    let path = path.replace("%2B", "+");
    let package = lock.packages.iter().find(|package| path.ends_with(&package.path.to_string()));
    package.map(|package| package.sha256)
}
