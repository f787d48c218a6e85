//! Sessions of clients: what each may do, and what remains when one ends.

use super::*;
use crate::bounds::CLIENT_QUEUE_BYTES;
use crate::close::{CloseReason, Fault};
use crate::event::LogEvent;

/// The reason of a closed connection.
fn why_closed(world: &World, conn: u64) -> Option<String> {
    let (_, why) = world.closed.iter().find(|(closed, _)| *closed == ConnId(conn))?;
    assert_eq!(why.fault.filter(|fault| *fault == Fault::OurBug), None);
    Some(why.to_string())
}

#[test]
fn every_subscriber_receives_a_route_and_its_retract_when_its_session_ends() {
    let mut world = World::with(&[1]);
    for (conn, name) in [(1, "agent-a"), (2, "agent-b")] {
        world.open(conn, name);
        world.subscribe(conn, 1);
    }
    world.publish(1, 1, mac(1), path(11));
    world.run_to_rest();
    assert_eq!(world.holds(1, 1), [(mac(1), vec![11])], "the originator too");
    assert_eq!(world.holds(2, 1), [(mac(1), vec![11])]);
    world.close(1);
    world.work();
    assert_eq!(world.holds(2, 1), []);
    assert!(world.node.status().networks[&named(1)].routes.is_empty());
}

#[test]
fn the_copy_of_the_other_agent_takes_the_place_of_the_route_without_a_retract() {
    let mut world = World::with(&[1]);
    for (conn, name) in [(1, "agent-a"), (2, "agent-b"), (3, "vrouter")] {
        world.open(conn, name);
        world.subscribe(conn, 1);
    }
    world.publish(1, 1, mac(1), path(11));
    let stale = Path {
        local_preference: 1,
        ..path(11)
    };
    world.publish(2, 1, mac(1), stale);
    world.run_to_rest();
    let status = world.node.status();
    let paths = &status.networks[&named(1)].routes[0].paths;
    let reasons: Vec<_> = paths.iter().map(|path| path.why_not.as_deref()).collect();
    assert_eq!(reasons, [None, Some("local preference 1 < 100")]);
    world.stanzas.clear();
    world.close(1);
    world.run_to_rest();
    let preferences: Vec<u32> = world.held[&ConnId(3)].values().map(|it| it.local_preference).collect();
    assert_eq!(preferences, [1]);
    assert!(matches!(world.stanzas[&ConnId(3)].as_slice(), [Stanza::Items { .. }]));
}

#[test]
fn an_agent_that_came_back_replaces_its_older_session_and_a_namesake_elsewhere_is_refused() {
    let mut world = World::with(&[1]);
    world.open(1, "agent-a");
    world.subscribe(1, 1);
    world.publish(1, 1, mac(1), path(11));
    world.open(2, "agent-a");
    assert_eq!(
        why_closed(&world, 1).as_deref(),
        Some("the same client has connected again, from 127.0.0.1:5000 (the environment)")
    );
    world.subscribe(2, 1);
    world.publish(2, 1, mac(1), path(12));
    world.close(1);
    world.run_to_rest();
    assert_eq!(world.holds(2, 1), [(mac(1), vec![12])], "the older session ended late");
    world.open_from(3, "agent-a", (address(9), 1).into());
    let why = why_closed(&world, 3).expect("closed");
    assert!(why.starts_with("a client of this name is connected already"), "{why}");
    assert_eq!(why_closed(&world, 2), None);
    let status = world.node.status();
    assert_eq!(status.clients.len(), 1);
    let closed: Vec<_> = status.closed.iter().collect();
    assert_eq!(closed, [(CloseReason::Replaced, 1), (CloseReason::NameTaken, 1)]);
}

#[test]
fn a_client_that_breaks_the_protocol_is_closed_with_a_reason() {
    let subscribe = || Stanza::Subscribe {
        instance: named(1),
        instance_id: 1,
        no_ribout: false,
        number: Some(1),
    };
    let publish = || Stanza::Publish {
        node: mac(1).node(),
        route: Box::new((mac(1), path(11))),
    };
    let collection = || Stanza::Collection {
        instance: named(1),
        associate: true,
        node: mac(1).node(),
    };
    let unsubscribe = || Stanza::Unsubscribe { instance: named(1) };
    let stories = [
        vec![subscribe(), subscribe()],
        vec![unsubscribe()],
        vec![publish(), collection()],
        vec![subscribe(), unsubscribe(), publish(), collection()],
        vec![Stanza::Configuration(Vec::new())],
    ];
    let mut reasons = Vec::new();
    for story in stories {
        let mut world = World::with(&[1]);
        world.open(1, "agent-a");
        story.into_iter().for_each(|stanza| world.send(1, stanza));
        reasons.push(why_closed(&world, 1).expect("closed"));
        assert!(world.node.status().clients.is_empty());
    }
    insta::assert_snapshot!(reasons.join("\n"));
}

