//! Tests against a machine in this process: a second smoltcp stack at the end of the cable.

use std::io::{Read as _, Write as _};
use std::sync::atomic::AtomicBool;

use proptest::prelude::*;
use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::socket::tcp::Socket;
use smoltcp::wire::{EthernetAddress, HardwareAddress, IpCidr};

use super::device::Device;
use super::frame::{Observation, observe};
use super::port::Port;
use super::pump::new_socket;
use super::*;

const WITHIN: Duration = Duration::from_secs(60);
const IPV4: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 10));
const IPV6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 0x10));
const MAC: Mac = [0x52, 0x54, 0, 0, 0, 9];

/// What the machine does with what comes in.
#[derive(Clone, Copy)]
struct Behaviour {
    /// Its firewall lets TCP through to these alone, and drops the rest.
    firewall: Option<&'static [u16]>,
    /// Every so many frames one is lost; 0 for none.
    lossy: usize,
}

/// A machine with an echo server at port 7 and a web server at port 80.
struct Guest {
    port: Port,
    device: Device,
    interface: Interface,
    sockets: SocketSet<'static>,
    servers: Vec<(SocketHandle, u16)>,
    behaviour: Behaviour,
    frames: usize,
}

impl Guest {
    fn new(stream: UnixStream, behaviour: Behaviour) -> Self {
        let mut device = Device::default();
        let config = Config::new(HardwareAddress::Ethernet(EthernetAddress(MAC)));
        let mut interface = Interface::new(config, &mut device, smoltcp::time::Instant::ZERO);
        interface.update_ip_addrs(|addresses| {
            addresses.push(IpCidr::new(IPV4.into(), 24)).unwrap();
            addresses.push(IpCidr::new(IPV6.into(), 64)).unwrap();
        });
        let mut sockets = SocketSet::new(Vec::new());
        let servers = [7, 7, 7, 80, 80].map(|port| (sockets.add(new_socket()), port)).into();
        let port = Port::new(stream).unwrap();
        Self { port, device, interface, sockets, servers, behaviour, frames: 0 }
    }

    fn run(mut self, stop: &AtomicBool) {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        let epoch = Instant::now();
        while !stop.load(Ordering::Relaxed) {
            let tick = Timespec { tv_sec: 0, tv_nsec: 5_000_000 };
            poll(&mut [PollFd::new(&self.port.stream, PollFlags::IN)], Some(&tick)).unwrap();
            let Ok(frames) = self.port.receive() else { return };
            for frame in frames {
                self.frames += 1;
                let lost =
                    self.behaviour.lossy > 0 && self.frames.is_multiple_of(self.behaviour.lossy);
                if !lost && self.lets_through(&frame) {
                    self.device.push(frame);
                    self.poll(epoch);
                }
            }
            self.poll(epoch);
            self.serve();
            self.poll(epoch);
            let _ = self.port.flush();
        }
    }

    fn poll(&mut self, epoch: Instant) {
        let micros = i64::try_from(epoch.elapsed().as_micros()).unwrap();
        let now = smoltcp::time::Instant::from_micros(micros);
        self.interface.poll(now, &mut self.device, &mut self.sockets);
        while let Some(frame) = self.device.sent.pop_front() {
            self.port.send(&frame);
        }
    }

    fn lets_through(&self, frame: &[u8]) -> bool {
        let Some(allowed) = self.behaviour.firewall else { return true };
        let (protocol, ports) = match frame[12..14] {
            [0x08, 0x00] => (frame[23], 34),
            [0x86, 0xdd] => (frame[20], 54),
            _ => return true,
        };
        let port = u16::from_be_bytes([frame[ports + 2], frame[ports + 3]]);
        ![6, 17].contains(&protocol) || allowed.contains(&port)
    }

    fn serve(&mut self) {
        for &(handle, port) in &self.servers {
            let socket = self.sockets.get_mut::<Socket<'_>>(handle);
            if !socket.is_open() {
                socket.listen(port).unwrap();
            }
            if socket.can_recv() && socket.can_send() {
                let bytes = socket
                    .recv(|bytes| (bytes.len().min(4096), bytes[..bytes.len().min(4096)].to_vec()));
                let bytes = bytes.unwrap();
                if port == 80 {
                    let asked_for_site = bytes.windows(16).any(|w| w == b"Host: example.or");
                    let body = if asked_for_site { "hello\n" } else { "who?\n" };
                    let answer = format!("HTTP/1.1 200 OK\r\nServer: test\r\n\r\n{body}");
                    socket.send_slice(answer.as_bytes()).unwrap();
                    socket.close();
                } else {
                    assert_eq!(socket.send_slice(&bytes).unwrap(), bytes.len());
                }
            }
            if !socket.may_recv() && socket.may_send() && !socket.is_listening() {
                socket.close();
            }
        }
    }
}

