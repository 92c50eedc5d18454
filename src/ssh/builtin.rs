//! The client that needs nothing installed: libssh2.
//!
//! A session of libssh2 does one thing at a time, so each connection has a session of its own.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs as _};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::net::sockopt;
use ssh2::{ErrorCode, MethodType, Session};

use super::known_hosts::HostKey;
use super::select::{Target, judge_key};
use super::{Connection, ERRORS_BYTES_MAX, Ended, Remote, SshError, Transport, patience};
use crate::exec::interrupt::{Interrupt, Interrupted};

/// How long a TCP connection may take to come about.
const CONNECT: Duration = Duration::from_secs(10);
/// How long greeting and login may take; emulated machines need seconds for a key exchange.
const LOGIN_MILLISECONDS: u32 = 60_000;
/// How often a wait looks whether the user wants to stop.
const LOOK_MILLISECONDS: u32 = 250;
/// How long the other side may take to let us send more.
const SEND_MILLISECONDS: u32 = 60_000;
/// After this much silence the kernel asks whether the other side is there.
const QUIET: Duration = Duration::from_secs(5);
/// So many questions without an answer end the connection.
const QUESTIONS: u32 = 4;
/// What was sent must be acknowledged within this, or the connection ends.
const ACKNOWLEDGE_MILLISECONDS: u32 = 20_000;
/// The stream of a channel that carries standard error: `SSH_EXTENDED_DATA_STDERR` of RFC 4254, section 5.2.
const STANDARD_ERROR: i32 = 1;
/// Host keys that we take, best first, when nothing is known about a machine.
const HOST_KEY_KINDS: [&str; 5] = [
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "rsa-sha2-512",
];

/// The built-in client for one machine.
#[derive(Debug)]
pub struct Builtin {
    target: Target,
    shown: String,
    interrupt: Interrupt,
}

impl Builtin {
    /// A client for `target`; connects to nothing yet.
    pub fn new(target: Target, interrupt: Interrupt) -> Self {
        let place = super::known_hosts::name_of(&target.host, target.port);
        Self { shown: format!("{}@{place}", target.user), target, interrupt }
    }
}

impl Transport for Builtin {
    fn connect(&self) -> Result<Box<dyn Connection>, SshError> {
        self.interrupt.check()?;
        let target = &self.target;
        let stream = connect(target)?;
        let address = super::known_hosts::name_of(&target.host, target.port);
        let fail = |source| SshError::Handshake { address: address.clone(), source };
        let mut session = Session::new().map_err(fail)?;
        session.set_tcp_stream(stream);
        session.set_timeout(LOGIN_MILLISECONDS);
        session.method_pref(MethodType::HostKey, &host_key_kinds(target)).map_err(fail)?;
        session.handshake().map_err(fail)?;
        let key = session.host_key().map(|(key, _)| HostKey::from_blob(key));
        judge_key(target, key.unwrap_or_else(|| HostKey::from_blob(&[])))?;
        log_in(&session, target, &address)?;
        Ok(Box::new(Login { session, interrupt: self.interrupt.clone() }))
    }

    fn shown(&self) -> String {
        self.shown.clone()
    }

    fn host(&self) -> &str {
        &self.target.host
    }
}

