//! Who may open a session, and which tunnel ends a client may publish.

use super::*;
use crate::identity::IdentityRule;
use crate::machine::Fingerprint;

/// `agent-a` and `agent-b` serve `tor1` at the tunnel end 11; the services node of it is `tsn-a`; vRouters are listed.
fn strict(revision: u64, change: impl FnOnce(&mut Inventory)) -> Input {
    let mut inventory = Inventory::clone(&inventory(revision, &[1]));
    let vrouters = ListedClient {
        name: "vrouter-*".into(),
        certificates: Vec::new(),
        next_hops: vec!["192.0.2.64/26".parse().expect("a prefix")],
    };
    inventory.access = Access {
        listed: vec![vrouters],
        ..Access::default()
    };
    change(&mut inventory);
    Input::Configure(Arc::new(inventory))
}

fn world() -> World {
    let mut world = World::default();
    world.handle(strict(1, |_| {}));
    world
}

fn certificate(name: &str, byte: u8) -> Option<Certificate> {
    Some(Certificate {
        fingerprint: Fingerprint([byte; 32]),
        names: vec![name.into()],
        identities: vec![name.into()],
        not_after_unix_s: 0,
        pinned_only: false,
    })
}

fn from(last: u8) -> SocketAddr {
    (address(last), 5000).into()
}

/// Reasons of the sessions that were closed.
fn reasons(world: &World) -> Vec<CloseReason> {
    world.closed.iter().map(|(_, why)| why.reason).collect()
}

/// The tunnel ends at which the route of a MAC is known.
fn ends(world: &World, last: u8) -> Vec<Ipv4Addr> {
    let network = &world.node.status().networks[&named(1)];
    let route = network.routes.iter().find(|route| route.route == mac(last));
    route
        .map(|route| route.paths.iter().flat_map(|path| path.next_hops.clone()).collect())
        .unwrap_or_default()
}

#[test]
fn a_client_that_the_inventory_does_not_name_is_refused_with_the_remedy() {
    let mut world = world();
    world.open_with(1, "intruder", from(1), certificate("intruder", 1));
    assert_eq!(reasons(&world), [CloseReason::UnknownClient]);
    let why = &world.closed[0].1.detail;
    for part in [
        "certificate of intruder (sha256:0101",
        "`[[client]]`",
        "unknown_clients",
    ] {
        assert!(why.contains(part), "{why}");
    }
    assert!(matches!(world.events.last(), Some(Event::ClientRefused { .. })));
    for (conn, name) in [(2, "agent-a"), (3, "tsn-a"), (4, "vrouter-9")] {
        world.open_with(conn, name, from(2), certificate(name, 2));
    }
    assert_eq!(world.node.status().clients.len(), 3);
}

#[test]
fn unknown_clients_may_be_accepted_and_publish_their_own_address_only() {
    let mut world = World::default();
    world.handle(strict(1, |it| it.access.unknown = UnknownClients::Accept));
    world.open_with(1, "guest", from(7), certificate("guest", 1));
    world.subscribe(1, 1);
    world.publish(1, 1, mac(1), path(7));
    world.publish(1, 1, mac(2), path(11));
    assert_eq!((ends(&world, 1), ends(&world, 2)), (vec![address(7)], vec![]));
}

#[test]
fn a_certificate_of_another_name_is_refused_and_the_live_session_stays() {
    let mut world = world();
    world.open_with(1, "agent-a", from(1), certificate("agent-a", 1));
    world.subscribe(1, 1);
    world.publish(1, 1, mac(1), path(11));
    world.open_with(2, "agent-a", from(1), certificate("agent-b", 2));
    world.open_with(3, "agent-a", from(1), certificate("agent-a", 3));
    assert_eq!(reasons(&world), [CloseReason::WrongCertificate, CloseReason::NameTaken]);
    assert_eq!(ends(&world, 1), [address(11)]);
    world.open_with(4, "agent-a", from(1), certificate("agent-a", 1));
    assert_eq!(
        world.closed[2].0,
        ConnId(1),
        "the same certificate replaces its session"
    );
}

