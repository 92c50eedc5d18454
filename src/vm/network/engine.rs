//! The thread behind a [`Network`](super::Network): one loop around `poll`.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, TryRecvError};
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use smoltcp::iface::{Config, Interface, SocketSet};
use smoltcp::socket::tcp::Socket;
use smoltcp::wire::{EthernetAddress, HardwareAddress, IpCidr};

use super::device::Device;
use super::dhcp;
use super::frame::{Mac, Source, observe};
use super::offer::{OFFERED_AT_ONCE, Offer};
use super::port::Port;
use super::pump::{Pump, Waiting, new_socket};
use super::router::{LINK_LOCAL, Router};
use super::scan::{PortScan, Probe, Scan};
use super::switch::{PortNumber, Switch, Way};
use super::{ConnectError, NetworkOptions};

/// The outside host's hardware address: locally administered, one machine.
const OUR_MAC: Mac = [0x02, 0x6e, 0x78, 0, 0, 1];

/// The outside host's place on the switch.
const OUR_PORT: PortNumber = 0;

/// How much of a scan waits at a machine's port; more would only fill memory.
const SCAN_BYTES: usize = 64 << 10;

/// The longest sleep; everything that can happen has its own bell or time.
const SLEEP_MAX: Duration = Duration::from_secs(5);

/// How many connections there may be at once.
const CONNECTIONS_MAX: usize = 256;

/// Our ports for connections, as RFC 6335 has them for such use; probes come from below.
const OUR_TCP_PORTS: std::ops::Range<u16> = 49_152..u16::MAX;

/// How long a program that comes through a forward waits for the machine.
const FORWARD_WITHIN: Duration = Duration::from_secs(30);

/// What the thread is asked to do.
#[derive(Debug)]
pub(super) enum Command {
    Plug(UnixStream),
    Leases(Sender<BTreeMap<Mac, Ipv4Addr>>),
    Connect {
        to: SocketAddr,
        local: OwnedFd,
        reply: Waiting,
        deadline: Instant,
    },
    Forward {
        number: u64,
        listener: TcpListener,
        to: SocketAddr,
    },
    Unforward(u64),
    Offer {
        port: u16,
        to: SocketAddr,
    },
    Scan {
        target: IpAddr,
        probe: Probe,
        ports: BTreeSet<u16>,
        reply: Sender<Result<PortScan, ConnectError>>,
        deadline: Instant,
    },
}

/// Wakes the thread.
#[derive(Debug, Clone)]
pub(super) struct Bell(Arc<OwnedFd>);

impl Bell {
    pub(super) fn new() -> std::io::Result<Self> {
        let counter = eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?;
        Ok(Self(Arc::new(counter)))
    }

    pub(super) fn ring(&self) {
        // It fails only when the counter is full, and then the thread is awake.
        let _ = rustix::io::write(&self.0, &1_u64.to_ne_bytes());
    }

    fn hear(&self) {
        let _ = rustix::io::read(&self.0, &mut [0; 8]);
    }
}

/// A scan and who waits for it.
struct Job {
    scan: Scan,
    reply: Sender<Result<PortScan, ConnectError>>,
    deadline: Instant,
}

pub(super) struct Engine {
    epoch: Instant,
    commands: Receiver<Command>,
    bell: Bell,
    source: Source,
    ports: BTreeMap<PortNumber, Port>,
    next_port: PortNumber,
    switch: Switch,
    dhcp: dhcp::Server,
    router: Router,
    device: Device,
    interface: Interface,
    sockets: SocketSet<'static>,
    pumps: Vec<Pump>,
    next_tcp_port: u16,
    forwards: BTreeMap<u64, (TcpListener, SocketAddr)>,
    offers: Vec<Offer>,
    jobs: Vec<Job>,
}

impl Engine {
    pub(super) fn new(options: &NetworkOptions, commands: Receiver<Command>, bell: Bell) -> Self {
        let mut device = Device::default();
        let address = HardwareAddress::Ethernet(EthernetAddress(OUR_MAC));
        let start = smoltcp::time::Instant::ZERO;
        let mut interface = Interface::new(Config::new(address), &mut device, start);
        let (ipv4, ipv4_bits) = options.ipv4;
        let (ipv6, ipv6_bits) = options.ipv6;
        let own = [
            (IpAddr::V4(ipv4), ipv4_bits),
            (IpAddr::V6(ipv6), ipv6_bits),
            (IpAddr::V6(LINK_LOCAL), 64),
        ];
        interface.update_ip_addrs(|addresses| {
            for (address, bits) in own.into_iter().chain(options.more.iter().copied()) {
                // Beyond smoltcp's table an address is left out; `NetworkOptions::more` says so.
                let _ = addresses.push(IpCidr::new(address.into(), bits));
            }
        });
        Self {
            epoch: Instant::now(),
            commands,
            bell,
            source: Source { mac: OUR_MAC, ipv4, ipv6 },
            ports: BTreeMap::new(),
            next_port: OUR_PORT + 1,
            switch: Switch::default(),
            dhcp: dhcp::Server::new(OUR_MAC, ipv4, ipv4_bits, options.dhcp_first),
            router: Router::new(OUR_MAC, ipv6, ipv6_bits),
            device,
            interface,
            sockets: SocketSet::new(Vec::new()),
            pumps: Vec::new(),
            next_tcp_port: OUR_TCP_PORTS.start,
            forwards: BTreeMap::new(),
            offers: Vec::new(),
            jobs: Vec::new(),
        }
    }

