//! The agent on a machine, asked over SSH.

use std::io::{BufRead as _, BufReader, Read as _};
use std::sync::Arc;

use serde_json::Value;

use super::difference::Manifest;
use super::error::DeployError;
use super::reply::{Event, PlanReply, Status, plain};
use crate::agent::places::AGENT;
use crate::exec::process::shell_word;
use crate::generation::Nonce;
use crate::ssh::{Connection, Ended, SshError, Transport, run};
use crate::store::{StoreDir, StorePath};

/// Most bytes of an answer.
const ANSWER_BYTES_MAX: u64 = 64 << 20;
/// Most bytes of one event.
const EVENT_BYTES_MAX: u64 = 4 << 20;
/// What a shell says of a program that is not there.
const NOT_FOUND: i32 = 127;

/// Ways to one machine, the usual one first; at least one.
#[derive(Clone)]
pub struct Ways(Vec<Arc<dyn Transport>>);

impl Ways {
    /// `None` when there is none.
    pub fn new(ways: Vec<Arc<dyn Transport>>) -> Option<Self> {
        (!ways.is_empty()).then_some(Self(ways))
    }

    /// The usual way.
    pub fn first(&self) -> &dyn Transport {
        &*self.0[0]
    }

    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = &dyn Transport> {
        self.0.iter().map(|way| &**way)
    }
}

impl std::fmt::Debug for Ways {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.all().map(Transport::shown)).finish()
    }
}

/// The agent, over one login.
pub struct Agent {
    connection: Box<dyn Connection>,
}

impl std::fmt::Debug for Agent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Agent").finish_non_exhaustive()
    }
}

impl Agent {
    /// Logs in, over a new connection.
    ///
    /// # Errors
    ///
    /// When the machine cannot be reached; whether it has an agent is seen at the first question.
    pub fn connect(way: &dyn Transport) -> Result<Self, DeployError> {
        Ok(Self { connection: way.connect()? })
    }

    /// What there is to say about the machine.
    pub fn status(&mut self) -> Result<Status, DeployError> {
        self.answer(&["status", "--json"], Status::parse)
    }

    /// The same, and how its health checks go, as the agent says it.
    pub fn status_and_checks(&mut self) -> Result<(Status, Value, Value), DeployError> {
        let text = self.succeed(&["status", "--json"])?;
        let reply = |problem| DeployError::Reply { command: "status".into(), problem };
        let status = Status::parse(&text).map_err(reply)?;
        let raw = serde_json::from_slice(&text).map_err(|error| reply(error.to_string()))?;
        // 6: a check fails, which is an answer.
        let (text, _) = self.run(&["check", "--json"], &[], &[6])?;
        let checks = serde_json::from_slice(&text).map_err(|error| reply(error.to_string()))?;
        Ok((status, raw, checks))
    }

    /// Those of `paths` that the machine lacks, in the given order.
    pub fn missing(&mut self, paths: &[StorePath]) -> Result<Vec<StorePath>, DeployError> {
        let directory = StoreDir::default();
        let lines: String =
            paths.iter().map(|path| format!("{}\n", directory.join(path))).collect();
        let (text, _) = self.run(&["missing"], lines.as_bytes(), &[])?;
        let wrong = |problem: String| DeployError::Reply { command: "missing".into(), problem };
        let text = String::from_utf8(text).map_err(|_| wrong("it is no text".into()))?;
        let base = |line: &str| line.rsplit('/').next().unwrap_or_default().to_owned();
        let named: std::collections::BTreeSet<String> = text.lines().map(base).collect();
        let missing: Vec<StorePath> =
            paths.iter().filter(|path| named.contains(path.as_str())).cloned().collect();
        if missing.len() != named.len() {
            return Err(wrong("it names paths that were not asked about".into()));
        }
        Ok(missing)
    }

    /// What a system on the machine says about itself.
    pub fn manifest(&mut self, system: &str) -> Result<(Manifest, Vec<u8>), DeployError> {
        let base = system.rsplit('/').next().unwrap_or_default();
        let wrong = |problem: String| DeployError::Reply { command: "manifest".into(), problem };
        let path = StorePath::from_base_name(base).map_err(|error| wrong(error.to_string()))?;
        let command = format!(
            "cat {}",
            shell_word(&format!("{}/manifest.json", StoreDir::default().join(&path)))
        );
        let (text, ended) = run(&mut *self.connection, &command, &[], ANSWER_BYTES_MAX)?;
        if ended.status != 0 {
            return Err(wrong(ended.errors));
        }
        Ok((Manifest::parse(&text).map_err(wrong)?, text))
    }

    /// What an activation of `system` would do.
    pub fn plan(
        &mut self,
        system: &StorePath,
        level: &str,
    ) -> Result<(PlanReply, Value), DeployError> {
        let system = StoreDir::default().join(system);
        let words = ["plan", &system, "--json", "--level", level];
        let text = self.succeed(&words)?;
        let reply = |problem| DeployError::Reply { command: "plan".into(), problem };
        let plan = PlanReply::parse(&text).map_err(reply)?;
        let raw = serde_json::from_slice(&text).map_err(|error| reply(error.to_string()))?;
        Ok((plan, raw))
    }

