//! The networks of which all routes have arrived: what is stale there goes, and what only we know is presumed.

use std::collections::BTreeSet;

use super::{Output, Uplinks};
use crate::agent::fabric::ReceivedPath;
use crate::evpn::{Key, STALE_PREFERENCE};
use crate::ids::{Mac, Uuid};

impl Uplinks {
    /// Some control node has sent all routes of a network, or none has any more. What is stale goes where it has.
    pub(super) fn update_complete(&mut self) {
        let every = planted!(self, SweptBeforeComplete);
        let networks = self
            .connections
            .uplinks()
            .flat_map(|uplink| uplink.subscriptions().networks());
        let complete = networks.filter(|(_, complete)| *complete || every);
        let complete: BTreeSet<Uuid> = complete.map(|(network, _)| network).collect();
        self.walks.presume(&complete, self.complete.added(&complete));
        let known = complete.iter().filter(|network| self.complete.contains(**network));
        let known = known.copied().collect();
        for (network, complete) in self.complete.replace(known) {
            self.outputs.push_back(Output::RoutesComplete { network, complete });
        }
        self.presume_some();
        self.sweep_some();
    }

    /// Everything that only we know of a network is presumed: now it is complete.
    pub(super) fn on_presumed(&mut self, network: Uuid) {
        self.complete.insert(network);
        self.walks.sweep_network(network);
        self.outputs.push_back(Output::RoutesComplete {
            network,
            complete: true,
        });
    }

    /// Our route of a MAC changed: the path that we presumed for it goes, if its network is complete.
    pub(super) fn sweep_complete(&mut self, network: Uuid, mac: Mac) {
        if self.is_complete(network) {
            self.sweep(network, mac);
        }
    }

    /// Removes what is stale of a MAC. A MAC that only we know is presumed to be where we publish it: a control node that
    /// has just been started may mark the end before it has received our routes, and will send them to us then.
    pub(super) fn sweep(&mut self, network: Uuid, mac: Mac) {
        let before = self.fabric.best(network, mac);
        let is_fresh = self.fabric.fresh_paths(network, mac).next().is_some();
        match self.presumed(network, mac).filter(|_| before.is_some() && !is_fresh) {
            Some((key, path)) => self.fabric.presume(network, key, path),
            None => self.fabric.sweep(network, mac),
        }
        self.on_paths(network, mac, before);
    }

    /// All routes of a network have arrived: a MAC that only we know of is still to be sent to us.
    pub(super) fn presume(&mut self, network: Uuid, mac: Mac) {
        if self.fabric.best(network, mac).is_none()
            && let Some((key, path)) = self.presumed(network, mac)
        {
            self.fabric.presume(network, key, path);
            self.on_paths(network, mac, None);
        }
    }

    /// Our own route of a MAC, as the least preferred path.
    fn presumed(&self, network: Uuid, mac: Mac) -> Option<(Key, ReceivedPath)> {
        let (vtep, sequence) = self.publications.place(network, mac)?;
        let (_, vni) = self.instances.of_network(network)?;
        let path = ReceivedPath {
            vtep,
            preference: STALE_PREFERENCE,
            sticky: false,
            sequence,
        };
        Some((Key::of_mac(vni, mac), path))
    }
}
