//! Questions to systemd over the socket that systemctl itself uses, without a program in between: starting one costs
//! ten times as much as what it asks.
//!
//! Nobody else is on that line, so there is no greeting, no name, and no match rule: every connection hears all
//! signals. Source: "Authentication Protocol" of the D-Bus specification 0.43; methods: org.freedesktop.systemd1(5).

mod message;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::RecvFlags;

pub(super) use self::message::{Body, Properties, Property, Values};
use self::message::{ERROR, MANAGER, METHOD_RETURN, Message, SIGNAL, Target};
use super::error::AgentError;

/// Where systemd listens for root.
const SOCKET: &str = "/run/systemd/private";
/// "I am user 0", its digits as hexadecimal text.
const AUTHENTICATE: &[u8] = b"\0AUTH EXTERNAL 30\r\nBEGIN\r\n";
/// The interface of all objects that have properties. Source: "Standard Interfaces" of the D-Bus specification 0.43.
const PROPERTIES: &str = "org.freedesktop.DBus.Properties";
/// How long an answer may take, also that to `Reload`, for which all generators run.
const ANSWER: Duration = Duration::from_secs(120);
/// How long systemd may be away while it becomes another program.
const AWAY: Duration = Duration::from_secs(10);
const AGAIN: Duration = Duration::from_millis(5);

/// Asks systemd for `method`, whose values have the types `signature`; the values of its answer.
///
/// # Errors
///
/// [`AgentError::Systemd`] when it refuses; otherwise when it cannot be asked.
pub(super) fn call(
    method: &'static str,
    signature: &str,
    values: Body,
) -> Result<Vec<u8>, AgentError> {
    with_line(|line| line.call(MANAGER, (method, signature), values))
}

/// Asks units for properties of their kind: each is named by object, interface and name; the answers are variants.
///
/// # Errors
///
/// As [`call`].
pub(super) fn properties(wanted: &[(&str, &str, &str)]) -> Result<Vec<Vec<u8>>, AgentError> {
    let ask = |line: &mut Line, (object, interface, name): &(&str, &str, &str)| {
        let mut values = Body::default();
        values.string(interface);
        values.string(name);
        line.call((object, PROPERTIES), ("Get", "ss"), values)
    };
    with_line(|line| wanted.iter().map(|property| ask(line, property)).collect())
}

