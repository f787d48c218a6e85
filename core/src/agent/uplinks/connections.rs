//! The agent's slots for control nodes: which of the list are dialled, and which have a session.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use super::uplink::Uplink;
use super::{Output, UplinkId};
use crate::bounds::{CONTROL_NODES, DIALS_BEFORE_ANOTHER};
use crate::close::{CloseCounts, CloseReason};
use crate::time::Time;
use crate::xmpp::Backoff;
use crate::xmpp::stream::KEEPALIVE;

/// Every slot, and the control nodes that have none.
#[derive(Clone, Debug)]
pub(super) struct Connections {
    slots: Vec<Slot>,
    /// Control nodes of the list that have no slot at present; the next comes first.
    spare: VecDeque<SocketAddr>,
    dials: u64,
    closed: CloseCounts,
}

#[derive(Clone, Debug)]
struct Slot {
    address: SocketAddr,
    state: State,
    /// Dials and sessions that failed since a session was opened last.
    failures: u32,
    backoff: Backoff,
}

#[derive(Clone, Debug)]
enum State {
    /// To be dialled then.
    Waiting {
        until: Time,
    },
    Dialling {
        id: UplinkId,
    },
    Up(Box<Uplink>),
}

impl Connections {
    /// Slots for the first of a list; none was dialled yet.
    pub(super) fn new(nodes: &[SocketAddr], seed: u64) -> Self {
        let (first, spare) = nodes.split_at(nodes.len().min(CONTROL_NODES));
        let slots = first.iter().zip(seed..).map(|(address, seed)| Slot {
            address: *address,
            state: State::Waiting { until: Time::ORIGIN },
            failures: 0,
            backoff: Backoff::new(seed, KEEPALIVE),
        });
        Self {
            slots: slots.collect(),
            spare: spare.iter().copied().collect(),
            dials: 0,
            closed: CloseCounts::default(),
        }
    }

    /// The sessions that are open.
    pub(super) fn uplinks(&self) -> impl Iterator<Item = &Uplink> {
        self.slots.iter().filter_map(Slot::uplink)
    }

    /// The same, to change them.
    pub(super) fn uplinks_mut(&mut self) -> impl Iterator<Item = &mut Uplink> {
        self.slots.iter_mut().filter_map(Slot::uplink_mut)
    }

    /// An open session, and the number of its slot.
    pub(super) fn uplink_mut(&mut self, id: UplinkId) -> Option<(usize, &mut Uplink)> {
        let mut slots = self.slots.iter_mut().enumerate();
        slots.find_map(|(number, slot)| Some((number, slot.uplink_mut().filter(|uplink| uplink.id() == id)?)))
    }

    /// Dials every control node whose time has come.
    pub(super) fn dial(&mut self, now: Time, outputs: &mut VecDeque<Output>) {
        for slot in &mut self.slots {
            if matches!(slot.state, State::Waiting { until } if until <= now) {
                self.dials += 1;
                let id = UplinkId(self.dials);
                slot.state = State::Dialling { id };
                let to = slot.address;
                outputs.push_back(Output::Dial { id, to });
            }
        }
    }

    /// When the next control node is to be dialled.
    pub(super) fn dial_at(&self) -> Option<Time> {
        let waiting = self.slots.iter().filter_map(|slot| match &slot.state {
            State::Waiting { until } => Some(*until),
            State::Dialling { .. } | State::Up(_) => None,
        });
        waiting.min()
    }

    /// A dial became a session. Returns the control node's address.
    pub(super) fn on_opened(&mut self, now: Time, id: UplinkId, name: String, ours: bool) -> Option<SocketAddr> {
        let slot = self.slots.iter_mut().find(|slot| slot.is(id))?;
        slot.state = State::Up(Box::new(Uplink::new(now, id, name, ours)));
        slot.failures = 0;
        Some(slot.address)
    }

    /// A dial failed, or a session ended. Returns the number of its slot, and the control node's address.
    pub(super) fn on_closed(&mut self, now: Time, id: UplinkId, reason: CloseReason) -> Option<(usize, SocketAddr)> {
        let (number, slot) = self.slots.iter_mut().enumerate().find(|(_, slot)| slot.is(id))?;
        self.closed.count(reason);
        let address = slot.address;
        let up = slot.uplink().map_or(Duration::ZERO, |uplink| now.since(uplink.since()));
        let until = now + slot.backoff.pause(up);
        slot.state = State::Waiting { until };
        slot.failures += 1;
        if slot.failures >= DIALS_BEFORE_ANOTHER
            && let Some(next) = self.spare.pop_front()
        {
            self.spare.push_back(address);
            slot.address = next;
            slot.state = State::Waiting { until: Time::ORIGIN };
            slot.failures = 0;
        }
        Some((number, address))
    }

