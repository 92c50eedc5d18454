//! A port of the outside host at which machines find a program of this one.

use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::time::Duration;

use smoltcp::iface::{SocketHandle, SocketSet};
use smoltcp::socket::tcp::Socket;

use super::pump::new_socket;

/// How many machines may be about to connect to one port: each that listens takes one.
pub(super) const OFFERED_AT_ONCE: usize = 8;
/// How long the program may take to answer; the whole network waits for it, and it is on this machine.
const LOCAL_WITHIN: Duration = Duration::from_secs(1);

/// A socket that listens, and where it leads.
#[derive(Debug)]
pub(super) struct Offer {
    port: u16,
    to: SocketAddr,
    listening: SocketHandle,
}

impl Offer {
    /// Listens at `port`; `None` for port 0.
    pub(super) fn new(port: u16, to: SocketAddr, sockets: &mut SocketSet<'_>) -> Option<Self> {
        let listening = listen(port, sockets)?;
        Some(Self { port, to, listening })
    }

    /// The socket of a machine that has connected, in whose place another one listens.
    pub(super) fn taken(&mut self, sockets: &mut SocketSet<'_>) -> Option<SocketHandle> {
        // Not before the handshake is over: until then nothing can be sent.
        if !sockets.get::<Socket<'_>>(self.listening).may_send() {
            return None;
        }
        let next = listen(self.port, sockets)?;
        Some(std::mem::replace(&mut self.listening, next))
    }

    /// A connection to the program, which does not block.
    pub(super) fn connect(&self) -> std::io::Result<OwnedFd> {
        let local = TcpStream::connect_timeout(&self.to, LOCAL_WITHIN)?;
        local.set_nonblocking(true)?;
        local.set_nodelay(true)?;
        Ok(local.into())
    }
}

fn listen(port: u16, sockets: &mut SocketSet<'_>) -> Option<SocketHandle> {
    let mut socket = new_socket();
    socket.listen(port).ok()?;
    Some(sockets.add(socket))
}
