//! A DHCP server (RFC 2131) as a function: a frame from a client in, the answering frame out.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    DhcpMessageType, DhcpPacket, DhcpRepr, EthernetFrame, EthernetProtocol, IpProtocol, IpRepr,
    Ipv4Packet, UdpPacket, UdpRepr,
};

use super::frame::{Mac, packet};

const SERVER_PORT: u16 = 67;
const CLIENT_PORT: u16 = 68;

/// How long an address is lent; longer than any test.
const LEASE_SECONDS: u32 = 24 * 3600;

/// How many clients get an address; a machine that invents clients gets no more.
const CLIENTS_MAX: usize = 100;

/// Hands out addresses, always the same one to the same client.
#[derive(Debug)]
pub(super) struct Server {
    mac: Mac,
    address: Ipv4Addr,
    mask: Ipv4Addr,
    first: Ipv4Addr,
    leases: BTreeMap<Mac, Lease>,
}

#[derive(Debug, Clone, Copy)]
struct Lease {
    address: Ipv4Addr,
    /// Whether the client has taken it.
    taken: bool,
}

impl Server {
    /// A server at `address` on a network with `prefix_bits`; the first client gets `first`.
    pub(super) fn new(mac: Mac, address: Ipv4Addr, prefix_bits: u8, first: Ipv4Addr) -> Self {
        let mask = u32::MAX.checked_shl(32 - u32::from(prefix_bits.min(32))).unwrap_or(0);
        Self { mac, address, mask: Ipv4Addr::from(mask), first, leases: BTreeMap::new() }
    }

    /// The addresses that clients have taken.
    pub(super) fn leases(&self) -> BTreeMap<Mac, Ipv4Addr> {
        let taken = self.leases.iter().filter(|(_, lease)| lease.taken);
        taken.map(|(mac, lease)| (*mac, lease.address)).collect()
    }

    /// What it answers to a `frame` for a DHCP server, possibly nothing; `None` for any other frame.
    pub(super) fn answers(&mut self, frame: &[u8]) -> Option<Vec<Vec<u8>>> {
        let ethernet = EthernetFrame::new_checked(frame).ok()?;
        if ethernet.ethertype() != EthernetProtocol::Ipv4 {
            return None;
        }
        let ip = Ipv4Packet::new_checked(ethernet.payload()).ok()?;
        if ip.next_header() != IpProtocol::Udp {
            return None;
        }
        let udp = UdpPacket::new_checked(ip.payload()).ok()?;
        if udp.dst_port() != SERVER_PORT {
            return None;
        }
        let request = DhcpPacket::new_checked(udp.payload()).ok();
        let request = request.as_ref().and_then(|packet| DhcpRepr::parse(packet).ok());
        Some(request.and_then(|request| self.answer_request(&request)).into_iter().collect())
    }

    fn answer_request(&mut self, request: &DhcpRepr<'_>) -> Option<Vec<u8>> {
        let client = request.client_hardware_address.0;
        // A request to another server is none of our business (RFC 2131, section 4.3.2).
        if request.server_identifier.is_some_and(|server| server != self.address) {
            return None;
        }
        let lease = self.lease(client)?;
        let kind = match request.message_type {
            DhcpMessageType::Discover => DhcpMessageType::Offer,
            DhcpMessageType::Request => {
                let wanted = request.requested_ip.unwrap_or(request.client_ip);
                if wanted == lease.address { DhcpMessageType::Ack } else { DhcpMessageType::Nak }
            }
            DhcpMessageType::Release => {
                self.leases.get_mut(&client)?.taken = false;
                return None;
            }
            _ => return None,
        };
        if kind == DhcpMessageType::Ack {
            self.leases.get_mut(&client)?.taken = true;
        }
        Some(self.reply(kind, request, lease.address))
    }

    fn lease(&mut self, client: Mac) -> Option<Lease> {
        let count = u32::try_from(self.leases.len()).ok()?;
        if !self.leases.contains_key(&client) && self.leases.len() >= CLIENTS_MAX {
            return None;
        }
        let next = Ipv4Addr::from(u32::from(self.first).checked_add(count)?);
        Some(*self.leases.entry(client).or_insert(Lease { address: next, taken: false }))
    }

    fn reply(&self, kind: DhcpMessageType, request: &DhcpRepr<'_>, given: Ipv4Addr) -> Vec<u8> {
        let refused = kind == DhcpMessageType::Nak;
        let unless_refused = |value| (!refused).then_some(value);
        let reply = DhcpRepr {
            message_type: kind,
            transaction_id: request.transaction_id,
            secs: 0,
            client_hardware_address: request.client_hardware_address,
            client_ip: Ipv4Addr::UNSPECIFIED,
            your_ip: if refused { Ipv4Addr::UNSPECIFIED } else { given },
            server_ip: Ipv4Addr::UNSPECIFIED,
            router: unless_refused(self.address),
            subnet_mask: unless_refused(self.mask),
            relay_agent_ip: Ipv4Addr::UNSPECIFIED,
            broadcast: request.broadcast,
            requested_ip: None,
            client_identifier: None,
            server_identifier: Some(self.address),
            parameter_request_list: None,
            dns_servers: None,
            max_size: None,
            lease_duration: (!refused).then_some(LEASE_SECONDS),
            renew_duration: None,
            rebind_duration: None,
            additional_options: &[],
        };
        // A client that has no address yet takes what is sent to its hardware address or to everyone.
        let to_all = request.broadcast || refused;
        let to = if to_all { Ipv4Addr::BROADCAST } else { given };
        let mac = if to_all { [0xff; 6] } else { request.client_hardware_address.0 };
        let udp = UdpRepr { src_port: SERVER_PORT, dst_port: CLIENT_PORT };
        let (from, to) = (self.address.into(), to.into());
        let length = udp.header_len() + reply.buffer_len();
        packet(self.mac, mac, &IpRepr::new(from, to, IpProtocol::Udp, length, 64), |buffer| {
            let mut datagram = UdpPacket::new_unchecked(buffer);
            let fill = |payload: &mut [u8]| {
                reply
                    .emit(&mut DhcpPacket::new_unchecked(payload))
                    .expect("the buffer was made for it");
            };
            let caps = ChecksumCapabilities::default();
            udp.emit(&mut datagram, &from, &to, reply.buffer_len(), fill, &caps);
        })
    }
}

#[cfg(test)]
mod tests;
