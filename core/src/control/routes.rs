//! How routes come into the instances, and go.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::Arc;

use super::ControlNode;
use super::best::Source;
use super::broadcast::Members;
use super::client::{ClientName, Subscription, Walk};
use super::event::Event;
use super::inventory::Inventory;
use super::table::{Became, Table};
use crate::bounds::{END_OF_RIB_QUIET, LOOKS_PER_STEP};
use crate::configuration::Network;
use crate::contrail_schema::network_of;
use crate::evpn::{InstanceName, Key, NextHop, PREFERENCE, Path};
use crate::ids::{ConnId, Mac, Uuid};
use crate::time::Time;

/// The routes of a network, and who wants them.
#[derive(Clone, Debug, Default)]
pub(super) struct Instance {
    /// Whose it is. While the configuration knows no network of this name, what is published waits with its clients.
    pub(super) network: Option<Uuid>,
    pub(super) subscribers: BTreeSet<ConnId>,
    pub(super) table: Table,
    pub(super) members: Members,
    /// Since the subscribers were made aware.
    pub(super) members_changed: bool,
    /// What the inventory says.
    statics: BTreeMap<Key, Arc<Path>>,
}

/// What somebody published who is gone.
#[derive(Clone, Debug)]
pub(super) struct Leaving {
    source: Source,
    instance: InstanceName,
    paths: BTreeMap<Key, Arc<Path>>,
}

impl Instance {
    fn insert(&mut self, key: Key, source: Source, path: Arc<Path>) -> Option<Became> {
        if key.mac != Mac::BROADCAST {
            return self.table.insert(key, source, path);
        }
        let changed = self.members.insert(key, source, path);
        self.members_changed |= changed;
        changed.then_some(Became::Reflected)
    }

    fn remove(&mut self, key: Key, source: &Source, path: &Arc<Path>) -> Option<Became> {
        if key.mac != Mac::BROADCAST {
            return self.table.remove(key, source, path);
        }
        let changed = self.members.remove(key, source, path);
        self.members_changed |= changed;
        changed.then_some(Became::Retracted)
    }

    /// Everything that is there, by whomever.
    fn paths(&self) -> Vec<(Key, Source, Arc<Path>)> {
        let routes = self.table.routes();
        let unicast = routes.flat_map(|(key, paths)| paths.iter().map(|(source, path)| (*key, source, path)));
        let broadcast = self.members.iter().map(|(key, source, path)| (*key, source, path));
        let all = unicast.chain(broadcast);
        all.map(|(key, source, path)| (key, source.clone(), Arc::clone(path)))
            .collect()
    }
}

impl ControlNode {
    pub(super) fn publish(&mut self, conn: ConnId, name: InstanceName, key: Key, mut path: Arc<Path>) {
        let Some(client) = self.clients.get_mut(&conn) else {
            return;
        };
        let Some(subscription) = client.subscriptions.get_mut(&name) else {
            return;
        };
        network_of(&name).clone_into(&mut Arc::make_mut(&mut path).virtual_network);
        let source = Source::Client(client.name.clone());
        let earlier = subscription.published.insert(key, Arc::clone(&path));
        client.routes += usize::from(earlier.is_none());
        if key.mac == Mac::BROADCAST {
            subscription.broadcasts += usize::from(earlier.is_none());
        }
        match self.instances.get_mut(&name) {
            Some(instance) if instance.network.is_some() => {
                let became = instance.insert(key, source, path);
                self.became(&name, key, became);
            }
            Some(_) | None => {
                let client = client.name.clone();
                self.event(Event::Deferred {
                    client,
                    instance: name,
                    route: key,
                });
            }
        }
    }