#[test]
fn a_refused_publication_is_counted_and_ends_nothing() {
    let mut world = World::with(&[1]);
    world.open(1, "agent-a");
    world.subscribe(1, 1);
    world.publish(1, 1, mac(1), path(11));
    let hops = |next_hops| Path { next_hops, ..path(1) };
    world.publish(1, 1, mac(1), hops(Vec::new()));
    world.publish(1, 1, mac(2), hops(vec![NextHop::vxlan(address(1), vni()); 2]));
    world.publish(1, 1, mac(3), hops(vec![NextHop::vxlan(Ipv4Addr::UNSPECIFIED, vni())]));
    world.publish(1, 1, Key::of_mac(vni(), Mac([0; 6])), path(11));
    world.send(
        1,
        Stanza::Publish {
            node: mac(1).node(),
            route: Box::new((mac(1), path(11))),
        },
    );
    let node = mac(2).node();
    world.send(
        1,
        Stanza::Collection {
            instance: named(1),
            associate: true,
            node,
        },
    );
    let configuration = |kind: &str| Stanza::SubscribeConfiguration {
        kind: kind.into(),
        name: format!("{GLOBAL}:agent-a").into(),
        compact: false,
        in_force: None,
    };
    world.send(1, configuration("virtual-machine"));
    world.send(1, configuration("virtual-router"));
    world.send(1, configuration("virtual-router"));
    world.run_to_rest();
    assert_eq!(
        world.holds(1, 1),
        [],
        "a bad publication of a route replaces the good one"
    );
    let status = world.node.status();
    let refused: Vec<_> = status.clients[&"agent-a".into()].refused.clone().into_iter().collect();
    assert_eq!(
        refused,
        [
            (Refusal::NextHops, 2),
            (Refusal::UnspecifiedNextHop, 1),
            (Refusal::NoMac, 1),
            (Refusal::Unpaired, 1),
            (Refusal::Configuration, 2),
        ]
    );
    let events = world.events.iter().filter(|event| event.word() == "RouteRefused");
    assert_eq!(events.count(), 7);
    assert_eq!(world.closed, []);
}

#[test]
fn a_route_that_is_published_before_its_network_is_configured_counts_when_it_is() {
    let mut world = World::with(&[1]);
    for (conn, name) in [(1, "agent-a"), (2, "agent-b")] {
        world.open(conn, name);
        world.subscribe(conn, 2);
    }
    world.publish(1, 2, mac(1), path(11));
    world.publish(1, 2, mac(2), path(11));
    world.withdraw(1, 2, mac(2));
    world.run_to_rest();
    assert_eq!((world.holds(2, 2), world.stanzas.len()), (vec![], 0), "not even an end");
    world.handle(Input::Configure(inventory(2, &[1, 2])));
    world.run_to_rest();
    assert_eq!(world.holds(2, 2), [(mac(1), vec![11])]);
    assert_eq!(world.stanzas[&ConnId(2)].last(), Some(&Stanza::EndOfRib));
    world.handle(Input::Configure(inventory(3, &[1])));
    world.run_to_rest();
    assert_eq!(world.holds(2, 2), []);
    world.handle(Input::Configure(inventory(4, &[1, 2])));
    world.run_to_rest();
    assert_eq!(
        world.holds(2, 2),
        [(mac(1), vec![11])],
        "no client has to publish it again"
    );
}

#[test]
fn one_owner_of_a_switch_is_right_and_any_other_number_is_a_warning() {
    let mut world = World::with(&[1]);
    let broadcast = Key::of_broadcast(vni(), address(11));
    for (conn, name) in [(1, "agent-a"), (2, "agent-b")] {
        world.open(conn, name);
        world.subscribe(conn, 1);
    }
    let stale = Path {
        local_preference: 1,
        ..path(11)
    };
    world.publish(2, 1, broadcast, stale);
    world.publish(1, 1, broadcast, path(11));
    world.publish(2, 1, broadcast, path(11));
    world.close(1);
    world.work();
    world.withdraw(2, 1, broadcast);
    let alarms: Vec<_> = world
        .events
        .iter()
        .filter(|event| event.word() == "SwitchOwner")
        .map(|event| format!("{:?} {event}", event.level()))
        .collect();
    insta::assert_snapshot!(alarms.join("\n"));
}

#[test]
fn a_no_ribout_client_receives_only_the_end_of_rib() {
    let mut world = World::with(&[1]);
    world.open(1, "agent-a");
    world.send(
        1,
        Stanza::Subscribe {
            instance: named(1),
            instance_id: 1,
            no_ribout: true,
            number: Some(2),
        },
    );
    world.publish(1, 1, mac(1), path(11));
    world.run_to_rest();
    assert_eq!(world.stanzas[&ConnId(1)], [Stanza::EndOfRib]);
}

