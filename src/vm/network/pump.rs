//! A TCP connection between a local socket and a machine: bytes go both ways, nothing is kept.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use rustix::event::PollFlags;
use rustix::io::Errno;
use rustix::net::{SendFlags, Shutdown};
use smoltcp::iface::{SocketHandle, SocketSet};
use smoltcp::socket::tcp::{Socket, SocketBuffer, State};

use super::ConnectError;

/// Bytes on the way in each direction; with TCP's window scale also the window.
const BUFFER_BYTES: usize = 128 << 10;

/// How long a connection may stay half closed.
const LINGER: Duration = Duration::from_secs(120);

/// A connection.
#[derive(Debug)]
pub(super) struct Pump {
    handle: SocketHandle,
    /// `None` once the local side is gone and only the machine's side has to be closed in order.
    local: Option<OwnedFd>,
    /// Who waits for the connection, and until when.
    opening: Option<(Option<Waiting>, Instant)>,
    local_ended: bool,
    remote_ended: bool,
    give_up: Option<Instant>,
}

/// Who waits for a connection.
pub(super) type Waiting = Sender<Result<(), ConnectError>>;

/// A TCP socket with buffers.
pub(super) fn new_socket() -> Socket<'static> {
    let buffer = || SocketBuffer::new(vec![0; BUFFER_BYTES]);
    let mut socket = Socket::new(buffer(), buffer());
    // An answer of a few bytes must not wait for the next one.
    socket.set_nagle_enabled(false);
    socket
}

impl Pump {
    /// A connection that `handle` has begun to open; `local` does not block, and without it the machine is turned away.
    pub(super) fn new(
        handle: SocketHandle,
        local: Option<OwnedFd>,
        waiting: Option<Waiting>,
        deadline: Instant,
    ) -> Self {
        let opening = Some((waiting, deadline));
        Self { handle, local, opening, local_ended: false, remote_ended: false, give_up: None }
    }

    /// The local socket and what to wait for on it.
    pub(super) fn interest(&self, sockets: &SocketSet<'_>) -> Option<(BorrowedFd<'_>, PollFlags)> {
        if self.opening.is_some() {
            return None;
        }
        let socket = sockets.get::<Socket<'_>>(self.handle);
        let mut flags = PollFlags::empty();
        flags.set(PollFlags::IN, !self.local_ended && socket.can_send());
        flags.set(PollFlags::OUT, socket.can_recv());
        // A closed local socket is always "ready"; without interest it must not be looked at.
        (!flags.is_empty()).then_some((self.local.as_ref()?.as_fd(), flags))
    }

    /// When the connection needs a look although nothing happened.
    pub(super) fn wake_at(&self) -> Option<Instant> {
        self.opening.as_ref().map(|(_, deadline)| *deadline).or(self.give_up)
    }

    /// Moves what can be moved; false when the connection is over.
    pub(super) fn turn(&mut self, sockets: &mut SocketSet<'_>, now: Instant) -> bool {
        let socket = sockets.get_mut::<Socket<'_>>(self.handle);
        if !self.open(socket, now) {
            return false;
        }
        if self.opening.is_some() {
            return true;
        }
        self.move_out(socket);
        self.move_in(socket);
        self.close(socket, now)
    }

    /// Takes the socket out of the set; a connection that was not closed in order is reset by then.
    pub(super) fn remove(self, sockets: &mut SocketSet<'_>) {
        sockets.remove(self.handle);
    }

    /// Ends a connection at once.
    pub(super) fn abort(&mut self, sockets: &mut SocketSet<'_>) {
        sockets.get_mut::<Socket<'_>>(self.handle).abort();
        if let Some((Some(waiting), _)) = self.opening.take() {
            let _ = waiting.send(Err(ConnectError::Gone));
        }
    }

    /// Sees whether the connection is open; false when it never will be.
    fn open(&mut self, socket: &mut Socket<'_>, now: Instant) -> bool {
        let Some((waiting, deadline)) = &mut self.opening else { return true };
        let answer = match socket.state() {
            State::SynSent if now < *deadline => return true,
            State::SynSent => Err(ConnectError::Silent),
            State::Closed => Err(ConnectError::Refused),
            _ => Ok(()),
        };
        let is_open = answer.is_ok();
        if let Some(waiting) = waiting.take() {
            let _ = waiting.send(answer);
        }
        self.opening = None;
        if !is_open {
            socket.abort();
        }
        is_open
    }

    fn move_out(&mut self, socket: &mut Socket<'_>) {
        while let Some(local) = &self.local
            && !self.local_ended
            && socket.can_send()
        {
            let read = socket.send(|buffer| match rustix::io::read(local, buffer) {
                Ok(count) => (count, Ok(count)),
                Err(error) => (0, Err(error)),
            });
            match read {
                Ok(Ok(0)) => self.local_ended = true,
                Ok(Ok(_) | Err(Errno::INTR)) => {}
                Ok(Err(Errno::AGAIN)) | Err(_) => return,
                Ok(Err(_)) => {
                    self.local_ended = true;
                    self.local = None;
                }
            }
        }
    }

    fn move_in(&mut self, socket: &mut Socket<'_>) {
        while socket.can_recv() {
            let Some(local) = &self.local else {
                // Nobody takes it any more; a reset tells the machine so.
                socket.abort();
                return;
            };
            let written =
                socket.recv(|bytes| match rustix::net::send(local, bytes, SendFlags::NOSIGNAL) {
                    Ok(count) => (count, Ok(())),
                    Err(error) => (0, Err(error)),
                });
            match written {
                Ok(Ok(()) | Err(Errno::INTR)) => {}
                Ok(Err(Errno::AGAIN)) | Err(_) => return,
                Ok(Err(_)) => self.local = None,
            }
        }
    }

    /// Passes ends on; false when both sides have ended.
    fn close(&mut self, socket: &mut Socket<'_>, now: Instant) -> bool {
        if !self.remote_ended && !socket.may_recv() {
            self.remote_ended = true;
            if let Some(local) = &self.local {
                let _ = rustix::net::shutdown(local, Shutdown::Write);
            }
        }
        if self.local_ended && self.give_up.is_none() {
            socket.close();
            self.give_up = Some(now + LINGER);
        }
        if self.give_up.is_some_and(|give_up| now >= give_up) {
            socket.abort();
            return false;
        }
        !matches!(socket.state(), State::Closed | State::TimeWait)
    }
}
