//! The routes that the session exports: the switch learned them, and they are not yet withdrawn.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::ops::Bound;

use super::desired::Desired;
use super::lease::Permit;
use super::replica::Replica;
use crate::configuration::SessionOptions;
use crate::dirty_set::DirtySet;
use crate::event::Route;
use crate::ids::{Mac, Uuid};
use crate::planted::Planted;

/// The exported routes, and those that wait for a locator.
#[derive(Clone, Debug)]
pub(super) struct Exporter {
    exported: BTreeSet<Route>,
    /// Learned MACs at no place that a route can name: their locator has not arrived yet, or is of another kind.
    unplaced: DirtySet<(Uuid, Mac)>,
    /// Those of them that are to be looked at again, because some locator has arrived since.
    placeable: DirtySet<(Uuid, Mac)>,
    planted: Planted,
}

/// The place of a MAC, as the local tables of the switch have it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Learned {
    vteps: BTreeSet<Ipv4Addr>,
    /// Every locator that the rows name has arrived, and a route can name it.
    placed: bool,
    /// A locator that a row names has not arrived.
    awaited: bool,
    /// The row that counts came while we watched, and was at no place since.
    just_now: bool,
}

/// The change of the exported routes of a MAC.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Changes {
    pub(super) withdrawn: Vec<Route>,
    pub(super) exported: Vec<Route>,
}

impl Exporter {
    pub(super) fn new(options: &SessionOptions) -> Self {
        Self {
            exported: BTreeSet::new(),
            unplaced: DirtySet::default(),
            placeable: DirtySet::default(),
            planted: Planted::of(options),
        }
    }

    /// The number of exported routes.
    pub(super) fn count(&self) -> usize {
        self.exported.len()
    }

    /// The networks that have exported routes.
    pub(super) fn networks(&self) -> impl Iterator<Item = Uuid> + '_ {
        let mut last = None;
        self.exported.iter().filter_map(move |route| {
            let new = last != Some(route.network);
            last = Some(route.network);
            new.then_some(route.network)
        })
    }

    /// The first exported MAC of a network that comes after another.
    pub(super) fn next_mac(&self, network: Uuid, after: Option<Mac>) -> Option<Mac> {
        let from = match after {
            Some(mac) => Bound::Excluded(route(network, mac, Ipv4Addr::BROADCAST)),
            None => Bound::Included(route(network, Mac([0; 6]), Ipv4Addr::UNSPECIFIED)),
        };
        let to = Bound::Included(route(network, Mac::BROADCAST, Ipv4Addr::BROADCAST));
        self.exported.range((from, to)).next().map(|route| route.mac)
    }

    /// Brings what is exported of a MAC in line with what the switch learned. Only a session that may write exports.
    pub(super) fn export(&mut self, _: &Permit, network: Uuid, mac: Mac, learned: &Learned) -> Changes {
        self.placeable.unmark(&(network, mac));
        if learned.placed {
            self.unplaced.unmark(&(network, mac));
        } else {
            self.unplaced.mark((network, mac));
        }
        // Where the MAC is will be known in a moment: a switch whose tunnel end changes has not lost its MACs.
        if learned.awaited && learned.vteps.is_empty() {
            return Changes::default();
        }
        let all = route(network, mac, Ipv4Addr::UNSPECIFIED)..=route(network, mac, Ipv4Addr::BROADCAST);
        let before = self.exported.range(all);
        let withdrawn: Vec<Route> = before
            .filter(|route| !learned.vteps.contains(&route.vtep))
            .copied()
            .collect();
        if planted!(self.planted, TunnelEndNotExported) && !withdrawn.is_empty() && !learned.vteps.is_empty() {
            return Changes::default();
        }
        for route in &withdrawn {
            self.exported.remove(route);
        }
        let learned = learned.vteps.iter().map(|vtep| route(network, mac, *vtep));
        let exported = learned.filter(|route| self.exported.insert(*route)).collect();
        Changes { withdrawn, exported }
    }

    /// Learned MACs at no place that a route can name.
    pub(super) fn unplaced(&self) -> impl Iterator<Item = Mac> + '_ {
        self.unplaced.iter().chain(self.placeable.iter()).map(|(_, mac)| *mac)
    }

    /// A locator has arrived: the MACs that waited for one are to be looked at again.
    pub(super) fn on_locators(&mut self) {
        self.placeable.extend(self.unplaced.take_all());
    }

    /// Takes up to `n` MACs that waited for a locator when one arrived.
    pub(super) fn take_placeable(&mut self, n: usize) -> Vec<(Uuid, Mac)> {
        self.placeable.take(n)
    }

    /// Whether any is left to take.
    pub(super) fn has_placeable(&self) -> bool {
        !self.placeable.is_empty()
    }

    /// The session is over: nothing is exported any more. Answers how many routes that were.
    pub(super) fn retract(&mut self) -> usize {
        std::mem::take(&mut self.exported).len()
    }
}

