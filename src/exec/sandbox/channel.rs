//! Messages between the program and its sandbox: a length, JSON, and open files beside it.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags,
};
use serde::{Deserialize, Serialize};

use super::recorder_owners::Owners;
use super::{Command, Sandbox};

/// Most bytes of one message; a description with 40 000 layers of 200 characters fits.
const MESSAGE_BYTES_MAX: usize = 64 << 20;

/// Most open files beside one message.
const FILES_MAX: usize = 3;

/// What the sandbox is to do; standard input, output and error are the files beside it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Order {
    /// The surroundings.
    pub(super) sandbox: Sandbox,
    /// Run in this order until one fails.
    pub(super) commands: Vec<Command>,
}

/// What the sandbox says at its end.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Report {
    /// The commands ran, up to the one that failed or the last.
    Ended {
        /// Zero-based position of the command that ran last.
        last: usize,
        /// Its status as `wait` gives it.
        status: i32,
        /// What the recorder knows beyond the marks at the files.
        owners: Owners,
    },
    /// A step of the preparation failed.
    Setup(Failure),
    /// User namespaces cannot be had.
    Forbidden {
        /// What the kernel said.
        errno: i32,
    },
    /// A command could not be started.
    Command {
        /// Zero-based position.
        index: usize,
        /// What the kernel said.
        errno: i32,
    },
}

/// A step that failed.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Failure {
    /// What was tried, such as `mount the overlay`.
    pub(super) step: String,
    /// Where, when the step has a place.
    pub(super) path: Option<PathBuf>,
    /// What the kernel said.
    pub(super) errno: i32,
}

impl Failure {
    /// For `map_err`: a step without a place.
    pub(super) fn of<E: Into<io::Error>>(step: &str) -> impl FnOnce(E) -> Failure {
        let step = step.to_owned();
        move |error| Failure { step, path: None, errno: errno_of(&error.into()) }
    }

    /// For `map_err`: a step at a place.
    pub(super) fn at<E: Into<io::Error>>(
        step: &str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(E) -> Failure {
        let (step, path) = (step.to_owned(), path.into());
        move |error| Failure { step, path: Some(path), errno: errno_of(&error.into()) }
    }
}

/// The kernel's number of an error; `EIO` for one that did not come from the kernel.
pub(super) fn errno_of(error: &io::Error) -> i32 {
    error.raw_os_error().unwrap_or(rustix::io::Errno::IO.raw_os_error())
}

/// Sends one message and the files beside it.
pub(super) fn send<Message: Serialize>(
    socket: &UnixStream,
    message: &Message,
    files: &[BorrowedFd<'_>],
) -> io::Result<()> {
    let body = serde_json::to_vec(message)?;
    let length = u32::try_from(body.len()).map_err(|_| io::ErrorKind::FileTooLarge)?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FILES_MAX))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !files.is_empty() {
        assert!(ancillary.push(SendAncillaryMessage::ScmRights(files)), "at most three files");
    }
    let header = length.to_le_bytes();
    // A few bytes fit any socket buffer, so this is not cut short.
    rustix::net::sendmsg(socket, &[IoSlice::new(&header)], &mut ancillary, SendFlags::NOSIGNAL)?;
    let mut rest = &body[..];
    while !rest.is_empty() {
        let sent = rustix::net::send(socket, rest, SendFlags::NOSIGNAL)?;
        rest = &rest[sent..];
    }
    Ok(())
}

/// Receives one message and the files beside it; `None` when the other end is gone.
pub(super) fn receive<Message: for<'a> Deserialize<'a>>(
    socket: &UnixStream,
) -> io::Result<Option<(Message, Vec<OwnedFd>)>> {
    let mut header = [0; 4];
    let (count, files) = receive_with_files(socket.as_fd(), &mut header)?;
    if count == 0 {
        return Ok(None);
    }
    let mut body = socket;
    io::Read::read_exact(&mut body, &mut header[count..])?;
    let length = u32::from_le_bytes(header) as usize;
    if length > MESSAGE_BYTES_MAX {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    let mut bytes = vec![0; length];
    io::Read::read_exact(&mut body, &mut bytes)?;
    Ok(Some((serde_json::from_slice(&bytes)?, files)))
}

/// Reads some bytes and takes the files that came with them.
pub(super) fn receive_with_files(
    socket: BorrowedFd<'_>,
    bytes: &mut [u8],
) -> io::Result<(usize, Vec<OwnedFd>)> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FILES_MAX))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let received = rustix::io::retry_on_intr(|| {
        let mut slices = [IoSliceMut::new(bytes)];
        rustix::net::recvmsg(socket, &mut slices, &mut ancillary, RecvFlags::CMSG_CLOEXEC)
    })?;
    let mut files = Vec::new();
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            files.extend(rights);
        }
    }
    Ok((received.bytes, files))
}

/// Sends one byte and one file.
pub(super) fn send_file(socket: &UnixStream, file: BorrowedFd<'_>) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FILES_MAX))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    let files = [file];
    assert!(ancillary.push(SendAncillaryMessage::ScmRights(&files)), "one file fits");
    rustix::net::sendmsg(socket, &[IoSlice::new(b"f")], &mut ancillary, SendFlags::NOSIGNAL)?;
    Ok(())
}
