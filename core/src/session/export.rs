//! What the switch learned becomes routes: recorded, exported, and taken back.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::ops::Bound;

use super::Session;
use crate::event::{Route, What};
use crate::ids::{Mac, Uuid};

/// What this session has exported, so that it can be retracted.
#[derive(Clone, Debug, Default)]
pub struct Exports {
    routes: BTreeSet<Route>,
    /// MACs with a row whose locator we have not seen: the two are of different monitors, and come in any order.
    unplaced: BTreeSet<(Uuid, Mac)>,
}

impl Exports {
    /// Routes that are exported.
    pub fn count(&self) -> usize {
        self.routes.len()
    }

    /// The networks that have any.
    pub fn networks(&self) -> impl Iterator<Item = Uuid> + '_ {
        let mut last = None;
        self.routes.iter().filter_map(move |route| {
            let new = last != Some(route.network);
            last = Some(route.network);
            new.then_some(route.network)
        })
    }

    /// The first exported MAC of a network that comes after another.
    pub fn next_mac(&self, network: Uuid, after: Option<Mac>) -> Option<Mac> {
        let from = match after {
            Some(mac) => Bound::Excluded(route(network, mac, Ipv4Addr::BROADCAST)),
            None => Bound::Included(route(network, Mac([0; 6]), Ipv4Addr::UNSPECIFIED)),
        };
        let to = Bound::Included(route(network, Mac::BROADCAST, Ipv4Addr::BROADCAST));
        self.routes.range((from, to)).next().map(|route| route.mac)
    }

    fn of_mac(&self, network: Uuid, mac: Mac) -> BTreeSet<Route> {
        let ends = [Ipv4Addr::UNSPECIFIED, Ipv4Addr::BROADCAST].map(|vtep| route(network, mac, vtep));
        let [from, to] = ends;
        self.routes.range(from..=to).copied().collect()
    }
}

fn route(network: Uuid, mac: Mac, vtep: Ipv4Addr) -> Route {
    Route { network, mac, vtep }
}

impl Session {
    /// The switch learned, moved or lost a MAC, and we have it on record now.
    pub(super) fn recorded(&mut self, logical_switch: Uuid, mac: Mac) {
        if self.tables_read()
            && let Some(network) = self.replica.logical_switches.network(logical_switch)
        {
            self.export(network, mac);
        }
    }

    /// Brings what is exported of a MAC in line with what is on record. Only the owner exports.
    pub(super) fn export(&mut self, network: Uuid, mac: Mac) {
        if !self.may_write() {
            return;
        }
        if self.is_unplaced(network, mac) {
            self.exports.unplaced.insert((network, mac));
        }
        let new = self.learned(network, mac);
        let old = self.exports.of_mac(network, mac);
        for gone in old.difference(&new) {
            self.exports.routes.remove(gone);
            self.event(What::Withdrawn(*gone));
        }
        for learned in new.difference(&old) {
            self.exports.routes.insert(*learned);
            self.event(What::Exported(*learned));
        }
    }

    /// A locator came, maybe one that rows of local MACs were waiting for.
    pub(super) fn export_unplaced(&mut self) {
        for (network, mac) in std::mem::take(&mut self.exports.unplaced) {
            self.export(network, mac);
        }
    }

    fn is_unplaced(&self, network: Uuid, mac: Mac) -> bool {
        let Some(row) = self.replica.logical_switches.of_network(network) else {
            return false;
        };
        let rows = self.replica.ucast_local.rows_of(row, mac).iter();
        let mut locators = rows.filter_map(|row| self.replica.ucast_local.row(*row)?.locator);
        locators.any(|locator| !self.replica.locators.knows(locator))
    }

    /// The session ends: everything that it exported is void.
    pub(super) fn retract(&mut self) {
        let routes = std::mem::take(&mut self.exports.routes).len();
        if routes > 0 {
            self.event(What::Retracted { routes });
        }
    }

    /// Where the switch says a MAC is. Of several rows of one MAC the last counts: it is one place.
    fn learned(&self, network: Uuid, mac: Mac) -> BTreeSet<Route> {
        let Some(row) = self.replica.logical_switches.of_network(network) else {
            return BTreeSet::new();
        };
        if self.wanted.network(network).is_none() {
            return BTreeSet::new();
        }
        let locators = &self.replica.locators;
        let vteps: BTreeSet<Ipv4Addr> = if mac == Mac::BROADCAST {
            let rows = self.replica.mcast_local.rows_of(row);
            let sets = rows
                .filter(|(_, entry)| entry.mac.is_broadcast())
                .filter_map(|(_, entry)| entry.locator_set);
            sets.flat_map(|set| locators.vteps(set)).collect()
        } else {
            let rows = self.replica.ucast_local.rows_of(row, mac).iter().rev();
            let entries = rows.filter_map(|row| self.replica.ucast_local.row(*row));
            let mut vteps = entries.filter_map(|entry| locators.vtep(entry.locator?));
            vteps.next().into_iter().collect()
        };
        vteps.into_iter().map(|vtep| route(network, mac, vtep)).collect()
    }
}
