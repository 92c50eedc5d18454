//! A root shell in the machine, over a virtio port, without a change to the tested image.
//!
//! systemd (256 and later) reads units from credentials, and credentials from the firmware's tables
//! (systemd.system-credentials(7), `systemd.extra-unit.*`, `systemd.unit-dropin.*`; SMBIOS type 11,
//! `io.systemd.credential.binary:NAME=BASE64`). So the shell's unit exists only in a machine that we
//! start, and the image stays the deployed one byte for byte. What a request and an answer look like is
//! told at the top of `shell.sh`; base64 keeps every answer on one line, whatever it holds.

use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use super::base64;
use super::error::{MachineError, Problem};
use super::watch::{Context, Watch};
use crate::exec::process::shell_word as quote;

/// The virtio port's name in the machine, below `/dev/virtio-ports`.
pub(super) const PORT_NAME: &str = "nexus.test.shell";

/// The program in the machine.
const SCRIPT: &str = include_str!("shell.sh");

/// Its unit: up as soon as udev announces the port, and not stopped before the end of a shutdown, so that
/// a boot or a shutdown that hangs can be looked at.
const UNIT: &str = "\
[Unit]
Description=Root shell of the test driver
DefaultDependencies=no
Wants=dev-virtio\\x2dports-nexus.test.shell.device
After=dev-virtio\\x2dports-nexus.test.shell.device
StartLimitIntervalSec=0

[Service]
ExecStart=/bin/bash /run/credentials/@system/nexus-test-shell
StandardInput=file:/dev/virtio-ports/nexus.test.shell
StandardOutput=file:/dev/virtio-ports/nexus.test.shell
StandardError=journal
Restart=always
RestartSec=1
OOMScoreAdjust=-1000
";

/// Added to the target that a host boots to.
const WANTS: &str = "[Unit]\nWants=nexus-test-shell.service\n";

/// The longest answer line: two base64 texts of 1 MiB and 16 KiB, and some room.
const ANSWER_BYTES_MAX: u64 = 2 << 20;

/// How many answers nobody waits for are kept.
const LINES_MAX: usize = 64;

/// How much longer than the command's own limit the answer may take: transfer, a busy machine.
const ANSWER_GRACE: Duration = Duration::from_secs(20);

/// How often a `wait_…` verb asks again.
const ASK_AGAIN: Duration = Duration::from_millis(500);

/// How long a command takes at most when its caller does not say otherwise.
const COMMAND_WITHIN: Duration = Duration::from_secs(60);

/// The credentials, as name and value, that bring the shell into a machine.
pub(super) fn credentials() -> [(&'static str, &'static str); 3] {
    [
        ("nexus-test-shell", SCRIPT),
        ("systemd.extra-unit.nexus-test-shell.service", UNIT),
        ("systemd.unit-dropin.multi-user.target~nexus-test", WANTS),
    ]
}

/// What a command left behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// Its exit status; 124 when it took too long, 128 and more when a signal ended it.
    pub status: i32,
    /// At most 1 MiB of its standard output.
    pub stdout: Vec<u8>,
    /// The last 16 KiB of its standard error.
    pub stderr: String,
}

impl Output {
    /// Standard output as text, without line ends at its end.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).trim_end().to_owned()
    }

    /// The last lines of both streams, for a report.
    pub fn for_reading(&self) -> String {
        const LINES: usize = 12;
        let all = format!("{}\n{}", self.text(), self.stderr.trim_end());
        let lines: Vec<&str> = all.lines().filter(|line| !line.is_empty()).collect();
        lines[lines.len().saturating_sub(LINES)..].join("\n")
    }
}

/// The root shell of a running machine.
#[derive(Debug)]
pub struct Shell {
    writer: UnixStream,
    context: Context,
    boot: Option<String>,
    requests: u64,
}

impl Shell {
    /// Takes over the port; the answers are read by a thread of their own.
    pub(super) fn new(stream: UnixStream, context: Context) -> std::io::Result<Self> {
        let reader = stream.try_clone()?;
        stream.set_write_timeout(Some(ANSWER_GRACE))?;
        let watch = context.watch.clone();
        std::thread::Builder::new()
            .name("shell".to_owned())
            .spawn(move || read_lines(reader, &watch))?;
        Ok(Self { writer: stream, context, boot: None, requests: 0 })
    }

