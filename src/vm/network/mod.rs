//! The network a test machine is plugged into, seen from outside, without any privilege.
//!
//! ```text
//!  machine ── QEMU ── unix stream ─┐
//!  machine ── QEMU ── unix stream ─┤ switch ── outside host (smoltcp): 192.0.2.1, 2001:db8:1::1
//!                                  ┘             answers ARP, NDP, ping; DHCP server, IPv6 router
//! ```
//!
//! One thread owns it all and sleeps in `poll`; a [`Network`] talks to it by messages. Connections are
//! handed out as ordinary sockets, [`Network::forward`] lets a real program in, and [`Network::offer`] a machine out.

mod device;
mod dhcp;
mod engine;
mod frame;
mod offer;
mod port;
mod pump;
mod router;
mod scan;
mod switch;

pub mod http;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use thiserror::Error;

use self::engine::{Bell, Command, Engine};
pub use self::frame::Mac;
pub use self::scan::PortScan;
use self::scan::Probe;
use crate::exec::interrupt::Interrupt;

/// What the outside host is.
#[derive(Debug, Clone)]
pub struct NetworkOptions {
    /// Its IPv4 address and prefix; also gateway and DHCP server.
    pub ipv4: (Ipv4Addr, u8),
    /// The first address that DHCP hands out; the others follow.
    pub dhcp_first: Ipv4Addr,
    /// Its IPv6 address and prefix; the prefix is advertised, so machines make addresses in it.
    pub ipv6: (Ipv6Addr, u8),
    /// More addresses it answers at, such as the gateway of a machine's static address; at most 4.
    pub more: Vec<(IpAddr, u8)>,
}

impl Default for NetworkOptions {
    /// The prefixes for documentation (RFC 5737 and RFC 3849).
    fn default() -> Self {
        Self {
            ipv4: (Ipv4Addr::new(192, 0, 2, 1), 24),
            dhcp_first: Ipv4Addr::new(192, 0, 2, 100),
            ipv6: (Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 1), 64),
            more: Vec::new(),
        }
    }
}

/// A network; clones are the same network. It ends when the last clone is dropped.
#[derive(Debug, Clone)]
pub struct Network(Arc<Handle>);

#[derive(Debug)]
struct Handle {
    commands: Mutex<Sender<Command>>,
    bell: Bell,
    machines: AtomicU8,
    options: NetworkOptions,
    interrupt: Interrupt,
}

/// The network did not start, or has ended.
#[derive(Debug, Error)]
pub enum NetworkError {
    /// A descriptor or a thread could not be had.
    #[error("the network from outside cannot be started")]
    Start(#[source] std::io::Error),
    /// Its thread has ended, which is a bug.
    #[error("the network from outside has ended")]
    Gone,
    /// A listening socket for a forward could not be made.
    #[error("no local port for a forward")]
    Listen(#[source] std::io::Error),
}

/// No connection came about, or a scan could not be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ConnectError {
    /// The machine refused.
    #[error("connection refused")]
    Refused,
    /// Nothing came back in time.
    #[error("no answer")]
    Silent,
    /// The machine did not even answer who has the address.
    #[error("no machine answers at this address")]
    NoMachine,
    /// All our port numbers are in use.
    #[error("too many connections")]
    Many,
    /// The network has ended.
    #[error("the network from outside has ended")]
    Gone,
    /// The user has asked to stop.
    #[error("interrupted")]
    Interrupted,
}

/// A local port that leads to a machine, until dropped.
#[derive(Debug)]
pub struct Forward {
    network: Network,
    number: u64,
    /// Where to connect to.
    pub local: SocketAddr,
}

impl Drop for Forward {
    fn drop(&mut self) {
        let _ = self.network.send(Command::Unforward(self.number));
    }
}

impl Network {
    /// Starts the outside host.
    pub fn start(options: NetworkOptions, interrupt: Interrupt) -> Result<Self, NetworkError> {
        let (commands, receiver) = mpsc::channel();
        let bell = Bell::new().map_err(NetworkError::Start)?;
        let engine = Engine::new(&options, receiver, bell.clone());
        std::thread::Builder::new()
            .name("network".to_owned())
            .spawn(move || engine.run())
            .map_err(NetworkError::Start)?;
        let machines = AtomicU8::new(1);
        let commands = Mutex::new(commands);
        Ok(Self(Arc::new(Handle { commands, bell, machines, options, interrupt })))
    }

    /// What the outside host is.
    pub fn options(&self) -> &NetworkOptions {
        &self.0.options
    }

    /// A hardware address for the next machine, of QEMU's block.
    pub fn new_mac(&self) -> Mac {
        [0x52, 0x54, 0, 0x6e, 0x78, self.0.machines.fetch_add(1, Ordering::Relaxed)]
    }

