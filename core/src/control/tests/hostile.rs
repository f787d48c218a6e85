//! Clients that may open a session and send what no honest one does: the others are as well off as before.

use super::*;
use crate::bounds::{BROADCASTS_PER_TUNNEL_END, INSTANCE_NAME_BYTES, SECURITY_GROUPS, STANZA_BYTES, TAGS};
use crate::ids::Vni;
use crate::xmpp::Writer;

/// `agent-a` and `agent-b`, both subscribed to `blue`.
fn two_agents() -> World {
    let mut world = World::with(&[1]);
    for (conn, name) in [(1, "agent-a"), (2, "agent-b")] {
        world.open(conn, name);
        world.subscribe(conn, 1);
    }
    world
}

fn refused(world: &World, refusal: Refusal) -> u64 {
    let refused = &world.node.status().clients[&ClientName::from("agent-a")].refused;
    refused.get(&refusal).copied().unwrap_or_default()
}

fn with_lists(groups: usize, tags: usize) -> Path {
    let numbers = |count: usize| (0..u32::try_from(count).expect("few")).collect();
    let mut path = path(11);
    path.security_groups = numbers(groups);
    path.next_hops[0].tags = numbers(tags);
    path
}

/// Each stanza that a client was sent is one that its framer takes.
fn assert_readable(world: &World, conn: u64) {
    let mut writer = Writer::of_control_node("agent-b");
    for stanza in world.stanzas.get(&ConnId(conn)).into_iter().flatten() {
        let mut out = String::new();
        writer.write(stanza, &mut out);
        let longest = out
            .split_inclusive("</message>")
            .map(str::len)
            .max()
            .unwrap_or_default();
        assert!(longest < STANZA_BYTES, "{longest} bytes");
    }
}

#[test]
fn a_route_with_endless_lists_is_refused_and_nobody_loses_a_session_by_it() {
    let mut world = two_agents();
    world.publish(1, 1, mac(1), with_lists(30_000, 0));
    world.publish(1, 1, mac(2), with_lists(0, 90_000));
    world.publish(1, 1, mac(3), with_lists(SECURITY_GROUPS + 1, 0));
    world.publish(1, 1, mac(4), with_lists(0, TAGS + 1));
    world.publish(1, 1, mac(5), with_lists(SECURITY_GROUPS, TAGS));
    world.run_to_rest();
    assert_readable(&world, 2);
    assert_eq!(world.holds(2, 1), [(mac(5), vec![11])]);
    assert_eq!(refused(&world, Refusal::Lists), 4);
}

#[test]
fn a_list_of_members_is_for_the_control_node_to_make() {
    let mut world = two_agents();
    let hops: Vec<NextHop> = path(99).next_hops.into_iter().cycle().take(4000).collect();
    let lists = Path {
        olist: hops.clone(),
        leaf_olist: hops,
        ..path(11)
    };
    world.publish(1, 1, mac(1), lists);
    world.run_to_rest();
    assert_readable(&world, 2);
    let (_, sent) = world.held[&ConnId(2)].iter().next().expect("the route");
    assert!(sent.olist.is_empty() && sent.leaf_olist.is_empty());
}

#[test]
fn a_client_has_few_broadcast_routes_at_one_tunnel_end() {
    let mut world = two_agents();
    for number in 1..=20 {
        let key = Key::of_broadcast(Vni::new(number).expect("a VNI"), Ipv4Addr::UNSPECIFIED);
        world.publish(1, 1, key, path(11));
        world.publish(1, 1, key, path(11));
    }
    let another = Key::of_broadcast(Vni::new(99).expect("a VNI"), Ipv4Addr::UNSPECIFIED);
    world.publish(1, 1, another, path(12));
    let broadcasts = world.node.status().networks[&named(1)].broadcasts.len();
    assert_eq!(broadcasts, BROADCASTS_PER_TUNNEL_END + 1);
    assert_eq!(refused(&world, Refusal::Broadcasts), 2 * (20 - 4));
}

#[test]
fn an_instance_with_an_endless_name_ends_the_session() {
    let mut world = two_agents();
    let subscribe = |bytes: usize| Stanza::Subscribe {
        instance: "n".repeat(bytes).into(),
        instance_id: 1,
        no_ribout: false,
        number: None,
    };
    world.send(1, subscribe(INSTANCE_NAME_BYTES));
    assert!(world.closed.is_empty());
    world.send(1, subscribe(INSTANCE_NAME_BYTES + 1));
    assert_eq!(world.closed[0].1.reason, CloseReason::BoundExceeded);
}
