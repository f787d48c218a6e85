//! Every stanza that is written is read back.

use std::net::{IpAddr, Ipv4Addr};

use proptest::collection::vec;
use proptest::prelude::*;
use tandem_core::Mac;
use tandem_core::evpn::{Encapsulations, Key, NextHop, Path};
use tandem_core::xmpp::graph::{Change, Link, Node, NodeId};
use tandem_core::xmpp::{Element, Stanza, Writer, read};

/// Every character that XML has, those that need escaping more often.
fn text() -> impl Strategy<Value = String> {
    let character = prop_oneof![
        3 => "[a-z:]",
        2 => "[<>&\"'\\]\t\n\r]",
        1 => any::<char>().prop_filter("a character of XML", |c| {
            matches!(c, ' '..='\u{fffd}' | '\u{10000}'..)
        }).prop_map(String::from),
    ];
    vec(character, 0..8).prop_map(|characters| characters.concat())
}

/// Not empty, and without blanks around it.
fn name() -> impl Strategy<Value = String> {
    text().prop_map(|text| format!("n{text}n"))
}

fn key() -> impl Strategy<Value = Key> {
    let mac = any::<[u8; 6]>().prop_filter("a MAC", |mac| *mac != [0; 6]);
    (any::<u32>(), mac, any::<IpAddr>()).prop_map(|(ethernet_tag, mac, address)| Key {
        ethernet_tag,
        mac: Mac(mac),
        address,
    })
}

fn address() -> impl Strategy<Value = Ipv4Addr> {
    any::<Ipv4Addr>().prop_filter("somewhere", |address| !address.is_unspecified())
}

fn next_hop() -> impl Strategy<Value = NextHop> {
    let encapsulations = any::<[bool; 4]>().prop_map(|[gre, udp, vxlan, unknown]| Encapsulations {
        gre,
        udp,
        vxlan,
        unknown,
    });
    (address(), any::<u32>(), encapsulations, vec(any::<u32>(), 0..3)).prop_map(
        |(address, label, encapsulations, tags)| NextHop {
            address,
            label,
            encapsulations,
            tags,
        },
    )
}

fn path(next_hops: std::ops::Range<usize>) -> impl Strategy<Value = Path> {
    let lists = (
        vec(next_hop(), next_hops),
        vec(next_hop(), 0..3),
        vec(next_hop(), 0..3),
        vec(any::<u32>(), 0..3),
    );
    let numbers = any::<[u32; 3]>();
    (lists, name(), numbers, any::<[bool; 4]>(), prop::option::of(address())).prop_map(
        |((next_hops, olist, leaf_olist, security_groups), virtual_network, numbers, flags, replicator)| Path {
            next_hops,
            olist,
            leaf_olist,
            virtual_network,
            sequence: numbers[0],
            sticky: flags[0],
            security_groups,
            local_preference: numbers[1],
            med: numbers[2],
            edge_replication_not_supported: flags[1],
            assisted_replication_supported: flags[2],
            replicator,
            etree_leaf: flags[3],
        },
    )
}

fn element() -> impl Strategy<Value = Element> {
    let attributes = || {
        prop::option::of(text()).prop_map(|value| value.map(|value| ("a".into(), value.into())).into_iter().collect())
    };
    let tag = || "[a-z][a-z0-9-]{0,8}".prop_filter("a property", |tag| tag != "name");
    let leaf = (tag(), attributes(), text()).prop_map(|(name, attributes, text)| Element {
        attributes,
        ..Element::leaf(&name, text)
    });
    leaf.prop_recursive(3, 12, 3, move |inner| {
        (tag(), attributes(), vec(inner, 1..3)).prop_map(|(name, attributes, children)| Element {
            attributes,
            children,
            ..Element::new(&name)
        })
    })
}

fn change() -> impl Strategy<Value = Change> {
    let id = || (name(), name()).prop_map(|(kind, name)| NodeId::new(&kind, name));
    let link = || {
        (name(), id(), id()).prop_map(|(kind, left, right)| Link {
            kind: kind.into(),
            ends: [left, right],
        })
    };
    prop_oneof![
        (id(), vec(element(), 0..3)).prop_map(|(id, properties)| Change::UpdateNode(Node { id, properties })),
        id().prop_map(Change::DeleteNode),
        link().prop_map(Change::UpdateLink),
        link().prop_map(Change::DeleteLink),
    ]
}

fn stanza() -> impl Strategy<Value = Stanza> {
    prop_oneof![
        (name(), any::<u32>(), any::<bool>(), any::<Option<u64>>()).prop_map(
            |(instance, instance_id, no_ribout, number)| Stanza::Subscribe {
                instance: instance.into(),
                instance_id,
                no_ribout,
                number,
            }
        ),
        (name(), any::<u64>()).prop_map(|(instance, subscription)| Stanza::InstanceEndOfRib {
            instance: instance.into(),
            subscription,
        }),
        name().prop_map(|instance| Stanza::Unsubscribe {
            instance: instance.into()
        }),
        (key(), path(1..2)).prop_map(|route| Stanza::Publish {
            node: route.0.node(),
            route: Box::new(route)
        }),
        (name(), any::<bool>(), key()).prop_map(|(instance, associate, key)| Stanza::Collection {
            instance: instance.into(),
            associate,
            node: key.node(),
        }),
        ("[a-z-]{1,9}", name(), any::<bool>(), any::<Option<u64>>()).prop_map(|(kind, name, compact, in_force)| {
            Stanza::SubscribeConfiguration {
                kind: kind.into(),
                name: name.into(),
                compact,
                in_force,
            }
        }),
        (name(), vec((key(), path(0..3)), 1..4)).prop_map(|(instance, items)| Stanza::Items {
            instance: instance.into(),
            items
        }),
        (name(), vec(key(), 1..4)).prop_map(|(instance, keys)| Stanza::Retracts {
            instance: instance.into(),
            keys
        }),
        Just(Stanza::EndOfRib),
        vec(change(), 1..6).prop_map(Stanza::Configuration),
    ]
}

proptest! {
    #[test]
    fn what_either_end_writes_is_read_back(stanza in stanza(), agent in name()) {
        for mut writer in [Writer::of_agent(&agent), Writer::of_control_node(&agent)] {
            let mut out = String::new();
            writer.write(&stanza, &mut out);
            prop_assert_eq!(read(out.as_bytes()), Ok(vec![stanza.clone()]), "{}", out);
        }
    }

    #[test]
    fn broken_stanzas_are_errors_at_worst(stanza in stanza(), at: prop::sample::Index, taken in 0_usize..20, put in ".{0,3}") {
        let mut out = String::new();
        Writer::of_agent("a").write(&stanza, &mut out);
        let mut bytes = out.into_bytes();
        let at = at.index(bytes.len() + 1);
        bytes.splice(at..(at + taken).min(bytes.len()), put.bytes());
        let _ = read(&bytes);
    }
}
