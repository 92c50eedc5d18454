//! Several commands over one start of the agent: a start, with shell, sudo and login, costs more than most of
//! what is asked.
//!
//! ```text
//! client  ["status","--json"]          the words of a command; then what it reads, as far as it reads
//! agent   out <bytes>                  then so many bytes of what it writes
//!         …
//!         end <exit code> <words>      words: a JSON text with what a start of its own would say on standard error
//! ```
//!
//! After a failure nobody knows how much of its input a command has read, so the conversation ends.

use std::io::{self, BufRead, Read as _, Write};

use super::bus;
use super::command::{Streams, run};
use super::error::AgentError;
use super::places::Places;
use crate::failure::{causes, in_words};

/// Most bytes of the words of a command.
const LINE_BYTES_MAX: u64 = 64 << 10;
/// Bytes of an answer that are gathered at most before they are sent.
const PIECE_BYTES: usize = 64 << 10;

/// Carries out commands until there are no more, or one has failed.
///
/// # Errors
///
/// When a line is no command, or nobody takes the answers; failures of commands are answers.
pub fn serve(places: &Places, streams: &mut Streams<'_>) -> Result<(), AgentError> {
    while let Some(words) = next(streams.input)? {
        let mut frames = Frames { output: &mut *streams.output, pending: Vec::new() };
        let mut inner = Streams { input: &mut *streams.input, output: &mut frames };
        let result = run(places, &words, &mut inner);
        bus::hang_up();
        let (code, said) = match &result {
            Ok(code) => (*code, String::new()),
            Err(error) => (error.exit_code(), in_words(&causes(error), error.help())),
        };
        let end = format!("end {code} {}\n", serde_json::Value::from(said));
        frames
            .flush()
            .and_then(|()| streams.output.write_all(end.as_bytes()))
            .and_then(|()| streams.output.flush())
            .map_err(AgentError::at("write to", "standard output"))?;
        if result.is_err() {
            break;
        }
    }
    Ok(())
}

/// The words of the next command; `None` at the end.
fn next(input: &mut dyn BufRead) -> Result<Option<Vec<String>>, AgentError> {
    let mut line = Vec::new();
    input
        .take(LINE_BYTES_MAX)
        .read_until(b'\n', &mut line)
        .map_err(AgentError::at("read from", "standard input"))?;
    if line.is_empty() {
        return Ok(None);
    }
    let wrong = |_| AgentError::Usage("a line is not the words of a command".into());
    serde_json::from_slice(&line).map(Some).map_err(wrong)
}

/// Announces how many bytes come before each piece that is written and flushed.
struct Frames<'a> {
    output: &'a mut dyn Write,
    pending: Vec<u8>,
}

impl Write for Frames<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.pending.extend_from_slice(bytes);
        if self.pending.len() >= PIECE_BYTES {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if !self.pending.is_empty() {
            self.output.write_all(format!("out {}\n", self.pending.len()).as_bytes())?;
            self.output.write_all(&std::mem::take(&mut self.pending))?;
        }
        self.output.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(input: &str, expected: &str) {
        let directory = tempfile::tempdir().unwrap();
        let places = Places::below(directory.path());
        let registration = places.memory().join("registration");
        crate::exec::files::write_scratch(&registration, b"nexus-registration 1\n").unwrap();
        let (mut input, mut output) = (input.as_bytes(), Vec::new());
        let mut streams = Streams { input: &mut input, output: &mut output };
        let result = serve(&places, &mut streams);
        if let Err(error) = result {
            writeln!(output, "{error}").unwrap();
        }
        assert_eq!(String::from_utf8(output).unwrap(), expected);
    }

    #[test]
    fn commands_follow_each_other_until_one_fails() {
        let path = format!("/nix/store/{}-a", "0".repeat(32));
        let missing = format!("[\"missing\"]\n{path}\n\n");
        let line = format!("out 46\n{path}\nend 0 \"\"\n");
        check(&format!("{missing}{missing}"), &format!("{line}{line}"));
        let failed = "end 2 \"error: `nothing` is not a command\\nhelp: `nexus-agent help` lists the commands\"\n";
        check(&format!("[\"nothing\"]\n{missing}"), failed);
        check("", "");
        check("status\n", "a line is not the words of a command\n");
        check("[1]\n", "a line is not the words of a command\n");
    }
}
