//! What our switches learned goes out: to every control node, each route once, and taken back once.

use std::net::Ipv4Addr;
use std::sync::Arc;

use super::{Slot, Uplinks};
use crate::agent::fabric::Heard;
use crate::configuration::Configuration;
use crate::control::{instance, virtual_network};
use crate::event::Route;
use crate::evpn::{InstanceName, Key, NextHop, PREFERENCE, Path};
use crate::ids::{Mac, Uuid, Vni};
use crate::time::Time;

impl Uplinks {
    /// What is in force now: which instances we hear of, and under which VNI each network's routes go.
    pub(super) fn configured(&mut self, now: Time, configuration: Arc<Configuration>) {
        let served = configuration.switches.values().flat_map(|switch| switch.networks());
        let served: std::collections::BTreeSet<Uuid> = served.collect();
        let about = |network: Uuid| {
            let about = configuration.networks.get(&network)?;
            let instance = instance(&virtual_network(&about.name));
            Some((network, (instance, about.vni)))
        };
        let networks = served.into_iter().filter_map(about).collect();
        let before = std::mem::replace(&mut self.networks, networks);
        self.configuration = configuration;
        let instances = self.networks.iter().map(|(network, (instance, vni))| {
            let instance_id = u32::from(*vni);
            (instance.clone(), (*network, instance_id))
        });
        self.instances = instances.collect();
        for (network, old) in &before {
            let new = self.networks.get(network).cloned();
            if new.as_ref() != Some(old) {
                self.mark_network(*network, &old.0);
            }
            if new.is_none_or(|new| new.0 != old.0) {
                self.leave(*network);
            }
        }
        self.subscribe(now);
        self.resettle();
    }

    /// Our sessions' word on a MAC changed.
    pub(super) fn exported(
        &mut self,
        now: Time,
        network: Uuid,
        mac: Mac,
        learned: Option<Ipv4Addr>,
        vteps: &[Ipv4Addr],
    ) {
        if mac.is_broadcast() {
            return self.broadcasts_exported(network, vteps);
        }
        let advert = self.adverts.of(network, mac).map(|advert| advert.vtep);
        let stayed = advert.filter(|vtep| vteps.contains(vtep));
        match learned.or(stayed).or(vteps.first().copied()) {
            None => self.adverts.withdrawn(now, network, mac),
            Some(vtep) if advert == Some(vtep) => {}
            Some(vtep) => {
                let route = Route { network, mac, vtep };
                let best = self.fabric.best(network, mac);
                self.adverts.learned(route, best, self.fabric.paths(network, mac));
            }
        }
        if let Some((instance, vni)) = self.networks.get(&network).cloned() {
            self.mark(&instance, Key::of_mac(vni, mac));
        }
    }

    /// Tells a bounded number of routes to each control node that can take them.
    pub(super) fn publish(&mut self, at_most: usize) {
        let Self {
            slots,
            outputs,
            networks,
            instances,
            adverts,
            broadcasts,
            options,
            ..
        } = self;
        let wanted = |instance: &InstanceName, key: &Key| {
            let (network, _) = instances.get(instance)?;
            let (_, vni) = networks.get(network)?;
            if key.ethernet_tag != u32::from(*vni) {
                return None;
            }
            if key.mac.is_broadcast() {
                let mut ends = broadcasts.range((*network, Ipv4Addr::UNSPECIFIED)..=(*network, Ipv4Addr::BROADCAST));
                let (_, vtep) = ends.find(|(_, vtep)| key.address == *vtep)?;
                return Some(Path {
                    replicator: Some(options.session.tsn),
                    ..path(*vtep, *vni)
                });
            }
            let advert = adverts.of(*network, key.mac)?;
            Some(Path {
                sequence: advert.sequence,
                ..path(advert.vtep, *vni)
            })
        };
        for Slot { uplink, .. } in slots {
            for _ in 0..at_most {
                if !uplink.has_news() {
                    break;
                }
                uplink.tell(wanted, outputs);
            }
        }
    }

    /// Hears of every instance that is configured, on every uplink; what was not told yet is told there.
    pub(super) fn subscribe(&mut self, now: Time) {
        for Slot { uplink, .. } in &mut self.slots {
            uplink.subscribe(now, &self.instances, &mut self.outputs);
        }
        for (network, (instance, _)) in self.networks.clone() {
            self.mark_network(network, &instance);
        }
    }

    /// The best path of a MAC changed: if it is at our own tunnel end, its sequence is ours; what is gone is remembered.
    pub(super) fn compare_sequence(&mut self, network: Uuid, mac: Mac, before: Option<Heard>, best: Option<Heard>) {
        if let Some(gone) = before.filter(|before| best.is_none_or(|best| best.vtep != before.vtep)) {
            let route = Route {
                network,
                mac,
                vtep: gone.vtep,
            };
            self.adverts.remember(self.now, route, gone.sequence);
        }
        if best.is_some_and(|best| self.adverts.heard(network, mac, best))
            && let Some((instance, vni)) = self.networks.get(&network).cloned()
        {
            self.mark(&instance, Key::of_mac(vni, mac));
        }
    }

    fn broadcasts_exported(&mut self, network: Uuid, vteps: &[Ipv4Addr]) {
        let old = self
            .broadcasts
            .range((network, Ipv4Addr::UNSPECIFIED)..=(network, Ipv4Addr::BROADCAST));
        let old: Vec<_> = old.copied().collect();
        let new: Vec<_> = vteps.iter().map(|vtep| (network, *vtep)).collect();
        for gone in &old {
            self.broadcasts.remove(gone);
        }
        self.broadcasts.extend(new.iter().copied());
        if let Some((instance, vni)) = self.networks.get(&network).cloned() {
            for (_, vtep) in old.into_iter().chain(new) {
                self.mark(&instance, Key::of_broadcast(vni, vtep));
            }
        }
    }

    /// No switch of ours takes part in a network any more.
    fn leave(&mut self, network: Uuid) {
        for mac in self.fabric.forget(network) {
            let vtep = None;
            self.outputs.push_back(super::Output::Imported { network, mac, vtep });
        }
    }

    /// Everything of a network may have to be told anew.
    fn mark_network(&mut self, network: Uuid, instance: &InstanceName) {
        for Slot { uplink, .. } in &mut self.slots {
            uplink.mark_told(instance);
        }
        let Some((instance, vni)) = self.networks.get(&network).cloned() else {
            return;
        };
        let macs = self.adverts.of_network(network).map(|mac| Key::of_mac(vni, mac));
        let ends = self
            .broadcasts
            .range((network, Ipv4Addr::UNSPECIFIED)..=(network, Ipv4Addr::BROADCAST));
        let broadcasts = ends.map(|(_, vtep)| Key::of_broadcast(vni, *vtep));
        for key in macs.chain(broadcasts).collect::<Vec<_>>() {
            self.mark(&instance, key);
        }
    }

    fn mark(&mut self, instance: &InstanceName, key: Key) {
        for Slot { uplink, .. } in &mut self.slots {
            uplink.mark(instance, key);
        }
    }
}

/// What all our routes have in common.
fn path(vtep: Ipv4Addr, vni: Vni) -> Path {
    Path {
        next_hops: vec![NextHop::vxlan(vtep, vni)],
        local_preference: PREFERENCE,
        ..Path::default()
    }
}