impl Learned {
    /// Reads where a MAC is from the local tables.
    ///
    /// One transaction arrives in updates of several monitors, in any order, so that a locator may come after the row
    /// that names it. Of several rows of one MAC the last counts: it is one place. A group address is in no one place.
    pub(super) fn of(replica: &Replica, desired: &Desired, network: Uuid, mac: Mac) -> Self {
        let is_group = mac.is_multicast() && !mac.is_broadcast();
        let row = replica.logical_switches.of_network(network);
        let nowhere = |placed| Self {
            vteps: BTreeSet::new(),
            placed,
            awaited: false,
            just_now: false,
        };
        let Some((row, network)) = row.zip(desired.network(network)) else {
            return nowhere(true);
        };
        if is_group {
            return nowhere(replica.ucast_local.rows_of(row, mac).is_empty());
        }
        let locators = &replica.locators;
        let (mut placed, mut awaited, mut just_now) = (true, false, false);
        let vteps: BTreeSet<Ipv4Addr> = if mac == Mac::BROADCAST {
            let rows = replica.mcast_local.rows_of(row);
            let sets = rows
                .filter(|(_, entry)| entry.mac.is_broadcast())
                .filter_map(|(_, entry)| entry.locator_set);
            let sets = sets.inspect(|set| placed &= locators.is_whole(*set));
            sets.flat_map(|set| locators.vteps(set)).collect()
        } else {
            let rows = replica.ucast_local.rows_of(row, mac).iter().rev();
            let entries = rows.filter_map(|row| Some((*row, replica.ucast_local.row(*row)?.locator)));
            let named = entries.inspect(|(_, it)| awaited |= it.is_some_and(|it| !locators.has_arrived(it)));
            let vteps = named.map(|(row, locator)| Some((row, locators.learned_at(locator?, network.vni)?)));
            let counts = vteps.inspect(|vtep| placed &= vtep.is_some()).flatten().next();
            just_now = counts.is_some_and(|(row, _)| replica.ucast_local.has_arrived(row));
            counts.map(|(_, vtep)| vtep).into_iter().collect()
        };
        Self {
            vteps,
            placed,
            awaited,
            just_now,
        }
    }

    /// Whether the MAC is at a place that a route can name.
    pub(super) fn is_somewhere(&self) -> bool {
        !self.vteps.is_empty()
    }

    /// Whether the switch has learned it just now: a row that becomes a route for another reason may be of any age.
    pub(super) fn is_just_now(&self) -> bool {
        self.just_now
    }
}

