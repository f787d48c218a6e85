//! The configuration graph that a control node sends, and what an agent reads in it.
//!
//! From our own virtual router the way leads to the switches that we serve, from each of them to its ports, from a
//! port through its VLANs to networks. What lies beside that way is not kept. A Tandem control node sends the VLANs of a
//! port and their networks as a property of the port; others send nodes between the port and its networks.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::str::FromStr;
use std::sync::Arc;

use crate::configuration::{CertificateRule, Configuration, Network, SessionOptions, Switch, VlanId};
use crate::contrail_schema::{self as schema, kind, link, property};
use crate::ids::{SwitchName, Uuid, Vni};
use crate::xmpp::Element;
use crate::xmpp::graph::{Change, Link, Node, NodeId};

/// Nodes and links of the way, as they arrived.
#[derive(Clone, Debug, Default)]
pub(crate) struct Graph {
    nodes: BTreeMap<Id, Vec<Element>>,
    /// From each node to those further on the way.
    links: BTreeMap<Id, BTreeSet<Id>>,
    /// The approximate memory of the graph.
    bytes: usize,
}

/// The kinds of nodes that are kept.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Kind {
    Global,
    VirtualRouter,
    PhysicalRouter,
    PhysicalInterface,
    LogicalInterface,
    Endpoint,
    Network,
}

/// A node that is kept. Its name is shared between the node and its links.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Id {
    kind: Kind,
    name: Arc<str>,
}

/// The node of the agent with this name.
pub(super) fn virtual_router(agent: &str) -> NodeId {
    NodeId::new(kind::VIRTUAL_ROUTER, schema::virtual_router(agent))
}

impl Graph {
    /// One more change is known. What lies beside the way is ignored.
    pub(crate) fn apply(&mut self, change: Change) {
        match change {
            Change::UpdateNode(Node { id, properties }) => {
                let Some(id) = self.id(&id) else { return };
                self.delete_node(&id);
                let kept = properties.into_iter().filter(|it| id.kind.keeps(&it.name)).map(trimmed);
                let kept: Vec<Element> = kept.collect();
                self.bytes += bytes_of_node(&id, &kept);
                self.nodes.insert(id, kept);
            }
            Change::DeleteNode(id) => {
                if let Some(id) = self.id(&id) {
                    self.delete_node(&id);
                }
            }
            Change::UpdateLink(link) => {
                if let Some((from, to)) = self.ends(&link)
                    && self.links.entry(from).or_default().insert(to)
                {
                    self.bytes += LINK_BYTES;
                }
            }
            Change::DeleteLink(link) => {
                if let Some((from, to)) = self.ends(&link) {
                    self.unlink(&from, &to);
                }
            }
        }
    }

    /// The approximate memory, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The revision that a control node of ours writes onto our node when it has sent everything.
    pub(super) fn revision(&self, agent: &str) -> Option<u64> {
        self.read(&own_id(agent), property::REVISION)
    }

    /// The configuration that the graph contains, and the parts of it that could not be read.
    pub(super) fn configuration(&self, agent: &str, session: SessionOptions) -> (Configuration, Vec<String>) {
        let mut reading = Reading {
            graph: self,
            networks: BTreeMap::new(),
            problems: Vec::new(),
            configuration: Configuration {
                session,
                networks: BTreeMap::new(),
                switches: BTreeMap::new(),
            },
        };
        reading.networks = self.networks().filter_map(|id| Some((reading.uuid(id)?, id))).collect();
        for router in self.linked(&own_id(agent)) {
            reading.switch(router);
        }
        (reading.configuration, reading.problems)
    }

    /// The key of a node, if nodes of its kind are kept. It shares the name with what is there already.
    fn id(&self, NodeId { kind, name }: &NodeId) -> Option<Id> {
        let kind = Kind::of(kind)?;
        let name = Arc::from(&**name);
        let id = Id { kind, name };
        let node = self.nodes.get_key_value(&id).map(|(id, _)| id);
        let known = node.or_else(|| self.links.get_key_value(&id).map(|(id, _)| id));
        Some(known.cloned().unwrap_or(id))
    }

    /// The ends of a link that is part of the way, the nearer first.
    fn ends(
        &self,
        Link {
            kind,
            ends: [one, other],
        }: &Link,
    ) -> Option<(Id, Id)> {
        let way = Kind::joined(kind)?;
        let (one, other) = (self.id(one)?, self.id(other)?);
        if (one.kind, other.kind) == way {
            Some((one, other))
        } else {
            ((other.kind, one.kind) == way).then_some((other, one))
        }
    }

    fn delete_node(&mut self, id: &Id) {
        if let Some(properties) = self.nodes.remove(id) {
            self.bytes -= bytes_of_node(id, &properties);
        }
    }

    fn unlink(&mut self, from: &Id, to: &Id) {
        let Some(links) = self.links.get_mut(from) else { return };
        if links.remove(to) {
            self.bytes -= LINK_BYTES;
        }
        if links.is_empty() {
            self.links.remove(from);
        }
    }

