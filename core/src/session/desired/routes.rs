//! Received routes of the networks that a switch takes part in.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::ops::Bound;

use crate::ids::{Mac, Uuid};

/// The tunnel ends of MACs, by network.
#[derive(Clone, Debug, Default)]
pub(super) struct Routes {
    macs: BTreeMap<Uuid, BTreeMap<Mac, Ipv4Addr>>,
    /// Networks of which all routes have been received.
    complete: BTreeSet<Uuid>,
}

impl Routes {
    pub(super) fn import(&mut self, network: Uuid, mac: Mac, vtep: Option<Ipv4Addr>) {
        let macs = self.macs.entry(network).or_default();
        match vtep {
            Some(vtep) => drop(macs.insert(mac, vtep)),
            None => drop(macs.remove(&mac)),
        }
        if macs.is_empty() {
            self.macs.remove(&network);
        }
    }

    pub(super) fn set_complete(&mut self, network: Uuid, complete: bool) {
        if complete {
            self.complete.insert(network);
        } else {
            self.complete.remove(&network);
        }
    }

    /// Drops the routes of other networks.
    pub(super) fn retain(&mut self, keep: impl Fn(&Uuid) -> bool) {
        self.macs.retain(|network, _| keep(network));
        self.complete.retain(|network| keep(network));
    }

    pub(super) fn is_complete(&self, network: Uuid) -> bool {
        self.complete.contains(&network)
    }

    pub(super) fn vtep(&self, network: Uuid, mac: Mac) -> Option<Ipv4Addr> {
        self.macs.get(&network)?.get(&mac).copied()
    }

    pub(super) fn next_mac(&self, network: Uuid, after: Option<Mac>) -> Option<Mac> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut later = self.macs.get(&network)?.range((from, Bound::Unbounded));
        later.next().map(|(mac, _)| *mac)
    }

    pub(super) fn macs(&self, network: Uuid) -> impl Iterator<Item = (&Mac, &Ipv4Addr)> {
        self.macs.get(&network).into_iter().flatten()
    }
}