/// A TCP connection to the first address of the machine that takes one.
fn connect(target: &Target) -> Result<TcpStream, SshError> {
    let resolved: Vec<SocketAddr> = (target.host.as_str(), target.port)
        .to_socket_addrs()
        .map_err(|source| SshError::Resolve { host: target.host.clone(), source })?
        .collect();
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for address in resolved {
        match TcpStream::connect_timeout(&address, CONNECT) {
            Ok(stream) => {
                watch_over(&stream).map_err(SshError::Broken)?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    let address = super::known_hosts::name_of(&target.host, target.port);
    Err(SshError::Connect { address, source: last })
}

/// Has the kernel notice when the other side is gone, and send without delay.
///
/// Not libssh2's own keepalive: with it, every wait that is longer than its interval ends as timed out.
fn watch_over(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    sockopt::set_socket_keepalive(stream, true)?;
    sockopt::set_tcp_keepidle(stream, QUIET)?;
    sockopt::set_tcp_keepintvl(stream, QUIET)?;
    sockopt::set_tcp_keepcnt(stream, QUESTIONS)?;
    sockopt::set_tcp_user_timeout(stream, ACKNOWLEDGE_MILLISECONDS)?;
    Ok(())
}

/// Types of host keys to ask for: those that are known first, so that a machine with several shows a known one.
fn host_key_kinds(target: &Target) -> String {
    let known = target.known.kinds(&target.host, target.port);
    let known = known.into_iter().map(|kind| if kind == "ssh-rsa" { "rsa-sha2-512" } else { kind });
    let mut kinds: Vec<&str> = known.collect();
    kinds.retain(|kind| HOST_KEY_KINDS.contains(kind));
    let more: Vec<&str> = HOST_KEY_KINDS.into_iter().filter(|kind| !kinds.contains(kind)).collect();
    kinds.extend(more);
    kinds.join(",")
}

fn log_in(session: &Session, target: &Target, address: &str) -> Result<(), SshError> {
    let mut tried = Vec::new();
    for key in target.keys.iter().filter(|key| key.is_file()) {
        match session.userauth_pubkey_file(&target.user, None, key, None) {
            Ok(()) => return Ok(()),
            Err(error) => tried.push(format!("{} ({})", key.display(), why(key, &error))),
        }
    }
    if !target.files_only {
        match by_agent(session, &target.user) {
            Ok(true) => return Ok(()),
            Ok(false) => tried.push("the agent's keys".to_owned()),
            // There is none, or it does not answer.
            Err(_) => {}
        }
    }
    if tried.is_empty() {
        let places = target.keys.iter().map(|key| key.display().to_string()).collect();
        return Err(SshError::NoKey { places });
    }
    Err(SshError::Denied { address: address.to_owned(), user: target.user.clone(), tried })
}

fn why(key: &Path, error: &ssh2::Error) -> String {
    let locked = crate::exec::files::read_limited(key, 1 << 20)
        .is_ok_and(|text| is_locked(&String::from_utf8_lossy(&text)));
    if locked { "it has a passphrase: `ssh-add` it".into() } else { error.message().to_owned() }
}

/// Whether a private key is encrypted: the cipher's name in OpenSSH's form (PROTOCOL.key) is not `none`.
fn is_locked(text: &str) -> bool {
    use base64::Engine as _;
    if text.contains("ENCRYPTED") {
        return true;
    }
    let body: String = text.lines().filter(|line| !line.starts_with('-')).collect();
    let bytes = base64::engine::general_purpose::STANDARD.decode(body).unwrap_or_default();
    let rest = bytes.strip_prefix(b"openssh-key-v1\0");
    rest.is_some_and(|rest| !rest.starts_with(b"\0\0\0\x04none"))
}

fn by_agent(session: &Session, user: &str) -> Result<bool, ssh2::Error> {
    let mut agent = session.agent()?;
    agent.connect()?;
    agent.list_identities()?;
    let keys = agent.identities()?;
    if keys.is_empty() {
        return Err(ssh2::Error::new(ErrorCode::Session(0), "the agent has no keys"));
    }
    Ok(keys.iter().any(|key| agent.userauth(user, key).is_ok()))
}

/// A login over its own connection.
struct Login {
    session: Session,
    interrupt: Interrupt,
}

impl Connection for Login {
    fn start(&mut self, command: &str) -> Result<Box<dyn Remote>, SshError> {
        self.session.set_timeout(LOGIN_MILLISECONDS);
        let broken = |error: ssh2::Error| SshError::Broken(error.into());
        let mut channel = self.session.channel_session().map_err(broken)?;
        channel.exec(command).map_err(broken)?;
        let (session, interrupt) = (self.session.clone(), self.interrupt.clone());
        Ok(Box::new(Running { session, interrupt, channel, errors: Vec::new(), deadline: None }))
    }
}

impl Drop for Login {
    fn drop(&mut self) {
        self.session.set_timeout(LOOK_MILLISECONDS);
        let _gone = self.session.disconnect(None, "done", None);
    }
}

/// A command on the machine.
struct Running {
    session: Session,
    interrupt: Interrupt,
    channel: ssh2::Channel,
    errors: Vec<u8>,
    deadline: Option<Instant>,
}

impl Running {
    /// Tries again as long as only time has passed.
    fn patiently<T>(
        &mut self,
        mut action: impl FnMut(&mut ssh2::Channel) -> io::Result<T>,
    ) -> io::Result<T> {
        self.session.set_timeout(LOOK_MILLISECONDS);
        let until = patience(self.deadline);
        loop {
            if self.interrupt.is_set() {
                return Err(io::Error::other(Interrupted));
            }
            match action(&mut self.channel) {
                Err(error) if is_timeout(&error) && Instant::now() < until => {}
                other => return other,
            }
        }
    }

    /// Takes what has come of standard error.
    fn drain_errors(&mut self) -> io::Result<()> {
        let mut piece = [0; 4096];
        loop {
            let count =
                self.patiently(|channel| channel.stream(STANDARD_ERROR).read(&mut piece))?;
            if count == 0 {
                return Ok(());
            }
            self.errors.extend_from_slice(&piece[..count]);
            let over = self.errors.len().saturating_sub(ERRORS_BYTES_MAX);
            self.errors.drain(..over);
        }
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock)
}

impl Read for Running {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.patiently(|channel| channel.read(buffer))
    }
}

impl Write for Running {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.interrupt.is_set() {
            return Err(io::Error::other(Interrupted));
        }
        self.session.set_timeout(SEND_MILLISECONDS);
        match self.channel.write(bytes) {
            Ok(0) if !bytes.is_empty() => Err(io::ErrorKind::BrokenPipe.into()),
            other => other,
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Remote for Running {
    fn close_input(&mut self) -> Result<(), SshError> {
        self.session.set_timeout(SEND_MILLISECONDS);
        self.channel.send_eof().map_err(|error| SshError::Broken(error.into()))
    }

    fn limit(&mut self, within: Option<Duration>) {
        self.deadline = within.map(|within| Instant::now() + within);
    }

    fn finish(mut self: Box<Self>) -> Result<Ended, SshError> {
        let mut piece = [0; 4096];
        while self.read(&mut piece).map_err(SshError::broken)? > 0 {}
        self.drain_errors().map_err(SshError::broken)?;
        self.patiently(|channel| channel.wait_eof().map_err(Into::into))
            .map_err(SshError::broken)?;
        self.patiently(|channel| channel.close().map_err(Into::into)).map_err(SshError::broken)?;
        self.patiently(|channel| channel.wait_close().map_err(Into::into))
            .map_err(SshError::broken)?;
        let broken = |error: ssh2::Error| SshError::Broken(error.into());
        let signal = self.channel.exit_signal().map_err(broken)?.exit_signal;
        let status = match signal {
            None => self.channel.exit_status().map_err(broken)?,
            Some(_) => 128,
        };
        let errors = String::from_utf8_lossy(&self.errors).into_owned();
        Ok(Ended { status, errors })
    }
}
