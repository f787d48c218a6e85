//! Which networks have been told completely, and what is forgotten then.
//!
//! A control node that knows nothing says "that is all" before it has heard us. What we say of a MAC will be told to us
//! again, so it is presumed until then: else the other switches of ours would delete it for a moment.

use std::collections::BTreeSet;

use super::{Output, Slot, Uplinks};
use crate::agent::fabric::Heard;
use crate::evpn::{Key, STALE_PREFERENCE};
use crate::ids::{Mac, Uuid};
use crate::time::Time;

impl Uplinks {
    /// Which networks are settled now: those that some control node has told completely. Where that is so from now on,
    /// whatever was told in sessions that are over goes.
    pub(super) fn resettle(&mut self) {
        let complete = |slot: &Slot| {
            let complete = slot.uplink.subscriptions.values().filter(|it| it.complete);
            complete.map(|it| it.network).collect::<Vec<_>>()
        };
        let settled: BTreeSet<Uuid> = self.slots.iter().flat_map(complete).collect();
        for network in settled.difference(&self.settled).copied().collect::<Vec<_>>() {
            self.sweep_network(network);
            self.presume_all(network);
        }
        let before = std::mem::replace(&mut self.settled, settled);
        let changed = before.symmetric_difference(&self.settled).copied();
        for network in changed.collect::<Vec<_>>() {
            let settled = self.settled.contains(&network);
            self.outputs.push_back(Output::Settled { network, settled });
        }
    }

    /// A session is over: what was told there goes where another control node has told everything.
    pub(super) fn sweep_all(&mut self) {
        for network in self.settled.clone() {
            self.sweep_network(network);
        }
    }

    fn sweep_network(&mut self, network: Uuid) {
        for mac in self.fabric.stale_macs(network) {
            self.sweep(network, mac);
        }
    }

    /// Forgets what nobody told again of a MAC. Of one that we advertise ourselves, be it as a copy, the same will be told
    /// again, once we have been heard.
    pub(super) fn sweep(&mut self, network: Uuid, mac: Mac) {
        let before = self.fabric.best(network, mac);
        let is_told = self.fabric.fresh_paths(network, mac).next().is_some();
        match self.said(network, mac).filter(|_| before.is_some() && !is_told) {
            Some((key, said)) => self.fabric.presume(network, key, said),
            None => self.fabric.sweep(network, mac),
        }
        self.imported(network, mac, before);
    }

    /// A network has been told completely: what nobody knows but us is still to come.
    fn presume_all(&mut self, network: Uuid) {
        let held = self.hold.iter().flat_map(|hold| hold.of_network(network));
        let macs: BTreeSet<Mac> = self.adverts.of_network(network).chain(held).collect();
        for mac in macs {
            if self.fabric.best(network, mac).is_none()
                && let Some((key, said)) = self.said(network, mac)
            {
                self.fabric.presume(network, key, said);
                self.imported(network, mac, None);
            }
        }
    }

    /// What we say of a MAC.
    fn said(&self, network: Uuid, mac: Mac) -> Option<(Key, Heard)> {
        let advert = self
            .adverts
            .of(network, mac)
            .map(|advert| (advert.vtep, advert.sequence));
        let (vtep, sequence) = advert.or_else(|| self.hold.as_ref()?.of(network, mac))?;
        let (_, vni) = self.networks.get(&network)?;
        let said = Heard {
            vtep,
            preference: STALE_PREFERENCE,
            sticky: false,
            sequence,
        };
        Some((Key::of_mac(*vni, mac), said))
    }

    pub(super) fn check_quiet(&mut self, now: Time) {
        let mut any = false;
        for slot in &mut self.slots {
            any |= slot.uplink.check_quiet(now);
        }
        if any {
            self.resettle();
        }
    }
}
