//! Ethernet frames: what the outside host notices in them, and the probes it sends.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    ArpOperation, ArpPacket, ArpRepr, EthernetAddress, EthernetFrame, EthernetProtocol,
    Icmpv4Packet, Icmpv4Repr, Icmpv6Packet, Icmpv6Repr, IpProtocol, IpRepr, Ipv4Packet, Ipv6Packet,
    NdiscRepr, TcpControl, TcpPacket, TcpRepr, TcpSeqNumber, UdpPacket, UdpRepr,
};

/// A hardware address.
pub type Mac = [u8; 6];

/// Bytes in front of a frame's payload: two addresses and the protocol.
const HEADER_BYTES: usize = EthernetFrame::<&[u8]>::header_len();

/// Hop limit of our packets; 255 is what neighbour discovery demands (RFC 4861, section 7.1).
const HOPS: u8 = 255;

/// The sender of a probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Source {
    pub mac: Mac,
    pub ipv4: Ipv4Addr,
    pub ipv6: Ipv6Addr,
}

/// What a frame from a machine tells about a probe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Observation {
    /// A machine answered who has this address.
    Neighbor { address: IpAddr, mac: Mac },
    /// A TCP segment that answers a SYN: open, or closed.
    Tcp { from: IpAddr, from_port: u16, to_port: u16, open: bool },
    /// A datagram.
    Udp { from: IpAddr, from_port: u16, to_port: u16 },
    /// An ICMP message "unreachable" about a packet of ours to `port` of `target`.
    Unreachable { target: IpAddr, port: u16, from_port: u16 },
    /// The answer to a ping.
    Echo { from: IpAddr },
}

/// Reads a frame as far as a probe could be concerned; anything else, or garbage, is nothing.
pub(super) fn observe(frame: &[u8]) -> Option<Observation> {
    let frame = EthernetFrame::new_checked(frame).ok()?;
    match frame.ethertype() {
        EthernetProtocol::Arp => observe_arp(frame.payload()),
        EthernetProtocol::Ipv4 => {
            let packet = Ipv4Packet::new_checked(frame.payload()).ok()?;
            let from = IpAddr::V4(packet.src_addr());
            match packet.next_header() {
                IpProtocol::Icmp => observe_icmpv4(from, packet.payload()),
                protocol => observe_transport(from, protocol, packet.payload()),
            }
        }
        EthernetProtocol::Ipv6 => {
            let packet = Ipv6Packet::new_checked(frame.payload()).ok()?;
            let from = packet.src_addr();
            match packet.next_header() {
                IpProtocol::Icmpv6 => {
                    let to = packet.dst_addr();
                    observe_icmpv6(frame.src_addr().0, (from, to), packet.payload())
                }
                protocol => observe_transport(IpAddr::V6(from), protocol, packet.payload()),
            }
        }
        EthernetProtocol::Unknown(_) => None,
    }
}

fn observe_arp(payload: &[u8]) -> Option<Observation> {
    let ArpRepr::EthernetIpv4 { operation, source_hardware_addr, source_protocol_addr, .. } =
        ArpRepr::parse(&ArpPacket::new_checked(payload).ok()?).ok()?
    else {
        return None;
    };
    (operation == ArpOperation::Reply).then_some(Observation::Neighbor {
        address: IpAddr::V4(source_protocol_addr),
        mac: source_hardware_addr.0,
    })
}

fn observe_transport(from: IpAddr, protocol: IpProtocol, payload: &[u8]) -> Option<Observation> {
    match protocol {
        IpProtocol::Tcp => {
            let segment = TcpPacket::new_checked(payload).ok()?;
            let open = segment.syn() && segment.ack();
            (open || segment.rst()).then_some(Observation::Tcp {
                from,
                from_port: segment.src_port(),
                to_port: segment.dst_port(),
                open,
            })
        }
        IpProtocol::Udp => {
            let datagram = UdpPacket::new_checked(payload).ok()?;
            let (from_port, to_port) = (datagram.src_port(), datagram.dst_port());
            Some(Observation::Udp { from, from_port, to_port })
        }
        _ => None,
    }
}