#[test]
fn listed_certificates_replace_the_name_and_a_withdrawn_one_ends_the_session() {
    let listed = |byte| ListedClient {
        name: "agent-*".into(),
        certificates: vec![IdentityRule::Pinned(Fingerprint([byte; 32]))],
        next_hops: Vec::new(),
    };
    let mut world = World::default();
    world.handle(strict(1, |it| it.access.listed.push(listed(5))));
    world.open_with(1, "agent-a", from(1), certificate("agent", 5));
    world.open_with(2, "agent-b", from(2), certificate("agent-b", 6));
    assert_eq!(reasons(&world), [CloseReason::WrongCertificate]);
    assert!(world.node.has_client("agent-a"));
    world.handle(strict(2, |it| it.access.listed.push(listed(6))));
    assert_eq!(reasons(&world)[1..], [CloseReason::WrongCertificate]);
    assert!(!world.node.has_client("agent-a"));
}

#[test]
fn a_foreign_tunnel_end_is_refused_and_named_and_every_other_route_travels() {
    let mut world = world();
    world.open_with(1, "agent-a", from(1), certificate("agent-a", 1));
    world.open_with(2, "vrouter-1", from(2), certificate("vrouter-1", 2));
    world.subscribe(1, 1);
    world.subscribe(2, 1);
    world.publish(1, 1, mac(1), path(11));
    world.publish(1, 1, mac(2), path(12));
    world.publish(2, 1, mac(3), path(65));
    world.publish(2, 1, mac(4), path(11));
    // A route that moves to a foreign tunnel end is no longer at the old one.
    world.publish(2, 1, mac(5), path(66));
    world.publish(2, 1, mac(5), path(11));
    assert_eq!(ends(&world, 1), [address(11)]);
    assert_eq!(ends(&world, 3), [address(65)]);
    for foreign in [2, 4, 5] {
        assert!(ends(&world, foreign).is_empty(), "{foreign}");
    }
    let status = world.node.status();
    let refused = |name: &str| &status.clients[&ClientName::from(name)];
    assert_eq!(refused("agent-a").refused, [(Refusal::ForeignNextHop, 1)].into());
    assert_eq!(refused("agent-a").foreign_next_hops, [address(12)].into());
    assert_eq!(refused("vrouter-1").refused, [(Refusal::ForeignNextHop, 2)].into());
    let lines = world
        .events
        .iter()
        .filter(|it| matches!(it, Event::RouteRefused { .. }));
    assert_eq!(lines.count(), 3);
    world.close(1);
    world.close(2);
    world.run_to_rest();
    assert!(world.node.publishers().is_empty());
}

#[test]
fn a_broadcast_route_of_a_foreign_switch_shows_no_owner() {
    let mut world = world();
    world.open_with(2, "vrouter-1", from(2), certificate("vrouter-1", 2));
    world.subscribe(2, 1);
    world.publish(2, 1, Key::of_broadcast(vni(), address(11)), path(65));
    assert!(
        world
            .node
            .status()
            .switches
            .values()
            .all(|it| it.owners.values().all(Vec::is_empty))
    );
}

#[test]
fn an_agent_at_another_tunnel_end_is_named_where_its_switch_has_no_owner() {
    let mut world = world();
    world.open_with(1, "agent-a", from(1), certificate("agent-a", 1));
    world.subscribe(1, 1);
    world.publish(1, 1, Key::of_broadcast(vni(), address(12)), path(12));
    let elsewhere = |world: &World| {
        let switches = world.node.status().switches;
        let elsewhere = switches.into_values().flat_map(|it| it.elsewhere);
        elsewhere.flat_map(|(_, claims)| claims).collect::<Vec<_>>()
    };
    assert_eq!(elsewhere(&world), [(ClientName::from("agent-a"), address(12))]);
    world.publish(1, 1, Key::of_broadcast(vni(), address(11)), path(11));
    assert!(elsewhere(&world).is_empty(), "it owns the switch");
}

