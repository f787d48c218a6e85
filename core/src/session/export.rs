//! What the switch learned becomes routes: recorded, exported, and taken back.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::ops::Bound;

use super::{Notice, Session};
use crate::event::{Route, What};
use crate::ids::{Mac, Uuid};

/// What this session has exported, so that it can be retracted.
#[derive(Clone, Debug, Default)]
pub struct Exports(BTreeSet<Route>);

impl Exports {
    /// Routes that are exported.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// The networks that have any.
    pub fn networks(&self) -> impl Iterator<Item = Uuid> + '_ {
        let mut last = None;
        self.0.iter().filter_map(move |route| {
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
        self.0.range((from, to)).next().map(|route| route.mac)
    }

    fn of_mac(&self, network: Uuid, mac: Mac) -> BTreeSet<Route> {
        let ends = [Ipv4Addr::UNSPECIFIED, Ipv4Addr::BROADCAST].map(|vtep| route(network, mac, vtep));
        let [from, to] = ends;
        self.0.range(from..=to).copied().collect()
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
        let (new, placed) = self.learned(network, mac);
        if placed {
            self.unplaced.unmark(&(network, mac));
        } else {
            self.unplaced.mark((network, mac));
        }
        let old = self.exports.of_mac(network, mac);
        if planted!(self, TunnelEndNotExported) && !old.is_empty() && !new.is_empty() {
            return;
        }
        for gone in old.difference(&new) {
            self.exports.0.remove(gone);
            self.event(What::Withdrawn(*gone));
            self.notify(Notice::Withdrawn(*gone));
        }
        for learned in new.difference(&old) {
            self.exports.0.insert(*learned);
            self.event(What::Exported(*learned));
            self.notify(Notice::Exported(*learned));
        }
    }

    /// Locators came: MACs that were learned behind them may be exported now.
    pub(super) fn place(&mut self) {
        for (network, mac) in self.unplaced.take_all() {
            self.export(network, mac);
        }
    }

    /// The session ends: everything that it exported is void.
    pub(super) fn retract(&mut self) {
        let routes = std::mem::take(&mut self.exports.0).len();
        if routes > 0 {
            self.event(What::Retracted { routes });
        }
    }

    /// Where the switch says a MAC is, and whether all locators that it names are there: one transaction is told
    /// to several monitors, in any order. Of several rows of one MAC the last counts: it is one place.
    fn learned(&self, network: Uuid, mac: Mac) -> (BTreeSet<Route>, bool) {
        let row = self.replica.logical_switches.of_network(network);
        let Some(row) = row.filter(|_| self.wanted.network(network).is_some()) else {
            return (BTreeSet::new(), true);
        };
        let locators = &self.replica.locators;
        let mut placed = true;
        let vteps: BTreeSet<Ipv4Addr> = if mac == Mac::BROADCAST {
            let rows = self.replica.mcast_local.rows_of(row);
            let sets = rows
                .filter(|(_, entry)| entry.mac.is_broadcast())
                .filter_map(|(_, entry)| entry.locator_set);
            let sets = sets.inspect(|set| placed &= locators.is_whole(*set));
            sets.flat_map(|set| locators.vteps(set)).collect()
        } else {
            let rows = self.replica.ucast_local.rows_of(row, mac).iter().rev();
            let entries = rows.filter_map(|row| self.replica.ucast_local.row(*row));
            let vteps = entries.map(|entry| locators.vtep(entry.locator?));
            let mut vteps = vteps.inspect(|vtep| placed &= vtep.is_some()).flatten();
            vteps.next().into_iter().collect()
        };
        let routes = vteps.into_iter().map(|vtep| route(network, mac, vtep));
        (routes.collect(), placed)
    }
}