    /// Waits for the shell of the present boot, or, when there was one already, of the next boot.
    ///
    /// Returns the boot's id.
    pub fn wait_ready(&mut self, within: Duration) -> Result<String, MachineError> {
        let before = self.boot.take();
        let found = self.context.wait("root shell", within, |seen| {
            while let Some(line) = seen.shell_lines.pop_front() {
                let boot = line.strip_prefix("ready ").map(str::to_owned);
                if boot.is_some() && boot != before {
                    return boot;
                }
            }
            None
        });
        if found.is_err() {
            self.boot = before;
        }
        let boot = found?;
        self.boot = Some(boot.clone());
        Ok(boot)
    }

    /// Runs a command with `bash -euo pipefail`; it is killed after `within`.
    ///
    /// # Errors
    ///
    /// When no answer comes; a command that fails is an [`Output`].
    pub fn run(&mut self, command: &str, within: Duration) -> Result<Output, MachineError> {
        let request = self.send(command, within)?;
        let prefix = format!("answer {request} ");
        let boot = self.boot.clone().unwrap_or_default();
        let awaited = format!("answer to `{}`", shortened(command));
        let line = self.context.wait(&awaited, within + ANSWER_GRACE, |seen| {
            while let Some(line) = seen.shell_lines.pop_front() {
                if line.starts_with(&prefix) {
                    return Some(Ok(line));
                }
                if line.strip_prefix("ready ").is_some_and(|other| other != boot) {
                    seen.shell_lines.push_front(line);
                    return Some(Err(()));
                }
            }
            None
        })?;
        let command = shortened(command);
        let line = line.map_err(|()| self.context.fail(Problem::Rebooted { command }))?;
        parse_answer(&line[prefix.len()..]).ok_or_else(|| {
            let answer = shortened(&line);
            self.context.fail(Problem::Answer { question: "a command", answer })
        })
    }

    /// Sends a command and does not wait for its answer; for one that takes the machine down.
    pub(super) fn send(&mut self, command: &str, within: Duration) -> Result<u64, MachineError> {
        let Some(boot) = self.boot.clone() else {
            let problem = Problem::Timeout { awaited: "root shell".to_owned(), seconds: 0 };
            return Err(self.context.fail(problem));
        };
        self.requests += 1;
        let request = self.requests;
        let seconds = within.as_secs().max(1);
        let line = format!("{boot} {request} {seconds} {}\n", base64::encode(command.as_bytes()));
        self.writer.write_all(line.as_bytes()).map_err(|source| {
            self.context
                .fail(Problem::Channel { action: "send a command to the root shell", source })
        })?;
        Ok(request)
    }

    /// Runs a command that must succeed; returns its standard output without the last line end.
    pub fn succeed(&mut self, command: &str) -> Result<String, MachineError> {
        let output = self.run(command, COMMAND_WITHIN)?;
        if output.status == 0 {
            return Ok(output.text());
        }
        Err(self.wrong_status(command, &output, "0 was wanted"))
    }

    /// Runs a command that must fail; returns what it left behind.
    pub fn fail(&mut self, command: &str) -> Result<Output, MachineError> {
        let output = self.run(command, COMMAND_WITHIN)?;
        if output.status != 0 {
            return Ok(output);
        }
        Err(self.wrong_status(command, &output, "a failure was wanted"))
    }

