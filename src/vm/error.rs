//! What can go wrong with a test machine, always with its last console lines and where the log is.

use std::path::PathBuf;

use thiserror::Error;

use super::launch::LaunchError;
use super::overlay::OverlayError;
use crate::exec::files::FileError;

/// A test machine that did not do what was asked, with what it last said.
#[derive(Debug, Error)]
#[error("machine {machine} failed{}; its whole console is in {}", tail_in_words(.console_tail), log.display())]
pub struct MachineError {
    /// The machine's name.
    pub machine: String,
    /// What went wrong.
    #[source]
    pub problem: Box<Problem>,
    /// The last lines of the serial console, without colours.
    pub console_tail: String,
    /// The file with the raw serial console.
    pub log: PathBuf,
}

/// What went wrong with a machine.
#[derive(Debug, Error)]
pub enum Problem {
    /// QEMU could not be started.
    #[error("QEMU did not start")]
    Launch(#[source] LaunchError),
    /// The overlay of the disk could not be made.
    #[error("the disk could not be prepared")]
    Overlay(#[source] OverlayError),
    /// A file of the machine could not be made.
    #[error("the machine's files could not be prepared")]
    File(#[source] FileError),
    /// A channel to QEMU broke.
    #[error("cannot {action}")]
    Channel {
        /// What was tried, such as `talk to QEMU's monitor`.
        action: &'static str,
        /// What the kernel said.
        #[source]
        source: std::io::Error,
    },
    /// QEMU ended although the machine was in use.
    #[error("QEMU ended with {status}{}", after_colon(.output))]
    Ended {
        /// How the process ended, in words.
        status: String,
        /// The last lines QEMU wrote.
        output: String,
    },
    /// The console says that the boot has failed.
    #[error("{kind}: {line}")]
    Trouble {
        /// What kind of failure the line stands for.
        kind: &'static str,
        /// The line of the console.
        line: String,
    },
    /// The deadline of a wait has passed.
    #[error("no {awaited} within {seconds} s")]
    Timeout {
        /// What was waited for.
        awaited: String,
        /// How long was waited.
        seconds: u64,
    },
    /// The user has asked to stop.
    #[error("interrupted")]
    Interrupted,
    /// QEMU's monitor refused a command.
    #[error("QEMU refused `{command}`: {answer}")]
    Monitor {
        /// The QMP command.
        command: String,
        /// Its answer.
        answer: String,
    },
    /// A command in the machine ended differently than wanted.
    #[error("`{command}` ended with status {status}, {wanted}{}", after_colon(.output))]
    Command {
        /// The command.
        command: String,
        /// Its exit status.
        status: i32,
        /// What was wanted, such as `0 was wanted`.
        wanted: &'static str,
        /// The last lines of its output.
        output: String,
    },
    /// A unit cannot become active any more.
    #[error("unit {unit} is {state}{}", after_colon(.output))]
    Unit {
        /// The unit's name.
        unit: String,
        /// Its `ActiveState`.
        state: String,
        /// What `systemctl status` says.
        output: String,
    },
    /// The machine went through a reboot while a command ran.
    #[error("the machine rebooted during `{command}`")]
    Rebooted {
        /// The command.
        command: String,
    },
    /// The machine answered something that makes no sense.
    #[error("the machine's answer to {question} is not understood: {answer}")]
    Answer {
        /// What was asked.
        question: &'static str,
        /// What came back, shortened.
        answer: String,
    },
}

fn tail_in_words(tail: &str) -> String {
    if tail.is_empty() {
        " and wrote nothing to its console".to_owned()
    } else {
        format!("; it last wrote:\n{tail}\n")
    }
}

fn after_colon(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!(":\n{text}") }
}
