//! The configuration graph of one client.
//!
//! It is the part of Contrail's graph that lies around the client's `virtual-router`, with the names and links that agents
//! follow. The `virtual-router` is sent last, with the revision: an agent that receives it has everything.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::inventory::Inventory;
use crate::configuration::{CertificateRule, Network, Switch, VlanId, fnv1a};
use crate::contrail_schema::{self as schema, kind, link, property};
use crate::ids::{SwitchName, Uuid};
use crate::xmpp::Element;
use crate::xmpp::graph::{Change, Link, Node, NodeId};

/// How ports lead to their networks.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Form {
    /// As Contrail's control nodes send it: by several nodes and links for each VLAN.
    Full,
    /// As agents of ours ask for it: by a property of the port.
    Compact,
}

/// The VLANs in one property of a port, so that its text is within a token's bound.
const VLANS_PER_PROPERTY: usize = 1000;

/// Nodes with their properties, and links.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Graph {
    nodes: BTreeMap<NodeId, Vec<Element>>,
    links: BTreeSet<Link>,
}

impl Graph {
    /// The configuration that a client is to receive.
    pub(super) fn of(client: &str, inventory: &Inventory, form: Form) -> Self {
        let mut graph = Self::default();
        let router = graph.router(client, inventory);
        let global = NodeId::new(kind::GLOBAL_SYSTEM_CONFIG, schema::GLOBAL);
        let vrouters = NodeId::new(
            kind::GLOBAL_VROUTER_CONFIG,
            format!("{}:default-global-vrouter-config", schema::GLOBAL),
        );
        graph.node(&global, vec![leaf(property::DISPLAY_NAME, schema::GLOBAL)]);
        let encapsulations = Element::new("encapsulation-priorities").with(Element::leaf("encapsulation", "VXLAN"));
        let mode = leaf(property::VNI_MODE, "configured");
        graph.node(&vrouters, vec![encapsulations, mode]);
        graph.link(link::GLOBAL_VIRTUAL_ROUTER, &global, &router);
        graph.link(link::GLOBAL_VROUTER_CONFIG, &global, &vrouters);
        for (name, switch) in inventory.served_by(client) {
            graph.switch(&router, (name, switch), &inventory.networks, form);
        }
        graph
    }

    /// The part of the configuration of a client that one switch adds.
    pub(super) fn of_switch(client: &str, switch: (&SwitchName, &Switch), inventory: &Inventory, form: Form) -> Self {
        let mut graph = Self::default();
        let router = graph.router(client, inventory);
        graph.switch(&router, switch, &inventory.networks, form);
        graph
    }

    /// The changes from this graph to the same with another revision.
    pub(super) fn revision_changes(&self, client: &str, inventory: &Inventory) -> VecDeque<Change> {
        let mut revised = Self::default();
        revised.router(client, inventory);
        let changed = revised.nodes.iter();
        changed
            .filter(|(id, properties)| self.nodes.get(*id) != Some(properties))
            .map(update)
            .collect()
    }

    /// The client's own node, with the revision.
    fn router(&mut self, client: &str, inventory: &Inventory) -> NodeId {
        let router = NodeId::new(kind::VIRTUAL_ROUTER, schema::virtual_router(client));
        let revision = Element::leaf(property::REVISION, inventory.revision.to_string());
        self.node(&router, vec![revision, leaf(property::DISPLAY_NAME, client)]);
        router
    }

