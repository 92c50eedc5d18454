//! An IPv6 router's answer to a machine that looks for one (RFC 4861, section 6.2).

use std::net::Ipv6Addr;

use smoltcp::phy::ChecksumCapabilities;
use smoltcp::time::Duration;
use smoltcp::wire::{
    EthernetAddress, EthernetFrame, EthernetProtocol, Icmpv6Packet, Icmpv6Repr, IpProtocol,
    Ipv6Packet, NdiscPrefixInfoFlags, NdiscPrefixInformation, NdiscRepr, NdiscRouterFlags,
};

use super::frame::{Mac, icmpv6, multicast_mac};

/// How long the router and its prefix are good for; longer than any test.
const LIFETIME: Duration = Duration::from_secs(9000);

/// All machines on the link.
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

/// The router's address on the link, from which advertisements must come.
pub(super) const LINK_LOCAL: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);

/// Advertises itself and one prefix.
#[derive(Debug)]
pub(super) struct Router {
    mac: Mac,
    prefix: Ipv6Addr,
    prefix_bits: u8,
}

impl Router {
    /// A router for the prefix that `address` is in.
    pub(super) fn new(mac: Mac, address: Ipv6Addr, prefix_bits: u8) -> Self {
        let mask = u128::MAX.checked_shl(128 - u32::from(prefix_bits.min(128))).unwrap_or(0);
        Self { mac, prefix: Ipv6Addr::from(u128::from(address) & mask), prefix_bits }
    }

    /// The advertisement, when `frame` solicits one.
    pub(super) fn answer(&self, frame: &[u8]) -> Option<Vec<u8>> {
        is_solicitation(frame)?.then(|| self.advertisement())
    }

    fn advertisement(&self) -> Vec<u8> {
        let prefix = NdiscPrefixInformation {
            prefix_len: self.prefix_bits,
            flags: NdiscPrefixInfoFlags::ON_LINK | NdiscPrefixInfoFlags::ADDRCONF,
            valid_lifetime: LIFETIME,
            preferred_lifetime: LIFETIME,
            prefix: self.prefix,
        };
        let advertisement = Icmpv6Repr::Ndisc(NdiscRepr::RouterAdvert {
            hop_limit: 64,
            flags: NdiscRouterFlags::empty(),
            router_lifetime: LIFETIME,
            reachable_time: Duration::ZERO,
            retrans_time: Duration::ZERO,
            lladdr: Some(EthernetAddress(self.mac).into()),
            mtu: None,
            prefix_info: Some(prefix),
        });
        icmpv6(self.mac, multicast_mac(ALL_NODES), (LINK_LOCAL, ALL_NODES), &advertisement)
    }
}

fn is_solicitation(frame: &[u8]) -> Option<bool> {
    let ethernet = EthernetFrame::new_checked(frame).ok()?;
    if ethernet.ethertype() != EthernetProtocol::Ipv6 {
        return None;
    }
    let ip = Ipv6Packet::new_checked(ethernet.payload()).ok()?;
    if ip.next_header() != IpProtocol::Icmpv6 || ip.hop_limit() != 255 {
        return None;
    }
    let message = Icmpv6Packet::new_checked(ip.payload()).ok()?;
    let caps = ChecksumCapabilities::default();
    let message = Icmpv6Repr::parse(&ip.src_addr(), &ip.dst_addr(), &message, &caps).ok()?;
    Some(matches!(message, Icmpv6Repr::Ndisc(NdiscRepr::RouterSolicit { .. })))
}

#[cfg(test)]
mod tests;
