//! Tests of the scan with made-up time and answers.

use super::*;
use std::net::{Ipv4Addr, Ipv6Addr};

const TARGET: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 10));
const NEIGHBOR: Observation = Observation::Neighbor { address: TARGET, mac: [2; 6] };

fn scan(probe: Probe, ports: impl IntoIterator<Item = u16>) -> Scan {
    let (ipv4, ipv6) = (Ipv4Addr::new(192, 0, 2, 1), Ipv6Addr::LOCALHOST);
    let source = Source { mac: [4; 6], ipv4, ipv6 };
    Scan::new(source, TARGET, probe, ports.into_iter().collect())
}

fn tcp(port: u16, open: bool) -> Observation {
    Observation::Tcp { from: TARGET, from_port: port, to_port: FIRST_SOURCE_PORT, open }
}

/// Plays a machine that answers `open` ports and questions for its address, until the scan ends.
/// Returns the number of probes.
fn play(scan: &mut Scan, open: &[u16]) -> usize {
    let mut now = Instant::now();
    let mut probes = 0;
    for _ in 0..10_000 {
        for frame in scan.frames(now, 10_000) {
            // An ARP request has 42 bytes, a SYN has more.
            if frame.len() == 42 {
                scan.observe(now, &NEIGHBOR);
            } else {
                probes += 1;
                let port = u16::from_be_bytes([frame[36], frame[37]]);
                if open.contains(&port) {
                    scan.observe(now, &tcp(port, true));
                }
            }
        }
        if scan.finished().is_some() {
            return probes;
        }
        now = scan.wake_at(now).max(now + Duration::from_millis(1));
    }
    panic!("the scan does not end");
}

#[test]
fn silent_ports_are_asked_twice_and_answered_ones_once() {
    let mut scan = scan(Probe::Tcp, 1..=5000);
    assert_eq!(play(&mut scan, &[22, 80]), 2 * 5000 - 2);
    let found = scan.finished().unwrap();
    assert_eq!(found.open, BTreeSet::from([22, 80]));
    assert_eq!((found.closed.len(), found.silent.len()), (0, 4998));
}

#[test]
fn a_scan_of_no_ports_only_finds_the_machine() {
    let mut scan = scan(Probe::Tcp, []);
    assert_eq!(play(&mut scan, &[]), 0);
    assert!(scan.saw_target());
}

#[test]
fn a_machine_that_is_not_there_is_asked_for_again_and_gets_no_probe() {
    let mut scan = scan(Probe::Tcp, 1..10);
    let mut now = Instant::now();
    for _ in 0..3 {
        assert_eq!(scan.frames(now, 1000).len(), 1);
        assert_eq!(scan.frames(now, 1000).len(), 0);
        now = scan.wake_at(now);
    }
    assert!(!scan.saw_target() && scan.finished().is_none());
}

#[test]
fn little_room_sends_little_and_loses_nothing() {
    let mut scan = scan(Probe::Tcp, 1..=100);
    let now = Instant::now();
    scan.frames(now, 0);
    scan.observe(now, &NEIGHBOR);
    assert_eq!(scan.frames(now, 59).len(), 1);
    assert_eq!(scan.frames(now, 0).len(), 0);
    assert_eq!(scan.asked.1, 1);
}

#[test]
fn answers_of_others_and_to_others_do_not_count() {
    let mut scan = scan(Probe::Tcp, [22]);
    let now = Instant::now();
    let other = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 11));
    let to_port = FIRST_SOURCE_PORT;
    for answer in [
        Observation::Tcp { from: other, from_port: 22, to_port, open: true },
        Observation::Tcp { from: TARGET, from_port: 22, to_port: 50_000, open: true },
        Observation::Tcp { from: TARGET, from_port: 23, to_port, open: true },
        Observation::Udp { from: TARGET, from_port: 22, to_port },
        Observation::Echo { from: TARGET },
        Observation::Unreachable { target: other, port: 22, from_port: to_port },
    ] {
        scan.observe(now, &answer);
        assert_eq!(scan.found.silent, BTreeSet::from([22]), "{answer:?}");
    }
    scan.observe(now, &tcp(22, false));
    assert_eq!(scan.found.closed, BTreeSet::from([22]));
    // A late second answer does not move a port.
    scan.observe(now, &tcp(22, true));
    assert_eq!(scan.found.open, BTreeSet::new());
}

#[test]
fn unreachable_is_closed() {
    let mut scan = scan(Probe::Udp, [53]);
    let from_port = FIRST_SOURCE_PORT;
    let answer = Observation::Unreachable { target: TARGET, port: 53, from_port };
    scan.observe(Instant::now(), &answer);
    assert_eq!(scan.found.closed, BTreeSet::from([53]));
}