#[test]
fn a_no_ribout_resubscription_receives_retracts_and_no_routes() {
    let mut world = World::with(&[1]);
    world.open(1, "agent-a");
    world.subscribe(1, 1);
    world.publish(1, 1, mac(1), path(11));
    world.run_to_rest();
    assert_eq!(world.held[&ConnId(1)].len(), 1);
    world.open(2, "agent-b");
    world.subscribe(2, 1);
    world.publish(2, 1, mac(2), path(12));
    world.run_to_rest();
    world.stanzas.clear();
    world.unsubscribe(1, 1);
    world.send(
        1,
        Stanza::Subscribe {
            instance: named(1),
            instance_id: 1,
            no_ribout: true,
            number: Some(2),
        },
    );
    world.run_to_rest();
    assert_eq!(world.held[&ConnId(1)], BTreeMap::new());
    let is_items = |stanza: &Stanza| matches!(stanza, Stanza::Items { .. });
    assert!(!world.stanzas[&ConnId(1)].iter().any(is_items));
}

#[test]
fn an_end_of_rib_has_the_number_of_its_subscription_and_an_ended_subscription_has_none() {
    let mut world = World::with(&[1, 2]);
    world.open(1, "agent-a");
    world.subscribe(1, 1);
    world.unsubscribe(1, 1);
    let present = world.subscribe(1, 1);
    world.publish(1, 1, mac(1), path(11));
    world.run_to_rest();
    let sent = world.stanzas.remove(&ConnId(1)).unwrap_or_default();
    let [Stanza::Items { .. }, end, Stanza::EndOfRib] = sent.as_slice() else {
        panic!("{sent:?}");
    };
    assert_eq!(*end, end_of_rib(1, present));
    world.unsubscribe(1, 1);
    let next = world.subscribe(1, 1);
    world.run_to_rest();
    let sent = world.stanzas.remove(&ConnId(1)).unwrap_or_default();
    let [Stanza::Retracts { .. }, end, Stanza::EndOfRib] = sent.as_slice() else {
        panic!("{sent:?}");
    };
    assert_eq!(*end, end_of_rib(1, next), "the retracts of the earlier one precede it");
}

#[test]
fn a_client_that_numbers_nothing_receives_only_the_end_of_rib_of_its_session() {
    let mut world = World::with(&[1]);
    world.open(1, "an-older-agent");
    world.send(1, subscription(1, None));
    world.publish(1, 1, mac(1), path(11));
    world.run_to_rest();
    let sent = &world.stanzas[&ConnId(1)];
    assert!(
        matches!(sent.as_slice(), [Stanza::Items { .. }, Stanza::EndOfRib]),
        "{sent:?}"
    );
}

/// So they are no more than the subscriptions that a client may have at once: before they are gone, it receives no routes
/// that it could unsubscribe.
#[test]
fn retracts_of_ended_subscriptions_precede_everything_else() {
    let mut world = World::with(&[1, 2, 3]);
    world.open(1, "agent-a");
    for number in [1, 2, 3] {
        world.subscribe(1, number);
        world.publish(1, number, mac(number), path(11));
    }
    world.unsubscribe(1, 1);
    world.run_to_rest();
    world.stanzas.clear();
    world.sent(1, CLIENT_QUEUE_BYTES);
    world.publish(1, 3, mac(4), path(11));
    // `blue` precedes `green` and `red`.
    world.subscribe(1, 1);
    world.publish(1, 1, mac(1), path(11));
    world.unsubscribe(1, 2);
    world.unsubscribe(1, 3);
    world.sent(1, 0);
    world.run_to_rest();
    let sent = world.stanzas[&ConnId(1)].iter().map(|stanza| match stanza {
        Stanza::Items { instance, .. } => format!("items {instance}"),
        Stanza::Retracts { instance, .. } => format!("retracts {instance}"),
        Stanza::InstanceEndOfRib { instance, .. } => format!("end {instance}"),
        Stanza::EndOfRib => "end".into(),
        other @ (Stanza::Subscribe { .. }
        | Stanza::Unsubscribe { .. }
        | Stanza::Publish { .. }
        | Stanza::Collection { .. }
        | Stanza::SubscribeConfiguration { .. }
        | Stanza::Configuration(_)
        | Stanza::Unreadable { .. }) => panic!("{other:?}"),
    });
    insta::assert_snapshot!(sent.collect::<Vec<_>>().join("\n"));
    assert!(
        world
            .node
            .clients
            .iter()
            .all(|(_, client)| client.unsubscribing.is_empty())
    );
}
