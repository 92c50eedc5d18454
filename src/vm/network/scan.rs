//! A port scan as a value: says which frames to send next, and learns from what comes back.
//!
//! A firewall that drops answers nothing, so silence must be told from slowness without waiting long for
//! each port. A machine handles the frames of one card in order; after each batch the scan therefore asks
//! for the machine's hardware address, and once that is answered the batch has been handled too, however
//! slow the machine is. Ports that stayed silent are asked a second time, in case a frame was lost.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::frame::{Mac, Observation, Source};

/// Probes between two questions for the hardware address.
const BATCH_PORTS: usize = 2048;

/// How long an unanswered question for the hardware address is left before it is asked again.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// How long stragglers have after the last batch of a pass.
const SETTLE: Duration = Duration::from_millis(300);

/// How often a silent port is asked.
const PASSES: u16 = 2;

/// The port that the probes of the first pass come from; below those of our connections.
const FIRST_SOURCE_PORT: u16 = 40_000;

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Probe {
    Tcp,
    Udp,
    Ping,
}

/// What a scan found out; every port asked for is in exactly one of the sets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PortScan {
    /// Ports that take connections, or answered a datagram.
    pub open: BTreeSet<u16>,
    /// Ports that refused.
    pub closed: BTreeSet<u16>,
    /// Ports that stayed silent although the machine was there.
    pub silent: BTreeSet<u16>,
}

/// A scan that goes on.
#[derive(Debug)]
pub(super) struct Scan {
    source: Source,
    target: IpAddr,
    mac: Option<Mac>,
    probe: Probe,
    found: PortScan,
    /// The silent ports of the present pass, and how many of them were asked.
    asked: (Vec<u16>, usize),
    pass: u16,
    step: Step,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// Asks for the machine's hardware address; it was last asked at the given time.
    Ask(Option<Instant>),
    /// Sends the ports up to the given one of the pass.
    Send(usize),
    /// Waits for stragglers.
    Settle(Instant),
    Done,
}

impl Scan {
    pub(super) fn new(source: Source, target: IpAddr, probe: Probe, ports: BTreeSet<u16>) -> Self {
        let asked = (ports.iter().copied().collect(), 0);
        let found = PortScan { silent: ports, ..PortScan::default() };
        let step = Step::Ask(None);
        Self { source, target, mac: None, probe, found, asked, pass: 0, step }
    }

    /// The next frames, at most about `room` bytes of them.
    pub(super) fn frames(&mut self, now: Instant, room: usize) -> Vec<Vec<u8>> {
        let mut frames = Vec::new();
        let mut left = room;
        loop {
            match self.step {
                Step::Ask(asked) => {
                    if asked.is_none_or(|asked| now >= asked + ASK_AGAIN) {
                        frames.push(self.source.ask_neighbor(self.target, self.mac));
                        self.step = Step::Ask(Some(now));
                    }
                    return frames;
                }
                Step::Send(until) => {
                    let Some(frame) = self.next_probe(until) else {
                        self.step = Step::Ask(None);
                        continue;
                    };
                    if frame.len() > left {
                        self.asked.1 -= 1;
                        return frames;
                    }
                    left -= frame.len();
                    frames.push(frame);
                }
                Step::Settle(until) if now >= until => self.next_pass(),
                Step::Settle(_) | Step::Done => return frames,
            }
        }
    }

    fn next_probe(&mut self, until: usize) -> Option<Vec<u8>> {
        let (ports, position) = &mut self.asked;
        let mac = self.mac?;
        let &port = ports[..until].get(*position)?;
        *position += 1;
        let between = (FIRST_SOURCE_PORT + self.pass, port);
        Some(match self.probe {
            Probe::Tcp => self.source.syn(self.target, mac, between),
            Probe::Udp => self.source.datagram(self.target, mac, between),
            Probe::Ping => self.source.echo(self.target, mac, port),
        })
    }

    /// Asks the silent ports again, or ends.
    fn next_pass(&mut self) {
        self.pass += 1;
        self.asked = (self.found.silent.iter().copied().collect(), 0);
        let end = self.pass == PASSES || self.asked.0.is_empty();
        self.step = if end { Step::Done } else { Step::Send(BATCH_PORTS.min(self.asked.0.len())) };
    }

    /// Learns from what came back.
    pub(super) fn observe(&mut self, now: Instant, observation: &Observation) {
        match *observation {
            Observation::Neighbor { address, mac } if address == self.target => {
                self.mac = Some(mac);
                if matches!(self.step, Step::Ask(Some(_))) {
                    let (ports, position) = &self.asked;
                    self.step = if *position < ports.len() {
                        Step::Send((position + BATCH_PORTS).min(ports.len()))
                    } else {
                        Step::Settle(now + SETTLE)
                    };
                }
            }
            Observation::Tcp { from, from_port, to_port, open }
                if self.probe == Probe::Tcp && self.is_answer(from, to_port) =>
            {
                self.answered(from_port, open);
            }
            Observation::Udp { from, from_port, to_port }
                if self.probe == Probe::Udp && self.is_answer(from, to_port) =>
            {
                self.answered(from_port, true);
            }
            Observation::Unreachable { target, port, from_port }
                if self.probe != Probe::Ping && self.is_answer(target, from_port) =>
            {
                self.answered(port, false);
            }
            Observation::Echo { from } if self.probe == Probe::Ping && from == self.target => {
                for port in std::mem::take(&mut self.found.silent) {
                    self.found.open.insert(port);
                }
            }
            _ => {}
        }
    }

    fn is_answer(&self, from: IpAddr, our_port: u16) -> bool {
        let ours = FIRST_SOURCE_PORT..FIRST_SOURCE_PORT + PASSES;
        from == self.target && ours.contains(&our_port)
    }

    fn answered(&mut self, port: u16, open: bool) {
        if self.found.silent.remove(&port) {
            let set = if open { &mut self.found.open } else { &mut self.found.closed };
            set.insert(port);
        }
    }

    /// When there may be something to send although nothing came back.
    pub(super) fn wake_at(&self, now: Instant) -> Instant {
        match self.step {
            Step::Ask(Some(asked)) => asked + ASK_AGAIN,
            Step::Settle(until) => until,
            Step::Ask(None) | Step::Send(_) | Step::Done => now,
        }
    }

    /// The result, once there is one.
    pub(super) fn finished(&self) -> Option<&PortScan> {
        (self.step == Step::Done).then_some(&self.found)
    }

    /// Whether the machine has answered at all.
    pub(super) fn saw_target(&self) -> bool {
        self.mac.is_some()
    }
}

#[cfg(test)]
mod tests;
