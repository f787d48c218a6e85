//! The status of a control node, as plain data.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::ControlNode;
use super::best_path::{Source, local_preference, why_not};
use super::client::{Client, Walk};
use super::client_name::ClientName;
use super::instance::Instance;
use super::inventory::{Inventory, ServedSwitch};
use super::publications::Refusal;
use crate::bounds::STATUS_ENTRIES;
use crate::close::CloseCounts;
use crate::configuration::{VlanId, fingerprint};
use crate::evpn::{InstanceName, Key, Path};
use crate::ids::{ConnId, Mac, PortName, SwitchName, Uuid};

/// A control node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ControlStatus {
    /// Of the inventory in force.
    pub revision: u64,
    /// Every client whose stream is open.
    pub clients: BTreeMap<ClientName, ClientStatus>,
    /// Every routing instance that is configured or subscribed.
    pub networks: BTreeMap<InstanceName, NetworkStatus>,
    /// Every configured switch.
    pub switches: BTreeMap<SwitchName, SwitchStatus>,
    /// Sessions of clients that were refused or ended since the start.
    #[serde(default)]
    pub closed: CloseCounts,
}

/// A client.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClientStatus {
    /// The connection.
    pub conn: ConnId,
    /// The address that it comes from.
    pub address: SocketAddr,
    /// Bytes on their way to it.
    pub queued_bytes: usize,
    /// Routes that it published.
    pub routes: usize,
    /// The number of its refused publications, by reason.
    pub refused: BTreeMap<Refusal, u64>,
    /// The first tunnel ends that it published and that the inventory does not give to it.
    #[serde(default)]
    pub foreign_next_hops: BTreeSet<Ipv4Addr>,
    /// The names in its certificate; empty without TLS.
    #[serde(default)]
    pub identities: Vec<String>,
    /// It has been sent everything that is configured; `None` if it did not subscribe to configuration.
    pub configured: Option<bool>,
    /// It ignores the configuration because this higher revision is in force there.
    #[serde(default)]
    pub ignores_for: Option<u64>,
    /// The first of its subscriptions, by name.
    pub subscriptions: BTreeMap<InstanceName, SubscriptionStatus>,
    /// The number of all.
    pub subscriptions_total: usize,
}

/// A client's part in an instance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SubscriptionStatus {
    /// The client's number for the instance, in its route distinguisher.
    pub instance_id: u32,
    /// It publishes, and receives no routes.
    pub no_ribout: bool,
    /// It has been sent every route that was there when it subscribed.
    pub complete: bool,
    /// Routes that it published there.
    pub published: usize,
}

/// An instance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NetworkStatus {
    /// Its network; `None` if no network of this name is configured, and what is published there waits.
    pub network: Option<Uuid>,
    /// The number of its subscribers.
    pub subscribers: usize,
    /// The number of unicast routes.
    pub routes_total: usize,
    /// The first of them.
    pub routes: Vec<RouteStatus>,
    /// The first of the broadcast routes, each with its only path.
    pub broadcasts: Vec<RouteStatus>,
}

/// A route.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RouteStatus {
    /// Which one.
    pub route: Key,
    /// The best first.
    pub paths: Vec<PathStatus>,
}

/// A path of a route.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PathStatus {
    /// The address that it comes from.
    pub source: Source,
    /// The next hop.
    pub next_hops: Vec<Ipv4Addr>,
    /// The local preference that counts.
    pub local_preference: u32,
    /// MAC mobility.
    pub sequence: u32,
    /// The MAC does not move.
    pub sticky: bool,
    /// For a broadcast route: the replicator of its owner.
    pub replicator: Option<Ipv4Addr>,
    /// Why it is not the best; `None` for the one that is.
    pub why_not: Option<String>,
}

/// A switch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SwitchStatus {
    /// Its tunnel end.
    pub vtep: Option<Ipv4Addr>,
    /// The agents that it is configured for.
    pub agents: Vec<ClientName>,
    /// The services nodes that it is configured for.
    pub tsns: Vec<ClientName>,
    /// The network of each port and VLAN.
    pub ports: BTreeMap<PortName, BTreeMap<VlanId, Uuid>>,
    /// Of its configuration: an agent with another fingerprint has another configuration.
    pub fingerprint: String,
    /// For each network, the agents that claim its broadcasts. One each is right.
    pub owners: BTreeMap<Uuid, Vec<ClientName>>,
    /// For each network without an owner, the agents of the switch that publish a broadcast route at a tunnel end that no
    /// switch of theirs has, and that tunnel end: the switch is configured with a wrong `vtep`, or has wrong `tunnel_ips`.
    #[serde(default)]
    pub elsewhere: BTreeMap<Uuid, Vec<(ClientName, Ipv4Addr)>>,
}

impl ControlNode {
    /// Everything that is configured.
    pub fn inventory(&self) -> &Inventory {
        &self.inventory
    }

    /// Whether a client of this name is there.
    pub fn has_client(&self, name: &str) -> bool {
        self.clients.has(&ClientName::from(name))
    }

    /// The clients whose routes are in the tables.
    pub fn publishers(&self) -> BTreeSet<ClientName> {
        let instances = || self.rib.instances().map(|(_, instance)| instance);
        let routes = instances().flat_map(|instance| instance.table.routes());
        let sources = routes.flat_map(|(_, paths)| paths.iter().map(|(source, _)| source));
        let broadcasts = instances().flat_map(|instance| instance.members.iter());
        let sources = sources.chain(broadcasts.map(|(_, source, _)| source));
        let clients = sources.filter_map(|source| match source {
            Source::Client(name) => Some(name.clone()),
            Source::Static => None,
        });
        clients.collect()
    }

