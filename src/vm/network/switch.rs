//! An Ethernet switch: learns who is behind which port, and says where a frame goes.

use std::collections::BTreeMap;

use super::frame::Mac;

/// A place on the switch; 0 is the outside host.
pub(super) type PortNumber = usize;

/// How many addresses are learnt; beyond that, frames go to all ports.
const ADDRESSES_MAX: usize = 1024;

/// The learnt addresses.
#[derive(Debug, Default)]
pub(super) struct Switch {
    places: BTreeMap<Mac, PortNumber>,
}

/// Where a frame goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// To one port.
    One(PortNumber),
    /// To all ports but the one it came from.
    All,
    /// Nowhere: too short, or to the port it came from.
    None,
}

impl Switch {
    /// Learns from a frame that came in at `port` and says where it goes.
    pub(super) fn way(&mut self, port: PortNumber, frame: &[u8]) -> Way {
        let Some((to, from)) = addresses(frame) else { return Way::None };
        if !is_group(from) && (self.places.len() < ADDRESSES_MAX || self.places.contains_key(&from))
        {
            self.places.insert(from, port);
        }
        match self.places.get(&to) {
            _ if is_group(to) => Way::All,
            None => Way::All,
            Some(&place) if place == port => Way::None,
            Some(&place) => Way::One(place),
        }
    }

    /// Forgets who was behind a port that is no more.
    pub(super) fn forget(&mut self, port: PortNumber) {
        self.places.retain(|_, place| *place != port);
    }
}

/// Receiver and sender of a frame.
fn addresses(frame: &[u8]) -> Option<(Mac, Mac)> {
    let header = frame.get(..14)?;
    Some((header[..6].try_into().ok()?, header[6..12].try_into().ok()?))
}

/// Whether an address stands for many (the lowest bit of its first byte, IEEE 802).
fn is_group(mac: Mac) -> bool {
    mac[0] & 1 == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(to: u8, from: u8) -> Vec<u8> {
        [[2, 0, 0, 0, 0, to], [2, 0, 0, 0, 0, from]].concat().into_iter().chain([8, 0]).collect()
    }

    #[test]
    fn floods_until_it_has_learnt() {
        let mut switch = Switch::default();
        assert_eq!(switch.way(1, &frame(9, 8)), Way::All);
        assert_eq!(switch.way(2, &frame(8, 9)), Way::One(1));
        assert_eq!(switch.way(1, &frame(9, 8)), Way::One(2));
        assert_eq!(switch.way(2, &frame(9, 8)), Way::None);
        switch.forget(2);
        assert_eq!(switch.way(1, &frame(9, 7)), Way::All);
    }

    #[test]
    fn groups_are_not_learnt() {
        let mut switch = Switch::default();
        let mut from_group = frame(9, 8);
        from_group[6] = 0xff;
        assert_eq!(switch.way(1, &from_group), Way::All);
        assert!(switch.places.is_empty());
        assert_eq!(switch.way(1, &[0; 13]), Way::None);
    }

    #[test]
    fn a_machine_with_many_addresses_fills_no_memory() {
        let mut switch = Switch::default();
        for number in 0..10_000_u16 {
            let mut frame = frame(1, 2);
            frame[10..12].copy_from_slice(&number.to_be_bytes());
            switch.way(1, &frame);
        }
        assert_eq!(switch.places.len(), ADDRESSES_MAX);
    }
}
