//! What an agent reads in a graph.

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
    let properties = Element::new("virtual-network-properties").with(Element::leaf("vxlan-network-identifier", "77"));
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

/// A switch whose port lists its VLANs.
fn listed(vlans: &[&str]) -> Graph {
    let mut graph = received();
    let port = id("physical-interface", "default-global-system-config:bms-tor1:ge-0/0/10");
    graph.apply(Change::DeleteNode(id(
        "logical-interface",
        "default-global-system-config:bms-tor1:ge-0/0/10:ge-0/0/10.100",
    )));
    let mut properties = vec![Element::leaf("display-name", "ge-0/0/10")];
    properties.extend(vlans.iter().map(|list| Element::leaf("tandem-vlans", *list)));
    graph.apply(node(&port.kind, &port.name, properties));
    graph
}

#[test]
fn vlans_may_stand_at_their_port() {
    let network = "00000000-0000-0001-0000-000000000002";
    let lists = [format!("100:{network} 101:{network}"), format!("4000:{network}")];
    let (configuration, problems) = read(&listed(&lists.each_ref().map(String::as_str)));
    assert_eq!(problems, [] as [&str; 0]);
    let uuid = Uuid(1 << 64 | 2);
    let switch = &configuration.switches[&"tor1".into()];
    let expected = BTreeMap::from([(100, uuid), (101, uuid), (4000, uuid)]);
    assert_eq!(switch.ports[&"ge-0/0/10".into()], expected);
    assert!(configuration.networks.contains_key(&uuid));
}

#[test]
fn a_listed_vlan_that_cannot_be_read_is_named_and_the_rest_goes_on() {
    let (configuration, problems) = read(&listed(&[
        "100:00000000-0000-0001-0000-000000000002 x:y 7:00000000-0000-0000-0000-000000000009",
    ]));
    assert_eq!(problems.len(), 2, "{problems:?}");
    let vlans = &configuration.switches[&"tor1".into()].ports[&"ge-0/0/10".into()];
    assert_eq!(vlans.keys().collect::<Vec<_>>(), [&100]);
}

#[test]
fn what_went_takes_its_memory_along() {
    let mut graph = received();
    let full = graph.bytes();
    let links: Vec<Change> = graph
        .links
        .iter()
        .flat_map(|(from, links)| links.iter().map(move |to| (from.clone(), to.clone())))
        .map(|(from, to)| {
            let ends = [to, from].map(|end| id(end.kind.name(), &end.name));
            let kind = [
                link::ROUTER_AGENT,
                link::ROUTER_PORT,
                link::PORT_VLAN,
                link::VLAN_ENDPOINT,
                link::ENDPOINT_NETWORK,
            ];
            let joins = |kind: &&str| Kind::joined(kind).map(|(_, far)| far.name()) == Some(&*ends[0].kind);
            let kind = kind.into_iter().find(joins).expect("a kind of link");
            Change::DeleteLink(Link {
                kind: kind.into(),
                ends,
            })
        })
        .collect();
    let nodes: Vec<Change> = graph
        .nodes
        .keys()
        .map(|it| Change::DeleteNode(id(it.kind.name(), &it.name)))
        .collect();
    links.into_iter().chain(nodes).for_each(|change| graph.apply(change));
    assert!(full > 0);
    assert_eq!((graph.bytes(), graph.nodes.len(), graph.links.len()), (0, 0, 0));
}

#[test]
fn a_network_that_cannot_be_read_is_named_and_the_rest_goes_on() {
    let mut graph = received();
    graph.apply(node("virtual-network", "default-domain:demo:vn1", vec![]));
    let (configuration, problems) = read(&graph);
    assert_eq!(problems, ["virtual-network default-domain:demo:vn1 has no UUID"]);
    assert!(configuration.switches.contains_key(&"tor1".into()));
}