    /// The MACs of a network that have a path.
    pub fn macs_of(&self, network: Uuid) -> impl Iterator<Item = Mac> {
        let instances = self.rib.instances().map(|(_, instance)| instance);
        let instances = instances.filter(move |instance| instance.network == Some(network));
        instances.flat_map(|instance| instance.table.routes().map(|(key, _)| key.mac))
    }

    /// The status, for operators.
    pub fn status(&self) -> ControlStatus {
        let inventory = &self.inventory;
        let clients = self.clients.iter();
        let switch = |served: &ServedSwitch| SwitchStatus {
            vtep: served.switch.vtep,
            agents: served.agents.clone(),
            tsns: served.tsns.clone(),
            ports: served.switch.ports.clone(),
            fingerprint: fingerprint(&served.switch, &inventory.networks),
            owners: BTreeMap::new(),
            elsewhere: BTreeMap::new(),
        };
        let switches = inventory.switches.iter();
        let mut switches: BTreeMap<_, _> = switches.map(|(name, served)| (name.clone(), switch(served))).collect();
        for (name, network, owners) in self.rib.switch_owners().owners() {
            if let Some(switch) = switches.get_mut(name) {
                switch.owners.insert(network, owners.to_vec());
                let elsewhere = self.claims_elsewhere(network, &switch.agents);
                if owners.is_empty() && !elsewhere.is_empty() {
                    switch.elsewhere.insert(network, elsewhere);
                }
            }
        }
        let instances = self.rib.instances();
        ControlStatus {
            revision: inventory.revision,
            clients: clients
                .map(|(conn, client)| (client.name.clone(), client_status(conn, client, inventory.revision)))
                .collect(),
            networks: instances
                .map(|(name, instance)| (name.clone(), network_status(instance)))
                .collect(),
            switches,
            closed: self.closed.clone(),
        }
    }
}

impl ControlNode {
    /// The agents that publish a broadcast route in a network at a tunnel end that is not theirs.
    fn claims_elsewhere(&self, network: Uuid, agents: &[ClientName]) -> Vec<(ClientName, Ipv4Addr)> {
        let clients = self.clients.iter().map(|(_, client)| client);
        let clients = clients.filter(|client| !client.foreign_next_hops.is_empty() && agents.contains(&client.name));
        let mut claims = Vec::new();
        for client in clients {
            for (name, subscription) in &client.subscriptions {
                if self
                    .rib
                    .get(name)
                    .is_none_or(|instance| instance.network != Some(network))
                {
                    continue;
                }
                let broadcasts = subscription.published.iter().filter(|(key, _)| key.mac.is_broadcast());
                let ends = broadcasts.filter_map(|(key, path)| client.next_hops.foreign(key, path));
                claims.extend(ends.take(STATUS_ENTRIES).map(|end| (client.name.clone(), end)));
            }
        }
        claims
    }
}

fn client_status(conn: ConnId, client: &Client, revision: u64) -> ClientStatus {
    let subscriptions = client.subscriptions.iter().take(STATUS_ENTRIES);
    let subscriptions = subscriptions.map(|(name, subscription)| {
        let status = SubscriptionStatus {
            instance_id: subscription.instance_id,
            no_ribout: subscription.no_ribout,
            complete: subscription.walk == Walk::Complete,
            published: subscription.published.len(),
        };
        (name.clone(), status)
    });
    ClientStatus {
        conn,
        address: client.address,
        queued_bytes: client.queue.bytes,
        routes: client.routes,
        refused: client.refused.clone(),
        foreign_next_hops: client.foreign_next_hops.clone(),
        identities: client
            .certificate
            .as_ref()
            .map(|it| it.identities.clone())
            .unwrap_or_default(),
        ignores_for: client.ignores(revision),
        configured: client.configuration.as_ref().map(|feed| !feed.has_unsent()),
        subscriptions: subscriptions.collect(),
        subscriptions_total: client.subscriptions.len(),
    }
}

fn network_status(instance: &Instance) -> NetworkStatus {
    let routes = instance.table.routes().take(STATUS_ENTRIES);
    let broadcasts = instance.members.iter().take(STATUS_ENTRIES);
    NetworkStatus {
        network: instance.network,
        subscribers: instance.subscribers.len(),
        routes_total: instance.table.routes().count(),
        routes: routes.map(|(key, paths)| route_status(*key, paths)).collect(),
        broadcasts: broadcasts
            .map(|(key, source, path)| route_status(*key, &[(source.clone(), Arc::clone(path))]))
            .collect(),
    }
}

fn route_status(route: Key, paths: &[(Source, Arc<Path>)]) -> RouteStatus {
    let best = paths.first();
    let status = |(source, path): &(Source, Arc<Path>)| PathStatus {
        source: source.clone(),
        next_hops: path.next_hops.iter().map(|hop| hop.address).collect(),
        local_preference: local_preference(path),
        sequence: path.sequence,
        sticky: path.sticky,
        replicator: path.replicator,
        why_not: best
            .filter(|(other, _)| other != source)
            .map(|(other, best)| why_not((source, path), (other, best))),
    };
    RouteStatus {
        route,
        paths: paths.iter().take(STATUS_ENTRIES).map(status).collect(),
    }
}