    /// The next nodes on the way, as far as they have arrived.
    fn linked(&self, from: &Id) -> impl Iterator<Item = &Id> {
        let ends = self.links.get(from).into_iter().flatten();
        ends.filter(|end| self.nodes.contains_key(end))
    }

    fn property(&self, node: &Id, name: &str) -> Option<&Element> {
        let properties = self.nodes.get(node)?;
        properties.iter().find(|property| &*property.name == name)
    }

    fn text(&self, node: &Id, name: &str) -> Option<&str> {
        let text = &*self.property(node, name)?.text;
        Some(text).filter(|text| !text.is_empty())
    }

    fn read<T: FromStr>(&self, node: &Id, name: &str) -> Option<T> {
        self.text(node, name)?.trim().parse().ok()
    }

    /// The operator's name for a node: its display name, or else the last part of its name.
    fn display_name<'a>(&'a self, node: &'a Id) -> &'a str {
        let display_name = self.text(node, property::DISPLAY_NAME);
        display_name.unwrap_or_else(|| schema::last_part(&node.name))
    }

    fn networks(&self) -> impl Iterator<Item = &Id> {
        self.nodes.keys().rev().take_while(|id| id.kind == Kind::Network)
    }

    /// Whether VNIs are configured; else they are the networks' own numbers.
    fn vnis_are_configured(&self) -> bool {
        let mut global = self.nodes.keys().take_while(|id| id.kind == Kind::Global);
        global.any(|id| self.text(id, property::VNI_MODE) == Some("configured"))
    }
}

impl Kind {
    fn of(name: &str) -> Option<Self> {
        Some(match name {
            kind::GLOBAL_VROUTER_CONFIG => Self::Global,
            kind::VIRTUAL_ROUTER => Self::VirtualRouter,
            kind::PHYSICAL_ROUTER => Self::PhysicalRouter,
            kind::PHYSICAL_INTERFACE => Self::PhysicalInterface,
            kind::LOGICAL_INTERFACE => Self::LogicalInterface,
            kind::VIRTUAL_MACHINE_INTERFACE => Self::Endpoint,
            kind::VIRTUAL_NETWORK => Self::Network,
            _ => return None,
        })
    }

    fn name(self) -> &'static str {
        match self {
            Self::Global => kind::GLOBAL_VROUTER_CONFIG,
            Self::VirtualRouter => kind::VIRTUAL_ROUTER,
            Self::PhysicalRouter => kind::PHYSICAL_ROUTER,
            Self::PhysicalInterface => kind::PHYSICAL_INTERFACE,
            Self::LogicalInterface => kind::LOGICAL_INTERFACE,
            Self::Endpoint => kind::VIRTUAL_MACHINE_INTERFACE,
            Self::Network => kind::VIRTUAL_NETWORK,
        }
    }

    /// The kinds that a link joins, if it is part of the way.
    fn joined(link: &str) -> Option<(Self, Self)> {
        Some(match link {
            link::ROUTER_AGENT => (Self::VirtualRouter, Self::PhysicalRouter),
            link::ROUTER_PORT => (Self::PhysicalRouter, Self::PhysicalInterface),
            link::PORT_VLAN => (Self::PhysicalInterface, Self::LogicalInterface),
            link::VLAN_ENDPOINT => (Self::LogicalInterface, Self::Endpoint),
            link::ENDPOINT_NETWORK => (Self::Endpoint, Self::Network),
            _ => return None,
        })
    }

    /// Whether a property of such a node is read.
    fn keeps(self, property: &str) -> bool {
        let read: &[&str] = match self {
            Self::Global => &[property::VNI_MODE],
            Self::VirtualRouter => &[property::REVISION],
            Self::PhysicalRouter => &[
                property::DISPLAY_NAME,
                property::DATAPLANE_IP,
                property::CERTIFICATE,
                property::SOLE_MANAGER,
                property::ROWS_PER_TRANSACTION,
            ],
            Self::PhysicalInterface => &[property::DISPLAY_NAME, property::VLANS],
            Self::LogicalInterface => &[property::VLAN_TAG],
            Self::Endpoint => &[],
            Self::Network => &[property::ID_PERMS, property::NETWORK_ID, property::NETWORK_PROPERTIES],
        };
        read.contains(&property)
    }
}

fn own_id(agent: &str) -> Id {
    Id {
        kind: Kind::VirtualRouter,
        name: schema::virtual_router(agent).into(),
    }
}

/// Of permissions, only the UUID is read.
fn trimmed(mut property: Element) -> Element {
    if &*property.name == property::ID_PERMS {
        property.children.retain(|child| &*child.name == "uuid");
    }
    property
}

/// The memory of a node beside its name and properties, in bytes.
const NODE_BYTES: usize = 96;

/// The memory of a link, in bytes: its ends share the names of their nodes.
const LINK_BYTES: usize = 64;

