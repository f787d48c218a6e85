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
        for network in self.complete.added(&complete) {
            self.sweep_network(network);
            self.presume_network(network);
        }
        for (network, complete) in self.complete.replace(complete) {
            self.outputs.push_back(Output::RoutesComplete { network, complete });
        }
    }

    /// What is stale in a network goes: a bounded number of its MACs at once, the others in later steps.
    pub(super) fn sweep_network(&mut self, network: Uuid) {
        self.sweeping.insert(network, Mac([0; 6]));
        self.sweep_some(network);
    }

    /// Goes on with the networks in which something stale may be left.
    pub(super) fn sweep_more(&mut self) {
        while self.looks > 0
            && let Some((network, _)) = self.sweeping.first_key_value()
        {
            let network = *network;
            match self.is_complete(network) {
                true => self.sweep_some(network),
                // It is swept anew when it is complete again.
                false => drop(self.sweeping.remove(&network)),
            }
        }
    }

    fn sweep_some(&mut self, network: Uuid) {
        let Some(from) = self.sweeping.get(&network).filter(|_| self.looks > 0) else {
            return;
        };
        let (looked, stale, next) = self.fabric.stale_macs(network, *from, self.looks);
        // A network without MACs costs a look, too.
        self.looks = self.looks.saturating_sub(looked.max(1));
        for mac in stale {
            self.sweep(network, mac);
        }
        match next {
            Some(next) => self.sweeping.insert(network, next),
            None => self.sweeping.remove(&network),
        };
    }

    /// Our route of a MAC changed: the path that we presumed for it goes, if its network is complete.
    pub(super) fn sweep_complete(&mut self, network: Uuid, mac: Mac) {
        if self.is_complete(network) {
            self.sweep(network, mac);
        }
    }

    /// Removes what is stale of a MAC. A MAC that only we know is presumed to be where we publish it: a control node that
    /// has just been started may mark the end before it has received our routes, and will send them to us then.
    fn sweep(&mut self, network: Uuid, mac: Mac) {
        let before = self.fabric.best(network, mac);
        let is_fresh = self.fabric.fresh_paths(network, mac).next().is_some();
        match self.presumed(network, mac).filter(|_| before.is_some() && !is_fresh) {
            Some((key, path)) => self.fabric.presume(network, key, path),
            None => self.fabric.sweep(network, mac),
        }
        self.on_paths(network, mac, before);
    }

    /// A network is complete: what only we know of it is still to be sent to us.
    fn presume_network(&mut self, network: Uuid) {
        let macs: BTreeSet<Mac> = self.publications.macs_of(network).collect();
        for mac in macs {
            if self.fabric.best(network, mac).is_none()
                && let Some((key, path)) = self.presumed(network, mac)
            {
                self.fabric.presume(network, key, path);
                self.on_paths(network, mac, None);
            }
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
