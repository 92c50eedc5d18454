//! The host's own health checks, as its system declares them in `manifest.json`.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs as _};
use std::time::{Duration, Instant};

use serde::Deserialize;

use super::error::AgentError;
use super::places::Places;
use super::process::run;
use super::service_manager;
use crate::exec::files::read_limited;
use crate::store::StorePath;

/// Most bytes of a manifest.
pub(super) const MANIFEST_BYTES_MAX: u64 = 64 << 20;
/// Most bytes of a page that are looked at.
const PAGE_BYTES_MAX: u64 = 1 << 20;
/// How often a check that fails is tried again while its time lasts.
const AGAIN: Duration = Duration::from_millis(250);
/// How long one try takes at most.
const ONE_TRY: Duration = Duration::from_secs(10);
/// Longest time that a check may ask for.
const WITHIN_SECONDS_MAX: u32 = 600;

/// A check that looks at the host from within.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct HealthCheck {
    /// What it is called.
    pub name: String,
    /// What is looked at.
    pub probe: Probe,
    /// Seconds after an activation within which it must succeed.
    pub within_seconds: u32,
    /// `inside` or `outside`; what only others can see is theirs to check.
    pub vantage: String,
}

/// What a check looks at.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase", tag = "kind")]
pub enum Probe {
    /// A unit is active.
    Unit {
        /// The unit.
        unit: String,
    },
    /// A TCP connection is accepted.
    Tcp {
        /// The address; `None` is this machine.
        address: Option<IpAddr>,
        /// The port.
        port: u16,
    },
    /// A page is answered, over plain HTTP.
    Http {
        /// The URL; the connection goes to this machine.
        url: String,
        /// The status expected.
        status: u16,
        /// Text that the answer holds.
        contains: Option<String>,
    },
    /// A command succeeds.
    Command {
        /// Program and arguments.
        exec: Vec<String>,
    },
}

/// How a check went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// What it is called.
    pub name: String,
    /// Whether it succeeded in time.
    pub ok: bool,
    /// What was seen last when not.
    pub detail: String,
}

#[derive(Deserialize)]
struct Manifest {
    #[serde(default)]
    checks: Vec<HealthCheck>,
}

/// The checks of a system that look from within; a system of an older format has none.
///
/// # Errors
///
/// When the manifest is not there or not one.
pub fn checks_of(places: &Places, system: &StorePath) -> Result<Vec<HealthCheck>, AgentError> {
    let path = places.store_path(system).join("manifest.json");
    let text = read_limited(&path, MANIFEST_BYTES_MAX)?;
    let manifest: Manifest = serde_json::from_slice(&text).map_err(|error| {
        AgentError::NoSystem { path: system.clone(), problem: format!("manifest.json: {error}") }
    })?;
    Ok(manifest.checks.into_iter().filter(|check| check.vantage == "inside").collect())
}

/// Tries a check until it succeeds or its time is over.
pub fn check(check: &HealthCheck) -> Checked {
    let within = Duration::from_secs(u64::from(check.within_seconds.min(WITHIN_SECONDS_MAX)));
    let deadline = Instant::now() + within;
    let name = check.name.clone();
    loop {
        let detail = match try_once(&check.probe) {
            Ok(()) => return Checked { name, ok: true, detail: String::new() },
            Err(detail) => detail,
        };
        if Instant::now() + AGAIN >= deadline {
            return Checked { name, ok: false, detail };
        }
        std::thread::sleep(AGAIN);
    }
}

fn try_once(probe: &Probe) -> Result<(), String> {
    match probe {
        Probe::Unit { unit } => match service_manager::is_active(unit) {
            Ok(true) => Ok(()),
            Ok(false) => Err(format!("{unit} is not active")),
            Err(error) => Err(error.to_string()),
        },
        Probe::Tcp { address, port } => {
            let address = address.unwrap_or(IpAddr::from([127, 0, 0, 1]));
            connect(SocketAddr::new(address, *port)).map(drop)
        }
        Probe::Http { url, status, contains } => page(url, *status, contains.as_deref()),
        Probe::Command { exec } => {
            let words: Vec<&str> = exec.iter().map(String::as_str).collect();
            if words.is_empty() {
                return Err("it names no command".into());
            }
            match run(&words, ONE_TRY) {
                Ok(ended) if ended.success => Ok(()),
                Ok(ended) => {
                    let last = ended.errors.lines().next_back().unwrap_or_default().to_owned();
                    Err(format!("{} {last}", ended.status).trim().to_owned())
                }
                Err(error) => Err(error.to_string()),
            }
        }
    }
}

