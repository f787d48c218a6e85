//! The steps of walks over many routes.

use super::walks::{FIRST, Mark};
use super::{Output, Uplinks};
use crate::evpn::{InstanceName, Key};
use crate::ids::{Mac, Uuid};

impl Uplinks {
    /// Goes on with every walk, in this order: what is to stay comes before what goes.
    pub(super) fn walk(&mut self) {
        self.release_some();
        self.copy_some();
        self.free_some();
        self.presume_some();
        self.sweep_some();
        self.mark_some();
    }

    /// What we advertise gets copies, which another agent is to replace.
    pub(super) fn release_some(&mut self) {
        let Some(from) = self.walks.releasing.filter(|_| self.walks.looks > 0) else {
            return;
        };
        let (macs, next) = self.publications.advertised_from(from, self.walks.looks);
        self.walks.looked(macs.len());
        for (network, mac) in macs {
            self.update_copy(network, mac);
            self.publications.release(network, mac);
        }
        self.walks.releasing = next;
    }

    /// The live paths of any MAC of which copies are held may be others: so may the copies.
    pub(super) fn copy_all(&mut self) {
        if self.publications.holds() {
            self.walks.copy_all();
            self.copy_some();
        }
    }

    fn copy_some(&mut self) {
        let Some(from) = self.walks.copying.filter(|_| self.walks.looks > 0) else {
            return;
        };
        let (macs, next) = self.publications.held_from(from, self.walks.looks);
        self.walks.looked(macs.len());
        for (network, mac) in macs {
            if self.update_copy(network, mac) {
                self.sweep_complete(network, mac);
            }
        }
        self.walks.copying = next;
    }

    /// Networks that were left free their copies and their paths. Sessions that import a MAC of them learn of it.
    fn free_some(&mut self) {
        while self.walks.looks > 0
            && let Some(network) = self.walks.uncopying.first().copied()
        {
            let removed = self.publications.remove_copies(network, self.walks.looks);
            if removed < self.walks.looks {
                self.walks.uncopying.remove(&network);
            }
            self.walks.looked(removed);
        }
        if self.walks.looks == 0 || !self.fabric.has_left() {
            return;
        }
        let freed = self.fabric.free_left(self.walks.looks);
        self.walks.looked(freed.len());
        for (network, mac, path) in freed {
            self.publications.on_left(self.now, network, mac, path);
            let vtep = self.vtep(network, mac);
            self.outputs.push_back(Output::Imported { network, mac, vtep });
        }
    }

    /// What only we know of a network is still to be sent to us. Then the network is complete.
    pub(super) fn presume_some(&mut self) {
        while self.walks.looks > 0
            && let Some((network, from)) = self.walks.presuming.first_key_value()
        {
            let (network, from) = (*network, *from);
            let (macs, next) = self.publications.macs_from(network, from, self.walks.looks);
            self.walks.looked(macs.len());
            for mac in macs {
                self.presume(network, mac);
            }
            match next {
                Some(next) => drop(self.walks.presuming.insert(network, next)),
                None => {
                    self.walks.presuming.remove(&network);
                    self.on_presumed(network);
                }
            }
        }
    }

    /// What is stale in complete networks goes.
    pub(super) fn sweep_some(&mut self) {
        while self.walks.looks > 0
            && let Some((network, from)) = self.walks.sweeping.first_key_value()
        {
            let (network, from) = (*network, *from);
            // It is swept anew when it is complete again.
            if !self.is_complete(network) {
                self.walks.sweeping.remove(&network);
                continue;
            }
            let (looked, stale, next) = self.fabric.stale_macs(network, from, self.walks.looks);
            self.walks.looked(looked);
            for mac in stale {
                self.sweep(network, mac);
            }
            match next {
                Some(next) => self.walks.sweeping.insert(network, next),
                None => self.walks.sweeping.remove(&network),
            };
        }
    }

    /// Routes that may have to be sent are marked, on every uplink.
    pub(super) fn mark_some(&mut self) {
        while self.walks.looks > 0
            && let Some((walk, mark)) = self.walks.marking.first_key_value()
        {
            let (walk, mark) = (walk.clone(), *mark);
            let next = match mark {
                Mark::Sent(from) => self.mark_sent(&walk.1, from),
                Mark::Published(from) => self.mark_published(walk.0, from),
            };
            match next {
                Some(next) => self.walks.marking.insert(walk, next),
                None => self.walks.marking.remove(&walk),
            };
        }
    }

    fn mark_sent(&mut self, instance: &InstanceName, from: Option<Key>) -> Option<Mark> {
        let looks = self.walks.looks;
        let uplinks = self.connections.uplinks_mut();
        let marked = uplinks.map(|uplink| uplink.rib_out_mut().mark_sent(instance, from, looks));
        let (counts, nexts): (Vec<usize>, Vec<Option<Key>>) = marked.unzip();
        self.walks.looked(counts.into_iter().sum());
        let next = nexts.into_iter().flatten().min();
        Some(next.map_or(Mark::Published(FIRST), |next| Mark::Sent(Some(next))))
    }

    fn mark_published(&mut self, network: Uuid, from: Mac) -> Option<Mark> {
        let (macs, next) = self.publications.macs_from(network, from, self.walks.looks);
        self.walks.looked(macs.len());
        for mac in macs {
            self.mark_mac(network, mac);
        }
        if next.is_none() {
            let vteps: Vec<_> = self.publications.broadcast_vteps(network).collect();
            self.mark_broadcasts(network, &vteps);
        }
        next.map(Mark::Published)
    }
}
