//! Ways to a machine over SSH: to the system that is found there, and to the host that it becomes.

use std::io::{Read, Write as _};
use std::time::{Duration, Instant};

use super::{Answer, Shell, ShellError, Ways};
use crate::exec::environment::Environment;
use crate::exec::interrupt::Interrupt;
use crate::exec::process::shell_word;
use crate::spec::SshAddress;
use crate::ssh::{Connection, Options, SshError, choose};

/// Time between two tries.
const AGAIN: Duration = Duration::from_secs(2);
/// Most bytes of standard output that are kept.
const OUTPUT_BYTES_MAX: u64 = 8 << 20;

/// The ways of one takeover.
#[derive(Debug)]
pub struct OverSsh<'a> {
    /// The machine as it is found.
    pub old: SshAddress,
    /// The host that it becomes.
    pub new: SshAddress,
    /// What the user says about SSH.
    pub options: Options,
    /// His surroundings.
    pub environment: &'a Environment,
    /// Whether he wants to stop.
    pub interrupt: &'a Interrupt,
}

impl Ways for OverSsh<'_> {
    fn old(&mut self, within: Duration) -> Result<Box<dyn Shell + '_>, ShellError> {
        // A stranger's key or a refused login does not pass by waiting.
        self.reach(&self.old, &self.options, (within, SshError::may_pass))
    }

    fn new_host(
        &mut self,
        host_key: Option<&str>,
        within: Duration,
    ) -> Result<Box<dyn Shell + '_>, ShellError> {
        let mut options = self.options.clone();
        options.host_keys.extend(host_key.map(str::to_owned));
        // Until the new host answers, the old one may, with another key or without the user.
        self.reach(
            &self.new,
            &options,
            (within, |error| !matches!(error, SshError::Interrupted(_))),
        )
    }
}

impl OverSsh<'_> {
    fn reach(
        &self,
        address: &SshAddress,
        options: &Options,
        (within, may_pass): (Duration, fn(&SshError) -> bool),
    ) -> Result<Box<dyn Shell + 'static>, ShellError> {
        let fail = |error: SshError| ShellError {
            action: format!("cannot log in to {address}"),
            source: Some(Box::new(error)),
        };
        let deadline = Instant::now() + within;
        let way = choose(address, options, self.environment, self.interrupt).map_err(fail)?;
        loop {
            match way.connect() {
                Ok(connection) => {
                    return Ok(Box::new(Login { connection, shown: way.shown() }));
                }
                Err(error) if !may_pass(&error) || Instant::now() + AGAIN >= deadline => {
                    return Err(fail(error));
                }
                Err(_) => std::thread::sleep(AGAIN),
            }
        }
    }
}

/// A shell of one login.
struct Login {
    connection: Box<dyn Connection>,
    shown: String,
}

impl Shell for Login {
    fn run(
        &mut self,
        command: &str,
        input: &mut dyn Read,
        within: Duration,
    ) -> Result<Answer, ShellError> {
        let shown = &self.shown;
        let fail = |error: SshError| ShellError {
            action: format!("the connection to {shown} failed"),
            source: Some(Box::new(error)),
        };
        let mut remote = self.connection.start(&as_root(command)).map_err(fail)?;
        remote.limit(Some(within));
        // A command that ends early does not read all of it; its status tells why.
        let _cut = std::io::copy(input, &mut remote).and_then(|_| remote.flush());
        remote.close_input().map_err(fail)?;
        let mut output = Vec::new();
        let read = (&mut remote).take(OUTPUT_BYTES_MAX).read_to_end(&mut output);
        read.map_err(|error| fail(SshError::broken(error)))?;
        let ended = remote.finish().map_err(fail)?;
        Ok(Answer { status: ended.status, output, errors: ended.errors })
    }
}

/// The command as root's, where the login is not.
fn as_root(command: &str) -> String {
    let command = shell_word(command);
    format!("if [ \"$(id -u)\" = 0 ]; then exec sh -c {command}; fi; exec sudo -n sh -c {command}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_roots_and_one_word() {
        let line = as_root("echo 'a' && b");
        assert!(line.ends_with(r"exec sudo -n sh -c 'echo '\''a'\'' && b'"), "{line}");
    }
}
