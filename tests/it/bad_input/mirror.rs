//! A mirror that lies: it stands before the real one and alters what it likes.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, OnceLock};

use nexus_host::debian::lock::Lock;
use nexus_host::exec::environment::Environment;
use nexus_host::exec::fetch::mirrors;
use nexus_host::store::Sha256Digest;

use super::{SMALL, in_cache, lock_text};
use crate::support::shared_directory;

/// More than any file that the tests ask for.
const BYTES_MAX: u64 = 256 << 20;

/// What the mirror does when it is asked for a file.
pub(super) enum Answer {
    /// Sends these bytes.
    Bytes(Vec<u8>),
    /// Promises these, sends half of them, and then nothing more.
    Held(Vec<u8>),
    /// Promises these, sends half of them, and hangs up.
    BrokenOff(Vec<u8>),
}

/// Decides by path; the bytes are those of the real mirror.
type Decide = dyn Fn(&str, Vec<u8>) -> Answer + Send + Sync;

/// A server on this machine; it answers until the tests end.
pub(super) struct Mirror {
    port: u16,
}

impl Mirror {
    /// Starts one.
    pub(super) fn start(decide: impl Fn(&str, Vec<u8>) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let decide: Arc<Decide> = Arc::new(decide);
        std::thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                let decide = Arc::clone(&decide);
                // A client that goes away early is none of our business.
                std::thread::spawn(move || _ = serve(connection, &*decide));
            }
        });
        Self { port }
    }

    /// One that tells the truth.
    pub(super) fn honest() -> Self {
        Self::start(|_, bytes| Answer::Bytes(bytes))
    }

    /// Its address as that of Debian's mirror; the security archive is its sibling.
    pub(super) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/debian", self.port)
    }
}

/// The same bytes with one bit of the middle one changed.
pub(super) fn altered(mut bytes: Vec<u8>) -> Vec<u8> {
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    bytes
}

fn serve(mut connection: TcpStream, decide: &Decide) -> std::io::Result<()> {
    let mut reader = BufReader::new(connection.try_clone()?);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
    while line.trim_end() != "" {
        line.clear();
        reader.read_line(&mut line)?;
    }
    let Some(bytes) = real(&path) else {
        return connection.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
    };
    let (bytes, part) = match decide(&path, bytes) {
        Answer::Bytes(bytes) => (bytes, None),
        Answer::Held(bytes) => (bytes, Some(true)),
        Answer::BrokenOff(bytes) => (bytes, Some(false)),
    };
    let length = bytes.len();
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
    connection.write_all(head.as_bytes())?;
    connection.write_all(if part.is_some() { &bytes[..length / 2] } else { &bytes })?;
    if part == Some(true) {
        // Until the client has had enough.
        reader.read_to_end(&mut Vec::new())?;
    }
    Ok(())
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