    /// Repeats a command until it succeeds.
    ///
    /// # Errors
    ///
    /// [`Problem::Command`] of the last try when the time is up.
    pub fn wait_until_succeeds(
        &mut self,
        command: &str,
        within: Duration,
    ) -> Result<String, MachineError> {
        let deadline = Instant::now() + within;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let output = self.run(command, left.max(Duration::from_secs(1)))?;
            if output.status == 0 {
                return Ok(output.text());
            }
            if Instant::now() + ASK_AGAIN >= deadline {
                return Err(self.wrong_status(command, &output, "0 was waited for"));
            }
            self.context.pause(ASK_AGAIN)?;
        }
    }

    /// Waits until a unit is active.
    ///
    /// # Errors
    ///
    /// [`Problem::Unit`] as soon as it has failed, or is inactive without a job that could start it.
    pub fn wait_for_unit(&mut self, unit: &str, within: Duration) -> Result<(), MachineError> {
        let deadline = Instant::now() + within;
        let quoted = quote(unit);
        let question = format!("systemctl show --property=ActiveState,Job -- {quoted}");
        loop {
            let answer = self.succeed(&question)?;
            let value = |name| answer.lines().find_map(|line| line.strip_prefix(name));
            let state = value("ActiveState=").unwrap_or_default();
            let has_job = !matches!(value("Job="), None | Some("" | "0"));
            if state == "active" {
                return Ok(());
            }
            let late = Instant::now() >= deadline;
            if state == "failed" || (state == "inactive" && !has_job) || late {
                let status = format!("systemctl status --no-pager --lines=15 -- {quoted}");
                let output = self.run(&status, COMMAND_WITHIN)?.for_reading();
                let (unit, state) = (unit.to_owned(), state.to_owned());
                return Err(self.context.fail(Problem::Unit { unit, state, output }));
            }
            self.context.pause(ASK_AGAIN)?;
        }
    }

    /// Waits until something in the machine accepts TCP connections at 127.0.0.1.
    pub fn wait_for_open_port(&mut self, port: u16, within: Duration) -> Result<(), MachineError> {
        self.wait_until_succeeds(&format!(": </dev/tcp/127.0.0.1/{port}"), within).map(drop)
    }

    /// Waits until a path exists.
    pub fn wait_for_file(&mut self, path: &str, within: Duration) -> Result<(), MachineError> {
        self.wait_until_succeeds(&format!("test -e {}", quote(path)), within).map(drop)
    }

    /// Writes a file in the machine, readable for root only.
    pub fn write_file(&mut self, path: &str, contents: &[u8]) -> Result<(), MachineError> {
        // One argument of a program has at most 128 KiB (`MAX_ARG_STRLEN` in Linux).
        const PIECE_BYTES: usize = 48 << 10;
        let path = quote(path);
        self.succeed(&format!("umask 077; : >{path}"))?;
        for piece in contents.chunks(PIECE_BYTES) {
            self.succeed(&format!("echo {} | base64 -d >>{path}", base64::encode(piece)))?;
        }
        Ok(())
    }

    /// Lets time pass, unless the machine breaks meanwhile.
    pub fn pause(&self, pause: Duration) -> Result<(), MachineError> {
        self.context.pause(pause)
    }

    /// The error for a command whose status is not the wanted one.
    fn wrong_status(&self, command: &str, output: &Output, wanted: &'static str) -> MachineError {
        self.context.fail(Problem::Command {
            command: shortened(command),
            status: output.status,
            wanted,
            output: output.for_reading(),
        })
    }
}

/// `STATUS oBASE64 eBASE64`.
fn parse_answer(rest: &str) -> Option<Output> {
    let mut parts = rest.split(' ');
    let status = parts.next()?.parse().ok()?;
    let stdout = base64::decode(parts.next()?.strip_prefix('o')?)?;
    let stderr = base64::decode(parts.next()?.strip_prefix('e')?)?;
    let stderr = String::from_utf8_lossy(&stderr).into_owned();
    parts.next().is_none().then_some(Output { status, stdout, stderr })
}

/// Commands in messages are one line of at most 200 characters.
fn shortened(text: &str) -> String {
    const CHARACTERS: usize = 200;
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() <= CHARACTERS {
        return line;
    }
    line.chars().take(CHARACTERS).chain(['…']).collect()
}

/// Reads lines until QEMU closes the port; a line that is too long or not text is left out.
fn read_lines(source: impl Read, watch: &Watch) {
    let mut reader = BufReader::new(source);
    let mut line = Vec::new();
    loop {
        line.clear();
        let limit = ANSWER_BYTES_MAX;
        match reader.by_ref().take(limit).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        let Ok(text) = std::str::from_utf8(&line) else { continue };
        let Some(text) = text.strip_suffix('\n') else { continue };
        let text = text.trim_end_matches('\r').to_owned();
        watch.tell(|seen| {
            if seen.shell_lines.len() == LINES_MAX {
                seen.shell_lines.pop_front();
            }
            seen.shell_lines.push_back(text);
        });
    }
}

#[cfg(test)]
mod tests;
