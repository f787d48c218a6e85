//! Which agent owns which switch: the one that publishes the broadcast route of its tunnel end.

use std::collections::{BTreeMap, BTreeSet};

use super::best_path::Source;
use super::client_name::ClientName;
use super::event::Event;
use super::inventory::Inventory;
use crate::contrail_schema::{instance, virtual_network};
use crate::evpn::{InstanceName, Key};
use crate::ids::{SwitchName, Uuid};

/// The agents that claim the broadcasts of each switch, in each of its networks.
#[derive(Clone, Debug, Default)]
pub(super) struct SwitchOwners {
    /// The switches whose broadcast route a key is; two switches may share a tunnel end.
    switches: BTreeMap<(InstanceName, Key), (Uuid, BTreeSet<SwitchName>)>,
    owners: BTreeMap<(SwitchName, Uuid), Vec<ClientName>>,
}

impl SwitchOwners {
    /// These are the switches from now on. Known owners stay.
    pub(super) fn configure(&mut self, inventory: &Inventory) {
        self.switches.clear();
        let mut known = BTreeMap::new();
        for (name, served) in &inventory.switches {
            let Some(vtep) = served.switch.vtep else { continue };
            for uuid in served.switch.networks() {
                let Some(network) = inventory.networks.get(&uuid) else {
                    continue;
                };
                let key = Key::of_broadcast(network.vni, vtep);
                let watched = (instance(&virtual_network(&network.name)), key);
                let (_, switches) = self.switches.entry(watched).or_insert((uuid, BTreeSet::new()));
                switches.insert(name.clone());
                let pair = (name.clone(), uuid);
                let owners = self.owners.remove(&pair).unwrap_or_default();
                known.insert(pair, owners);
            }
        }
        self.owners = known;
    }

    /// Every broadcast route that shows the owner of a switch.
    pub(super) fn watched(&self) -> impl Iterator<Item = &(InstanceName, Key)> {
        self.switches.keys()
    }

    /// The owners of each switch in each of its networks.
    pub(super) fn owners(&self) -> impl Iterator<Item = (&SwitchName, Uuid, &[ClientName])> {
        let owners = self.owners.iter();
        owners.map(|((switch, network), owners)| (switch, *network, owners.as_slice()))
    }

    /// These publish a broadcast route now. Answers which owners changed.
    pub(super) fn on_published(
        &mut self,
        instance: &InstanceName,
        key: Key,
        sources: impl Iterator<Item = Source>,
    ) -> Vec<Event> {
        let Some((network, switches)) = self.switches.get(&(instance.clone(), key)) else {
            return Vec::new();
        };
        let clients = sources.filter_map(|source| match source {
            Source::Client(name) => Some(name),
            Source::Static => None,
        });
        let owners: Vec<ClientName> = clients.collect();
        let mut events = Vec::new();
        for switch in switches {
            let known = self.owners.entry((switch.clone(), *network)).or_default();
            if *known != owners {
                known.clone_from(&owners);
                events.push(Event::SwitchOwner {
                    switch: switch.clone(),
                    network: *network,
                    owners: owners.clone(),
                });
            }
        }
        events
    }
}