/// A network with a machine, until dropped.
struct Bench {
    network: Network,
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Bench {
    fn new(behaviour: Behaviour) -> Self {
        let network = Network::start(NetworkOptions::default(), Interrupt::default()).unwrap();
        let (ours, theirs) = UnixStream::pair().unwrap();
        network.plug(ours).unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let guest_stop = Arc::clone(&stop);
        let thread = std::thread::spawn(move || Guest::new(theirs, behaviour).run(&guest_stop));
        Self { network, stop, thread: Some(thread) }
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let ended = self.thread.take().unwrap().join();
        assert!(ended.is_ok() || std::thread::panicking(), "the machine panicked");
    }
}

const OPEN: Behaviour = Behaviour { firewall: None, lossy: 0 };
const FIREWALL: Behaviour = Behaviour { firewall: Some(&[7, 80]), lossy: 0 };
const LOSSY: Behaviour = Behaviour { firewall: Some(&[7, 80]), lossy: 5 };

/// Sends `bytes` through `stream`, ends, and returns what comes back.
fn echo(
    mut stream: impl std::io::Read + Send,
    mut writer: impl std::io::Write,
    bytes: &[u8],
) -> Vec<u8> {
    let mut back = vec![0; bytes.len()];
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            stream.read_exact(&mut back).unwrap();
            stream
        });
        writer.write_all(bytes).unwrap();
        reader.join().unwrap();
    });
    back
}

#[test]
fn a_connection_carries_bytes_both_ways_over_both_families() {
    let bench = Bench::new(FIREWALL);
    let bytes: Vec<u8> = (0..300_000_u32).map(|number| (number % 251) as u8).collect();
    for address in [IPV4, IPV6] {
        let stream = bench.network.connect((address, 7).into(), WITHIN).unwrap();
        assert_eq!(echo(&stream, &stream, &bytes), bytes);
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut rest = Vec::new();
        (&stream).read_to_end(&mut rest).unwrap();
        assert!(rest.is_empty());
    }
}

#[test]
fn lost_frames_are_made_good() {
    let bench = Bench::new(LOSSY);
    let stream = bench.network.connect((IPV4, 7).into(), WITHIN).unwrap();
    let bytes = vec![42; 20_000];
    assert_eq!(echo(&stream, &stream, &bytes), bytes);
}

#[test]
fn refused_silent_and_missing_are_three_things() {
    let bench = Bench::new(OPEN);
    let refused = bench.network.connect((IPV4, 9).into(), WITHIN).unwrap_err();
    assert_eq!(refused, ConnectError::Refused);
    let second = Duration::from_secs(1);
    let elsewhere: IpAddr = "192.0.2.99".parse().unwrap();
    assert_eq!(
        bench.network.connect((elsewhere, 7).into(), second).unwrap_err(),
        ConnectError::Silent
    );
    assert_eq!(
        bench.network.scan_tcp(elsewhere, BTreeSet::from([7]), second).unwrap_err(),
        ConnectError::NoMachine
    );
    let walled = Bench::new(FIREWALL);
    let silent = walled.network.connect((IPV4, 9).into(), second).unwrap_err();
    assert_eq!(silent, ConnectError::Silent);
}

#[test]
fn a_real_program_comes_in_through_a_forward() {
    let bench = Bench::new(FIREWALL);
    let forward = bench.network.forward((IPV6, 7).into()).unwrap();
    assert!(forward.local.ip().is_loopback());
    for _ in 0..2 {
        let stream = std::net::TcpStream::connect(forward.local).unwrap();
        stream.set_read_timeout(Some(WITHIN)).unwrap();
        assert_eq!(echo(&stream, &stream, b"through the wall"), b"through the wall");
    }
    let local = forward.local;
    drop(forward);
    let deadline = Instant::now() + WITHIN;
    while std::net::TcpStream::connect(local).is_ok() {
        assert!(Instant::now() < deadline, "still listening");
        std::thread::yield_now();
    }
}

#[test]
fn a_page_is_fetched_by_its_site() {
    let bench = Bench::new(FIREWALL);
    let answer =
        http::get(&bench.network, (IPV4, 80).into(), ("example.org", "/"), WITHIN).unwrap();
    assert_eq!((answer.status, answer.body.as_slice()), (200, &b"hello\n"[..]));
    let other = http::get(&bench.network, (IPV6, 80).into(), ("other.org", "/"), WITHIN).unwrap();
    assert_eq!(other.body, b"who?\n");
}

#[track_caller]
fn check_scan(behaviour: Behaviour, open: &[u16], closed: usize, silent: usize) {
    let bench = Bench::new(behaviour);
    for address in [IPV4, IPV6] {
        let found = bench.network.scan_tcp(address, (1..=u16::MAX).collect(), WITHIN).unwrap();
        assert_eq!(found.open, open.iter().copied().collect(), "{address}");
        assert_eq!((found.closed.len(), found.silent.len()), (closed, silent), "{address}");
    }
}

