//! Tests with a client's frames.

use super::*;
use expect_test::{Expect, expect};
use proptest::prelude::*;

const SERVER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);

fn server() -> Server {
    Server::new([2; 6], SERVER, 24, Ipv4Addr::new(192, 0, 2, 100))
}

/// A client's message; `change` makes it the one that is wanted.
fn request(kind: DhcpMessageType, client: u8, change: impl FnOnce(&mut DhcpRepr<'_>)) -> Vec<u8> {
    let mut message = DhcpRepr {
        message_type: kind,
        transaction_id: 7,
        secs: 0,
        client_hardware_address: smoltcp::wire::EthernetAddress([0x52, 0x54, 0, 0, 0, client]),
        client_ip: Ipv4Addr::UNSPECIFIED,
        your_ip: Ipv4Addr::UNSPECIFIED,
        server_ip: Ipv4Addr::UNSPECIFIED,
        router: None,
        subnet_mask: None,
        relay_agent_ip: Ipv4Addr::UNSPECIFIED,
        broadcast: false,
        requested_ip: None,
        client_identifier: None,
        server_identifier: None,
        parameter_request_list: Some(&[1, 3, 6]),
        dns_servers: None,
        max_size: None,
        lease_duration: None,
        renew_duration: None,
        rebind_duration: None,
        additional_options: &[],
    };
    change(&mut message);
    let udp = UdpRepr { src_port: CLIENT_PORT, dst_port: SERVER_PORT };
    let (from, to) = (Ipv4Addr::UNSPECIFIED.into(), Ipv4Addr::BROADCAST.into());
    let length = udp.header_len() + message.buffer_len();
    let header = IpRepr::new(from, to, IpProtocol::Udp, length, 64);
    packet([0x52, 0x54, 0, 0, 0, client], [0xff; 6], &header, |buffer| {
        let fill = |payload: &mut [u8]| {
            message.emit(&mut DhcpPacket::new_unchecked(payload)).unwrap();
        };
        let caps = ChecksumCapabilities::default();
        let mut datagram = UdpPacket::new_unchecked(buffer);
        udp.emit(&mut datagram, &from, &to, message.buffer_len(), fill, &caps);
    })
}

/// The answer in words.
fn words(answers: Option<Vec<Vec<u8>>>) -> String {
    let Some(answers) = answers else { return "not for us".to_owned() };
    let Some(frame) = answers.first() else { return "no answer".to_owned() };
    let ethernet = EthernetFrame::new_checked(frame).unwrap();
    let ip = Ipv4Packet::new_checked(ethernet.payload()).unwrap();
    assert!(ip.verify_checksum());
    let udp = UdpPacket::new_checked(ip.payload()).unwrap();
    assert!(udp.verify_checksum(&ip.src_addr().into(), &ip.dst_addr().into()));
    let packet = DhcpPacket::new_checked(udp.payload()).unwrap();
    let reply = DhcpRepr::parse(&packet).unwrap();
    format!(
        "{:?} {} to {} at {}, router {:?}, mask {:?}, for {:?} s",
        reply.message_type,
        reply.your_ip,
        ip.dst_addr(),
        ethernet.dst_addr(),
        reply.router,
        reply.subnet_mask,
        reply.lease_duration
    )
}

#[track_caller]
fn check(server: &mut Server, frame: &[u8], expected: &Expect) {
    expected.assert_eq(&words(server.answers(frame)));
}

#[test]
fn a_client_gets_its_address_and_keeps_it() {
    let mut server = server();
    let discover = request(DhcpMessageType::Discover, 1, |_| {});
    check(
        &mut server,
        &discover,
        &expect![
            "Offer 192.0.2.100 to 192.0.2.100 at 52-54-00-00-00-01, router Some(192.0.2.1), mask Some(255.255.255.0), for Some(86400) s"
        ],
    );
    assert_eq!(server.leases(), BTreeMap::new());
    let ours = Ipv4Addr::new(192, 0, 2, 100);
    let take = |message: &mut DhcpRepr<'_>| {
        message.requested_ip = Some(ours);
        message.server_identifier = Some(SERVER);
    };
    check(
        &mut server,
        &request(DhcpMessageType::Request, 1, take),
        &expect![
            "Ack 192.0.2.100 to 192.0.2.100 at 52-54-00-00-00-01, router Some(192.0.2.1), mask Some(255.255.255.0), for Some(86400) s"
        ],
    );
    assert_eq!(server.leases(), BTreeMap::from([([0x52, 0x54, 0, 0, 0, 1], ours)]));
    let renew = |message: &mut DhcpRepr<'_>| message.client_ip = ours;
    check(
        &mut server,
        &request(DhcpMessageType::Request, 1, renew),
        &expect![
            "Ack 192.0.2.100 to 192.0.2.100 at 52-54-00-00-00-01, router Some(192.0.2.1), mask Some(255.255.255.0), for Some(86400) s"
        ],
    );
    let other = request(DhcpMessageType::Discover, 2, |message| message.broadcast = true);
    check(
        &mut server,
        &other,
        &expect![
            "Offer 192.0.2.101 to 255.255.255.255 at ff-ff-ff-ff-ff-ff, router Some(192.0.2.1), mask Some(255.255.255.0), for Some(86400) s"
        ],
    );
    check(&mut server, &request(DhcpMessageType::Release, 1, |_| {}), &expect!["no answer"]);
    assert_eq!(server.leases(), BTreeMap::new());
}

#[test]
fn a_wish_for_another_address_is_refused() {
    let wish = |message: &mut DhcpRepr<'_>| {
        message.requested_ip = Some(Ipv4Addr::new(10, 0, 0, 1));
    };
    check(
        &mut server(),
        &request(DhcpMessageType::Request, 1, wish),
        &expect![
            "Nak 0.0.0.0 to 255.255.255.255 at ff-ff-ff-ff-ff-ff, router None, mask None, for None s"
        ],
    );
}

#[test]
fn requests_to_another_server_are_left_to_it() {
    let elsewhere = |message: &mut DhcpRepr<'_>| {
        message.server_identifier = Some(Ipv4Addr::new(192, 0, 2, 2));
    };
    check(&mut server(), &request(DhcpMessageType::Request, 1, elsewhere), &expect!["no answer"]);
}

#[test]
fn what_is_not_dhcp_is_not_taken() {
    check(&mut server(), &[0; 60], &expect!["not for us"]);
    let mut other_port = request(DhcpMessageType::Discover, 1, |_| {});
    other_port[37] = 68;
    check(&mut server(), &other_port, &expect!["not for us"]);
    let mut garbage = request(DhcpMessageType::Discover, 1, |_| {});
    garbage[42..].fill(0);
    check(&mut server(), &garbage, &expect!["no answer"]);
}

#[test]
fn invented_clients_get_no_more_than_there_are() {
    let mut server = server();
    let answered = (0..=255_u8)
        .filter(|client| {
            let frame = request(DhcpMessageType::Discover, *client, |_| {});
            server.answers(&frame).is_some_and(|answers| !answers.is_empty())
        })
        .count();
    assert_eq!(answered, CLIENTS_MAX);
}

proptest! {
    #[test]
    fn no_frame_can_panic_the_server(changes: Vec<(u16, u8)>, cut in 0..400_usize) {
        let mut frame = request(DhcpMessageType::Request, 1, |_| {});
        for (at, byte) in changes {
            let length = frame.len();
            frame[usize::from(at) % length] = byte;
        }
        frame.truncate(frame.len().saturating_sub(cut.saturating_sub(200)));
        server().answers(&frame);
    }
}
