//! A cable to a machine: QEMU's stream of frames, each after its length in four bytes, big endian
//! (`net_stream_receive` in QEMU's `net/stream.c`).

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;

/// The longest frame QEMU passes on (`NET_BUFSIZE`: 4 KiB + 64 KiB).
const FRAME_BYTES_MAX: usize = (4 << 10) + (64 << 10);

/// How much waits for a machine that does not read; beyond that frames are lost, as on any switch.
const OUTPUT_BYTES_MAX: usize = 1 << 20;

/// How much is read in one go, so that one machine cannot keep the others waiting.
const READ_BYTES: usize = 128 << 10;

/// A plugged machine.
#[derive(Debug)]
pub(super) struct Port {
    pub stream: UnixStream,
    input: Vec<u8>,
    output: Vec<u8>,
    /// How much of `output` is written already.
    written: usize,
}

/// The machine is gone, or what it sends is no stream of frames.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unplugged;

impl Port {
    pub(super) fn new(stream: UnixStream) -> std::io::Result<Self> {
        stream.set_nonblocking(true)?;
        Ok(Self { stream, input: Vec::new(), output: Vec::new(), written: 0 })
    }

    /// Bytes that wait to be written.
    pub(super) fn waiting(&self) -> usize {
        self.output.len() - self.written
    }

    /// Puts a frame into the queue; false when it is full and the frame lost.
    pub(super) fn send(&mut self, frame: &[u8]) -> bool {
        let Ok(length) = u32::try_from(frame.len()) else { return false };
        if self.waiting() + frame.len() > OUTPUT_BYTES_MAX {
            return false;
        }
        self.output.extend_from_slice(&length.to_be_bytes());
        self.output.extend_from_slice(frame);
        true
    }

    /// Writes what the machine takes just now.
    pub(super) fn flush(&mut self) -> Result<(), Unplugged> {
        while self.waiting() > 0 {
            match self.stream.write(&self.output[self.written..]) {
                Ok(0) => return Err(Unplugged),
                Ok(count) => self.written += count,
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(_) => return Err(Unplugged),
            }
        }
        // Moving the rest to the front only when it is the smaller part keeps this linear.
        if self.written * 2 >= self.output.len() {
            self.output.drain(..self.written);
            self.written = 0;
        }
        Ok(())
    }

    /// Reads what is there and returns the whole frames of it.
    pub(super) fn receive(&mut self) -> Result<Vec<Vec<u8>>, Unplugged> {
        let mut frames = Vec::new();
        let mut buffer = [0; 16 << 10];
        let mut total = 0;
        while total < READ_BYTES {
            match self.stream.read(&mut buffer) {
                Ok(0) => return if frames.is_empty() { Err(Unplugged) } else { Ok(frames) },
                Ok(count) => {
                    total += count;
                    self.input.extend_from_slice(&buffer[..count]);
                    split(&mut self.input, &mut frames)?;
                }
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(_) => return Err(Unplugged),
            }
        }
        Ok(frames)
    }
}

/// Takes the whole frames off the front of `input`.
fn split(input: &mut Vec<u8>, frames: &mut Vec<Vec<u8>>) -> Result<(), Unplugged> {
    let mut rest = input.as_slice();
    while let Some((length, after)) = rest.split_first_chunk::<4>() {
        let length = u32::from_be_bytes(*length) as usize;
        if length > FRAME_BYTES_MAX {
            return Err(Unplugged);
        }
        let Some((frame, after)) = after.split_at_checked(length) else { break };
        frames.push(frame.to_owned());
        rest = after;
    }
    let used = input.len() - rest.len();
    input.drain(..used);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pieces: &[&[u8]], expected: Result<&[&[u8]], Unplugged>, left: usize) {
        let mut input = Vec::new();
        let mut frames = Vec::new();
        let result = pieces.iter().try_for_each(|piece| {
            input.extend_from_slice(piece);
            split(&mut input, &mut frames)
        });
        let expected = expected.map(|frames| frames.iter().map(|frame| frame.to_vec()).collect());
        assert_eq!(result.map(|()| frames), expected);
        assert_eq!(input.len(), left);
    }

    #[test]
    fn frames_come_whole_however_they_arrive() {
        check(&[b"\0\0\0\x02ab\0\0\0\x01c"], Ok(&[b"ab", b"c"]), 0);
        check(&[b"\0\0", b"\0\x02a", b"b\0"], Ok(&[b"ab"]), 1);
        check(&[b"\0\0\0\0"], Ok(&[b""]), 0);
    }

    #[test]
    fn a_length_no_frame_can_have_ends_the_connection() {
        check(&[b"\0\x01\x10\x01"], Err(Unplugged), 4);
        check(&[b"\xff\xff\xff\xffx"], Err(Unplugged), 5);
    }

    #[test]
    fn a_machine_that_does_not_read_loses_frames_and_costs_no_memory() {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let mut port = Port::new(ours).unwrap();
        let sent = (0..10_000).filter(|_| port.send(&[0; 1500])).count();
        assert!(sent < 1000, "{sent}");
        assert_eq!(port.flush(), Ok(()));
        assert!(port.waiting() > 0);
    }

    proptest::proptest! {
        #[test]
        fn nothing_a_machine_sends_can_panic(bytes: Vec<u8>) {
            let (mut input, mut frames) = (bytes, Vec::new());
            let _ = split(&mut input, &mut frames);
        }
    }
}