    fn switch(
        &mut self,
        router: &NodeId,
        (name, switch): (&SwitchName, &Switch),
        networks: &BTreeMap<Uuid, Network>,
        form: Form,
    ) {
        let physical = NodeId::new(kind::PHYSICAL_ROUTER, schema::physical_router(name));
        let mut properties = vec![leaf(property::DISPLAY_NAME, name.as_str())];
        properties.extend(switch.vtep.map(|vtep| leaf(property::DATAPLANE_IP, vtep.to_string())));
        properties.extend(switch.certificate.as_ref().map(|rule| {
            Element::new(property::CERTIFICATE).with(match rule {
                CertificateRule::Pinned(fingerprint) => leaf("pinned", fingerprint.to_string()),
                CertificateRule::Named(name) => leaf("named", name.as_str()),
            })
        }));
        properties.extend(switch.sole_manager.then(|| leaf(property::SOLE_MANAGER, "true")));
        let rows = switch.rows_per_transaction_max;
        properties.extend(rows.map(|rows| leaf(property::ROWS_PER_TRANSACTION, rows.to_string())));
        self.node(&physical, properties);
        self.link(link::ROUTER_AGENT, router, &physical);
        for (port, vlans) in &switch.ports {
            let interface = NodeId::new(
                kind::PHYSICAL_INTERFACE,
                schema::physical_interface(&physical.name, port),
            );
            self.link(link::ROUTER_PORT, &physical, &interface);
            let known = vlans.iter().filter_map(|(vlan, network)| {
                let (uuid, network) = networks.get_key_value(network)?;
                Some((*vlan, *uuid, network))
            });
            let display_name = leaf(property::DISPLAY_NAME, port.as_str());
            match form {
                Form::Full => {
                    self.node(&interface, vec![display_name]);
                    for (vlan, uuid, network) in known {
                        let at = schema::port_vlan(port, vlan);
                        let logical = self.logical_interface(&interface, &at, vlan);
                        self.endpoint(&logical, &schema::endpoint(name, &at), uuid, network);
                    }
                }
                Form::Compact => self.compact_port(interface, display_name, known),
            }
        }
    }

    fn compact_port<'a>(
        &mut self,
        interface: NodeId,
        display_name: Element,
        vlans: impl Iterator<Item = (VlanId, Uuid, &'a Network)>,
    ) {
        let mut entries = Vec::new();
        for (vlan, uuid, network) in vlans {
            entries.push(schema::vlan_entry(vlan, uuid));
            self.network(uuid, network);
        }
        let lists = entries.chunks(VLANS_PER_PROPERTY);
        let lists = lists.map(|entries| leaf(property::VLANS, entries.join(" ")));
        let properties = std::iter::once(display_name).chain(lists);
        self.nodes.insert(interface, properties.collect());
    }

    fn logical_interface(&mut self, interface: &NodeId, name: &str, vlan: VlanId) -> NodeId {
        let logical = NodeId::new(
            kind::LOGICAL_INTERFACE,
            schema::logical_interface(&interface.name, name),
        );
        let tag = leaf(property::VLAN_TAG, vlan.to_string());
        let kind = leaf("logical-interface-type", "l2");
        self.node(&logical, vec![tag, kind, leaf(property::DISPLAY_NAME, name)]);
        self.link(link::PORT_VLAN, interface, &logical);
        logical
    }

    /// The endpoint behind a port and VLAN, and its network.
    fn endpoint(&mut self, logical: &NodeId, name: &str, uuid: Uuid, network: &Network) {
        let machine = NodeId::new(kind::VIRTUAL_MACHINE_INTERFACE, schema::virtual_machine_interface(name));
        let [network, instance] = self.network(uuid, network);
        self.node(&machine, vec![leaf(property::DISPLAY_NAME, name)]);
        self.link(link::VLAN_ENDPOINT, logical, &machine);
        self.link(link::ENDPOINT_NETWORK, &machine, &network);
        // A link with an attribute is a node with a value, and a link to each end.
        let attribute = schema::link_attribute(&machine.name, &instance.name);
        let attribute = NodeId::new(link::ENDPOINT_INSTANCE, attribute);
        let value = Element::new("value").with(leaf("direction", "both"));
        self.nodes.insert(attribute.clone(), vec![value]);
        self.link(link::ENDPOINT_INSTANCE, &machine, &attribute);
        self.link(link::ENDPOINT_INSTANCE, &attribute, &instance);
    }