fn observe_icmpv4(from: IpAddr, payload: &[u8]) -> Option<Observation> {
    let packet = Icmpv4Packet::new_checked(payload).ok()?;
    match Icmpv4Repr::parse(&packet, &ChecksumCapabilities::default()).ok()? {
        Icmpv4Repr::EchoReply { .. } => Some(Observation::Echo { from }),
        Icmpv4Repr::DstUnreachable { header, data, .. } => {
            unreachable(IpAddr::V4(header.dst_addr), data)
        }
        _ => None,
    }
}

fn observe_icmpv6(
    mac: Mac,
    (from, to): (Ipv6Addr, Ipv6Addr),
    payload: &[u8],
) -> Option<Observation> {
    let packet = Icmpv6Packet::new_checked(payload).ok()?;
    match Icmpv6Repr::parse(&from, &to, &packet, &ChecksumCapabilities::default()).ok()? {
        Icmpv6Repr::EchoReply { .. } => Some(Observation::Echo { from: IpAddr::V6(from) }),
        Icmpv6Repr::DstUnreachable { header, data, .. } => {
            unreachable(IpAddr::V6(header.dst_addr), data)
        }
        // Who is asked alone need not repeat its hardware address (RFC 4861, section 4.4), and Linux does
        // not; the frame's sender it is in any case.
        Icmpv6Repr::Ndisc(NdiscRepr::NeighborAdvert { target_addr, .. }) => {
            Some(Observation::Neighbor { address: IpAddr::V6(target_addr), mac })
        }
        _ => None,
    }
}

/// TCP and UDP both begin with the two ports.
fn unreachable(target: IpAddr, quoted: &[u8]) -> Option<Observation> {
    let port = |at: usize| Some(u16::from_be_bytes([*quoted.get(at)?, *quoted.get(at + 1)?]));
    Some(Observation::Unreachable { target, port: port(2)?, from_port: port(0)? })
}

impl Source {
    /// A request for the hardware address of `target`, to `mac` alone or to everyone.
    pub(super) fn ask_neighbor(&self, target: IpAddr, mac: Option<Mac>) -> Vec<u8> {
        match target {
            IpAddr::V4(target) => {
                let to = mac.map_or(EthernetAddress::BROADCAST, EthernetAddress);
                let request = ArpRepr::EthernetIpv4 {
                    operation: ArpOperation::Request,
                    source_hardware_addr: EthernetAddress(self.mac),
                    source_protocol_addr: self.ipv4,
                    target_hardware_addr: to,
                    target_protocol_addr: target,
                };
                ethernet(self.mac, to.0, EthernetProtocol::Arp, request.buffer_len(), |payload| {
                    request.emit(&mut ArpPacket::new_unchecked(payload));
                })
            }
            IpAddr::V6(target) => {
                let solicitation = Icmpv6Repr::Ndisc(NdiscRepr::NeighborSolicit {
                    target_addr: target,
                    lladdr: Some(EthernetAddress(self.mac).into()),
                });
                let group = solicited_node(target);
                let to = if mac.is_some() { target } else { group };
                let mac = mac.unwrap_or_else(|| multicast_mac(group));
                icmpv6(self.mac, mac, (self.ipv6, to), &solicitation)
            }
        }
    }

    /// The first segment of a TCP connection, and nothing more.
    pub(super) fn syn(&self, target: IpAddr, mac: Mac, ports: (u16, u16)) -> Vec<u8> {
        let segment = TcpRepr {
            src_port: ports.0,
            dst_port: ports.1,
            control: TcpControl::Syn,
            seq_number: TcpSeqNumber(i32::from(ports.1) << 8),
            ack_number: None,
            window_len: 1024,
            window_scale: None,
            max_seg_size: Some(1400),
            sack_permitted: false,
            sack_ranges: [None; 3],
            timestamp: None,
            payload: &[],
        };
        let (from, to) = self.pair(target);
        let length = segment.buffer_len();
        packet(self.mac, mac, &IpRepr::new(from, to, IpProtocol::Tcp, length, HOPS), |payload| {
            let caps = ChecksumCapabilities::default();
            segment.emit(&mut TcpPacket::new_unchecked(payload), &from, &to, &caps);
        })
    }

