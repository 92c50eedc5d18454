//! The client's end of `agent::serve`: one start of the agent for all that is asked over a connection.

use std::io::{self, BufRead as _, BufReader, Read, Write};
use std::time::Duration;

use crate::ssh::{Ended, Remote, SshError};

/// Most bytes of a line of the agent: its last words, and a little.
const LINE_BYTES_MAX: u64 = 1 << 20;

/// An agent that waits for commands; nobody is there when none was started, or the last one has ended.
#[derive(Default)]
pub(super) struct Talk(Option<BufReader<Box<dyn Remote>>>);

/// A command that the agent carries out: read is what it writes, written to is what it reads.
///
/// Dropped before its end, it ends the agent, because nobody knows where the conversation stands.
pub(super) struct Asked<'a> {
    talk: &'a mut Talk,
    /// Bytes left of the piece that was announced last.
    left: u64,
    end: Option<Ended>,
    finished: bool,
}

impl Talk {
    /// Asks the agent, after `start` has started one if need be, and gives it `input`.
    ///
    /// # Errors
    ///
    /// When the connection is broken.
    pub(super) fn ask(
        &mut self,
        start: impl FnOnce() -> Result<Box<dyn Remote>, SshError>,
        words: &[&str],
        input: &[u8],
    ) -> Result<Asked<'_>, SshError> {
        if self.0.is_none() {
            self.0 = Some(BufReader::new(start()?));
        }
        let mut asked = Asked { talk: self, left: 0, end: None, finished: false };
        asked.limit(None);
        let mut line = serde_json::to_vec(words).expect("words can be written");
        line.push(b'\n');
        line.extend_from_slice(input);
        asked.write_all(&line).and_then(|()| asked.flush()).map_err(SshError::broken)?;
        Ok(asked)
    }
}

impl Asked<'_> {
    /// How long may be read from now on; see [`Remote::limit`].
    pub(super) fn limit(&mut self, within: Option<Duration>) {
        if let Some(lines) = &mut self.talk.0 {
            lines.get_mut().limit(within);
        }
    }

    /// Waits for the end; what the command still writes is dropped.
    ///
    /// # Errors
    ///
    /// When the connection breaks before the command has ended.
    pub(super) fn finish(mut self) -> Result<Ended, SshError> {
        let mut piece = [0; 4096];
        while self.read(&mut piece).map_err(SshError::broken)? > 0 {}
        match self.end.take() {
            Some(end) => {
                // After a failure the agent goes.
                self.finished = end.errors.is_empty();
                Ok(end)
            }
            None => match self.talk.0.take() {
                Some(lines) => lines.into_inner().finish(),
                None => Err(SshError::Broken(io::ErrorKind::UnexpectedEof.into())),
            },
        }
    }

    fn lines(&mut self) -> io::Result<&mut BufReader<Box<dyn Remote>>> {
        self.talk.0.as_mut().ok_or_else(|| io::ErrorKind::BrokenPipe.into())
    }

    /// Reads the line before a piece, or at the end; `false` when the agent is gone.
    fn next_line(&mut self) -> io::Result<bool> {
        let mut line = Vec::new();
        self.lines()?.take(LINE_BYTES_MAX).read_until(b'\n', &mut line)?;
        if line.is_empty() {
            return Ok(false);
        }
        let odd =
            || io::Error::new(io::ErrorKind::InvalidData, "the agent speaks another language");
        let line = std::str::from_utf8(&line).map_err(|_| odd())?.trim_end();
        if let Some(bytes) = line.strip_prefix("out ") {
            self.left = bytes.parse().map_err(|_| odd())?;
            return Ok(true);
        }
        let end = line.strip_prefix("end ").and_then(|end| end.split_once(' '));
        let (status, errors) = end.ok_or_else(odd)?;
        let status = status.parse().map_err(|_| odd())?;
        let errors = serde_json::from_str(errors).map_err(|_| odd())?;
        self.end = Some(Ended { status, errors });
        Ok(true)
    }
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        if !self.finished {
            self.talk.0 = None;
        }
    }
}

impl Read for Asked<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.left == 0 && self.end.is_none() {
            if !self.next_line()? {
                return Ok(0);
            }
        }
        let left = self.left;
        if left == 0 {
            return Ok(0);
        }
        let count = self.lines()?.take(left).read(buffer)?;
        self.left -= count as u64;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(count)
    }
}

impl Write for Asked<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.lines()?.get_mut().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.lines()?.get_mut().flush()
    }
}

#[cfg(test)]
mod tests {
    use std::net::Shutdown;
    use std::os::unix::net::UnixStream;

