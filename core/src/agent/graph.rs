//! The configuration graph that a control node sends, and what an agent reads in it.
//!
//! From our own virtual router the way leads to the switches that we serve, from each of them to its ports, from a
//! port through its VLANs to networks. What lies beside that way is not ours to know.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::str::FromStr;

use crate::configuration::{CertificateRule, Configuration, Network, SessionOptions, Switch, VlanId};
use crate::contrail_schema::{self as schema, kind, link, property};
use crate::ids::{SwitchName, Uuid, Vni};
use crate::xmpp::Element;
use crate::xmpp::graph::{Change, Link, Node, NodeId};

/// Nodes and links, as they arrived.
#[derive(Clone, Debug, Default)]
pub(super) struct Graph {
    nodes: BTreeMap<NodeId, Vec<Element>>,
    /// Both ways.
    links: BTreeMap<NodeId, BTreeSet<(Box<str>, NodeId)>>,
    /// The approximate memory of the graph.
    bytes: usize,
}

/// The node of the agent with this name.
pub(super) fn virtual_router(agent: &str) -> NodeId {
    NodeId::new(kind::VIRTUAL_ROUTER, schema::virtual_router(agent))
}

impl Graph {
    /// One more thing is known.
    pub(super) fn apply(&mut self, change: Change) {
        match change {
            Change::UpdateNode(Node { id, properties }) => {
                self.delete_node(&id);
                self.bytes += bytes_of_node(&id, &properties);
                self.nodes.insert(id, properties);
            }
            Change::DeleteNode(id) => self.delete_node(&id),
            Change::UpdateLink(Link {
                kind,
                ends: [one, other],
            }) => {
                self.link(one.clone(), kind.clone(), other.clone());
                self.link(other, kind, one);
            }
            Change::DeleteLink(Link {
                kind,
                ends: [one, other],
            }) => {
                self.unlink(&one, &kind, &other);
                self.unlink(&other, &kind, &one);
            }
        }
    }

    /// The approximate memory, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The revision that a control node of ours writes onto our node when it has sent everything.
    pub(super) fn revision(&self, agent: &str) -> Option<u64> {
        self.read(&virtual_router(agent), property::REVISION)
    }

    /// The configuration that the graph contains, and the parts of it that could not be read.
    pub(super) fn configuration(&self, agent: &str, session: SessionOptions) -> (Configuration, Vec<String>) {
        let mut reading = Reading {
            graph: self,
            problems: Vec::new(),
            configuration: Configuration {
                session,
                networks: BTreeMap::new(),
                switches: BTreeMap::new(),
            },
        };
        for router in self.linked(&virtual_router(agent), link::ROUTER_AGENT) {
            reading.switch(router);
        }
        (reading.configuration, reading.problems)
    }

    fn delete_node(&mut self, id: &NodeId) {
        if let Some(properties) = self.nodes.remove(id) {
            self.bytes -= bytes_of_node(id, &properties);
        }
    }

    fn link(&mut self, one: NodeId, kind: Box<str>, other: NodeId) {
        let bytes = bytes_of_link(&one, &kind, &other);
        if self.links.entry(one).or_default().insert((kind, other)) {
            self.bytes += bytes;
        }
    }

    fn unlink(&mut self, one: &NodeId, kind: &str, other: &NodeId) {
        if let Some(links) = self.links.get_mut(one) {
            if links.remove(&(kind.into(), other.clone())) {
                self.bytes -= bytes_of_link(one, kind, other);
            }
            if links.is_empty() {
                self.links.remove(one);
            }
        }
    }

    /// The nodes at the other ends of links of a kind, as far as they have arrived.
    fn linked<'a>(&'a self, from: &NodeId, kind: &'a str) -> impl Iterator<Item = &'a NodeId> {
        let links = self.links.get(from).into_iter().flatten();
        let ends = links.filter(move |(it, _)| &**it == kind).map(|(_, end)| end);
        ends.filter(|end| self.nodes.contains_key(end))
    }

    fn property(&self, node: &NodeId, name: &str) -> Option<&Element> {
        let properties = self.nodes.get(node)?;
        properties.iter().find(|property| &*property.name == name)
    }

    fn text(&self, node: &NodeId, name: &str) -> Option<&str> {
        let text = &*self.property(node, name)?.text;
        Some(text).filter(|text| !text.is_empty())
    }

    fn read<T: FromStr>(&self, node: &NodeId, name: &str) -> Option<T> {
        self.text(node, name)?.trim().parse().ok()
    }

