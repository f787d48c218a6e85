//! What control nodes told of the networks that a switch takes part in.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::ops::Bound;

use super::Session;
use super::lanes::Reason;
use crate::ids::{Mac, Uuid};

/// Where MACs live, by network.
#[derive(Clone, Debug, Default)]
pub struct Routes {
    macs: BTreeMap<Uuid, BTreeMap<Mac, Ipv4Addr>>,
    /// Networks of which everything has been told.
    settled: BTreeSet<Uuid>,
}

impl Routes {
    pub fn import(&mut self, network: Uuid, mac: Mac, vtep: Option<Ipv4Addr>) {
        let macs = self.macs.entry(network).or_default();
        match vtep {
            Some(vtep) => drop(macs.insert(mac, vtep)),
            None => drop(macs.remove(&mac)),
        }
        if macs.is_empty() {
            self.macs.remove(&network);
        }
    }

    pub fn settle(&mut self, network: Uuid, settled: bool) {
        if settled {
            self.settled.insert(network);
        } else {
            self.settled.remove(&network);
        }
    }

    /// Of other networks nothing is known any more.
    pub fn retain(&mut self, keep: impl Fn(&Uuid) -> bool) {
        self.macs.retain(|network, _| keep(network));
        self.settled.retain(|network| keep(network));
    }

    pub fn is_settled(&self, network: Uuid) -> bool {
        self.settled.contains(&network)
    }

    pub fn vtep(&self, network: Uuid, mac: Mac) -> Option<Ipv4Addr> {
        self.macs.get(&network)?.get(&mac).copied()
    }

    pub fn next_mac(&self, network: Uuid, after: Option<Mac>) -> Option<Mac> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut later = self.macs.get(&network)?.range((from, Bound::Unbounded));
        later.next().map(|(mac, _)| *mac)
    }

    pub fn macs(&self, network: Uuid) -> impl Iterator<Item = (&Mac, &Ipv4Addr)> {
        self.macs.get(&network).into_iter().flatten()
    }
}

impl Session {
    /// Control nodes told where MACs of a network live, or that they live nowhere. One more on a switch that holds a
    /// hundred thousand costs what it costs on an empty one.
    pub(super) fn imported(&mut self, network: Uuid, macs: Vec<(Mac, Option<Ipv4Addr>)>) {
        for (mac, vtep) in macs {
            self.wanted.import(network, mac, vtep);
            self.audit_unicast(network, mac);
        }
    }

    /// Everything that control nodes may tell of a network has been told, or not any more.
    pub(super) fn settle(&mut self, network: Uuid, settled: bool) {
        self.wanted.settle(network, settled);
        if settled {
            self.lanes.release(|reason| *reason == Reason::Incomplete);
        }
    }
}
