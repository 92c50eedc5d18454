//! One request and its answer: HTTP through ureq, local files, redirects, proxies, limits of time.

use std::fs::File;
use std::io::{Read, Seek as _, SeekFrom};
use std::sync::mpsc;
use std::time::Duration;

use ureq::Agent;
use ureq::http::{HeaderMap, StatusCode};
use ureq::tls::{PemItem, RootCerts, TlsConfig};
use ureq::unversioned::transport::{Connector as _, DefaultConnector, TcpConnector};

use super::FetchOptions;
use super::error::TransferError;
use super::proxy::{Names, Proxies, ToProxy};
use crate::debian::date::parse_date;
use crate::debian::url::{Scheme, Url};
use crate::exec::interrupt::Interrupt;

/// How often a request may be sent elsewhere.
const REDIRECTS_MAX: usize = 8;
/// How often the watcher looks whether the user wants to stop.
const WATCH_EVERY: Duration = Duration::from_millis(50);

/// Sends requests.
#[derive(Debug)]
pub(super) struct Client {
    direct: Agent,
    /// For `http` through the proxy.
    plain: Option<Agent>,
    /// For `https` through the proxy.
    tunnel: Option<Agent>,
    proxies: Proxies,
    connect_seconds: u64,
    stall_seconds: u64,
}

/// What to ask for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Request<'a> {
    pub(super) url: &'a Url,
    /// The first byte wanted.
    pub(super) offset: u64,
    /// What identified the file in an earlier answer, so that parts of two files never mix.
    pub(super) validator: Option<&'a str>,
}

/// A successful answer.
pub(super) struct Answer {
    /// The place of the first byte that comes.
    pub(super) offset: u64,
    /// How many bytes will come, if the server says.
    pub(super) announced_bytes: Option<u64>,
    /// A strong entity tag, or the date of the last change.
    pub(super) validator: Option<String>,
    body: Box<dyn Read>,
    host: String,
    stall_seconds: u64,
}

impl Client {
    pub(super) fn new(options: &FetchOptions) -> Self {
        let proxies = options.proxies.clone();
        let config = || {
            Agent::config_builder()
                .http_status_as_error(false)
                .max_redirects(0)
                .max_redirects_will_error(false)
                .proxy(None)
                .accept_encoding("identity")
                .user_agent(concat!("nexus-host/", env!("CARGO_PKG_VERSION")))
                .tls_config(tls_config(&options.root_certificates))
                .timeout_resolve(Some(options.connect_timeout))
                .timeout_connect(Some(options.connect_timeout))
                .timeout_per_read(Some(options.stall_timeout))
                .timeout_per_write(Some(options.stall_timeout))
                .max_idle_connections(options.parallel * 2)
                .max_idle_connections_per_host(options.parallel)
        };
        let agent =
            |config| Agent::with_parts(config, DefaultConnector::default(), Names::default());
        let plain = proxies.http.as_ref().map(|proxy| match proxy.scheme() {
            Scheme::Http => {
                let connector = ().chain(TcpConnector::default()).chain(ToProxy);
                let uri = proxy.request_text().parse().ok();
                Agent::with_parts(config().build(), connector, Names::of_proxy(uri))
            }
            _ => agent(config().proxy(tunnel_proxy(proxy)).build()),
        });
        let tunnel =
            proxies.https.as_ref().map(|proxy| agent(config().proxy(tunnel_proxy(proxy)).build()));
        Self {
            direct: agent(config().build()),
            plain,
            tunnel,
            proxies,
            connect_seconds: options.connect_timeout.as_secs(),
            stall_seconds: options.stall_timeout.as_secs(),
        }
    }

    /// Runs `work` and ends its connections as soon as the user wants to stop.
    pub(super) fn watched<T>(&self, interrupt: &Interrupt, work: impl FnOnce() -> T) -> T {
        std::thread::scope(|scope| {
            let (done, finished) = mpsc::channel::<()>();
            scope.spawn(move || {
                while finished.recv_timeout(WATCH_EVERY) == Err(mpsc::RecvTimeoutError::Timeout) {
                    if interrupt.is_set() {
                        return self.shut_down();
                    }
                }
            });
            let result = work();
            drop(done);
            result
        })
    }

    fn shut_down(&self) {
        for agent in [Some(&self.direct), self.plain.as_ref(), self.tunnel.as_ref()] {
            agent.cloned().into_iter().for_each(Agent::shutdown);
        }
    }

