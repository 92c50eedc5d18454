//! Child processes: argv as a list, environment from nothing, the command named in errors.

use std::ffi::{OsStr, OsString};
use std::process::Command;

use thiserror::Error;

/// A command that did not start or did not succeed.
#[derive(Debug, Error)]
pub enum ProcessError {
    /// It could not be started.
    #[error("cannot start `{command}`")]
    Start {
        /// The command line, for reading.
        command: String,
        /// What the kernel said.
        #[source]
        source: std::io::Error,
    },
    /// It ended with a failure.
    #[error("`{command}` ended with {status}{}", tail_after_colon(.output))]
    Failed {
        /// The command line, for reading.
        command: String,
        /// `exit code 2` or `signal 9`.
        status: String,
        /// The last lines it wrote.
        output: String,
    },
}

/// A command with an empty environment.
#[expect(clippy::disallowed_methods, reason = "the one place that makes commands")]
pub fn command(program: &OsStr) -> Command {
    let mut command = Command::new(program);
    command.env_clear();
    command
}

/// A command line for reading: words quoted only where a shell would need it.
pub fn words_for_reading(words: &[OsString]) -> String {
    let quote = |word: &OsString| {
        let text = word.to_string_lossy();
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,@+%".contains(c);
        if !text.is_empty() && text.chars().all(plain) {
            text.into_owned()
        } else {
            format!("{text:?}")
        }
    };
    words.iter().map(quote).collect::<Vec<_>>().join(" ")
}

/// A word for a POSIX shell, whatever is in it.
pub fn shell_word(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// How a process ended, in words.
pub fn status_in_words(status: std::process::ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt as _;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => "an unknown status".to_owned(),
    }
}

fn tail_after_colon(output: &str) -> String {
    if output.is_empty() { String::new() } else { format!(":\n{output}") }
}