    /// Each slot: the control node's address, how often in a row it failed, and the session if one is open.
    pub(super) fn slots(&self) -> impl Iterator<Item = (SocketAddr, u32, Option<&Uplink>)> {
        self.slots
            .iter()
            .map(|slot| (slot.address, slot.failures, slot.uplink()))
    }

    /// The dials and sessions that ended.
    pub(super) fn closed(&self) -> &CloseCounts {
        &self.closed
    }
}

impl Slot {
    /// Whether this is its dial or its session.
    fn is(&self, it: UplinkId) -> bool {
        match &self.state {
            State::Waiting { .. } => false,
            State::Dialling { id } => *id == it,
            State::Up(uplink) => uplink.id() == it,
        }
    }

    fn uplink(&self) -> Option<&Uplink> {
        match &self.state {
            State::Up(uplink) => Some(uplink),
            State::Waiting { .. } | State::Dialling { .. } => None,
        }
    }

    fn uplink_mut(&mut self) -> Option<&mut Uplink> {
        match &mut self.state {
            State::Up(uplink) => Some(uplink),
            State::Waiting { .. } | State::Dialling { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(port: u16) -> SocketAddr {
        ([10, 0, 0, 1], port).into()
    }

    /// Dials as often as anything is due; returns the ports.
    fn dial(connections: &mut Connections) -> Vec<(UplinkId, u16)> {
        let now = connections.dial_at().unwrap_or(Time::ORIGIN);
        let mut outputs = VecDeque::new();
        connections.dial(now, &mut outputs);
        let dials = outputs.into_iter().filter_map(|output| {
            let Output::Dial { id, to } = output else {
                return None;
            };
            Some((id, to.port()))
        });
        dials.collect()
    }

    #[test]
    fn two_of_a_list_are_dialled_and_no_dial_is_numbered_twice() {
        let mut connections = Connections::new(&[1, 2, 3].map(node), 1);
        assert_eq!(dial(&mut connections), [(UplinkId(1), 1), (UplinkId(2), 2)]);
        assert_eq!(dial(&mut connections), []);
        assert_eq!(
            connections.on_closed(Time::ORIGIN, UplinkId(1), CloseReason::DialFailed),
            Some((0, node(1)))
        );
        assert_eq!(
            connections.on_closed(Time::ORIGIN, UplinkId(1), CloseReason::DialFailed),
            None,
            "it is over already"
        );
        assert_eq!(connections.closed().of(CloseReason::DialFailed), 1);
        assert_eq!(dial(&mut connections), [(UplinkId(3), 1)]);
    }

    #[test]
    fn a_control_node_that_fails_again_and_again_gives_its_slot_to_the_next_of_the_list() {
        let mut connections = Connections::new(&[1, 2, 3].map(node), 1);
        let mut dialled = dial(&mut connections);
        for _ in 1..DIALS_BEFORE_ANOTHER {
            connections.on_closed(Time::ORIGIN, dialled[0].0, CloseReason::DialFailed);
            dialled = dial(&mut connections);
            assert_eq!(dialled[0].1, 1);
        }
        connections.on_closed(Time::ORIGIN, dialled[0].0, CloseReason::DialFailed);
        assert_eq!(dial(&mut connections)[0].1, 3);
        assert_eq!(connections.spare, [node(1)]);
    }

    #[test]
    fn a_session_that_was_open_starts_the_count_of_failures_anew() {
        let mut connections = Connections::new(&[node(1)], 1);
        let [(first, _)] = dial(&mut connections)[..] else {
            panic!("one dial")
        };
        connections.on_closed(Time::ORIGIN, first, CloseReason::DialFailed);
        let [(second, _)] = dial(&mut connections)[..] else {
            panic!("one dial")
        };
        assert_eq!(connections.slots[0].failures, 1);
        connections.on_opened(Time::ORIGIN, second, "control-1".into(), true);
        assert_eq!(connections.slots[0].failures, 0);
        assert_eq!(
            connections.uplinks().map(Uplink::name).collect::<Vec<_>>(),
            ["control-1"]
        );
        assert!(connections.uplink_mut(first).is_none());
    }
}