    /// Plugs in a machine: `stream` carries frames, each after its length.
    pub fn plug(&self, stream: UnixStream) -> Result<(), NetworkError> {
        self.send(Command::Plug(stream))
    }

    /// The addresses that machines have taken by DHCP.
    pub fn leases(&self) -> Result<BTreeMap<Mac, Ipv4Addr>, NetworkError> {
        let (reply, answer) = mpsc::channel();
        self.send(Command::Leases(reply))?;
        answer.recv_timeout(Duration::from_secs(10)).map_err(|_| NetworkError::Gone)
    }

    /// Opens a TCP connection to a machine.
    ///
    /// The socket's timeouts are the caller's to set; they start as `within`.
    pub fn connect(&self, to: SocketAddr, within: Duration) -> Result<UnixStream, ConnectError> {
        let gone = |_| ConnectError::Gone;
        let (ours, theirs) = UnixStream::pair().map_err(gone)?;
        theirs.set_nonblocking(true).map_err(gone)?;
        ours.set_read_timeout(Some(within)).map_err(gone)?;
        ours.set_write_timeout(Some(within)).map_err(gone)?;
        let (reply, answer) = mpsc::channel();
        let deadline = Instant::now() + within;
        let local = OwnedFd::from(theirs);
        self.ask(Command::Connect { to, local, reply, deadline }, &answer, deadline)??;
        Ok(ours)
    }

    /// Listens at a free port of 127.0.0.1 and connects whoever comes to `to`.
    pub fn forward(&self, to: SocketAddr) -> Result<Forward, NetworkError> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(NetworkError::Listen)?;
        listener.set_nonblocking(true).map_err(NetworkError::Listen)?;
        let local = listener.local_addr().map_err(NetworkError::Listen)?;
        let number = u64::from(local.port());
        self.send(Command::Forward { number, listener, to })?;
        Ok(Forward { network: self.clone(), number, local })
    }

    /// Connects machines that come to `port` of the outside host to `to`, as long as the network lives.
    pub fn offer(&self, port: u16, to: SocketAddr) -> Result<(), NetworkError> {
        self.send(Command::Offer { port, to })
    }

    /// Finds out which of `ports` of a machine take TCP connections.
    pub fn scan_tcp(
        &self,
        target: IpAddr,
        ports: BTreeSet<u16>,
        within: Duration,
    ) -> Result<PortScan, ConnectError> {
        self.scan(target, Probe::Tcp, ports, within)
    }

    /// Sends an empty datagram to each of `ports`; silent ports may be open or filtered.
    pub fn scan_udp(
        &self,
        target: IpAddr,
        ports: BTreeSet<u16>,
        within: Duration,
    ) -> Result<PortScan, ConnectError> {
        self.scan(target, Probe::Udp, ports, within)
    }

    /// Whether a machine answers a ping.
    pub fn ping(&self, target: IpAddr, within: Duration) -> Result<bool, ConnectError> {
        let found = self.scan(target, Probe::Ping, BTreeSet::from([1]), within)?;
        Ok(!found.open.is_empty())
    }

    fn scan(
        &self,
        target: IpAddr,
        probe: Probe,
        ports: BTreeSet<u16>,
        within: Duration,
    ) -> Result<PortScan, ConnectError> {
        let (reply, answer) = mpsc::channel();
        let deadline = Instant::now() + within;
        self.ask(Command::Scan { target, probe, ports, reply, deadline }, &answer, deadline)?
    }

    /// Sends a command and waits for its answer, or for the user's wish to stop.
    fn ask<T>(
        &self,
        command: Command,
        answer: &Receiver<T>,
        deadline: Instant,
    ) -> Result<T, ConnectError> {
        /// The thread keeps the deadline; this is for the case that it does not.
        const GRACE: Duration = Duration::from_secs(5);
        self.send(command).map_err(|_| ConnectError::Gone)?;
        loop {
            match answer.recv_timeout(Duration::from_millis(200)) {
                Ok(value) => return Ok(value),
                Err(RecvTimeoutError::Disconnected) => return Err(ConnectError::Gone),
                Err(RecvTimeoutError::Timeout) if self.0.interrupt.is_set() => {
                    return Err(ConnectError::Interrupted);
                }
                Err(RecvTimeoutError::Timeout) if Instant::now() > deadline + GRACE => {
                    return Err(ConnectError::Silent);
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }

    fn send(&self, command: Command) -> Result<(), NetworkError> {
        let sender = self.0.commands.lock().unwrap_or_else(PoisonError::into_inner);
        sender.send(command).map_err(|_| NetworkError::Gone)?;
        self.0.bell.ring();
        Ok(())
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // The thread sees that nobody can send commands any more, and ends.
        let (nobody, _) = mpsc::channel();
        *self.commands.lock().unwrap_or_else(PoisonError::into_inner) = nobody;
        self.bell.ring();
    }
}

#[cfg(test)]
mod tests;
