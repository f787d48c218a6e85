//! Stanzas of control nodes: routes go into the fabric table, ends of RIB to the subscriptions, configuration to the source.

use super::{UplinkId, Uplinks, What};
use crate::agent::fabric::ReceivedPath;
use crate::evpn::{InstanceName, Key, Path, Unusable};
use crate::ids::{Mac, Uuid};
use crate::time::Time;
use crate::xmpp::Stanza;

impl Uplinks {
    pub(super) fn on_received(&mut self, now: Time, id: UplinkId, stanza: Stanza) {
        match stanza {
            Stanza::Items { instance, items } => self.on_items(now, id, &instance, items),
            Stanza::Retracts { instance, keys } => self.on_retracts(now, id, &instance, &keys),
            Stanza::InstanceEndOfRib { instance, subscription } => {
                let uplink = self.connections.uplink_mut(id);
                let subscriptions = uplink.map(|(_, uplink)| uplink.subscriptions_mut());
                if subscriptions.is_some_and(|it| it.on_instance_end_of_rib(now, &instance, subscription)) {
                    self.update_complete();
                }
            }
            Stanza::EndOfRib => {
                if let Some((_, uplink)) = self.connections.uplink_mut(id) {
                    uplink.subscriptions_mut().on_end_of_rib(now);
                    self.update_complete();
                }
            }
            Stanza::Configuration(changes) => {
                let (source, connections) = (&mut self.source, &self.connections);
                source.on_changes(now, id, changes, connections, &mut self.outputs);
            }
            Stanza::Unreadable { what } => self.event(What::Unreadable { what }),
            // Stanzas of agents mean nothing in this direction.
            Stanza::Subscribe { .. } | Stanza::Unsubscribe { .. } | Stanza::SubscribeConfiguration { .. } => {}
            Stanza::Publish { .. } | Stanza::Collection { .. } => {}
        }
    }

    /// Routes of an instance arrived.
    fn on_items(&mut self, now: Time, id: UplinkId, instance: &InstanceName, items: Vec<(Key, Path)>) {
        let Some((slot, uplink)) = self.connections.uplink_mut(id) else {
            return;
        };
        let Some(network) = uplink.subscriptions_mut().on_routes(now, instance) else {
            return uplink.on_unsubscribed_routes(items.len());
        };
        for (key, path) in items.into_iter().filter(|(key, _)| !key.mac.is_broadcast()) {
            let before = self.fabric.best(network, key.mac);
            if let Err(why) = self.insert(slot, network, key, &path) {
                self.fabric.remove(slot, network, key);
                self.on_unusable(id, network, key.mac, why);
            }
            self.on_paths(network, key.mac, before);
        }
    }

    /// A path arrived. In a network that is complete, it takes the place of whatever is stale.
    fn insert(&mut self, slot: usize, network: Uuid, key: Key, path: &Path) -> Result<(), Unusable> {
        let path = ReceivedPath::of(key.mac, path)?;
        self.fabric.insert(slot, network, key, path)?;
        if self.complete.contains(network) {
            self.fabric.sweep(network, key.mac);
        }
        Ok(())
    }

    fn on_unusable(&mut self, id: UplinkId, network: Uuid, mac: Mac, why: Unusable) {
        let uplink = self.connections.uplink_mut(id);
        if uplink.is_some_and(|(_, uplink)| uplink.on_unusable(why)) {
            let why = why.to_string();
            self.event(What::Unusable { network, mac, why });
        }
    }

    fn on_retracts(&mut self, now: Time, id: UplinkId, instance: &InstanceName, keys: &[Key]) {
        let Some((slot, uplink)) = self.connections.uplink_mut(id) else {
            return;
        };
        let Some(network) = uplink.subscriptions_mut().on_routes(now, instance) else {
            return;
        };
        for key in keys {
            let before = self.fabric.best(network, key.mac);
            self.fabric.remove(slot, network, *key);
            self.on_paths(network, key.mac, before);
        }
    }
}
