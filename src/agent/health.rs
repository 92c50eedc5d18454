//! The host's own health checks, made from within.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs as _};
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::json;

use super::error::AgentError;
use super::events::Journal;
use super::process::run;
use super::service_manager;
use super::state::now_seconds;
use crate::exec::files::read_limited;
use crate::failure::causes;
use crate::health::{Check, Clock, Probe, first_expiry, is_mount_point};

/// Most bytes of a page that are looked at.
const PAGE_BYTES_MAX: u64 = 1 << 20;
/// How soon a check that fails is tried again while its time lasts: at first, and after some tries.
const AGAIN_FIRST: Duration = Duration::from_millis(5);
const AGAIN: Duration = Duration::from_millis(250);
/// How long one try takes at most.
const ONE_TRY: Duration = Duration::from_secs(10);
/// Longest time that a check may ask for.
const WITHIN_SECONDS_MAX: u32 = 3600;
/// Most bytes of a file with certificates, and of the list of mounts.
const FILE_BYTES_MAX: u64 = 4 << 20;
const DAY_SECONDS: u64 = 86_400;

/// How a check went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// What it is called.
    pub name: String,
    /// Whether it succeeded in time.
    pub ok: bool,
    /// What was seen last when not.
    pub detail: String,
    /// For how many days more a certificate lasts, when the check is of one.
    pub days_left: Option<u64>,
}

/// Tries a check until it succeeds or its time is over.
pub fn check(check: &Check) -> Checked {
    try_until(check, given(check), &|| false)
}

/// Makes `checks` in their order, each told in `journal`, until one fails; gives up when `is_in_vain`.
///
/// Answers with the names of those that hold, or else with what is wrong.
///
/// # Errors
///
/// When the journal cannot be written.
pub(super) fn decide(
    checks: &[Check],
    journal: &mut Journal,
    is_in_vain: &dyn Fn() -> bool,
) -> Result<Result<BTreeSet<String>, String>, AgentError> {
    let mut passed = BTreeSet::new();
    for check in checks {
        let Checked { name, ok, detail, .. } = try_until(check, given(check), is_in_vain);
        journal.event("check", json!({ "name": name, "ok": ok, "detail": detail }))?;
        if !ok {
            return Ok(Err(format!("check `{name}` failed: {detail}")));
        }
        passed.insert(name);
    }
    Ok(Ok(passed))
}

/// The time that a check has.
fn given(check: &Check) -> Duration {
    Duration::from_secs(u64::from(check.within_seconds.min(WITHIN_SECONDS_MAX)))
}

/// Tries a check once.
pub fn check_now(check: &Check) -> Checked {
    try_until(check, Duration::ZERO, &|| true)
}

fn try_until(check: &Check, within: Duration, is_in_vain: &dyn Fn() -> bool) -> Checked {
    let deadline = Instant::now() + within;
    let name = check.name.clone();
    let mut pause = AGAIN_FIRST;
    loop {
        let detail = match try_once(check) {
            Ok(days_left) => return Checked { name, ok: true, detail: String::new(), days_left },
            Err(detail) => detail,
        };
        if Instant::now() + pause >= deadline || is_in_vain() {
            return Checked { name, ok: false, detail, days_left: None };
        }
        std::thread::sleep(pause);
        pause = AGAIN.min(pause * 2);
    }
}

/// What certificates are good for, in days, is the answer of a check of one.
fn try_once(check: &Check) -> Result<Option<u64>, String> {
    let answered = match &check.probe {
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
            answer(&words, given(check).max(ONE_TRY)).map(drop)
        }
        Probe::Dns { domain, address } => resolves(domain, *address),
        Probe::Mount { path } => {
            let mounts = read(Path::new("/proc/self/mountinfo"))?;
            let mounted = is_mount_point(&String::from_utf8_lossy(&mounts), path);
            if mounted { Ok(()) } else { Err(format!("nothing is mounted at {path}")) }
        }
        Probe::Disk { path, free_bytes, free_percent } => {
            has_room(path, *free_bytes, *free_percent)
        }
        Probe::Clock { seconds } => clock().and_then(|clock| clock.check(*seconds)),
        Probe::Certificate { path, days } => {
            let ends = read(Path::new(path))
                .and_then(|file| first_expiry(&file).map_err(|error| format!("{path}: {error}")))?;
            return certificate_lasts(ends, now_seconds(), *days).map(Some);
        }
    };
    answered.map(|()| None)
}

/// What a command that succeeds says; else how it ended, and its last words.
fn answer(words: &[&str], within: Duration) -> Result<String, String> {
    if words.is_empty() {
        return Err("it names no command".into());
    }
    match run(words, within) {
        Ok(ended) if ended.success => Ok(ended.output),
        Ok(ended) => {
            let last = ended.errors.lines().next_back().unwrap_or_default().to_owned();
            Err(format!("{} {last}", ended.status).trim().to_owned())
        }
        Err(error) => Err(causes(&error).join(": ")),
    }
}

/// Asks the host's own C library, because a static program has not its modules.
fn resolves(domain: &str, wanted: Option<IpAddr>) -> Result<(), String> {
    let found = answer(&["getent", "ahosts", "--", domain], ONE_TRY)
        .map_err(|_| format!("{domain} has no address"))?;
    let addresses = found.lines().filter_map(|line| line.split_whitespace().next()?.parse().ok());
    let addresses: BTreeSet<IpAddr> = addresses.collect();
    match wanted {
        Some(wanted) if !addresses.contains(&wanted) => {
            let found: Vec<String> = addresses.iter().map(ToString::to_string).collect();
            Err(format!("{domain} is {}, not {wanted}", found.join(", ")))
        }
        _ => Ok(()),
    }
}

fn has_room(path: &str, free_bytes: u64, free_percent: u8) -> Result<(), String> {
    let found = rustix::fs::statvfs(path).map_err(|error| format!("{path}: {error}"))?;
    let free = found.f_bavail.saturating_mul(found.f_frsize);
    let percent = u128::from(found.f_bavail) * 100 / u128::from(found.f_blocks.max(1));
    if free < free_bytes {
        return Err(format!("{path} has {free} bytes free, not {free_bytes}"));
    }
    if percent < u128::from(free_percent) {
        return Err(format!("{path} is free to {percent} %, not {free_percent} %"));
    }
    Ok(())
}

fn clock() -> Result<Clock, String> {
    #[expect(unsafe_code, reason = "rustix has no adjtimex")]
    // SAFETY: all fields are numbers, for which zero is a value; no mode is set, so nothing changes but
    // the structure, which lives until the call returns.
    let (state, asked) = unsafe {
        let mut asked: libc::timex = std::mem::zeroed();
        (libc::adjtimex(&raw mut asked), asked)
    };
    if state < 0 {
        return Err(std::io::Error::last_os_error().to_string());
    }
    Ok(Clock { status: asked.status, error_microseconds: asked.maxerror })
}

fn certificate_lasts(ends: u64, now: u64, days: u32) -> Result<u64, String> {
    let left = ends.saturating_sub(now) / DAY_SECONDS;
    match left {
        _ if ends <= now => Err("a certificate has ended".to_owned()),
        left if left < u64::from(days) => Err(format!("a certificate ends in {left} days")),
        left => Ok(left),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    read_limited(path, FILE_BYTES_MAX).map_err(|error| causes(&error).join(": "))
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
mod tests;