    /// Asks for a file and follows redirects.
    ///
    /// An answer that begins elsewhere than asked for says so in [`Answer::offset`].
    pub(super) fn get(&self, request: Request<'_>) -> Result<Answer, TransferError> {
        let mut url = request.url.clone();
        for _ in 0..=REDIRECTS_MAX {
            if let Some(path) = url.local_path() {
                return local_file(&path, request.offset);
            }
            let response = self.send(&url, request)?;
            let location = response.headers().get("location").and_then(|text| text.to_str().ok());
            match location {
                Some(location) if response.status().is_redirection() => {
                    url = url.redirected(location).map_err(|error| TransferError::Redirect {
                        detail: format!("wrongly: {error}"),
                    })?;
                }
                _ => return self.answer(&url, response),
            }
        }
        Err(TransferError::Redirect { detail: format!("more than {REDIRECTS_MAX} times") })
    }

    fn send(
        &self,
        url: &Url,
        request: Request<'_>,
    ) -> Result<ureq::http::Response<ureq::Body>, TransferError> {
        let (agent, proxy) = self.agent_for(url);
        let mut builder = agent.get(url.request_text());
        if let Some((user, password)) = url.credentials() {
            builder = builder.header("authorization", basic(&user, &password));
        }
        if let Some((user, password)) = proxy.and_then(Url::credentials) {
            builder = builder.header("proxy-authorization", basic(&user, &password));
        }
        if request.offset > 0 {
            builder = builder.header("range", format!("bytes={}-", request.offset));
            if let Some(validator) = request.validator {
                builder = builder.header("if-range", validator);
            }
        }
        builder.call().map_err(|error| self.in_words(url, error))
    }

    /// The agent for `url`, and the proxy to which requests are sent in the clear.
    fn agent_for(&self, url: &Url) -> (&Agent, Option<&Url>) {
        let through = match url.scheme() {
            _ if self.proxies.is_direct(url) => None,
            Scheme::Https => self.tunnel.as_ref().map(|agent| (agent, None)),
            _ => self.plain.as_ref().map(|agent| {
                let proxy = self.proxies.http.as_ref();
                (agent, proxy.filter(|proxy| proxy.scheme() == Scheme::Http))
            }),
        };
        through.unwrap_or((&self.direct, None))
    }

    fn answer(
        &self,
        url: &Url,
        response: ureq::http::Response<ureq::Body>,
    ) -> Result<Answer, TransferError> {
        let headers = response.headers();
        let number = |name| text(headers, name).and_then(|text| text.parse::<u64>().ok());
        let offset = match response.status() {
            StatusCode::OK => 0,
            StatusCode::PARTIAL_CONTENT => text(headers, "content-range")
                .and_then(first_byte_of_range)
                .ok_or(TransferError::WrongPart)?,
            StatusCode::RANGE_NOT_SATISFIABLE => return Err(TransferError::WrongPart),
            StatusCode::NOT_FOUND | StatusCode::GONE => {
                return Err(TransferError::NotFound { status: response.status().as_u16() });
            }
            status => {
                let retry_after_seconds = retry_after(headers);
                return Err(TransferError::Status { status: status.as_u16(), retry_after_seconds });
            }
        };
        let is_encoded = text(headers, "transfer-encoding").is_some();
        let strong_tag = text(headers, "etag").filter(|tag| !tag.starts_with("W/"));
        Ok(Answer {
            offset,
            announced_bytes: number("content-length").filter(|_| !is_encoded),
            validator: strong_tag.or_else(|| text(headers, "last-modified")).map(str::to_owned),
            body: Box::new(response.into_body().into_reader()),
            host: url.host().to_owned(),
            stall_seconds: self.stall_seconds,
        })
    }

    fn in_words(&self, url: &Url, error: ureq::Error) -> TransferError {
        let seconds = self.connect_seconds;
        let is_early = |reason| matches!(reason, ureq::Timeout::Connect | ureq::Timeout::Resolve);
        match error {
            ureq::Error::Timeout(reason) if is_early(reason) => {
                TransferError::ConnectTimeout { host: url.host().to_owned(), seconds }
            }
            other => transfer_error(url.host(), self.stall_seconds, other),
        }
    }
}

impl Answer {
    /// Reads some bytes; none at the end.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> Result<usize, TransferError> {
        loop {
            match self.body.read(buffer) {
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => {
                    return Err(transfer_error(&self.host, self.stall_seconds, error.into()));
                }
                Ok(bytes) => return Ok(bytes),
            }
        }
    }
}

