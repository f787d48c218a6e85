//! The pace of the fan-out, and slow clients.

use super::*;
use crate::bounds::{CLIENT_QUEUE_BYTES, ITEMS_PER_MESSAGE, LOOKS_PER_STEP, SLOW_CLIENT, UNSENT_RETRACTS};

fn many(number: u32) -> Key {
    let [_, a, b, c] = number.to_be_bytes();
    Key::of_mac(vni(), Mac([2, 0, 0, a, b, c]))
}

fn pair() -> World {
    let mut world = World::with(&[1]);
    for (conn, name) in [(1, "agent-a"), (2, "agent-b")] {
        world.open(conn, name);
        world.subscribe(conn, 1);
    }
    world.run_to_rest();
    world
}

#[test]
fn routes_share_messages_and_a_step_is_bounded() {
    let mut world = pair();
    world.stanzas.clear();
    let routes = 10 * LOOKS_PER_STEP as u32;
    (0..routes).for_each(|number| world.publish(1, 1, many(number), path(11)));
    let mut steps = 0;
    while let Some(deadline) = world.node.poll_timeout() {
        let before = world.stanzas.values().map(Vec::len).sum::<usize>();
        world.now = deadline.at;
        world.handle(Input::Timeout);
        let sent = world.stanzas.values().map(Vec::len).sum::<usize>() - before;
        assert!(
            sent <= 2 * LOOKS_PER_STEP / ITEMS_PER_MESSAGE,
            "{sent} messages in one step"
        );
        // The driver is quick.
        world.sent(1, 0);
        world.sent(2, 0);
        steps += 1;
    }
    assert!(steps >= 20, "{steps}");
    assert_eq!(world.holds(2, 1).len(), routes as usize);
    let messages = world.stanzas[&ConnId(2)].len();
    assert_eq!(messages, routes as usize / ITEMS_PER_MESSAGE);
}

#[test]
fn a_slow_client_delays_no_other_and_receives_each_route_once_at_its_newest() {
    let mut world = pair();
    world.stanzas.clear();
    world.sent(2, CLIENT_QUEUE_BYTES);
    for sequence in 0..50 {
        (0..20).for_each(|number| {
            world.publish(1, 1, mac(number), Path { sequence, ..path(11) });
        });
        world.work();
    }
    assert_eq!(world.holds(1, 1).len(), 20);
    assert!(!world.stanzas.contains_key(&ConnId(2)));
    world.sent(2, 0);
    world.work();
    let sequences = world.held[&ConnId(2)].values().map(|path| path.sequence);
    assert_eq!(sequences.collect::<Vec<_>>(), vec![49; 20]);
    assert_eq!(world.stanzas[&ConnId(2)].len(), 1);
}

#[test]
fn a_client_that_reads_nothing_for_too_long_is_closed_and_one_that_reads_little_is_not() {
    let mut world = pair();
    world.sent(1, 2 * CLIENT_QUEUE_BYTES);
    world.sent(2, 2 * CLIENT_QUEUE_BYTES);
    world.now = world.now + SLOW_CLIENT / 2;
    world.sent(1, 2 * CLIENT_QUEUE_BYTES - 1);
    world.sent(2, 2 * CLIENT_QUEUE_BYTES);
    world.now = world.now + SLOW_CLIENT / 2;
    world.handle(Input::Timeout);
    let closed: Vec<_> = world
        .closed
        .iter()
        .map(|(conn, why)| (conn.0, why.to_string()))
        .collect();
    let why = "it took nothing of a full queue for 30 s (the peer misbehaved)";
    assert_eq!(closed, [(2, why.into())]);
}

#[test]
fn what_is_kept_for_a_slow_client_is_bounded() {
    let mut world = pair();
    world.publish(1, 1, many(0), path(11));
    world.work();
    world.sent(2, CLIENT_QUEUE_BYTES);
    for number in 1..=UNSENT_RETRACTS as u32 + 1 {
        world.publish(1, 1, many(number), path(11));
        world.withdraw(1, 1, many(number));
        if number % 1024 == 0 {
            world.work();
            world.sent(1, 0);
        }
    }
    world.work();
    let closed: Vec<_> = world.closed.iter().map(|(conn, _)| conn.0).collect();
    assert_eq!(closed, [2]);
    assert_eq!(world.holds(1, 1).len(), 1);
}

#[test]
fn the_end_of_rib_follows_every_route_and_again_after_more_subscriptions() {
    let mut world = World::with(&[1, 2]);
    world.open(1, "agent-a");
    world.subscribe(1, 1);
    world.publish(1, 1, mac(1), path(11));
    world.work();
    world.subscribe(1, 2);
    world.run_to_rest();
    let ends = |world: &World| {
        let received = &world.stanzas[&ConnId(1)];
        assert_eq!(received.last(), Some(&Stanza::EndOfRib));
        received.iter().filter(|stanza| **stanza == Stanza::EndOfRib).count()
    };
    assert_eq!(ends(&world), 1);
    world.subscribe(1, 3);
    world.run_to_rest();
    assert_eq!(ends(&world), 1, "the instance is not configured");
    world.unsubscribe(1, 3);
    world.run_to_rest();
    assert_eq!(ends(&world), 2);
}

#[test]
fn a_client_that_dies_with_many_routes_costs_bounded_steps() {
    let mut world = pair();
    let routes = 5 * LOOKS_PER_STEP;
    (0..routes as u32).for_each(|number| world.publish(1, 1, many(number), path(11)));
    world.sent(2, 0);
    while world.holds(2, 1).len() < routes {
        world.work();
        world.sent(2, 0);
    }
    let gone = |world: &World| world.node.rib.get(&named(1)).map_or(0, |it| it.table.gone());
    let removed = |world: &World| {
        let removed = |event: &&Event| matches!(event, Event::RouteRemoved { .. });
        world.events.iter().filter(removed).count()
    };
    world.close(1);
    assert_eq!(removed(&world), 0, "all of it is later work");
    let mut steps = Vec::new();
    while let Some(deadline) = world.node.poll_timeout() {
        let before = (removed(&world), gone(&world));
        world.now = world.now.max(deadline.at);
        world.handle(Input::Timeout);
        world.sent(2, 0);
        let forgotten = (before.1 + removed(&world) - before.0) - gone(&world);
        steps.push((removed(&world) - before.0, forgotten));
    }
    let is_bounded = |(removed, forgotten): &(usize, usize)| *removed.max(forgotten) <= LOOKS_PER_STEP;
    assert!(steps.iter().all(is_bounded), "{steps:?}");
    assert_eq!((removed(&world), gone(&world)), (routes, 0));
    assert_eq!(world.holds(2, 1), []);
}

#[test]
fn a_subscription_to_many_routes_costs_bounded_steps() {
    let mut world = pair();
    let routes = 5 * LOOKS_PER_STEP;
    (0..routes as u32).for_each(|number| world.publish(1, 1, many(number), path(11)));
    world.work();
    world.open(3, "agent-c");
    world.subscribe(3, 1);
    assert!(!world.stanzas.contains_key(&ConnId(3)), "all of it is later work");
    let mut before = 0;
    while let Some(deadline) = world.node.poll_timeout() {
        world.now = world.now.max(deadline.at);
        world.handle(Input::Timeout);
        [1, 2, 3].into_iter().for_each(|conn| world.sent(conn, 0));
        let held = world.holds(3, 1).len();
        assert!(held - before <= LOOKS_PER_STEP, "{held} after {before}");
        before = held;
    }
    assert_eq!(before, routes);
}
