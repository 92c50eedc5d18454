//! Tests with a machine's solicitation.

use super::*;
use proptest::prelude::*;

const ALL_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2);

fn router() -> Router {
    Router::new([2; 6], Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 1), 64)
}

fn solicitation() -> Vec<u8> {
    let message = Icmpv6Repr::Ndisc(NdiscRepr::RouterSolicit { lladdr: None });
    let from = "fe80::5054:ff:fe00:1".parse().unwrap();
    icmpv6([0x52, 0x54, 0, 0, 0, 1], multicast_mac(ALL_ROUTERS), (from, ALL_ROUTERS), &message)
}

#[test]
fn a_solicitation_is_answered_with_the_prefix() {
    let answer = router().answer(&solicitation()).unwrap();
    let ethernet = EthernetFrame::new_checked(&answer).unwrap();
    let ip = Ipv6Packet::new_checked(ethernet.payload()).unwrap();
    assert_eq!((ip.src_addr(), ip.dst_addr(), ip.hop_limit()), (LINK_LOCAL, ALL_NODES, 255));
    let message = Icmpv6Packet::new_checked(ip.payload()).unwrap();
    let caps = ChecksumCapabilities::default();
    let message = Icmpv6Repr::parse(&LINK_LOCAL, &ALL_NODES, &message, &caps).unwrap();
    let Icmpv6Repr::Ndisc(NdiscRepr::RouterAdvert { router_lifetime, prefix_info, .. }) = message
    else {
        panic!("{message:?}")
    };
    let prefix = prefix_info.unwrap();
    assert_eq!(router_lifetime, LIFETIME);
    assert_eq!(prefix.prefix, Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 0));
    assert!(prefix.prefix_len == 64 && prefix.is_valid_prefix_info());
}

#[test]
fn other_messages_and_forwarded_ones_are_not_answered() {
    assert_eq!(router().answer(&router().advertisement()), None);
    let mut forwarded = solicitation();
    forwarded[21] = 64;
    assert_eq!(router().answer(&forwarded), None);
    assert_eq!(router().answer(&[]), None);
}

proptest! {
    #[test]
    fn no_frame_can_panic_the_router(changes: Vec<(u16, u8)>, length in 0..80_usize) {
        let mut frame = solicitation();
        for (at, byte) in changes {
            let length = frame.len();
            frame[usize::from(at) % length] = byte;
        }
        frame.truncate(length);
        router().answer(&frame);
    }
}