    /// The operator's name for a node: its display name, or else the last part of its name.
    fn display_name<'a>(&'a self, node: &'a NodeId) -> &'a str {
        let display_name = self.text(node, property::DISPLAY_NAME);
        display_name.unwrap_or_else(|| schema::last_part(&node.name))
    }

    /// Whether VNIs are configured; else they are the networks' own numbers.
    fn vnis_are_configured(&self) -> bool {
        let mut global = self.nodes.keys().filter(|id| &*id.kind == kind::GLOBAL_VROUTER_CONFIG);
        global.any(|id| self.text(id, property::VNI_MODE) == Some("configured"))
    }
}

/// The memory of a node beside its text, in bytes.
const NODE_BYTES: usize = 128;

fn bytes_of_node(id: &NodeId, properties: &[Element]) -> usize {
    NODE_BYTES + id.kind.len() + id.name.len() + properties.iter().map(Element::bytes).sum::<usize>()
}

fn bytes_of_link(one: &NodeId, kind: &str, other: &NodeId) -> usize {
    let names = [&one.kind, &one.name, &other.kind, &other.name];
    NODE_BYTES + kind.len() + names.map(|name| name.len()).iter().sum::<usize>()
}

/// A configuration that comes into being.
struct Reading<'a> {
    graph: &'a Graph,
    problems: Vec<String>,
    configuration: Configuration,
}

