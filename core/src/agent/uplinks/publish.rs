//! What our switches learned goes out: to every control node, each route once, and taken back once.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use super::{Change, Slot, Uplinks};
use crate::agent::fabric::Heard;
use crate::agent::hold::{Changed, Hold, Served};
use crate::bounds::LINGER;
use crate::configuration::{Configuration, Switch};
use crate::control::{instance, virtual_network};
use crate::event::Route;
use crate::evpn::{InstanceName, Key, NextHop, PREFERENCE, Path, STALE_PREFERENCE};
use crate::ids::{Mac, Uuid, Vni};
use crate::time::Time;

impl Uplinks {
    /// What is in force now: which instances we hear of, and under which VNI each network's routes go.
    pub(super) fn configured(&mut self, now: Time, configuration: Arc<Configuration>) {
        if self.configuration == configuration {
            return;
        }
        let served = configuration.switches.values().flat_map(|switch| switch.networks());
        let served: BTreeSet<Uuid> = served.collect();
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

    /// Our sessions' word on a route changed.
    pub(super) fn exported(&mut self, now: Time, route: Route, change: Change, vteps: &[Ipv4Addr]) {
        let Route { network, mac, vtep } = route;
        if mac.is_broadcast() {
            return self.broadcasts_exported(network, vteps);
        }
        let is_final = change == Change::Withdrawn && !planted!(self, CopyOutlivesWithdrawal);
        if let Some(hold) = self.hold.as_mut().filter(|_| is_final) {
            hold.withdrawn(&route);
        }
        let advert = self.adverts.of(network, mac).map(|advert| advert.vtep);
        let learned = Some(vtep).filter(|_| change == Change::Learned);
        let stayed = advert.filter(|vtep| vteps.contains(vtep));
        match learned.or(stayed).or_else(|| vteps.first().copied()) {
            None => self.adverts.withdrawn(now, network, mac),
            Some(vtep) if advert == Some(vtep) => {}
            Some(vtep) => {
                let route = Route { network, mac, vtep };
                let paths = self.fabric.paths(network, mac);
                // A row that stood there may be older than the path elsewhere: only news beats that.
                if change == Change::Learned {
                    self.adverts.learned(route, self.fabric.best(network, mac), paths);
                } else {
                    self.adverts.found(route, paths);
                }
                if planted!(self, SequenceRaised) && change == Change::Inherited {
                    self.adverts.raise(network, mac);
                }
            }
        }
        self.mark_mac(network, mac);
        self.sweep_settled(network, mac);
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
            hold,
            configuration,
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
                let IpAddr::V4(vtep) = key.address else { return None };
                let real = broadcasts.contains(&(*network, vtep));
                let takes_part = |switch: &Switch| switch.vtep == Some(vtep) && switch.networks().contains(network);
                let held = || {
                    let held = hold.as_ref().is_some_and(|hold| hold.holds_broadcasts(vtep));
                    held && configuration.switches.values().any(takes_part)
                };
                let local_preference = if real { PREFERENCE } else { STALE_PREFERENCE };
                return (real || held()).then(|| Path {
                    replicator: Some(options.session.tsn),
                    local_preference,
                    ..path(vtep, *vni)
                });
            }
            if let Some(advert) = adverts.of(*network, key.mac) {
                return Some(Path {
                    sequence: advert.sequence,
                    ..path(advert.vtep, *vni)
                });
            }
            let (vtep, sequence) = hold.as_ref()?.of(*network, key.mac)?;
            Some(Path {
                sequence,
                local_preference: STALE_PREFERENCE,
                ..path(vtep, *vni)
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
        let all_told = planted!(self, SweptBeforeComplete);
        for Slot { uplink, .. } in &mut self.slots {
            uplink.subscribe(now, &self.instances, &mut self.outputs);
            if all_told {
                let subscriptions = uplink.subscriptions.values_mut();
                subscriptions.for_each(|subscription| subscription.complete = true);
            }
        }
        if all_told {
            self.resettle();
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
        if best.is_some_and(|best| self.adverts.heard(network, mac, best)) {
            self.mark_mac(network, mac);
        }
    }

    /// The paths of a MAC changed: a copy of it may be held from now on, or no more.
    pub(super) fn copy(&mut self, network: Uuid, mac: Mac) {
        let Some(hold) = &mut self.hold else { return };
        let paths: Vec<_> = self.fabric.fresh_paths(network, mac).collect();
        if hold.heard(self.now, network, mac, &paths) {
            self.mark_mac(network, mac);
        }
    }

    /// Nobody tells what a control node told that is lost: from now on copies are held for nobody.
    pub(super) fn copy_all(&mut self) {
        let held = self.hold.iter().flat_map(Hold::routes);
        let macs: BTreeSet<(Uuid, Mac)> = held.map(|route| (route.network, route.mac)).collect();
        for (network, mac) in macs {
            self.copy(network, mac);
        }
    }

    /// Our switches are served in another way now.
    pub(super) fn served(&mut self, now: Time, mut served: BTreeMap<Ipv4Addr, Served>) {
        if planted!(self, CopyOutlivesWithdrawal) {
            served.values_mut().for_each(|served| served.audited = false);
        }
        let prolonged = planted!(self, HoldProlonged);
        let Some(hold) = &mut self.hold else { return };
        if prolonged {
            hold.prolong(now);
        }
        let changed = hold.serve(now, served);
        self.mark_held(changed);
    }

    /// We are about to let our switches go: what we export is to stay until another owner vouches for it.
    pub(super) fn let_go(&mut self, now: Time, served: BTreeMap<Ipv4Addr, Served>) {
        self.hold.get_or_insert_with(|| Hold::new(LINGER));
        self.served(now, served);
        for (network, mac) in self.adverts.all().collect::<Vec<_>>() {
            self.copy(network, mac);
        }
        let adverts = &self.adverts;
        if let Some(hold) = &mut self.hold {
            hold.let_go(|route| {
                adverts
                    .of(route.network, route.mac)
                    .is_some_and(|it| it.vtep == route.vtep)
            });
        }
    }

    pub(super) fn check_hold(&mut self, now: Time) {
        let Some(hold) = &mut self.hold else { return };
        let changed = hold.forget(now);
        self.mark_held(changed);
    }

    fn mark_held(&mut self, Changed { routes, ends }: Changed) {
        for Route { network, mac, .. } in routes {
            self.mark_mac(network, mac);
            self.sweep_settled(network, mac);
        }
        if ends.is_empty() {
            return;
        }
        for (instance, vni) in self.networks.values().cloned().collect::<Vec<_>>() {
            for vtep in &ends {
                self.mark(&instance, Key::of_broadcast(vni, *vtep));
            }
        }
    }

    /// We advertise a MAC no more, and wait no longer for somebody to tell it again.
    fn sweep_settled(&mut self, network: Uuid, mac: Mac) {
        if self.is_settled(network) {
            self.sweep(network, mac);
        }
    }

    fn mark_mac(&mut self, network: Uuid, mac: Mac) {
        if let Some((instance, vni)) = self.networks.get(&network).cloned() {
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
        if let Some(hold) = &mut self.hold {
            hold.leave(network);
        }
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
        let held = self.hold.iter().flat_map(|hold| hold.of_network(network));
        let macs = self.adverts.of_network(network).chain(held);
        let macs = macs.map(|mac| Key::of_mac(vni, mac));
        let ends = self
            .broadcasts
            .range((network, Ipv4Addr::UNSPECIFIED)..=(network, Ipv4Addr::BROADCAST));
        let broadcasts = ends.map(|(_, vtep)| Key::of_broadcast(vni, *vtep));
        let held = self.hold.iter().flat_map(Hold::vteps);
        let held = held.map(|vtep| Key::of_broadcast(vni, vtep));
        for key in macs.chain(broadcasts).chain(held).collect::<Vec<_>>() {
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
