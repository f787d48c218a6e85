//! The cursor of an audit: the networks that are still to be compared, MAC by MAC, and how far it is.

use crate::dirty_set::DirtySet;
use crate::ids::{Mac, Uuid};

/// Networks whose MACs are to be compared: what we program first, then what the switch learned.
#[derive(Clone, Debug, Default)]
pub(in crate::session) struct AuditCursor {
    remote: Side,
    local: Side,
}

#[derive(Clone, Debug, Default)]
struct Side {
    networks: DirtySet<Uuid>,
    /// The MAC of the first network that was compared last.
    at: Option<Mac>,
}

/// The next item of a cursor.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::session) enum Stop {
    /// A remote MAC, desired or found; `None` at the end of the network.
    Remote(Uuid, Option<Mac>),
    /// A local MAC, learned or exported; `None` at the end of the network.
    Local(Uuid, Option<Mac>),
}

impl AuditCursor {
    /// Whether nothing is left to compare.
    pub(super) fn is_done(&self) -> bool {
        self.remote.networks.is_empty() && self.local.networks.is_empty()
    }

    /// Compares a network, again and from its beginning.
    pub(super) fn mark(&mut self, network: Uuid) {
        self.remote.mark(network);
        self.local.mark(network);
    }

    /// Goes on by one MAC. The two functions answer the next MAC of a network after another.
    pub(super) fn next(
        &mut self,
        remote: impl FnOnce(Uuid, Option<Mac>) -> Option<Mac>,
        local: impl FnOnce(Uuid, Option<Mac>) -> Option<Mac>,
    ) -> Option<Stop> {
        if let Some((network, mac)) = self.remote.next(remote) {
            return Some(Stop::Remote(network, mac));
        }
        self.local.next(local).map(|(network, mac)| Stop::Local(network, mac))
    }
}

impl Side {
    fn mark(&mut self, network: Uuid) {
        if self.networks.first().is_some_and(|first| *first >= network) {
            self.at = None;
        }
        self.networks.mark(network);
    }

    fn next(&mut self, after: impl FnOnce(Uuid, Option<Mac>) -> Option<Mac>) -> Option<(Uuid, Option<Mac>)> {
        let network = *self.networks.first()?;
        self.at = after(network, self.at);
        if self.at.is_none() {
            self.networks.unmark(&network);
        }
        Some((network, self.at))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;
    use proptest::prelude::*;

    type Table = BTreeMap<Uuid, BTreeSet<Mac>>;

    fn mac(n: u8) -> Mac {
        Mac([2, 0, 0, 0, 0, n])
    }

    fn next_in(table: &Table) -> impl Fn(Uuid, Option<Mac>) -> Option<Mac> + '_ {
        |network, after| {
            let mut macs = table.get(&network)?.iter().copied();
            macs.find(|mac| Some(*mac) > after)
        }
    }

    #[test]
    fn a_network_that_is_marked_again_is_compared_from_its_beginning() {
        let table = Table::from([(Uuid(1), BTreeSet::from([mac(1), mac(2)]))]);
        let mut cursor = AuditCursor::default();
        cursor.mark(Uuid(1));
        let mut step = || cursor.next(next_in(&table), |_, _| None);
        assert_eq!(step(), Some(Stop::Remote(Uuid(1), Some(mac(1)))));
        cursor.mark(Uuid(1));
        let mut step = || cursor.next(next_in(&table), |_, _| None);
        assert_eq!(step(), Some(Stop::Remote(Uuid(1), Some(mac(1)))));
        assert_eq!(step(), Some(Stop::Remote(Uuid(1), Some(mac(2)))));
        assert_eq!(step(), Some(Stop::Remote(Uuid(1), None)));
        assert_eq!(step(), Some(Stop::Local(Uuid(1), None)));
        assert_eq!(step(), None);
        assert!(cursor.is_done());
    }

    proptest! {
        #[test]
        fn every_mac_of_a_marked_network_is_compared_after_its_last_mark(
            macs in proptest::collection::btree_set((0u8..4, 0u8..6), 0..20),
            marks in proptest::collection::vec((0usize..9, 0u8..4), 1..8),
        ) {
            let mut table = Table::new();
            for (network, last) in &macs {
                table.entry(Uuid(u128::from(*network))).or_default().insert(mac(*last));
            }
            let mut cursor = AuditCursor::default();
            let mut compared: BTreeSet<(Uuid, Mac)> = BTreeSet::new();
            let mut marked = BTreeSet::new();
            for (steps, network) in marks {
                let network = Uuid(u128::from(network));
                cursor.mark(network);
                marked.insert(network);
                compared.retain(|(other, _)| *other != network);
                for _ in 0..steps {
                    if let Some(Stop::Remote(network, Some(mac))) = cursor.next(next_in(&table), |_, _| None) {
                        compared.insert((network, mac));
                    }
                }
            }
            while let Some(stop) = cursor.next(next_in(&table), |_, _| None) {
                if let Stop::Remote(network, Some(mac)) = stop {
                    compared.insert((network, mac));
                }
            }
            for (network, mac) in macs.iter().map(|(network, last)| (Uuid(u128::from(*network)), mac(*last))) {
                prop_assert_eq!(compared.contains(&(network, mac)), marked.contains(&network));
            }
        }
    }
}
