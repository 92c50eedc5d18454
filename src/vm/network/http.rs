//! The little HTTP/1.1 (RFC 9112) that a check needs: one GET, one answer, one connection.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use thiserror::Error;

use super::{ConnectError, Network};

/// The longest answer that is read.
const ANSWER_BYTES_MAX: usize = 4 << 20;

/// The longest header; servers send less than 8 KiB.
const HEAD_BYTES_MAX: usize = 64 << 10;

/// How many header lines an answer may have.
const HEADERS_MAX: usize = 200;

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// Header fields, names in lower case; of repeated ones the last.
    pub headers: BTreeMap<String, String>,
    /// The body.
    pub body: Vec<u8>,
}

/// No answer came.
#[derive(Debug, Error)]
pub enum HttpError {
    /// There was no connection.
    #[error("no HTTP connection to {to}")]
    Connect {
        /// The server.
        to: SocketAddr,
        /// Why.
        #[source]
        source: ConnectError,
    },
    /// The connection broke, or was too slow.
    #[error("the HTTP connection to {to} broke")]
    Broken {
        /// The server.
        to: SocketAddr,
        /// What the kernel said.
        #[source]
        source: std::io::Error,
    },
    /// What came is no HTTP answer.
    #[error("the answer of {to} is not HTTP: {reason}")]
    Malformed {
        /// The server.
        to: SocketAddr,
        /// What is wrong with it.
        reason: &'static str,
    },
}

/// Asks a server for `path` of the site `host`.
pub fn get(
    network: &Network,
    to: SocketAddr,
    (host, path): (&str, &str),
    within: Duration,
) -> Result<Answer, HttpError> {
    let deadline = Instant::now() + within;
    let connected = network.connect(to, within);
    let mut stream = connected.map_err(|source| HttpError::Connect { to, source })?;
    let broken = |source| HttpError::Broken { to, source };
    let request = format!(
        "GET {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: nexus-host\r\nConnection: close\r\n\r\n",
        one_word(path),
        one_word(host)
    );
    stream.write_all(request.as_bytes()).map_err(broken)?;
    let mut bytes = Vec::new();
    let mut buffer = vec![0; 32 << 10];
    loop {
        match parse(&bytes, false) {
            Ok(Some(answer)) => return Ok(answer),
            Ok(None) if bytes.len() <= ANSWER_BYTES_MAX => {}
            Ok(None) => return Err(HttpError::Malformed { to, reason: "it is too long" }),
            Err(reason) => return Err(HttpError::Malformed { to, reason }),
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(broken(std::io::ErrorKind::TimedOut.into()));
        }
        stream.set_read_timeout(Some(left)).map_err(broken)?;
        match stream.read(&mut buffer).map_err(broken)? {
            0 => {
                let reason = "it ends in the middle";
                let last =
                    parse(&bytes, true).map_err(|r| HttpError::Malformed { to, reason: r })?;
                return last.ok_or(HttpError::Malformed { to, reason });
            }
            count => bytes.extend_from_slice(&buffer[..count]),
        }
    }
}

/// A value of the user cannot add lines to the request.
fn one_word(text: &str) -> String {
    text.chars().filter(|c| !c.is_whitespace() && !c.is_control()).collect()
}

/// Reads an answer; `None` when more has to come.
fn parse(bytes: &[u8], ended: bool) -> Result<Option<Answer>, &'static str> {
    let front = &bytes[..bytes.len().min(HEAD_BYTES_MAX)];
    let Some(end) = front.windows(4).position(|four| four == b"\r\n\r\n") else {
        if front.len() == HEAD_BYTES_MAX {
            return Err("its header does not end");
        }
        let plausible = bytes.starts_with(b"HTTP/") || b"HTTP/".starts_with(bytes);
        return if plausible { Ok(None) } else { Err("it does not begin with HTTP/") };
    };
    let head = std::str::from_utf8(&bytes[..end]).map_err(|_| "its header is not text")?;
    let mut lines = head.split("\r\n");
    let status = parse_status(lines.next().unwrap_or_default())?;
    let mut headers = BTreeMap::new();
    for line in lines.take(HEADERS_MAX) {
        let (name, value) = line.split_once(':').ok_or("a header line has no colon")?;
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let rest = &bytes[end + 4..];
    let body = parse_body(status, &headers, rest, ended)?;
    Ok(body.map(|body| Answer { status, headers, body }))
}

fn parse_status(line: &str) -> Result<u16, &'static str> {
    let mut words = line.splitn(3, ' ');
    if !words.next().is_some_and(|version| version.starts_with("HTTP/1.")) {
        return Err("it does not begin with HTTP/1");
    }
    let code = words.next().filter(|code| code.len() == 3).and_then(|code| code.parse().ok());
    code.ok_or("it has no status code")
}

/// The body, by the rules of RFC 9112, section 6.3; `None` when it is not complete.
fn parse_body(
    status: u16,
    headers: &BTreeMap<String, String>,
    rest: &[u8],
    ended: bool,
) -> Result<Option<Vec<u8>>, &'static str> {
    if status == 204 || status == 304 || status / 100 == 1 {
        return Ok(Some(Vec::new()));
    }
    if headers.get("transfer-encoding").is_some_and(|coding| coding.ends_with("chunked")) {
        return parse_chunks(rest);
    }
    match headers.get("content-length") {
        Some(length) => {
            let length: usize = length.parse().map_err(|_| "its length is not a number")?;
            Ok(rest.get(..length).map(<[u8]>::to_vec))
        }
        None => Ok(ended.then(|| rest.to_vec())),
    }
}

fn parse_chunks(mut rest: &[u8]) -> Result<Option<Vec<u8>>, &'static str> {
    let mut body = Vec::new();
    loop {
        let Some(end) = rest.windows(2).position(|two| two == b"\r\n") else { return Ok(None) };
        let line = std::str::from_utf8(&rest[..end]).map_err(|_| "a chunk's length is not text")?;
        let digits = line.split(';').next().unwrap_or_default().trim();
        let length = usize::from_str_radix(digits, 16).map_err(|_| "a chunk has no length")?;
        if length == 0 {
            return Ok(Some(body));
        }
        let after = &rest[end + 2..];
        let Some(after_chunk) = length.checked_add(2).and_then(|both| after.get(both..)) else {
            return Ok(None);
        };
        body.extend_from_slice(&after[..length]);
        rest = after_chunk;
    }
}

#[cfg(test)]
mod tests;