    use super::*;
    use crate::agent::command::Streams;
    use crate::agent::places::Places;
    use crate::agent::serve::serve;

    /// A real agent, at the other end of a socket instead of SSH.
    struct Near(UnixStream);

    impl Read for Near {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.0.read(buffer)
        }
    }

    impl Write for Near {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Remote for Near {
        fn close_input(&mut self) -> Result<(), SshError> {
            self.0.shutdown(Shutdown::Write).map_err(SshError::Broken)
        }

        fn limit(&mut self, within: Option<Duration>) {
            self.0.set_read_timeout(within).unwrap();
        }

        fn finish(self: Box<Self>) -> Result<Ended, SshError> {
            Ok(Ended { status: 127, errors: "it is gone".into() })
        }
    }

    /// Starts an agent of a host that has no store paths.
    #[expect(clippy::unnecessary_wraps, reason = "a start may fail")]
    fn start() -> Result<Box<dyn Remote>, SshError> {
        let (near, far) = UnixStream::pair().unwrap();
        std::thread::spawn(move || {
            let directory = tempfile::tempdir().unwrap();
            let places = Places::below(directory.path());
            let registration = places.memory().join("registration");
            let empty = b"nexus-registration 1\n";
            crate::exec::files::write_scratch(&registration, empty).unwrap();
            let mut input = BufReader::new(far.try_clone().unwrap());
            serve(&places, &mut Streams { input: &mut input, output: &mut &far })
        });
        Ok(Box::new(Near(near)))
    }

    fn not_again() -> Result<Box<dyn Remote>, SshError> {
        panic!("one start is enough")
    }

    #[test]
    fn one_start_answers_until_a_command_fails() {
        let mut talk = Talk::default();
        let paths = format!("/nix/store/{}-a\n\n", "0".repeat(32));
        let mut begin: fn() -> Result<Box<dyn Remote>, SshError> = start;
        for _ in 0..2 {
            let mut asked = talk.ask(begin, &["missing"], paths.as_bytes()).unwrap();
            let mut said = String::new();
            asked.read_to_string(&mut said).unwrap();
            assert_eq!(said, paths[..paths.len() - 1]);
            assert_eq!(asked.finish().unwrap(), Ended { status: 0, errors: String::new() });
            begin = not_again;
        }
        let ended = talk.ask(not_again, &["dance"], b"").unwrap().finish().unwrap();
        assert_eq!(ended.status, 2);
        assert!(ended.errors.starts_with("error: `dance` is not a command\nhelp: "), "{ended:?}");
        drop(talk.ask(start, &["missing"], b"").unwrap());
        let ended = talk.ask(start, &["missing"], b"\n").unwrap().finish().unwrap();
        assert_eq!(ended.status, 0, "a command that was left ended its agent");
    }

    #[test]
    fn an_agent_that_goes_tells_by_its_exit_code() {
        let mut talk = Talk::default();
        let gone = || -> Result<Box<dyn Remote>, SshError> {
            let (near, far) = UnixStream::pair().unwrap();
            far.shutdown(Shutdown::Write).unwrap();
            // The other end stays readable, as a channel does whose program has ended.
            std::mem::forget(far);
            Ok(Box::new(Near(near)))
        };
        let ended = talk.ask(gone, &["status"], b"").unwrap().finish().unwrap();
        assert_eq!(ended, Ended { status: 127, errors: "it is gone".into() });
        let odd = || -> Result<Box<dyn Remote>, SshError> {
            let (near, mut far) = UnixStream::pair().unwrap();
            far.write_all(b"Welcome!\n").unwrap();
            std::mem::forget(far);
            Ok(Box::new(Near(near)))
        };
        let error = talk.ask(odd, &["status"], b"").unwrap().finish().unwrap_err();
        assert!(matches!(error, SshError::Broken(_)), "{error:?}");
    }

    #[test]
    fn an_agent_that_falls_silent_is_not_waited_for() {
        let silent = || -> Result<Box<dyn Remote>, SshError> {
            let (near, far) = UnixStream::pair().unwrap();
            std::mem::forget(far);
            Ok(Box::new(Near(near)))
        };
        let mut talk = Talk::default();
        let mut asked = talk.ask(silent, &["status"], b"").unwrap();
        asked.limit(Some(Duration::from_millis(10)));
        let error = asked.read(&mut [0; 8]).unwrap_err();
        assert!([io::ErrorKind::TimedOut, io::ErrorKind::WouldBlock].contains(&error.kind()));
    }
}
