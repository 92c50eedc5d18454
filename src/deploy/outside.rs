//! Health checks that only others can make: whoever changes a machine looks at it from where he is.

use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs as _};
use std::time::{Duration, Instant};

use serde::Deserialize as _;
use serde_json::Value;
use ureq::unversioned::resolver::{ArrayVec, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{DefaultConnector, NextTimeout};

use crate::exec::interrupt::{Interrupt, Interrupted};
use crate::health::{Check, Probe, Vantage};

/// How often a check that fails is made again while its time lasts.
const AGAIN: Duration = Duration::from_millis(500);
/// How long one try takes at most.
const ONE_TRY: Duration = Duration::from_secs(10);
/// Most bytes of a page that are looked at.
const PAGE_BYTES_MAX: u64 = 1 << 20;

/// A check of a system's manifest that looks from outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutsideCheck(Check);

/// How a check went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// As it should be.
    Passed,
    /// What was seen instead.
    Failed(String),
    /// Why it could not be made.
    LeftOut(String),
}

impl OutsideCheck {
    /// Those of the checks of a manifest that look from outside.
    pub(super) fn among(checks: &[Value]) -> Result<Vec<Self>, String> {
        let checks: Result<Vec<Check>, _> = checks.iter().map(Check::deserialize).collect();
        let outside = |check: &Check| check.vantage == Vantage::Outside;
        let checks = checks.map_err(|error| error.to_string())?;
        Ok(checks.into_iter().filter(outside).map(Self).collect())
    }

    /// What it is called.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Makes the check at the machine `host`, again and again until it passes or its time is over.
    ///
    /// A machine that is reached through a port of this one has its other ports elsewhere, so there is nothing to see.
    ///
    /// # Errors
    ///
    /// When the user wants to stop.
    pub fn make(
        &self,
        host: &str,
        until: Instant,
        interrupt: &Interrupt,
    ) -> Result<Outcome, Interrupted> {
        let within = Instant::now() + Duration::from_secs(u64::from(self.0.within_seconds));
        let deadline = within.min(until);
        loop {
            interrupt.check()?;
            let outcome = self.try_once(host);
            if !matches!(outcome, Outcome::Failed(_)) || Instant::now() + AGAIN >= deadline {
                return Ok(outcome);
            }
            std::thread::sleep(AGAIN);
        }
    }

    fn try_once(&self, host: &str) -> Outcome {
        let addresses = match (host, 0).to_socket_addrs() {
            Ok(found) => found.map(|address| address.ip()).collect::<Vec<IpAddr>>(),
            Err(error) => return Outcome::Failed(format!("{host} has no address: {error}")),
        };
        if addresses.iter().any(IpAddr::is_loopback) {
            return Outcome::LeftOut(format!("{host} is a port of this machine"));
        }
        let result = match &self.0.probe {
            Probe::Tcp { port, .. } => connect(&addresses, *port),
            Probe::Http { url, status, contains } => {
                ask(&addresses, url, *status, contains.as_deref())
            }
            _ => return Outcome::LeftOut("it can only be seen from within".into()),
        };
        result.map_or_else(Outcome::Failed, |()| Outcome::Passed)
    }
}

fn connect(addresses: &[IpAddr], port: u16) -> Result<(), String> {
    let mut last = "it has no address".to_owned();
    for address in addresses {
        let address = SocketAddr::new(*address, port);
        match TcpStream::connect_timeout(&address, ONE_TRY) {
            Ok(_) => return Ok(()),
            Err(error) => last = format!("{address}: {error}"),
        }
    }
    Err(last)
}

/// Finds every name at the machine.
#[derive(Debug)]
struct AtTheMachine(Vec<IpAddr>);

impl Resolver for AtTheMachine {
    fn resolve(
        &self,
        uri: &ureq::http::Uri,
        _: &ureq::config::Config,
        _: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let usual = if uri.scheme_str() == Some("https") { 443 } else { 80 };
        let port = uri.port_u16().unwrap_or(usual);
        let mut found: ResolvedSocketAddrs =
            ArrayVec::from_fn(|_| SocketAddr::new(IpAddr::from([0, 0, 0, 0]), 0));
        for address in self.0.iter().take(4) {
            found.push(SocketAddr::new(*address, port));
        }
        if found.is_empty() { Err(ureq::Error::HostNotFound) } else { Ok(found) }
    }
}

fn ask(addresses: &[IpAddr], url: &str, status: u16, contains: Option<&str>) -> Result<(), String> {
    let config = ureq::Agent::config_builder()
        .timeout_global(Some(ONE_TRY))
        .http_status_as_error(false)
        .max_redirects(0)
        .build();
    let resolver = AtTheMachine(addresses.to_owned());
    let agent = ureq::Agent::with_parts(config, DefaultConnector::default(), resolver);
    let mut answer = agent.get(url).call().map_err(|error| format!("{url}: {error}"))?;
    let found = answer.status().as_u16();
    if found != status {
        return Err(format!("{url} answers {found}, not {status}"));
    }
    let Some(wanted) = contains else { return Ok(()) };
    let body = answer.body_mut().with_config().limit(PAGE_BYTES_MAX).read_to_vec();
    let body = body.map_err(|error| format!("{url}: {error}"))?;
    let says = String::from_utf8_lossy(&body).contains(wanted);
    if says { Ok(()) } else { Err(format!("{url} does not say `{wanted}`")) }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn checks_that_look_from_outside_are_found() {
        let text = br#"[
            {"name": "a", "probe": {"kind": "unit", "unit": "x"}, "vantage": "inside", "within_seconds": 1},
            {"name": "b", "probe": {"kind": "http", "url": "http://x/", "status": 200, "contains": null},
             "vantage": "outside", "within_seconds": 60},
            {"name": "c", "probe": {"kind": "command", "exec": []}, "vantage": "outside", "within_seconds": 0}]"#;
        let all: Vec<Value> = serde_json::from_slice(text).unwrap();
        let checks = OutsideCheck::among(&all).unwrap();
        let names: Vec<&str> = checks.iter().map(OutsideCheck::name).collect();
        assert_eq!(names, ["b", "c"]);
        let now = Instant::now();
        let at_home = checks[0].make("127.0.0.1", now, &Interrupt::default()).unwrap();
        assert_eq!(at_home, Outcome::LeftOut("127.0.0.1 is a port of this machine".into()));
        assert!(OutsideCheck::among(&[Value::from(1)]).is_err());
    }

    #[test]
    fn a_page_is_asked_of_the_machine_whatever_its_name() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut request = [0; 1024];
                let count = stream.read(&mut request).unwrap();
                let request = String::from_utf8_lossy(&request[..count]).to_lowercase();
                assert!(request.contains("host: web.example.org"), "{request}");
                let page =
                    b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\nhello";
                stream.write_all(page).unwrap();
            }
        });
        let here = [IpAddr::from([127, 0, 0, 1])];
        let url = format!("http://web.example.org:{port}/");
        assert_eq!(ask(&here, &url, 200, Some("hello")), Ok(()));
        assert_eq!(ask(&here, &url, 200, Some("bye")), Err(format!("{url} does not say `bye`")));
        assert_eq!(ask(&here, &url, 404, None), Err(format!("{url} answers 200, not 404")));
        assert_eq!(connect(&here, port), Ok(()));
    }
}
