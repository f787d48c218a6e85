//! The stanzas that we write, byte for byte. A snapshot has each tag on a line; on the wire nothing stands between them.

use std::net::Ipv4Addr;

use tandem_core::evpn::{Key, NextHop, Path};
use tandem_core::xmpp::graph::{Change, Link, Node, NodeId};
use tandem_core::xmpp::{Element, Stanza, Writer, read};
use tandem_core::{Mac, Vni};

const VTEP: Ipv4Addr = Ipv4Addr::new(10, 10, 10, 20);
const TSN: Ipv4Addr = Ipv4Addr::new(10, 84, 5, 11);
const INSTANCE: &str = "default-domain:demo:vn1:vn1";

/// Writes the stanzas, and checks that each is read back.
fn written(mut writer: Writer, stanzas: &[Stanza]) -> String {
    let mut shown = String::new();
    for stanza in stanzas {
        let mut out = String::new();
        writer.write(stanza, &mut out);
        assert_eq!(
            read(out.as_bytes()).as_deref(),
            Ok(std::slice::from_ref(stanza)),
            "{out}"
        );
        assert!(!out.contains('\n'));
        shown.push_str(&out.replace("><", ">\n<"));
        shown.push_str("\n\n");
    }
    shown
}

fn agent() -> Writer {
    Writer::of_agent("tor-agent-1")
}

fn vni() -> Vni {
    Vni::new(101).expect("a VNI")
}

fn mac_route() -> (Key, Path) {
    let path = Path {
        next_hops: vec![NextHop::vxlan(VTEP, vni())],
        sequence: 1,
        local_preference: 100,
        ..Path::default()
    };
    (Key::of_mac(vni(), Mac([0, 0x11, 0x22, 0x33, 0x44, 0x55])), path)
}

fn publication(route: (Key, Path), associate: bool) -> [Stanza; 2] {
    let node = route.0.node();
    let collection = Stanza::Collection {
        instance: INSTANCE.into(),
        associate,
        node: node.clone(),
    };
    let route = Box::new(route);
    [Stanza::Publish { node, route }, collection]
}

#[test]
fn an_agent_subscribes_and_unsubscribes() {
    insta::assert_snapshot!(written(
        agent(),
        &[
            Stanza::Subscribe {
                instance: INSTANCE.into(),
                instance_id: 5,
                no_ribout: false,
                number: None,
            },
            Stanza::Subscribe {
                instance: "default-domain:demo:<&>:\"q\"".into(),
                instance_id: 6,
                no_ribout: true,
                number: None,
            },
            Stanza::Unsubscribe {
                instance: INSTANCE.into()
            },
            Stanza::SubscribeConfiguration {
                kind: "virtual-router".into(),
                name: "default-global-system-config:tor-agent-1".into(),
                compact: false,
                in_force: None,
            },
            Stanza::EndOfRib,
        ]
    ));
}

#[test]
fn an_agent_of_ours_asks_for_the_compact_form_of_its_configuration() {
    let subscribe = Stanza::SubscribeConfiguration {
        kind: "virtual-router".into(),
        name: "default-global-system-config:agent-a".into(),
        compact: true,
        in_force: Some(5),
    };
    let mut out = String::new();
    Writer::of_agent("agent-a").write(&subscribe, &mut out);
    let expected = "<subscribe node=\"virtual-router:default-global-system-config:agent-a\">\
                    <options><compact xmlns=\"urn:tandem:2\" /><revision xmlns=\"urn:tandem:2\">5</revision></options></subscribe>";
    assert!(out.contains(expected), "{out}");
    assert_eq!(read(out.as_bytes()), Ok(vec![subscribe]));
}

#[test]
fn ends_of_ours_number_a_subscription_and_its_end() {
    let subscribe = Stanza::Subscribe {
        instance: INSTANCE.into(),
        instance_id: 5,
        no_ribout: false,
        number: Some(7),
    };
    let end = Stanza::InstanceEndOfRib {
        instance: INSTANCE.into(),
        subscription: 7,
    };
    let written = [
        written(agent(), &[subscribe]),
        written(Writer::of_control_node("vrouter-9"), &[end]),
    ];
    insta::assert_snapshot!(written.concat());
}

#[test]
fn an_agent_publishes_and_withdraws_a_mac() {
    let [publish, associate] = publication(mac_route(), true);
    let [again, dissociate] = publication(mac_route(), false);
    insta::assert_snapshot!(written(agent(), &[publish, associate, again, dissociate]));
}

#[test]
fn an_agent_publishes_the_broadcast_route_of_its_switch() {
    let path = Path {
        next_hops: vec![NextHop::vxlan(VTEP, vni())],
        local_preference: 100,
        replicator: Some(TSN),
        ..Path::default()
    };
    let route = (Key::of_broadcast(vni(), VTEP), path);
    insta::assert_snapshot!(written(agent(), &publication(route, true)));
}