    /// An empty datagram.
    pub(super) fn datagram(&self, target: IpAddr, mac: Mac, ports: (u16, u16)) -> Vec<u8> {
        let header = UdpRepr { src_port: ports.0, dst_port: ports.1 };
        let (from, to) = self.pair(target);
        let length = header.header_len();
        packet(self.mac, mac, &IpRepr::new(from, to, IpProtocol::Udp, length, HOPS), |payload| {
            let caps = ChecksumCapabilities::default();
            header.emit(&mut UdpPacket::new_unchecked(payload), &from, &to, 0, |_| {}, &caps);
        })
    }

    /// A ping.
    pub(super) fn echo(&self, target: IpAddr, mac: Mac, number: u16) -> Vec<u8> {
        let data = b"nexus-host";
        match target {
            IpAddr::V4(target) => {
                let request = Icmpv4Repr::EchoRequest { ident: 1, seq_no: number, data };
                let length = request.buffer_len();
                let (from, to) = (self.ipv4.into(), target.into());
                let header = IpRepr::new(from, to, IpProtocol::Icmp, length, HOPS);
                packet(self.mac, mac, &header, |payload| {
                    let caps = ChecksumCapabilities::default();
                    request.emit(&mut Icmpv4Packet::new_unchecked(payload), &caps);
                })
            }
            IpAddr::V6(target) => {
                let request = Icmpv6Repr::EchoRequest { ident: 1, seq_no: number, data };
                icmpv6(self.mac, mac, (self.ipv6, target), &request)
            }
        }
    }

    fn pair(&self, target: IpAddr) -> (smoltcp::wire::IpAddress, smoltcp::wire::IpAddress) {
        match target {
            IpAddr::V4(target) => (self.ipv4.into(), target.into()),
            IpAddr::V6(target) => (self.ipv6.into(), target.into()),
        }
    }
}

/// A frame with a message of ICMP for IPv6.
pub(super) fn icmpv6(
    from_mac: Mac,
    to_mac: Mac,
    (from, to): (Ipv6Addr, Ipv6Addr),
    message: &Icmpv6Repr<'_>,
) -> Vec<u8> {
    let length = message.buffer_len();
    let header = IpRepr::new(from.into(), to.into(), IpProtocol::Icmpv6, length, HOPS);
    packet(from_mac, to_mac, &header, |payload| {
        let mut buffer = Icmpv6Packet::new_unchecked(payload);
        message.emit(&from, &to, &mut buffer, &ChecksumCapabilities::default());
    })
}

/// A frame with an IP packet; `fill` writes what follows the header.
pub(super) fn packet(
    from_mac: Mac,
    to_mac: Mac,
    header: &IpRepr,
    fill: impl FnOnce(&mut [u8]),
) -> Vec<u8> {
    let protocol = match header {
        IpRepr::Ipv4(_) => EthernetProtocol::Ipv4,
        IpRepr::Ipv6(_) => EthernetProtocol::Ipv6,
    };
    ethernet(from_mac, to_mac, protocol, header.buffer_len(), |buffer| {
        header.emit(&mut *buffer, &ChecksumCapabilities::default());
        fill(&mut buffer[header.header_len()..]);
    })
}

fn ethernet(
    from: Mac,
    to: Mac,
    protocol: EthernetProtocol,
    payload_bytes: usize,
    fill: impl FnOnce(&mut [u8]),
) -> Vec<u8> {
    let mut frame = EthernetFrame::new_unchecked(vec![0; HEADER_BYTES + payload_bytes]);
    frame.set_src_addr(EthernetAddress(from));
    frame.set_dst_addr(EthernetAddress(to));
    frame.set_ethertype(protocol);
    fill(frame.payload_mut());
    frame.into_inner()
}

/// The group of everyone whose address ends like `address` (RFC 4291, section 2.7.1).
fn solicited_node(address: Ipv6Addr) -> Ipv6Addr {
    let [.., high, low] = address.segments();
    Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00 | (high & 0xff), low)
}

/// The hardware address of an IPv6 group (RFC 2464, section 7).
pub(super) fn multicast_mac(group: Ipv6Addr) -> Mac {
    let [.., a, b, c, d] = group.octets();
    [0x33, 0x33, a, b, c, d]
}