impl Reading<'_> {
    fn switch(&mut self, router: &NodeId) {
        let graph = self.graph;
        let mut switch = Switch {
            vtep: graph.read::<Ipv4Addr>(router, property::DATAPLANE_IP),
            certificate: self.certificate(router),
            sole_manager: graph.text(router, property::SOLE_MANAGER) == Some("true"),
            rows_per_transaction_max: graph.read(router, property::ROWS_PER_TRANSACTION),
            ..Switch::default()
        };
        for port in graph.linked(router, link::ROUTER_PORT) {
            let vlans = self.vlans(port);
            if !vlans.is_empty() {
                switch.ports.insert(graph.display_name(port).into(), vlans);
            }
        }
        let name: SwitchName = graph.display_name(router).into();
        self.configuration.switches.insert(name, switch);
    }

    fn certificate(&mut self, router: &NodeId) -> Option<CertificateRule> {
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
    fn vlans(&mut self, port: &NodeId) -> BTreeMap<VlanId, Uuid> {
        let graph = self.graph;
        let mut vlans = BTreeMap::new();
        for logical in graph.linked(port, link::PORT_VLAN) {
            let Some(vlan) = graph.read::<VlanId>(logical, property::VLAN_TAG) else {
                self.problem(logical, "has no VLAN");
                continue;
            };
            for interface in graph.linked(logical, link::VLAN_ENDPOINT) {
                for network in graph.linked(interface, link::ENDPOINT_NETWORK) {
                    vlans.extend(self.network(network).map(|uuid| (vlan, uuid)));
                }
            }
        }
        vlans
    }

    fn network(&mut self, network: &NodeId) -> Option<Uuid> {
        let Some(uuid) = self.uuid(network) else {
            self.problem(network, "has no UUID");
            return None;
        };
        let Some(vni) = self.vni(network) else {
            self.problem(network, "has no VNI");
            return None;
        };
        let about = Network {
            name: schema::network_name(&network.name).into(),
            vni,
            remote_macs: BTreeMap::new(),
        };
        self.configuration.networks.insert(uuid, about);
        Some(uuid)
    }

    fn uuid(&self, node: &NodeId) -> Option<Uuid> {
        let uuid = self.graph.property(node, property::ID_PERMS)?.child("uuid")?;
        let half = |name: &str| uuid.text_of(name)?.trim().parse::<u64>().ok().map(u128::from);
        Some(Uuid(half("uuid-mslong")? << 64 | half("uuid-lslong")?))
    }

    fn vni(&self, network: &NodeId) -> Option<Vni> {
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

    fn problem(&mut self, node: &NodeId, what: &str) {
        self.problems.push(format!("{} {} {what}", node.kind, node.name));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(kind: &str, name: &str) -> NodeId {
        NodeId::new(kind, name)
    }

    fn node(kind: &str, name: &str, properties: Vec<Element>) -> Change {
        Change::UpdateNode(Node {
            id: id(kind, name),
            properties,
        })
    }

    fn link(kind: &str, one: NodeId, other: NodeId) -> Change {
        Change::UpdateLink(Link {
            kind: kind.into(),
            ends: [one, other],
        })
    }

    /// The nodes and links that the incumbent's control node sends for one port with one VLAN.
    fn received() -> Graph {
        let uuid = Element::new("uuid")
            .with(Element::leaf("uuid-mslong", "1"))
            .with(Element::leaf("uuid-lslong", "2"));
        let router = id("physical-router", "default-global-system-config:bms-tor1");
        let port = id("physical-interface", "default-global-system-config:bms-tor1:ge-0/0/10");
        let logical = id(
            "logical-interface",
            "default-global-system-config:bms-tor1:ge-0/0/10:ge-0/0/10.100",
        );
        let interface = id("virtual-machine-interface", "default-domain:demo:bms");
        let network = id("virtual-network", "default-domain:demo:vn1");
        let properties =
            Element::new("virtual-network-properties").with(Element::leaf("vxlan-network-identifier", "77"));
        let changes = [
            node("virtual-router", "default-global-system-config:agent-a", vec![]),
            node(
                &router.kind,
                &router.name,
                vec![
                    Element::leaf("physical-router-dataplane-ip", "10.10.10.20"),
                    Element::leaf("display-name", "tor1"),
                ],
            ),
            node(&port.kind, &port.name, vec![Element::leaf("display-name", "ge-0/0/10")]),
            node(
                &logical.kind,
                &logical.name,
                vec![Element::leaf("logical-interface-vlan-tag", "100")],
            ),
            node(&interface.kind, &interface.name, vec![]),
            node(
                &network.kind,
                &network.name,
                vec![
                    Element::new("id-perms").with(uuid),
                    Element::leaf("virtual-network-network-id", "5"),
                    properties,
                ],
            ),
            link(
                "physical-router-virtual-router",
                router.clone(),
                virtual_router("agent-a"),
            ),
            link("physical-router-physical-interface", router, port.clone()),
            link("physical-interface-logical-interface", port, logical.clone()),
            link(
                "logical-interface-virtual-machine-interface",
                logical,
                interface.clone(),
            ),
            link("virtual-machine-interface-virtual-network", interface, network),
        ];
        let mut graph = Graph::default();
        changes.into_iter().for_each(|change| graph.apply(change));
        graph
    }

    fn read(graph: &Graph) -> (Configuration, Vec<String>) {
        graph.configuration("agent-a", SessionOptions::new("agent-a", Ipv4Addr::LOCALHOST))
    }

    #[test]
    fn a_port_leads_to_its_network_and_the_network_has_its_own_number() {
        let (configuration, problems) = read(&received());
        assert_eq!(problems, [] as [&str; 0]);
        let network = Uuid(1 << 64 | 2);
        let switch = &configuration.switches[&"tor1".into()];
        assert_eq!(switch.vtep, Some(Ipv4Addr::new(10, 10, 10, 20)));
        assert_eq!(switch.ports[&"ge-0/0/10".into()], [(100, network)].into());
        let about = &configuration.networks[&network];
        assert_eq!((&*about.name, u32::from(about.vni)), ("default-domain:demo:vn1", 5));
    }

    #[test]
    fn configured_vnis_count_where_the_mode_is_configured() {
        let mut graph = received();
        let mode = Element::leaf("vxlan-network-identifier-mode", "configured");
        graph.apply(node(
            "global-vrouter-config",
            "default-global-system-config:default",
            vec![mode],
        ));
        let (configuration, _) = read(&graph);
        assert_eq!(
            configuration
                .networks
                .values()
                .map(|it| u32::from(it.vni))
                .collect::<Vec<_>>(),
            [77]
        );
    }

    #[test]
    fn what_is_unlinked_or_deleted_is_desired_no_more() {
        let mut graph = received();
        let logical = id(
            "logical-interface",
            "default-global-system-config:bms-tor1:ge-0/0/10:ge-0/0/10.100",
        );
        graph.apply(Change::DeleteNode(logical));
        assert!(read(&graph).0.networks.is_empty());
        let router = id("physical-router", "default-global-system-config:bms-tor1");
        graph.apply(Change::DeleteLink(Link {
            kind: "physical-router-virtual-router".into(),
            ends: [virtual_router("agent-a"), router],
        }));
        assert!(read(&graph).0.switches.is_empty());
    }

    #[test]
    fn a_network_that_cannot_be_read_is_named_and_the_rest_goes_on() {
        let mut graph = received();
        graph.apply(node("virtual-network", "default-domain:demo:vn1", vec![]));
        let (configuration, problems) = read(&graph);
        assert_eq!(problems, ["virtual-network default-domain:demo:vn1 has no UUID"]);
        assert!(configuration.switches.contains_key(&"tor1".into()));
    }
}