#[test]
fn a_control_node_sends_routes_and_their_end() {
    let (key, path) = mac_route();
    let reflected = Path {
        virtual_network: "default-domain:demo:vn1".into(),
        med: 200,
        security_groups: vec![8_000_001, 8_000_002],
        ..path
    };
    let mut broadcast = Path {
        olist: vec![NextHop::vxlan(Ipv4Addr::new(10, 84, 5, 12), vni())],
        leaf_olist: vec![NextHop::vxlan(VTEP, vni())],
        assisted_replication_supported: true,
        sticky: true,
        ..Path::default()
    };
    broadcast.leaf_olist[0].tags = vec![1, 2];
    insta::assert_snapshot!(written(
        Writer::of_control_node("vrouter-9"),
        &[
            Stanza::Items {
                instance: INSTANCE.into(),
                items: vec![(key, reflected)]
            },
            Stanza::Items {
                instance: INSTANCE.into(),
                items: vec![(Key::of_broadcast(vni(), Ipv4Addr::UNSPECIFIED), broadcast)],
            },
            Stanza::Retracts {
                instance: INSTANCE.into(),
                keys: vec![key, Key { ethernet_tag: 0, ..key }],
            },
            Stanza::EndOfRib,
        ]
    ));
}

#[test]
fn a_control_node_sends_the_configuration() {
    let router = NodeId::new("virtual-router", "default-global-system-config:tor-agent-1");
    let switch = NodeId::new("physical-router", "default-global-system-config:bms-tor1");
    let uuid = Element::new("uuid")
        .with(Element::leaf("uuid-mslong", "1234"))
        .with(Element::leaf("uuid-lslong", "5678"));
    let id_perms = Element::new("id-perms")
        .with(uuid)
        .with(Element::leaf("enable", "true"));
    let link = Link {
        kind: "physical-router-virtual-router".into(),
        ends: [router.clone(), switch.clone()],
    };
    insta::assert_snapshot!(written(
        Writer::of_control_node("tor-agent-1"),
        &[Stanza::Configuration(vec![
            Change::UpdateNode(Node {
                id: router,
                properties: vec![
                    Element::leaf("virtual-router-ip-address", "10.84.5.11"),
                    id_perms,
                    Element::leaf("display-name", "tor-agent-1"),
                ],
            }),
            Change::UpdateNode(Node {
                id: switch.clone(),
                properties: vec![]
            }),
            Change::UpdateLink(link.clone()),
            Change::DeleteLink(link),
            Change::DeleteNode(switch),
        ]),]
    ));
}

#[test]
fn what_grows_too_large_is_cut_into_stanzas_that_real_ends_take() {
    let (key, path) = mac_route();
    let items: Vec<_> = (0..1000)
        .map(|tag| {
            (
                Key {
                    ethernet_tag: tag,
                    ..key
                },
                path.clone(),
            )
        })
        .collect();
    let node = |name: u32| NodeId::new("virtual-network", format!("net-{name}"));
    let changes: Vec<_> = (0..100).map(|name| Change::DeleteNode(node(name))).collect();
    for (stanza, larger_than, stanzas) in [
        (
            Stanza::Items {
                instance: INSTANCE.into(),
                items,
            },
            20_000,
            20..60,
        ),
        (Stanza::Configuration(changes), 500, 7..8),
    ] {
        let mut out = String::new();
        Writer::of_control_node("tor-agent-1").write(&stanza, &mut out);
        let closing = if out.ends_with("</iq>") { "</iq>" } else { "</message>" };
        let parts: Vec<&str> = out.split_inclusive(closing).collect();
        assert!(stanzas.contains(&parts.len()), "{} stanzas", parts.len());
        let (last, full) = parts.split_last().expect("stanzas");
        assert!(full.iter().all(|part| (larger_than..40_000).contains(&part.len())));
        assert!(!last.is_empty());
        assert_eq!(joined(&parts), stanza);
    }
}

fn joined(parts: &[&str]) -> Stanza {
    let stanzas = parts.iter().flat_map(|part| read(part.as_bytes()).expect("a stanza"));
    let joined = stanzas.reduce(|left, right| match (left, right) {
        (Stanza::Items { instance, mut items }, Stanza::Items { items: more, .. }) => {
            items.extend(more);
            Stanza::Items { instance, items }
        }
        (Stanza::Configuration(mut changes), Stanza::Configuration(more)) => {
            changes.extend(more);
            Stanza::Configuration(changes)
        }
        other => panic!("{other:?}"),
    });
    joined.expect("stanzas")
}
