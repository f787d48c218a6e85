//! Messages that wait: each lane keeps its order, and the seed chooses between lanes.

use std::collections::{BTreeMap, VecDeque};

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use tandem_core::session::Command;
use tandem_core::{ConnId, agent};

/// What has an order of its own: a channel of the drivers, or a task's timer.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Lane {
    /// Connections whose handshake is over, to the agent.
    Arrivals,
    /// Signals, the configuration and the health ports, to the agent.
    Environment,
    /// The agent's timer.
    Clock,
    /// Notices of a session or a stream, to the agent.
    Notices(ConnId),
    /// To a session or a handshake.
    Session(ConnId),
}

/// A message.
#[derive(Clone, Debug)]
pub(super) enum Letter {
    /// To the agent.
    Agent(agent::Input),
    /// To a session, from the agent.
    Command(ConnId, Command),
    /// To a session or a handshake: its time has come.
    Wake(ConnId),
}

/// Every message that waits.
#[derive(Clone, Debug)]
pub(super) struct Mailbox {
    /// None of them is empty.
    lanes: BTreeMap<Lane, VecDeque<Letter>>,
    random: ChaCha8Rng,
}

impl Mailbox {
    /// An empty one.
    pub(super) fn new(seed: u64) -> Self {
        Self {
            lanes: BTreeMap::new(),
            random: ChaCha8Rng::seed_from_u64(seed),
        }
    }

    /// A message goes to the end of its lane.
    pub(super) fn post(&mut self, lane: Lane, letter: Letter) {
        self.lanes.entry(lane).or_default().push_back(letter);
    }

    /// Takes the first message of some lane.
    pub(super) fn take(&mut self) -> Option<Letter> {
        let choice = match self.lanes.len() {
            0 => return None,
            1 => 0,
            // The remainder favours no lane by more than lanes / 2^64.
            lanes => self.random.next_u64() as usize % lanes,
        };
        let lane = self.lanes.iter().nth(choice).map(|(lane, _)| *lane)?;
        let letters = self.lanes.get_mut(&lane)?;
        let letter = letters.pop_front();
        if letters.is_empty() {
            self.lanes.remove(&lane);
        }
        letter
    }

    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.lanes.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const TWO: [ConnId; 2] = [ConnId(1), ConnId(2)];

    /// Wakes stand for messages: three to each of two sessions. Answers whose came when.
    fn order(seed: u64) -> Vec<u64> {
        let mut mailbox = Mailbox::new(seed);
        for conn in TWO {
            for number in 0..3 {
                mailbox.post(Lane::Session(conn), Letter::Wake(ConnId(conn.0 * 10 + number)));
            }
        }
        let mut order = Vec::new();
        while let Some(letter) = mailbox.take() {
            match letter {
                Letter::Wake(conn) => order.push(conn.0),
                Letter::Agent(_) | Letter::Command(..) => panic!("not posted"),
            }
        }
        order
    }

    #[test]
    fn each_lane_keeps_its_order_and_the_seed_decides_between_lanes() {
        let orders: BTreeSet<Vec<u64>> = (0..1000).map(order).collect();
        assert_eq!(orders.len(), 20, "every way to shuffle three into three");
        for order in orders {
            for conn in TWO {
                let own: Vec<u64> = order.iter().copied().filter(|letter| letter / 10 == conn.0).collect();
                assert!(own.is_sorted(), "{order:?}");
            }
        }
        assert_eq!(order(7), order(7));
    }
}
