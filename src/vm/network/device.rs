//! The outside host's network card, as smoltcp sees it: two queues.

use std::collections::VecDeque;

use smoltcp::phy::{self, DeviceCapabilities, Medium};
use smoltcp::time::Instant;

/// The longest frame of an ordinary Ethernet, without its checksum.
const FRAME_BYTES: usize = 1514;

/// Frames that may wait in each queue.
const FRAMES_MAX: usize = 512;

/// The queues.
#[derive(Debug, Default)]
pub(super) struct Device {
    received: VecDeque<Vec<u8>>,
    /// What smoltcp wants to send.
    pub sent: VecDeque<Vec<u8>>,
}

impl Device {
    /// Hands a frame to smoltcp; when it is behind, the frame is lost.
    pub(super) fn push(&mut self, frame: Vec<u8>) {
        if self.received.len() < FRAMES_MAX {
            self.received.push_back(frame);
        }
    }
}

impl phy::Device for Device {
    type RxToken<'a> = Received;
    type TxToken<'a> = ToSend<'a>;

    fn receive(&mut self, _: Instant) -> Option<(Received, ToSend<'_>)> {
        if self.sent.len() >= FRAMES_MAX {
            return None;
        }
        let frame = self.received.pop_front()?;
        Some((Received(frame), ToSend(&mut self.sent)))
    }

    fn transmit(&mut self, _: Instant) -> Option<ToSend<'_>> {
        (self.sent.len() < FRAMES_MAX).then_some(ToSend(&mut self.sent))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = FRAME_BYTES;
        capabilities
    }
}

/// A frame for smoltcp.
#[derive(Debug)]
pub(super) struct Received(Vec<u8>);

impl phy::RxToken for Received {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(&self.0)
    }
}

/// Room for a frame of smoltcp.
#[derive(Debug)]
pub(super) struct ToSend<'a>(&'a mut VecDeque<Vec<u8>>);

impl phy::TxToken for ToSend<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, f: F) -> R {
        let mut frame = vec![0; length];
        let answer = f(&mut frame);
        self.0.push_back(frame);
        answer
    }
}