    /// Keeps what waits to be confirmed.
    pub fn confirm(&mut self, nonce: &Nonce) -> Result<(), DeployError> {
        self.succeed(&["confirm", nonce.as_str()]).map(drop)
    }

    /// Runs a command that ends well; what it wrote.
    pub fn succeed(&mut self, words: &[&str]) -> Result<Vec<u8>, DeployError> {
        self.run(words, &[], &[]).map(|(output, _)| output)
    }

    /// Runs a command that writes events, and shows each; answers the last one, and where the log goes on.
    ///
    /// # Errors
    ///
    /// When the connection breaks, or the agent fails before it has said how it ended.
    pub(super) fn follow(
        &mut self,
        words: &[&str],
        seen: &mut dyn FnMut(&Event),
    ) -> Result<Option<Event>, DeployError> {
        let mut remote = self.connection.start(&command_line(words))?;
        remote.close_input()?;
        let mut last = None;
        let mut lines = BufReader::new(remote);
        loop {
            let mut line = Vec::new();
            let count = (&mut lines).take(EVENT_BYTES_MAX).read_until(b'\n', &mut line);
            let count = count.map_err(SshError::broken)?;
            if count == 0 {
                break;
            }
            if line.pop() != Some(b'\n') {
                // The connection ended within a line, or the line has no end.
                return Err(SshError::Broken(std::io::ErrorKind::UnexpectedEof.into()).into());
            }
            let line = String::from_utf8_lossy(&line);
            let event = Event::parse(&line)
                .map_err(|problem| DeployError::Reply { command: words[0].to_owned(), problem })?;
            seen(&event);
            last = Some(event);
        }
        let ended = lines.into_inner().finish()?;
        match (&last, ended.status) {
            (None, status) if status != 0 => Err(failed(words, &ended)),
            _ => Ok(last),
        }
    }

    /// Starts a command whose conversation the caller leads.
    pub(super) fn start(
        &mut self,
        words: &[&str],
    ) -> Result<Box<dyn crate::ssh::Remote + '_>, DeployError> {
        Ok(self.connection.start(&command_line(words))?)
    }

    fn run(
        &mut self,
        words: &[&str],
        input: &[u8],
        also: &[i32],
    ) -> Result<(Vec<u8>, Ended), DeployError> {
        let command = command_line(words);
        let (output, ended) = run(&mut *self.connection, &command, input, ANSWER_BYTES_MAX)?;
        if ended.status != 0 && !also.contains(&ended.status) {
            return Err(failed(words, &ended));
        }
        Ok((output, ended))
    }

    fn answer<T>(
        &mut self,
        words: &[&str],
        parse: fn(&[u8]) -> Result<T, String>,
    ) -> Result<T, DeployError> {
        let text = self.succeed(words)?;
        let command = words[0].to_owned();
        parse(&text).map_err(|problem| DeployError::Reply { command, problem })
    }
}

/// The agent as root: through `sudo`, which must not ask, unless root has logged in.
fn command_line(words: &[&str]) -> String {
    let words: Vec<String> = words.iter().map(|word| shell_word(word)).collect();
    let agent = format!("{AGENT} {}", words.join(" "));
    format!("if [ \"$(id -u)\" = 0 ]; then exec {agent}; else exec sudo -n {agent}; fi")
}

/// The agent's words as an error: `error: …`, `  caused by: …`, `help: …`.
pub(super) fn failed(words: &[&str], ended: &Ended) -> DeployError {
    let command = words.first().copied().unwrap_or_default().to_owned();
    let (mut said, mut help) = (Vec::new(), None);
    for line in ended.errors.lines() {
        if let Some(text) = line.strip_prefix("help: ") {
            help = Some(plain(text));
        } else {
            let text = line.trim().trim_start_matches("error: ").trim_start_matches("caused by: ");
            said.push(plain(text));
        }
    }
    let said =
        if said.is_empty() { format!("exit code {}", ended.status) } else { said.join(": ") };
    if ended.status == NOT_FOUND || said.contains(&format!("{AGENT}: command not found")) {
        return DeployError::NoAgent { said };
    }
    DeployError::Agent { command, code: ended.status, said, help }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_stay_words() {
        let line = command_line(&["activate", "/nix/store/x", "--by", "me; rm -rf $HOME 'x'"]);
        assert!(line.contains(r"'--by' 'me; rm -rf $HOME '\''x'\'''; else"), "{line}");
    }

    #[test]
    fn the_agents_words_become_an_error() {
        let errors = "error: the host is being changed: somebody\n  caused by: x\nhelp: wait\n";
        let ended = Ended { status: 7, errors: errors.into() };
        let error = failed(&["activate"], &ended);
        assert_eq!(error.to_string(), "the host is being changed: somebody: x");
        assert_eq!((error.help().as_deref(), error.may_pass()), (Some("wait"), true));
        let ended = Ended { status: 127, errors: "sh: 1: nexus-agent: not found".into() };
        assert!(matches!(failed(&["status"], &ended), DeployError::NoAgent { .. }));
    }
}
