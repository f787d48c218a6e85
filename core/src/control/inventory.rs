//! The inventory of a control node: networks, switches, and the clients that serve each switch.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::access::{Access, Grant, UnknownClients};
use super::client_name::ClientName;
use crate::configuration::{Network, Switch};
use crate::contrail_schema::{instance, virtual_network};
use crate::evpn::InstanceName;
use crate::ids::{SwitchName, Uuid, Vni};

/// Everything that a control node knows before any client connects.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
pub struct Inventory {
    /// The later inventory has the higher revision; a lower one is refused.
    pub revision: u64,
    /// The networks, by their UUID. Their remote MACs are routes without a publisher.
    pub networks: BTreeMap<Uuid, Network>,
    /// The switches, by `Physical_Switch.name`.
    pub switches: BTreeMap<SwitchName, ServedSwitch>,
    /// The other clients, and what certificates and tunnel ends belong to which client.
    #[serde(default)]
    pub access: Access,
}

/// A switch, and the clients that serve it.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
pub struct ServedSwitch {
    /// The part that an agent needs.
    #[serde(flatten)]
    pub switch: Switch,
    /// Its ToR agents: usually two.
    pub agents: Vec<ClientName>,
    /// Its services nodes: usually one for each agent.
    pub tsns: Vec<ClientName>,
}

impl Inventory {
    /// Which network each routing instance belongs to. Of two networks with one name, the first has it.
    pub fn instances(&self) -> BTreeMap<InstanceName, Uuid> {
        let mut instances = BTreeMap::new();
        for (uuid, network) in &self.networks {
            let instance = instance(&virtual_network(&network.name));
            instances.entry(instance).or_insert(*uuid);
        }
        instances
    }

    /// Whether a client is the agent of any switch.
    pub(super) fn has_agent(&self, client: &ClientName) -> bool {
        self.switches.values().any(|served| served.agents.contains(client))
    }

    /// The switches that an agent or a services node serves.
    pub(super) fn served_by(&self, client: &str) -> impl Iterator<Item = (&SwitchName, &Switch)> {
        let serves = move |served: &ServedSwitch| {
            let mut servants = served.agents.iter().chain(&served.tsns);
            servants.any(|servant| servant.as_str() == client)
        };
        let served = self.switches.iter().filter(move |(_, served)| serves(served));
        served.map(|(name, served)| (name, &served.switch))
    }

    /// What is given to a client that connects from an address; `None` if it is unknown, and refused. An agent publishes
    /// the tunnel ends of its switches; another client publishes its own address, unless the list has others.
    pub(super) fn grant(&self, client: &ClientName, address: IpAddr) -> Option<Grant> {
        let mut grant = Grant::default();
        let mut is_known = self.access.unknown == UnknownClients::Accept;
        for served in self.switches.values() {
            is_known |= served.tsns.contains(client);
            if served.agents.contains(client) {
                is_known = true;
                served.switch.vtep.iter().for_each(|vtep| grant.next_hops.add(*vtep));
            }
        }
        for listed in self.access.of(client) {
            is_known = true;
            grant.certificates.extend_from_slice(&listed.certificates);
            grant.next_hops.add_prefixes(&listed.next_hops);
        }
        if grant.next_hops.is_empty() {
            grant.next_hops.add_own(address);
        }
        is_known.then_some(grant)
    }

    /// Whether clients receive the same configuration of this inventory as of another one, but for its revision. Remote
    /// MACs are routes, and no part of it.
    pub(super) fn differs_in_revision_only(&self, other: &Self) -> bool {
        self.switches == other.switches && self.sent_networks().eq(other.sent_networks())
    }

    fn sent_networks(&self) -> impl Iterator<Item = (Uuid, Vni, &str)> {
        let networks = self.networks.iter();
        networks.map(|(uuid, network)| (*uuid, network.vni, network.name.as_str()))
    }
}
