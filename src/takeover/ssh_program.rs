//! Ways to a machine through the user's own `ssh` program: his configuration, agent and known hosts.

use std::ffi::{OsStr, OsString};
use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use super::{Answer, Shell, ShellError, Ways};
use crate::exec::files::write_atomic;
use crate::exec::process::command;

/// Seconds that one connection may take to come about.
const CONNECT_SECONDS: u32 = 15;
/// Time between two tries, and between two looks whether a command has ended.
const AGAIN: Duration = Duration::from_secs(2);
const LOOK: Duration = Duration::from_millis(20);
/// Most bytes of standard output and of standard error that are kept.
const STREAM_BYTES_MAX: u64 = 8 << 20;
/// What the program needs of the user's environment.
pub const VARIABLES: [&str; 5] = ["HOME", "PATH", "SSH_AUTH_SOCK", "SSH_ASKPASS", "TERM"];
/// The name by which the new host's key is looked up.
const ALIAS: &str = "nexus-host-new";
/// Every connection is one of its own, and ends when the machine does.
const OPTIONS: [&str; 6] = [
    "ControlMaster=no",
    "ControlPath=none",
    "ServerAliveInterval=10",
    "ServerAliveCountMax=3",
    "ForwardAgent=no",
    "BatchMode=yes",
];

/// Who logs in where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// The account; `None` leaves it to the program.
    pub user: Option<String>,
    /// Name or address, as the program is given it.
    pub host: String,
    /// The port; `None` leaves it to the program.
    pub port: Option<u16>,
}

/// A login that cannot be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not USER@ADDRESS or USER@ADDRESS:PORT")]
pub struct LoginError(String);

impl std::str::FromStr for Login {
    type Err = LoginError;

    /// Reads `USER@ADDRESS:PORT`; user and port may be missing, an IPv6 address with a port is in brackets.
    fn from_str(text: &str) -> Result<Self, LoginError> {
        let fail = || LoginError(text.chars().take(200).collect());
        let (user, rest) = match text.rsplit_once('@') {
            Some((user, rest)) => (Some(user.to_owned()), rest),
            None => (None, text),
        };
        let (host, port) = match rest.strip_prefix('[').map(|rest| rest.split_once(']')) {
            Some(Some((host, ""))) => (host, None),
            Some(Some((host, port))) => (host, Some(port.strip_prefix(':').ok_or_else(fail)?)),
            Some(None) => return Err(fail()),
            None if rest.matches(':').count() == 1 => {
                rest.split_once(':').map(|(host, port)| (host, Some(port))).ok_or_else(fail)?
            }
            None => (rest, None),
        };
        // What begins with a dash would be an option of the program.
        let plain = |text: &str| {
            let good = |c: char| c.is_ascii_alphanumeric() || "._-:%".contains(c);
            !text.is_empty() && !text.starts_with('-') && text.chars().all(good)
        };
        if !plain(host) || user.as_deref().is_some_and(|user| !plain(user)) {
            return Err(fail());
        }
        let port = port.map(str::parse).transpose().map_err(|_| fail())?;
        Ok(Self { user, host: host.to_owned(), port })
    }
}

/// The ways of one takeover.
#[derive(Debug)]
pub struct SshProgram {
    /// How to log in to the machine as it is found.
    pub old: Login,
    /// How to log in to the new host.
    pub new: Login,
    /// Variables of [`VARIABLES`], as the user has them.
    pub variables: Vec<(OsString, OsString)>,
    /// A directory for the key of the new host.
    pub directory: PathBuf,
}

impl Ways for SshProgram {
    fn old(&mut self, within: Duration) -> Result<Box<dyn Shell + '_>, ShellError> {
        let login = self.old.clone();
        self.reach(&login, Vec::new(), within)
    }

    fn new_host(
        &mut self,
        host_key: Option<&str>,
        within: Duration,
    ) -> Result<Box<dyn Shell + '_>, ShellError> {
        let login = self.new.clone();
        let Some(key) = host_key else { return self.reach(&login, Vec::new(), within) };
        let known = self.directory.join("known_hosts");
        write_atomic(&known, format!("{ALIAS} {key}\n").as_bytes()).map_err(|error| {
            ShellError {
                action: "the new host's key cannot be noted".into(),
                source: Some(Box::new(error)),
            }
        })?;
        let options = vec![
            format!("UserKnownHostsFile={}", known.display()),
            "GlobalKnownHostsFile=/dev/null".to_owned(),
            format!("HostKeyAlias={ALIAS}"),
            "StrictHostKeyChecking=yes".to_owned(),
        ];
        self.reach(&login, options, within)
    }
}