/// Reads an answer.
///
/// # Errors
///
/// When it has another form than expected.
pub(super) fn read<T>(
    method: &'static str,
    answer: &[u8],
    read: impl FnOnce(&mut Values<'_>) -> Option<T>,
) -> Result<T, AgentError> {
    let odd = || AgentError::Systemd { method, said: "its answer has another form".into() };
    read(&mut Values::of(answer)).ok_or_else(odd)
}

/// Has systemd do `method` with units, all at once, and waits for the end; tells what went wrong.
///
/// # Errors
///
/// When systemd cannot be asked, or is not done in time; units that fail are lines of the answer.
pub(super) fn jobs(
    method: &'static str,
    units: &BTreeSet<String>,
    within: Duration,
) -> Result<Vec<String>, AgentError> {
    with_line(|line| jobs_over(line, method, units, within))
}

fn jobs_over(
    line: &mut Line,
    method: &'static str,
    units: &BTreeSet<String>,
    within: Duration,
) -> Result<Vec<String>, AgentError> {
    let (mut waiting, mut problems) = (BTreeMap::new(), Vec::new());
    for unit in units {
        let mut values = Body::default();
        values.string(unit);
        values.string("replace");
        match line.call(MANAGER, (method, "ss"), values) {
            Ok(answer) => {
                let job = read(method, &answer, |values| values.string().map(str::to_owned))?;
                waiting.insert(job, unit);
            }
            Err(AgentError::Systemd { said, .. }) => problems.push(format!("{unit}: {said}")),
            Err(error) => return Err(error),
        }
    }
    let deadline = Instant::now() + within;
    loop {
        for (job, result) in std::mem::take(&mut line.ended) {
            if let Some(unit) = waiting.remove(&job).filter(|_| result != "done") {
                problems.push(format!("{unit}: its job ended with `{result}`"));
            }
        }
        if waiting.is_empty() {
            return Ok(problems);
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            let units: Vec<&str> = waiting.values().map(|unit| unit.as_str()).collect();
            let command = format!("{method} {}", units.join(" "));
            return Err(AgentError::Deadline { command, seconds: within.as_secs() });
        }
        line.hear(left)?;
    }
}

thread_local! {
    /// The connection that was used last. For each new one systemd sets up all its objects, which costs it more than
    /// most questions.
    static LINE: RefCell<Option<Line>> = const { RefCell::new(None) };
}

fn with_line<T>(work: impl FnOnce(&mut Line) -> Result<T, AgentError>) -> Result<T, AgentError> {
    let mut line = match LINE.take().and_then(Line::if_alive) {
        Some(line) => line,
        None => Line::new()?,
    };
    let result = work(&mut line);
    // After any other failure nobody knows where the conversation stands.
    if matches!(result, Ok(_) | Err(AgentError::Systemd { .. })) {
        LINE.set(Some(line));
    }
    result
}

/// Ends the connection, before this thread waits for somebody: systemd keeps all that happens for whoever listens.
pub(super) fn hang_up() {
    drop(LINE.take());
}

/// A connection to systemd.
struct Line {
    stream: UnixStream,
    /// The number of the last question.
    serial: u32,
    /// Jobs that were heard to end, with how.
    ended: Vec<(String, String)>,
}

impl Line {
    fn new() -> Result<Self, AgentError> {
        let stream = connect().and_then(authenticate).map_err(AgentError::at("ask", SOCKET))?;
        Ok(Self { stream, serial: 0, ended: Vec::new() })
    }

    /// The connection without what came meanwhile; none when systemd has ended it, as it does when it starts anew.
    fn if_alive(mut self) -> Option<Self> {
        let mut first = [0];
        let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
        loop {
            match rustix::net::recv(&self.stream, &mut first, flags) {
                Err(Errno::WOULDBLOCK) => break,
                Ok((1.., _)) => drop(self.hear(ANSWER).ok()?),
                Ok((0, _)) | Err(_) => return None,
            }
        }
        self.ended.clear();
        Some(self)
    }

    fn call(
        &mut self,
        target: Target<'_>,
        (method, signature): (&'static str, &str),
        values: Body,
    ) -> Result<Vec<u8>, AgentError> {
        self.serial += 1;
        let message = values.into_call(self.serial, target, (method, signature));
        self.stream.write_all(&message).map_err(AgentError::at("ask", SOCKET))?;
        let deadline = Instant::now() + ANSWER;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let seconds = ANSWER.as_secs();
                return Err(AgentError::Deadline { command: method.into(), seconds });
            }
            let Some(message) = self.hear(left)? else { continue };
            match message.kind {
                METHOD_RETURN if message.replies_to == Some(self.serial) => {
                    return Ok(message.body);
                }
                ERROR if message.replies_to == Some(self.serial) => {
                    let said = Values::of(&message.body).string().unwrap_or("no reason is given");
                    return Err(AgentError::Systemd { method, said: said.to_owned() });
                }
                _ => {}
            }
        }
    }

    /// The next message, when there is one within this time, which is more than none; the end of a job is noted.
    fn hear(&mut self, within: Duration) -> Result<Option<Message>, AgentError> {
        let read = self
            .stream
            .set_read_timeout(Some(within))
            .and_then(|()| Message::read(&mut self.stream));
        let message = match read {
            Ok(message) => message,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            Err(error) => return Err(AgentError::at("hear", SOCKET)(error)),
        };
        if message.kind == SIGNAL && message.member.as_deref() == Some("JobRemoved") {
            let mut values = Values::of(&message.body);
            // Its number, object, unit and result.
            let end = values.u32().and_then(|_| {
                let (job, _unit) = (values.string()?.to_owned(), values.string()?);
                Some((job, values.string()?.to_owned()))
            });
            self.ended.extend(end);
        }
        Ok(Some(message))
    }
}

fn connect() -> io::Result<UnixStream> {
    let deadline = Instant::now() + AWAY;
    loop {
        match UnixStream::connect(SOCKET) {
            Err(_) if Instant::now() < deadline => std::thread::sleep(AGAIN),
            other => return other,
        }
    }
}

fn authenticate(mut stream: UnixStream) -> io::Result<UnixStream> {
    stream.set_read_timeout(Some(ANSWER))?;
    stream.set_write_timeout(Some(ANSWER))?;
    stream.write_all(AUTHENTICATE)?;
    // `OK` and an identifier of the server. A question that came before it would lie there until another comes.
    let mut last = [0];
    while last != *b"\n" {
        stream.read_exact(&mut last)?;
    }
    Ok(stream)
}