    /// Works until nobody can send commands any more.
    pub(super) fn run(mut self) {
        loop {
            self.sleep();
            self.bell.hear();
            loop {
                match self.commands.try_recv() {
                    Ok(command) => self.obey(command),
                    Err(TryRecvError::Empty) => break,
                    Err(TryRecvError::Disconnected) => return self.end(),
                }
            }
            self.accept();
            self.receive();
            self.run_jobs();
            self.turn();
            self.flush();
        }
    }

    /// Sleeps until something can be done.
    fn sleep(&mut self) {
        let now = Instant::now();
        let timeout = self.sleep_time(now);
        let mut waits = vec![PollFd::new(&*self.bell.0, PollFlags::IN)];
        for port in self.ports.values() {
            let mut flags = PollFlags::IN;
            flags.set(PollFlags::OUT, port.waiting() > 0);
            waits.push(PollFd::new(&port.stream, flags));
        }
        for (listener, _) in self.forwards.values() {
            waits.push(PollFd::new(listener, PollFlags::IN));
        }
        let interests = self.pumps.iter().filter_map(|pump| pump.interest(&self.sockets));
        waits.extend(
            interests.map(|(fd, flags): (BorrowedFd<'_>, _)| PollFd::from_borrowed_fd(fd, flags)),
        );
        let timeout = Timespec {
            tv_sec: i64::try_from(timeout.as_secs()).unwrap_or(1),
            tv_nsec: i64::from(timeout.subsec_nanos()),
        };
        if poll(&mut waits, Some(&timeout)).is_err_and(|error| error != rustix::io::Errno::INTR) {
            // Only a lack of kernel memory is left; a pause keeps that from becoming a busy loop.
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn sleep_time(&mut self, now: Instant) -> Duration {
        let stack = self.interface.poll_delay(self.stack_time(now), &self.sockets);
        let stack = stack.map_or(SLEEP_MAX, Duration::from);
        let pumps = self.pumps.iter().filter_map(Pump::wake_at);
        let room = self.scan_room() > 0;
        let jobs = self.jobs.iter().map(|job| {
            // Without room the port's own readiness ends the sleep.
            let next = if room { job.scan.wake_at(now) } else { job.deadline };
            next.min(job.deadline)
        });
        let next =
            pumps.chain(jobs).min().map_or(SLEEP_MAX, |at| at.saturating_duration_since(now));
        next.min(stack).min(SLEEP_MAX)
    }

    fn stack_time(&self, now: Instant) -> smoltcp::time::Instant {
        let micros = now.duration_since(self.epoch).as_micros();
        smoltcp::time::Instant::from_micros(i64::try_from(micros).unwrap_or(i64::MAX))
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Plug(stream) => {
                // A stream that cannot be used is as good as an unplugged cable.
                if let Ok(port) = Port::new(stream) {
                    self.ports.insert(self.next_port, port);
                    self.next_port += 1;
                }
            }
            Command::Leases(reply) => {
                let _ = reply.send(self.dhcp.leases());
            }
            Command::Connect { to, local, reply, deadline } => {
                self.connect(to, local, Some(reply), deadline);
            }
            Command::Forward { number, listener, to } => {
                self.forwards.insert(number, (listener, to));
            }
            Command::Unforward(number) => {
                self.forwards.remove(&number);
            }
            Command::Offer { port, to } => {
                for _ in 0..OFFERED_AT_ONCE {
                    if let Some(offer) = Offer::new(port, to, &mut self.sockets) {
                        self.offers.push(offer);
                    }
                }
            }
            Command::Scan { target, probe, ports, reply, deadline } => {
                let scan = Scan::new(self.source, target, probe, ports);
                self.jobs.push(Job { scan, reply, deadline });
            }
        }
    }

    fn connect(
        &mut self,
        to: SocketAddr,
        local: OwnedFd,
        reply: Option<Waiting>,
        deadline: Instant,
    ) {
        let mut socket = new_socket();
        self.next_tcp_port = match self.next_tcp_port + 1 {
            port if OUR_TCP_PORTS.contains(&port) => port,
            _ => OUR_TCP_PORTS.start,
        };
        let fits = self.pumps.len() < CONNECTIONS_MAX;
        let begun =
            fits && socket.connect(self.interface.context(), to, self.next_tcp_port).is_ok();
        if begun {
            let handle = self.sockets.add(socket);
            self.pumps.push(Pump::new(handle, Some(local), reply, deadline));
        } else if let Some(reply) = reply {
            let _ = reply.send(Err(ConnectError::Many));
        }
    }

    /// Takes in programs that come through a forward.
    fn accept(&mut self) {
        let mut accepted = Vec::new();
        for (listener, to) in self.forwards.values() {
            while let Ok((stream, _)) = listener.accept() {
                if stream.set_nonblocking(true).is_ok() {
                    let _ = stream.set_nodelay(true);
                    accepted.push((OwnedFd::from(stream), *to));
                }
            }
        }
        for (local, to) in accepted {
            self.connect(to, local, None, Instant::now() + FORWARD_WITHIN);
        }
    }

    /// Connects machines that have come to an offer, or turns them away.
    fn let_out(&mut self) {
        for offer in &mut self.offers {
            let Some(handle) = offer.taken(&mut self.sockets) else { continue };
            let fits = self.pumps.len() < CONNECTIONS_MAX;
            let local = fits.then(|| offer.connect().ok()).flatten();
            if local.is_none() {
                self.sockets.get_mut::<Socket<'_>>(handle).abort();
            }
            self.pumps.push(Pump::new(handle, local, None, Instant::now()));
        }
    }

    /// Takes in frames from all machines.
    fn receive(&mut self) {
        let numbers: Vec<PortNumber> = self.ports.keys().copied().collect();
        for number in numbers {
            let Some(port) = self.ports.get_mut(&number) else { continue };
            match port.receive() {
                Ok(frames) => {
                    for frame in frames {
                        self.pass_on(number, &frame);
                    }
                }
                Err(_) => self.unplug(number),
            }
        }
    }

    fn unplug(&mut self, number: PortNumber) {
        self.ports.remove(&number);
        self.switch.forget(number);
    }

    /// Sends a frame that came in at `from` where the switch says.
    fn pass_on(&mut self, from: PortNumber, frame: &[u8]) {
        let way = self.switch.way(from, frame);
        for (number, port) in &mut self.ports {
            if *number != from && (way == Way::All || way == Way::One(*number)) {
                // A full queue loses frames, as a switch does; TCP and the scan ask again.
                port.send(frame);
            }
        }
        if from != OUR_PORT && (way == Way::All || way == Way::One(OUR_PORT)) {
            self.take_in(frame.to_owned());
        }
    }

    /// The outside host gets a frame.
    fn take_in(&mut self, frame: Vec<u8>) {
        if let Some(answers) = self.dhcp.answers(&frame) {
            for answer in &answers {
                self.pass_on(OUR_PORT, answer);
            }
            return;
        }
        if let Some(answer) = self.router.answer(&frame) {
            self.pass_on(OUR_PORT, &answer);
            return;
        }
        if !self.jobs.is_empty()
            && let Some(observation) = observe(&frame)
        {
            let now = Instant::now();
            self.jobs.iter_mut().for_each(|job| job.scan.observe(now, &observation));
        }
        // smoltcp sees it, too: it resets the half-open connections that a scan leaves.
        self.device.push(frame);
        self.poll_stack();
    }

    /// How many bytes a scan may send just now.
    fn scan_room(&self) -> usize {
        let fullest = self.ports.values().map(Port::waiting).max().unwrap_or(0);
        SCAN_BYTES.saturating_sub(fullest)
    }

    fn run_jobs(&mut self) {
        let now = Instant::now();
        for index in 0..self.jobs.len() {
            let room = self.scan_room();
            for frame in self.jobs[index].scan.frames(now, room) {
                self.pass_on(OUR_PORT, &frame);
            }
        }
        self.jobs.retain(|job| {
            let answer = match job.scan.finished() {
                Some(found) => Ok(found.clone()),
                None if now < job.deadline => return true,
                None if job.scan.saw_target() => Err(ConnectError::Silent),
                None => Err(ConnectError::NoMachine),
            };
            let _ = job.reply.send(answer);
            false
        });
    }

    /// Moves bytes of connections and lets smoltcp react.
    fn turn(&mut self) {
        self.poll_stack();
        self.let_out();
        let now = Instant::now();
        let mut over = Vec::new();
        for index in (0..self.pumps.len()).rev() {
            if !self.pumps[index].turn(&mut self.sockets, now) {
                over.push(self.pumps.swap_remove(index));
            }
        }
        // A reset that was just decided on must go out before its socket goes.
        self.poll_stack();
        for pump in over {
            pump.remove(&mut self.sockets);
        }
    }

    fn poll_stack(&mut self) {
        let time = self.stack_time(Instant::now());
        self.interface.poll(time, &mut self.device, &mut self.sockets);
        while let Some(frame) = self.device.sent.pop_front() {
            self.pass_on(OUR_PORT, &frame);
        }
    }

    fn flush(&mut self) {
        let gone: Vec<PortNumber> = self
            .ports
            .iter_mut()
            .filter_map(|(number, port)| port.flush().is_err().then_some(*number))
            .collect();
        for number in gone {
            self.unplug(number);
        }
    }

    /// Resets what is open, so that no machine waits for us.
    fn end(mut self) {
        for pump in &mut self.pumps {
            pump.abort(&mut self.sockets);
        }
        self.poll_stack();
        self.flush();
    }
}