impl SshProgram {
    /// Tries until a command runs there.
    fn reach(
        &self,
        login: &Login,
        options: Vec<String>,
        within: Duration,
    ) -> Result<Box<dyn Shell + '_>, ShellError> {
        let deadline = Instant::now() + within;
        let mut shell = SshShell { ways: self, login: login.clone(), options };
        loop {
            let one = Duration::from_secs(u64::from(CONNECT_SECONDS) * 2);
            let error = match shell.run("true", &mut std::io::empty(), one) {
                Ok(answer) if answer.status == 0 => return Ok(Box::new(shell)),
                Ok(answer) => ShellError {
                    action: format!("cannot log in to {}: {}", login.host, answer.errors.trim()),
                    source: None,
                },
                Err(error) => error,
            };
            if Instant::now() + AGAIN >= deadline {
                return Err(error);
            }
            std::thread::sleep(AGAIN);
        }
    }
}

/// A shell of one login; each command is a connection.
struct SshShell<'a> {
    ways: &'a SshProgram,
    login: Login,
    options: Vec<String>,
}

impl SshShell<'_> {
    /// Arguments of the program for a command, which becomes root's where the login is not.
    fn arguments(&self, command: &str) -> Vec<String> {
        let mut words = vec!["-T".to_owned()];
        for option in OPTIONS.iter().map(|option| (*option).to_owned()).chain(self.options.clone())
        {
            words.extend(["-o".to_owned(), option]);
        }
        words.extend(["-o".to_owned(), format!("ConnectTimeout={CONNECT_SECONDS}")]);
        if let Some(port) = self.login.port {
            words.extend(["-p".to_owned(), port.to_string()]);
        }
        if let Some(user) = &self.login.user {
            words.extend(["-l".to_owned(), user.clone()]);
        }
        let quoted = super::talk::quoted(command);
        let as_root = format!(
            "if [ \"$(id -u)\" = 0 ]; then exec sh -c {quoted}; fi; exec sudo -n sh -c {quoted}"
        );
        words.extend(["--".to_owned(), self.login.host.clone(), as_root]);
        words
    }
}

impl Shell for SshShell<'_> {
    fn run(
        &mut self,
        line: &str,
        input: &mut dyn Read,
        within: Duration,
    ) -> Result<Answer, ShellError> {
        let fail = |what: &str, error: std::io::Error| ShellError {
            action: format!("{what} {}", self.login.host),
            source: Some(Box::new(error)),
        };
        let mut child = command(OsStr::new("ssh"))
            .args(self.arguments(line))
            .envs(self.ways.variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| fail("cannot start `ssh` to", error))?;
        let (mut to, from) = (child.stdin.take(), (child.stdout.take(), child.stderr.take()));
        let output = keep(from.0.expect("it is piped"));
        let errors = keep(from.1.expect("it is piped"));
        // A command that ends early does not read all of it; its status tells why.
        let _cut = send(input, to.as_mut().expect("it is piped"));
        drop(to);
        let status =
            wait(&mut child, within).map_err(|error| fail("waited too long for", error))?;
        let output = output.join().unwrap_or_default();
        let errors = String::from_utf8_lossy(&errors.join().unwrap_or_default()).into_owned();
        // 255 is the program's own; commands of ours never end with it.
        if status == 255 {
            let action = format!("cannot reach {}: {}", self.login.host, errors.trim());
            return Err(ShellError { action, source: None });
        }
        Ok(Answer { status, output, errors })
    }
}

fn send(input: &mut dyn Read, to: &mut dyn Write) -> std::io::Result<u64> {
    let count = std::io::copy(input, to)?;
    to.flush()?;
    Ok(count)
}

fn wait(child: &mut Child, within: Duration) -> std::io::Result<i32> {
    let deadline = Instant::now() + within;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status.code().unwrap_or(255));
        }
        if Instant::now() >= deadline {
            child.kill()?;
            child.wait()?;
            return Err(std::io::ErrorKind::TimedOut.into());
        }
        std::thread::sleep(LOOK);
    }
}

/// Reads a stream beside, so that the program never waits for us.
fn keep(mut stream: impl Read + Send + 'static) -> std::thread::JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let _cut = stream.by_ref().take(STREAM_BYTES_MAX).read_to_end(&mut bytes);
        let _rest = std::io::copy(&mut stream, &mut std::io::sink());
        bytes
    })
}

#[cfg(test)]
mod tests;