    /// A network and its instance.
    fn network(&mut self, uuid: Uuid, network: &Network) -> [NodeId; 2] {
        let qualified = schema::virtual_network(&network.name);
        let instance = NodeId::new(kind::ROUTING_INSTANCE, schema::instance(&qualified).as_str());
        let network_id = NodeId::new(kind::VIRTUAL_NETWORK, qualified);
        if self.nodes.contains_key(&network_id) {
            return [network_id, instance];
        }
        // The number of a network is not configured; its VNI serves as one.
        let vni = network.vni.to_string();
        let number = leaf(property::NETWORK_ID, vni.as_str());
        let properties = Element::new(property::NETWORK_PROPERTIES)
            .with(leaf(property::VNI, vni))
            .with(leaf("forwarding-mode", "l2"));
        let properties = vec![number, properties, leaf(property::DISPLAY_NAME, network.name.as_str())];
        self.node_with(&network_id, uuid, properties);
        self.node(&instance, vec![leaf("routing-instance-is-default", "true")]);
        self.link(link::NETWORK_INSTANCE, &network_id, &instance);
        [network_id, instance]
    }

    /// A node whose UUID is not configured: it follows from its name.
    fn node(&mut self, id: &NodeId, properties: Vec<Element>) {
        let uuid = Uuid(fnv1a(format!("{} {}", id.kind, id.name).as_bytes()));
        self.node_with(id, uuid, properties);
    }

    fn node_with(&mut self, id: &NodeId, Uuid(uuid): Uuid, mut properties: Vec<Element>) {
        let half = |bits: u128| (bits & u128::from(u64::MAX)).to_string();
        let uuid = Element::new("uuid")
            .with(leaf("uuid-mslong", half(uuid >> 64)))
            .with(leaf("uuid-lslong", half(uuid)));
        properties.push(Element::new(property::ID_PERMS).with(uuid).with(leaf("enable", "true")));
        self.nodes.insert(id.clone(), properties);
    }

    fn link(&mut self, kind: &str, one: &NodeId, other: &NodeId) {
        self.links.insert(Link {
            kind: kind.into(),
            ends: [one.clone(), other.clone()],
        });
    }

    /// The changes from this graph to another: first what is new, then what goes, and the `virtual-router` last. An agent
    /// that has nothing receives its `virtual-router` first as well, without a revision: links lead to it.
    pub(super) fn changes_to(&self, aim: &Self) -> VecDeque<Change> {
        if self == aim {
            return VecDeque::new();
        }
        let is_marker = |id: &NodeId| &*id.kind == kind::VIRTUAL_ROUTER;
        let (markers, nodes): (Vec<_>, Vec<_>) = aim.nodes.iter().partition(|(id, _)| is_marker(id));
        let mut changes = VecDeque::new();
        for (id, properties) in &markers {
            if !self.nodes.contains_key(*id) {
                let bare = properties.iter().filter(|it| &*it.name != property::REVISION);
                changes.push_back(update((id, &bare.cloned().collect())));
            }
        }
        let changed = nodes.into_iter().filter(|(id, it)| self.nodes.get(*id) != Some(it));
        changes.extend(changed.map(update));
        changes.extend(aim.links.difference(&self.links).cloned().map(Change::UpdateLink));
        changes.extend(self.links.difference(&aim.links).cloned().map(Change::DeleteLink));
        let gone = self.nodes.keys().filter(|id| !aim.nodes.contains_key(*id));
        changes.extend(gone.cloned().map(Change::DeleteNode));
        changes.extend(markers.into_iter().map(update));
        changes
    }

    pub(super) fn apply(&mut self, change: &Change) {
        match change {
            Change::UpdateNode(node) => {
                self.nodes.insert(node.id.clone(), node.properties.clone());
            }
            Change::DeleteNode(id) => {
                self.nodes.remove(id);
            }
            Change::UpdateLink(link) => {
                self.links.insert(link.clone());
            }
            Change::DeleteLink(link) => {
                self.links.remove(link);
            }
        }
    }
}

/// The client whose configuration is subscribed to: that of a `virtual-router`.
pub(super) fn subscribed_client<'a>(kind: &str, name: &'a str) -> Option<&'a str> {
    schema::client(name).filter(|_| kind == kind::VIRTUAL_ROUTER)
}

fn update((id, properties): (&NodeId, &Vec<Element>)) -> Change {
    Change::UpdateNode(Node {
        id: id.clone(),
        properties: properties.clone(),
    })
}

fn leaf(name: &str, text: impl Into<Box<str>>) -> Element {
    Element::leaf(name, text)
}