    pub(super) fn withdraw(&mut self, conn: ConnId, name: &InstanceName, key: Key) {
        let Some(client) = self.clients.get_mut(&conn) else {
            return;
        };
        let Some(subscription) = client.subscriptions.get_mut(name) else {
            return;
        };
        let Some(path) = subscription.published.remove(&key) else {
            return;
        };
        client.routes -= 1;
        subscription.broadcasts -= usize::from(key.mac == Mac::BROADCAST);
        let source = Source::Client(client.name.clone());
        self.remove(name, key, &source, &path);
        if planted!(self, RetractionTakesAll) {
            let all = self.instances.get(name).map(Instance::paths).unwrap_or_default();
            for (key, source, path) in all.into_iter().filter(|(it, ..)| *it == key) {
                self.remove(name, key, &source, &path);
            }
        }
    }

    /// A client is done with an instance. What it published there goes, its broadcast routes at once: who else gets
    /// them has to know first.
    pub(super) fn leave(&mut self, conn: ConnId, client: &ClientName, name: &InstanceName, subscription: Subscription) {
        if let Some(instance) = self.instances.get_mut(name) {
            instance.subscribers.remove(&conn);
        }
        self.changed.insert(name.clone());
        let is_broadcast = |(key, _): &(Key, Arc<Path>)| key.mac == Mac::BROADCAST;
        let (broadcasts, paths): (BTreeMap<_, _>, BTreeMap<_, _>) =
            subscription.published.into_iter().partition(is_broadcast);
        let source = Source::Client(client.clone());
        let leaving = |paths| Leaving {
            source: source.clone(),
            instance: name.clone(),
            paths,
        };
        if planted!(self, LostClientKept) {
            return;
        }
        if !broadcasts.is_empty() {
            self.leaving.push_front(leaving(broadcasts));
        }
        if !paths.is_empty() {
            self.leaving.push_back(leaving(paths));
        }
    }

    /// Removes some of what those left behind who are gone.
    pub(super) fn sweep(&mut self) {
        for _ in 0..LOOKS_PER_STEP {
            let Some(mut leaving) = self.leaving.pop_front() else {
                return;
            };
            if let Some((key, path)) = leaving.paths.pop_first() {
                self.remove(&leaving.instance, key, &leaving.source, &path);
            }
            if !leaving.paths.is_empty() {
                self.leaving.push_front(leaving);
            }
        }
    }

    /// The inventory names other networks, or other routes, than the one before.
    pub(super) fn configure_instances(&mut self, now: Time, before: &Inventory) {
        let inventory = Arc::clone(&self.inventory);
        let configured = inventory.instances();
        let known = |(name, it): (&InstanceName, &Instance)| it.network.is_some().then(|| name.clone());
        let known: Vec<InstanceName> = self.instances.iter().filter_map(known).collect();
        for name in known.iter().filter(|name| !configured.contains_key(*name)) {
            self.forget_instance(name);
        }
        for (name, uuid) in configured {
            let instance = self.instances.entry(name.clone()).or_default();
            let network_before = instance.network.replace(uuid);
            if network_before.is_none() {
                self.learn_instance(now, &name);
            }
            let network = inventory.networks.get(&uuid);
            if let Some(network) = network
                && network_before.and_then(|uuid| before.networks.get(&uuid)) != Some(network)
            {
                self.configure_statics(&name, network);
            }
        }
    }

    /// The configuration knows the instance now: what was published into it counts.
    fn learn_instance(&mut self, now: Time, name: &InstanceName) {
        let subscribers = self.instances.get(name).map(|it| it.subscribers.clone());
        let mut published = Vec::new();
        for conn in subscribers.iter().flatten() {
            let Some(client) = self.clients.get_mut(conn) else {
                continue;
            };
            let Some(subscription) = client.subscriptions.get_mut(name) else {
                continue;
            };
            let source = Source::Client(client.name.clone());
            let paths = subscription.published.iter();
            published.extend(paths.map(|(key, path)| (*key, source.clone(), Arc::clone(path))));
            if !subscription.no_ribout {
                subscription.walk = Walk::Walking;
                client.owes_end_of_rib = true;
                client.quiet_at = now + END_OF_RIB_QUIET;
                client.pending.insert(name.clone());
            }
        }
        if planted!(self, DeferredLost) {
            return;
        }
        for (key, source, path) in published {
            let instance = self.instances.get_mut(name);
            let became = instance.and_then(|it| it.insert(key, source, path));
            self.became(name, key, became);
        }
    }

