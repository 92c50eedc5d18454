//! The agent on a machine, asked over SSH.

use std::io::{BufRead as _, BufReader, Read as _};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::difference::Manifest;
use super::error::DeployError;
use super::reply::{Event, PlanReply, Status, plain};
use super::talk::{Asked, Talk};
use crate::agent::places::AGENT;
use crate::generation::Nonce;
use crate::ssh::{Connection, Ended, SshError, Transport};
use crate::store::{StoreDir, StorePath};

/// Most bytes of an answer.
const ANSWER_BYTES_MAX: u64 = 64 << 20;
/// Most bytes of one event.
const EVENT_BYTES_MAX: u64 = 4 << 20;
/// How long an agent may say nothing of an activation, several times as long as it lets pass ([`STILL`]), or
/// of the machine's status. A connection that goes through another machine may look alive when its end is not.
///
/// [`STILL`]: crate::agent::events::STILL
const SILENCE: Duration = Duration::from_secs(60);
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
    // Before the connection that it goes over, so that it ends first.
    talk: Talk,
    connection: Box<dyn Connection>,
}

impl std::fmt::Debug for Agent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Agent").finish_non_exhaustive()
    }
}

/// What a look at a machine has shown; what is not [`Status`] is as the agent says it.
#[derive(Debug)]
pub struct Seen {
    /// What it runs.
    pub status: Status,
    /// The same.
    pub raw: Value,
    /// How its health checks go.
    pub checks: Value,
    /// Units that somebody started or stopped.
    pub drift: Value,
}

impl Agent {
    /// Logs in, over a new connection.
    ///
    /// # Errors
    ///
    /// When the machine cannot be reached; whether it has an agent is seen at the first question.
    pub fn connect(way: &dyn Transport) -> Result<Self, DeployError> {
        Ok(Self { talk: Talk::default(), connection: way.connect()? })
    }

    /// What there is to say about the machine.
    pub fn status(&mut self) -> Result<Status, DeployError> {
        self.status_and_text().map(|(status, _)| status)
    }

    /// The same, as the agent says it, with how its health checks go, and which units are not as its system says.
    pub fn seen(&mut self) -> Result<Seen, DeployError> {
        let (status, text) = self.status_and_text()?;
        // 6: a check fails, which is an answer.
        let (checks, _) = self.run(&["check", "--json"], &[], &[6], None)?;
        let drift = self.succeed(&["drift", "--json"])?;
        let json = |command: &str, text: &[u8]| {
            serde_json::from_slice::<Value>(text).map_err(|error| DeployError::Reply {
                command: command.into(),
                problem: error.to_string(),
            })
        };
        let (raw, checks) = (json("status", &text)?, json("check", &checks)?);
        Ok(Seen { status, raw, checks, drift: json("drift", &drift)? })
    }

    /// Those of `paths` that the machine lacks, in the given order.
    pub fn missing(&mut self, paths: &[StorePath]) -> Result<Vec<StorePath>, DeployError> {
        let directory = StoreDir::default();
        let lines: String =
            paths.iter().map(|path| format!("{}\n", directory.join(path))).collect();
        // An empty line ends them.
        let (text, _) = self.run(&["missing"], format!("{lines}\n").as_bytes(), &[], None)?;
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
    pub fn manifest(&mut self, system: &str) -> Result<Manifest, DeployError> {
        self.answer(&["manifest", system], Manifest::parse)
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
        self.run(words, &[], &[], None).map(|(output, _)| output)
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
        let mut last = None;
        let mut lines = BufReader::new(self.ask(words, &[])?);
        loop {
            lines.get_mut().limit(Some(SILENCE));
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
            if line.is_empty() {
                // It is still at it.
                continue;
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

    /// Begins a command that reads `input` first; the caller leads what follows.
    pub(super) fn ask(&mut self, words: &[&str], input: &[u8]) -> Result<Asked<'_>, DeployError> {
        let connection = &mut self.connection;
        Ok(self.talk.ask(|| connection.start(&command_line()), words, input)?)
    }

    fn status_and_text(&mut self) -> Result<(Status, Vec<u8>), DeployError> {
        let (text, _) = self.run(&["status", "--json"], &[], &[], Some(SILENCE))?;
        let reply = |problem| DeployError::Reply { command: "status".into(), problem };
        Ok((Status::parse(&text).map_err(reply)?, text))
    }

    /// Runs a command that reads `input` and ends well, or with one of the codes `also`.
    fn run(
        &mut self,
        words: &[&str],
        input: &[u8],
        also: &[i32],
        within: Option<Duration>,
    ) -> Result<(Vec<u8>, Ended), DeployError> {
        let mut asked = self.ask(words, input)?;
        asked.limit(within);
        let (mut output, limit) = (Vec::new(), ANSWER_BYTES_MAX);
        (&mut asked).take(limit + 1).read_to_end(&mut output).map_err(SshError::broken)?;
        if output.len() as u64 > limit {
            return Err(SshError::TooMuch { limit }.into());
        }
        let ended = asked.finish()?;
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

/// The agent as root: through `sudo`, which must not ask, unless root, who owns `/`, has logged in.
fn command_line() -> String {
    format!("if [ -O / ]; then exec {AGENT} serve; else exec sudo -n {AGENT} serve; fi")
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
