//! Programs of the host: run to their end, with a deadline, both streams kept.

use std::ffi::{OsStr, OsString};
use std::io::Read;
use std::process::Stdio;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::error::AgentError;
use crate::exec::process::{ProcessError, command, status_in_words, words_for_reading};

/// Where programs of a host find others.
const PATH: &str = "/usr/sbin:/usr/bin";
/// Most bytes of a stream that are kept.
const STREAM_BYTES_MAX: u64 = 8 << 20;
/// How often is looked whether a program has ended.
const LOOK: Duration = Duration::from_millis(3);

/// What a program left behind.
#[derive(Debug)]
pub struct Ended {
    /// Whether it succeeded.
    pub success: bool,
    /// `exit code 2` or `signal 9`.
    pub status: String,
    /// Standard output.
    pub output: String,
    /// Standard error.
    pub errors: String,
}

/// Runs a program; a failure of the program is an [`Ended`] too.
///
/// # Errors
///
/// When it cannot be started or does not end in time; then it is killed.
pub fn run(words: &[&str], within: Duration) -> Result<Ended, AgentError> {
    let (program, arguments) = words.split_first().expect("a command has a program");
    let reading = || {
        let words: Vec<OsString> = words.iter().map(OsString::from).collect();
        words_for_reading(&words)
    };
    let mut child = command(OsStr::new(program))
        .args(arguments)
        .env("PATH", PATH)
        .env("LC_ALL", "C.UTF-8")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|source| ProcessError::Start { command: reading(), source })?;
    let output = keep(child.stdout.take().expect("it is piped"));
    let errors = keep(child.stderr.take().expect("it is piped"));
    let deadline = Instant::now() + within;
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if Instant::now() < deadline => std::thread::sleep(LOOK),
            Ok(None) => {
                // It is over either way; the deadline is the news.
                let _gone = child.kill();
                let _gone = child.wait();
                return Err(AgentError::Deadline { command: reading(), seconds: within.as_secs() });
            }
            Err(source) => return Err(ProcessError::Start { command: reading(), source }.into()),
        }
    };
    let text = |kept: JoinHandle<Vec<u8>>| {
        String::from_utf8_lossy(&kept.join().unwrap_or_default()).into_owned()
    };
    Ok(Ended {
        success: status.success(),
        status: status_in_words(status),
        output: text(output),
        errors: text(errors),
    })
}

/// Runs a program that must succeed; gives its standard output.
///
/// # Errors
///
/// Also when it fails.
pub fn succeed(words: &[&str], within: Duration) -> Result<String, AgentError> {
    let ended = run(words, within)?;
    if ended.success {
        return Ok(ended.output);
    }
    let words: Vec<OsString> = words.iter().map(OsString::from).collect();
    let last: Vec<&str> = ended.errors.lines().rev().take(5).collect();
    let output = last.into_iter().rev().collect::<Vec<_>>().join("\n");
    let command = words_for_reading(&words);
    Err(ProcessError::Failed { command, status: ended.status, output }.into())
}

/// Reads a stream beside, so that a program never waits for us.
fn keep(mut stream: impl Read + Send + 'static) -> JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        // What cannot be read is not there.
        let _cut = stream.by_ref().take(STREAM_BYTES_MAX).read_to_end(&mut bytes);
        let _rest = std::io::copy(&mut stream, &mut std::io::sink());
        bytes
    })
}