    /// The configuration knows the instance no more: everybody is told that its routes are gone.
    fn forget_instance(&mut self, name: &InstanceName) {
        let Some(instance) = self.instances.get_mut(name) else {
            return;
        };
        instance.network = None;
        instance.statics.clear();
        for conn in &instance.subscribers {
            let client = self.clients.get_mut(conn);
            let subscription = client.and_then(|it| it.subscriptions.get_mut(name));
            if let Some(subscription) = subscription.filter(|it| !it.no_ribout) {
                subscription.walk = Walk::Unknown;
            }
        }
        for (key, source, path) in instance.paths() {
            self.remove(name, key, &source, &path);
        }
        self.changed.insert(name.clone());
    }

    fn configure_statics(&mut self, name: &InstanceName, network: &Network) {
        let Some(instance) = self.instances.get_mut(name) else {
            return;
        };
        let macs = network.remote_macs.iter().filter(|(mac, _)| !mac.is_broadcast());
        let wanted: BTreeMap<Key, Ipv4Addr> = macs
            .map(|(mac, vtep)| (Key::of_mac(network.vni, *mac), *vtep))
            .collect();
        // Where it leads is all in which one of them differs from another of its key.
        let leads_to = |path: &Path, vtep| path.next_hops.iter().all(|next_hop| next_hop.address == vtep);
        let is_gone = |key: &Key, _: &mut Arc<Path>| !wanted.contains_key(key);
        let gone: Vec<_> = instance.statics.extract_if(.., is_gone).collect();
        let is_there = |key, vtep| instance.statics.get(key).is_some_and(|path| leads_to(path, vtep));
        let new = wanted.iter().filter(|(key, vtep)| !is_there(*key, **vtep));
        let new: Vec<_> = new.map(|(key, vtep)| (*key, *vtep)).collect();
        for (key, path) in gone {
            self.remove(name, key, &Source::Static, &path);
        }
        for (key, vtep) in new {
            let path = Arc::new(Path {
                next_hops: vec![NextHop::vxlan(vtep, network.vni)],
                virtual_network: network_of(name).into(),
                local_preference: PREFERENCE,
                ..Path::default()
            });
            let became = self.instances.get_mut(name).and_then(|instance| {
                instance.statics.insert(key, Arc::clone(&path));
                instance.insert(key, Source::Static, path)
            });
            self.became(name, key, became);
        }
    }

    fn remove(&mut self, name: &InstanceName, key: Key, source: &Source, path: &Arc<Path>) {
        let instance = self.instances.get_mut(name);
        let became = instance.and_then(|it| it.remove(key, source, path));
        self.became(name, key, became);
    }

    /// Says what became of a route, if anything.
    fn became(&mut self, name: &InstanceName, key: Key, became: Option<Became>) {
        let Some(became) = became else { return };
        self.changed.insert(name.clone());
        let (instance, route) = (name.clone(), key);
        self.event(match became {
            Became::Reflected => Event::Reflected { instance, route },
            Became::Retracted => Event::RouteRemoved { instance, route },
        });
        if key.mac == Mac::BROADCAST {
            self.look_at_mastership(name, key);
        }
    }

    pub(super) fn look_at_mastership(&mut self, name: &InstanceName, key: Key) {
        let owners = self.instances.get(name).into_iter();
        let owners = owners.flat_map(|it| it.members.owners(key)).cloned();
        for event in self.mastership.published(name, key, owners) {
            self.event(event);
        }
    }
}
