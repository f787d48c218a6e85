//! One routing instance: the routes of a network, and the clients that subscribed to them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::Arc;

use super::best_path::Source;
use super::broadcast::Members;
use super::table::{Outcome, Table};
use crate::configuration::Network;
use crate::contrail_schema::network_of;
use crate::evpn::{InstanceName, Key, NextHop, PREFERENCE, Path};
use crate::ids::{ConnId, Mac, Uuid};

/// The routes of a network, and their subscribers.
#[derive(Clone, Debug, Default)]
pub(super) struct Instance {
    /// Its network. While no network of this name is configured, what is published waits with its clients.
    pub(super) network: Option<Uuid>,
    pub(super) subscribers: BTreeSet<ConnId>,
    pub(super) table: Table,
    pub(super) members: Members,
    /// Since the subscribers were notified.
    members_changed: bool,
    /// The routes of the inventory.
    statics: BTreeMap<Key, Arc<Path>>,
}

/// The changes that another inventory makes to the routes that it has itself.
#[derive(Debug, Default)]
pub(super) struct StaticChanges {
    pub(super) removed: Vec<(Key, Arc<Path>)>,
    pub(super) added: Vec<(Key, Arc<Path>)>,
}

impl Instance {
    pub(super) fn insert(&mut self, key: Key, source: Source, path: Arc<Path>) -> Option<Outcome> {
        if key.mac != Mac::BROADCAST {
            return self.table.insert(key, source, path);
        }
        let changed = self.members.insert(key, source, path);
        self.members_changed |= changed;
        changed.then_some(Outcome::Reflected)
    }

    pub(super) fn remove(&mut self, key: Key, source: &Source, path: &Arc<Path>) -> Option<Outcome> {
        if key.mac != Mac::BROADCAST {
            return self.table.remove(key, source, path);
        }
        let changed = self.members.remove(key, source, path);
        self.members_changed |= changed;
        changed.then_some(Outcome::Removed)
    }

    /// Whether the members changed since this was asked last.
    pub(super) fn take_members_changed(&mut self) -> bool {
        std::mem::take(&mut self.members_changed)
    }

    /// Every path of every route.
    pub(super) fn paths(&self) -> Vec<(Key, Source, Arc<Path>)> {
        let routes = self.table.routes();
        let unicast = routes.flat_map(|(key, paths)| paths.iter().map(|(source, path)| (*key, source, path)));
        let broadcast = self.members.iter().map(|(key, source, path)| (*key, source, path));
        let all = unicast.chain(broadcast);
        all.map(|(key, source, path)| (key, source.clone(), Arc::clone(path)))
            .collect()
    }

    /// The instance is not configured any more. Answers every path that is to be removed.
    pub(super) fn unconfigure(&mut self) -> Vec<(Key, Source, Arc<Path>)> {
        self.network = None;
        self.statics.clear();
        self.paths()
    }

    /// The routes of the inventory are these from now on. Answers which paths that removes and adds.
    pub(super) fn configure_statics(&mut self, name: &InstanceName, network: &Network) -> StaticChanges {
        let macs = network.remote_macs.iter().filter(|(mac, _)| !mac.is_broadcast());
        let desired: BTreeMap<Key, Ipv4Addr> = macs
            .map(|(mac, vtep)| (Key::of_mac(network.vni, *mac), *vtep))
            .collect();
        // Its next hop is all in which one of them differs from another of its key.
        let leads_to = |path: &Path, vtep| path.next_hops.iter().all(|next_hop| next_hop.address == vtep);
        let is_gone = |key: &Key, _: &mut Arc<Path>| !desired.contains_key(key);
        let removed: Vec<_> = self.statics.extract_if(.., is_gone).collect();
        let mut added = Vec::new();
        for (key, vtep) in desired {
            if self.statics.get(&key).is_some_and(|path| leads_to(path, vtep)) {
                continue;
            }
            let path = Arc::new(Path {
                next_hops: vec![NextHop::vxlan(vtep, network.vni)],
                virtual_network: network_of(name).into(),
                local_preference: PREFERENCE,
                ..Path::default()
            });
            self.statics.insert(key, Arc::clone(&path));
            added.push((key, path));
        }
        StaticChanges { removed, added }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Vni;

    fn network(macs: &[(u8, u8)]) -> Network {
        let macs = macs
            .iter()
            .map(|(mac, hop)| (Mac([2, 0, 0, 0, 0, *mac]), Ipv4Addr::new(192, 0, 2, *hop)));
        Network {
            name: "blue".into(),
            vni: Vni::new(101).expect("a VNI"),
            remote_macs: macs.collect(),
        }
    }

    #[test]
    fn another_inventory_adds_and_removes_only_what_differs() {
        let mut instance = Instance::default();
        let name = InstanceName::from("d:p:blue:blue");
        let mut counts = Vec::new();
        for macs in [&[(1, 1), (2, 1)][..], &[(1, 1), (2, 2)], &[(2, 2)], &[]] {
            let changes = instance.configure_statics(&name, &network(macs));
            counts.push((changes.removed.len(), changes.added.len()));
        }
        assert_eq!(counts, [(0, 2), (0, 1), (1, 0), (1, 0)]);
    }

    #[test]
    fn broadcast_routes_are_members_and_no_rows_of_the_table() {
        let mut instance = Instance::default();
        let vni = Vni::new(101).expect("a VNI");
        let source = Source::Client("agent-a".into());
        let path = Arc::new(Path::default());
        let broadcast = Key::of_broadcast(vni, Ipv4Addr::UNSPECIFIED);
        assert_eq!(
            instance.insert(broadcast, source.clone(), Arc::clone(&path)),
            Some(Outcome::Reflected)
        );
        assert_eq!((instance.table.version(), instance.members.len()), (0, 1));
        assert!(std::mem::take(&mut instance.members_changed));
        assert_eq!(instance.unconfigure().len(), 1);
        assert_eq!(instance.remove(broadcast, &source, &path), Some(Outcome::Removed));
        assert!(instance.members_changed);
    }
}