fn connect(address: SocketAddr) -> Result<TcpStream, String> {
    TcpStream::connect_timeout(&address, ONE_TRY).map_err(|error| format!("{address}: {error}"))
}

/// Asks this machine for a page.
fn page(url: &str, status: u16, contains: Option<&str>) -> Result<(), String> {
    let rest = url.strip_prefix("http://").ok_or("only http:// can be asked from within")?;
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, port.parse().map_err(|_| "no port")?),
        _ => (authority, 80_u16),
    };
    let address = ("127.0.0.1", port).to_socket_addrs().ok().and_then(|mut all| all.next());
    let mut stream = connect(address.ok_or("no address")?)?;
    let failed = |error: std::io::Error| error.to_string();
    stream.set_read_timeout(Some(ONE_TRY)).map_err(failed)?;
    stream.set_write_timeout(Some(ONE_TRY)).map_err(failed)?;
    let request =
        format!("GET /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nAccept: */*\r\n\r\n");
    stream.write_all(request.as_bytes()).map_err(failed)?;
    let mut bytes = Vec::new();
    stream.take(PAGE_BYTES_MAX).read_to_end(&mut bytes).map_err(failed)?;
    let text = String::from_utf8_lossy(&bytes);
    let found = text.split_ascii_whitespace().nth(1).unwrap_or("nothing");
    if found != status.to_string() {
        return Err(format!("{url} answers {found}, not {status}"));
    }
    match contains {
        Some(wanted) if !text.contains(wanted) => Err(format!("{url} does not say `{wanted}`")),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn checks_come_from_the_manifest() {
        let directory = tempfile::tempdir().unwrap();
        let places = Places::below(directory.path());
        let system = StorePath::from_base_name(&format!("{}-s", "0".repeat(32))).unwrap();
        let write = |text: &str| {
            let path = places.store_path(&system).join("manifest.json");
            let _old = std::fs::remove_file(&path);
            crate::exec::files::write_scratch(&path, text.as_bytes()).unwrap();
        };
        write("{\"format\": 1}");
        assert_eq!(checks_of(&places, &system).unwrap(), []);
        write(
            r#"{"checks": [
                {"name": "a", "probe": {"kind": "tcp", "address": null, "port": 1},
                 "vantage": "inside", "within_seconds": 0},
                {"name": "b", "probe": {"kind": "unit", "unit": "x"},
                 "vantage": "outside", "within_seconds": 5}]}"#,
        );
        let checks = checks_of(&places, &system).unwrap();
        assert_eq!(checks.len(), 1, "what others must see is theirs");
        assert!(!check(&checks[0]).ok, "nobody listens at port 1");
        write("[");
        assert!(checks_of(&places, &system).unwrap_err().to_string().contains("manifest.json"));
    }

    #[test]
    fn a_page_is_asked_of_this_machine() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut request = [0; 1024];
                let count = stream.read(&mut request).unwrap();
                assert!(
                    String::from_utf8_lossy(&request[..count]).contains("Host: example.org\r\n")
                );
                stream.write_all(b"HTTP/1.1 200 OK\r\n\r\nhello").unwrap();
            }
        });
        let url = format!("http://example.org:{port}/x");
        assert_eq!(page(&url, 200, Some("hello")), Ok(()));
        assert_eq!(page(&url, 404, None), Err(format!("{url} answers 200, not 404")));
        assert_eq!(page(&url, 200, Some("bye")), Err(format!("{url} does not say `bye`")));
        assert!(page("https://x", 200, None).is_err());
    }
}