#[test]
fn all_ports_are_scanned_without_a_firewall() {
    check_scan(OPEN, &[7, 80], 65_533, 0);
}

#[test]
fn all_ports_are_scanned_behind_a_firewall() {
    check_scan(FIREWALL, &[7, 80], 0, 65_533);
}

#[test]
fn a_machine_is_pinged_and_its_datagram_ports_are_told_apart() {
    let bench = Bench::new(OPEN);
    for address in [IPV4, IPV6] {
        assert_eq!(bench.network.ping(address, WITHIN), Ok(true), "{address}");
        // Nothing listens there, so the machine says "unreachable".
        let found = bench.network.scan_udp(address, BTreeSet::from([53, 123]), WITHIN).unwrap();
        assert_eq!(found.closed, BTreeSet::from([53, 123]), "{address}");
        let walled = Bench::new(FIREWALL);
        let found = walled.network.scan_udp(address, BTreeSet::from([53]), WITHIN).unwrap();
        assert_eq!(found.silent, BTreeSet::from([53]), "{address}");
    }
}

#[test]
fn a_wish_to_stop_ends_a_connection_attempt() {
    let interrupt = Interrupt::default();
    let network = Network::start(NetworkOptions::default(), interrupt.clone()).unwrap();
    interrupt.set();
    let error = network.connect((IPV4, 7).into(), WITHIN).unwrap_err();
    assert_eq!(error, ConnectError::Interrupted);
}

#[test]
fn two_machines_on_one_network_reach_each_other() {
    let network = Network::start(NetworkOptions::default(), Interrupt::default()).unwrap();
    let [mut a, mut b] = [1, 2].map(|_| {
        let (ours, theirs) = UnixStream::pair().unwrap();
        network.plug(ours).unwrap();
        theirs.set_read_timeout(Some(WITHIN)).unwrap();
        theirs
    });
    let frame = |to: Mac, from: Mac| [&to[..], &from, b"\x88\xb5hello"].concat();
    let wire = |frame: &[u8]| {
        let length = u32::try_from(frame.len()).unwrap();
        [&length.to_be_bytes()[..], frame].concat()
    };
    let ([a_mac, b_mac], all) = ([[2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]], [0xff; 6]);
    for (from, to, sent) in [(0, 1, frame(all, a_mac)), (1, 0, frame(a_mac, b_mac))] {
        let ends = [&mut a, &mut b];
        let mut buffer = vec![0; sent.len() + 4];
        let [first, second] = ends;
        let (sender, receiver) = if from < to { (first, second) } else { (second, first) };
        sender.write_all(&wire(&sent)).unwrap();
        receiver.read_exact(&mut buffer).unwrap();
        assert_eq!(buffer[4..], sent);
    }
    assert_ne!(network.new_mac(), network.new_mac());
}

/// Frames that a machine could send, spoiled at random.
fn hostile_frame() -> impl Strategy<Value = Vec<u8>> {
    let source = super::frame::Source {
        mac: MAC,
        ipv4: Ipv4Addr::new(192, 0, 2, 10),
        ipv6: Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 0x10),
    };
    let us = [0x02, 0x6e, 0x78, 0, 0, 1];
    let to = [IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), "2001:db8:1::1".parse().unwrap()];
    let valid = to.into_iter().flat_map(|to| {
        [
            source.ask_neighbor(to, None),
            source.ask_neighbor(to, Some(us)),
            source.syn(to, us, (7, 40_000)),
            source.datagram(to, us, (68, 67)),
            source.echo(to, us, 1),
        ]
    });
    let valid: Vec<Vec<u8>> = valid.collect();
    let spoiled =
        (0..valid.len(), prop::collection::vec((0..100_usize, any::<u8>()), 0..6), 0..90_usize);
    let spoiled = spoiled.prop_map(move |(which, changes, cut)| {
        let mut frame = valid[which].clone();
        for (at, byte) in changes {
            if let Some(place) = frame.get_mut(at) {
                *place = byte;
            }
        }
        frame.truncate(frame.len().saturating_sub(cut.saturating_sub(60)));
        frame
    });
    prop_oneof![spoiled, prop::collection::vec(any::<u8>(), 0..80)]
}

proptest! {
    #[test]
    fn no_frame_can_panic_the_observer(frame in hostile_frame()) {
        let _: Option<Observation> = observe(&frame);
    }

    #[test]
    fn a_hostile_machine_does_not_stop_the_network(
        frames in prop::collection::vec(hostile_frame(), 1..40),
        garbage: Vec<u8>,
    ) {
        let bench = Bench::new(OPEN);
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        bench.network.plug(ours).unwrap();
        for frame in &frames {
            theirs.write_all(&u32::try_from(frame.len()).unwrap().to_be_bytes()).unwrap();
            theirs.write_all(frame).unwrap();
        }
        let _ = theirs.write_all(&garbage);
        // The other machine is still reachable.
        drop(theirs);
        prop_assert!(bench.network.leases().is_ok());
    }
}