fn route(network: Uuid, mac: Mac, vtep: Ipv4Addr) -> Route {
    Route { network, mac, vtep }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::lease::tests::permit;
    use proptest::prelude::*;

    const NETWORK: Uuid = Uuid(1);

    fn exporter() -> Exporter {
        Exporter::new(&SessionOptions::new("agent-a", Ipv4Addr::LOCALHOST))
    }

    fn mac(n: u8) -> Mac {
        Mac([2, 0, 0, 0, 0, n])
    }

    fn learned(vteps: &[u8]) -> Learned {
        Learned {
            vteps: vteps.iter().map(|n| Ipv4Addr::new(10, 0, 0, *n)).collect(),
            placed: true,
            awaited: false,
            just_now: false,
        }
    }

    #[test]
    fn a_mac_that_moves_is_withdrawn_there_and_exported_here() {
        let mut exporter = exporter();
        exporter.export(&permit(), NETWORK, mac(1), &learned(&[1]));
        let changes = exporter.export(&permit(), NETWORK, mac(1), &learned(&[2]));
        let at = |n| vec![route(NETWORK, mac(1), Ipv4Addr::new(10, 0, 0, n))];
        assert_eq!((changes.withdrawn, changes.exported), (at(1), at(2)));
        let changes = exporter.export(&permit(), NETWORK, mac(1), &learned(&[2]));
        assert_eq!(changes, Changes::default());
    }

    #[test]
    fn a_mac_without_its_locator_waits_for_it() {
        let mut exporter = exporter();
        let nowhere = Learned {
            vteps: BTreeSet::new(),
            placed: false,
            awaited: true,
            just_now: false,
        };
        assert_eq!(
            exporter.export(&permit(), NETWORK, mac(1), &nowhere),
            Changes::default()
        );
        assert!(!exporter.has_placeable(), "none has arrived");
        exporter.on_locators();
        assert_eq!(exporter.take_placeable(9), [(NETWORK, mac(1))]);
        exporter.on_locators();
        assert!(!exporter.has_placeable());
    }

    #[test]
    fn a_mac_that_found_its_place_or_went_is_not_shown_as_unplaced_any_more() {
        let mut exporter = exporter();
        let unplaced = |exporter: &Exporter| exporter.unplaced().collect::<Vec<_>>();
        let nowhere = |placed| Learned {
            vteps: BTreeSet::new(),
            placed,
            awaited: !placed,
            just_now: false,
        };
        for n in 1..=2 {
            exporter.export(&permit(), NETWORK, mac(n), &nowhere(false));
        }
        assert_eq!(unplaced(&exporter), [mac(1), mac(2)]);
        exporter.export(&permit(), NETWORK, mac(1), &learned(&[1]));
        assert_eq!(unplaced(&exporter), [mac(2)]);
        exporter.export(&permit(), NETWORK, mac(2), &nowhere(true));
        assert_eq!(unplaced(&exporter), []);
    }

    #[test]
    fn a_mac_whose_new_locator_has_not_arrived_stays_where_it_was() {
        let mut exporter = exporter();
        exporter.export(&permit(), NETWORK, mac(1), &learned(&[1]));
        let awaited = Learned {
            placed: false,
            awaited: true,
            ..learned(&[])
        };
        assert_eq!(
            exporter.export(&permit(), NETWORK, mac(1), &awaited),
            Changes::default()
        );
        let changes = exporter.export(&permit(), NETWORK, mac(1), &learned(&[2]));
        assert_eq!((changes.withdrawn.len(), changes.exported.len()), (1, 1), "in one step");
        let other_kind = Learned {
            awaited: false,
            ..awaited
        };
        let changes = exporter.export(&permit(), NETWORK, mac(1), &other_kind);
        assert_eq!(changes.withdrawn.len(), 1, "no route can name that locator");
    }

    #[test]
    fn the_walk_over_exported_macs_sees_each_once() {
        let mut exporter = exporter();
        for n in [3, 1] {
            exporter.export(&permit(), NETWORK, mac(n), &learned(&[1, 2]));
        }
        let first = exporter.next_mac(NETWORK, None);
        assert_eq!(first, Some(mac(1)));
        assert_eq!(exporter.next_mac(NETWORK, first), Some(mac(3)));
        assert_eq!(exporter.next_mac(NETWORK, Some(mac(3))), None);
        assert_eq!(exporter.networks().collect::<Vec<_>>(), [NETWORK]);
    }

    proptest! {
        /// An agent that follows the changes knows exactly what is exported.
        #[test]
        fn the_changes_say_what_is_exported(
            learnings in proptest::collection::vec((0u8..4, proptest::collection::vec(0u8..4, 0..3)), 0..40),
        ) {
            let mut exporter = exporter();
            let mut known: BTreeSet<Route> = BTreeSet::new();
            for (n, vteps) in learnings {
                let changes = exporter.export(&permit(), NETWORK, mac(n), &learned(&vteps));
                for route in changes.withdrawn {
                    prop_assert!(known.remove(&route));
                }
                for route in changes.exported {
                    prop_assert!(known.insert(route));
                }
                let of_mac = known.iter().filter(|route| route.mac == mac(n)).map(|route| route.vtep);
                prop_assert_eq!(of_mac.collect::<BTreeSet<_>>(), learned(&vteps).vteps);
            }
            prop_assert_eq!(&known, &exporter.exported);
            prop_assert_eq!(exporter.retract(), known.len());
        }
    }
}
