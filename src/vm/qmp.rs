//! QEMU's monitor: one JSON object a line in both directions (QEMU's `docs/interop/qmp-spec.rst`).

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::error::Problem;

/// The longest answer; those to the commands used here have a few hundred bytes.
const ANSWER_BYTES_MAX: u64 = 256 << 10;

/// How long the monitor may take for one answer, also on a loaded machine.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// A connection to QEMU's monitor.
#[derive(Debug)]
pub struct Monitor {
    reader: BufReader<UnixStream>,
}

impl Monitor {
    /// Reads the greeting and leaves the negotiation mode.
    pub(super) fn greet(stream: UnixStream) -> Result<Self, Problem> {
        let mut monitor = Self { reader: BufReader::new(stream) };
        let deadline = Instant::now() + ANSWER_WITHIN;
        let greeting = monitor.read(deadline)?;
        if greeting.get("QMP").is_none() {
            return Err(refused("greeting", &greeting));
        }
        monitor.run("qmp_capabilities")?;
        Ok(monitor)
    }

    /// Runs a command without arguments and returns what it answers.
    pub fn run(&mut self, command: &str) -> Result<Value, Problem> {
        self.run_with(command, &json!({}))
    }

    /// Runs a command with `arguments`, a JSON object.
    ///
    /// # Errors
    ///
    /// [`Problem::Monitor`] when QEMU refuses it, [`Problem::Channel`] when QEMU is gone or silent.
    pub fn run_with(&mut self, command: &str, arguments: &Value) -> Result<Value, Problem> {
        let mut line = json!({ "execute": command, "arguments": arguments }).to_string();
        line.push('\n');
        self.reader.get_mut().write_all(line.as_bytes()).map_err(broken)?;
        let deadline = Instant::now() + ANSWER_WITHIN;
        loop {
            let answer = self.read(deadline)?;
            if let Some(value) = answer.get("return") {
                return Ok(value.clone());
            }
            // Everything else that is not an error is an event of the time before.
            if answer.get("error").is_some() {
                return Err(refused(command, &answer["error"]));
            }
        }
    }

    fn read(&mut self, deadline: Instant) -> Result<Value, Problem> {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(broken(std::io::ErrorKind::TimedOut.into()));
        }
        self.reader.get_ref().set_read_timeout(Some(left)).map_err(broken)?;
        let mut line = Vec::new();
        self.reader.by_ref().take(ANSWER_BYTES_MAX).read_until(b'\n', &mut line).map_err(broken)?;
        if line.is_empty() {
            return Err(broken(std::io::ErrorKind::UnexpectedEof.into()));
        }
        serde_json::from_slice(&line).map_err(|error| broken(error.into()))
    }
}

fn broken(source: std::io::Error) -> Problem {
    Problem::Channel { action: "talk to QEMU's monitor", source }
}

fn refused(command: &str, answer: &Value) -> Problem {
    let answer =
        answer.get("desc").and_then(Value::as_str).map_or(answer.to_string(), str::to_owned);
    Problem::Monitor { command: command.to_owned(), answer: answer.chars().take(500).collect() }
}

#[cfg(test)]
mod tests;