#[test]
fn a_publication_waits_until_the_inventory_gives_its_tunnel_end_to_the_client() {
    let moved = |it: &mut Inventory| {
        let switch = it.switches.values_mut().next().expect("tor1");
        switch.switch.vtep = Some(address(12));
    };
    let mut world = world();
    world.open_with(1, "agent-a", from(1), certificate("agent-a", 1));
    world.subscribe(1, 1);
    world.publish(1, 1, mac(1), path(11));
    world.publish(1, 1, mac(2), path(12));
    world.handle(strict(2, moved));
    assert_eq!((ends(&world, 1), ends(&world, 2)), (vec![], vec![address(12)]));
    world.handle(strict(3, |_| {}));
    assert_eq!((ends(&world, 1), ends(&world, 2)), (vec![address(11)], vec![]));
}

#[test]
fn an_agent_that_serves_no_switch_any_more_keeps_its_session_and_publishes_nothing() {
    let mut world = world();
    world.open_with(1, "agent-a", from(1), certificate("agent-a", 1));
    world.subscribe(1, 1);
    world.publish(1, 1, mac(1), path(11));
    world.handle(strict(2, |it| it.switches.clear()));
    assert_eq!(reasons(&world), []);
    assert!(ends(&world, 1).is_empty());
    world.open_with(2, "agent-b", from(2), certificate("agent-b", 2));
    assert_eq!(reasons(&world), [CloseReason::UnknownClient]);
}

#[test]
fn another_client_that_the_inventory_names_no_longer_loses_its_session() {
    let mut world = world();
    for (conn, name) in [(1, "agent-a"), (2, "tsn-a"), (3, "vrouter-1")] {
        world.open_with(conn, name, from(2), certificate(name, 2));
        world.subscribe(conn, 1);
    }
    world.publish(3, 1, mac(1), path(65));
    world.handle(strict(2, |it| it.access.listed.clear()));
    assert_eq!(reasons(&world), [CloseReason::UnknownClient]);
    assert!(!world.node.has_client("vrouter-1"));
    world.work();
    assert!(ends(&world, 1).is_empty());
    world.handle(strict(3, |it| it.switches.clear()));
    world.handle(strict(4, |it| it.switches.clear()));
    assert_eq!(reasons(&world).len(), 2, "the services node");
    assert!(world.node.has_client("agent-a"), "it receives that it serves no switch");
    world.handle(strict(5, |it| it.access.unknown = UnknownClients::Accept));
    world.open_with(4, "guest", from(7), certificate("guest", 1));
    world.handle(strict(6, |_| {}));
    assert!(!world.node.has_client("guest"));
}

#[test]
fn before_the_first_inventory_only_the_name_in_the_certificate_counts() {
    let mut world = World::default();
    world.open_with(1, "agent-a", from(1), certificate("agent-a", 1));
    world.open_with(2, "intruder", from(2), certificate("intruder", 2));
    world.open_with(3, "agent-b", from(3), certificate("intruder", 2));
    assert_eq!(reasons(&world), [CloseReason::WrongCertificate]);
    for conn in [1, 2] {
        world.subscribe(conn, 1);
        world.publish(conn, 1, mac(1), path(11));
    }
    world.handle(strict(1, |_| {}));
    assert_eq!(reasons(&world)[1..], [CloseReason::UnknownClient]);
    assert_eq!(ends(&world, 1), [address(11)]);
}

#[test]
fn a_client_receives_no_configuration_of_another() {
    let mut world = world();
    world.open_with(1, "vrouter-1", from(1), certificate("vrouter-1", 1));
    let name = crate::contrail_schema::virtual_router("agent-a");
    let kind = crate::contrail_schema::kind::VIRTUAL_ROUTER.into();
    world.send(
        1,
        Stanza::SubscribeConfiguration {
            kind,
            name: name.into(),
            compact: true,
            in_force: None,
        },
    );
    world.run_to_rest();
    assert_eq!(world.changes.get(&ConnId(1)), None);
    let status = world.node.status();
    assert_eq!(
        status.clients[&ClientName::from("vrouter-1")].refused,
        [(Refusal::Configuration, 1)].into()
    );
}