fn bytes_of_node(id: &Id, properties: &[Element]) -> usize {
    NODE_BYTES + id.name.len() + properties.iter().map(Element::bytes).sum::<usize>()
}

/// A configuration that comes into being.
struct Reading<'a> {
    graph: &'a Graph,
    /// The networks that have a UUID.
    networks: BTreeMap<Uuid, &'a Id>,
    problems: Vec<String>,
    configuration: Configuration,
}

impl Reading<'_> {
    fn switch(&mut self, router: &Id) {
        let graph = self.graph;
        let mut switch = Switch {
            vtep: graph.read::<Ipv4Addr>(router, property::DATAPLANE_IP),
            certificate: self.certificate(router),
            sole_manager: graph.text(router, property::SOLE_MANAGER) == Some("true"),
            rows_per_transaction_max: graph.read(router, property::ROWS_PER_TRANSACTION),
            ..Switch::default()
        };
        for port in graph.linked(router) {
            let vlans = self.vlans(port);
            if !vlans.is_empty() {
                switch.ports.insert(graph.display_name(port).into(), vlans);
            }
        }
        let name: SwitchName = graph.display_name(router).into();
        self.configuration.switches.insert(name, switch);
    }

    fn certificate(&mut self, router: &Id) -> Option<CertificateRule> {
        let rule = self.graph.property(router, property::CERTIFICATE)?;
        let pinned = rule.text_of("pinned").and_then(|pin| pin.parse().ok());
        let named = rule.text_of("named").map(|name| CertificateRule::Named(name.into()));
        let rule = pinned.map(CertificateRule::Pinned).or(named);
        rule.or_else(|| {
            // A rule that cannot be read admits no switch.
            self.problem(router, "has a rule for certificates that cannot be read");
            Some(CertificateRule::Named(String::new()))
        })
    }

    /// The VLANs of a port, and the network that each leads to.
    fn vlans(&mut self, port: &Id) -> BTreeMap<VlanId, Uuid> {
        let graph = self.graph;
        let mut vlans = self.listed_vlans(port);
        for logical in graph.linked(port) {
            let Some(vlan) = graph.read::<VlanId>(logical, property::VLAN_TAG) else {
                self.problem(logical, "has no VLAN");
                continue;
            };
            for interface in graph.linked(logical) {
                for network in graph.linked(interface) {
                    vlans.extend(self.network(network).map(|uuid| (vlan, uuid)));
                }
            }
        }
        vlans
    }

    /// The VLANs that stand at the port itself, as a Tandem control node sends them.
    fn listed_vlans(&mut self, port: &Id) -> BTreeMap<VlanId, Uuid> {
        let properties = self.graph.nodes.get(port).into_iter().flatten();
        let lists = properties.filter(|it| &*it.name == property::VLANS);
        let listed = lists.flat_map(|list| list.text.split_ascii_whitespace());
        let mut vlans = BTreeMap::new();
        for entry in listed {
            let Some((vlan, uuid)) = schema::listed_vlan(entry) else {
                self.problem(port, "has a VLAN that cannot be read");
                continue;
            };
            match self.networks.get(&uuid) {
                Some(network) => vlans.extend(self.network(network).map(|uuid| (vlan, uuid))),
                None => self.problem(port, &format!("has VLAN {vlan} in network {uuid}, which was not sent")),
            }
        }
        vlans
    }

    fn network(&mut self, network: &Id) -> Option<Uuid> {
        let Some(uuid) = self.uuid(network) else {
            self.problem(network, "has no UUID");
            return None;
        };
        let Some(vni) = self.vni(network) else {
            self.problem(network, "has no VNI");
            return None;
        };
        if self.configuration.networks.contains_key(&uuid) {
            return Some(uuid);
        }
        let about = Network {
            name: schema::network_name(&network.name).into(),
            vni,
            remote_macs: BTreeMap::new(),
        };
        self.configuration.networks.insert(uuid, about);
        Some(uuid)
    }

    fn uuid(&self, node: &Id) -> Option<Uuid> {
        let uuid = self.graph.property(node, property::ID_PERMS)?.child("uuid")?;
        let half = |name: &str| uuid.text_of(name)?.trim().parse::<u64>().ok().map(u128::from);
        Some(Uuid(half("uuid-mslong")? << 64 | half("uuid-lslong")?))
    }

    fn vni(&self, network: &Id) -> Option<Vni> {
        let properties = self.graph.property(network, property::NETWORK_PROPERTIES);
        let inner = |name: &str| properties?.text_of(name)?.trim().parse::<u32>().ok();
        let number = || {
            let own = self.graph.read(network, property::NETWORK_ID);
            own.or_else(|| inner("network-id"))
        };
        let vni = if self.graph.vnis_are_configured() {
            inner(property::VNI)
        } else {
            number()
        };
        Vni::new(vni?)
    }

    fn problem(&mut self, node: &Id, what: &str) {
        self.problems.push(format!("{} {} {what}", node.kind.name(), node.name));
    }
}

#[cfg(test)]
mod tests;