fn local_file(path: &std::path::Path, offset: u64) -> Result<Answer, TransferError> {
    let unreadable = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound => TransferError::NotFound { status: 404 },
        _ => TransferError::Unreadable { detail: error.to_string() },
    };
    let mut file = File::open(path).map_err(unreadable)?;
    let metadata = file.metadata().map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(TransferError::Unreadable { detail: "it is not a regular file".to_owned() });
    }
    let offset = if offset <= metadata.len() { offset } else { 0 };
    file.seek(SeekFrom::Start(offset)).map_err(unreadable)?;
    Ok(Answer {
        offset,
        announced_bytes: Some(metadata.len() - offset),
        validator: None,
        body: Box::new(file),
        host: String::new(),
        stall_seconds: 0,
    })
}

/// Translates a failure of the library.
fn transfer_error(host: &str, stall_seconds: u64, error: ureq::Error) -> TransferError {
    let name = host.to_owned();
    match error {
        ureq::Error::HostNotFound => TransferError::NoSuchHost { host: name },
        ureq::Error::Timeout(_) => TransferError::Stalled { seconds: stall_seconds },
        ureq::Error::Tls(detail) => TransferError::Tls { host: name, detail: detail.to_owned() },
        ureq::Error::Rustls(error) => TransferError::Tls { host: name, detail: error.to_string() },
        ureq::Error::ConnectProxyFailed(detail) => TransferError::Proxy { detail },
        ureq::Error::Io(error) => io_error(name, &error),
        other => TransferError::BadAnswer { detail: other.to_string() },
    }
}

fn io_error(host: String, error: &std::io::Error) -> TransferError {
    use std::io::ErrorKind;
    match error.kind() {
        ErrorKind::ConnectionRefused => TransferError::Refused { host },
        ErrorKind::NetworkUnreachable
        | ErrorKind::HostUnreachable
        | ErrorKind::NetworkDown
        | ErrorKind::AddrNotAvailable => TransferError::NoNetwork { host },
        // rustls reports what it thinks of the other end's certificate this way.
        ErrorKind::InvalidData => TransferError::Tls { host, detail: error.to_string() },
        ErrorKind::ConnectionReset
        | ErrorKind::ConnectionAborted
        | ErrorKind::BrokenPipe
        | ErrorKind::NotConnected
        | ErrorKind::UnexpectedEof => TransferError::BrokenOff,
        _ => TransferError::BadAnswer { detail: error.to_string() },
    }
}

fn tls_config(root_certificates: &[u8]) -> TlsConfig {
    let own: Vec<_> = ureq::tls::parse_pem(root_certificates)
        .filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        })
        .collect();
    let roots = if own.is_empty() { RootCerts::WebPki } else { RootCerts::from(own) };
    TlsConfig::builder().root_certs(roots).build()
}

fn tunnel_proxy(url: &Url) -> Option<ureq::Proxy> {
    let kind = match url.scheme() {
        Scheme::Https => ureq::ProxyProtocol::Https,
        _ => ureq::ProxyProtocol::Http,
    };
    let mut builder = ureq::Proxy::builder(kind).host(url.host());
    let port = url.authority().strip_prefix(url.host())?.strip_prefix(':');
    if let Some(port) = port.and_then(|port| port.parse().ok()) {
        builder = builder.port(port);
    }
    if let Some((user, password)) = url.credentials() {
        builder = builder
            .username(&String::from_utf8_lossy(&user))
            .password(&String::from_utf8_lossy(&password));
    }
    builder.build().ok()
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// `bytes 100-199/200` → 100.
fn first_byte_of_range(text: &str) -> Option<u64> {
    text.strip_prefix("bytes ")?.split('-').next()?.trim().parse().ok()
}

/// Seconds, or a date that the server's own clock makes a duration.
fn retry_after(headers: &HeaderMap) -> Option<u64> {
    let value = text(headers, "retry-after")?;
    let until = || Some(parse_date(value)?.saturating_sub(parse_date(text(headers, "date")?)?));
    value.parse().ok().or_else(until)
}

/// RFC 7617.
fn basic(user: &[u8], password: &[u8]) -> String {
    format!("Basic {}", base64(&[user, b":", password].concat()))
}

/// RFC 4648, section 4.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let byte = |index: usize| group.get(index).copied().unwrap_or(0);
        let places = [
            byte(0) >> 2,
            byte(0) << 4 & 63 | byte(1) >> 4,
            byte(1) << 2 & 63 | byte(2) >> 6,
            byte(2) & 63,
        ];
        for (index, place) in places.into_iter().enumerate() {
            let digit = if index <= group.len() { DIGITS[usize::from(place)] } else { b'=' };
            text.push(char::from(digit));
        }
    }
    text
}

#[cfg(test)]
mod tests;
